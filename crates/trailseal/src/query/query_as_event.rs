//! What was asked, as the event `trail.read` tells it.

use trailseal_event::NO_OUTCOME;

use super::Query;
use crate::{Filter, IdFilter, Object};

impl Query {
    /// All that narrows the search. `shown` gives a filter's value as it may be recorded.
    pub(crate) fn told(&self, shown: impl Fn(&str, &str) -> String) -> Object {
        // Named one by one, so that a filter that is not told does not compile.
        let Filter {
            tenant,
            actor,
            on_behalf_of,
            action,
            category,
            resource,
            outcome,
            severity,
            ip,
            correlation_id,
            request_id,
            session_id,
            trace_id,
            origin,
            since,
            until,
            recorded_since,
            recorded_until,
            text,
            id,
            system,
        } = &self.filter;
        let mut told = Object::new();
        let mut tell = |name: &str, values: Vec<String>| {
            if !values.is_empty() {
                told.insert(name, values);
            }
        };
        for (name, values) in [
            ("tenant", tenant),
            ("actor", actor),
            ("on_behalf_of", on_behalf_of),
            ("ip", ip),
            ("correlation_id", correlation_id),
            ("request_id", request_id),
            ("session_id", session_id),
            ("trace_id", trace_id),
        ] {
            tell(name, values.iter().map(|value| shown(name, value)).collect());
        }
        for (name, values) in [("action", action), ("origin", origin), ("text", text)] {
            tell(name, values.clone());
        }
        tell("category", category.iter().map(ToString::to_string).collect());
        tell("severity", severity.iter().map(ToString::to_string).collect());
        let outcomes = outcome
            .iter()
            .map(|outcome| outcome.map_or_else(|| NO_OUTCOME.to_owned(), |outcome| outcome.to_string()));
        tell("outcome", outcomes.collect());
        let resources = resource.iter().map(|resource| match &resource.id {
            Some(id) => shown("resource", &format!("{}/{id}", resource.kind)),
            None => resource.kind.clone(),
        });
        tell("resource", resources.collect());
        let ids = id.iter().map(|id| match id {
            IdFilter::Index(index) => index.to_string(),
            IdFilter::Id(id) => shown("id", id),
        });
        tell("id", ids.collect());
        for (name, time) in [
            ("since", since),
            ("until", until),
            ("recorded_since", recorded_since),
            ("recorded_until", recorded_until),
        ] {
            tell(name, time.iter().map(ToString::to_string).collect());
        }
        tell("personal", self.personal.then(|| "true".to_owned()).into_iter().collect());
        tell("system", system.then(|| "true".to_owned()).into_iter().collect());
        told
    }
}
