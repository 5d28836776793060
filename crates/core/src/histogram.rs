//! How large values were, counted in fixed buckets without a lock. Like the counters, they have no names here.

use std::time::Duration;

use crate::counters::Count;

/// Counts of values by their size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// The largest value of each bucket, in order.
    pub bounds: &'static [u64],
    /// How many values are in each bucket, and, last, how many are above all of them.
    pub counts: Vec<u64>,
    /// The sum of all values.
    pub sum: u64,
}

/// A [`Distribution`] being counted.
#[derive(Debug)]
struct Histogram {
    bounds: &'static [u64],
    counts: Box<[Count]>,
    sum: Count,
}

impl Histogram {
    fn new(bounds: &'static [u64]) -> Histogram {
        let counts = (0..=bounds.len()).map(|_| Count::default()).collect();
        Histogram { bounds, counts, sum: Count::default() }
    }

    fn add(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].add(1);
        self.sum.add(value);
    }

    fn read(&self) -> Distribution {
        let counts = self.counts.iter().map(Count::get).collect();
        Distribution { bounds: self.bounds, counts, sum: self.sum.get() }
    }
}

/// How large commits were, and how long the disk took for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commits {
    /// Events of each.
    pub events: Distribution,
    /// Bytes of each.
    pub bytes: Distribution,
    /// The duration of each successful sync, in microseconds.
    pub sync_micros: Distribution,
}

/// [`Commits`] being counted, only by the writer.
#[derive(Debug)]
pub(crate) struct CountedCommits {
    events: Histogram,
    bytes: Histogram,
    sync_micros: Histogram,
}

impl Default for CountedCommits {
    fn default() -> Self {
        CountedCommits {
            events: Histogram::new(&[1, 4, 16, 64, 256, 1_024, 4_096, 16_384]),
            bytes: Histogram::new(&[1 << 8, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22]),
            sync_micros: Histogram::new(&[
                100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
                1_000_000, 2_500_000, 5_000_000, 10_000_000,
            ]),
        }
    }
}

impl CountedCommits {
    pub(crate) fn add(&self, events: u64, bytes: u64) {
        self.events.add(events);
        self.bytes.add(bytes);
    }

    pub(crate) fn add_sync(&self, took: Duration) {
        self.sync_micros.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn read(&self) -> Commits {
        Commits { events: self.events.read(), bytes: self.bytes.read(), sync_micros: self.sync_micros.read() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::new(&[1, 10]);
        for value in [0, 1, 2, 10, 11, 1_000] {
            histogram.add(value);
        }
        let expected = Distribution { bounds: &[1, 10], counts: vec![2, 2, 2], sum: 1_024 };
        assert_eq!(histogram.read(), expected);
    }
}
