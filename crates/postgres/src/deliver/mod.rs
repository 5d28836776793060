//! The sink: batches of lines become rows, each batch in one transaction with the cursor.
//!
//! The transaction locks the cursor's row first, so of two writers of one origin the second waits, then finds that its batch
//! does not begin where the cursor is, and asks again. Whether a commit whose answer was lost took place, the cursor says:
//! asking for it waits for that transaction's end.

mod checkpoints;
mod copy;

pub(crate) use copy::{COLUMNS as ROW_COLUMNS, put_row};

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::SinkExt;
use futures_util::future::{try_join, try_join_all};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};
use trailseal_core::Folder;
use trailseal_core::deliver::{
    Batch, BatchLine, Dropped, KeptCheckpoints, MustEnd, Position, SealedCheckpoint, Sink, SinkError,
};
use trailseal_event::{Index, TIMESTAMP_BYTES, Timestamp};
use trailseal_tlog::Hash;

use crate::binary_time::Moment;
use crate::connect::{BEGIN, Connection};
use crate::error::StoreError;
use crate::retire::Retirement;
use crate::schema;
use crate::url::StoreUrl;
use copy::{COLUMNS, Rows, recorded_micros};

/// What the sink is called in messages and metrics.
pub const SINK_NAME: &str = "store";

/// A batch ends with this many lines, if the trail's limit of bytes does not end it before.
const BATCH_EVENTS_MAX: usize = 20_000;

/// Storing one batch takes at most so long.
const DELIVER_WITHIN: Duration = Duration::from_secs(120);

const ASK_WITHIN: Duration = Duration::from_secs(30);

/// A store with nothing to do is asked so often whether it is still there.
const ASK_EVERY: Duration = Duration::from_secs(15);

/// And the partitions of the next months are made so often.
const PARTITIONS_EVERY: Duration = Duration::from_secs(6 * 3_600);

const SELECT_CURSOR: &str = "SELECT next, leaf FROM trailseal.cursors WHERE origin = $1 FOR UPDATE";

const INSERT_CURSOR: &str =
    "INSERT INTO trailseal.cursors (origin, next) VALUES ($1, 0) ON CONFLICT (origin) DO NOTHING";

const MOVE_CURSOR: &str =
    "UPDATE trailseal.cursors SET next = $2, leaf = $3, moved = now() WHERE origin = $1";

const WIDEN_EXTENT: &str = "INSERT INTO trailseal.extents AS known \
    (origin, partition, first_idx, last_idx, min_time, rows) VALUES ($1, $2, $3, $4, $5, $6) \
    ON CONFLICT (origin, partition) DO UPDATE SET first_idx = least(known.first_idx, excluded.first_idx), \
    last_idx = greatest(known.last_idx, excluded.last_idx), min_time = least(known.min_time, excluded.min_time), \
    rows = known.rows + excluded.rows";

/// Delivers one trail to a store.
pub struct StoreSink {
    url: StoreUrl,
    origin: String,
    connection: Option<Connection>,
    must_end: MustEnd,
    /// Partitions that were there on this connection, by year and month.
    partitions: BTreeMap<Month, String>,
    /// The position, as far as this sink knows.
    position: Position,
    /// When the store last answered.
    answered: Instant,
    /// When the partitions of the next months were last made.
    made_ahead: Option<Instant>,
    /// What is under way of a retirement.
    retirement: Option<Retirement>,
}

/// Year and month of a moment, as its text begins: `2026-11`.
type Month = [u8; 7];

impl StoreSink {
    /// Delivers the trail `origin` to the store at `url`. It connects when it is first asked for its position.
    pub fn new(url: StoreUrl, origin: &str) -> StoreSink {
        StoreSink {
            url,
            origin: origin.to_owned(),
            connection: None,
            must_end: MustEnd::default(),
            partitions: BTreeMap::new(),
            position: Position::default(),
            answered: Instant::now(),
            made_ahead: None,
            retirement: None,
        }
    }

