//! Flags that rules have put into rows: they become reviews, whichever server looks.

use tokio_postgres::types::{ToSql, Type};

use super::Shared;
use crate::columns::cleaned;
use crate::error::StoreError;

/// A flag, as a server found it among the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedFlag {
    /// The id of the review.
    pub id: String,
    /// The trail that has it.
    pub origin: String,
    /// The event that is the flag.
    pub index: u64,
    /// The tenant of what is to be reviewed.
    pub tenant: Option<String>,
    /// The line of the flag.
    pub line: Vec<u8>,
}

impl Shared {
    /// How far the rows of each trail have been looked through for flags.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub fn flag_cursors(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.ask("ask for the flags in", async |client| {
            let rows = client.query_typed("SELECT origin, next FROM trailseal.flag_cursors", &[]).await?;
            let one = |row: &tokio_postgres::Row| -> Result<(String, u64), tokio_postgres::Error> {
                Ok((row.try_get(0)?, row.try_get::<_, i64>(1)?.cast_unsigned()))
            };
            rows.iter().map(one).collect()
        })
    }

    /// Makes reviews of flags, unless there are such, and moves the cursors of these trails on. Returns the ids that reviews of other
    /// trails have.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub fn publish_flags(
        &self,
        flags: &[PublishedFlag],
        next: &[(String, u64)],
    ) -> Result<Vec<String>, StoreError> {
        if flags.is_empty() && next.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<&str> = flags.iter().map(|flag| flag.id.as_str()).collect();
        let of: Vec<&str> = flags.iter().map(|flag| flag.origin.as_str()).collect();
        let indexes: Vec<i64> = flags.iter().map(|flag| flag.index.cast_signed()).collect();
        let tenants: Vec<Option<String>> =
            flags.iter().map(|flag| flag.tenant.as_deref().map(|text| cleaned(text).into())).collect();
        let lines: Vec<&[u8]> = flags.iter().map(|flag| flag.line.as_slice()).collect();
        // In one order everywhere, so that no two servers wait for each other.
        let mut next: Vec<(&str, i64)> =
            next.iter().map(|(origin, next)| (origin.as_str(), next.cast_signed())).collect();
        next.sort_unstable();
        let (origins, nexts): (Vec<&str>, Vec<i64>) = next.into_iter().unzip();
        self.ask("put flags in", async |client| {
            let insert = "WITH moved AS (INSERT INTO trailseal.flag_cursors AS known (origin, next) \
                SELECT origin, next FROM unnest($1, $2) AS given (origin, next) \
                ON CONFLICT (origin) DO UPDATE SET next = excluded.next WHERE known.next < excluded.next) \
                INSERT INTO trailseal.reviews (id, origin, idx, tenant, line, state) \
                SELECT id, origin, idx, tenant, line, 'pending' \
                FROM unnest($3, $4, $5, $6, $7) AS given (id, origin, idx, tenant, line) \
                ORDER BY id ON CONFLICT (id) DO NOTHING";
            let values: [(&(dyn ToSql + Sync), Type); 7] = [
                (&origins, Type::TEXT_ARRAY),
                (&nexts, Type::INT8_ARRAY),
                (&ids, Type::TEXT_ARRAY),
                (&of, Type::TEXT_ARRAY),
                (&indexes, Type::INT8_ARRAY),
                (&tenants, Type::TEXT_ARRAY),
                (&lines, Type::BYTEA_ARRAY),
            ];
            client.query_typed(insert, &values).await?;
            let taken = "SELECT reviews.id FROM unnest($1, $2) AS given (id, origin) \
                JOIN trailseal.reviews USING (id) WHERE reviews.origin <> given.origin";
            let rows =
                client.query_typed(taken, &[(&ids, Type::TEXT_ARRAY), (&of, Type::TEXT_ARRAY)]).await?;
            rows.iter().map(|row| row.try_get(0)).collect()
        })
    }
}
