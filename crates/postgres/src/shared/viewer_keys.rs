//! By which keys servers sign viewer tokens: their public halves.

use tokio_postgres::types::Type;

use super::Shared;
use crate::error::StoreError;

/// More servers than share one store.
const KEYS_MAX: i64 = 10_000;

impl Shared {
    /// The keys of the servers that were there within the last day, without those that were rejected.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub fn viewer_keys(&self) -> Result<Vec<String>, StoreError> {
        self.ask("read the viewer keys in", async |client| {
            let select = "SELECT key FROM trailseal.viewer_keys WHERE kept > now() - interval '1 day' AND rejected IS NULL \
                ORDER BY kept DESC, key LIMIT $1";
            let rows = client.query_typed(select, &[(&KEYS_MAX, Type::INT8)]).await?;
            rows.iter().map(|row| row.try_get(0)).collect()
        })
    }

    /// Puts the key of a server in the store, or says that it is still in use. Those of servers that are gone are removed, unless they
    /// were rejected: that stays. Returns whether this one counts.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub fn keep_viewer_key(&self, origin: &str, key: &str) -> Result<bool, StoreError> {
        let (origin, key) = (origin.to_owned(), key.to_owned());
        self.ask("put a viewer key in", async |client| {
            let keep = "WITH gone AS (DELETE FROM trailseal.viewer_keys \
                    WHERE kept < now() - interval '2 days' AND rejected IS NULL AND key <> $1) \
                INSERT INTO trailseal.viewer_keys (key, origin) VALUES ($1, $2) \
                ON CONFLICT (key) DO UPDATE SET origin = excluded.origin, kept = now() RETURNING rejected IS NULL";
            let rows = client.query_typed(keep, &[(&key, Type::TEXT), (&origin, Type::TEXT)]).await?;
            rows.first().map_or(Ok(false), |row| row.try_get(0))
        })
    }

    /// Permanently rejects every key of a server, which is named by the origin of its trail. Returns how many were not rejected
    /// before.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub fn reject_viewer_keys(&self, origin: &str) -> Result<u64, StoreError> {
        let origin = origin.to_owned();
        self.ask("reject viewer keys in", async |client| {
            let reject = "UPDATE trailseal.viewer_keys SET rejected = now() WHERE origin = $1 AND rejected IS NULL \
                RETURNING key";
            let rows = client.query_typed(reject, &[(&origin, Type::TEXT)]).await?;
            Ok(rows.len() as u64)
        })
    }
}