    /// Delivers another trail from now on, over the same connection.
    pub fn turn_to(&mut self, origin: &str) {
        self.origin = origin.to_owned();
        (self.position, self.retirement) = (Position::default(), None);
    }

    fn connected(&mut self) -> Result<&mut Connection, StoreError> {
        if self.connection.as_ref().is_none_or(Connection::is_broken) {
            self.connection = None;
            self.retirement = None;
            self.partitions.clear();
            let mut connection = self.url.connect(&self.must_end)?;
            schema::migrate(&mut connection)?;
            return Ok(self.connection.insert(connection));
        }
        match &mut self.connection {
            Some(connection) => Ok(connection),
            None => Err(StoreError::Ended { doing: "connect to", store: self.url.shown().to_owned() }),
        }
    }

    /// The cursor, once whatever transaction holds it has ended.
    fn cursor(&mut self) -> Result<Position, StoreError> {
        let origin = self.origin.clone();
        let position = self.connected()?.run("ask for the cursor in", ASK_WITHIN, async |client| {
            client.query_typed(INSERT_CURSOR, &[(&origin, Type::TEXT)]).await?;
            let (_, position) = try_join(client.batch_execute(BEGIN), select_cursor(client, &origin)).await?;
            client.batch_execute("COMMIT").await?;
            Ok(position)
        })?;
        self.position = position;
        self.answered = Instant::now();
        Ok(position)
    }

    /// Splits the lines by their months, which partitions are made of.
    fn parts_of<'a>(&mut self, lines: &'a [BatchLine<'a>]) -> Result<Vec<Part<'a>>, StoreError> {
        let recorded = |line: &BatchLine<'_>| Timestamp::from_micros(recorded_micros(line.bytes));
        let of_one_month = lines.chunk_by(|one, next| month_of(recorded(one)) == month_of(recorded(next)));
        let mut parts = Vec::new();
        for lines in of_one_month {
            let Some(recorded) = lines.first().map(recorded) else { continue };
            let partition = self.partition_of(month_of(recorded), recorded)?;
            parts.push(Part { partition, lines, rows: Rows::new() });
        }
        Ok(parts)
    }

    fn partition_of(&mut self, month: Month, recorded: Timestamp) -> Result<String, StoreError> {
        if let Some(name) = self.partitions.get(&month) {
            return Ok(name.clone());
        }
        let name = schema::partition_of(self.connected()?, recorded)?;
        self.partitions.insert(month, name.clone());
        Ok(name)
    }

    fn store(&mut self, batch: &Batch<'_>) -> Result<Stored, StoreError> {
        let mut parts = self.parts_of(batch.lines)?;
        let origin = self.origin.clone();
        let (first, end) = (batch.first, batch.end());
        self.connected()?.run("add events to", DELIVER_WITHIN, async |client| {
            let (_, position) = try_join(client.batch_execute(BEGIN), select_cursor(client, &origin)).await?;
            if position.cursor != first && !cfg!(trailseal_fault = "store_cursor_not_compared") {
                client.batch_execute("ROLLBACK").await?;
                return Ok(Stored::NotNext(position.cursor));
            }
            for part in &mut parts {
                let (table, kept) = (part.partition.clone(), add(client, &origin, part).await?);
                if kept != part.rows.len {
                    client.batch_execute("ROLLBACK").await?;
                    return Ok(Stored::Swallowed { table, given: part.rows.len, kept });
                }
            }
            let leaf = parts.last().map(|part| part.rows.last_leaf);
            let widening = try_join_all(parts.iter().map(|part| widen_extent(client, &origin, part)));
            let stored = Stored::All(Position { cursor: end, last_leaf: leaf });
            if cfg!(trailseal_fault = "store_cursor_moved_apart") {
                widening.await?;
                client.batch_execute("COMMIT").await?;
                std::thread::sleep(Duration::from_millis(2));
                move_cursor(client, &origin, end, leaf).await?;
                return Ok(stored);
            }
            let (widened, moved) = try_join(widening, move_cursor(client, &origin, end, leaf)).await?;
            for (table, rows) in widened.iter().map(|rows| ("extents", *rows)).chain([("cursors", moved)]) {
                if rows != 1 {
                    client.batch_execute("ROLLBACK").await?;
                    return Ok(Stored::Swallowed { table: table.to_owned(), given: 1, kept: rows });
                }
            }
            client.batch_execute("COMMIT").await?;
            Ok(stored)
        })
    }
}

/// How far a store has come with a trail, without waiting for what is under way; `None` if it knows nothing of that trail.
///
/// # Errors
/// When the store cannot be asked.
pub fn position_of(connection: &mut Connection, origin: &str) -> Result<Option<Position>, StoreError> {
    let origin = origin.to_owned();
    connection.run("ask for the cursor in", ASK_WITHIN, async |client| {
        let select = "SELECT next, leaf FROM trailseal.cursors WHERE origin = $1";
        let rows = client.query_typed(select, &[(&origin, Type::TEXT)]).await?;
        rows.first().map(position_in).transpose()
    })
}

/// The leaf hash that a store has of an event; `None` if it has no such event, or does not show it.
///
/// # Errors
/// When the store cannot be asked, or the role may not read events.
pub fn leaf_at(connection: &mut Connection, origin: &str, index: u64) -> Result<Option<Hash>, StoreError> {
    let index = index.cast_signed();
    connection.run("ask for an event in", ASK_WITHIN, async |client| {
        let select = "SELECT leaf FROM trailseal.events WHERE origin = $1 AND idx = $2";
        let rows = client.query_typed(select, &[(&origin, Type::TEXT), (&index, Type::INT8)]).await?;
        let leaf = rows.first().map(|row| row.try_get::<_, &[u8]>(0)).transpose()?;
        Ok(leaf.and_then(|leaf| leaf.try_into().ok()).map(Hash))
    })
}

/// What became of a batch.
enum Stored {
    /// It is there, and this is the position now.
    All(Position),
    /// It does not begin at this, the cursor.
    NotNext(Index),
    /// A trigger that somebody put on a table kept other rows than it was given, without an error. Nothing is stored.
    Swallowed { table: String, given: u64, kept: u64 },
}

/// The lines of a batch that belong to one partition.
struct Part<'a> {
    partition: String,
    lines: &'a [BatchLine<'a>],
    rows: Rows,
}

