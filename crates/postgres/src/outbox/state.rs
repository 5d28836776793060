//! What lies in an outbox, and another try for what was refused.

use std::time::Duration;

use tokio_postgres::types::Type;

use crate::connect::Connection;
use crate::error::StoreError;

use super::schema::check_usable;
use super::turn::{BYTES, CLAIM_BYTES_MAX};

const WITHIN: Duration = Duration::from_secs(60);

/// What lies in an outbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxState {
    /// Events that no trail has claimed yet.
    pub waiting: u64,
    /// The age of the oldest of them.
    pub waits: Duration,
    /// Events that trails have claimed, and have not yet said to be durable.
    pub taken: Vec<Taken>,
    /// Events that cannot be recorded as they are.
    pub refused: u64,
    /// Why the first of them cannot.
    pub first_refused: Option<String>,
    /// The newest of them, the newest first; [`SHOWN_MAX`] at most.
    pub newest_refused: Vec<RefusedEvent>,
}

/// So many refused events are shown at most.
pub const SHOWN_MAX: u64 = 10;

/// An event that cannot be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedEvent {
    /// Its row in `trailseal_outbox.refused`.
    pub key: i64,
    /// The first 200 characters of its id.
    pub id: String,
    /// Why it cannot be recorded.
    pub reason: String,
}

/// What became of refused events that were to be tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redelivered {
    /// How many wait in the outbox again.
    pub events: u64,
    /// How many stay where they are, because the outbox would refuse them: they are too large, for example.
    pub left: u64,
    /// The first of these; [`SHOWN_MAX`] at most.
    pub first_left: Vec<RefusedEvent>,
}

/// Events that a trail has claimed: only it can take them over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// The trail.
    pub origin: String,
    /// How many.
    pub events: u64,
    /// The age of the oldest of them.
    pub waits: Duration,
}

/// What lies in the outbox of a database.
///
/// # Errors
/// When there is none, or it cannot be asked.
pub fn look(connection: &mut Connection) -> Result<OutboxState, StoreError> {
    check_usable(connection)?;
    connection.run("ask for the events in the outbox of", WITHIN, async |client| {
        let mut state = OutboxState::default();
        let sql = "SELECT origin, count(*), greatest(0, extract(epoch FROM clock_timestamp() - min(written)))::bigint \
             FROM trailseal_outbox.events GROUP BY origin ORDER BY origin";
        for row in client.query_typed(sql, &[]).await? {
            let (events, seconds): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
            let (events, waits) = (events.unsigned_abs(), Duration::from_secs(seconds.unsigned_abs()));
            match row.try_get(0)? {
                Some(origin) => state.taken.push(Taken { origin, events, waits }),
                None => (state.waiting, state.waits) = (events, waits),
            }
        }
        let sql = "SELECT count(*), (SELECT left(id, 200) || ': ' || reason \
             FROM trailseal_outbox.refused ORDER BY place, key LIMIT 1) FROM trailseal_outbox.refused";
        for row in client.query_typed(sql, &[]).await? {
            let refused: i64 = row.try_get(0)?;
            (state.refused, state.first_refused) = (refused.unsigned_abs(), row.try_get(1)?);
        }
        let sql = format!(
            "SELECT key, left(id, 200), reason FROM trailseal_outbox.refused ORDER BY key DESC LIMIT {SHOWN_MAX}"
        );
        for row in client.query_typed(&sql, &[]).await? {
            state.newest_refused.push(refused_event(&row)?);
        }
        Ok(state)
    })
}

fn refused_event(row: &tokio_postgres::Row) -> Result<RefusedEvent, tokio_postgres::Error> {
    Ok(RefusedEvent { key: row.try_get(0)?, id: row.try_get(1)?, reason: row.try_get(2)? })
}

/// What a row of `trailseal_outbox.events` must be, by its constraints.
fn fits() -> String {
    format!(
        "{BYTES} <= {CLAIM_BYTES_MAX} AND id <> '' \
         AND CASE coalesce(array_ndims(masked), 1) WHEN 1 THEN array_position(masked, NULL) IS NULL ELSE false END \
         AND written >= '0001-01-01 00:00:00+00' AND written < '10000-01-01 00:00:00+00'"
    )
}

/// Puts what was refused back into the outbox, in its order, behind what is there, for the trail that refused it: it may be refused
/// since that trail has it. What somebody has changed so that no row of the outbox can be like it stays, and holds nothing up.
///
/// # Errors
/// When there is no outbox, or the role may not do that.
pub fn redeliver(connection: &mut Connection) -> Result<Redelivered, StoreError> {
    check_usable(connection)?;
    connection.run("put refused events back into the outbox of", WITHIN, async |client| {
        let fits = fits();
        client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        let sql = format!(
            "WITH again AS (DELETE FROM trailseal_outbox.refused WHERE {fits} RETURNING *) \
             INSERT INTO trailseal_outbox.events (id, event, masked, written, origin) \
             SELECT id, event, masked, written, origin FROM again ORDER BY place, key"
        );
        let events = client.execute_typed(&sql, &[]).await?;
        let sql = format!(
            "SELECT key, left(id, 200), CASE WHEN {BYTES} > {CLAIM_BYTES_MAX} \
                 THEN 'it has ' || ({BYTES}) || ' bytes, and a row of the outbox has at most {CLAIM_BYTES_MAX}' \
                 ELSE 'no event has such an id, such masked paths, or such a time' END, \
             count(*) OVER () FROM trailseal_outbox.refused WHERE NOT ({fits}) ORDER BY place, key LIMIT {SHOWN_MAX}"
        );
        let mut done = Redelivered { events, ..Redelivered::default() };
        for row in client.query_typed(&sql, &[]).await? {
            done.left = row.try_get::<_, i64>(3)?.unsigned_abs();
            done.first_left.push(refused_event(&row)?);
        }
        client.batch_execute("COMMIT").await?;
        Ok(done)
    })
}

/// Gives up the claims of a trail that is gone, so that others take its events over. Returns how many events that are. What the trail
/// had recorded of them already comes twice: only its own relay knows.
///
/// # Errors
/// When there is no outbox, or the role may not do that.
pub fn release(connection: &mut Connection, origin: &str) -> Result<u64, StoreError> {
    check_usable(connection)?;
    connection.run("release claimed events in the outbox of", WITHIN, async |client| {
        let sql = "UPDATE trailseal_outbox.events SET origin = NULL WHERE origin = $1";
        client.execute_typed(sql, &[(&origin, Type::TEXT)]).await
    })
}
