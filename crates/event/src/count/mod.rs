//! What events are counted by, and how such counts are gathered and told: the same wherever they are counted.

mod bars;
mod summary;
mod values;

use std::borrow::Cow;

use crate::event::Outcome;
use crate::fields::Fields;

pub use bars::{Bars, Fitting};
pub use summary::Summary;
pub use values::{ByValue, FacetValue, MostFrequent};

/// A histogram has at most this many bars.
pub const HISTOGRAM_BUCKETS_MAX: usize = 100_000;

/// What events can be counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FacetField {
    Tenant,
    /// By the actor's id, or its name if it has no id.
    Actor,
    Action,
    Category,
    /// By the type of the event's own resource; related ones do not count.
    ResourceType,
    Outcome,
    Severity,
    /// By the client's address, as it was sent.
    Ip,
}

impl FacetField {
    /// The fields that are counted, by the names that users know.
    pub const NAMED: [(&'static str, FacetField); 8] = [
        ("action", FacetField::Action),
        ("actor", FacetField::Actor),
        ("category", FacetField::Category),
        ("outcome", FacetField::Outcome),
        ("severity", FacetField::Severity),
        ("tenant", FacetField::Tenant),
        ("resource_type", FacetField::ResourceType),
        ("ip", FacetField::Ip),
    ];

    /// The value that an event has; a personal one by what stands for it.
    pub fn value_in<'a>(self, fields: &'a Fields<'_>) -> Option<&'a str> {
        fn text<'a>(text: &'a Option<Cow<'_, str>>) -> Option<&'a str> {
            text.as_deref()
        }
        match self {
            FacetField::Tenant => text(&fields.tenant),
            FacetField::Actor => text(&fields.actor_id).or(text(&fields.actor_name)),
            FacetField::Action => Some(&fields.action),
            FacetField::Category => Some(&fields.category),
            FacetField::ResourceType => text(&fields.resource.kind),
            FacetField::Outcome => Some(Outcome::name_or_none(fields.outcome)),
            FacetField::Severity => Some(fields.severity.name()),
            FacetField::Ip => text(&fields.ip),
        }
    }

    /// The name that belongs to the value, if it has one.
    pub fn name_in<'a>(self, fields: &'a Fields<'_>) -> Option<&'a str> {
        let has_id = self == FacetField::Actor && fields.actor_id.is_some();
        fields.actor_name.as_deref().filter(|_| has_id)
    }
}
