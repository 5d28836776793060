//! A histogram over time, with bars of a given width or of one that fits.

use std::collections::BTreeMap;
use std::time::Duration;

use super::HISTOGRAM_BUCKETS_MAX;
use crate::timestamp::Timestamp;

/// Widths that a histogram may get by itself, from a second to a year.
const SPANS: [u64; 13] =
    [1, 10, 60, 300, 900, 3_600, 14_400, 43_200, 86_400, 604_800, 2_592_000, 7_776_000, 31_536_000];
/// At each of these widths all wider ones can be told from the bars.
const STEPS: [u64; 10] = [1, 10, 60, 300, 900, 3_600, 14_400, 43_200, 86_400, 31_536_000];
/// It then has at most so many bars.
const BARS_MAX: usize = 48;
const MINUTE: u64 = 60;
const DAY: u64 = 86_400;
const YEAR: u64 = 31_536_000;
const SECOND: i64 = 1_000_000;

/// Asks for the bars of few widths, and finds the narrowest usual one with which there are few bars.
#[derive(Debug)]
pub struct Fitting {
    asks: Option<u64>,
    found: Option<Bars>,
}

impl Default for Fitting {
    fn default() -> Self {
        Fitting { asks: Some(DAY), found: None }
    }
}

impl Fitting {
    /// The width of the bars that are needed next; `None` once it is found.
    pub fn asks_for(&self) -> Option<Duration> {
        self.asks.map(Duration::from_secs)
    }

    /// Takes the bars that it asked for, or wider ones if there are too many; `None` if there are too many of any width.
    pub fn take(&mut self, bars: Option<Bars>) {
        let Some(asked) = self.asks.take() else { return };
        let Some(bars) = bars.filter(|bars| !bars.is_too_many()) else {
            // Of days there may be too many. Of shorter ones only if there are few days, so they cannot be.
            self.asks = Some(YEAR).filter(|year| asked < *year && self.found.is_none());
            return;
        };
        let fitting = bars.fitting();
        // Bars as narrow as those asked for may do with narrower ones still.
        if fitting == Duration::from_secs(asked) {
            self.asks = match asked {
                DAY => Some(MINUTE),
                MINUTE => Some(1),
                _ => None,
            };
        }
        self.found = Some(bars.fit(fitting));
    }

    /// The bars that fit.
    pub fn into_bars(self) -> Bars {
        self.found.unwrap_or_else(|| Bars::new(Duration::from_secs(YEAR)))
    }
}

/// Bars over time. A bar begins at a multiple of the width since 1970; empty ones are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bars {
    /// In microseconds.
    width: i64,
    counts: BTreeMap<i64, u64>,
}

impl Bars {
    /// Bars of this width, and at least a microsecond.
    pub fn new(width: Duration) -> Bars {
        let width = i64::try_from(width.as_micros()).unwrap_or(i64::MAX).max(1);
        Bars { width, counts: BTreeMap::new() }
    }

    /// Bars that [`fit`](Bars::fit) widens as needed.
    pub fn fine() -> Bars {
        Bars::new(Duration::from_secs(SPANS[0]))
    }

    /// Counts `n` events of this time.
    pub fn add(&mut self, time: Timestamp, n: u64) {
        *self.counts.entry(begin(time.as_micros(), self.width)).or_insert(0) += n;
    }

    /// The same, with wider bars once there are too many to be shown or kept: for those that are fitted at the end.
    pub fn add_fitting(&mut self, time: Timestamp, n: u64) {
        self.add(time, n);
        while self.is_too_many() {
            let wider = STEPS.into_iter().map(micros).find(|width| *width > self.width);
            let Some(wider) = wider else { return };
            *self = self.widened(wider);
        }
    }

    /// Whether there are more than a histogram can have.
    pub fn is_too_many(&self) -> bool {
        self.counts.len() > HISTOGRAM_BUCKETS_MAX
    }

    /// The width of a bar.
    pub fn width(&self) -> Duration {
        Duration::from_micros(self.width.unsigned_abs())
    }