fn month_of(recorded: Timestamp) -> Month {
    let text: [u8; TIMESTAMP_BYTES] = recorded.to_text();
    let mut month = Month::default();
    month.copy_from_slice(&text[..7]);
    month
}

async fn select_cursor(client: &Client, origin: &String) -> Result<Position, tokio_postgres::Error> {
    let rows = client.query_typed(SELECT_CURSOR, &[(origin, Type::TEXT)]).await?;
    rows.first().map_or(Ok(Position::default()), position_in)
}

fn position_in(row: &Row) -> Result<Position, tokio_postgres::Error> {
    let next: i64 = row.try_get(0)?;
    let leaf: Option<&[u8]> = row.try_get(1)?;
    let last_leaf = leaf.and_then(|leaf| leaf.try_into().ok()).map(Hash);
    Ok(Position { cursor: Index::new(next.cast_unsigned()), last_leaf })
}

/// Makes the rows while the server takes those before. Returns how many it has kept.
async fn add(client: &Client, origin: &str, part: &mut Part<'_>) -> Result<u64, tokio_postgres::Error> {
    let partition = part.partition.replace('"', "\"\"");
    let copy = format!("COPY trailseal.\"{partition}\" ({COLUMNS}) FROM STDIN (FORMAT binary)");
    let copying = client.copy_in::<_, Bytes>(&copy).await?;
    let mut copying = std::pin::pin!(copying);
    for line in part.lines {
        part.rows.push(origin, line);
        if let Some(piece) = part.rows.take_full() {
            copying.feed(piece).await?;
        }
    }
    copying.feed(part.rows.take_last()).await?;
    copying.finish().await
}

