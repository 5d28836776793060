//! What a store says about events that are gone: as a trail does, which event retired them.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use trailseal_core::retired::retired_id;
use trailseal_event::Index;

use super::Reader;
use crate::error::StoreError;

/// The first part of a list that names the index $1, in these trails ($2), or in any if there are none.
const RETIRED_AT: &str = "SELECT part.origin, part.event \
    FROM (SELECT origin, max(segment) AS segment FROM trailseal.retired_lists \
        WHERE segment <= $1 AND (cardinality($2) = 0 OR origin = ANY ($2)) GROUP BY origin) AS near \
    JOIN trailseal.retired_lists AS part USING (origin, segment), trailseal.ranges_of(part.list) AS range \
    WHERE range.from_idx <= $1 AND range.to_idx > $1 ORDER BY part.origin, part.bytes LIMIT 1";

/// The entries of every part that may have the id, which all begin with $1, and end before $2.
const RETIRED_IDS: &str = "SELECT part.origin, part.segment, part.event, ids.entries \
    FROM trailseal.retired_lists AS part CROSS JOIN LATERAL (SELECT head, entries FROM trailseal.retired_ids AS chunk \
        WHERE (chunk.origin, chunk.segment, chunk.bytes) = (part.origin, part.segment, part.bytes) AND chunk.head < $2 \
        AND chunk.head >= coalesce((SELECT head FROM trailseal.retired_ids AS before \
            WHERE (before.origin, before.segment, before.bytes) = (part.origin, part.segment, part.bytes) \
            AND before.head < $1 ORDER BY head DESC LIMIT 1), '') OFFSET 0) AS ids \
    ORDER BY part.origin, part.segment, part.bytes, ids.head";

/// An event that a trail has retired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetiredEvent {
    /// The trail that it was in.
    pub origin: String,
    /// Its index there.
    pub index: Index,
    /// The event `trail.retired` that retired it.
    pub by: Index,
}

impl Reader {
    /// The retired events that had this id: of this tenant, or, with `None`, of any. Ask only for an id that the store does not
    /// have. Whoever may not see the ids of all tenants is told of none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn retired_by_id(&self, id: &str, tenant: Option<&str>) -> Result<Vec<RetiredEvent>, StoreError> {
        let wanted = retired_id(id, tenant);
        let from = wanted.prefix().to_vec();
        let to = [&from[..], &[0xff; 13]].concat();
        let found = self.run(self.within, async |client| {
            let mut found = Vec::new();
            for row in client.query_typed(RETIRED_IDS, &[(&from, Type::BYTEA), (&to, Type::BYTEA)]).await? {
                let (segment, event): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
                for place in wanted.places_in(row.try_get(3)?, tenant.is_none()) {
                    let index = Index::new(segment.cast_unsigned().saturating_add(place));
                    let (origin, by) = (row.try_get(0)?, Index::new(event.cast_unsigned()));
                    found.push(RetiredEvent { origin, index, by });
                }
            }
            Ok(found)
        });
        none_without_rights(found, Vec::new())
    }

    /// The retired event with this index in one of these trails, or, if none is named, in any; `None` if there is none. Ask only
    /// for an index that the store does not have there. Nothing is checked: `verify` does that.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn retired_at(&self, origins: &[String], index: Index) -> Result<Option<RetiredEvent>, StoreError> {
        let Ok(number) = i64::try_from(index.get()) else { return Ok(None) };
        let names: Vec<&str> =
            origins.iter().map(String::as_str).filter(|name| !name.contains('\0')).collect();
        // PostgreSQL has no NUL. What is left without such names must not mean all trails.
        if names.is_empty() && !origins.is_empty() {
            return Ok(None);
        }
        let found = self.run(self.within, async |client| {
            let given = [(&number as _, Type::INT8), (&names as _, Type::TEXT_ARRAY)];
            let rows = client.query_typed(RETIRED_AT, &given).await?;
            let Some(row) = rows.first() else { return Ok(None) };
            let by = Index::new(row.try_get::<_, i64>(1)?.cast_unsigned());
            Ok(Some(RetiredEvent { origin: row.try_get(0)?, index, by }))
        });
        none_without_rights(found, None)
    }
}

/// A store that is older than retirement retires nothing, and neither does one whose roles are.
fn none_without_rights<T>(found: Result<T, StoreError>, none: T) -> Result<T, StoreError> {
    match found {
        Err(StoreError::Postgres { source, .. })
            if matches!(
                source.code(),
                Some(&SqlState::UNDEFINED_TABLE | &SqlState::INSUFFICIENT_PRIVILEGE)
            ) =>
        {
            Ok(none)
        }
        found => found,
    }
}
