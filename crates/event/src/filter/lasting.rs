//! A filter that outlives changes of what is masked.
//!
//! What it wants may be a hash, so that whoever keeps the filter keeps no secret. Lines that were recorded before such
//! values were hashed have them in plain: so it is the line's value that is hashed and compared.

use super::{Filter, IdFilter};
use crate::event::{Event, Recorded, Resource};
use crate::mask::MaskKey;

/// Finds events however masking was set when they were recorded: a wanted value as it is, or as its hash; and for a
/// wanted hash also the values that have it.
///
/// ```
/// use trailseal_event::Timestamp;
/// use trailseal_event::filter::Filter;
/// use trailseal_event::mask::MaskKey;
///
/// let key = MaskKey::new([7; 32]);
/// let filter = Filter::from_pairs([("tenant", key.hash("acme").as_str())], Timestamp::default())?;
/// let line = br#"{"v":1,"index":7,"recorded":"2026-01-02T03:04:05.000006Z","id":"a","tenant":"acme","action":"x"}"#;
/// assert!(filter.lasting(&[key]).accepts(line) && !filter.accepts(line));
/// # Ok::<(), trailseal_event::filter::FilterError>(())
/// ```
#[derive(Clone, Debug)]
pub struct LastingFilter {
    filter: Filter,
    /// Those of which it wants a hash.
    keys: Vec<MaskKey>,
}

impl Filter {
    /// The filter that finds the same events whether their values were hashed or not, by one of these keys.
    pub fn lasting(&self, keys: &[MaskKey]) -> LastingFilter {
        let mut filter = self.clone();
        for key in keys {
            let stored = self.as_stored(Some(key));
            filter.add_wanted(stored);
        }
        let is_wanted = |key: &&MaskKey| self.wanted().any(|text| key.is_hash(text));
        LastingFilter { filter, keys: keys.iter().filter(is_wanted).cloned().collect() }
    }

    /// The values that masking may have hashed.
    fn wanted(&self) -> impl Iterator<Item = &str> {
        let ids = self.id.iter().filter_map(|wanted| match wanted {
            IdFilter::Id(id) => Some(id.as_str()),
            IdFilter::Index(_) => None,
        });
        // A type may end behind the first slash.
        let resources = self.resource.iter().filter_map(|wanted| wanted.id.as_deref()?.rsplit('/').next());
        let texts = self.exact().into_iter().flatten().chain(&self.ip).map(String::as_str);
        texts.chain(ids).chain(resources)
    }

    fn add_wanted(&mut self, other: Filter) {
        self.tenant.extend(other.tenant);
        self.actor.extend(other.actor);
        self.on_behalf_of.extend(other.on_behalf_of);
        self.ip.extend(other.ip);
        self.correlation_id.extend(other.correlation_id);
        self.request_id.extend(other.request_id);
        self.session_id.extend(other.session_id);
        self.trace_id.extend(other.trace_id);
        self.resource.extend(other.resource);
        self.id.extend(other.id);
    }
}

impl LastingFilter {
    /// Whether the event on this line is one of them.
    pub fn accepts(&self, line: &[u8]) -> bool {
        if self.filter.accepts(line) {
            return true;
        }
        if self.keys.is_empty() || cfg!(trailseal_fault = "plain_values_not_held") {
            return false;
        }
        let Ok(mut recorded) = Event::from_line(line) else { return false };
        self.hash_wanted(&mut recorded);
        self.filter.matches(&recorded) && self.filter.matches_text(line)
    }

