//! Counts: how many events match, of which kinds, and when. Exact, and all of one answer in one snapshot.
//!
//! PostgreSQL counts by the columns what these tell; lines are read only of the rows that they leave in doubt
//! ([`grouped`](super::grouped)). Groups come in the order of their values and only the most frequent are kept; what is
//! counted by lines is kept in memory up to a bound.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, Error, Row};
use trailseal_event::Timestamp;
use trailseal_event::count::{
    Bars, ByValue, FacetField, FacetValue, Fitting, HISTOGRAM_BUCKETS_MAX, MostFrequent, Summary,
};
use trailseal_event::fields::Fields;
use trailseal_event::filter::Filter;

use super::Reader;
use super::fetch::each_row;
use super::grouped::{Grouped, TOTAL, UNTOLD};
use super::narrow::{Doubts, Narrowing};
use super::statement;
use super::walk::{accepts, origins};
use crate::binary_time::Moment;
use crate::error::StoreError;

/// The values that only lines tell may take so much memory. Less in debug builds, so that small tests reach it.
const LINE_VALUES_BYTES_MAX: usize = if cfg!(debug_assertions) { 1 << 20 } else { 64 << 20 };

/// An answer, or why there is none.
enum Counted<T> {
    All(T),
    /// It takes too long, or too much memory.
    TooMuch,
    TooManyBars,
}

/// Takes the answer out, or returns why there is none.
macro_rules! all {
    ($counted:expr) => {
        match $counted {
            Counted::All(all) => all,
            Counted::TooMuch => return Ok(Counted::TooMuch),
            Counted::TooManyBars => return Ok(Counted::TooManyBars),
        }
    };
}

impl Reader {
    /// The exact number of matching events.
    ///
    /// # Errors
    /// When the store cannot be read, or that takes too long.
    pub fn count(&self, filter: &Filter) -> Result<u64, StoreError> {
        self.counted(filter, async |client, tally| tally.total(client).await)
    }

    /// How many matching events each value of `field` has, most frequent first, at most `top` values.
    ///
    /// # Errors
    /// When the store cannot be read, or that takes too long.
    pub fn facets(
        &self,
        filter: &Filter,
        field: FacetField,
        top: usize,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let values = self.values(filter, field, "", top)?;
        Ok(values.into_iter().map(|FacetValue { value, count, .. }| (value, count)).collect())
    }

    /// The same with the names of actors, for values that have `part` in them, or in the name, in upper or lower case.
    ///
    /// # Errors
    /// When the store cannot be read, or that takes too long.
    pub fn values(
        &self,
        filter: &Filter,
        field: FacetField,
        part: &str,
        top: usize,
    ) -> Result<Vec<FacetValue>, StoreError> {
        let part = part.to_lowercase();
        let asked = Asked { fields: &[field], part: &part, top, has_total: false };
        let mut facets = self.counted(filter, async |client, tally| {
            let (facets, _) = all!(tally.facets(client, &asked, Lines::of(&asked, None)).await?);
            Ok(Counted::All(facets.by_field))
        })?;
        Ok(facets.pop().unwrap_or_default())
    }

    /// How many matching events fall into each span of `bucket` by time, the earliest first; empty spans are left out.
    ///
    /// # Errors
    /// [`StoreError::Buckets`] if there would be too many; when the store cannot be read, or that takes too long.
    pub fn histogram(&self, filter: &Filter, bucket: Duration) -> Result<Vec<(Timestamp, u64)>, StoreError> {
        let asked = Asked { fields: &[], part: "", top: 0, has_total: true };
        self.counted(filter, async |client, tally| {
            let lines = Lines::of(&asked, Some(Bars::new(bucket)));
            let (_, lines) = all!(tally.facets(client, &asked, lines).await?);
            let bars = all!(tally.bars(client, bucket, &lines).await?);
            Ok(Counted::All(bars.into_counts()))
        })
    }

