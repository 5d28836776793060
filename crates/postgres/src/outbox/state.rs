//! What lies in an outbox, and another try for what was refused.

use std::time::Duration;

use tokio_postgres::types::Type;

use crate::connect::Connection;
use crate::error::StoreError;

use super::schema::check_usable;

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
        Ok(state)
    })
}

/// Puts what was refused back into the outbox, in its order, behind what is there, for the trail that refused it: it may be refused
/// since that trail has it. Returns how many events that were.
///
/// # Errors
/// When there is no outbox, or the role may not do that.
pub fn redeliver(connection: &mut Connection) -> Result<u64, StoreError> {
    check_usable(connection)?;
    connection.run("put refused events back into the outbox of", WITHIN, async |client| {
        let sql = "WITH again AS (DELETE FROM trailseal_outbox.refused RETURNING *) \
             INSERT INTO trailseal_outbox.events (id, event, masked, written, origin) \
             SELECT id, event, masked, written, origin FROM again ORDER BY place, key";
        client.execute_typed(sql, &[]).await
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
