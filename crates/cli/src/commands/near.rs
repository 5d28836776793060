//! What people may have meant who asked for a value that no event has: flags want it whole.

use trailseal_event::count::FacetField;
use trailseal_event::filter::Filter;

use super::source::Source;
use crate::failure::Outcome;
use crate::output::{printable, tell};

/// The values of one flag.
type Values = fn(&mut Filter) -> &mut Vec<String>;

/// How many values are named.
const NAMED_MAX: usize = 3;

/// After a search without a match: for each value that stands alone in its flag, names those that have it as a part, in
/// events that match all other flags.
pub(super) fn tell_near(source: &mut dyn Source, filter: &Filter) -> Outcome {
    let flags: [(&str, FacetField, Values); 4] = [
        ("tenant", FacetField::Tenant, |filter| &mut filter.tenant),
        ("actor", FacetField::Actor, |filter| &mut filter.actor),
        ("action", FacetField::Action, |filter| &mut filter.action),
        ("ip", FacetField::Ip, |filter| &mut filter.ip),
    ];
    for (flag, field, values_of) in flags {
        let mut others = filter.clone();
        let values = std::mem::take(values_of(&mut others));
        let [value] = &values[..] else { continue };
        if value.is_empty() {
            continue;
        }
        let found = source.values(&others, field, value, NAMED_MAX + 1)?;
        if found.is_empty() {
            continue;
        }
        let named = found.iter().take(NAMED_MAX).map(|near| match &near.name {
            Some(name) => format!("{} ({name})", near.value),
            None => near.value.clone(),
        });
        let named = named.collect::<Vec<_>>().join(", ");
        let more = if found.len() > NAMED_MAX { ", …" } else { "" };
        tell(&printable(&format!("--{flag} matches whole values only: {value:?} is part of {named}{more}")));
    }
    Ok(())
}
