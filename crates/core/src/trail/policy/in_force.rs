//! The policy in force, and how often each of its rules decided.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use trailseal_event::personal::{Personal, PersonalRule};
use trailseal_event::policy::{Decision, Facts, Keep, Policy, Sampler};

/// How often a rule decided since the policy came into force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleCounts {
    /// Events that it matched.
    pub matched: u64,
    /// Of these, the ones that were sampled out.
    pub sampled_out: u64,
    /// Of these, the ones that were not recorded because of mode off.
    pub off: u64,
}

/// A policy with what it needs to decide.
pub(crate) struct InForce {
    /// A number that no other one in this process has.
    pub(in crate::trail) id: u64,
    pub(crate) policy: Policy,
    /// Its rules for personal values, if it has any.
    pub(in crate::trail) personal: Option<Personal>,
    /// What of them applies to the trail's own events.
    pub(in crate::trail) personal_of_own: Option<Personal>,
    sampler: Arc<Sampler>,
    /// One per rule, and the last for events that matched none.
    counts: Vec<Counts>,
}

/// A cache line apart, since threads count different rules at the same time.
#[derive(Default)]
#[repr(align(64))]
struct Counts {
    matched: AtomicU64,
    sampled_out: AtomicU64,
    off: AtomicU64,
}

impl InForce {
    pub(crate) fn new(policy: Policy, sampler: Arc<Sampler>) -> InForce {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let counts = (0..=policy.rules.len()).map(|_| Counts::default()).collect();
        let personal = Personal::new(&policy.personal);
        let of_own: Vec<_> = policy.personal.iter().map(PersonalRule::for_own_events).collect();
        let personal_of_own = Personal::new(&of_own);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        InForce { id, policy, personal, personal_of_own, sampler, counts }
    }

    pub(crate) fn sampler(&self) -> &Arc<Sampler> {
        &self.sampler
    }

    /// Decides. Call it once per event: without an id, sampling draws again each time.
    pub(crate) fn decide(&self, facts: &Facts<'_>) -> Decision<'_> {
        self.policy.decide(facts, &self.sampler)
    }

    /// Counts the decision, if there is something to distinguish.
    pub(crate) fn count(&self, rule: Option<usize>, keep: Keep) {
        // Events that match no rule and are kept are counted by the trail's indexes.
        if rule.is_none() && keep == Keep::Kept {
            return;
        }
        let Some(counts) = self.counts.get(rule.unwrap_or(self.policy.rules.len())) else { return };
        counts.matched.fetch_add(1, Ordering::Relaxed);
        match keep {
            Keep::Kept => {}
            Keep::SampledOut => _ = counts.sampled_out.fetch_add(1, Ordering::Relaxed),
            Keep::Off => _ = counts.off.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// One per rule, and the last for events that matched none and were not kept.
    pub(crate) fn counts(&self) -> Vec<RuleCounts> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.counts
            .iter()
            .map(|counts| RuleCounts {
                matched: read(&counts.matched),
                sampled_out: read(&counts.sampled_out),
                off: read(&counts.off),
            })
            .collect()
    }
}
