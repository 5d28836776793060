//! What several servers decide together: tokens, legal holds, reviews, and the policy that was set at run time.
//!
//! In: one [`Change`] with the [`Decision`] that says who made it and why. Out: whether it was made. What must hold: change
//! and decision are one transaction, so that whoever is killed after it can still tell what was decided; of two changes that
//! exclude each other one is made; and what cannot be known (an answer that was lost) is never called made or not made.

mod change;
mod decide;
mod flags;
mod look;
mod reviews;
mod tokens;
mod viewer_keys;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio_postgres::Client;
use trailseal_core::deliver::MustEnd;

use crate::connect::Connection;
use crate::error::StoreError;
use crate::schema;
use crate::url::StoreUrl;

pub use change::{Change, Decided, NewPolicy};
pub use decide::{Decision, NotDecided};
pub use flags::PublishedFlag;
pub use look::{Looked, SharedHold, SharedPolicy};
pub use reviews::{PublishedReview, ReviewsWanted, SharedReview};
pub use tokens::{SharedToken, TokenUse};

/// How long connecting may take, and each question after it. Somebody waits for the answer.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection that was idle may take to show that it is one.
const REACH_WITHIN: Duration = Duration::from_secs(2);

/// What servers share in one store. Two connections: one to decide, and one to look, so that neither waits for the other.
pub struct Shared {
    url: StoreUrl,
    decides: Mutex<Option<Connection>>,
    looks: Mutex<Option<Connection>>,
}

impl Shared {
    /// What is shared at this URL. It connects when it is first asked.
    pub fn new(url: StoreUrl) -> Shared {
        Shared { url, decides: Mutex::default(), looks: Mutex::default() }
    }

    /// The store as it may be shown.
    pub fn store(&self) -> &str {
        self.url.shown()
    }

    fn ask<T>(
        &self,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        self.on(&self.looks, doing, work)
    }

    /// Does `work` on a connection, made if there is none that can be used.
    fn on<T>(
        &self,
        line: &Mutex<Option<Connection>>,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match line.take().and_then(still_usable) {
            Some(connection) => line.insert(connection),
            None => {
                let mut connection = self.url.connect_within(CONNECT_WITHIN, &MustEnd::default())?;
                schema::migrate(&mut connection)?;
                line.insert(connection)
            }
        };
        connection.run(doing, ASK_WITHIN, work)
    }
}

/// A connection that was idle, unless it was closed meanwhile, which only shows when it is used.
fn still_usable(mut connection: Connection) -> Option<Connection> {
    let asked = connection.run("reach", REACH_WITHIN, async |client| client.simple_query("SELECT 1").await);
    asked.ok().map(|_| connection)
}

impl fmt::Debug for Shared {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Shared({})", self.store())
    }
}
