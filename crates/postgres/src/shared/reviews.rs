//! Reviews: what the trails request, as it is shared, and what is listed.

use tokio_postgres::types::{ToSql, Type};

use super::Shared;
use crate::columns::cleaned;
use crate::error::StoreError;

/// A request, as the trail that has it puts it in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedReview {
    /// Its id.
    pub id: String,
    /// The event that requests it.
    pub index: u64,
    /// The tenant of what is to be reviewed.
    pub tenant: Option<String>,
    /// The line of that event.
    pub line: Vec<u8>,
    /// `pending`, or how it was decided before it came into the store.
    pub state: String,
    /// When it was decided, by whom and with what comment, as JSON.
    pub decided: Option<String>,
}

/// A review in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedReview {
    /// Its id.
    pub id: String,
    /// The trail that requests it.
    pub origin: String,
    /// The event that does.
    pub index: u64,
    /// Its line.
    pub line: Vec<u8>,
    /// `pending`, `approved` or `rejected`.
    pub state: String,
    /// When it was decided, by whom and with what comment, as JSON.
    pub decided: Option<String>,
}

/// Which reviews are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReviewsWanted<'a> {
    /// In this state.
    pub state: Option<&'a str>,
    /// Of this tenant. A tenant that is too long to be told from others brings theirs, too.
    pub tenant: Option<&'a str>,
    /// Older than this one.
    pub before: Option<&'a str>,
}

impl Shared {
    /// How far the requests of a trail are in the store: everything below this index.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub fn published(&self, origin: &str) -> Result<u64, StoreError> {
        let origin = origin.to_owned();
        self.ask("ask for the reviews in", async |client| {
            let select = "SELECT next FROM trailseal.review_cursors WHERE origin = $1";
            let rows = client.query_typed(select, &[(&origin, Type::TEXT)]).await?;
            rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0).map(i64::cast_unsigned))
        })
    }

    /// Puts requests of a trail in the store; everything below `next` is there then. Those that are there stay as they are, but for one
    /// that waits although it was decided before it came: a flag that another server found first. Returns the ids that reviews of other
    /// trails have: these requests are not there.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub fn publish(
        &self,
        origin: &str,
        reviews: &[PublishedReview],
        next: u64,
    ) -> Result<Vec<String>, StoreError> {
        let (origin, next) = (origin.to_owned(), next.cast_signed());
        let ids: Vec<&str> = reviews.iter().map(|review| review.id.as_str()).collect();
        let indexes: Vec<i64> = reviews.iter().map(|review| review.index.cast_signed()).collect();
        let tenants: Vec<Option<String>> =
            reviews.iter().map(|review| review.tenant.as_deref().map(|text| cleaned(text).into())).collect();
        let lines: Vec<&[u8]> = reviews.iter().map(|review| review.line.as_slice()).collect();
        let states: Vec<&str> = reviews.iter().map(|review| review.state.as_str()).collect();
        let decided: Vec<Option<&str>> = reviews.iter().map(|review| review.decided.as_deref()).collect();
        self.ask("put reviews in", async |client| {
            let insert = "INSERT INTO trailseal.reviews (id, origin, idx, tenant, line, state, decided) \
                SELECT id, $1, idx, tenant, line, state, decided \
                FROM unnest($2, $3, $4, $5, $6, $7) AS given (id, idx, tenant, line, state, decided) \
                ON CONFLICT (id) DO UPDATE SET state = excluded.state, decided = excluded.decided \
                WHERE reviews.state = 'pending' AND excluded.state <> 'pending' AND reviews.origin = excluded.origin";
            let values: [(&(dyn ToSql + Sync), Type); 7] = [
                (&origin, Type::TEXT),
                (&ids, Type::TEXT_ARRAY),
                (&indexes, Type::INT8_ARRAY),
                (&tenants, Type::TEXT_ARRAY),
                (&lines, Type::BYTEA_ARRAY),
                (&states, Type::TEXT_ARRAY),
                (&decided, Type::TEXT_ARRAY),
            ];
            client.query_typed(insert, &values).await?;
            let taken = "SELECT id FROM trailseal.reviews WHERE id = ANY($1) AND origin <> $2 ORDER BY id";
            let taken =
                client.query_typed(taken, &[(&ids, Type::TEXT_ARRAY), (&origin, Type::TEXT)]).await?;
            // Last, so that whoever is killed before asks again.
            let moved = "INSERT INTO trailseal.review_cursors AS known (origin, next) VALUES ($1, $2) \
                ON CONFLICT (origin) DO UPDATE SET next = greatest(known.next, excluded.next)";
            client.query_typed(moved, &[(&origin, Type::TEXT), (&next, Type::INT8)]).await?;
            taken.iter().map(|row| row.try_get(0)).collect()
        })
    }

    /// The review of this id.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub fn review(&self, id: &str) -> Result<Option<SharedReview>, StoreError> {
        let id = id.to_owned();
        self.ask("read a review in", async |client| {
            let select = "SELECT id, origin, idx, line, state, decided FROM trailseal.reviews WHERE id = $1";
            let rows = client.query_typed(select, &[(&id, Type::TEXT)]).await?;
            rows.first().map(SharedReview::of).transpose()
        })
    }

    /// How many wait for a decision.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub fn pending_reviews(&self) -> Result<u64, StoreError> {
        self.ask("count the reviews in", async |client| {
            let select = "SELECT count(*) FROM trailseal.reviews WHERE state = 'pending'";
            let rows = client.query_typed(select, &[]).await?;
            rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0).map(i64::cast_unsigned))
        })
    }

    /// Up to `most` reviews, the newest first.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub fn reviews(&self, wanted: &ReviewsWanted<'_>, most: usize) -> Result<Vec<SharedReview>, StoreError> {
        let ReviewsWanted { state, before, .. } = *wanted;
        let (tenant, most) = (wanted.tenant.map(cleaned), i64::try_from(most).unwrap_or(i64::MAX));
        let tenant = tenant.as_deref();
        self.ask("list the reviews in", async |client| {
            let select = "SELECT id, origin, idx, line, state, decided FROM trailseal.reviews \
                WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR tenant = $2) AND ($3::text IS NULL OR id < $3) \
                ORDER BY id DESC LIMIT $4";
            let values: [(&(dyn ToSql + Sync), Type); 4] =
                [(&state, Type::TEXT), (&tenant, Type::TEXT), (&before, Type::TEXT), (&most, Type::INT8)];
            let rows = client.query_typed(select, &values).await?;
            rows.iter().map(SharedReview::of).collect()
        })
    }
}

impl SharedReview {
    fn of(row: &tokio_postgres::Row) -> Result<SharedReview, tokio_postgres::Error> {
        Ok(SharedReview {
            id: row.try_get(0)?,
            origin: row.try_get(1)?,
            index: row.try_get::<_, i64>(2)?.cast_unsigned(),
            line: row.try_get(3)?,
            state: row.try_get(4)?,
            decided: row.try_get(5)?,
        })
    }
}
