//! Reading the store: the same filters, orders and pages as a search in a trail's folder.
//!
//! In: a [`Filter`], an order, a cursor. Out: events in one order over all trails: by time, which is (effective time,
//! `recorded`, origin, index), or by recording, which is the same without the first. SQL only narrows ([`narrow`]): it
//! never leaves out a match, and each line is judged by its bytes, by the filter itself, so that a filter means the same
//! here and there. One page is one transaction, which sees the store at one moment.

mod checkpoints;
mod condition;
mod extent;
mod fetch;
mod grouped;
mod narrow;
mod partitions;
mod planned_statements;
mod position;
mod positions;
mod retired;
mod sql;
mod statement;
mod tail;
mod tally;
mod walk;
mod walk_position;
mod windows;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, Error};
use trailseal_core::deliver::MustEnd;
use trailseal_event::filter::{Filter, IdFilter};
use trailseal_event::mask::MaskKey;
use trailseal_event::{Hit, Index, Order};

pub use checkpoints::StoredTrail;
pub use position::{StorePosition, StorePositionError};
pub use retired::RetiredEvent;
pub use tail::Arrived;
pub use walk::StoredOrigin;
use walk::{Found, Walk};
use walk_position::Place;
pub use walk_position::{StoreCursor, StoreCursorError};

use crate::connect::Pool;
use crate::error::StoreError;
use crate::schema;

/// A page with a budget ends at this many bytes of lines, whatever its limit.
pub const PAGE_BYTES_MAX: usize = 2 << 20;
/// How many events, and about how many bytes of them, are fetched at once where all are wanted.
const SOME: usize = 2_000;
const SOME_BYTES: usize = 8 << 20;
/// More events than this do not have one id, unless somebody makes them.
const SAME_ID_MAX: usize = 1_000;
/// A connection must get free within this.
const CONNECTION_WITHIN: Duration = Duration::from_secs(30);
/// What has no budget may take this long, each page of it, unless the reader says otherwise.
const WITHIN: Duration = Duration::from_secs(600);
/// A page with a budget may take this much longer.
const GRACE: Duration = Duration::from_secs(30);

/// One page of results.
#[derive(Clone, Debug)]
pub struct StorePage {
    /// The events, in the requested order.
    pub hits: Vec<Hit>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<StoreCursor>,
    /// Set if the time budget or the byte limit ended the page before it was full: how many rows were looked at.
    pub scanned: Option<u64>,
}

/// Searches a store. A clone reads through the same connections.
#[derive(Clone)]
pub struct Reader {
    pool: Arc<Pool>,
    /// Hash what filters ask for as masking does.
    keys: Vec<MaskKey>,
    within: Duration,
    must_end: MustEnd,
}

impl Reader {
    /// Reads through these connections.
    pub fn new(pool: Arc<Pool>) -> Reader {
        Reader { pool, keys: Vec::new(), within: WITHIN, must_end: MustEnd::default() }
    }

    /// From now on, values that masking replaced by their hash with one of these keys are found too.
    #[must_use]
    pub fn with_mask_keys(mut self, keys: Vec<MaskKey>) -> Reader {
        self.keys = keys;
        self
    }

    /// The same reader for somebody who may stop waiting: when `must_end` is set, what it does ends soon, here and at the server.
    #[must_use]
    pub fn until(&self, must_end: &MustEnd) -> Reader {
        Reader { must_end: must_end.clone(), ..self.clone() }
    }

    /// From now on, what has no budget ends with [`StoreError::WorkLimit`] if it takes longer than this: a count, a summary,
    /// each page of a long walk.
    #[must_use]
    pub fn within(mut self, within: Duration) -> Reader {
        self.within = within.min(WITHIN);
        self
    }

