//! What may be recorded about a query: the person who asks for a value that masking hashes knows it, but the record of
//! the query must not contain it.

use std::borrow::Cow;

use super::Masker;
use crate::mask::names::effect::Kind;

/// The paths that each filter checks, and whether they are identity fields.
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
    /// How a filter's value may be recorded: as events have it, so a hashed one as its hash.
    pub fn shown<'a>(&self, filter: &str, value: &'a str) -> Cow<'a, str> {
        self.shown_if(filter, value, |_| false)
    }

    /// The same where fields are also hashed that `also` names.
    pub fn shown_if<'a>(&self, filter: &str, value: &'a str, also: impl Fn(&str) -> bool) -> Cow<'a, str> {
        let known = FILTERS.iter().find(|(name, ..)| *name == filter);
        let Some((_, paths, is_identity)) = known else { return Cow::Borrowed(value) };
        let is_also = paths.iter().any(|path| also(path));
        if !self.enabled && !is_also {
            return Cow::Borrowed(value);
        }
        // A type may have slashes in it, a hash has none.
        let before_hash = value.rsplit_once('/').filter(|(_, id)| self.key.is_hash(id));
        let (kind, id) = match (filter, before_hash.or(value.split_once('/'))) {
            ("resource", Some((kind, id))) => (Some(kind), id),
            ("resource", None) => return Cow::Borrowed(value),
            _ => (None, value),
        };
        let is_replaced = is_also || paths.iter().any(|path| self.replaces(path));
        let is_hashed = is_replaced && !self.key.is_hash(id);
        if !(is_hashed || (*is_identity && self.is_certain(id))) {
            return Cow::Borrowed(value);
        }
        let hash = self.hash(id);
        Cow::Owned(kind.map_or_else(|| hash.clone(), |kind| format!("{kind}/{hash}")))
    }

    /// Whether the field at this path never keeps what was sent: the user has named it, or its name or that of its part
    /// names a secret.
    fn replaces(&self, path: &str) -> bool {
        let (part, name) = (path.split('.').next().unwrap_or(path), path.rsplit('.').next().unwrap_or(path));
        let is_name = path != "tenant" && self.keys.find(name).is_some();
        let is_part = part != name && self.keys.find(part) == Some(Kind::All);
        self.hashed.has(path) || is_name || is_part
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::mask::{MaskKey, MaskOptions};

    fn masker(options: MaskOptions) -> Masker {
        Masker::new(&MaskOptions { key: Some(MaskKey::new([7; 32])), ..options }).unwrap()
    }

    #[test]
    fn whatever_events_keep_as_a_hash_is_told_as_one() {
        let named = |path: &str| MaskOptions { hash: vec![path.into()], ..MaskOptions::default() };
        let own = |key: &str| MaskOptions { keys: vec![key.into()], ..MaskOptions::default() };
        for (options, filter) in [
            (named("context.session_id"), "session_id"),
            (named("actor.*"), "actor"),
            (own("session id"), "session_id"),
            (own("request id"), "request_id"),
            (own("actor"), "actor"),
            (own("context"), "trace_id"),
            (own("context"), "ip"),
        ] {
            let masker = masker(options);
            assert_eq!(masker.shown(filter, "plain"), masker.hash("plain"), "{filter}");
            assert_eq!(masker.shown("on_behalf_of", "plain"), "plain");
        }
        let masker = masker(own("resource"));
        assert_eq!(masker.shown("resource", "card/plain"), format!("card/{}", masker.hash("plain")));
        for kind in ["card", "card/black"] {
            let hashed = format!("{kind}/{}", masker.hash("plain"));
            assert_eq!(masker.shown("resource", &hashed), hashed);
        }
    }
}
