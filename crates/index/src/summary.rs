//! A summary: how many events there are of each kind, and when.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use trailseal_event::filter::Filter;
use trailseal_event::{Event, Object, Recorded, Timestamp, Value};

use crate::search::{name_of, value_of};
use crate::view::ByValue;
use crate::{FacetField, FacetValue, Order, Search, SearchError};

/// Common time spans, from a second to a year.
const SPANS: [u64; 13] =
    [1, 10, 60, 300, 900, 3_600, 14_400, 43_200, 86_400, 604_800, 2_592_000, 7_776_000, 31_536_000];
/// The maximum number of bars in a histogram if nobody sets the width.
const BARS_MAX: usize = 48;

/// How many events there are of each kind, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// All that match.
    pub total: u64,
    /// For each field its most frequent values with their counts.
    pub facets: Vec<(&'static str, Vec<FacetValue>)>,
    /// The width of a histogram bar.
    pub bucket: Duration,
    /// When each bar begins and how many events it has; empty bars are left out.
    pub histogram: Vec<(Timestamp, u64)>,
}

impl Summary {
    /// As one JSON object, the same for every interface.
    pub fn to_json(&self) -> Value {
        let mut answer = Object::default();
        answer.insert("total", self.total);
        for (name, values) in &self.facets {
            let values = values.iter().map(FacetValue::to_json).collect();
            answer.insert(format!("by_{name}"), Value::Array(values));
        }
        answer.insert("bucket_seconds", self.bucket.as_secs());
        let bar = |(start, count): &(Timestamp, u64)| {
            let mut bar = Object::default();
            bar.insert("start", start.to_string());
            bar.insert("count", *count);
            Value::from(bar)
        };
        answer.insert("histogram", Value::Array(self.histogram.iter().map(bar).collect()));
        Value::from(answer)
    }
}

impl Search {
    /// Counts matching events by each field, at most `top` values of each, and over time. Without a `bucket`, the bars
    /// are as narrow as possible while there are still few.
    ///
    /// # Errors
    /// When a trail cannot be read.
    pub fn summary(
        &mut self,
        filter: &Filter,
        top: usize,
        bucket: Option<Duration>,
    ) -> Result<Summary, SearchError> {
        if !filter.text.is_empty() {
            return self.summary_of_text(filter, top, bucket);
        }
        let total = self.count(filter)?;
        let mut facets = Vec::with_capacity(FacetField::NAMED.len());
        for (name, field) in FacetField::NAMED {
            facets.push((name, self.values(filter, field, "", top)?));
        }
        let bucket = bucket.unwrap_or_else(|| self.fitting_span(filter));
        let histogram = self.histogram(filter, bucket)?;
        Ok(Summary { total, facets, bucket, histogram })
    }

    /// The same in one pass: no index knows text, so every line must be read, and once is enough.
    fn summary_of_text(
        &mut self,
        filter: &Filter,
        top: usize,
        bucket: Option<Duration>,
    ) -> Result<Summary, SearchError> {
        let (mut counts, mut times) = (FacetField::NAMED.map(|_| ByValue::default()), Vec::new());
        self.each(filter, Order::OLDEST_RECORDED, None, &mut |hit| {
            let Ok(Recorded { event, .. }) = Event::from_line(hit.exact_line()) else {
                return ControlFlow::Continue(());
            };
            times.push(hit.time.as_micros());
            for ((_, field), counts) in FacetField::NAMED.iter().zip(&mut counts) {
                let Some(value) = value_of(&event, *field) else { continue };
                counts.add(value.into_owned(), name_of(&event, *field).map(Cow::into_owned), 1);
            }
            ControlFlow::Continue(())
        })?;
        let most = |((name, _), counts): (&(&'static str, FacetField), ByValue)| {
            (*name, FacetValue::most_frequent(counts, top))
        };
        let facets = FacetField::NAMED.iter().zip(counts).map(most).collect();
        let bars = |bucket: Duration| {
            let width = i64::try_from(bucket.as_micros()).unwrap_or(i64::MAX).max(1);
            let mut bars = BTreeMap::new();
            for time in &times {
                *bars.entry(time - time.rem_euclid(width)).or_insert(0) += 1;
            }
            bars
        };
        let fitting = || {
            let fits = |span: &u64| bars(Duration::from_secs(*span)).len() <= BARS_MAX;
            Duration::from_secs(SPANS.into_iter().find(fits).unwrap_or(SPANS[SPANS.len() - 1]))
        };
        let bucket = bucket.unwrap_or_else(fitting);
        let histogram = bars(bucket).into_iter().map(|(start, count)| (Timestamp::from_micros(start), count));
        Ok(Summary { total: times.len() as u64, facets, bucket, histogram: histogram.collect() })
    }

    /// The narrowest span with which the events fit into few bars.
    fn fitting_span(&mut self, filter: &Filter) -> Duration {
        let mut bucket = Duration::from_secs(SPANS[SPANS.len() - 1]);
        for seconds in SPANS.into_iter().rev() {
            let shorter = Duration::from_secs(seconds);
            match self.histogram(filter, shorter) {
                Ok(bars) if bars.len() <= BARS_MAX => bucket = shorter,
                // There are more spans than an answer can hold: use wider ones.
                _ => break,
            }
        }
        bucket
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use trailseal_core::file::StdFiles;
    use trailseal_core::{Ack, Options, Trail};
    use trailseal_event::Event;

    use super::*;

    #[test]
    fn one_pass_over_texts_says_what_counting_says() {
        let folder = tempfile::tempdir().unwrap();
        let trail = Trail::open(folder.path(), Options::default()).unwrap();
        for number in 0..200i64 {
            let event = Event::new(format!("a.{}", number % 7))
                .actor(format!("u{}", number % 13))
                .time(Timestamp::from_micros(number * 400_000_000))
                .detail("note", "everywhere");
            trail.record(&event).unwrap();
        }
        trail.with(Ack::Durable).record(&Event::new("last").detail("note", "everywhere")).unwrap();
        let mut search = Search::open(folder.path(), Arc::new(StdFiles)).unwrap();
        let all = Filter::default();
        let texts = Filter { text: vec!["everywhere".into()], ..Filter::default() };
        for bucket in [None, Some(Duration::from_secs(3_600))] {
            let (counted, passed) =
                (search.summary(&all, 5, bucket).unwrap(), search.summary(&texts, 5, bucket).unwrap());
            assert_eq!(counted, passed);
            assert_eq!(counted.total, 201);
        }
    }
}
