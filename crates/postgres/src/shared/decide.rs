//! One decision, made in one transaction.

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};
use trailseal_core::deliver::MustEnd;

use super::change::{Change, Decided};
use super::{ASK_WITHIN, CONNECT_WITHIN, Shared};
use crate::error::StoreError;

const INSERT: &str = "INSERT INTO trailseal.decisions (id, origin, what, about) VALUES ($1, $2, $3, $4)";

/// Held until the transaction of a decision has ended, and by whoever asks what became of it.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";

/// Who decided what. It becomes an event of the trail `origin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The id of the event, which no other has.
    pub id: String,
    /// The trail of whoever decides.
    pub origin: String,
    /// What the event's action is, after `trail.`.
    pub what: String,
    /// Who decided, and the event's details, as JSON.
    pub about: String,
}

/// Why nothing is known to be decided.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotDecided {
    /// It was not made.
    #[error(transparent)]
    No(#[from] StoreError),
    /// The answer was lost: it may have been made. The next look says so.
    #[error("{0}, and whether it was decided is known once the store answers again")]
    Unsure(#[source] StoreError),
}

impl NotDecided {
    /// The store's error.
    pub fn store_error(&self) -> &StoreError {
        match self {
            NotDecided::No(error) | NotDecided::Unsure(error) => error,
        }
    }
}

impl Shared {
    /// Makes a change, unless another one excludes it.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub fn decide(&self, decision: &Decision, change: &Change<'_>) -> Result<Decided, NotDecided> {
        let mut is_committing = false;
        let committing = &mut is_committing;
        let decided = self.on(&self.decides, "decide in", async |client: &mut Client| {
            client.batch_execute("BEGIN; SET LOCAL lock_timeout = '4s'").await?;
            client.query_typed(LOCK, &[(&decision.id, Type::TEXT)]).await?;
            let decided = change.make(client).await?;
            if !matches!(decided, Decided::Made) {
                client.batch_execute("ROLLBACK").await?;
                return Ok(decided);
            }
            let Decision { id, origin, what, about } = decision;
            let values: [(&(dyn ToSql + Sync), Type); 4] =
                [(id, Type::TEXT), (origin, Type::TEXT), (what, Type::TEXT), (about, Type::TEXT)];
            client.query_typed(INSERT, &values).await?;
            *committing = true;
            client.batch_execute("COMMIT").await?;
            Ok(decided)
        });
        match decided {
            Err(error) if is_committing => match self.was_made(&decision.id) {
                Some(true) => Ok(Decided::Made),
                Some(false) => Err(NotDecided::No(error)),
                None => Err(NotDecided::Unsure(error)),
            },
            decided => Ok(decided?),
        }
    }

    /// Whether a decision of which the answer was lost is there; `None` if that cannot be told. It waits for the end of the
    /// transaction, which the server may not have given up yet.
    fn was_made(&self, id: &String) -> Option<bool> {
        let mut connection = self.url.connect_within(CONNECT_WITHIN, &MustEnd::default()).ok()?;
        let asked = connection.run("ask for a decision in", ASK_WITHIN, async |client| {
            client.batch_execute("BEGIN; SET LOCAL lock_timeout = '4s'").await?;
            client.query_typed(LOCK, &[(id, Type::TEXT)]).await?;
            let select = "SELECT FROM trailseal.decisions WHERE id = $1";
            let rows = client.query_typed(select, &[(id, Type::TEXT)]).await?;
            client.batch_execute("ROLLBACK").await?;
            Ok(!rows.is_empty())
        });
        asked.ok()
    }

    /// Notes that the event of a decision is recorded, at this index.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub fn note_recorded(&self, id: &str, index: u64) -> Result<(), StoreError> {
        let (id, index) = (id.to_owned(), index.cast_signed());
        self.ask("note a decision in", async |client| {
            let update = "UPDATE trailseal.decisions SET idx = $2 WHERE id = $1 AND idx IS NULL";
            client.query_typed(update, &[(&id, Type::TEXT), (&index, Type::INT8)]).await.map(drop)
        })
    }
}
