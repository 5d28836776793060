//! The changes that can be decided, each as its statements.

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::tokens::SharedToken;
use crate::binary_time::Moment;

/// What is to be changed.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// A token is made, if none that is valid has its name.
    AddToken(&'a SharedToken),
    /// A token is made, if there is none at all.
    AddFirstToken(&'a SharedToken),
    /// A token ends.
    RevokeToken(&'a str),
    /// A hold is added, if none has its name.
    AddHold {
        /// Its name.
        name: &'a str,
        /// Reason, filters and time, as JSON.
        about: &'a str,
    },
    /// A hold is removed.
    RemoveHold(&'a str),
    /// A policy is put in force.
    SetPolicy(NewPolicy<'a>),
    /// A review is decided, and a policy that waited for it put in force.
    DecideReview {
        /// Its id.
        id: &'a str,
        /// `approved` or `rejected`.
        state: &'a str,
        /// When, by whom and with what comment, as JSON.
        decided: &'a str,
        /// The policy that it lets in.
        policy: Option<NewPolicy<'a>>,
    },
}

/// A policy to be put in force in the place of another.
#[derive(Clone, Copy, Debug)]
pub struct NewPolicy<'a> {
    /// The number of the one before; 0 if none was set so far.
    pub after: u64,
    /// The policy, as TOML.
    pub policy: &'a str,
    /// The review that approved it.
    pub review: Option<&'a str>,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// It is made.
    Made,
    /// There is one of this name.
    Exists,
    /// There is none of this name.
    Unknown,
    /// Another policy came first.
    Outdated,
    /// Somebody else decided the review.
    Before {
        /// `approved` or `rejected`.
        state: String,
        /// When, by whom and with what comment, as JSON.
        decided: String,
    },
}

type Result<T> = std::result::Result<T, tokio_postgres::Error>;

impl Change<'_> {
    /// Makes it, in the transaction that is open.
    pub(super) async fn make(&self, client: &Client) -> Result<Decided> {
        match self {
            Change::AddToken(token) => {
                change(client, "tokens").await?;
                // One that has expired makes room for another of its name.
                let gone = "DELETE FROM trailseal.tokens WHERE name = $1 AND expires <= now()";
                client.query_typed(gone, &[(&token.name, Type::TEXT)]).await?;
                add_token(client, token).await
            }
            Change::AddFirstToken(token) => {
                change(client, "tokens").await?;
                let any = client.query_typed("SELECT FROM trailseal.tokens LIMIT 1", &[]).await?;
                if any.is_empty() { add_token(client, token).await } else { Ok(Decided::Exists) }
            }
            Change::RevokeToken(name) => {
                change(client, "tokens").await?;
                remove(client, "DELETE FROM trailseal.tokens WHERE name = $1 RETURNING name", name).await
            }
            Change::AddHold { name, about } => {
                change(client, "holds").await?;
                let insert = "INSERT INTO trailseal.holds (name, about) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING name";
                let rows = client.query_typed(insert, &[(name, Type::TEXT), (about, Type::TEXT)]).await?;
                Ok(if rows.is_empty() { Decided::Exists } else { Decided::Made })
            }
            Change::RemoveHold(name) => {
                change(client, "holds").await?;
                remove(client, "DELETE FROM trailseal.holds WHERE name = $1 RETURNING name", name).await
            }
            Change::SetPolicy(policy) => set_policy(client, policy).await,
            Change::DecideReview { id, state, decided, policy } => {
                let review = decide_review(client, id, state, decided).await?;
                match policy {
                    Some(policy) if review == Decided::Made => set_policy(client, policy).await,
                    _ => Ok(review),
                }
            }
        }
    }
}

/// Counts a change, and keeps others of its kind waiting until it is made.
async fn change(client: &Client, name: &str) -> Result<i64> {
    let update = "UPDATE trailseal.versions SET number = number + 1 WHERE name = $1 RETURNING number";
    let rows = client.query_typed(update, &[(&name, Type::TEXT)]).await?;
    rows.first().map_or(Ok(0), |row| row.try_get(0))
}

async fn add_token(client: &Client, token: &SharedToken) -> Result<Decided> {
    let insert = "INSERT INTO trailseal.tokens (name, sha256, about, created, expires) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT DO NOTHING RETURNING name";
    let SharedToken { name, sha256, about, created, expires, .. } = token;
    let (hash, created) = (sha256.to_vec(), Moment::of(*created));
    let expires = expires.map(Moment::of);
    let values: [(&(dyn ToSql + Sync), Type); 5] = [
        (name, Type::TEXT),
        (&hash, Type::BYTEA),
        (about, Type::TEXT),
        (&created, Type::TIMESTAMPTZ),
        (&expires, Type::TIMESTAMPTZ),
    ];
    let rows = client.query_typed(insert, &values).await?;
    Ok(if rows.is_empty() { Decided::Exists } else { Decided::Made })
}

async fn remove(client: &Client, sql: &str, name: &str) -> Result<Decided> {
    let rows = client.query_typed(sql, &[(&name, Type::TEXT)]).await?;
    Ok(if rows.is_empty() { Decided::Unknown } else { Decided::Made })
}

async fn set_policy(client: &Client, new: &NewPolicy<'_>) -> Result<Decided> {
    let (number, after) = (change(client, "policy").await?, new.after.cast_signed());
    if number != after + 1 && !cfg!(trailseal_fault = "policy_replaces_any") {
        return Ok(Decided::Outdated);
    }
    let insert = "INSERT INTO trailseal.policies (number, policy, review) VALUES ($1, $2, $3)";
    let values: [(&(dyn ToSql + Sync), Type); 3] =
        [(&number, Type::INT8), (&new.policy, Type::TEXT), (&new.review, Type::TEXT)];
    client.query_typed(insert, &values).await?;
    Ok(Decided::Made)
}

async fn decide_review(client: &Client, id: &str, state: &str, decided: &str) -> Result<Decided> {
    // Locked first: whoever comes second waits here, and then sees what the first one decided.
    let select = "SELECT state, coalesce(decided, '{}') FROM trailseal.reviews WHERE id = $1 FOR UPDATE";
    let rows = client.query_typed(select, &[(&id, Type::TEXT)]).await?;
    let Some(row) = rows.first() else { return Ok(Decided::Unknown) };
    let is_state: String = row.try_get(0)?;
    if is_state != "pending" && !cfg!(trailseal_fault = "review_decided_twice") {
        return Ok(Decided::Before { state: is_state, decided: row.try_get(1)? });
    }
    let update = "UPDATE trailseal.reviews SET state = $2, decided = $3 WHERE id = $1";
    let values: [(&(dyn ToSql + Sync), Type); 3] =
        [(&id, Type::TEXT), (&state, Type::TEXT), (&decided, Type::TEXT)];
    client.query_typed(update, &values).await?;
    Ok(Decided::Made)
}
