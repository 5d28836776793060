//! How the trail and its server are, for people.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use trailseal_core::deliver::DeliveryState;
use trailseal_core::{Stats, Trail};

use super::durable_watch::DurableWatch;
use super::level::{Health, is_stopped};
use super::outbox;
use crate::access::Caller;
use crate::config::{Config, HealthLimits};
use crate::fairness::blocking;
use crate::metrics::Metrics;
use crate::own_events::note_read;
use crate::reviews::Reviews;
use crate::view::View;

const CAUGHT_UP_WITHIN: Duration = Duration::from_millis(100);

/// `GET /v1/stats`.
pub(crate) async fn stats(
    State(trail): State<Trail>,
    State(reviews): State<Arc<Reviews>>,
    State(view): State<Arc<View>>,
    State(watch): State<Arc<DurableWatch>>,
    State(limits): State<HealthLimits>,
    State(config): State<Arc<Config>>,
    Extension(caller): Extension<Caller>,
) -> Response {
    note_read(&trail, &caller, "/v1/stats", None, false).await;
    let pending = blocking(move || Ok(reviews.pending_now())).await.unwrap_or_default();
    let stats = trail.stats();
    let not_durable_age = watch.age();
    let mut health =
        Health::of_age(not_durable_age, limits.durable).max(of_sealing(&stats)).max(of_keys(&stats));
    let accepting = match trail.why_shut() {
        None => json!({"state": "running"}),
        Some(why) => {
            // Nothing gets old where nothing comes in.
            health = Health::Critical;
            json!({"state": "refusing", "reason": why.to_string()})
        }
    };
    if view.trouble().is_some() {
        health = health.max(Health::Warning);
    }
    let mut sinks = Vec::new();
    for sink in &stats.deliveries {
        let own = match is_stopped(sink) {
            true => Health::Critical,
            false => Health::of_age(sink.lag, limits.delivered),
        };
        health = health.max(own);
        let (state, reason) = match &sink.state {
            DeliveryState::Failing { reason } => ("failing", Some(reason.clone())),
            DeliveryState::Stopped { reason, .. } => ("stopped", Some(reason.clone())),
            _ => ("running", None),
        };
        sinks.push(json!({
            "name": sink.name, "stored": sink.cursor.get(), "state": state, "reason": reason, "failures": sink.failures,
            "lag": {"events": sink.lag_events, "seconds": sink.lag.as_secs_f64()}, "health": own.name(),
        }));
    }
    let outbox = outbox::of(&config).map(|outbox| {
        let own = outbox.health(limits.delivered);
        health = health.max(own);
        outbox.stats(own)
    });
    let answer = json!({
        "origin": trail.origin(),
        "health": health.name(),
        "events": {"accepted": stats.accepted, "durable": stats.durable, "sealed": stats.sealed},
        "accepting": accepting,
        "not_durable": {"events": stats.accepted.saturating_sub(stats.durable), "seconds": not_durable_age.as_secs_f64()},
        "sealing": sealing(&stats),
        "counted": stats.counted,
        "handoff": {"used_bytes": stats.handoff_used_bytes, "bytes": stats.handoff_bytes},
        "sinks": sinks,
        "outbox": outbox,
        "reviews": {"pending": pending},
        "reading": reading(&view),
        "personal": personal(&stats),
    });
    ([("x-audit-health", HeaderValue::from_static(health.name()))], axum::Json(answer)).into_response()
}

/// `GET /admin/audit/stats`: exactly the numbers shown by the applications that this one replaces, counted since this
/// server's start.
pub(crate) async fn admin_stats(
    State(trail): State<Trail>,
    State(metrics): State<Arc<Metrics>>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let of = trail.clone();
    let stats = blocking(move || {
        // What the index lets gather is no queue.
        of.flush_deliveries(CAUGHT_UP_WITHIN);
        Ok(of.stats())
    });
    let stats = stats.await.unwrap_or_else(|_| trail.stats());
    let not_stored = stats.deliveries.iter().map(|sink| sink.lag_events).max().unwrap_or(0);
    let queue = not_stored + stats.accepted.saturating_sub(stats.durable);
    let (answer, health) = admin(metrics.succeeded.get(), metrics.failed.get(), queue);
    let health = health.max(of_sealing(&stats));
    note_read(&trail, &caller, "/admin/audit/stats", None, false).await;
    ([("x-audit-health", HeaderValue::from_static(health.name()))], axum::Json(answer)).into_response()
}

