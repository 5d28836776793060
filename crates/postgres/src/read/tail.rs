//! Following a store: what arrives after a position, each event once.
//!
//! Each trail's rows become visible together with its cursor, and their indexes leave no gap. So what lies between a
//! position and the cursors is exactly what has arrived since, however late a trail delivers what it recorded. A look takes
//! some indexes of each trail that has more, in one snapshot, and works on a bounded number of rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, Error, Row};
use trailseal_event::filter::Filter;
use trailseal_event::{Hit, Index, Order};

use super::extent::{Extent, Indexes, extents_of, recorded_of};
use super::narrow::Narrowing;
use super::position::StorePosition;
use super::sql::Sql;
use super::statement::{Wanted, narrowed};
use super::walk::{StoredOrigin, Walk, accepts, origins};
use super::walk_position::{Place, StoreCursor};
use super::windows::Bounds;
use super::{PAGE_BYTES_MAX, Reader};
use crate::binary_time::Moment;
use crate::error::StoreError;

/// One statement looks at this many rows, and returns so many. Fewer in debug builds, so that small tests take several.
const STEP_ROWS: i64 = if cfg!(debug_assertions) { 32 } else { 16_384 };
const ROWS: i64 = if cfg!(debug_assertions) { 8 } else { 256 };
/// It is about so many trails at most, with so many rows of each at least.
const TRAILS: usize = if cfg!(debug_assertions) { 3 } else { 256 };
const SHARE_MIN: i64 = if cfg!(debug_assertions) { 4 } else { 64 };

/// What has arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The events: those of one trail in their order, and those of one look by recording.
    pub hits: Vec<Hit>,
    /// The position after them.
    pub next: StorePosition,
    /// Whether that is all there is now.
    pub is_all: bool,
}

impl Reader {
    /// A look takes rows of at most this many trails at a time, first of those that lag the furthest.
    pub const TRAILS_AT_ONCE: usize = TRAILS;

    /// The position of a follower that has seen everything so far.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn end(&self) -> Result<StorePosition, StoreError> {
        Ok(end_of(&self.origins()?))
    }

    /// The `count` newest events by recording, the oldest of them first, and the position after all that is there.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn newest(&self, filter: &Filter, count: usize) -> Result<(Vec<Hit>, StorePosition), StoreError> {
        let filter = &filter.as_stored(&self.keys);
        let order = Order::NEWEST_RECORDED;
        let walk = Walk { filter, order, limit: count, bytes_max: usize::MAX, deadline: None };
        let (mut hits, trails) = self.run(self.within, async |client| {
            let trails = origins(client).await?;
            let hits = if count == 0 { Vec::new() } else { walk.run(client, None).await?.hits };
            Ok((hits, trails))
        })?;
        hits.reverse();
        Ok((hits, end_of(&trails)))
    }

    /// Up to `limit` events that have arrived after `position`. With a `budget` it may stop before, but never without
    /// having got on; it also stops at [`PAGE_BYTES_MAX`]. Fewer than `limit` events need not be all.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn after(
        &self,
        filter: &Filter,
        position: &StorePosition,
        limit: usize,
        budget: Option<Duration>,
    ) -> Result<Arrived, StoreError> {
        self.after_fairly(filter, position, limit, usize::MAX, budget)
    }

    /// The same, with up to `of_each` events of each trail, so that no trail keeps the others out of a look.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn after_fairly(
        &self,
        filter: &Filter,
        position: &StorePosition,
        limit: usize,
        of_each: usize,
        budget: Option<Duration>,
    ) -> Result<Arrived, StoreError> {
        let filter = &filter.as_stored(&self.keys);
        let deadline = budget.map(|budget| Instant::now() + budget);
        let narrowing = &Narrowing::of(filter);
        let look = Look { filter, narrowing, limit: limit.max(1), of_each: of_each.max(1), deadline };
        self.run(self.within, async |client| look.run(client, position).await)
    }

    /// The position after the last event of a page by recording, the oldest first. What arrives later is after it, also
    /// if it was recorded before.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn position_after(&self, cursor: &StoreCursor) -> Result<StorePosition, StoreError> {
        self.run(self.within, async |client| position_at(client, &cursor.place).await)
    }
}

