//! One transaction of a relay: what became of the rows that it has, and which are next.
//!
//! Only one relay claims at a time. Claimed are rows that were committed when it looked, in the order in which they were
//! written. All of one look come before those of the next, which became visible later: so transactions come in the order of
//! their commits from look to look, and within one in the order of their writing.
//!
//! `pg_snapshot_xmin` would be the wrong thing to wait for. Transactions in the order of their numbers are in the order in which
//! they began to write: of two changes of one row the first may have the larger number. And any transaction that somebody forgot to end,
//! in any database of the server, would hold up all events.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::Row;
use crate::connect::Connection;
use crate::error::StoreError;

/// What is read at most at once: events, and bytes of all that their writers gave. No row is larger, by the constraint `events_size`.
const CLAIM_EVENTS_MAX: i64 = 500;
pub(super) const CLAIM_BYTES_MAX: i64 = 8 << 20;

const WITHIN: Duration = Duration::from_secs(30);

/// As the constraint counts.
pub(super) const BYTES: &str = "octet_length(id)::bigint + octet_length(event) + octet_length(array_to_string(masked, '')) \
     + 32 * cardinality(masked)";

const COLUMNS: &str = "place, id, event, masked, (extract(epoch FROM written) * 1000000)::bigint";

/// What became of rows that a trail had claimed.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// These are durable in the trail, or not to be kept.
    pub(super) recorded: Vec<i64>,
    /// These cannot be recorded, and why.
    pub(super) refused: Vec<(i64, String)>,
    /// These were never handed to the trail, and will not be.
    pub(super) untouched: Vec<i64>,
}

/// Whether the next rows are claimed.
#[derive(Debug)]
pub(super) enum Next {
    /// Those of this look, or, without one, of a new one.
    Claim(Option<String>),
    /// None, since the relay ends.
    Leave,
}

/// What a claim gave.
#[derive(Debug, Default)]
pub(super) struct Claimed {
    pub(super) rows: Vec<Row>,
    /// The look that they belong to, if there may be more of it.
    pub(super) look: Option<String>,
    /// Another relay was claiming at that moment.
    pub(super) is_busy: bool,
}

/// Rows that the trail claimed before, in order: whoever claimed them died, or could not record them.
pub(super) fn claimed_before(connection: &mut Connection, origin: &str) -> Result<Vec<Row>, StoreError> {
    connection.run("ask for claimed events in the outbox of", WITHIN, async |client| {
        let sql = format!(
            "WITH {} SELECT {COLUMNS} FROM trailseal_outbox.events WHERE place IN (SELECT place FROM taken) AND origin = $1 \
             ORDER BY place",
            first_rows("origin = $1")
        );
        let rows = client.query_typed(&sql, &[(&origin, Type::TEXT)]).await?;
        rows.iter().map(read).collect()
    })
}

/// Whether nothing waits, and nothing is claimed by this trail.
pub(super) fn is_empty(connection: &mut Connection, origin: &str) -> Result<bool, StoreError> {
    connection.run("look into the outbox of", WITHIN, async |client| {
        let sql =
            "SELECT NOT EXISTS (SELECT FROM trailseal_outbox.events WHERE origin IS NULL OR origin = $1)";
        let rows = client.query_typed(sql, &[(&origin, Type::TEXT)]).await?;
        rows.first().map_or(Ok(true), |row| row.try_get(0))
    })
}

/// What the database of a connection has for a name, by whichever address it is reached: others may be copies, down to every row.
pub(super) fn server_and_database(connection: &mut Connection) -> Result<String, StoreError> {
    connection.run("ask for the database of", WITHIN, async |client| {
        let sql = "SELECT oid || ' since ' || extract(epoch FROM pg_postmaster_start_time()) \
             FROM pg_catalog.pg_database WHERE datname = current_database()";
        let rows = client.query_typed(sql, &[]).await?;
        rows.first().map_or(Ok(String::new()), |row| row.try_get(0))
    })
}

/// The CTE `taken`: the places of the first rows of which this holds, as many as may be read at once.
fn first_rows(holds: &str) -> String {
    format!(
        "first AS (SELECT place, {BYTES} AS bytes FROM trailseal_outbox.events WHERE {holds} \
             ORDER BY place LIMIT {CLAIM_EVENTS_MAX}), \
         counted AS (SELECT place, row_number() OVER (ORDER BY place) AS nth, sum(bytes) OVER (ORDER BY place) AS bytes \
             FROM first), \
         taken AS (SELECT place FROM counted WHERE nth = 1 OR bytes <= {CLAIM_BYTES_MAX})"
    )
}