fn admin(succeeded: u64, failed: u64, queue: u64) -> (serde_json::Value, Health) {
    let submitted = succeeded + failed;
    let share = if submitted == 0 { 0.0 } else { succeeded as f64 * 100.0 / submitted as f64 };
    let health = if submitted == 0 {
        Health::Good
    } else {
        let of_rate = match share {
            share if share > 99.5 => Health::Good,
            share if share >= 98.0 => Health::Warning,
            _ => Health::Critical,
        };
        let of_queue = match queue {
            0..10 => Health::Good,
            10..=50 => Health::Warning,
            _ => Health::Critical,
        };
        let of_failures = match failed {
            0 => Health::Good,
            failed if failed as f64 <= submitted as f64 * 0.01 => Health::Warning,
            _ => Health::Critical,
        };
        of_rate.max(of_queue).max(of_failures)
    };
    let answer = json!({
        "submitted": submitted, "succeeded": succeeded, "failed": failed,
        "success_rate": format!("{share:.1}%"), "queue_size": queue,
    });
    (answer, health)
}

/// What searches are answered from, and whether that can be reached.
fn reading(view: &View) -> serde_json::Value {
    if !view.is_shared() {
        return json!({"from": "folder"});
    }
    let trouble = view.trouble();
    let state = if trouble.is_some() { "failing" } else { "running" };
    json!({"from": "store", "state": state, "reason": trouble})
}

fn of_sealing(stats: &Stats) -> Health {
    if stats.seal_trouble.is_some() { Health::Critical } else { Health::Good }
}

fn of_keys(stats: &Stats) -> Health {
    let is_failing = stats.personal.as_ref().is_some_and(|personal| personal.trouble.is_some());
    if is_failing { Health::Critical } else { Health::Good }
}

/// The keys of personal values; null if the policy names none and none are there.
fn personal(stats: &Stats) -> serde_json::Value {
    let Some(personal) = &stats.personal else { return serde_json::Value::Null };
    json!({
        "subjects": personal.subjects, "free_keys": personal.free_keys, "dry": personal.dry,
        "not_kept": personal.not_kept, "erased": personal.erased, "trouble": personal.trouble,
    })
}

fn sealing(stats: &Stats) -> serde_json::Value {
    let waiting = stats.durable.saturating_sub(stats.sealed);
    match &stats.seal_trouble {
        None => json!({"state": "running", "not_sealed": waiting}),
        Some(trouble) => json!({
            "state": "failing", "not_sealed": waiting, "reason": trouble.reason, "seconds": trouble.lasts.as_secs_f64(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(succeeded: u64, failed: u64, queue: u64, rate: &str, expected: Health) {
        let (answer, health) = admin(succeeded, failed, queue);
        assert_eq!((answer["success_rate"].as_str(), health), (Some(rate), expected), "{answer}");
    }

    #[test]
    fn the_documented_limits() {
        check(0, 0, 0, "0.0%", Health::Good);
        check(0, 0, 99, "0.0%", Health::Good);
        check(1_000, 0, 9, "100.0%", Health::Good);
        check(1_000, 0, 10, "100.0%", Health::Warning);
        check(1_000, 0, 50, "100.0%", Health::Warning);
        check(1_000, 0, 51, "100.0%", Health::Critical);
        check(998, 2, 0, "99.8%", Health::Warning);
        check(990, 10, 0, "99.0%", Health::Warning);
        check(985, 15, 0, "98.5%", Health::Critical);
        check(979, 21, 0, "97.9%", Health::Critical);
    }
}
