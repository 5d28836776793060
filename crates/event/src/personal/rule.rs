//! Which fields are personal, and whose.

use std::fmt;

use crate::event::names::{ACTOR_FIELDS, CONTEXT_FIELDS, FIELDS, ON_BEHALF_OF_FIELDS, RESOURCE_FIELDS};
use crate::event::warning::{Place, meant, misspelled};

/// Fields that are personal, and where the event says whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonalRule {
    /// The fields: keys and positions joined by dots, `*` is any one of them. A field names everything below it, and one
    /// of `before` or `after` also its part of `changes`.
    pub fields: Vec<String>,
    /// The field that holds the person's id, which must be unique in the whole trail: tenants do not count. The first `*` of
    /// `subject` takes the value of the first `*` in the field, and so on.
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

/// Whether this path may be personal, in a rule for `fields`.
pub(crate) fn check_field(path: &str, is_searchable: bool, fields: &[String]) -> Result<(), BadPath> {
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
    if let Some(meant) = meant_by(&parts).filter(|meant| !fields.contains(meant)) {
        return bad(format!(
            "{path} is no field of an event: did you mean {meant}? If your events do have {path}, name both in this rule"
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
    if let Some(meant) = misspelled_by(&parts) {
        return Err(BadPath(format!("the subject {path} is no field of an event: did you mean {meant}?")));
    }
    let stars = |path: &str| path.split('.').filter(|part| *part == "*").count();
    let wanted = parts.iter().filter(|part| **part == "*").count();
    match fields.iter().find(|field| stars(field) < wanted) {
        Some(field) => Err(BadPath(format!(
            "the subject {path} has more `*` than {field}: the first takes the value of the first in the field, and so on"
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

/// The event's own field that a path means if it is none: one that is spelled in another way, or that programs call so. A
/// field of a program's own means nothing but itself.
fn meant_by(parts: &[&str]) -> Option<String> {
    misspelled_by(parts).or_else(|| {
        let (place, _) = place_of(parts);
        let meant = meant(place, unknown_name(parts)?)?;
        // At the top programs have many names of their own; and nobody must make ids personal to protect another field.
        (place != Place::Event && !IDENTITIES.contains(&meant)).then(|| own_path(parts, meant)).flatten()
    })
}

/// The event's own field whose name is spelled wrong in this path.
fn misspelled_by(parts: &[&str]) -> Option<String> {
    own_path(parts, misspelled(place_of(parts).0, unknown_name(parts)?)?)
}

/// Which names are known below the beginning of this path, and which part is one of them.
fn place_of(parts: &[&str]) -> (Place, usize) {
    match parts {
        ["actor", _, ..] => (Place::Actor, 1),
        ["on_behalf_of", _, ..] => (Place::OnBehalfOf, 1),
        ["resource", _, ..] => (Place::Resource, 1),
        ["related", _, _, ..] => (Place::Resource, 2),
        ["context", _, ..] => (Place::Context, 1),
        _ => (Place::Event, 0),
    }
}

/// The part of the path that should be one of an event's own names and is none.
fn unknown_name<'a>(parts: &[&'a str]) -> Option<&'a str> {
    let (place, at) = place_of(parts);
    let known = match place {
        Place::Event => &FIELDS[..],
        Place::Actor => &ACTOR_FIELDS,
        Place::OnBehalfOf => &ON_BEHALF_OF_FIELDS,
        Place::Resource => &RESOURCE_FIELDS,
        Place::Context => &CONTEXT_FIELDS,
    };
    parts.get(at).copied().filter(|name| *name != "*" && !known.contains(name))
}

/// The path with the name that was meant; `None` if that could not be personal.
fn own_path(parts: &[&str], meant: &str) -> Option<String> {
    let path = match (place_of(parts), meant.strip_prefix("resource.")) {
        ((Place::Event, _), _) => [&[meant][..], &parts[1..]].concat().join("."),
        ((_, 2), Some(name)) => format!("related.{}.{name}", parts[1]),
        _ => meant.to_owned(),
    };
    let top = path.split('.').next().unwrap_or_default();
    (!KEPT.contains(&top) && !KINDS.contains(&&*path)).then_some(path)
}

/// Whether a rule for `named` covers the field `field`.
fn covers(named: &[&str], field: &[&str]) -> bool {
    named.len() <= field.len()
        && named.iter().zip(field).all(|(named, part)| *named == "*" || *part == "*" || named == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, is_searchable: bool) -> Result<(), BadPath> {
        check_field(path, is_searchable, &[path.to_owned()])
    }

    #[test]
    fn what_decides_is_never_personal() {
        for path in ["tenant", "id", "time", "action", "recorded_by", "masked.0", "actor.type", "duration_ms"]
        {
            let error = check(path, true).unwrap_err().to_string();
            assert!(error.contains("cannot be personal"), "{path}: {error}");
        }
        for path in ["", "*", "*.email", "a..b", "a.", &"a.".repeat(40)] {
            assert!(check(path, true).unwrap_err().to_string().contains("not a path"), "{path}");
        }
    }

    #[test]
    fn a_field_of_identity_must_be_found() {
        for path in
            ["actor.id", "actor", "actor.*", "related.0.id", "related", "context.*", "context.span_id"]
        {
            let error = check(path, false).unwrap_err().to_string();
            assert!(error.contains("searchable = true"), "{path}: {error}");
            assert_eq!(check(path, true), Ok(()));
        }
        for path in USUAL {
            assert_eq!(check(path, false), Ok(()));
        }
    }

    #[test]
    fn a_mistyped_field_is_refused_with_the_one_that_was_meant() {
        for (path, meant) in [
            ("actor.emial", "actor.email"),
            ("actor.eMail", "actor.email"),
            ("actor.nme", "actor.name"),
            ("actor.full_name", "actor.name"),
            ("actor.ip", "context.ip"),
            ("acter.email", "actor.email"),
            ("detials.*.phone", "details.*.phone"),
            ("on_behalf_of.reasn", "on_behalf_of.reason"),
            ("related.*.nmae", "related.*.name"),
            ("related.0.names", "related.0.name"),
            ("context.user_agnet", "context.user_agent"),
        ] {
            let error = check(path, true).unwrap_err().to_string();
            assert!(error.contains(&format!("did you mean {meant}?")), "{path}: {error}");
            let both = [path.to_owned(), meant.to_owned()];
            assert_eq!(check_field(path, true, &both), Ok(()), "{path}: it is there, too");
        }
        // Fields of a program's own, and what could not be personal.
        for path in [
            "actor.phone",
            "actor.*.emial",
            "actor.uid",
            "actor.kind",
            "actor.tenant",
            "context.cost",
            "resource.owner",
            "user.email",
            "tenants.name",
            "details.emial",
            "before.nmae",
        ] {
            let checked = check(path, true);
            assert_eq!(checked, Ok(()), "{path}");
        }
    }

    #[test]
    fn a_mistyped_subject_is_refused() {
        let fields = ["actor.email".to_owned(), "related.*.name".to_owned()];
        for (path, meant) in
            [("actor.ID", "actor.id"), ("acotr.id", "actor.id"), ("resuorce.id", "resource.id")]
        {
            let error = check_subject(path, &fields).unwrap_err().to_string();
            assert!(error.contains(&format!("did you mean {meant}?")), "{path}: {error}");
        }
        for path in ["actor.uid", "details.customer_id", "user_id", "tenant", "on_behalf_of.id"] {
            assert_eq!(check_subject(path, &fields), Ok(()), "{path}");
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
