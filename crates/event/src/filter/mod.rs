//! What readers ask for, as a pure predicate that means the same everywhere.
//!
//! In: names and values, from flags or query parameters. Out: yes or no for an event. Several values of one name match
//! any of them; different names must all match. [`Filter::accept`] is the method to use; it checks a line's bytes
//! first, and parses the line only if it could match.

mod address;
mod glob;
mod lasting;
mod prefilter;
mod stored;
mod text;
mod time;

#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::Index;
use crate::event::{Category, Event, Outcome, Recorded, Resource, Severity, Value, held_id};
use crate::personal::{reveal, searchable};
use crate::timestamp::Timestamp;

pub use address::{is_same_address, parse_address};
pub use glob::glob_matches;
pub use lasting::LastingFilter;
pub use time::{parse_span, parse_time};

/// The names that [`Filter::set`] knows.
pub const FILTER_NAMES: [&str; 21] = [
    "tenant",
    "actor",
    "on_behalf_of",
    "action",
    "category",
    "resource",
    "outcome",
    "severity",
    "ip",
    "correlation_id",
    "request_id",
    "session_id",
    "trace_id",
    "origin",
    "since",
    "until",
    "recorded_since",
    "recorded_until",
    "text",
    "id",
    "system",
];

/// Selects events. The default selects all except the trail's own.
///
/// ```
/// use trailseal_event::{Event, Timestamp};
/// use trailseal_event::filter::Filter;
///
/// let mut filter = Filter::default();
/// filter.set("action", "invoice.*", Timestamp::from_micros(0))?;
/// let line = br#"{"v":1,"index":7,"recorded":"2026-01-02T03:04:05.000006Z","id":"a","action":"invoice.pay"}"#;
/// assert!(filter.matches(&Event::from_line(line)?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// The exact tenant.
    pub tenant: Vec<String>,
    /// The actor's id or name.
    pub actor: Vec<String>,
    /// The id of the person acted for.
    pub on_behalf_of: Vec<String>,
    /// The action; `*` is any text, `?` any character.
    pub action: Vec<String>,
    /// The category.
    pub category: Vec<Category>,
    /// The resource or a related one.
    pub resource: Vec<ResourceFilter>,
    /// The outcome; `None` matches events without one.
    pub outcome: Vec<Option<Outcome>>,
    /// The severity.
    pub severity: Vec<Severity>,
    /// The client's address, however it is written; any other text exactly.
    pub ip: Vec<String>,
    /// The correlation id.
    pub correlation_id: Vec<String>,
    /// The request id.
    pub request_id: Vec<String>,
    /// The session id.
    pub session_id: Vec<String>,
    /// The trace id.
    pub trace_id: Vec<String>,
    /// The trail's origin; checked by code that knows it.
    pub origin: Vec<String>,
    /// Events at or after this [effective time](Recorded::effective_time).
    pub since: Option<Timestamp>,
    /// Events before this effective time.
    pub until: Option<Timestamp>,
    /// Events recorded at or after this time, whatever time they claim.
    pub recorded_since: Option<Timestamp>,
    /// Events recorded before this time.
    pub recorded_until: Option<Timestamp>,
    /// Text anywhere in the event, case-insensitively.
    pub text: Vec<String>,
    /// Ids or indexes.
    pub id: Vec<IdFilter>,
    /// Whether the trail's own events are included.
    pub system: bool,
}

impl Filter {
    /// The texts that a line must hold exactly, or in a stored form; a resource and an id hold one more each. An
    /// address can be written in several ways.
    fn exact(&self) -> [&Vec<String>; 7] {
        [
            &self.tenant,
            &self.actor,
            &self.on_behalf_of,
            &self.correlation_id,
            &self.request_id,
            &self.session_id,
            &self.trace_id,
        ]
    }
}

/// A resource to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceFilter {
    /// Its type.
    pub kind: String,
    /// Its id or name; `None` matches any of that type.
    pub id: Option<String>,
}

/// One event to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdFilter {
    /// By its index.
    Index(Index),
    /// By its id.
    Id(String),
}

impl std::str::FromStr for IdFilter {
    type Err = std::convert::Infallible;