    /// How many events there are in all.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Adds what other bars have counted, with the wider width of the two. One must be a multiple of the other.
    pub fn merge(&mut self, other: &Bars) {
        if self.width < other.width {
            *self = self.widened(other.width);
        }
        for (time, n) in &other.counts {
            self.add(Timestamp::from_micros(*time), *n);
        }
    }

    /// The narrowest of the usual widths with which the events fit into few bars, as far as these bars can tell.
    pub fn fitting(&self) -> Duration {
        let mut fitting = YEAR;
        for seconds in SPANS.into_iter().rev().filter(|seconds| micros(*seconds) % self.width == 0) {
            if self.widened(micros(seconds)).counts.len() > BARS_MAX {
                break;
            }
            fitting = seconds;
        }
        Duration::from_secs(fitting)
    }

    /// The same events in bars of this width, a multiple of its own.
    #[must_use]
    pub fn fit(&self, width: Duration) -> Bars {
        self.widened(Bars::new(width).width)
    }

    fn widened(&self, width: i64) -> Bars {
        let mut wider = Bars { width, counts: BTreeMap::new() };
        for (time, n) in &self.counts {
            *wider.counts.entry(begin(*time, width)).or_insert(0) += n;
        }
        wider
    }

    /// When each bar begins and how many events it has, the earliest first.
    pub fn into_counts(self) -> Vec<(Timestamp, u64)> {
        self.counts.into_iter().map(|(start, n)| (Timestamp::from_micros(start), n)).collect()
    }
}

fn begin(time: i64, width: i64) -> i64 {
    time.div_euclid(width).saturating_mul(width)
}

fn micros(seconds: u64) -> i64 {
    seconds.cast_signed() * SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_begin_at_multiples_of_their_width() {
        let mut bars = Bars::new(Duration::from_secs(60));
        for time in [0, 59_999_999, 60_000_000, -1] {
            bars.add(Timestamp::from_micros(time), 1);
        }
        let starts: Vec<_> = bars.into_counts().iter().map(|(start, n)| (start.as_micros(), *n)).collect();
        assert_eq!(starts, [(-60_000_000, 1), (0, 2), (60_000_000, 1)]);
    }

    #[test]
    fn the_width_fits_however_many_events_there_are() {
        for (apart, wanted) in [(0, 1), (1, 10), (3_600, 43_200), (86_400 * 40, 31_536_000)] {
            let mut bars = Bars::fine();
            for number in 0..400 {
                bars.add_fitting(Timestamp::from_micros(number * apart * SECOND), 1);
            }
            assert_eq!(bars.fitting(), Duration::from_secs(wanted), "{apart} s apart");
            assert_eq!(bars.fit(bars.fitting()).total(), 400);
        }
    }

    #[test]
    fn few_widths_are_asked_for() {
        for (apart, count, wanted, asked_most) in [
            (0, 400, 1, 3),
            (1, 400, 10, 3),
            (3_600, 400, 43_200, 2),
            (86_400, 400, 2_592_000, 1),
            (86_400 * 2, 150_000, 31_536_000, 2),
            (1, 0, 1, 3),
        ] {
            let (mut fitting, mut asked) = (Fitting::default(), 0);
            while let Some(width) = fitting.asks_for() {
                let mut bars = Bars::new(width);
                for number in 0..count {
                    bars.add(Timestamp::from_micros(number * apart * SECOND), 1);
                }
                asked += 1;
                fitting.take(Some(bars));
            }
            let bars = fitting.into_bars();
            assert_eq!((bars.width(), bars.total()), (Duration::from_secs(wanted), count.unsigned_abs()));
            assert!(asked <= asked_most, "{apart} s apart: {asked}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_tells_the_same() {
        let mut bars = Bars::fine();
        let count = 3 * HISTOGRAM_BUCKETS_MAX as i64;
        for number in 0..count {
            bars.add_fitting(Timestamp::from_micros(number * 90 * SECOND), 1);
            assert!(!bars.is_too_many());
        }
        // Some 312 days.
        assert_eq!(bars.fitting(), Duration::from_secs(604_800));
        assert_eq!(bars.total(), count.unsigned_abs());
    }
}
