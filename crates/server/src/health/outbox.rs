//! How the relay of an outbox is, if this server shows one. Recording does not depend on it.
#![cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only a relay makes these"))]

use std::time::Duration;

use serde_json::{Value, json};

use super::level::Health;
use crate::config::Config;

/// How a relay is.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    pub(super) taken_over: u64,
    pub(super) refused: u64,
    pub(super) failures: u64,
    /// Why it takes nothing over, and for how long.
    pub(super) trouble: Option<(String, Duration)>,
    pub(super) has_ended: bool,
    /// What lay in the outbox; `None` if that is not known.
    pub(super) seen: Option<Seen>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) waiting: u64,
    pub(super) claimed: u64,
    pub(super) waits: Duration,
    pub(super) put_aside: u64,
}

#[cfg(feature = "postgres")]
pub(super) fn of(config: &Config) -> Option<Outbox> {
    let stats = config.outbox.as_ref()?.stats();
    Some(Outbox {
        taken_over: stats.taken_over,
        refused: stats.refused,
        failures: stats.failures,
        trouble: stats.trouble.map(|reason| (reason, stats.trouble_lasts)),
        has_ended: stats.has_ended,
        seen: stats.seen.map(|seen| Seen {
            waiting: seen.waiting,
            claimed: seen.claimed,
            waits: seen.waits,
            put_aside: seen.put_aside,
        }),
    })
}

#[cfg(not(feature = "postgres"))]
pub(super) fn of(_config: &Config) -> Option<Outbox> {
    None
}

impl Outbox {
    /// As healthy as its oldest event is young: what a relay does not take over does not get into the trail.
    pub(super) fn health(&self, limit: Duration) -> Health {
        if self.has_ended {
            return Health::Critical;
        }
        let failing = self.trouble.as_ref().map(|(_, lasts)| *lasts).unwrap_or_default();
        let waits = self.seen.map(|seen| seen.waits).unwrap_or_default();
        let of_age = Health::of_age(failing.max(waits), limit);
        match self.seen.is_some_and(|seen| seen.put_aside > 0) {
            true => of_age.max(Health::Warning),
            false => of_age,
        }
    }

    /// What `/readyz` says, without what is for those with a token.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.has_ended {
            problems.push("the relay of the outbox has ended".to_owned());
        } else if self.trouble.is_some() {
            problems.push(
                "events of the outbox cannot be taken over, which is tried again: /v1/stats says why"
                    .to_owned(),
            );
        }
        if let Some(Seen { put_aside: 1.., .. }) = self.seen {
            problems.push(
                "events of the outbox cannot be recorded: `trailseal outbox status` says why".to_owned(),
            );
        }
        problems
    }

    /// What `/v1/stats` says.
    pub(super) fn stats(&self, health: Health) -> Value {
        let state = match (self.has_ended, &self.trouble) {
            (true, _) => "ended",
            (false, Some(_)) => "failing",
            (false, None) => "running",
        };
        let seen = self.seen.map(|seen| {
            json!({"waiting": seen.waiting, "claimed": seen.claimed, "oldest_seconds": seen.waits.as_secs_f64(),
                "put_aside": seen.put_aside})
        });
        json!({
            "state": state, "reason": self.trouble.as_ref().map(|(reason, _)| reason), "failures": self.failures,
            "taken_over": self.taken_over, "refused": self.refused, "seen": seen, "health": health.name(),
        })
    }

    /// Its gauges, for Prometheus: a name, what it means, and how much it is, if that is known.
    pub(super) fn gauges(outbox: Option<&Outbox>) -> [(&'static str, &'static str, Option<f64>); 5] {
        let seen = outbox.and_then(|outbox| outbox.seen);
        let count = |of: fn(Seen) -> u64| seen.map(|seen| of(seen) as f64);
        [
            (
                "trailseal_outbox_waiting_events",
                "Events of the outbox that no trail has claimed, up to a million",
                count(|seen| seen.waiting),
            ),
            (
                "trailseal_outbox_claimed_events",
                "Events of the outbox that a trail has claimed and not yet taken over, up to a million",
                count(|seen| seen.claimed),
            ),
            (
                "trailseal_outbox_oldest_seconds",
                "Age of the oldest event of the outbox that is not taken over",
                seen.map(|seen| seen.waits.as_secs_f64()),
            ),
            (
                "trailseal_outbox_put_aside_events",
                "Events of the outbox that cannot be recorded as they are, up to a million",
                count(|seen| seen.put_aside),
            ),
            (
                "trailseal_outbox_failing",
                "Whether nothing is taken over from the outbox",
                outbox.map(|outbox| f64::from(u8::from(outbox.trouble.is_some() || outbox.has_ended))),
            ),
        ]
    }

    /// Its counters, likewise.
    pub(super) fn counters(outbox: Option<&Outbox>) -> [(&'static str, &'static str, Option<u64>); 3] {
        [
            (
                "trailseal_outbox_taken_over",
                "Events taken over from the outbox",
                outbox.map(|outbox| outbox.taken_over),
            ),
            (
                "trailseal_outbox_refused",
                "Events of the outbox that were put aside",
                outbox.map(|outbox| outbox.refused),
            ),
            (
                "trailseal_outbox_failures",
                "Times that the relay of the outbox had to begin again",
                outbox.map(|outbox| outbox.failures),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn seen(waits: u64, put_aside: u64) -> Outbox {
        let seen = Seen { waiting: 1, waits: Duration::from_secs(waits), put_aside, ..Seen::default() };
        Outbox { seen: Some(seen), ..Outbox::default() }
    }

    #[test]
    fn it_is_as_healthy_as_its_oldest_event_is_young() {
        assert_eq!(Outbox::default().health(LIMIT), Health::Good);
        assert_eq!(seen(60, 0).health(LIMIT), Health::Good);
        assert_eq!(seen(61, 0).health(LIMIT), Health::Warning);
        assert_eq!(seen(601, 0).health(LIMIT), Health::Critical);
        assert_eq!(seen(0, 1).health(LIMIT), Health::Warning);
        // Nobody knows what waits, if anything does.
        let trouble = Some(("down".to_owned(), Duration::from_secs(601)));
        assert_eq!(Outbox { trouble, ..Outbox::default() }.health(LIMIT), Health::Critical);
        assert_eq!(Outbox { has_ended: true, ..Outbox::default() }.health(LIMIT), Health::Critical);
    }
}