    /// Returns up to `limit` events from `cursor` on. With a `budget` it may stop before the page is full; it also stops
    /// when the page has [`PAGE_BYTES_MAX`]. The page then says how far it got, and its `next` continues from there.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn page(
        &self,
        filter: &Filter,
        order: Order,
        cursor: Option<&StoreCursor>,
        limit: usize,
        budget: Option<Duration>,
    ) -> Result<StorePage, StoreError> {
        let filter = filter.as_stored(&self.keys);
        let bytes_max = if budget.is_some() { PAGE_BYTES_MAX } else { usize::MAX };
        let place = cursor.map(|cursor| cursor.place.clone());
        let found = self.walk(&filter, order, place, limit, bytes_max, budget)?;
        let next = found.next.map(|place| StoreCursor { order, place });
        Ok(StorePage { hits: found.hits, next, scanned: found.is_short.then_some(found.looked) })
    }

    /// Calls `each` with up to `limit` matching events, in order, from `cursor` on. Returns where the next ones begin,
    /// if there are more.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn some(
        &self,
        filter: &Filter,
        order: Order,
        cursor: Option<&StoreCursor>,
        limit: usize,
        each: &mut dyn FnMut(&Hit) -> ControlFlow<()>,
    ) -> Result<Option<StoreCursor>, StoreError> {
        let filter = filter.as_stored(&self.keys);
        let (mut place, mut left) = (cursor.map(|cursor| cursor.place.clone()), limit);
        loop {
            let found = self.walk(&filter, order, place, left.min(SOME), SOME_BYTES, None)?;
            left = left.saturating_sub(found.hits.len());
            if found.hits.iter().any(|hit| each(hit).is_break()) {
                return Ok(None);
            }
            match found.next {
                Some(next) if left > 0 => place = Some(next),
                next => return Ok(next.map(|place| StoreCursor { order, place })),
            }
        }
    }

    /// Calls `each` with every matching event, in order, from `cursor` on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn each(
        &self,
        filter: &Filter,
        order: Order,
        cursor: Option<&StoreCursor>,
        each: &mut dyn FnMut(&Hit) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.some(filter, order, cursor, usize::MAX, each).map(drop)
    }

    /// The events that have this id, the newest first: one, unless it came in several times. The trail's own too. At most a
    /// thousand.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn by_id(&self, id: &str, tenant: Option<&str>) -> Result<Vec<Hit>, StoreError> {
        let filter = Filter {
            id: vec![IdFilter::Id(id.to_owned())],
            tenant: tenant.map(str::to_owned).into_iter().collect(),
            system: true,
            ..Filter::default()
        };
        Ok(self.page(&filter, Order::NEWEST, None, SAME_ID_MAX, None)?.hits)
    }

    /// The event at this place of a trail.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn at(&self, origin: &str, index: Index) -> Result<Option<Hit>, StoreError> {
        // Beyond what a column can hold there is no event, and no origin has NUL.
        let Ok(number) = i64::try_from(index.get()) else { return Ok(None) };
        if origin.contains('\0') {
            return Ok(None);
        }
        let line = self.run(self.within, async |client| walk::at(client, origin, number).await)?;
        Ok(line.and_then(|line| Hit::new(Arc::from(origin), index, line)))
    }

    /// Which of these events are there: the trail, the index and the id of each.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn are_there(&self, events: &[(String, Index, String)]) -> Result<Vec<bool>, StoreError> {
        self.run(self.within, async |client| positions::are_there(client, events).await)
    }

    /// The trails that have been delivered, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn origins(&self) -> Result<Vec<StoredOrigin>, StoreError> {
        self.run(self.within, async |client| walk::origins(client).await)
    }

    /// The trails that have been delivered, by name, each with its newest checkpoint here.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trails(&self) -> Result<Vec<StoredTrail>, StoreError> {
        self.run(self.within, async |client| checkpoints::trails(client).await)
    }

    /// The newest checkpoint of a trail, as a signed note.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn newest_checkpoint(&self, origin: &str) -> Result<Option<String>, StoreError> {
        if origin.contains('\0') {
            return Ok(None);
        }
        self.run(self.within, async |client| checkpoints::newest(client, origin).await)
    }

    /// # Errors
    /// Unless the store can be reached, and this program knows its schema.
    pub fn check_readable(&self) -> Result<(), StoreError> {
        self.check_readable_within(CONNECTION_WITHIN, &self.must_end)
    }

    /// # Errors
    /// Unless it is there and answers within this time.
    pub fn answers_within(&self, within: Duration) -> Result<(), StoreError> {
        self.check_readable_within(within, &MustEnd::default())
    }

    fn check_readable_within(&self, within: Duration, must_end: &MustEnd) -> Result<(), StoreError> {
        let mut lent = self.pool.get(within, must_end)?;
        let found = lent.run("ask for the schema of", within, async |client| schema::found(client).await)?;
        schema::readable(found, self.pool.url().shown())
    }

    fn walk(
        &self,
        filter: &Filter,
        order: Order,
        place: Option<Place>,
        limit: usize,
        bytes_max: usize,
        budget: Option<Duration>,
    ) -> Result<Found, StoreError> {
        if limit == 0 {
            return Ok(Found::at(place));
        }
        let budget = budget.map(|budget| budget.min(self.within));
        let deadline = budget.map(|budget| Instant::now() + budget);
        let within = budget.map_or(self.within, |budget| budget + GRACE);
        let walk = Walk { filter, order, limit, bytes_max, deadline };
        self.run(within, async move |client| walk.run(client, place).await)
    }

    /// Does `work` in a transaction that sees one moment and changes nothing.
    fn run<T>(
        &self,
        within: Duration,
        work: impl AsyncFnOnce(&Client) -> Result<T, Error>,
    ) -> Result<T, StoreError> {
        let mut lent = self.pool.get(CONNECTION_WITHIN, &self.must_end)?;
        // The server must not go on when nobody waits any more. Compiling a plan takes longer than running it.
        // Times that are sent as text must be read as they were meant.
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {}; SET LOCAL jit = off; \
             SET LOCAL datestyle = 'ISO'; SET LOCAL timezone = 'UTC'",
            within.as_millis().max(1)
        );
        // What takes too long the server ends; no answer at all is another trouble.
        let answer = lent.run("read", within + GRACE, async |client| {
            client.batch_execute(&begin).await?;
            let answer = work(client).await?;
            client.batch_execute("COMMIT").await?;
            Ok(answer)
        });
        match answer {
            Err(error) if error.is_canceled() => {
                Err(StoreError::WorkLimit { store: self.pool.url().shown().to_owned(), within })
            }
            answer => answer,
        }
    }

    fn too_much(&self) -> StoreError {
        StoreError::WorkLimit { store: self.pool.url().shown().to_owned(), within: self.within }
    }
}
