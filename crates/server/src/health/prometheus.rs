//! Metrics for Prometheus: those that the trail counts itself, and those of the server.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use trailseal_core::deliver::DeliveryStats;
use trailseal_core::{Distribution, Trail};

use super::level::{is_failing, is_stopped};
use super::outbox::{self, Outbox};
use crate::body::Bodies;
use crate::config::Config;
use crate::fairness::{Places, blocking};
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::reviews::Reviews;

/// `GET /metrics`.
pub(crate) async fn metrics(
    State(trail): State<Trail>,
    State(reviews): State<Arc<Reviews>>,
    State(bodies): State<Arc<Bodies>>,
    State(places): State<Arc<Places>>,
    State(metrics): State<Arc<Metrics>>,
    State(config): State<Arc<Config>>,
) -> Result<Response, Problem> {
    let text = blocking(move || {
        let mut text = String::new();
        push_trail(
            &trail,
            &mut text,
            &[
                ("trailseal_http_bodies_bytes", "Bytes of large bodies held now", bodies.bytes_held() as u64),
                (
                    "trailseal_http_requests_under_way",
                    "Requests that take turns, until their responses are sent",
                    places.turning.taken() as u64,
                ),
                ("trailseal_http_streams", "Open event streams", places.streams.taken() as u64),
                ("trailseal_reviews_pending", "Reviews waiting for a decision", reviews.pending_now() as u64),
            ],
        );
        push_outbox(outbox::of(&config).as_ref(), &mut text);
        metrics.write(&mut text).map_err(|error| Problem::internal(&error))?;
        Ok(text)
    })
    .await?;
    let content_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

/// A name, what it means, and how much it is.
type Number = (&'static str, &'static str, u64);

/// What the trail knows of itself, with what the server knows that goes up and down.
fn push_trail(trail: &Trail, out: &mut String, gauges_of_server: &[Number]) {
    let stats = trail.stats();
    let counted = &stats.counted;
    let errors = counted.refused + counted.unconfirmed;
    let personal = stats.personal.clone().unwrap_or_default();
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
        (
            "trailseal_personal_not_kept",
            "Personal values that were masked because a key could not be kept",
            personal.not_kept,
        ),
        (
            "trailseal_personal_pool_dry",
            "Times that a person's first event found no room for a key that was synced ahead",
            personal.dry,
        ),
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
        ("trailseal_personal_subjects", "People who have a key for their personal values", personal.subjects),
        ("trailseal_personal_erased_keys", "Keys of people that were destroyed", personal.erased),
        (
            "trailseal_personal_failing",
            "Whether keys of people cannot be kept, so that their values are masked",
            u64::from(personal.trouble.is_some()),
        ),
        ("trailseal_handoff_used_bytes", "Bytes in use in the handoff", stats.handoff_used_bytes),
        ("trailseal_handoff_bytes", "Size of the handoff", stats.handoff_bytes),
    ];
    for (name, help, value) in gauges.iter().chain(gauges_of_server) {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
    }
    if let Some(age) = checkpoint_age(trail) {
        let name = "trailseal_checkpoint_age_seconds";
        let _ =
            write!(out, "# HELP {name} Age of the newest checkpoint\n# TYPE {name} gauge\n{name} {age:.3}\n");
    }
    let sinks = [
        ("trailseal_sink_lag_events", "Durable events that the sink does not have yet"),
        ("trailseal_sink_lag_seconds", "Age of the oldest event that the sink does not have yet"),
        ("trailseal_sink_stopped", "Whether delivery has stopped and needs attention"),
        ("trailseal_sink_failing", "Whether delivery fails and is tried again"),
    ];
    for (place, (name, help)) in sinks.into_iter().enumerate() {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        for sink in &stats.deliveries {
            let value = match place {
                0 => sink.lag_events as f64,
                1 => sink.lag.as_secs_f64(),
                2 => f64::from(u8::from(is_stopped(sink))),
                _ => f64::from(u8::from(is_failing(sink))),
            };
            let label = label(sink);
            let _ = writeln!(out, "{name}{{sink=\"{label}\"}} {value}");
        }
    }
    let name = "trailseal_sink_failures";
    let _ = write!(out, "# HELP {name} How often delivery failed since the start\n# TYPE {name} counter\n");
    for sink in &stats.deliveries {
        let label = label(sink);
        let _ = writeln!(out, "{name}_total{{sink=\"{label}\"}} {}", sink.failures);
    }
    let name = "trailseal_rule_events";
    let _ = write!(out, "# HELP {name} Events that each rule of the policy decided\n# TYPE {name} counter\n");
    for (rule, counts) in trail.rule_counts().iter().enumerate() {
        let _ = writeln!(out, "{name}_total{{rule=\"{rule}\"}} {}", counts.matched);
    }
}

/// Names without a number where there is no outbox, or it is not known.
fn push_outbox(outbox: Option<&Outbox>, out: &mut String) {
    for (name, help, value) in Outbox::gauges(outbox) {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        let _ = value.map(|value| writeln!(out, "{name} {value}"));
    }
    for (name, help, value) in Outbox::counters(outbox) {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} counter\n");
        let _ = value.map(|value| writeln!(out, "{name}_total {value}"));
    }
}

fn label(sink: &DeliveryStats) -> String {
    sink.name.replace('\\', "\\\\").replace('"', "\\\"")
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

fn checkpoint_age(trail: &Trail) -> Option<f64> {
    let changed = std::fs::metadata(trail.folder().checkpoint()).ok()?.modified().ok()?;
    Some(changed.elapsed().unwrap_or_default().as_secs_f64())
}
