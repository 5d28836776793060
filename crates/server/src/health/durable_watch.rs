//! How long events have been waiting for the disk. The trail does not keep the times of what it accepted, so this looks
//! ten times a second: an event accepted at one look and not on disk at a later one is at least as old as the time
//! between.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use trailseal_core::Trail;

/// How often it looks.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How many looks are kept: an hour of them. After that the age stops growing.
const LOOKS_MAX: usize = 36_000;

/// How many events were accepted at each look, of which some are not on disk.
#[derive(Default)]
pub(crate) struct DurableWatch {
    looks: Mutex<VecDeque<(Instant, u64)>>,
}

impl DurableWatch {
    pub(crate) fn look(&self, trail: &Trail) {
        let stats = trail.stats();
        self.note(Instant::now(), stats.accepted, stats.durable);
    }

    fn note(&self, now: Instant, accepted: u64, durable: u64) {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        while looks.front().is_some_and(|(_, accepted)| *accepted <= durable) {
            looks.pop_front();
        }
        if accepted > durable
            && looks.back().is_none_or(|(_, before)| *before < accepted)
            && looks.len() < LOOKS_MAX
        {
            looks.push_back((now, accepted));
        }
    }

    pub(crate) fn age(&self) -> Duration {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.front().map_or(Duration::ZERO, |(at, _)| at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_that_waits_counts() {
        let watch = DurableWatch::default();
        let past = Instant::now().checked_sub(Duration::from_secs(30)).unwrap_or_else(Instant::now);
        watch.note(past, 10, 10);
        assert_eq!(watch.age(), Duration::ZERO);
        watch.note(past, 20, 10);
        watch.note(Instant::now(), 30, 19);
        assert!(watch.age() >= Duration::from_secs(30));
        watch.note(Instant::now(), 30, 20);
        assert!(watch.age() < Duration::from_secs(30));
        watch.note(Instant::now(), 30, 30);
        assert_eq!(watch.age(), Duration::ZERO);
    }
}