    /// Digits alone are an index; `id:42` is the id `42`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match (text.strip_prefix("id:"), text.parse()) {
            (Some(id), _) => IdFilter::Id(id.to_owned()),
            (None, Ok(index)) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                IdFilter::Index(Index::new(index))
            }
            _ => IdFilter::Id(text.to_owned()),
        })
    }
}

impl ResourceFilter {
    /// Parses `TYPE` or `TYPE/ID`: the type ends at the first slash, but types with slashes in them are found too. An
    /// id without a type is `/ID`.
    pub fn parse(text: &str) -> Self {
        match text.split_once('/') {
            Some((kind, id)) => ResourceFilter { kind: kind.to_owned(), id: Some(id.to_owned()) },
            None => ResourceFilter { kind: text.to_owned(), id: None },
        }
    }
}

/// A type may have slashes in it up to the one before the id, up to this many.
const SLASHES_MAX: usize = 16;

impl ResourceFilter {
    /// What the whole may mean: types, each with an id or name unless any will do. A type can have slashes in it, as
    /// `Microsoft.Compute/virtualMachines` has; without one it is empty.
    pub fn readings(&self) -> Vec<(String, Option<String>)> {
        let Some(id) = &self.id else { return vec![(self.kind.clone(), None)] };
        let mut readings = vec![(self.kind.clone(), Some(id.clone()))];
        // An id without a type may have any slashes, but there is no type in it.
        if !self.kind.is_empty() {
            let whole = format!("{}/{id}", self.kind);
            readings.extend(
                whole
                    .match_indices('/')
                    .take(SLASHES_MAX)
                    .map(|(at, _)| (whole[..at].to_owned(), Some(whole[at + 1..].to_owned())))
                    .filter(|(kind, _)| *kind != self.kind && !kind.is_empty()),
            );
            readings.push((whole, None));
        }
        readings
    }

    fn matches(&self, resource: &Resource) -> bool {
        let kind = resource.kind.as_deref().unwrap_or_default();
        let Some(id) = &self.id else { return resource.kind.as_deref() == Some(&self.kind) };
        let (own_id, name) =
            (resource.id.as_deref().map(searchable), resource.name.as_deref().map(searchable));
        let is_named = |id: &str| own_id.as_deref() == Some(id) || name.as_deref() == Some(id);
        if kind == self.kind {
            return is_named(id);
        }
        if self.kind.is_empty() || !(kind.contains('/') || self.kind.contains('/')) {
            return false;
        }
        // Seldom, so the readings may be made.
        self.readings().iter().any(|(own, id)| own == kind && id.as_deref().is_none_or(is_named))
    }
}

/// Why a filter was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// No filter has this name.
    #[error("there is no filter {name:?}: use one of {}", FILTER_NAMES.join(", "))]
    Name {
        /// The name.
        name: String,
    },
    /// The value is not allowed.
    #[error("{name} cannot be {value:?}: {allowed}")]
    Value {
        /// The filter's name.
        name: String,
        /// The given value.
        value: String,
        /// The allowed values.
        allowed: &'static str,
    },
}

