//! Counts of one trail: the index sums up what it has, and every other line is looked at.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::Ordering;
use std::time::Duration;

use trailseal_event::Timestamp;
use trailseal_event::count::ByValue;
use trailseal_event::fields::Fields;
use trailseal_event::filter::Filter;
use trailseal_event::line::effective_time;

use super::error::SearchError;
use super::member::Member;
use super::wanted::LOOK_EVERY;
use crate::view::Wanted as ValueWanted;
use crate::{Candidate, FacetField, IndexError, IndexView};

impl Member {
    /// What part of the trail matters for `filter`: what the index can sum up, what it cannot, and what to ask of each.
    fn parts<'a>(&mut self, filter: &'a Filter) -> Result<Parts<'a>, SearchError> {
        let (mut possible, end) = (filter.index_range(), self.end());
        let mut filter = Cow::Borrowed(filter);
        if let Some(range) = self.recorded_range(&filter)? {
            possible = possible.start.max(range.start)..possible.end.min(range.end);
            // All of these were recorded then; no line needs to be read to know.
            let asked = filter.to_mut();
            (asked.recorded_since, asked.recorded_until) = (None, None);
        }
        // The index knows nothing about text, and a scan for text reads each line anyway.
        let is_text_alone = !filter.text.is_empty() && !filter.has_columns();
        let indexed = if is_text_alone { 0 } else { self.indexed() };
        let part = |from: u64, to: u64| from.max(possible.start)..to.min(possible.end);
        let (indexed, scanned) = match self.is_asked_for(&filter) {
            true => (part(0, indexed), part(indexed, end)),
            false => (0..0, 0..0),
        };
        Ok(Parts { filter, indexed, scanned })
    }

    /// Asks the index about `part`, and reads lines to check; `None` if there is no usable index.
    fn ask<T>(
        &mut self,
        filter: &Filter,
        ask: impl FnOnce(
            &mut IndexView,
            &mut dyn FnMut(Candidate) -> ControlFlow<(), bool>,
        ) -> Result<T, IndexError>,
    ) -> Result<Option<T>, SearchError> {
        self.check_stopped()?;
        let Member { view: Some(view), line_at, reader, stopped, .. } = self else { return Ok(None) };
        let mut failed: Option<SearchError> = None;
        let mut check = |candidate: Candidate| {
            if stopped.load(Ordering::Relaxed) {
                failed = Some(SearchError::Stopped);
                return ControlFlow::Break(());
            }
            match line_at.get(reader, candidate.index, candidate.place) {
                Ok(line) => ControlFlow::Continue(line.is_some_and(|line| filter.accepts(&line))),
                Err(error) => {
                    failed = Some(error.into());
                    ControlFlow::Break(())
                }
            }
        };
        let answer = ask(view, &mut check);
        match (failed, answer) {
            (Some(error), _) => Err(error),
            (None, Ok(answer)) => Ok(Some(answer)),
            // Too much was asked for. Any other error comes from the index, which is then not used.
            (None, Err(error @ IndexError::Buckets { .. })) => Err(error.into()),
            (None, Err(error)) => {
                self.view = None;
                self.note(error);
                Ok(None)
            }
        }
    }

    /// Calls `each` with the matching events of `part`, by reading every line.
    fn scan_all(
        &mut self,
        filter: &Filter,
        part: Range<u64>,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), SearchError> {
        let (stopped, mut looked) = (&self.stopped, 0_u64);
        self.reader.for_each(part, &mut |_, line| {
            if filter.accepts(line) {
                each(line);
            }
            looked += 1;
            let is_over = looked.is_multiple_of(LOOK_EVERY) && stopped.load(Ordering::Relaxed);
            if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        self.check_stopped()
    }

    pub(super) fn count(&mut self, filter: &Filter) -> Result<u64, SearchError> {
        let filter = &self.as_stored(filter);
        let Parts { filter, indexed, mut scanned } = self.parts(filter)?;
        let filter = &*filter;
        let mut count = 0;
        if !indexed.is_empty() {
            match self.ask(filter, |view, check| view.count(filter, indexed.clone(), check))? {
                Some(answer) => count = answer.events,
                None => scanned.start = indexed.start,
            }
        }
        self.scan_all(filter, scanned, &mut |_| count += 1)?;
        Ok(count)
    }

    /// Counts by the value of `field`, all values that are wanted.
    pub(super) fn facets(
        &mut self,
        filter: &Filter,
        field: FacetField,
        is_wanted: &ValueWanted<'_>,
    ) -> Result<ByValue, SearchError> {
        let filter = &self.as_stored(filter);
        let Parts { filter, indexed, mut scanned } = self.parts(filter)?;
        let filter = &*filter;
        let mut by_value = ByValue::default();
        if !indexed.is_empty() {
            match self.ask(filter, |view, check| {
                view.named_facets(filter, indexed.clone(), field, is_wanted, check)
            })? {
                // Values that the index knows only by their hash must be read from the lines.
                Some((found, 0)) => by_value = found,
                Some(_) | None => scanned.start = indexed.start,
            }
        }
        self.scan_all(filter, scanned, &mut |line| {
            let Some(fields) = Fields::of_line(line) else { return };
            let name = field.name_in(&fields);
            if let Some(value) = field.value_in(&fields).filter(|value| is_wanted(value, name)) {
                by_value.add(value, name, 1);
            }
        })?;
        Ok(by_value)
    }

    pub(super) fn histogram(
        &mut self,
        filter: &Filter,
        bucket: Duration,
    ) -> Result<BTreeMap<Timestamp, u64>, SearchError> {
        let filter = &self.as_stored(filter);
        let width = u64::try_from(bucket.as_micros()).unwrap_or(u64::MAX).max(1);
        let Parts { filter, indexed, mut scanned } = self.parts(filter)?;
        let filter = &*filter;
        let mut counts = BTreeMap::new();
        if !indexed.is_empty() {
            match self.ask(filter, |view, check| view.histogram(filter, indexed.clone(), width, check))? {
                Some(answer) => counts.extend(answer),
                None => scanned.start = indexed.start,
            }
        }
        let width = i64::try_from(width).unwrap_or(i64::MAX);
        self.scan_all(filter, scanned, &mut |line| {
            if let Some(time) = effective_time(line) {
                let time = time.as_micros();
                let start = Timestamp::from_micros(time - time.rem_euclid(width));
                *counts.entry(start).or_insert(0) += 1;
            }
        })?;
        Ok(counts)
    }
}

/// What part of a trail matters for a filter.
struct Parts<'a> {
    /// What to ask of these.
    filter: Cow<'a, Filter>,
    indexed: Range<u64>,
    scanned: Range<u64>,
}