    /// Counts matching events by each field, at most `top` values of each, and over time. Without a `bucket`, the bars are
    /// as narrow as possible while there are still few.
    ///
    /// # Errors
    /// As [`histogram`](Reader::histogram).
    pub fn summary(
        &self,
        filter: &Filter,
        top: usize,
        bucket: Option<Duration>,
    ) -> Result<Summary, StoreError> {
        let fields = FacetField::NAMED.map(|(_, field)| field);
        let asked = Asked { fields: &fields, part: "", top, has_total: true };
        self.counted(filter, async |client, tally| {
            let lines = Lines {
                is_fitting: bucket.is_none(),
                ..Lines::of(&asked, Some(bucket.map_or_else(Bars::fine, Bars::new)))
            };
            let (facets, lines) = all!(tally.facets(client, &asked, lines).await?);
            let bars = match bucket {
                Some(bucket) => all!(tally.bars(client, bucket, &lines).await?),
                None => all!(tally.fitting_bars(client, &lines).await?),
            };
            let names = FacetField::NAMED.iter().map(|(name, _)| *name);
            Ok(Counted::All(Summary {
                total: facets.total,
                facets: names.zip(facets.by_field).collect(),
                bucket: bucket.unwrap_or_else(|| bars.width()),
                histogram: bars.into_counts(),
            }))
        })
    }

    fn counted<T>(
        &self,
        filter: &Filter,
        count: impl AsyncFnOnce(&Client, &Tally<'_>) -> Result<Counted<T>, Error>,
    ) -> Result<T, StoreError> {
        let filter = &filter.as_stored(&self.keys);
        let deadline = Instant::now() + self.within;
        let counted = self.run(self.within, async |client| {
            let mut narrowing = Narrowing::of(filter);
            if narrowing.asks_for_indexes() {
                let trails = origins(client).await?;
                narrowing.of_origins(&trails.into_iter().map(|known| known.origin).collect::<Vec<_>>());
            }
            count(client, &Tally { filter, narrowing: &narrowing, deadline }).await
        })?;
        match counted {
            Counted::All(answer) => Ok(answer),
            Counted::TooMuch => Err(self.too_much()),
            Counted::TooManyBars => Err(StoreError::Buckets { max: HISTOGRAM_BUCKETS_MAX }),
        }
    }
}

/// What is counted by.
struct Asked<'a> {
    fields: &'a [FacetField],
    /// Only values with this in them, or in the name; in small letters.
    part: &'a str,
    top: usize,
    /// Whether the number of all events is wanted too.
    has_total: bool,
}

impl Asked<'_> {
    fn wants(&self, value: &str, name: Option<&str>) -> bool {
        let has = |text: &str| text.to_lowercase().contains(self.part);
        self.part.is_empty() || has(value) || name.is_some_and(has)
    }
}

/// The most frequent values of each field, and how many events there are.
#[derive(Default)]
struct Facets {
    total: u64,
    by_field: Vec<Vec<FacetValue>>,
}

/// What was counted by lines.
struct Lines {
    total: u64,
    by_field: Vec<ByValue>,
    bars: Option<Bars>,
    /// Whether the bars may get wider.
    is_fitting: bool,
}

impl Lines {
    fn of(asked: &Asked<'_>, bars: Option<Bars>) -> Lines {
        let by_field = asked.fields.iter().map(|_| ByValue::default()).collect();
        Lines { total: 0, by_field, bars, is_fitting: false }
    }

    /// Counts an event that the filter accepts, by all fields.
    fn add(&mut self, asked: &Asked<'_>, fields: Option<&Fields<'_>>) {
        self.total += 1;
        let Some(fields) = fields else { return };
        match &mut self.bars {
            Some(bars) if self.is_fitting => bars.add_fitting(Timestamp::from_micros(fields.time), 1),
            Some(bars) => bars.add(Timestamp::from_micros(fields.time), 1),
            None => {}
        }
        (0..asked.fields.len()).for_each(|place| self.add_value(asked, place, fields));
    }

    fn add_value(&mut self, asked: &Asked<'_>, place: usize, fields: &Fields<'_>) {
        let (Some(field), Some(counts)) = (asked.fields.get(place), self.by_field.get_mut(place)) else {
            return;
        };
        let name = field.name_in(fields);
        if let Some(value) = field.value_in(fields).filter(|value| asked.wants(value, name)) {
            counts.add(value, name, 1);
        }
    }

    fn is_too_much(&self) -> bool {
        self.by_field.iter().map(ByValue::bytes).sum::<usize>() > LINE_VALUES_BYTES_MAX
    }

    fn has_too_many_bars(&self) -> bool {
        self.bars.as_ref().is_some_and(Bars::is_too_many)
    }
}