/// Takes rows away that are done, and claims the next ones.
pub(super) fn turn(
    connection: &mut Connection,
    origin: &str,
    done: &Done,
    next: Next,
) -> Result<Claimed, StoreError> {
    connection.run("take events over from the outbox of", WITHIN, async |client| {
        client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        take_away(client, origin, done).await?;
        let claimed = match next {
            Next::Claim(look) => claim(client, origin, look).await?,
            Next::Leave => Claimed::default(),
        };
        client.batch_execute("COMMIT").await?;
        Ok(claimed)
    })
}

async fn take_away(client: &Client, origin: &str, done: &Done) -> Result<(), tokio_postgres::Error> {
    if !done.recorded.is_empty() {
        let delete = "DELETE FROM trailseal_outbox.events WHERE place = ANY($1) AND origin = $2";
        client.execute_typed(delete, &[(&done.recorded, Type::INT8_ARRAY), (&origin, Type::TEXT)]).await?;
    }
    if !done.untouched.is_empty() {
        let release =
            "UPDATE trailseal_outbox.events SET origin = NULL WHERE place = ANY($1) AND origin = $2";
        client.execute_typed(release, &[(&done.untouched, Type::INT8_ARRAY), (&origin, Type::TEXT)]).await?;
    }
    for (place, reason) in &done.refused {
        let put_aside = "WITH gone AS (DELETE FROM trailseal_outbox.events WHERE place = $1 AND origin = $2 \
             RETURNING place, id, event, masked, written, origin) \
             INSERT INTO trailseal_outbox.refused (place, id, event, masked, written, origin, reason) \
             SELECT gone.*, $3 FROM gone";
        let given = [(place as _, Type::INT8), (&origin as _, Type::TEXT), (reason as _, Type::TEXT)];
        client.execute_typed(put_aside, &given).await?;
    }
    Ok(())
}

async fn claim(
    client: &Client,
    origin: &str,
    look: Option<String>,
) -> Result<Claimed, tokio_postgres::Error> {
    // Where nothing waits nothing is locked, since a lock on a row is written to the disk. An advisory lock would not be, but
    // anybody who can connect could hold it.
    let lock = "WITH waiting AS MATERIALIZED (SELECT EXISTS (SELECT FROM trailseal_outbox.events WHERE origin IS NULL) AS is_any), \
         locked AS MATERIALIZED (SELECT version FROM trailseal_outbox.migrations \
             WHERE version = 1 AND (SELECT is_any FROM waiting) FOR UPDATE SKIP LOCKED) \
         SELECT (SELECT is_any FROM waiting), EXISTS (SELECT FROM locked)";
    let (mut is_any, mut is_locked) = (false, false);
    for row in client.query_typed(lock, &[]).await? {
        (is_any, is_locked) = (row.try_get(0)?, row.try_get(1)?);
    }
    if !is_any {
        return Ok(Claimed::default());
    }
    if !is_locked {
        return Ok(Claimed { rows: Vec::new(), look, is_busy: true });
    }
    let free = if cfg!(trailseal_fault = "outbox_takes_claimed") {
        "(origin IS NULL OR origin <> $1)"
    } else {
        "origin IS NULL"
    };
    let look = look.filter(|_| !cfg!(trailseal_fault = "outbox_looks_again"));
    let sql = format!(
        "WITH {} UPDATE trailseal_outbox.events SET origin = $1 WHERE place IN (SELECT place FROM taken) \
         RETURNING {COLUMNS}, pg_current_snapshot()::text",
        first_rows(&format!(
            "{free} AND ($2::text IS NULL OR pg_visible_in_snapshot(transaction, $2::text::pg_snapshot))"
        ))
    );
    let given = [(&origin as _, Type::TEXT), (&look as _, Type::TEXT)];
    let found = client.query_typed(&sql, &given).await?;
    let mut rows = found.iter().map(read).collect::<Result<Vec<Row>, _>>()?;
    rows.sort_by_key(|row| row.place);
    // Of a look that gives nothing any more there is no more.
    let look = match found.first() {
        Some(row) => look.or(Some(row.try_get(5)?)),
        None => None,
    };
    Ok(Claimed { rows, look, is_busy: false })
}

fn read(row: &tokio_postgres::Row) -> Result<Row, tokio_postgres::Error> {
    Ok(Row {
        place: row.try_get(0)?,
        id: row.try_get(1)?,
        event: row.try_get(2)?,
        masked: row.try_get(3)?,
        written: row.try_get(4)?,
    })
}
