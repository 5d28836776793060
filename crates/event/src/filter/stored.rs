//! A filter in terms of what lines hold.

use super::{Filter, IdFilter, ResourceFilter};
use crate::event::held_identifier;
use crate::mask::MaskKey;

impl Filter {
    /// The filter that also finds events in which a wanted value was replaced: by its hash with one of the `keys`, from
    /// masking, or by the shortened form of a value that was too long. Without a key, only events that keep the value
    /// unchanged.
    pub fn as_stored<'k>(&self, keys: impl IntoIterator<Item = &'k MaskKey>) -> Filter {
        let keys: Vec<&MaskKey> = keys.into_iter().collect();
        let mut filter = self.clone();
        let texts = [
            &mut filter.tenant,
            &mut filter.actor,
            &mut filter.on_behalf_of,
            &mut filter.ip,
            &mut filter.correlation_id,
            &mut filter.request_id,
            &mut filter.session_id,
            &mut filter.trace_id,
        ];
        for texts in texts {
            let others: Vec<String> = texts.iter().flat_map(|text| others(text, &keys)).collect();
            texts.extend(others);
        }
        let readings = self.resource.iter().flat_map(ResourceFilter::readings);
        filter.resource.extend(readings.filter_map(|(kind, id)| Some((kind, id?))).flat_map(|(kind, id)| {
            others(&id, &keys)
                .into_iter()
                .map(|id| ResourceFilter { kind: kind.clone(), id: Some(id) })
                .collect::<Vec<_>>()
        }));
        let ids = self.id.iter().filter_map(|wanted| match wanted {
            IdFilter::Id(id) => Some(id),
            IdFilter::Index(_) => None,
        });
        filter.id.extend(ids.flat_map(|id| keys.iter().map(|key| IdFilter::Id(key.hash(id)))));
        filter
    }

    /// Whether it asks for a value that masking may have hashed and that is not itself a hash.
    pub fn has_hashable(&self) -> bool {
        let ids = self.id.iter().filter_map(|wanted| match wanted {
            IdFilter::Id(id) => Some(id),
            IdFilter::Index(_) => None,
        });
        let resources = self.resource.iter().filter_map(|wanted| wanted.id.as_ref());
        self.exact()
            .into_iter()
            .flatten()
            .chain(&self.ip)
            .chain(ids)
            .chain(resources)
            .any(|text| !text.starts_with("hmac:"))
    }
}

/// What may represent this text in a line.
fn others(text: &str, keys: &[&MaskKey]) -> Vec<String> {
    let held = match held_identifier(text) {
        std::borrow::Cow::Owned(held) => Some(held),
        std::borrow::Cow::Borrowed(_) => None,
    };
    let mut others: Vec<String> = held.iter().cloned().collect();
    for key in keys.iter().filter(|_| !cfg!(trailseal_fault = "filters_not_hashed")) {
        others.push(key.hash(text));
        // A personal value is shortened before it is hashed.
        others.extend(held.as_deref().map(|held| key.hash(held)));
    }
    others
}
