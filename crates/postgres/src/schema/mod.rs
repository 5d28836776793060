//! The schema of a store: made and brought up to date by whoever connects first, however many do at once.
//!
//! Each step is a file of SQL, applied once. All that are missing are applied in one transaction, under a lock that ends with
//! it; of two who make the first table the second waits, and then begins again. A step never takes away what an older program needs, so that writers can be updated one by one.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use trailseal_event::Timestamp;

use crate::connect::Connection;
use crate::error::StoreError;
use crate::holders::{self, is_there_already};

/// In the order of their versions, from 1 on.
const STEPS: [&str; 5] = [
    include_str!("001_store.sql"),
    include_str!("002_roles.sql"),
    include_str!("003_shared.sql"),
    include_str!("004_retire.sql"),
    include_str!("005_servers.sql"),
];

/// Migrations of other stores take this long at most, and one of a large table much longer: then it is tried again. Of this at most
/// 20 s are for each lock.
const MIGRATE_WITHIN: Duration = Duration::from_secs(120);

const ASK_WITHIN: Duration = Duration::from_secs(20);

/// How many months after the present one have their partition ready.
const MONTHS_AHEAD: i32 = 2;

/// The newest version that this program knows.
pub const VERSION: i32 = STEPS.len() as i32;

/// The version of the store's schema; `None` if there is none.
///
/// # Errors
/// When the store cannot be asked.
pub fn version(connection: &mut Connection) -> Result<Option<i32>, StoreError> {
    connection.run("ask for the schema of", ASK_WITHIN, async |client| found(client).await)
}

/// Brings the schema up to date, and makes it if there is none.
///
/// # Errors
/// When a newer program made the schema, or the role may not do what is needed.
pub fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let found = version(connection)?;
    if found != Some(VERSION) {
        check(found, connection.store())?;
        let applied = connection.run("make the schema in", MIGRATE_WITHIN, async |client| {
            match apply(client).await {
                // By whoever was first.
                Err(error) if is_there_already(&error) => {
                    client.batch_execute("ROLLBACK").await?;
                    apply(client).await
                }
                applied => applied,
            }
        });
        applied.map_err(|error| holders::told(connection, "trailseal", error))?;
    }
    Ok(())
}

/// # Errors
/// Unless the schema is one that this program can use for reading.
pub fn check_readable(connection: &mut Connection) -> Result<(), StoreError> {
    readable(version(connection)?, connection.store())
}

/// # Errors
/// Unless this is a version that this program can read.
pub(crate) fn readable(found: Option<i32>, store: &str) -> Result<(), StoreError> {
    match found {
        None => Err(StoreError::Missing { store: store.to_owned() }),
        found => check(found, store),
    }
}

fn check(found: Option<i32>, store: &str) -> Result<(), StoreError> {
    match found {
        Some(found) if found > VERSION => {
            Err(StoreError::Newer { store: store.to_owned(), found, known: VERSION })
        }
        _ => Ok(()),
    }
}

pub(crate) async fn found(client: &Client) -> Result<Option<i32>, tokio_postgres::Error> {
    match client.query_typed("SELECT max(version) FROM trailseal.migrations", &[]).await {
        Ok(rows) => rows.first().map_or(Ok(None), |row| row.try_get(0)),
        Err(error)
            if matches!(error.code(), Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME)) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn apply(client: &Client) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("BEGIN; SET LOCAL lock_timeout = '20s'").await?;
    // A table that only its owner can lock: anybody could hold a lock that is a mere number. Before it is there, whoever makes it
    // keeps out who makes it at the same time.
    let rows = client.query_typed("SELECT to_regclass('trailseal.migrations') IS NOT NULL", &[]).await?;
    if rows.first().map_or(Ok(false), |row| row.try_get(0))? {
        client.batch_execute("LOCK TABLE trailseal.migrations IN SHARE ROW EXCLUSIVE MODE").await?;
    }
    // CREATE SCHEMA IF NOT EXISTS wants the privilege even if it does.
    let rows = client.query_typed("SELECT to_regnamespace('trailseal') IS NULL", &[]).await?;
    if rows.first().map_or(Ok(false), |row| row.try_get(0))? {
        client.batch_execute("CREATE SCHEMA trailseal").await?;
    }
    client
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS trailseal.migrations \
             (version integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())",
        )
        .await?;
    let done = found(client).await?.unwrap_or(0);
    for (version, step) in (1..).zip(STEPS) {
        if version > done {
            match cfg!(trailseal_fault = "store_keeps_unannounced") {
                true => {
                    client
                        .batch_execute(
                            &step.replace("'sha256' = encode(sha256(whole), 'hex')", "'sha256' IS NOT NULL"),
                        )
                        .await?
                }
                false => client.batch_execute(step).await?,
            }
            let insert = "INSERT INTO trailseal.migrations (version) VALUES ($1)";
            client.query_typed(insert, &[(&version, Type::INT4)]).await?;
        }
    }
    client.batch_execute("COMMIT").await
}

/// Makes the partitions of the present month and those after it.
///
/// # Errors
/// When the store refuses, or something else holds the table for long.
pub(crate) fn make_partitions_ahead(connection: &mut Connection) -> Result<(), StoreError> {
    connection.run("make partitions in", ASK_WITHIN, async |client| {
        let ahead = format!(
            "BEGIN; SET LOCAL lock_timeout = '5s'; \
             SELECT trailseal.make_partition(now() + months * interval '1 month') \
             FROM generate_series(0, {MONTHS_AHEAD}) AS months; COMMIT"
        );
        client.batch_execute(&ahead).await
    })
}

/// Makes the partition that a line recorded at this moment belongs to, if there is none, and returns its name.
///
/// # Errors
/// As [`make_partitions_ahead`].
pub(crate) fn partition_of(connection: &mut Connection, recorded: Timestamp) -> Result<String, StoreError> {
    connection.run("make a partition in", ASK_WITHIN, async |client| {
        client.batch_execute("BEGIN; SET LOCAL lock_timeout = '5s'").await?;
        let moment = String::from_utf8_lossy(&recorded.to_text()).into_owned();
        let make = "SELECT trailseal.make_partition($1::text::timestamptz)";
        let rows = client.query_typed(make, &[(&moment, Type::TEXT)]).await?;
        let name = rows.first().map_or(Ok(String::new()), |row| row.try_get(0))?;
        client.batch_execute("COMMIT").await?;
        Ok(name)
    })
}
