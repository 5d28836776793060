//! The server's health, for probes and people.

use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use trailseal_core::Stats;
use trailseal_core::deliver::{DeliveryState, DeliveryStats};

use crate::access::Caller;
use crate::app::{App, Shared, blocking, details};

/// How healthy something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Health {
    Good,
    Warning,
    Critical,
}

impl Health {
    fn name(self) -> &'static str {
        match self {
            Health::Good => "good",
            Health::Warning => "warning",
            Health::Critical => "critical",
        }
    }

    /// Good up to `limit`, a warning up to ten times that.
    fn of_age(age: Duration, limit: Duration) -> Health {
        match age {
            age if age <= limit => Health::Good,
            age if age <= limit * 10 => Health::Warning,
            _ => Health::Critical,
        }
    }
}

/// `GET /healthz`: the process responds.
pub(crate) async fn healthz() -> Response {
    axum::Json(json!({"status": "ok"})).into_response()
}

/// `GET /readyz`: events would be accepted.
pub(crate) async fn readyz(State(app): State<Shared>) -> Response {
    let mut problems = Vec::new();
    if *app.stopping.borrow() {
        problems.push("the server is stopping".to_owned());
    }
    if let Some(why) = app.trail.why_shut() {
        problems.push(why.to_string());
    }
    let stats = app.trail.stats();
    for sink in &stats.deliveries {
        if let DeliveryState::Stopped { at, reason } = &sink.state {
            problems.push(format!("delivery to {} stopped at event {at}: {reason}", sink.name));
        }
    }
    let (status, word) = match problems.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    // Events are accepted anyway.
    if let Some(trouble) = &stats.seal_trouble {
        problems.push(format!("sealing fails: {}", trouble.reason));
    }
    (status, axum::Json(json!({"status": word, "problems": problems}))).into_response()
}

/// `GET /v1/stats`.
pub(crate) async fn stats(State(app): State<Shared>, Extension(caller): Extension<Caller>) -> Response {
    app.note_aside("read", &caller, details([("path", Some("/v1/stats".into()))])).await;
    let counting = app.clone();
    let pending = blocking(move || Ok(counting.reviews_pending())).await.unwrap_or_default();
    let stats = app.trail.stats();
    let not_durable_age = app.not_durable_age();
    let limits = app.config.health;
    let mut health = Health::of_age(not_durable_age, limits.durable).max(of_sealing(&stats));
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
    let answer = json!({
        "origin": app.trail.origin(),
        "health": health.name(),
        "events": {"accepted": stats.accepted, "durable": stats.durable, "sealed": stats.sealed},
        "not_durable": {"events": stats.accepted.saturating_sub(stats.durable), "seconds": not_durable_age.as_secs_f64()},
        "sealing": sealing(&stats),
        "counted": stats.counted,
        "handoff": {"used_bytes": stats.handoff_used_bytes, "bytes": stats.handoff_bytes},
        "sinks": sinks,
        "reviews": {"pending": pending},
    });
    ([("x-audit-health", HeaderValue::from_static(health.name()))], axum::Json(answer)).into_response()
}

/// `GET /admin/audit/stats`: exactly the numbers shown by the applications that this one replaces, counted since this
/// server's start.
pub(crate) async fn admin_stats(State(app): State<Shared>, Extension(caller): Extension<Caller>) -> Response {
    let stats = app.trail.stats();
    let not_stored = stats.deliveries.iter().map(|sink| sink.lag_events).max().unwrap_or(0);
    let queue = not_stored + stats.accepted.saturating_sub(stats.durable);
    let (answer, health) = admin(app.metrics.succeeded.get(), app.metrics.failed.get(), queue);
    let health = health.max(of_sealing(&stats));
    app.note_aside("read", &caller, details([("path", Some("/admin/audit/stats".into()))])).await;
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

fn of_sealing(stats: &Stats) -> Health {
    if stats.seal_trouble.is_some() { Health::Critical } else { Health::Good }
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

pub(crate) fn is_stopped(sink: &DeliveryStats) -> bool {
    matches!(sink.state, DeliveryState::Stopped { .. })
}

impl App {
    /// How long the oldest event that is not on disk has been waiting, which is how long there has been one.
    fn not_durable_age(&self) -> Duration {
        self.durable_watch.age()
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

    #[test]
    fn ages_beyond_ten_times_the_limit_are_critical() {
        let limit = Duration::from_secs(1);
        assert_eq!(Health::of_age(Duration::ZERO, limit), Health::Good);
        assert_eq!(Health::of_age(Duration::from_secs(10), limit), Health::Warning);
        assert_eq!(Health::of_age(Duration::from_secs(11), limit), Health::Critical);
    }
}