/// Returns how many rows that has changed.
async fn widen_extent(
    client: &Client,
    origin: &String,
    part: &Part<'_>,
) -> Result<u64, tokio_postgres::Error> {
    let rows = &part.rows;
    let (first, last, len) = (rows.first.cast_signed(), rows.last.cast_signed(), rows.len.cast_signed());
    // As text, the year 0 would be refused: there is none in PostgreSQL.
    let time = Moment::of(Timestamp::from_micros(rows.time_min));
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 6] = [
        (origin, Type::TEXT),
        (&part.partition, Type::TEXT),
        (&first, Type::INT8),
        (&last, Type::INT8),
        (&time, Type::TIMESTAMPTZ),
        (&len, Type::INT8),
    ];
    client.execute_typed(WIDEN_EXTENT, &parameters).await
}

/// Returns how many rows that has changed.
async fn move_cursor(
    client: &Client,
    origin: &String,
    next: Index,
    leaf: Option<Hash>,
) -> Result<u64, tokio_postgres::Error> {
    let (next, leaf) = (next.get().cast_signed(), leaf.map(|leaf| leaf.0.to_vec()));
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(origin, Type::TEXT), (&next, Type::INT8), (&leaf, Type::BYTEA)];
    client.execute_typed(MOVE_CURSOR, &parameters).await
}

impl Sink for StoreSink {
    fn name(&self) -> &str {
        SINK_NAME
    }

    fn begin(&mut self, must_end: &MustEnd) {
        self.must_end = must_end.clone();
    }

    fn position(&mut self) -> Result<Position, SinkError> {
        Ok(self.cursor()?)
    }

    fn checkpoints(&mut self) -> Result<Option<KeptCheckpoints>, SinkError> {
        self.kept_checkpoints().map(Some)
    }

    fn keep_checkpoint(&mut self, checkpoint: &SealedCheckpoint<'_>) -> Result<(), SinkError> {
        self.keep(checkpoint)
    }

    fn deliver(&mut self, batch: &Batch<'_>) -> Result<(), SinkError> {
        let stored = self.store(batch)?;
        self.answered = Instant::now();
        match stored {
            Stored::All(position) => {
                self.position = position;
                Ok(())
            }
            Stored::NotNext(cursor) => Err(SinkError::Gap { first: batch.first, cursor }),
            Stored::Swallowed { table, given, kept } => {
                let store = self.url.shown().to_owned();
                Err(StoreError::Swallowed { store, table, given, kept }.into())
            }
        }
    }

    fn batch_events_max(&self) -> usize {
        BATCH_EVENTS_MAX
    }

    fn answers_queries(&self) -> bool {
        true
    }

    fn drop_retired(&mut self, trail: &Folder) -> Result<Dropped, SinkError> {
        let (origin, under_way) = (self.origin.clone(), self.retirement.take());
        let connection = self.connected()?;
        let begun = match under_way {
            Some(retirement) => Some(retirement),
            None => Retirement::begin(connection, &origin, trail)?,
        };
        let Some(mut retirement) = begun else { return Ok(Dropped::All) };
        let dropped = retirement.step(connection, trail)?;
        self.answered = Instant::now();
        // One of them may be gone.
        self.partitions.clear();
        match dropped {
            Dropped::All if retirement.is_outdated(trail)? => Ok(Dropped::Some),
            Dropped::All => Ok(Dropped::All),
            dropped => {
                self.retirement = Some(retirement);
                Ok(dropped)
            }
        }
    }

    fn idle(&mut self) -> Result<(), SinkError> {
        if self.made_ahead.is_none_or(|made| made.elapsed() >= PARTITIONS_EVERY) {
            schema::make_partitions_ahead(self.connected()?)?;
            self.made_ahead = Some(Instant::now());
        }
        if self.answered.elapsed() >= ASK_EVERY {
            let origin = self.origin.clone();
            let found = position_of(self.connected()?, &origin)?.unwrap_or_default();
            self.answered = Instant::now();
            // A store that was restored meanwhile needs events again, or has others: the trail compares.
            if found != self.position {
                return Err(SinkError::Gap { first: self.position.cursor, cursor: found.cursor });
            }
        }
        Ok(())
    }
}
