//! Retirement at a set time of the day.

use std::sync::Arc;
use std::time::Duration;

use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::{Event, Timestamp};

use super::answer::retained_json;
use super::run::{Retention, long};

/// The clock is looked at so often: it may be set, and the machine may sleep.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const DAY_SECONDS: i64 = 86_400;

/// Applies the rules of the settings each day, for as long as the server runs.
pub(crate) async fn daily(retention: Arc<Retention>) {
    let Some(at) = retention.config.at else { return };
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let mut before = SystemClock.now();
    loop {
        ticks.tick().await;
        let now = SystemClock.now();
        if is_between(before, now, at) {
            let retention = retention.clone();
            let apply = move || {
                retention.apply_rules();
                Ok(())
            };
            let _ = long(apply).await;
        }
        before = now;
    }
}

/// Whether the time of day `at`, in seconds, came after `before` and not after `now`.
fn is_between(before: Timestamp, now: Timestamp, at: Duration) -> bool {
    let seconds = |time: Timestamp| time.as_micros().div_euclid(1_000_000);
    let at = i64::try_from(at.as_secs()).unwrap_or(DAY_SECONDS);
    let next = (seconds(before) - at).div_euclid(DAY_SECONDS) * DAY_SECONDS + DAY_SECONDS + at;
    next <= seconds(now)
}

impl Retention {
    /// One rule after the other. What fails is in the log, and is tried again the next day.
    fn apply_rules(&self) {
        for rule in &self.config.rules {
            let days = rule.older_than_days;
            match self.run(rule, None) {
                Ok(retained) => {
                    tracing::info!(days, result = %retained_json(&retained), "retirement by the settings");
                }
                Err(problem) => {
                    tracing::error!(days, ?problem, "retirement by the settings failed");
                    let event = Event::default().detail("older_than_days", u64::from(days));
                    let _ = self.trail.record_own("retention_failed", event);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_time_of_day_comes_once_a_day() {
        let three = Duration::from_secs(3 * 3_600);
        let is = |before, now| is_between(at(before), at(now), three);
        assert!(is("2026-11-29T02:59:59.5Z", "2026-11-29T03:00:00.5Z"));
        assert!(!is("2026-11-29T03:00:00.5Z", "2026-11-29T03:00:01.5Z"), "once");
        assert!(!is("2026-11-29T03:00:00Z", "2026-11-29T23:59:59Z"));
        assert!(is("2026-11-29T23:59:59Z", "2026-11-30T04:00:00Z"), "the machine slept");
        assert!(!is("2026-11-29T03:00:01Z", "2026-11-29T02:59:00Z"), "the clock was set back");
        let midnight = Duration::ZERO;
        assert!(is_between(at("2026-11-29T23:59:59Z"), at("2026-11-30T00:00:00Z"), midnight));
    }
}
