//! The one event of a request that changes something.

use std::time::Instant;

use http::StatusCode;
use http::request::Parts;

use super::settings::Settings;
use crate::{Category, Event, Outcome, ReceiptFuture, RequestContext, Trail};

/// A request that is being handled. One that is dropped was given up. That its handler panicked is seen by [`watched`].
pub(super) struct Mutation {
    trail: Trail,
    request: RequestContext,
    /// Taken when it is recorded.
    event: Option<Event>,
    begun: Instant,
}

impl Mutation {
    pub(super) fn new(parts: &Parts, request: RequestContext, settings: &Settings) -> Mutation {
        let path = parts.uri.path();
        let event = Event::new(format!("http.{}", parts.method.as_str().to_ascii_lowercase()))
            .category(Category::DataChange)
            .resource("route", route(parts).unwrap_or_else(|| path.to_owned()))
            .detail("path", path);
        Mutation { trail: settings.trail.clone(), request, event: Some(event), begun: Instant::now() }
    }

    pub(super) fn answered(mut self, status: StatusCode) -> ReceiptFuture {
        let outcome = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Outcome::Denied,
            status if status.is_client_error() || status.is_server_error() => Outcome::Failure,
            _ => Outcome::Success,
        };
        let event = self.taken(outcome).detail("status", u32::from(status.as_u16()));
        self.record(event)
    }

    pub(super) fn failed(mut self) -> ReceiptFuture {
        let event = self.taken(Outcome::Failure).error("the service failed without a response");
        self.record(event)
    }

    fn taken(&mut self, outcome: Outcome) -> Event {
        let took = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.event.take().unwrap_or_default().outcome(outcome).duration_ms(took)
    }

    fn record(&self, event: Event) -> ReceiptFuture {
        self.request.enter(|| self.trail.record_async(event))
    }
}

impl Mutation {
    fn unanswered(&mut self, outcome: Outcome, why: &str) {
        let event = self.taken(outcome).error(why);
        // Nobody is there to hear of a failure; it is counted.
        drop(self.record(event));
    }
}

impl Drop for Mutation {
    fn drop(&mut self) {
        if self.event.is_some() {
            self.unanswered(Outcome::Unknown, "the request was given up before it was answered");
        }
    }
}

/// Does the service's own work for a request. If that panics, the failure is recorded at once: whoever catches the panic
/// may drop the request later, when nothing unwinds any more.
pub(super) fn watched<T>(mutation: &mut Option<Mutation>, work: impl FnOnce() -> T) -> T {
    let watch = Watch(mutation);
    let done = work();
    std::mem::forget(watch);
    done
}

/// Dropped by a panic alone.
struct Watch<'a>(&'a mut Option<Mutation>);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !cfg!(trailseal_fault = "panic_not_seen")
            && let Some(mut mutation) = self.0.take()
        {
            mutation.unanswered(Outcome::Failure, "the handler panicked");
        }
    }
}

/// The pattern of the route, where one is known: a path as it was sent has ids in it.
fn route(parts: &Parts) -> Option<String> {
    #[cfg(feature = "axum")]
    {
        let matched = parts.extensions.get::<axum::extract::MatchedPath>();
        matched.map(|matched| matched.as_str().to_owned())
    }
    #[cfg(not(feature = "axum"))]
    {
        let _ = parts;
        None
    }
}