impl Filter {
    /// Adds a value to the filter `name`. Times such as `24h` and `yesterday` count back from `now`: see [`parse_time`].
    ///
    /// # Errors
    /// When there is no such filter, or it cannot have this value.
    pub fn set(&mut self, name: &str, value: &str, now: Timestamp) -> Result<(), FilterError> {
        let wrong = |allowed| FilterError::Value { name: name.to_owned(), value: value.to_owned(), allowed };
        let texts = match name {
            "tenant" => &mut self.tenant,
            "actor" => &mut self.actor,
            "on_behalf_of" => &mut self.on_behalf_of,
            "action" => &mut self.action,
            "ip" => &mut self.ip,
            "correlation_id" => &mut self.correlation_id,
            "request_id" => &mut self.request_id,
            "session_id" => &mut self.session_id,
            "trace_id" => &mut self.trace_id,
            "origin" => &mut self.origin,
            "text" => &mut self.text,
            "category" => {
                let allowed = "use authentication, authorization, secret_access, config_change, data_access, \
                    data_change, workflow, step, admin, system or custom:NAME";
                self.category.push(Category::parse(value).ok_or_else(|| wrong(allowed))?);
                return Ok(());
            }
            "outcome" => {
                let allowed = "use success, failure, denied, partial, unknown or none";
                self.outcome.push(Outcome::parse_wanted(value).ok_or_else(|| wrong(allowed))?);
                return Ok(());
            }
            "severity" => {
                let allowed = "use debug, info, notice, warning, error or critical";
                self.severity.push(Severity::parse(value).ok_or_else(|| wrong(allowed))?);
                return Ok(());
            }
            "resource" => {
                self.resource.push(ResourceFilter::parse(value));
                return Ok(());
            }
            "id" => {
                let Ok(id) = value.parse();
                self.id.push(id);
                return Ok(());
            }
            "since" | "until" | "recorded_since" | "recorded_until" => {
                let allowed = "use a time such as 2026-11-21T04:00:00Z, 2026-11-21 or 2026-11, an age such as 90s, \
                    15m, 24h, 7d, 2w or 2 hours ago, or a word such as today, yesterday, last week, this month";
                let time = parse_time(value, now).ok_or_else(|| wrong(allowed))?;
                let edge = match name {
                    "since" => &mut self.since,
                    "until" => &mut self.until,
                    "recorded_since" => &mut self.recorded_since,
                    _ => &mut self.recorded_until,
                };
                *edge = Some(time);
                return Ok(());
            }
            "system" => {
                self.system = value.parse().map_err(|_| wrong("use true or false"))?;
                return Ok(());
            }
            _ => return Err(FilterError::Name { name: name.to_owned() }),
        };
        texts.push(value.to_owned());
        Ok(())
    }

