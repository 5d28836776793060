//! From the struct to what it says; whatever is wrong with it is said here.

use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::{Attribute, Data, DeriveInput, Error, Fields, Generics, Ident, LitStr, Path, Result, Type};

const CATEGORIES: [&str; 10] = [
    "authentication",
    "authorization",
    "secret_access",
    "config_change",
    "data_access",
    "data_change",
    "workflow",
    "step",
    "admin",
    "system",
];
const SEVERITIES: [&str; 6] = ["debug", "info", "notice", "warning", "error", "critical"];
const OUTCOMES: [&str; 5] = ["success", "failure", "denied", "partial", "unknown"];
const CONTEXT: [&str; 11] = [
    "ip",
    "user_agent",
    "request_id",
    "correlation_id",
    "session_id",
    "trace_id",
    "span_id",
    "component",
    "service",
    "version",
    "host",
];

/// What a struct says.
pub(crate) struct Described<'a> {
    pub(crate) name: &'a Ident,
    pub(crate) generics: &'a Generics,
    pub(crate) action: String,
    pub(crate) category: Option<String>,
    pub(crate) severity: Option<String>,
    pub(crate) outcome: Option<String>,
    pub(crate) description: Option<String>,
    /// Where the crate `trailseal` is, if it has another name here.
    pub(crate) facade: Option<Path>,
    pub(crate) fields: Vec<DescribedField<'a>>,
}

/// What a field is.
pub(crate) struct DescribedField<'a> {
    pub(crate) field: &'a Ident,
    pub(crate) span: Span,
    pub(crate) role: Role,
}

pub(crate) enum Role {
    Detail(String),
    /// What a secret's type can do is not known: serde may not write it.
    Secret {
        name: String,
        is_option: bool,
    },
    Text(&'static str),
    Resource(String),
    Context(String),
    Outcome,
    Before,
    After,
    Duration,
    Skip,
}

type MakeRole = fn() -> Role;

/// Words of a field that are a role by themselves.
const ROLES: [(&str, MakeRole); 13] = [
    ("actor", || Role::Text("actor")),
    ("actor_name", || Role::Text("actor_name")),
    ("tenant", || Role::Text("tenant")),
    ("id", || Role::Text("id")),
    ("error", || Role::Text("error")),
    ("description", || Role::Text("description")),
    ("resource_name", || Role::Text("resource_name")),
    ("outcome", || Role::Outcome),
    ("before", || Role::Before),
    ("after", || Role::After),
    ("duration", || Role::Duration),
    ("secret", || Role::Secret { name: String::new(), is_option: false }),
    ("skip", || Role::Skip),
];

pub(crate) fn read(input: &DeriveInput) -> Result<Described<'_>> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(
            input.ident.span(),
            "AuditEvent can be derived for a struct alone: give each variant one",
        ));
    };
    if matches!(data.fields, Fields::Unnamed(_)) {
        let what = "AuditEvent needs fields with names, which become the names of details";
        return Err(Error::new(input.ident.span(), what));
    }
    let mut described = Described {
        name: &input.ident,
        generics: &input.generics,
        action: String::new(),
        category: None,
        severity: None,
        outcome: None,
        description: None,
        facade: None,
        fields: Vec::new(),
    };
    read_struct(&input.attrs, &mut described)?;
    if described.action.is_empty() {
        let what = "an event needs an action: #[audit(action = \"invoice.approve\")]";
        return Err(Error::new(input.ident.span(), what));
    }
    let mut taken: Vec<(String, Span)> = Vec::new();
    for field in &data.fields {
        let Some(name) = &field.ident else { continue };
        let mut role = read_field(&field.attrs, name)?;
        if let Role::Secret { is_option, .. } = &mut role {
            *is_option = is_an_option(&field.ty);
        }
        if let Some(place) = role.place() {
            if taken.iter().any(|(known, _)| *known == place) {
                return Err(Error::new(name.span(), format!("another field is the {place} already")));
            }
            taken.push((place, name.span()));
        }
        described.fields.push(DescribedField { field: name, span: field.ty.span(), role });
    }
    if described.outcome.is_some()
        && let Some((_, span)) = taken.iter().find(|(place, _)| place == "outcome")
    {
        return Err(Error::new(*span, "the struct names an outcome already: leave one of the two out"));
    }
    let has_resource = taken.iter().any(|(place, _)| place == "resource");
    if let Some((_, span)) =
        taken.iter().find(|(place, _)| place == "resource_name").filter(|_| !has_resource)
    {
        return Err(Error::new(
            *span,
            "a resource_name needs a resource: #[audit(resource = \"invoice\")] on its id",
        ));
    }
    Ok(described)
}