fn end_of(trails: &[StoredOrigin]) -> StorePosition {
    let mut end = StorePosition::default();
    trails.iter().for_each(|trail| end.move_to(&trail.origin, trail.next.get()));
    end
}

/// A look at what has arrived.
struct Look<'a> {
    filter: &'a Filter,
    narrowing: &'a Narrowing,
    limit: usize,
    of_each: usize,
    deadline: Option<Instant>,
}

impl Look<'_> {
    async fn run(&self, client: &Client, position: &StorePosition) -> Result<Arrived, Error> {
        let trails = origins(client).await?;
        let mut arrived = Arrived { hits: Vec::new(), next: position.clone(), is_all: false };
        let (mut bytes, mut of_trail) = (0, BTreeMap::<String, usize>::new());
        loop {
            let is_full = |origin: &String| of_trail.get(origin).is_some_and(|count| *count >= self.of_each);
            let some = self.new_indexes(&trails, &mut arrived.next, is_full);
            if some.is_empty() {
                arrived.is_all = !trails.iter().any(|trail| is_full(&trail.origin));
                return Ok(arrived);
            }
            let is_late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if arrived.hits.len() >= self.limit || (is_late && arrived.next != *position) {
                return Ok(arrived);
            }
            let recorded = recorded_of(client, &some).await?;
            let sql = self.sql(&some, recorded);
            let rows = client.query_typed(sql.as_str(), &sql.parameters()).await?;
            let is_cut = rows.len() as i64 >= ROWS;
            for row in rows {
                if arrived.hits.len() >= self.limit || bytes >= PAGE_BYTES_MAX {
                    return Ok(arrived);
                }
                let (origin, index, line) = in_row(&row)?;
                let count = of_trail.entry(origin.clone()).or_default();
                if *count >= self.of_each {
                    continue;
                }
                arrived.next.pass(&origin, index);
                if accepts(self.filter, &origin, &line) {
                    *count += 1;
                    bytes += line.len();
                    arrived.hits.extend(Hit::new(Arc::from(origin), index, line));
                }
            }
            if !is_cut || cfg!(trailseal_fault = "store_tail_passes_unread") {
                let is_full =
                    |origin: &String| of_trail.get(origin).is_some_and(|count| *count >= self.of_each);
                let read = some.iter().filter(|part| !is_full(&part.origin));
                read.for_each(|part| arrived.next.move_to(&part.origin, part.high.unsigned_abs()));
            }
        }
    }

    /// Indexes that were not seen yet, of trails that are not full. What can be told at once not to match is passed.
    fn new_indexes(
        &self,
        trails: &[StoredOrigin],
        next: &mut StorePosition,
        is_full: impl Fn(&String) -> bool,
    ) -> Vec<Indexes> {
        let mut lagging: Vec<Indexes> = Vec::new();
        for StoredOrigin { origin, next: end } in trails {
            let is_wanted = self.filter.origin.is_empty() || self.filter.origin.contains(origin);
            if !is_wanted || self.narrowing.is_never() {
                next.move_to(origin, end.get());
                continue;
            }
            if is_full(origin) {
                continue;
            }
            let (low, high) = (next.next_of(origin), end.get());
            if let (true, Ok(low), Ok(high)) = (low < high, low.try_into(), high.try_into()) {
                lagging.push(Indexes { origin: origin.clone(), low, high });
            }
        }
        // Whoever is left out lags further, and so comes in turn.
        lagging.sort_by_key(|indexes| indexes.low - indexes.high);
        lagging.truncate(TRAILS);
        let share = (STEP_ROWS / (lagging.len() as i64).max(1)).max(SHARE_MIN);
        for indexes in &mut lagging {
            indexes.high = indexes.high.min(indexes.low + share);
        }
        lagging
    }

    /// The rows with these indexes, without those that certainly do not match.
    fn sql(&self, some: &[Indexes], recorded: Bounds) -> Sql {
        let mut sql = Sql::default();
        sql.push("SELECT found.origin, found.idx, found.line FROM ");
        parts(some, &mut sql);
        sql.push("SELECT recorded, origin, idx, line FROM trailseal.events");
        let mut wanted = Wanted::new(&mut sql);
        wanted.and().push("origin = trail AND idx >= low AND idx < high");
        wanted.bounds("recorded", recorded);
        narrowed(self.narrowing, &mut wanted);
        // Trail by trail, so that none is looked for by reading a whole partition.
        sql.push(" OFFSET 0) AS found ORDER BY found.recorded, found.origin, found.idx LIMIT ").number(ROWS);
        sql
    }
}

