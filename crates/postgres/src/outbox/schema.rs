//! The tables of the outbox: made by the application's own migrations, or by ours.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use trailseal_outbox::{SCHEMA_SQL, SCHEMA_VERSION};

use crate::connect::Connection;
use crate::error::StoreError;

const WITHIN: Duration = Duration::from_secs(30);

/// What every program locks while it makes the tables.
const LOCK: i64 = 7_812_737_564_217_339_502;

/// The version of the outbox in a database; `None` if there is none.
///
/// # Errors
/// When the database cannot be asked.
pub fn version(connection: &mut Connection) -> Result<Option<i32>, StoreError> {
    connection.run("ask for the outbox of", WITHIN, async |client| found(client).await)
}

/// Makes the outbox in a database, if there is none.
///
/// # Errors
/// When a newer program made it, or the role may not do what is needed.
pub fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    if check(connection)?.is_some() {
        return Ok(());
    }
    connection.run("make the outbox in", WITHIN, async |client| {
        let begin =
            format!("BEGIN; SET LOCAL lock_timeout = '20s'; SELECT pg_advisory_xact_lock({LOCK}::bigint)");
        client.batch_execute(&begin).await?;
        if found(client).await?.is_none() {
            client.batch_execute(SCHEMA_SQL).await?;
        }
        client.batch_execute("COMMIT").await
    })
}

/// # Errors
/// Unless there is an outbox that this program can use.
pub(super) fn check_usable(connection: &mut Connection) -> Result<(), StoreError> {
    match check(connection)? {
        Some(_) => Ok(()),
        None => Err(StoreError::NoOutbox { store: connection.store().to_owned() }),
    }
}

fn check(connection: &mut Connection) -> Result<Option<i32>, StoreError> {
    match version(connection)? {
        Some(found) if found > SCHEMA_VERSION => {
            Err(StoreError::Newer { store: connection.store().to_owned(), found, known: SCHEMA_VERSION })
        }
        found => Ok(found),
    }
}

async fn found(client: &Client) -> Result<Option<i32>, tokio_postgres::Error> {
    // Not by to_regclass, which may remember from before the lock that there was none; and a transaction goes on.
    let there = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace AS of ON of.oid = relnamespace \
         WHERE nspname = 'trailseal_outbox' AND relname = 'migrations')";
    let rows = client.query_typed(there, &[]).await?;
    if !rows.first().map_or(Ok(false), |row| row.try_get(0))? {
        return Ok(None);
    }
    match client.query_typed("SELECT max(version) FROM trailseal_outbox.migrations", &[]).await {
        Ok(rows) => rows.first().map_or(Ok(None), |row| row.try_get(0)),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(None),
        Err(error) => Err(error),
    }
}