fn read_struct(attributes: &[Attribute], described: &mut Described<'_>) -> Result<()> {
    let mut named: Vec<String> = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("audit")) {
        attribute.parse_nested_meta(|meta| {
            let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            if named.contains(&name) {
                return Err(meta.error(format!("the struct names its {name} already")));
            }
            named.push(name.clone());
            let place = match name.as_str() {
                "crate" => {
                    described.facade = Some(meta.value()?.parse::<LitStr>()?.parse()?);
                    return Ok(());
                }
                "action" => {
                    let action: LitStr = meta.value()?.parse()?;
                    if action.value().is_empty() {
                        return Err(Error::new(action.span(), "an action is never empty"));
                    }
                    described.action = action.value();
                    return Ok(());
                }
                "category" => &mut described.category,
                "severity" => &mut described.severity,
                "outcome" => &mut described.outcome,
                "description" => &mut described.description,
                _ => {
                    let what = "unknown: use action, category, severity, outcome, description or crate";
                    return Err(meta.error(what));
                }
            };
            let value: LitStr = meta.value()?.parse()?;
            let is_custom = |text: &str| text.strip_prefix("custom:").is_some_and(|name| !name.is_empty());
            let (allowed, is_good): (&[&str], _) = match name.as_str() {
                "category" => (&CATEGORIES, is_custom(&value.value())),
                "severity" => (&SEVERITIES, false),
                "outcome" => (&OUTCOMES, false),
                _ => (&[], true),
            };
            if !is_good && !allowed.contains(&value.value().as_str()) {
                let custom = if name == "category" { " or custom:NAME" } else { "" };
                let what = format!("no {name}: use {}{custom}", allowed.join(", "));
                return Err(Error::new(value.span(), what));
            }
            *place = Some(value.value());
            Ok(())
        })?;
    }
    Ok(())
}

fn read_field(attributes: &[Attribute], field: &Ident) -> Result<Role> {
    let (mut role, mut renamed) = (None, None);
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("audit")) {
        attribute.parse_nested_meta(|meta| {
            let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            let new = match name.as_str() {
                "rename" => {
                    let name: LitStr = meta.value()?.parse()?;
                    if name.value().is_empty() {
                        return Err(Error::new(name.span(), "a detail's name is never empty"));
                    }
                    renamed = Some((name.value(), name.span()));
                    return Ok(());
                }
                "resource" => {
                    if !meta.input.peek(syn::Token![=]) {
                        return Err(meta.error("of which type? #[audit(resource = \"invoice\")]"));
                    }
                    let kind: LitStr = meta.value()?.parse()?;
                    Role::Resource(kind.value())
                }
                "context" => {
                    let name: LitStr = meta.value()?.parse()?;
                    if !CONTEXT.contains(&name.value().as_str()) {
                        let what = format!("no field of a context: use {}", CONTEXT.join(", "));
                        return Err(Error::new(name.span(), what));
                    }
                    Role::Context(name.value())
                }
                word => match ROLES.iter().find(|(known, _)| *known == word) {
                    Some(_) if meta.input.peek(syn::Token![=]) => {
                        return Err(meta.error(format!("`{word}` takes no value: the field has it")));
                    }
                    Some((_, role)) => role(),
                    None => {
                        let known: Vec<&str> = ROLES.iter().map(|(known, _)| *known).collect();
                        let what = format!("unknown: use rename, resource, context, {}", known.join(", "));
                        return Err(meta.error(what));
                    }
                },
            };
            if role.replace(new).is_some() {
                return Err(meta.error("a field is one thing alone"));
            }
            Ok(())
        })?;
    }
    let detail = |renamed: Option<(String, Span)>| {
        let own = field.to_string();
        renamed.map_or_else(|| own.trim_start_matches("r#").to_owned(), |(name, _)| name)
    };
    match (role, renamed) {
        (None, renamed) => Ok(Role::Detail(detail(renamed))),
        (Some(Role::Secret { is_option, .. }), renamed) => {
            Ok(Role::Secret { name: detail(renamed), is_option })
        }
        (Some(_), Some((_, span))) => Err(Error::new(span, "only a detail can be renamed")),
        (Some(role), None) => Ok(role),
    }
}

/// Whether a type is written as an `Option`; an alias of one is not seen.
fn is_an_option(kind: &Type) -> bool {
    match kind {
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "Option"),
        _ => false,
    }
}

