//! Drops rows whose lists and leaf hashes are kept.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_postgres::types::Type;
use trailseal_core::deliver::{Dropped, SinkError};
use trailseal_event::Index;

use super::keep::ASK_WITHIN;
use crate::connect::{BEGIN, Connection};
use crate::error::StoreError;

const DROP_WITHIN: Duration = Duration::from_secs(120);

/// A large partition is looked through before it goes.
const DROP_PARTITION_WITHIN: Duration = Duration::from_secs(600);

/// A partition that somebody reads all the time is tried so often; then its rows go one by one.
const TRIES: u32 = 20;

const PARTITIONS: &str = "SELECT trailseal.retiring_partitions($1)";

const DROP_PARTITION: &str = "SELECT trailseal.drop_retired_partition($1, $2::text::jsonb)";

/// Of each origin, how many rows a partition has.
const ROWS: &str = "SELECT origin, rows FROM trailseal.extents WHERE partition = $1";

const DROP: &str = "SELECT outcome, segment, at, rows FROM trailseal.drop_retired($1, $2::text::jsonb)";

/// What is still to go of one origin.
pub(super) struct Dropping {
    origin: String,
    /// Only what these lists name, as an object of arrays by origin; without it, whatever events announce.
    trusted: Option<String>,
    /// How many rows of each origin went: a partition that goes as a whole may hold rows of others.
    pub(super) gone: BTreeMap<String, u64>,
    /// The partitions that may go as a whole; `None` before the store was asked.
    partitions: Option<Vec<String>>,
    tries: u32,
    /// Partitions from which rows go one by one, and which may be empty then.
    emptied: Vec<String>,
    has_rows: bool,
}

enum Gone {
    /// So many.
    Rows(u64),
    All,
    /// What is wrong, and at which event.
    Refused(Index, String),
}

impl Dropping {
    pub(super) fn new(origin: &str, trusted: Option<String>) -> Dropping {
        Dropping {
            origin: origin.to_owned(),
            trusted,
            gone: BTreeMap::new(),
            partitions: None,
            tries: 0,
            emptied: Vec::new(),
            has_rows: true,
        }
    }

    /// Drops some more.
    pub(super) fn step(&mut self, connection: &mut Connection) -> Result<Dropped, SinkError> {
        let trusted = self.trusted.clone();
        let Some(partitions) = &mut self.partitions else {
            self.partitions = Some(partitions(connection, &self.origin)?);
            return Ok(Dropped::Some);
        };
        if let Some(name) = partitions.last() {
            let outcome = drop_partition(connection, name, trusted.as_deref(), &mut self.gone)?;
            self.tries += 1;
            if outcome == "locked" && self.tries < TRIES {
                return Ok(Dropped::Waits);
            }
            self.tries = 0;
            self.emptied.extend(partitions.pop().filter(|_| outcome != "dropped"));
            return Ok(Dropped::Some);
        }
        if self.has_rows {
            match drop_rows(connection, &self.origin, trusted.as_deref())? {
                Gone::Rows(count) => *self.gone.entry(self.origin.clone()).or_default() += count,
                Gone::All => self.has_rows = false,
                Gone::Refused(at, what) => return Err(SinkError::Differs { at, what }),
            }
            return Ok(Dropped::Some);
        }
        match self.emptied.pop() {
            Some(name) => {
                drop_partition(connection, &name, trusted.as_deref(), &mut self.gone)?;
                Ok(Dropped::Some)
            }
            None => Ok(Dropped::All),
        }
    }
}

fn partitions(connection: &mut Connection, origin: &str) -> Result<Vec<String>, StoreError> {
    connection.run("ask for partitions in", ASK_WITHIN, async |client| {
        let rows = client.query_typed(PARTITIONS, &[(&origin, Type::TEXT)]).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    })
}

/// If it goes, what was in it counts as gone, as the extents say.
fn drop_partition(
    connection: &mut Connection,
    name: &str,
    trusted: Option<&str>,
    gone: &mut BTreeMap<String, u64>,
) -> Result<String, StoreError> {
    let (outcome, rows) = connection.run("drop a partition in", DROP_PARTITION_WITHIN, async |client| {
        client.batch_execute(BEGIN).await?;
        let mut counts: Vec<(String, i64)> = Vec::new();
        for row in client.query_typed(ROWS, &[(&name, Type::TEXT)]).await? {
            counts.push((row.try_get(0)?, row.try_get(1)?));
        }
        let rows = client.query_typed(DROP_PARTITION, &[(&name, Type::TEXT), (&trusted, Type::TEXT)]).await?;
        client.batch_execute("COMMIT").await?;
        let outcome = rows.first().map_or(Ok(String::new()), |row| row.try_get(0))?;
        Ok((outcome, counts))
    })?;
    for (origin, count) in rows.into_iter().filter(|_| outcome == "dropped") {
        *gone.entry(origin).or_default() += count.max(0).cast_unsigned();
    }
    Ok(outcome)
}

fn drop_rows(connection: &mut Connection, origin: &str, trusted: Option<&str>) -> Result<Gone, StoreError> {
    connection.run("drop retired events in", DROP_WITHIN, async |client| {
        client.batch_execute(BEGIN).await?;
        let rows = client.query_typed(DROP, &[(&origin, Type::TEXT), (&trusted, Type::TEXT)]).await?;
        client.batch_execute("COMMIT").await?;
        let Some(row) = rows.first() else { return Ok(Gone::All) };
        let (segment, at): (Option<i64>, Option<i64>) = (row.try_get(1)?, row.try_get(2)?);
        let index = |number: Option<i64>| Index::new(number.and_then(|it| it.try_into().ok()).unwrap_or(0));
        Ok(match row.try_get(0)? {
            "dropped" => Gone::Rows(row.try_get::<_, i64>(3)?.try_into().unwrap_or(0)),
            "all" => Gone::All,
            "leaf differs" => {
                let what = format!(
                    "the store's row of event {} is not the one that the trail has retired: somebody changed the store; run \
                     `trailseal verify --store`",
                    index(at)
                );
                Gone::Refused(index(at), what)
            }
            _ => {
                let what = format!(
                    "no event of the store announces its list of the retired events of the segment {}: somebody changed the \
                     store; run `trailseal verify --store`",
                    index(segment)
                );
                Gone::Refused(index(segment), what)
            }
        })
    })
}