/// Counts what a filter accepts.
struct Tally<'a> {
    /// In terms of what lines hold.
    filter: &'a Filter,
    narrowing: &'a Narrowing,
    deadline: Instant,
}

impl Tally<'_> {
    async fn total(&self, client: &Client) -> Result<Counted<u64>, Error> {
        let asked = Asked { fields: &[], part: "", top: 0, has_total: true };
        let (mut sure, mut unsure) = (0, 1);
        if self.narrowing.is_never() {
            return Ok(Counted::All(0));
        }
        if let Some(sql) = statement::count(self.narrowing) {
            let rows = client.query_typed(sql.as_str(), &sql.parameters()).await?;
            let [row] = rows.as_slice() else { return Ok(Counted::All(0)) };
            unsure = row.try_get::<_, i64>(1)?;
            sure = row.try_get::<_, i64>(0)? - unsure;
        }
        if Instant::now() >= self.deadline {
            return Ok(Counted::TooMuch);
        }
        let mut lines = Lines::of(&asked, None);
        if unsure > 0 {
            lines = all!(self.lines(client, &asked, lines).await?);
        }
        Ok(Counted::All(sure.unsigned_abs() + lines.total))
    }

    /// The most frequent values, and what of it lines told; `lines` has counted nothing yet.
    async fn facets(
        &self,
        client: &Client,
        asked: &Asked<'_>,
        lines: Lines,
    ) -> Result<Counted<(Facets, Lines)>, Error> {
        if self.narrowing.is_never() {
            let by_field = asked.fields.iter().map(|_| Vec::new()).collect();
            return Ok(Counted::All((Facets { total: 0, by_field }, lines)));
        }
        let mut groups = Groups::new(asked);
        if self.narrowing.doubts != Doubts::All {
            all!(self.group(client, asked, &mut groups).await?);
            if !groups.has_untold {
                return Ok(Counted::All((groups.into_facets(&lines), lines)));
            }
            // Once more: what the lines tell belongs to the same values.
            groups = Groups::new(asked);
        }
        let mut lines = all!(self.lines(client, asked, lines).await?);
        groups.by_lines = std::mem::take(&mut lines.by_field);
        if self.narrowing.doubts != Doubts::All {
            all!(self.group(client, asked, &mut groups).await?);
        }
        Ok(Counted::All((groups.into_facets(&lines), lines)))
    }

    async fn group(
        &self,
        client: &Client,
        asked: &Asked<'_>,
        groups: &mut Groups<'_>,
    ) -> Result<Counted<()>, Error> {
        let sql =
            Grouped { narrowing: self.narrowing, fields: asked.fields }.values(asked.has_total, asked.part);
        let is_whole = each_row(client, &sql, self.deadline, &mut |row| {
            let (value, name): (&str, Option<&str>) = (row.try_get(1)?, row.try_get(2)?);
            let n = row.try_get::<_, i64>(3)?.unsigned_abs();
            groups.add(row.try_get(0)?, value, name, n);
            Ok(ControlFlow::Continue(64 + value.len() + name.map_or(0, str::len)))
        })
        .await?;
        groups.end_run();
        Ok(if is_whole { Counted::All(()) } else { Counted::TooMuch })
    }

    /// Counts by the lines of which columns do not tell enough.
    async fn lines(
        &self,
        client: &Client,
        asked: &Asked<'_>,
        mut lines: Lines,
    ) -> Result<Counted<Lines>, Error> {
        let sql = Grouped { narrowing: self.narrowing, fields: asked.fields }.lines();
        let is_whole = each_row(client, &sql, self.deadline, &mut |row| {
            let (origin, line): (&str, &[u8]) = (row.try_get(0)?, row.try_get(1)?);
            let (is_unsure, untold): (bool, i64) = (row.try_get(2)?, row.try_get(3)?);
            let fields = Fields::of_line(line);
            if !is_unsure {
                let places = (0..asked.fields.len()).filter(|place| untold >> place & 1 == 1);
                if let Some(fields) = &fields {
                    places.for_each(|place| lines.add_value(asked, place, fields));
                }
            } else if accepts(self.filter, origin, line) {
                lines.add(asked, fields.as_ref());
            }
            let is_enough = lines.is_too_much() || lines.has_too_many_bars();
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(64 + line.len()) })
        })
        .await?;
        Ok(match is_whole {
            true => Counted::All(lines),
            false if lines.has_too_many_bars() => Counted::TooManyBars,
            false => Counted::TooMuch,
        })
    }

    /// Bars of this width, with what lines have told.
    async fn bars(&self, client: &Client, width: Duration, lines: &Lines) -> Result<Counted<Bars>, Error> {
        let mut bars = Bars::new(width);
        if self.narrowing.doubts != Doubts::All && !self.narrowing.is_never() {
            let sql = Grouped { narrowing: self.narrowing, fields: &[] }.bars(width);
            let begin = |row: &Row| -> Result<Timestamp, Error> {
                if !Grouped::has_numbered_bars(width) {
                    return Ok(row.try_get::<_, Moment>(0)?.time());
                }
                let micros = i64::try_from(width.as_micros()).unwrap_or(i64::MAX);
                Ok(Timestamp::from_micros(row.try_get::<_, i64>(0)?.saturating_mul(micros)))
            };
            let is_whole = each_row(client, &sql, self.deadline, &mut |row| {
                bars.add(begin(row)?, row.try_get::<_, i64>(1)?.unsigned_abs());
                Ok(ControlFlow::Continue(64))
            })
            .await?;
            if !is_whole {
                return Ok(Counted::TooMuch);
            }
        }
        if let Some(by_lines) = &lines.bars {
            bars.merge(by_lines);
        }
        Ok(if bars.is_too_many() { Counted::TooManyBars } else { Counted::All(bars) })
    }

    /// Bars of a width with which there are few.
    async fn fitting_bars(&self, client: &Client, lines: &Lines) -> Result<Counted<Bars>, Error> {
        let mut fitting = Fitting::default();
        while let Some(width) = fitting.asks_for() {
            match self.bars(client, width, lines).await? {
                Counted::All(bars) => fitting.take(Some(bars)),
                Counted::TooManyBars => fitting.take(None),
                Counted::TooMuch => return Ok(Counted::TooMuch),
            }
        }
        Ok(Counted::All(fitting.into_bars()))
    }
}

