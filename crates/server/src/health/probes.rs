//! Probes: whether the process answers, and whether it takes events.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use trailseal_core::Trail;
use trailseal_core::deliver::DeliveryState;

use super::outbox;
use crate::config::Config;
use crate::stopping::Stopping;

/// `GET /healthz`: the process responds.
pub(crate) async fn healthz() -> Response {
    axum::Json(json!({"status": "ok"})).into_response()
}

/// `GET /readyz`: events would be accepted.
pub(crate) async fn readyz(
    State(trail): State<Trail>,
    State(config): State<Arc<Config>>,
    State(mut stopping): State<Stopping>,
) -> Response {
    let mut problems = Vec::new();
    if stopping.has_begun() {
        problems.push("the server is stopping".to_owned());
    }
    if let Some(why) = trail.why_shut() {
        problems.push(why.to_string());
    }
    let stats = trail.stats();
    for sink in &stats.deliveries {
        if let DeliveryState::Stopped { at, reason } = &sink.state {
            problems.push(format!("delivery to {} stopped at event {at}: {reason}", sink.name));
        }
    }
    let (status, word) = match problems.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    // Events are accepted anyway. Why a sink fails may name its place, which is for those with a token.
    for sink in &stats.deliveries {
        if let DeliveryState::Failing { .. } = &sink.state {
            problems.push(format!("delivery to {} fails and is tried again: /v1/stats says why", sink.name));
        }
    }
    if let Some(trouble) = &stats.seal_trouble {
        problems.push(format!("sealing fails: {}", trouble.reason));
    }
    if let Some(trouble) = stats.personal.as_ref().and_then(|personal| personal.trouble.as_ref()) {
        problems.push(format!("personal values are masked, since their keys cannot be kept: {trouble}"));
    }
    if let Some(outbox) = outbox::of(&config) {
        problems.extend(outbox.problems());
    }
    (status, axum::Json(json!({"status": word, "problems": problems}))).into_response()
}