fn in_row(row: &Row) -> Result<(String, Index, Vec<u8>), Error> {
    Ok((row.try_get(0)?, Index::new(row.try_get::<_, i64>(1)?.unsigned_abs()), row.try_get(2)?))
}

/// The first index of each trail that comes after `place` by recording.
async fn position_at(client: &Client, place: &Place) -> Result<StorePosition, Error> {
    let mut trails: Vec<Indexes> = Vec::new();
    for StoredOrigin { origin, next } in origins(client).await? {
        trails.extend(next.get().try_into().ok().map(|high| Indexes { origin, low: 0, high }));
    }
    let mut month = Some(Bounds::default());
    for Extent { origin, first, last, recorded } in extents_of(client, &trails).await? {
        let Some(trail) = trails.iter_mut().find(|trail| trail.origin == origin) else { continue };
        match recorded {
            Some((_, to)) if to <= place.recorded.time() => trail.low = trail.low.max(last + 1),
            Some((from, _)) if from > place.recorded.time() => trail.high = trail.high.min(first),
            Some((from, to)) => month = month.map(|_| Bounds { from: Some(from), to: Some(to) }),
            // It lies who knows where.
            None => month = None,
        }
    }
    let month = month.unwrap_or_default();
    // By halves: `recorded` never goes back within a trail.
    loop {
        let middle = |trail: &Indexes| Indexes { low: trail.low.midpoint(trail.high), ..trail.clone() };
        let asked: Vec<Indexes> = trails.iter().filter(|trail| trail.low < trail.high).map(middle).collect();
        if asked.is_empty() {
            break;
        }
        let found = firsts_of(client, &asked, month).await?;
        for trail in &mut trails {
            let Some(asked) = asked.iter().find(|asked| asked.origin == trail.origin) else { continue };
            let first = found.iter().find(|first| first.origin == trail.origin);
            match first.filter(|first| first.in_order() <= place.in_order()) {
                Some(first) => trail.low = first.index + 1,
                None => trail.high = asked.low,
            }
        }
    }
    let mut position = StorePosition::default();
    trails.iter().for_each(|trail| position.move_to(&trail.origin, trail.low.unsigned_abs()));
    Ok(position)
}

impl Place {
    /// What orders events by recording.
    fn in_order(&self) -> (Moment, &str, i64) {
        (self.recorded, &self.origin, self.index)
    }
}

/// The place of the first event of each of these, by recording.
async fn firsts_of(client: &Client, some: &[Indexes], recorded: Bounds) -> Result<Vec<Place>, Error> {
    let mut sql = Sql::default();
    sql.push("SELECT trail, found.recorded, found.idx FROM ");
    parts(some, &mut sql);
    sql.push("SELECT recorded, idx FROM trailseal.events");
    let mut wanted = Wanted::new(&mut sql);
    wanted.and().push("origin = trail AND idx >= low AND idx < high");
    wanted.bounds("recorded", recorded);
    sql.push(" ORDER BY idx LIMIT 1) AS found");
    let one = |row: &Row| -> Result<Place, Error> {
        let recorded: Moment = row.try_get(1)?;
        Ok(Place { time: recorded, recorded, origin: row.try_get(0)?, index: row.try_get(2)? })
    };
    client.query_typed(sql.as_str(), &sql.parameters()).await?.iter().map(one).collect()
}

/// What a statement about these begins with: for each of them, what the sub-select that follows finds.
fn parts(some: &[Indexes], sql: &mut Sql) {
    let origins: Vec<String> = some.iter().map(|indexes| indexes.origin.clone()).collect();
    let (lows, highs): (Vec<i64>, Vec<i64>) = some.iter().map(|it| (it.low, it.high)).unzip();
    sql.push("unnest(").texts(&origins).push(", ").numbers(&lows).push(", ").numbers(&highs);
    sql.push(") AS part(trail, low, high) CROSS JOIN LATERAL (");
}