/// Groups of rows as they come, in the order of fields and values.
struct Groups<'a> {
    asked: &'a Asked<'a>,
    most: Vec<MostFrequent>,
    /// What lines have told of each field.
    by_lines: Vec<ByValue>,
    total: u64,
    /// Whether there are rows of which only the lines tell.
    has_untold: bool,
    /// The value whose groups are coming.
    run: Option<(usize, String, ByValue)>,
}

impl<'a> Groups<'a> {
    fn new(asked: &'a Asked<'a>) -> Groups<'a> {
        Groups {
            asked,
            most: asked.fields.iter().map(|_| MostFrequent::new(asked.top)).collect(),
            by_lines: Vec::new(),
            total: 0,
            has_untold: false,
            run: None,
        }
    }

    fn add(&mut self, field: i64, value: &str, name: Option<&str>, n: u64) {
        match (field, value) {
            (TOTAL, "true") => self.has_untold = true,
            (TOTAL, _) => self.total += n,
            (_, value) if value.contains(UNTOLD) => {
                self.has_untold = !cfg!(trailseal_fault = "store_untold_values_left_out");
            }
            _ => self.add_value(field.unsigned_abs() as usize, value, name, n),
        }
    }

    fn add_value(&mut self, place: usize, value: &str, name: Option<&str>, n: u64) {
        if !self.asked.wants(value, name) {
            return;
        }
        if self.run.as_ref().is_none_or(|(known, of, _)| (*known, of.as_str()) != (place, value)) {
            self.end_run();
        }
        let (_, _, counts) = self.run.get_or_insert_with(|| (place, value.to_owned(), ByValue::default()));
        counts.add(value, name, n);
    }

    fn end_run(&mut self) {
        let Some((place, value, mut counts)) = self.run.take() else { return };
        if let Some(by_lines) = self.by_lines.get_mut(place) {
            counts.move_from(by_lines, &value);
        }
        if let Some(most) = self.most.get_mut(place) {
            counts.offer_to(most);
        }
    }

    fn into_facets(mut self, lines: &Lines) -> Facets {
        for (most, by_lines) in self.most.iter_mut().zip(self.by_lines) {
            by_lines.offer_to(most);
        }
        let by_field = self.most.into_iter().map(MostFrequent::into_values).collect();
        Facets { total: self.total + lines.total, by_field }
    }
}
