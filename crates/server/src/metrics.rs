//! Metrics for Prometheus. The trail's own counters are read on request; only what the server alone knows is counted
//! here.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use trailseal_core::Distribution;

use crate::app::{App, Shared, blocking};
use crate::problem::Problem;

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
}

/// `GET /metrics`.
pub(crate) async fn metrics(State(app): State<Shared>) -> Result<Response, Problem> {
    let text = blocking(move || {
        let mut text = String::new();
        trail_metrics(&app, &mut text);
        encode(&mut text, &app.metrics.registry).map_err(|error| Problem::internal(&error))?;
        Ok(text)
    })
    .await?;
    let content_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

/// The trail's own counters.
fn trail_metrics(app: &App, out: &mut String) {
    let stats = app.trail.stats();
    let counted = &stats.counted;
    let errors = counted.refused + counted.unconfirmed;
    let counters = [
        ("audit_events", "Events accepted, including the trail's own", stats.accepted),
        ("audit_errors", "Events that were refused or not confirmed in time", errors),
        ("trailseal_events_refused", "Events that have no index and are not recorded", counted.refused),
        (
            "trailseal_events_unconfirmed",
            "Events that are kept but were not confirmed in time",
            counted.unconfirmed,
        ),
        ("trailseal_events_sampled_out", "Events that sampling left out", counted.sampled_out),
        ("trailseal_events_off", "Events that the policy does not record", counted.off),
        ("trailseal_events_masked", "Events in which something was masked", counted.masked),
        ("trailseal_warnings", "Warnings about fields in the wrong place or form", counted.warnings),
        ("trailseal_commits", "Groups of lines written and synced together", counted.commits),
        ("trailseal_durable_bytes", "Bytes of lines made durable", counted.durable_bytes),
        ("trailseal_segment_failures", "Writes or syncs of a segment that failed", counted.segment_failures),
        ("trailseal_slow_writes", "Synced writes of lines that took over a second", counted.slow_writes),
        (
            "trailseal_segments_replaced",
            "Segments that vanished or were truncated while they were written",
            counted.segments_replaced,
        ),
        (
            "trailseal_handoffs_remade",
            "Times that the handoff vanished while it was in use",
            counted.handoffs_remade,
        ),
        ("trailseal_trees_remade", "Times that a file of the tree vanished", counted.trees_remade),
        ("trailseal_checkpoints", "Signed checkpoints", counted.checkpoints),
        ("trailseal_seal_failures", "Rounds of sealing that failed", counted.seal_failures),
        ("trailseal_anchor_failures", "Checkpoints that did not reach an anchor", counted.anchor_failures),
        ("trailseal_clock_jumps", "Times that the clock jumped", counted.clock_jumps),
    ];
    for (name, help, value) in counters {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name}_total {value}\n");
    }
    let commits = &stats.commits;
    push_histogram("trailseal_commit_events", "Events written and synced together", &commits.events, 1, out);
    push_histogram("trailseal_commit_bytes", "Bytes written and synced together", &commits.bytes, 1, out);
    let help = "Duration of syncs";
    push_histogram("trailseal_commit_sync_seconds", help, &commits.sync_micros, 1_000_000, out);
    let gauges = [
        ("trailseal_durable_events", "Everything below this index is on disk", stats.durable),
        ("trailseal_sealed_events", "Everything below this index is covered by a checkpoint", stats.sealed),
        (
            "trailseal_not_durable_events",
            "Accepted but not yet on disk",
            stats.accepted.saturating_sub(stats.durable),
        ),
        (
            "trailseal_not_sealed_events",
            "On disk but not yet sealed",
            stats.durable.saturating_sub(stats.sealed),
        ),
        (
            "trailseal_seal_failing",
            "Whether sealing is failing (it is retried)",
            u64::from(stats.seal_trouble.is_some()),
        ),
        ("trailseal_handoff_used_bytes", "Bytes in use in the handoff", stats.handoff_used_bytes),
        ("trailseal_handoff_bytes", "Size of the handoff", stats.handoff_bytes),
        ("trailseal_http_bodies_bytes", "Bytes of large bodies held now", app.body_room.taken() as u64),
        (
            "trailseal_http_requests_under_way",
            "Requests that take turns, until their responses are sent",
            app.places.taken() as u64,
        ),
        ("trailseal_http_streams", "Open event streams", app.streams.taken() as u64),
        ("trailseal_reviews_pending", "Reviews waiting for a decision", app.reviews_pending() as u64),
    ];
    for (name, help, value) in gauges {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
    }
    if let Some(age) = checkpoint_age(app) {
        let name = "trailseal_checkpoint_age_seconds";
        let _ =
            write!(out, "# HELP {name} Age of the newest checkpoint\n# TYPE {name} gauge\n{name} {age:.3}\n");
    }
    let sinks = [
        ("trailseal_sink_lag_events", "Durable events that the sink does not have yet"),
        ("trailseal_sink_lag_seconds", "Age of the oldest event that the sink does not have yet"),
        ("trailseal_sink_stopped", "Whether delivery has stopped and needs attention"),
    ];
    for (place, (name, help)) in sinks.into_iter().enumerate() {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        for sink in &stats.deliveries {
            let value = match place {
                0 => sink.lag_events as f64,
                1 => sink.lag.as_secs_f64(),
                _ => f64::from(u8::from(crate::health::is_stopped(sink))),
            };
            let label = sink.name.replace('\\', "\\\\").replace('"', "\\\"");
            let _ = writeln!(out, "{name}{{sink=\"{label}\"}} {value}");
        }
    }
    let name = "trailseal_rule_events";
    let _ = write!(out, "# HELP {name} Events that each rule of the policy decided\n# TYPE {name} counter\n");
    for (rule, counts) in app.trail.rule_counts().iter().enumerate() {
        let _ = writeln!(out, "{name}_total{{rule=\"{rule}\"}} {}", counts.matched);
    }
}

/// `per` counted units are one displayed unit.
fn push_histogram(name: &str, help: &str, counted: &Distribution, per: u64, out: &mut String) {
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} histogram\n");
    let shown = |value: u64| value as f64 / per as f64;
    let mut below = 0;
    for (place, count) in counted.counts.iter().enumerate() {
        below += count;
        let _ = match counted.bounds.get(place) {
            Some(bound) => writeln!(out, "{name}_bucket{{le=\"{:?}\"}} {below}", shown(*bound)),
            None => writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {below}"),
        };
    }
    let _ = writeln!(out, "{name}_sum {}\n{name}_count {below}", shown(counted.sum));
}

fn checkpoint_age(app: &App) -> Option<f64> {
    let changed = std::fs::metadata(app.trail.folder().checkpoint()).ok()?.modified().ok()?;
    Some(changed.elapsed().unwrap_or_default().as_secs_f64())
}
