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
    /// The age of its oldest event; `None` if that was never known.
    pub(super) oldest: Option<Duration>,
    /// What lay in the outbox; `None` if that was never known.
    pub(super) seen: Option<Seen>,
    /// Why these two are of before, and for how long.
    pub(super) look_failed: Option<(String, Duration)>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) waiting: u64,
    pub(super) claimed: u64,
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
        oldest: stats.oldest,
        look_failed: stats.look_failed.map(|reason| (reason, stats.look_fails_for)),
        seen: stats.seen.map(|seen| Seen {
            waiting: seen.waiting,
            claimed: seen.claimed,
            put_aside: seen.put_aside,
        }),
    })
}

#[cfg(not(feature = "postgres"))]
pub(super) fn of(_config: &Config) -> Option<Outbox> {
    None
}

/// What lies in the outbox may be unknown for so long.
const UNKNOWN_MAX: Duration = Duration::from_secs(60);

impl Outbox {
    /// As healthy as its oldest event is young: what a relay does not take over does not get into the trail.
    pub(super) fn health(&self, limit: Duration) -> Health {
        if self.has_ended {
            return Health::Critical;
        }
        let failing = self.trouble.as_ref().map(|(_, lasts)| *lasts).unwrap_or_default();
        let of_age = Health::of_age(failing.max(self.oldest.unwrap_or_default()), limit);
        match self.seen.is_some_and(|seen| seen.put_aside > 0) || self.is_unknown() {
            true => of_age.max(Health::Warning),
            false => of_age,
        }
    }

    /// Whether nobody has known for long what lies in it.
    fn is_unknown(&self) -> bool {
        self.look_failed.as_ref().is_some_and(|(_, lasts)| *lasts > UNKNOWN_MAX)
    }

    /// What `/readyz` says, without what is for those with a token.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.has_ended {
            problems.push("the relay of the outbox has ended".to_owned());
        } else if self.trouble.is_some() {
            problems.push(
                "the relay cannot take events from the outbox and keeps trying: /v1/stats says why"
                    .to_owned(),
            );
        }
        if self.is_unknown() && self.trouble.is_none() {
            problems.push("the relay cannot see what waits in the outbox: /v1/stats says why".to_owned());
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
        let mut seen = serde_json::Map::new();
        if let Some(oldest) = self.oldest {
            seen.insert("oldest_seconds".to_owned(), oldest.as_secs_f64().into());
        }
        if let Some(Seen { waiting, claimed, put_aside }) = self.seen {
            let counted = [("waiting", waiting), ("claimed", claimed), ("put_aside", put_aside)];
            seen.extend(counted.map(|(name, count)| (name.to_owned(), count.into())));
        }
        let seen = if seen.is_empty() { Value::Null } else { Value::Object(seen) };
        json!({
            "state": state, "reason": self.trouble.as_ref().map(|(reason, _)| reason), "failures": self.failures,
            "taken_over": self.taken_over, "refused": self.refused, "seen": seen, "health": health.name(),
            "look_failed": self.look_failed.as_ref().map(|(reason, _)| reason),
        })
    }

    /// Its gauges, for Prometheus: a name, what it means, and how much it is, if that is known.
    pub(super) fn gauges(outbox: Option<&Outbox>) -> [(&'static str, &'static str, Option<f64>); 6] {
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
                outbox.and_then(|outbox| outbox.oldest).map(|oldest| oldest.as_secs_f64()),
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
            (
                "trailseal_outbox_look_failed",
                "Whether the relay could not see what waits in the outbox when it last looked",
                outbox.map(|outbox| f64::from(u8::from(outbox.look_failed.is_some()))),
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
        let seen = Seen { waiting: 1, put_aside, ..Seen::default() };
        Outbox { oldest: Some(Duration::from_secs(waits)), seen: Some(seen), ..Outbox::default() }
    }

    #[test]
    fn what_nobody_has_seen_for_a_minute_is_a_warning() {
        let unseen = |lasts: u64| Outbox {
            look_failed: Some(("canceled".to_owned(), Duration::from_secs(lasts))),
            ..Outbox::default()
        };
        assert_eq!(unseen(60).health(LIMIT), Health::Good);
        assert_eq!(unseen(61).health(LIMIT), Health::Warning);
        assert_eq!(unseen(61).problems().len(), 1);
        assert_eq!(unseen(61).stats(Health::Warning)["look_failed"], "canceled");
        // The age is known though the count failed.
        let old = Outbox { oldest: Some(Duration::from_secs(601)), ..unseen(0) };
        assert_eq!(old.health(LIMIT), Health::Critical);
        assert_eq!(old.stats(Health::Critical)["seen"], json!({"oldest_seconds": 601.0}));
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
