//! What has changed, by one short look, and what is in force.

use tokio_postgres::types::Type;

use super::{Decision, Shared};
use crate::error::StoreError;

/// What a look shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Looked {
    /// How often tokens, holds and the policy have changed.
    pub tokens: u64,
    /// See `tokens`.
    pub holds: u64,
    /// See `tokens`. It is the number of the policy in force, and 0 if none was set.
    pub policy: u64,
    /// What was decided in the name of this trail, and is not known to be recorded in it.
    pub to_record: Vec<Decision>,
}

/// A legal hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedHold {
    /// Its name.
    pub name: String,
    /// Reason, filters and time, as JSON.
    pub about: String,
}

/// The policy that was set last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedPolicy {
    /// Its number, from 1 on.
    pub number: u64,
    /// The policy, as TOML.
    pub policy: String,
    /// The review that approved it.
    pub review: Option<String>,
}

impl Shared {
    /// Looks what has changed, and what of `origin` is to be recorded.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub fn look(&self, origin: &str) -> Result<Looked, StoreError> {
        let origin = origin.to_owned();
        self.ask("look for decisions in", async |client| {
            let versions = "SELECT name, number FROM trailseal.versions";
            let mut looked = Looked::default();
            for row in client.query_typed(versions, &[]).await? {
                let number = row.try_get::<_, i64>(1)?.cast_unsigned();
                match row.try_get::<_, &str>(0)? {
                    "tokens" => looked.tokens = number,
                    "holds" => looked.holds = number,
                    "policy" => looked.policy = number,
                    _ => {}
                }
            }
            let to_record = "SELECT id, what, about FROM trailseal.decisions \
                WHERE origin = $1 AND idx IS NULL ORDER BY decided, id LIMIT 1000";
            for row in client.query_typed(to_record, &[(&origin, Type::TEXT)]).await? {
                let (id, what, about) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                looked.to_record.push(Decision { id, origin: origin.clone(), what, about });
            }
            Ok(looked)
        })
    }

    /// All legal holds, by name.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub fn holds(&self) -> Result<Vec<SharedHold>, StoreError> {
        self.ask("read the legal holds in", async |client| {
            let rows =
                client.query_typed("SELECT name, about FROM trailseal.holds ORDER BY name", &[]).await?;
            rows.iter().map(|row| Ok(SharedHold { name: row.try_get(0)?, about: row.try_get(1)? })).collect()
        })
    }

    /// The policy that was set last, if one was.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub fn policy(&self) -> Result<Option<SharedPolicy>, StoreError> {
        self.ask("read the policy in", async |client| {
            let select = "SELECT number, policy, review FROM trailseal.policies ORDER BY number DESC LIMIT 1";
            let rows = client.query_typed(select, &[]).await?;
            rows.first()
                .map(|row| {
                    let number = row.try_get::<_, i64>(0)?.cast_unsigned();
                    Ok(SharedPolicy { number, policy: row.try_get(1)?, review: row.try_get(2)? })
                })
                .transpose()
        })
    }
}
