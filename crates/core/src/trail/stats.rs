//! Statistics about a trail.

use super::open_trail::Trail;
use crate::counters::Counted;
use crate::deliver::DeliveryStats;
use crate::histogram::Commits;
use crate::personal::PersonalStats;
use crate::seal::SealTrouble;

/// Statistics about a trail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events accepted, ever: the index of the next one.
    pub accepted: u64,
    /// Everything below is on disk.
    pub durable: u64,
    /// Everything below is covered by a signed checkpoint.
    pub sealed: u64,
    /// What is wrong with sealing; `None` while it works.
    pub seal_trouble: Option<SealTrouble>,
    /// Bytes in the handoff that are not yet durable.
    pub handoff_used_bytes: u64,
    /// The size of the handoff in bytes.
    pub handoff_bytes: u64,
    /// What was counted since the opening.
    pub counted: Counted,
    /// Sizes and times of commits since the opening.
    pub commits: Commits,
    /// How far each sink is.
    pub deliveries: Vec<DeliveryStats>,
    /// The keys of people, if there are any.
    pub personal: Option<PersonalStats>,
}

impl Trail {
    /// Statistics about the trail, at this moment.
    pub fn stats(&self) -> Stats {
        let log = &self.inner.log;
        let (handoff_used_bytes, handoff_bytes) = log.handoff.fill();
        let sealed = log.progress.sealed();
        let durable = log.progress.durable();
        Stats {
            accepted: log.handoff.next(),
            durable,
            sealed,
            seal_trouble: self.inner.sealing.trouble(),
            handoff_used_bytes,
            handoff_bytes,
            counted: log.counters.read(),
            commits: log.commits.read(),
            deliveries: self.inner.delivery_stats(),
            personal: log.personal.get().map(|keys| keys.stats()),
        }
    }
}
