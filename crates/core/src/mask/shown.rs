//! What may be told of a question: who asks for a value that masking hashes has it, the record of the question must not.

use std::borrow::Cow;

use super::Masker;

/// The paths that each filter asks, and whether what stands there says who it is.
const FILTERS: [(&str, &[&str], bool); 10] = [
    ("tenant", &["tenant"], true),
    ("actor", &["actor.id", "actor.name"], true),
    ("on_behalf_of", &["on_behalf_of.id"], true),
    ("resource", &["resource.id", "resource.name", "related.0.id", "related.0.name"], true),
    ("ip", &["context.ip"], false),
    ("request_id", &["context.request_id"], true),
    ("correlation_id", &["context.correlation_id"], true),
    ("session_id", &["context.session_id"], true),
    ("trace_id", &["context.trace_id"], true),
    ("id", &["id"], true),
];

impl Masker {
    /// How the value of a filter may be told: as events have it, so one that is hashed there is its hash.
    pub fn shown<'a>(&self, filter: &str, value: &'a str) -> Cow<'a, str> {
        let known = FILTERS.iter().find(|(name, ..)| *name == filter);
        let Some((_, paths, is_identity)) = known.filter(|_| self.enabled) else {
            return Cow::Borrowed(value);
        };
        let (kind, id) = match (filter, value.split_once('/')) {
            ("resource", Some((kind, id))) => (Some(kind), id),
            ("resource", None) => return Cow::Borrowed(value),
            _ => (None, value),
        };
        let is_hashed = paths.iter().any(|path| self.hashed.has(path)) && !self.key.is_hash(id);
        if !(is_hashed || (*is_identity && self.is_certain(id))) {
            return Cow::Borrowed(value);
        }
        let hash = self.hash(id);
        Cow::Owned(kind.map_or_else(|| hash.clone(), |kind| format!("{kind}/{hash}")))
    }
}
