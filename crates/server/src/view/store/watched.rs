//! One look at the store for all streams of this server: whether events have arrived.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use trailseal_postgres::StoredOrigin;

use crate::fairness::aside;
use crate::problem::Problem;
use crate::view::new_events::Watched;

/// How often the store is asked, by each server with a stream, whatever the number of its streams.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// An answer must come within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The watch over a store, which lasts as long as somebody holds it. `known` is where the present one stands; `ask` asks how much
/// of each trail is in the store, and blocks.
pub(super) fn watched<A>(known: &Mutex<Weak<Watched>>, ask: A) -> Arc<Watched>
where
    A: Fn(&Arc<AtomicBool>) -> Result<Vec<StoredOrigin>, Problem> + Clone + Send + Sync + 'static,
{
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(watched) = known.upgrade() {
        return watched;
    }
    let watched = Arc::new(Watched::default());
    *known = Arc::downgrade(&watched);
    tokio::spawn(watch(ask, Arc::downgrade(&watched)));
    watched
}

async fn watch<A>(ask: A, watched: Weak<Watched>)
where
    A: Fn(&Arc<AtomicBool>) -> Result<Vec<StoredOrigin>, Problem> + Clone + Send + Sync + 'static,
{
    let mut known = Vec::new();
    loop {
        let asked = look(ask.clone()).await;
        let Some(watched) = watched.upgrade() else { return };
        let is_lost = asked.is_err();
        let come = asked.ok().filter(|origins| *origins != known);
        watched.looked(is_lost, come.is_some());
        known = come.unwrap_or(known);
        drop(watched);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(
    ask: impl Fn(&Arc<AtomicBool>) -> Result<Vec<StoredOrigin>, Problem> + Send + 'static,
) -> Result<Vec<StoredOrigin>, Problem> {
    let given_up = Arc::new(AtomicBool::new(false));
    let over = given_up.clone();
    let mut asked = aside(move || ask(&given_up));
    let answer = match tokio::time::timeout(ANSWER_WITHIN, &mut asked).await {
        Ok(answer) => answer,
        Err(_) => {
            over.store(true, Ordering::Relaxed);
            asked.await
        }
    };
    answer.unwrap_or_else(|error| Err(Problem::internal(&error)))
}
