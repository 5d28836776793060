//! What the server alone knows is counted here; what the trail counts itself is read when somebody asks.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// What the server counts.
pub(crate) struct Metrics {
    registry: Registry,
    /// Requests by route and status.
    requests: Family<Vec<(String, String)>, Counter>,
    /// Duration of requests, in seconds.
    seconds: Histogram,
    /// Events in requests that were accepted.
    batch: Histogram,
    /// Searches that ended because the client had gone.
    given_up: Counter,
    /// Connections closed because their client has too many.
    pub(crate) connections_refused: Counter,
    /// Connections closed because all places were taken and they had gone longest without sending a head.
    pub(crate) connections_evicted: Counter,
    /// Requests refused for lack of access.
    pub(crate) denied: Counter,
    /// Events of requests that reached the level asked for, and events that were refused or did not reach it.
    pub(crate) succeeded: Counter,
    pub(crate) failed: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let requests = Family::<Vec<(String, String)>, Counter>::default();
        let seconds = Histogram::new(exponential_buckets(0.0001, 2.0, 18));
        let batch = Histogram::new(exponential_buckets(1.0, 4.0, 8));
        let (given_up, denied) = (Counter::default(), Counter::default());
        let help = "Searches ended because their client had gone";
        registry.register("trailseal_http_searches_given_up", help, given_up.clone());
        let connections_refused = Counter::default();
        let help = "Connections closed because their address has too many";
        registry.register("trailseal_http_connections_refused", help, connections_refused.clone());
        let connections_evicted = Counter::default();
        let help = "Connections closed to make room because they had gone longest without sending a head";
        registry.register("trailseal_http_connections_evicted", help, connections_evicted.clone());
        registry.register("trailseal_http_requests", "Requests by route and status", requests.clone());
        registry.register("trailseal_http_request_seconds", "Duration of requests", seconds.clone());
        registry.register("trailseal_http_batch_events", "Events in a request", batch.clone());
        registry.register(
            "trailseal_http_denied",
            "Requests without a token that allows them",
            denied.clone(),
        );
        let (succeeded, failed) = (Counter::default(), Counter::default());
        registry.register(
            "trailseal_http_events_succeeded",
            "Events of requests that were accepted",
            succeeded.clone(),
        );
        registry.register(
            "trailseal_http_events_failed",
            "Events that were refused or unconfirmed",
            failed.clone(),
        );
        Metrics {
            registry,
            requests,
            seconds,
            batch,
            given_up,
            connections_refused,
            connections_evicted,
            denied,
            succeeded,
            failed,
        }
    }
}

impl Metrics {
    pub(crate) fn request(&self, route: &str, status: u16, seconds: f64) {
        let labels = vec![("route".to_owned(), route.to_owned()), ("status".to_owned(), status.to_string())];
        self.requests.get_or_create(&labels).inc();
        self.seconds.observe(seconds);
    }

    /// Counts a search that was not finished and that nobody waits for.
    pub(crate) fn searched(&self, is_done: bool, given_up: &AtomicBool) {
        if !is_done && given_up.load(Ordering::Relaxed) {
            self.given_up.inc();
        }
    }

    pub(crate) fn batch(&self, events: usize) {
        self.batch.observe(events as f64);
    }

    /// Appends all of it, for Prometheus.
    pub(crate) fn write(&self, out: &mut String) -> fmt::Result {
        encode(out, &self.registry)
    }
}
