//! Which fields are personal, and whose.

use std::fmt;

/// Fields that are personal, and where the event says whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonalRule {
    /// The fields: keys and positions joined by dots, `*` is any one of them. A field names everything below it, and one
    /// of `before` or `after` also its part of `changes`.
    pub fields: Vec<String>,
    /// The field that holds the person's id. Each `*` stands for what the one at its place in the field stood for.
    pub subject: String,
    /// Whether a keyed hash stands beside each value, so that it is found by equality. Destroying the key leaves the hash.
    pub searchable: bool,
}

/// Parts of an event that only say who and what. Of the others, the trail reads its own events' back.
const ABOUT: [&str; 5] = ["actor", "on_behalf_of", "resource", "related", "context"];

impl PersonalRule {
    /// What of the rule applies to the trail's own events, such as `trail.read`: the trail reads their details back, so
    /// these stay as they are.
    #[must_use]
    pub fn for_own_events(&self) -> PersonalRule {
        let is_about = |field: &&String| field.split('.').next().is_some_and(|part| ABOUT.contains(&part));
        PersonalRule { fields: self.fields.iter().filter(is_about).cloned().collect(), ..self.clone() }
    }
}

/// The most fields of all rules together.
pub const PERSONAL_FIELDS_MAX: usize = 128;
/// The maximum number of parts of a path.
const PARTS_MAX: usize = 32;
const PATH_BYTES_MAX: usize = 512;

/// The fields that `preset = "usual"` names: what events usually say of a person besides an id.
pub(crate) const USUAL: [&str; 12] = [
    "actor.name",
    "actor.email",
    "context.ip",
    "context.user_agent",
    "details.email",
    "details.phone",
    "details.address",
    "details.full_name",
    "before.email",
    "before.phone",
    "before.address",
    "before.full_name",
];
/// Where they say whose they are, unless the rule says otherwise.
pub(crate) const USUAL_SUBJECT: &str = "actor.id";

/// Fields that decide who may read, what a repeat is or what happens to an event, and those that the trail fills.
const KEPT: [&str; 18] = [
    "v",
    "index",
    "recorded",
    "system",
    "id",
    "tenant",
    "time",
    "time_ahead",
    "category",
    "action",
    "severity",
    "outcome",
    "duration_ms",
    "recorded_by",
    "masked",
    "truncated",
    "sample_rate",
    "invalid",
];

/// Fields by which events are told apart: what stands there must be found, and stay different.
const IDENTITIES: [&str; 9] = [
    "actor.id",
    "on_behalf_of.id",
    "resource.id",
    "related.*.id",
    "context.request_id",
    "context.correlation_id",
    "context.session_id",
    "context.trace_id",
    "context.span_id",
];

/// Fields that say what kind of thing something is, which filters compare; a `*` leaves them out.
pub(super) const KINDS: [&str; 3] = ["actor.type", "resource.type", "related.*.type"];

/// Why a path cannot be personal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadPath(String);

impl fmt::Display for BadPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether this path may be personal.
pub(crate) fn check_field(path: &str, is_searchable: bool) -> Result<(), BadPath> {
    let bad = |why: String| Err(BadPath(why));
    let parts = parts_of(path).ok_or_else(|| BadPath(no_path(path)))?;
    if KEPT.contains(&parts[0]) {
        return bad(format!(
            "{path} cannot be personal: it decides who may read the event, what a repeat is or how it is treated, or the \
             trail fills it"
        ));
    }
    if KINDS.contains(&path) {
        return bad(format!(
            "{path} cannot be personal: it says what kind of thing it is, which filters compare"
        ));
    }
    let named = IDENTITIES.iter().find(|identity| covers(&parts, &identity.split('.').collect::<Vec<_>>()));
    match named {
        Some(identity) if !is_searchable && !cfg!(trailseal_fault = "personal_identity_unsearchable") => {
            bad(format!(
                "{path} covers {identity}, by which events are found and told apart: add searchable = true, which keeps a \
                 keyed hash beside it"
            ))
        }
        _ => Ok(()),
    }
}

/// Whether a rule's subject may be at this path, if `*` occurs no more often than in each of the fields.
pub(crate) fn check_subject(path: &str, fields: &[String]) -> Result<(), BadPath> {
    let parts = parts_of(path).ok_or_else(|| BadPath(no_path(path)))?;
    let stars = |path: &str| path.split('.').filter(|part| *part == "*").count();
    let wanted = parts.iter().filter(|part| **part == "*").count();
    match fields.iter().find(|field| stars(field) < wanted) {
        Some(field) => Err(BadPath(format!(
            "the subject {path} has more `*` than {field}: each stands for what the one in the field stands for"
        ))),
        None => Ok(()),
    }
}

fn no_path(path: &str) -> String {
    format!("{path:?} is not a path of a field, such as actor.email or details.*.phone")
}

fn parts_of(path: &str) -> Option<Vec<&str>> {
    let parts: Vec<&str> = path.split('.').collect();
    let is_path = path.len() <= PATH_BYTES_MAX && parts.len() <= PARTS_MAX && parts[0] != "*";
    (is_path && parts.iter().all(|part| !part.is_empty())).then_some(parts)
}

/// Whether a rule for `named` covers the field `field`.
fn covers(named: &[&str], field: &[&str]) -> bool {
    named.len() <= field.len()
        && named.iter().zip(field).all(|(named, part)| *named == "*" || *part == "*" || named == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_is_never_personal() {
        for path in ["tenant", "id", "time", "action", "recorded_by", "masked.0", "actor.type", "duration_ms"]
        {
            let error = check_field(path, true).unwrap_err().to_string();
            assert!(error.contains("cannot be personal"), "{path}: {error}");
        }
        for path in ["", "*", "*.email", "a..b", "a.", &"a.".repeat(40)] {
            assert!(check_field(path, true).unwrap_err().to_string().contains("not a path"), "{path}");
        }
    }

    #[test]
    fn a_field_of_identity_must_be_found() {
        for path in
            ["actor.id", "actor", "actor.*", "related.0.id", "related", "context.*", "context.span_id"]
        {
            let error = check_field(path, false).unwrap_err().to_string();
            assert!(error.contains("searchable = true"), "{path}: {error}");
            assert_eq!(check_field(path, true), Ok(()));
        }
        for path in USUAL {
            assert_eq!(check_field(path, false), Ok(()));
        }
    }

    #[test]
    fn a_subject_is_named_by_the_field() {
        let fields = ["related.*.name".to_owned()];
        assert_eq!(check_subject("related.*.id", &fields), Ok(()));
        assert_eq!(check_subject("actor.id", &fields), Ok(()));
        assert!(check_subject("a.*.b.*", &fields).unwrap_err().to_string().contains("more `*`"));
        assert!(check_subject("", &fields).is_err());
    }
}