impl Role {
    /// What of an event it fills, where that can be filled once.
    fn place(&self) -> Option<String> {
        Some(match self {
            Role::Detail(name) | Role::Secret { name, .. } => format!("detail {name}"),
            Role::Text(name) => (*name).to_owned(),
            Role::Resource(_) => "resource".to_owned(),
            Role::Context(name) => format!("context {name}"),
            Role::Outcome => "outcome".to_owned(),
            Role::Before => "before".to_owned(),
            Role::After => "after".to_owned(),
            Role::Duration => "duration".to_owned(),
            Role::Skip => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use trailseal_event::{Category, OWN_KEYS, Outcome, Severity};

    use super::{CATEGORIES, CONTEXT, OUTCOMES, SEVERITIES, read};

    /// They stand here again so that a macro does not have to wait until the crate of events is built.
    #[test]
    fn the_names_are_those_of_events() {
        assert_eq!(CONTEXT, OWN_KEYS[4]);
        assert_eq!(CATEGORIES, Category::NAMED.map(|category| category.name().into_owned()));
        assert_eq!(SEVERITIES, Severity::ALL.map(|severity| severity.name()));
        assert_eq!(OUTCOMES, Outcome::ALL.map(|outcome| outcome.name()));
    }

    fn said(text: &str) -> String {
        let input = syn::parse_str(text).unwrap();
        read(&input).err().map_or_else(|| "nothing".to_owned(), |error| error.to_string())
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("struct S { a: u8 }", "an event needs an action: #[audit(action = \"invoice.approve\")]"),
            ("#[audit(action = \"\")] struct S { a: u8 }", "an action is never empty"),
            (
                "#[audit(action = \"a\")] enum S { A }",
                "AuditEvent can be derived for a struct alone: give each variant one",
            ),
            (
                "#[audit(action = \"a\")] struct S(u8);",
                "AuditEvent needs fields with names, which become the names of details",
            ),
            (
                "#[audit(acton = \"a\")] struct S { a: u8 }",
                "unknown: use action, category, severity, outcome, description or crate",
            ),
            (
                "#[audit(action = \"a\")] #[audit(action = \"b\")] struct S;",
                "the struct names its action already",
            ),
            ("#[audit(action = \"a\", crate = \"audit::trailseal\")] struct S;", "nothing"),
            (
                "#[audit(action = \"a\")] struct S { #[audit(rename = \"\")] a: u8 }",
                "a detail's name is never empty",
            ),
            (
                "#[audit(action = \"a\")] struct S { #[audit(actor = \"u1\")] a: u8 }",
                "`actor` takes no value: the field has it",
            ),
            (
                "#[audit(action = \"a\", severity = \"loud\")] struct S { a: u8 }",
                "no severity: use debug, info, notice, warning, error, critical",
            ),
            (
                "#[audit(action = \"a\")] struct S { #[audit(resource)] a: u8 }",
                "of which type? #[audit(resource = \"invoice\")]",
            ),
            (
                "#[audit(action = \"a\")] struct S { #[audit(actor)] a: u8, #[audit(actor)] b: u8 }",
                "another field is the actor already",
            ),
            (
                "#[audit(action = \"a\")] struct S { a: u8, #[audit(rename = \"a\")] b: u8 }",
                "another field is the detail a already",
            ),
            (
                "#[audit(action = \"a\")] struct S { #[audit(actor, tenant)] a: u8 }",
                "a field is one thing alone",
            ),
            (
                "#[audit(action = \"a\")] struct S { #[audit(actor, rename = \"b\")] a: u8 }",
                "only a detail can be renamed",
            ),
            (
                "#[audit(action = \"a\", outcome = \"success\")] struct S { #[audit(outcome)] a: u8 }",
                "the struct names an outcome already: leave one of the two out",
            ),
            (
                "#[audit(action = \"a\")] struct S { #[audit(resource_name)] a: u8 }",
                "a resource_name needs a resource: #[audit(resource = \"invoice\")] on its id",
            ),
            (
                "#[audit(action = \"a\", category = \"custom:billing\")] struct S { #[audit(secret)] a: u8 }",
                "nothing",
            ),
        ] {
            assert_eq!(said(text), expected, "{text}");
        }
        let unknown = said("#[audit(action = \"a\")] struct S { #[audit(acter)] a: u8 }");
        assert!(unknown.starts_with("unknown: use rename, resource, context, actor, "), "{unknown}");
        let context = said("#[audit(action = \"a\")] struct S { #[audit(context = \"address\")] a: u8 }");
        assert!(context.starts_with("no field of a context: use ip, user_agent"), "{context}");
        let category = said("#[audit(action = \"a\", category = \"custom:\")] struct S { a: u8 }");
        assert!(category.ends_with("system or custom:NAME"), "{category}");
    }
}
