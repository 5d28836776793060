//! Filters with the names of `llm-orchestrator-audit`.

use std::time::SystemTime;

use super::event::{AuditEventType, AuditResult, ResourceType};
use crate::time::timestamp;
use crate::{Event, Filter, Object, Query, ResourceFilter, Timestamp, Trail};

/// The number of events that a filter finds unless it sets another.
const LIMIT: usize = 100;

/// Which events to find: by default the newest 100.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use trailseal::{AuditEventType, AuditFilter, AuditResult};
///
/// let filter = AuditFilter::new()
///     .with_event_type(AuditEventType::Authentication)
///     .with_result(AuditResult::Failure("".to_string()))
///     .with_time_range(SystemTime::now() - Duration::from_secs(3600), SystemTime::now());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditFilter {
    /// Who did it.
    pub user_id: Option<String>,
    /// What kind of event it is.
    pub event_type: Option<AuditEventType>,
    /// What kind of thing it is about.
    pub resource_type: Option<ResourceType>,
    /// Which one.
    pub resource_id: Option<String>,
    /// From this time on.
    pub start_time: Option<SystemTime>,
    /// Up to this time, itself included.
    pub end_time: Option<SystemTime>,
    /// How it ended; a failure without a reason means any failure.
    pub result: Option<AuditResult>,
    /// How many at most.
    pub limit: usize,
    /// How many to skip.
    pub offset: usize,
}

impl Default for AuditFilter {
    fn default() -> Self {
        AuditFilter {
            user_id: None,
            event_type: None,
            resource_type: None,
            resource_id: None,
            start_time: None,
            end_time: None,
            result: None,
            limit: LIMIT,
            offset: 0,
        }
    }
}

impl AuditFilter {
    /// Every event.
    pub fn new() -> Self {
        AuditFilter::default()
    }

    /// Of this user.
    #[must_use]
    pub fn with_user_id(mut self, user_id: impl Into<String>) -> Self {
        self.user_id = Some(user_id.into());
        self
    }

    /// Of this type.
    #[must_use]
    pub fn with_event_type(mut self, event_type: AuditEventType) -> Self {
        self.event_type = Some(event_type);
        self
    }

    /// About this kind of thing.
    #[must_use]
    pub fn with_resource_type(mut self, resource_type: ResourceType) -> Self {
        self.resource_type = Some(resource_type);
        self
    }

    /// About the thing with this id.
    #[must_use]
    pub fn with_resource_id(mut self, resource_id: impl Into<String>) -> Self {
        self.resource_id = Some(resource_id.into());
        self
    }

    /// With this result.
    #[must_use]
    pub fn with_result(mut self, result: AuditResult) -> Self {
        self.result = Some(result);
        self
    }

    /// Within this time, both ends included: [`SystemTime`]s, or times of chrono, jiff or time.
    #[must_use]
    pub fn with_time_range(mut self, start: impl Into<SystemTime>, end: impl Into<SystemTime>) -> Self {
        (self.start_time, self.end_time) = (Some(start.into()), Some(end.into()));
        self
    }

    /// Sets the maximum number of events.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Skips the first events.
    #[must_use]
    pub fn with_offset(mut self, offset: usize) -> Self {
        self.offset = offset;
        self
    }

    /// The query that finds all that match, and maybe others, which [`besides`](AuditFilter::besides) tells apart.
    pub(super) fn to_query(&self) -> Query {
        let mut filter = Filter::default();
        filter.actor.extend(self.user_id.clone());
        match self.event_type.as_ref().map(AuditEventType::narrowed) {
            Some(Ok(category)) => filter.category.push(category),
            // A star in it would mean any text; what it finds too much is told apart.
            Some(Err(action)) => filter.action.push(action.to_owned()),
            None => {}
        }
        if let Some(kind) = &self.resource_type {
            let kind = kind.as_str().to_owned();
            filter.resource.push(ResourceFilter { kind, id: self.resource_id.clone() });
        }
        filter.outcome.extend(self.result.iter().flat_map(AuditResult::outcomes));
        filter.since = self.start_time.map(timestamp);
        let after = |end: SystemTime| Timestamp::from_micros(timestamp(end).as_micros().saturating_add(1));
        filter.until = self.end_time.map(after);
        Query { limit: self.limit, ..Query::from(filter) }
    }

    /// What the [query](AuditFilter::to_query) does not say, in terms of what the trail's lines hold.
    pub(super) fn besides(self, trail: &Trail) -> BesidesFilter {
        // Named one by one, so that a field that is not told does not compile. `_` are those that the query says.
        let AuditFilter {
            user_id: _,
            event_type,
            resource_type,
            resource_id,
            start_time: _,
            end_time: _,
            result,
            limit: _,
            offset: _,
        } = self;
        let mut told = Object::new();
        // With a type the query finds it.
        let resource_ids = resource_id.filter(|_| resource_type.is_none()).map(|id| {
            told.insert("resource_id", vec![trail.shown_id(&id)]);
            trail.stored_ids(&id)
        });
        let reasons = match result {
            Some(AuditResult::Failure(reason)) if !reason.is_empty() => {
                let stored = trail.stored_error(&reason);
                told.insert("error", vec![stored.clone()]);
                Some(vec![reason, stored])
            }
            Some(AuditResult::Failure(_) | AuditResult::Success | AuditResult::PartialSuccess)
            | Some(AuditResult::Unknown)
            | None => None,
        };
        BesidesFilter { event_type, resource_ids, reasons, told }
    }
}

/// What no query says of a filter.
pub(super) struct BesidesFilter {
    event_type: Option<AuditEventType>,
    /// Any of these.
    resource_ids: Option<Vec<String>>,
    /// Any of these.
    reasons: Option<Vec<String>>,
    /// As the event `trail.read` tells it.
    pub(super) told: Object,
}

impl BesidesFilter {
    /// Whether the query says it all.
    #[cfg(feature = "postgres")]
    pub(super) fn is_nothing(&self) -> bool {
        let BesidesFilter { event_type, resource_ids, reasons, told: _ } = self;
        event_type.is_none() && resource_ids.is_none() && reasons.is_none()
    }

    pub(super) fn matches(&self, event: &Event) -> bool {
        let is_any = |wanted: &Option<Vec<String>>, found: Option<&String>| {
            wanted.as_ref().is_none_or(|wanted| found.is_some_and(|found| wanted.contains(found)))
        };
        let is_about = || {
            let resources = event.resource.iter().chain(&event.related);
            resources
                .flat_map(|resource| [&resource.id, &resource.name])
                .any(|id| is_any(&self.resource_ids, id.as_ref()))
        };
        self.event_type.as_ref().is_none_or(|wanted| wanted.is_of(event))
            && is_any(&self.reasons, event.error.as_ref())
            && (self.resource_ids.is_none() || is_about())
    }
}
