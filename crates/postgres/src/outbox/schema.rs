//! The tables of the outbox: made by the application's own migrations, or by ours.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use trailseal_outbox::{SCHEMA_SQL, SCHEMA_VERSION};

use crate::connect::Connection;
use crate::error::StoreError;
use crate::holders::{self, is_there_already};

const WITHIN: Duration = Duration::from_secs(30);

/// Whoever makes the tables takes a moment. A lock that says so is not needed: of two who make one schema the second waits, and
/// then finds it. And anybody who can connect could hold a lock that is a mere number.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '10s'";

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
    let made = connection.run("make the outbox in", WITHIN, async |client| {
        client.batch_execute(BEGIN).await?;
        match client.batch_execute(SCHEMA_SQL).await {
            Err(error) if is_there_already(&error) => {
                client.batch_execute("ROLLBACK").await?;
                // A schema of that name may be somebody else's.
                if found(client).await?.is_some() { Ok(()) } else { Err(error) }
            }
            made => {
                made?;
                client.batch_execute("COMMIT").await
            }
        }
    });
    made.map_err(|error| holders::told(connection, "trailseal_outbox", error))
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