    /// Puts a wanted hash in the place of each value that has it.
    fn hash_wanted(&self, recorded: &mut Recorded) {
        let (filter, event) = (&self.filter, &mut recorded.event);
        let texts = |texts: &'_ [String], value: &mut Option<String>| {
            self.hash(value, &|hash| texts.iter().any(|text| text == hash));
        };
        texts(&filter.tenant, &mut event.tenant);
        if let Some(actor) = &mut event.actor {
            texts(&filter.actor, &mut actor.id);
            texts(&filter.actor, &mut actor.name);
        }
        if let Some(other) = &mut event.on_behalf_of {
            texts(&filter.on_behalf_of, &mut other.id);
        }
        let context = &mut event.context;
        texts(&filter.ip, &mut context.ip);
        texts(&filter.correlation_id, &mut context.correlation_id);
        texts(&filter.request_id, &mut context.request_id);
        texts(&filter.session_id, &mut context.session_id);
        texts(&filter.trace_id, &mut context.trace_id);
        let is_id = |hash: &str| filter.id.contains(&IdFilter::Id(hash.to_owned()));
        self.hash(&mut event.id, &is_id);
        let is_resource = |hash: &str| {
            let mut ids = filter.resource.iter().filter_map(|wanted| wanted.id.as_deref());
            ids.any(|id| id.rsplit('/').next() == Some(hash))
        };
        for Resource { id, name, .. } in event.resource.iter_mut().chain(&mut event.related) {
            self.hash(id, &is_resource);
            self.hash(name, &is_resource);
        }
    }

    fn hash(&self, value: &mut Option<String>, is_wanted: &dyn Fn(&str) -> bool) {
        let Some(text) = value.as_deref() else { return };
        let mut hashes = self.keys.iter().map(|key| key.hash(text));
        if let Some(hash) = hashes.find(|hash| is_wanted(hash)) {
            *value = Some(hash);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::timestamp::Timestamp;

    fn line(rest: &str) -> Vec<u8> {
        let front = r#"{"v":1,"index":7,"recorded":"2026-01-02T03:04:05.000006Z""#;
        format!(r#"{front},{rest},"category":"admin","action":"x","severity":"info"}}"#).into_bytes()
    }

    #[test]
    fn each_field_is_found_in_plain_and_as_its_hash_whichever_of_them_is_wanted() {
        let (key, other) = (MaskKey::new([7; 32]), MaskKey::new([8; 32]));
        let hash = key.hash("alice");
        for (name, at) in [
            ("tenant", r#""id":"a","tenant":"VALUE""#),
            ("actor", r#""id":"a","actor":{"id":"VALUE"}"#),
            ("actor", r#""id":"a","actor":{"id":"b","name":"VALUE"}"#),
            ("on_behalf_of", r#""id":"a","on_behalf_of":{"id":"VALUE"}"#),
            ("ip", r#""id":"a","context":{"ip":"VALUE"}"#),
            ("request_id", r#""id":"a","context":{"request_id":"VALUE"}"#),
            ("correlation_id", r#""id":"a","context":{"correlation_id":"VALUE"}"#),
            ("session_id", r#""id":"a","context":{"session_id":"VALUE"}"#),
            ("trace_id", r#""id":"a","context":{"trace_id":"VALUE"}"#),
            ("id", r#""id":"VALUE""#),
            ("resource", r#""id":"a","resource":{"type":"a/b","id":"VALUE"}"#),
            ("resource", r#""id":"a","resource":{"type":"a/b","name":"VALUE"}"#),
            ("resource", r#""id":"a","related":[{"type":"c","id":"d"},{"type":"a/b","id":"VALUE"}]"#),
        ] {
            let whole =
                |value: &str| if name == "resource" { format!("a/b/{value}") } else { value.to_owned() };
            let lasting = |value: &str, key: &MaskKey| {
                let pairs = [(name, whole(value)), ("action", "x".to_owned())];
                let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
                Filter::from_pairs(pairs, Timestamp::default())
                    .unwrap()
                    .lasting(&[other.clone(), key.clone()])
            };
            let (plain, hashed) = (line(&at.replace("VALUE", "alice")), line(&at.replace("VALUE", &hash)));
            for wanted in ["alice", &hash] {
                let filter = lasting(wanted, &key);
                assert!(filter.accepts(&plain) && filter.accepts(&hashed), "{name} {wanted}");
                assert!(!filter.accepts(&line(&at.replace("VALUE", "bob"))), "{name} {wanted}");
            }
            assert!(!lasting(&hash, &MaskKey::new([9; 32])).accepts(&plain), "{name}: by no known key");
        }
    }

    #[test]
    fn all_names_must_match_as_in_every_filter() {
        let key = MaskKey::new([7; 32]);
        let pairs = [("tenant", key.hash("acme")), ("actor", key.hash("alice"))];
        let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
        let filter =
            Filter::from_pairs(pairs, Timestamp::default()).unwrap().lasting(std::slice::from_ref(&key));
        let of = |tenant: &str, actor: &str| {
            filter.accepts(&line(&format!(r#""id":"a","tenant":"{tenant}","actor":{{"id":"{actor}"}}"#)))
        };
        assert!(of("acme", "alice") && of(&key.hash("acme"), "alice") && of("acme", &key.hash("alice")));
        assert!(!of("acme", "bob") && !of("other", "alice"));
    }
}
