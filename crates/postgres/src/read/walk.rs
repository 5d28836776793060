//! A walk through the matches, from one place on: one transaction, window after window.

use std::sync::Arc;
use std::time::Instant;

use tokio_postgres::{Client, Error, Row};
use trailseal_event::filter::Filter;
use trailseal_event::{Hit, Index, Order};

use super::extent::{Indexes, recorded_of};
use super::narrow::Narrowing;
use super::partitions::{Partitions, partitions};
use super::planned_statements;
use super::sql::Sql;
use super::statement::{GATHERED_MAX, Plan, Rows, Wanted};
use super::walk_position::Place;
use super::windows::{Asked, Bounds, Pace, Window};

/// Rows of one statement: at first so many, though not more than wanted, and at most. Fewer in debug builds, so that small
/// tests go several ways.
const ROWS_MIN: usize = if cfg!(debug_assertions) { 4 } else { 64 };
const ROWS_FIRST: usize = 512;
const ROWS_MAX: usize = 4_096;
/// Fewer if lines are long: at most this many bytes, estimated from those before.
const ROWS_BYTES_MAX: usize = 4 << 20;
/// How many rows one statement looks at if it must not take long, at first and at most.
const STEP_MIN: i64 = if cfg!(debug_assertions) { 8 } else { 4_096 };
const STEP_MAX: i64 = if cfg!(debug_assertions) { 64 } else { 65_536 };
/// And always, where its plan is kept: each number would need another plan.
const STEP_KEPT: i64 = if cfg!(debug_assertions) { 32 } else { 16_384 };

/// A trail whose events are in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOrigin {
    /// Its name.
    pub origin: String,
    /// All its events below this index are there.
    pub next: Index,
}

/// What a walk looks for.
pub(super) struct Walk<'a> {
    /// In terms of what lines hold.
    pub(super) filter: &'a Filter,
    pub(super) order: Order,
    pub(super) limit: usize,
    /// It ends at this many bytes of lines.
    pub(super) bytes_max: usize,
    /// When it should end, short or not.
    pub(super) deadline: Option<Instant>,
}

/// What it has found, and how far it got.
#[derive(Default)]
pub(super) struct Found {
    pub(super) hits: Vec<Hit>,
    pub(super) bytes: usize,
    /// The last place that was looked at.
    reached: Option<Place>,
    /// Where the last hit is.
    given: Option<Place>,
    /// How many rows were looked at.
    pub(super) looked: u64,
    /// Where to go on, unless at the end.
    pub(super) next: Option<Place>,
    /// Whether it ended before the page was full, but not at the end.
    pub(super) is_short: bool,
}

impl Found {
    /// Nothing yet.
    pub(super) fn at(place: Option<Place>) -> Found {
        Found { next: place, ..Found::default() }
    }
}

/// Of what a statement is about.
struct Part<'a> {
    window: &'a Window,
    plan: Plan,
    rows: usize,
    step: Option<i64>,
}

/// Whether a statement said all there is in its window.
enum Told {
    All,
    /// There may be more.
    Some,
    /// The page is full, or has taken its time.
    Enough,
    /// Nothing: it gathered more rows than it could sort.
    TooMany,
}

