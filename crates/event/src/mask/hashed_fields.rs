//! The fields that a user names to be hashed, whatever their value.

use memchr::memmem::Finder;

use super::error::MaskError;
use crate::event::INVALID;
use crate::mask::names::paths::{SIDES, without_count};

/// Fields that decide who may read or how an event is treated, or that the trail fills: a hash there would mean
/// something else.
const KEPT: [&str; 16] = [
    "v",
    "index",
    "recorded",
    "system",
    "tenant",
    "time",
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

/// The paths in use.
pub(in crate::mask) struct HashedPaths {
    paths: Vec<Vec<String>>,
    /// For each path, a string that occurs in the text of every event with such a field.
    needles: Vec<Finder<'static>>,
    /// Whether some path has no such part.
    is_everywhere: bool,
}

impl HashedPaths {
    pub(in crate::mask) fn new(paths: &[String]) -> Result<HashedPaths, MaskError> {
        let mut hashed = HashedPaths { paths: Vec::new(), needles: Vec::new(), is_everywhere: false };
        for path in paths {
            let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
            if parts.iter().any(String::is_empty) || parts == ["*"] || KEPT.contains(&&*parts[0]) {
                return Err(MaskError::Hash { path: path.clone() });
            }
            match parts.iter().rev().find(|part| is_needle(part)) {
                Some(part) => hashed.needles.push(Finder::new(part).into_owned()),
                None => hashed.is_everywhere = true,
            }
            hashed.paths.push(parts);
        }
        Ok(hashed)
    }

    pub(in crate::mask) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether an event whose text this is could have one of the fields.
    #[inline]
    pub(in crate::mask) fn may_be_in(&self, text: &[u8]) -> bool {
        !self.is_empty()
            && !cfg!(trailseal_fault = "named_fields_not_hashed")
            && (self.is_everywhere
                || self.needles.iter().any(|needle| needle.find(text).is_some())
                || memchr::memmem::find(text, INVALID.as_bytes()).is_some())
    }

    /// Whether this path of an event is named, or is below a named one.
    pub(in crate::mask) fn has(&self, path: &str) -> bool {
        if self.is_empty() {
            return false;
        }
        let parts: Vec<&str> = path.split('.').collect();
        if self.paths.iter().any(|named| begins_with(&parts, named)) || self.has_change(path) {
            return true;
        }
        // Rejected values are below their own path.
        let kept = path.split_once(INVALID).and_then(|(_, kept)| kept.strip_prefix('.'));
        kept.is_some_and(|kept| self.has(without_count(kept)) || self.may_hold(kept))
    }

    /// Whether a value kept at this path because of its wrong form may hold a named field: the field is in a list, or
    /// in a text that represents the whole part.
    fn may_hold(&self, kept: &str) -> bool {
        let is_place = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let parts = kept.split('.').map(without_count);
        let parts: Vec<&str> = parts.filter(|part| !is_place(part)).collect();
        let is_same = |(wanted, part): (&String, &&str)| wanted == "*" || wanted == part;
        self.paths.iter().any(|named| named.iter().zip(&parts).all(is_same))
    }

    /// Whether a path of `changes` belongs to a named field of `before` or `after`.
    fn has_change(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix("changes.") else { return false };
        let path = path.replace('\\', "");
        let parts: Vec<&str> = path.split('.').collect();
        let states = self.paths.iter().filter_map(|named| match &**named {
            [state, named @ ..] if matches!(&**state, "before" | "after" | "*") => Some(named),
            _ => None,
        });
        let without = |place: usize| [&parts[..place], &parts[place + 1..]].concat();
        let sides = (1..parts.len()).filter(|&place| SIDES.contains(&parts[place]));
        let mut forms: Vec<Vec<&str>> = sides.map(without).collect();
        forms.push(parts.clone());
        states.into_iter().any(|named| forms.iter().any(|parts| begins_with(parts, named)))
    }
}

fn begins_with(parts: &[&str], named: &[String]) -> bool {
    parts.len() >= named.len()
        && named.iter().zip(parts).all(|(wanted, part)| wanted == "*" || wanted == part)
}

/// Whether this is a key that JSON can write in only one way.
fn is_needle(part: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    part.bytes().all(is_plain) && !part.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(named: &str, path: &str, expected: bool) {
        let hashed = HashedPaths::new(&[named.to_owned()]).unwrap();
        assert_eq!(hashed.has(path), expected, "{named} {path}");
    }

    #[test]
    fn a_path_names_a_field_and_what_is_below() {
        check("context.session_id", "context.session_id", true);
        check("context.session_id", "context.trace_id", false);
        check("details.*.card", "details.a.card.number", true);
        check("details.*.card", "details.card", false);
        check("related.*.id", "related.0.id", true);
        check("context.session_id", "details._invalid.context.session_id", true);
        check("context.session_id", "details._invalid.context.session_id#2", true);
        check("context.session_id", "details._invalid.context.0.session_id", true);
        check("context.session_id", "details._invalid.context#2", true);
        check("context.session_id", "details._invalid.context.0.trace_id", false);
        check("context.session_id", "details._invalid.actor", false);
    }

    #[test]
    fn a_field_of_a_state_is_one_of_its_changes_too() {
        check("before.card", "changes.card.before", true);
        check("before.card", "changes.card.after", true);
        check("after.a.card", "changes.a.card.after", true);
        check("after.a.card", "changes.a.after.card", true);
        check("before.a.b", r"changes.a\.b.before", true);
        check("before.card", "changes.cart.before", false);
        check("details.card", "changes.card.before", false);
    }

    #[test]
    fn what_decides_is_never_hashed() {
        for path in ["tenant", "action", "time", "", "*", "a..b", "category", "masked.0"] {
            assert!(matches!(HashedPaths::new(&[path.to_owned()]), Err(MaskError::Hash { .. })), "{path}");
        }
    }

    #[test]
    fn only_events_with_such_a_key_are_looked_at() {
        let may = |named: &str, text: &str| {
            HashedPaths::new(&[named.to_owned()]).unwrap().may_be_in(text.as_bytes())
        };
        assert!(may("context.session_id", r#"{"context":{"session_id":"x"}}"#));
        assert!(!may("context.session_id", r#"{"context":{"trace_id":"x"}}"#));
        assert!(may("related.0.id", r#"{"related":[{"id":"x"}]}"#));
        assert!(may("größe.*", "{}") && may("details.*", r#"{"details":1}"#));
        assert!(!HashedPaths::new(&[]).unwrap().may_be_in(b"{}"));
    }
}
