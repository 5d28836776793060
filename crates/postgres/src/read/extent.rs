//! Where the events with some indexes lie: in which partitions, and so between which moments of their recording.
//!
//! A statement that is told so leaves the other partitions alone, also while it is planned. Whether the table of extents
//! knows all of it is checked: what it does not know is looked for everywhere.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};
use trailseal_event::Timestamp;

use super::windows::Bounds;
use crate::binary_time::Moment;

/// Some indexes of one trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Indexes {
    pub(super) origin: String,
    /// The first one,
    pub(super) low: i64,
    /// and the one after the last.
    pub(super) high: i64,
}

/// What a partition has of a trail.
pub(super) struct Extent {
    pub(super) origin: String,
    pub(super) first: i64,
    pub(super) last: i64,
    /// When its events were recorded; `None` if there is no such partition.
    pub(super) recorded: Option<(Timestamp, Timestamp)>,
}

const EXTENTS: &str = "SELECT extent.origin, first_idx, last_idx, bounds[1]::timestamptz, bounds[2]::timestamptz FROM ( \
    SELECT DISTINCT extent.* FROM unnest($1, $2, $3) AS wanted(trail, low, high) \
    JOIN trailseal.extents AS extent ON origin = trail AND last_idx >= low AND first_idx < high) AS extent \
    LEFT JOIN (SELECT relname::text, regexp_match(pg_get_expr(relpartbound, pg_class.oid), \
            'FROM \\(''([^'']+)''\\) TO \\(''([^'']+)''\\)') AS bounds \
        FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'trailseal.events'::regclass) AS part \
        ON relname = partition";

/// The extents that have any of these.
pub(super) async fn extents_of(client: &Client, some: &[Indexes]) -> Result<Vec<Extent>, Error> {
    let origins: Vec<&str> = some.iter().map(|indexes| indexes.origin.as_str()).collect();
    let (lows, highs): (Vec<i64>, Vec<i64>) = some.iter().map(|indexes| (indexes.low, indexes.high)).unzip();
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&origins, Type::TEXT_ARRAY), (&lows, Type::INT8_ARRAY), (&highs, Type::INT8_ARRAY)];
    client.query_typed(EXTENTS, &parameters).await?.iter().map(extent_in).collect()
}

fn extent_in(row: &Row) -> Result<Extent, Error> {
    let time = |at: usize| -> Result<Option<Timestamp>, Error> {
        Ok(row.try_get::<_, Option<Moment>>(at)?.map(Moment::time))
    };
    Ok(Extent {
        origin: row.try_get(0)?,
        first: row.try_get(1)?,
        last: row.try_get(2)?,
        recorded: time(3)?.zip(time(4)?),
    })
}

/// Between which moments these were recorded, as far as that is known of all of them.
pub(super) async fn recorded_of(client: &Client, some: &[Indexes]) -> Result<Bounds, Error> {
    Ok(within(some, &extents_of(client, some).await?))
}

fn within(some: &[Indexes], extents: &[Extent]) -> Bounds {
    let covered = |indexes: &Indexes| -> i64 {
        let own = extents.iter().filter(|extent| extent.origin == indexes.origin);
        own.map(|extent| (extent.last.min(indexes.high - 1) - extent.first.max(indexes.low) + 1).max(0)).sum()
    };
    let is_believed = cfg!(trailseal_fault = "store_extents_believed");
    if !is_believed && !some.iter().all(|indexes| covered(indexes) >= indexes.high - indexes.low) {
        return Bounds::default();
    }
    let bounds: Option<Vec<(Timestamp, Timestamp)>> = extents.iter().map(|extent| extent.recorded).collect();
    let bounds = bounds.unwrap_or_default();
    Bounds { from: bounds.iter().map(|(from, _)| *from).min(), to: bounds.iter().map(|(_, to)| *to).max() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_all_is_known_of_is_bounded() {
        let at = Timestamp::from_micros;
        let indexes = |low, high| Indexes { origin: "a".to_owned(), low, high };
        let extent = |first, last, month: Option<i64>| Extent {
            origin: "a".to_owned(),
            first,
            last,
            recorded: month.map(|month| (at(month * 10), at(month * 10 + 10))),
        };
        let bounds = |from, to| Bounds { from: Some(at(from)), to: Some(at(to)) };
        let known = [extent(0, 9, Some(1)), extent(10, 19, Some(2))];
        assert_eq!(within(&[indexes(3, 7)], &known[..1]), bounds(10, 20));
        assert_eq!(within(&[indexes(3, 20)], &known), bounds(10, 30));
        // Beyond what is known, of another trail, in a partition that is not there.
        assert_eq!(within(&[indexes(3, 21)], &known), Bounds::default());
        let other = Indexes { origin: "b".to_owned(), ..indexes(3, 7) };
        assert_eq!(within(&[indexes(3, 7), other], &known), Bounds::default());
        assert_eq!(
            within(&[indexes(3, 20)], &[extent(0, 9, Some(1)), extent(10, 19, None)]),
            Bounds::default()
        );
        assert_eq!(within(&[indexes(3, 7)], &[]), Bounds::default());
    }
}
