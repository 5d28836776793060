//! Tokens as they are shared: by their hashes.

use tokio_postgres::types::{ToSql, Type};
use trailseal_event::Timestamp;

use super::Shared;
use crate::binary_time::Moment;
use crate::error::StoreError;

/// A token, known by its hash alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedToken {
    /// Its name.
    pub name: String,
    /// The SHA-256 of the token.
    pub sha256: [u8; 32],
    /// What it allows, as JSON.
    pub about: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// When it was last used, to about a minute.
    pub last_used: Option<Timestamp>,
}

/// That a token was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenUse {
    /// The token's hash: another may have its name by now.
    pub sha256: [u8; 32],
    /// When.
    pub at: Timestamp,
}

impl Shared {
    /// All tokens, by name.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub fn tokens(&self) -> Result<Vec<SharedToken>, StoreError> {
        self.ask("read the tokens in", async |client| {
            let select =
                "SELECT name, sha256, about, created, expires, last_used FROM trailseal.tokens ORDER BY name";
            let mut tokens = Vec::new();
            for row in client.query_typed(select, &[]).await? {
                // A constraint of the table gives it this length.
                let Ok(sha256) = row.try_get::<_, &[u8]>(1)?.try_into() else { continue };
                tokens.push(SharedToken {
                    name: row.try_get(0)?,
                    sha256,
                    about: row.try_get(2)?,
                    created: row.try_get::<_, Moment>(3)?.time(),
                    expires: row.try_get::<_, Option<Moment>>(4)?.map(Moment::time),
                    last_used: row.try_get::<_, Option<Moment>>(5)?.map(Moment::time),
                });
            }
            Ok(tokens)
        })
    }

    /// Notes when tokens were last used.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub fn note_uses(&self, uses: &[TokenUse]) -> Result<(), StoreError> {
        if uses.is_empty() {
            return Ok(());
        }
        let hashes: Vec<Vec<u8>> = uses.iter().map(|token| token.sha256.to_vec()).collect();
        let times: Vec<Moment> = uses.iter().map(|token| Moment::of(token.at)).collect();
        self.ask("note the use of tokens in", async |client| {
            // In one order everywhere, so that no two servers wait for each other.
            let update = "WITH used AS (SELECT sha256, at FROM unnest($1, $2) AS used (sha256, at)), \
                locked AS (SELECT name, at FROM trailseal.tokens JOIN used USING (sha256) ORDER BY name FOR UPDATE OF tokens) \
                UPDATE trailseal.tokens AS known SET last_used = greatest(known.last_used, locked.at) FROM locked \
                WHERE known.name = locked.name";
            let values: [(&(dyn ToSql + Sync), Type); 2] =
                [(&hashes, Type::BYTEA_ARRAY), (&times, Type::TIMESTAMPTZ_ARRAY)];
            client.query_typed(update, &values).await.map(drop)
        })
    }
}