    /// The filter for these names and values; see [`set`](Filter::set).
    ///
    /// ```
    /// use trailseal_event::Timestamp;
    /// use trailseal_event::filter::Filter;
    /// let filter = Filter::from_pairs([("tenant", "acme"), ("outcome", "denied")], Timestamp::from_micros(0))?;
    /// assert_eq!(filter.tenant, ["acme"]);
    /// let error = Filter::from_pairs([("outcome", "bad")], Timestamp::from_micros(0)).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "outcome cannot be \"bad\": use success, failure, denied, partial, unknown or none"
    /// );
    /// # Ok::<(), trailseal_event::filter::FilterError>(())
    /// ```
    ///
    /// # Errors
    /// At the first pair that cannot be.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        now: Timestamp,
    ) -> Result<Filter, FilterError> {
        let mut filter = Filter::default();
        for (name, value) in pairs {
            filter.set(name, value, now)?;
        }
        Ok(filter)
    }

    /// The event on this line, if it matches. An unreadable line is for `verify` to judge; it matches nothing. The
    /// trail's origin is checked by code that knows it.
    pub fn accept(&self, line: &[u8]) -> Option<Recorded> {
        if !self.may_match(line) {
            return None;
        }
        let recorded = Event::from_line(line).ok()?;
        (self.matches(&recorded) && self.matches_text(line)).then_some(recorded)
    }

    /// Whether [`accept`](Filter::accept) would return the event, without parsing the line if that can be decided
    /// without.
    pub fn accepts(&self, line: &[u8]) -> bool {
        if self.has_columns() || !self.text.is_empty() || !self.id.is_empty() {
            return self.accept(line).is_some();
        }
        crate::line::parse_front(line)
            .is_some_and(|front| (self.system || !front.system) && self.matches_recorded(front.recorded))
    }

    /// Whether it asks for anything that an index could know: any field, or the event's time. An index need not know
    /// when events were recorded: that follows from their order in the trail.
    pub fn has_columns(&self) -> bool {
        let texts = [
            &self.tenant,
            &self.actor,
            &self.on_behalf_of,
            &self.action,
            &self.ip,
            &self.correlation_id,
            &self.request_id,
            &self.session_id,
            &self.trace_id,
        ];
        texts.iter().any(|texts| !texts.is_empty())
            || !self.category.is_empty()
            || !self.resource.is_empty()
            || !self.outcome.is_empty()
            || !self.severity.is_empty()
            || self.since.is_some()
            || self.until.is_some()
            || self.id.iter().any(|wanted| matches!(wanted, IdFilter::Id(_)))
    }

    /// The indexes that can match at all, for readers that can seek.
    pub fn index_range(&self) -> Range<u64> {
        let (mut from, mut to) = (u64::MAX, 0);
        for wanted in &self.id {
            let IdFilter::Index(index) = wanted else { return 0..u64::MAX };
            from = from.min(index.get());
            to = to.max(index.get().saturating_add(1));
        }
        if self.id.is_empty() { 0..u64::MAX } else { from..to }
    }

    /// Whether the event matches. Its origin is not known here and is not checked.
    pub fn matches(&self, recorded: &Recorded) -> bool {
        let event = &recorded.event;
        let context = &event.context;
        (self.system || !recorded.system)
            && is_any(&self.tenant, event.tenant.as_deref())
            && self.matches_actor(event)
            && is_any(&self.on_behalf_of, event.on_behalf_of.as_ref().and_then(|other| other.id.as_deref()))
            && (self.action.is_empty() || self.action.iter().any(|glob| glob_matches(glob, &event.action)))
            && (self.category.is_empty() || self.category.contains(&event.category))
            && self.matches_resource(event)
            && (self.outcome.is_empty() || self.outcome.contains(&event.outcome))
            && (self.severity.is_empty() || self.severity.contains(&event.severity))
            && self.matches_ip(context.ip.as_deref())
            && is_any(&self.correlation_id, context.correlation_id.as_deref())
            && is_any(&self.request_id, context.request_id.as_deref())
            && is_any(&self.session_id, context.session_id.as_deref())
            && is_any(&self.trace_id, context.trace_id.as_deref())
            && self.matches_time(recorded.effective_time())
            && self.matches_recorded(recorded.recorded)
            && self.matches_id(recorded)
    }

    /// Whether one of the wanted texts is in the line. Separate from [`matches`](Filter::matches), since it needs the
    /// whole line.
    pub(crate) fn matches_text(&self, line: &[u8]) -> bool {
        if self.text.is_empty() {
            return true;
        }
        // What is sealed is not searched.
        let Ok(line) = Value::parse(&reveal(line, None)) else { return false };
        self.text.iter().any(|text| text::Wanted::new(text).is_in(&line))
    }

    fn matches_actor(&self, event: &Event) -> bool {
        let actor = event.actor.as_ref();
        is_any(&self.actor, actor.and_then(|actor| actor.id.as_deref()))
            || is_any(&self.actor, actor.and_then(|actor| actor.name.as_deref()))
    }

    fn matches_ip(&self, ip: Option<&str>) -> bool {
        let is_wanted = |ip: &str| self.ip.iter().any(|wanted| is_same_address(wanted, ip));
        self.ip.is_empty() || ip.map(searchable).is_some_and(|ip| is_wanted(&ip))
    }

    fn matches_resource(&self, event: &Event) -> bool {
        let is_one = |resource: &Resource| self.resource.iter().any(|wanted| wanted.matches(resource));
        self.resource.is_empty() || event.resource.iter().chain(&event.related).any(is_one)
    }

    fn matches_time(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time < until)
    }

    /// Whether an event recorded at this time is wanted.
    pub(crate) fn matches_recorded(&self, recorded: Timestamp) -> bool {
        self.recorded_since.is_none_or(|since| since <= recorded)
            && self.recorded_until.is_none_or(|until| recorded < until)
    }

    fn matches_id(&self, recorded: &Recorded) -> bool {
        self.id.is_empty()
            || self.id.iter().any(|wanted| match wanted {
                IdFilter::Index(index) => index.get() == recorded.index,
                // An id that was too long was replaced by its hash when it was recorded.
                IdFilter::Id(id) => recorded.event.id.as_deref() == Some(&*held_id(id)),
            })
    }
}

/// A personal value is compared by the hash beside it.
fn is_any(wanted: &[String], value: Option<&str>) -> bool {
    wanted.is_empty()
        || value.map(searchable).is_some_and(|value| wanted.iter().any(|wanted| *wanted == value))
}
