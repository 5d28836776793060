//! A summary: how many events there are of each kind, and when.

use std::ops::ControlFlow;
use std::time::Duration;

use trailseal_event::count::{Bars, ByValue, Fitting, Summary};
use trailseal_event::fields::Fields;
use trailseal_event::filter::Filter;

use crate::{FacetField, IndexError, Order, Search, SearchError};

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
        let (bucket, histogram) = match bucket {
            Some(bucket) => (bucket, self.histogram(filter, bucket)?),
            None => {
                let bars = self.fitting_bars(filter)?;
                (bars.width(), bars.into_counts())
            }
        };
        Ok(Summary { total, facets, bucket, histogram })
    }

    /// The same in one pass: no index knows text, so every line must be read, and once is enough.
    fn summary_of_text(
        &mut self,
        filter: &Filter,
        top: usize,
        bucket: Option<Duration>,
    ) -> Result<Summary, SearchError> {
        let mut counts = FacetField::NAMED.map(|_| ByValue::default());
        let (mut total, mut bars) = (0, bucket.map_or_else(Bars::fine, Bars::new));
        self.each(filter, Order::OLDEST_RECORDED, None, &mut |hit| {
            let Some(fields) = Fields::of_line(hit.exact_line()) else { return ControlFlow::Continue(()) };
            total += 1;
            match bucket {
                Some(_) => bars.add(hit.time, 1),
                None => bars.add_fitting(hit.time, 1),
            }
            for ((_, field), counts) in FacetField::NAMED.iter().zip(&mut counts) {
                if let Some(value) = field.value_in(&fields) {
                    counts.add(value, field.name_in(&fields), 1);
                }
            }
            ControlFlow::Continue(())
        })?;
        let named = FacetField::NAMED.iter().zip(counts);
        let facets = named.map(|((name, _), counts)| (*name, counts.most_frequent(top))).collect();
        let bucket = bucket.unwrap_or_else(|| bars.fitting());
        Ok(Summary { total, facets, bucket, histogram: bars.fit(bucket).into_counts() })
    }

    /// Bars of the narrowest usual width with which there are few.
    fn fitting_bars(&mut self, filter: &Filter) -> Result<Bars, SearchError> {
        let mut fitting = Fitting::default();
        while let Some(width) = fitting.asks_for() {
            let counts = match self.histogram(filter, width) {
                Ok(counts) => Some(counts),
                Err(SearchError::Index(IndexError::Buckets { .. })) => None,
                Err(error) => return Err(error),
            };
            fitting.take(counts.map(|counts| {
                let mut bars = Bars::new(width);
                counts.into_iter().for_each(|(start, n)| bars.add(start, n));
                bars
            }));
        }
        Ok(fitting.into_bars())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use trailseal_core::file::StdFiles;
    use trailseal_core::{Ack, Options, Trail};
    use trailseal_event::{Event, Timestamp};

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
