//! The partitions of a store by their times, as a search asks for them.

use tokio_postgres::{Client, Error};
use trailseal_event::Timestamp;

use super::planned_statements;
use super::sql::Sql;
use super::windows::Partition;
use crate::binary_time::Moment;

/// What a search has to know of the partitions.
pub(super) struct Partitions {
    /// In the order of their times.
    pub(super) known: Vec<Partition>,
    /// The earliest time of what lies in others.
    pub(super) beyond: Option<Timestamp>,
}

/// Bounds of a partition are shown as `FOR VALUES FROM ('…') TO ('…')`; those without two times are no months.
const PARTITIONS: &str = "SELECT nullif(split_part(bounds, '''', 2), '')::timestamptz AS lower_bound, \
    nullif(split_part(bounds, '''', 4), '')::timestamptz, earliest FROM ( \
    SELECT pg_get_expr(class.relpartbound, class.oid) AS bounds, extents.earliest \
    FROM (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'trailseal.events'::regclass) AS parts \
    JOIN pg_class AS class ON class.oid = parts.inhrelid \
    FULL JOIN (SELECT partition, min(min_time) AS earliest FROM trailseal.extents GROUP BY partition) AS extents \
        ON extents.partition = class.relname::text OFFSET 0) AS found ORDER BY lower_bound";

/// The partitions as the transaction sees them.
pub(super) async fn partitions(client: &Client) -> Result<Partitions, Error> {
    let mut sql = Sql::default();
    sql.push(PARTITIONS);
    let mut found = Partitions { known: Vec::new(), beyond: None };
    for row in planned_statements::query(client, &sql, &[]).await? {
        let time = |at: usize| -> Result<Option<Timestamp>, Error> {
            Ok(row.try_get::<_, Option<Moment>>(at)?.map(Moment::time))
        };
        let earliest = time(2)?;
        match time(0)?.zip(time(1)?) {
            Some((from, to)) => found.known.push(Partition { from, to, earliest }),
            None => found.beyond = found.beyond.into_iter().chain(earliest).min(),
        }
    }
    Ok(found)
}