impl Walk<'_> {
    /// The matches after `place`.
    pub(super) async fn run(&self, client: &Client, place: Option<Place>) -> Result<Found, Error> {
        let mut narrowing = Narrowing::of(self.filter);
        let mut found = Found { reached: place.clone(), ..Found::default() };
        if narrowing.is_never() {
            return Ok(found);
        }
        if narrowing.asks_for_indexes() {
            let origins = origins(client).await?;
            narrowing.of_origins(&origins.into_iter().map(|known| known.origin).collect::<Vec<_>>());
        }
        let bounds = narrowing.bounds();
        let mut known = match narrowing.is_of_few() {
            true => None,
            false => Some(partitions(client).await?),
        };
        let mut rows = self.limit.saturating_add(1).clamp(ROWS_MIN, ROWS_FIRST);
        let mut step = self.deadline.map(|_| STEP_MIN);
        let (mut pace, mut before, mut has_too_many) = (Pace::BEGIN, Plan::Own, false);
        'windows: loop {
            let reached = found.reached.clone();
            let asked = Asked { order: self.order, place: reached.as_ref(), bounds };
            let far = known.as_ref().filter(|_| !has_too_many).and_then(|of| pace.far(&of.known));
            let own = far.unwrap_or(pace);
            let plan = if known.is_none() || far.is_some() { Plan::Kept } else { Plan::Own };
            let (window, is_last) = match &known {
                None => (bounds, true),
                Some(Partitions { known, beyond }) => asked.window(known, *beyond, own),
            };
            if std::mem::replace(&mut before, plan) == Plan::Kept && plan == Plan::Own {
                planned_statements::forget(client, planned_statements::ANY_VALUES).await?;
            }
            loop {
                let part = Part { window: &window, plan, rows, step };
                match self.look(client, &narrowing, &part, &mut found).await? {
                    Told::Enough => return Ok(found),
                    Told::All => break,
                    Told::Some => {}
                    Told::TooMany => {
                        has_too_many = true;
                        if known.is_none() {
                            known = Some(partitions(client).await?);
                        }
                        continue 'windows;
                    }
                }
                rows = (rows * 2).min(ROWS_MAX).min(fitting(&found)).max(1);
                step = step.map(|step| (step * 4).min(STEP_MAX));
                if self.is_late() && found.reached != place {
                    found.next.clone_from(&found.reached);
                    found.is_short = true;
                    return Ok(found);
                }
            }
            if is_last {
                return Ok(found);
            }
            // What comes next lies behind this window.
            found.reached = window.end(self.order).or(found.reached.take());
            // A page that began where the window before ended has got no further in this one: it must, or whoever asks for the
            // next one would get the same for ever.
            let got_on = found.reached != place || cfg!(trailseal_fault = "store_page_gets_nowhere");
            if self.is_late() && got_on {
                found.next.clone_from(&found.reached);
                found.is_short = true;
                return Ok(found);
            }
            pace = own.after(found.hits.len(), self.limit.saturating_add(1).saturating_sub(found.hits.len()));
        }
    }

    async fn look(
        &self,
        client: &Client,
        narrowing: &Narrowing,
        part: &Part<'_>,
        found: &mut Found,
    ) -> Result<Told, Error> {
        let Part { window, plan, rows, step } = *part;
        let (rows, step) = match plan {
            Plan::Own => (rows, step),
            // Few numbers, so that few plans are kept.
            Plan::Kept => (rows.next_power_of_two(), step.map(|_| STEP_KEPT)),
        };
        // Each way of looking rows up may end with one that only says how far it came.
        let rows = i64::try_from(rows + narrowing.any.len()).unwrap_or(i64::MAX);
        let place = found.reached.clone();
        let statement =
            Rows { narrowing, order: self.order, place: place.as_ref(), window, plan, rows, step };
        let sql = statement.sql();
        let answer = match plan {
            Plan::Own => client.query_typed(sql.as_str(), &sql.parameters()).await?,
            Plan::Kept => planned_statements::query(client, &sql, planned_statements::ANY_VALUES).await?,
        };
        // Each row tells how many were gathered in all.
        let gathered: i64 = answer.first().map_or(Ok(0), |row| row.try_get(6))?;
        if gathered > GATHERED_MAX && !cfg!(trailseal_fault = "store_gathered_in_part") {
            return Ok(Told::TooMany);
        }
        let is_full = answer.len() as i64 >= rows;
        let mut looked = answer.len() as u64;
        for row in answer {
            let row = Looked::of(&row)?;
            let is_last = step == Some(row.seen);
            looked = looked.max(row.seen.unsigned_abs());
            // One that is found in several ways comes once for each.
            let is_new = found.reached.as_ref() != Some(&row.place);
            found.reached = Some(row.place.clone());
            if is_new && self.take(row, found) {
                found.looked += looked;
                return Ok(Told::Enough);
            }
            if is_last {
                found.looked += looked;
                return Ok(Told::Some);
            }
        }
        found.looked += looked;
        Ok(if is_full { Told::Some } else { Told::All })
    }

    /// Judges a row. True if the page is full.
    fn take(&self, row: Looked, found: &mut Found) -> bool {
        let Looked { place, line: Some(line), .. } = row else { return false };
        if !accepts(self.filter, &place.origin, &line) {
            return false;
        }
        let is_cut = found.bytes >= self.bytes_max;
        if found.hits.len() >= self.limit || is_cut {
            found.next.clone_from(&found.given);
            found.is_short = found.hits.len() < self.limit;
            return true;
        }
        let index = Index::new(place.index.unsigned_abs());
        let known = found.hits.last().map(|hit| &hit.origin).filter(|origin| ***origin == *place.origin);
        let origin = known.cloned().unwrap_or_else(|| Arc::from(place.origin.as_str()));
        found.bytes += line.len();
        if let Some(hit) = Hit::new(origin, index, line) {
            found.hits.push(hit);
            found.given = Some(place);
        }
        false
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// Judges a line of a trail.
pub(super) fn accepts(filter: &Filter, origin: &str, line: &[u8]) -> bool {
    if cfg!(trailseal_fault = "store_rows_not_judged") {
        return true;
    }
    (filter.origin.is_empty() || filter.origin.iter().any(|wanted| wanted == origin)) && filter.accepts(line)
}

/// A row that was looked at.
struct Looked {
    place: Place,
    /// Missing where the columns say that it does not match.
    line: Option<Vec<u8>>,
    /// Its number among those that were looked at.
    seen: i64,
}

impl Looked {
    fn of(row: &Row) -> Result<Looked, Error> {
        let place = Place {
            time: row.try_get(0)?,
            recorded: row.try_get(1)?,
            origin: row.try_get(2)?,
            index: row.try_get(3)?,
        };
        Ok(Looked { place, line: row.try_get(4)?, seen: row.try_get(5)? })
    }
}

fn fitting(found: &Found) -> usize {
    match found.hits.len() {
        0 => ROWS_MAX,
        hits => ROWS_BYTES_MAX * hits / found.bytes.max(1),
    }
}

/// The trails that have been delivered.
pub(super) async fn origins(client: &Client) -> Result<Vec<StoredOrigin>, Error> {
    const ORIGINS: &str = "SELECT origin, next FROM trailseal.cursors ORDER BY origin";
    let one = |row: &Row| -> Result<StoredOrigin, Error> {
        let next = Index::new(row.try_get::<_, i64>(1)?.unsigned_abs());
        Ok(StoredOrigin { origin: row.try_get(0)?, next })
    };
    client.query_typed(ORIGINS, &[]).await?.iter().map(one).collect()
}

/// One event, by its place: where its trail has it, and otherwise anywhere.
pub(super) async fn at(client: &Client, origin: &str, index: i64) -> Result<Option<Vec<u8>>, Error> {
    let Some(high) = index.checked_add(1) else { return Ok(None) };
    let known = recorded_of(client, &[Indexes { origin: origin.to_owned(), low: index, high }]).await?;
    let mut line = at_between(client, origin, index, known).await?;
    if line.is_none() && known != Bounds::default() {
        line = at_between(client, origin, index, Bounds::default()).await?;
    }
    Ok(line)
}

async fn at_between(
    client: &Client,
    origin: &str,
    index: i64,
    recorded: Bounds,
) -> Result<Option<Vec<u8>>, Error> {
    let mut sql = Sql::default();
    sql.push("SELECT line FROM trailseal.events");
    let mut wanted = Wanted::new(&mut sql);
    wanted.and().push("origin = ").text(origin).push(" AND idx = ").number(index);
    wanted.bounds("recorded", recorded);
    sql.push(" LIMIT 1");
    let rows = client.query_typed(sql.as_str(), &sql.parameters()).await?;
    rows.first().map(|row| row.try_get(0)).transpose()
}
