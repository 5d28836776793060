//! One look at the store for all streams of this server: whether events have arrived.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use trailseal_postgres::{Reader, StoredOrigin};

use super::Stored;
use crate::fairness::aside;
use crate::problem::Problem;
use crate::view::news::Moment;

/// How often the store is asked, by each server with a stream, whatever the number of its streams.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// An answer must come within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What the streams of a server know of its store.
#[derive(Default)]
pub(crate) struct Watched {
    /// How often something was seen to have come.
    come: AtomicU64,
    is_lost: AtomicBool,
}

impl Watched {
    pub(in crate::view) fn now(&self) -> Moment {
        match self.is_lost.load(Ordering::Acquire) {
            true => Moment::Lost,
            false => Moment::At(self.come.load(Ordering::Acquire)),
        }
    }
}

/// The watch over the store, which lasts as long as somebody holds it.
pub(super) fn watched(store: &Arc<Stored>) -> Arc<Watched> {
    let mut known = store.watched.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(watched) = known.upgrade() {
        return watched;
    }
    let watched = Arc::new(Watched::default());
    *known = Arc::downgrade(&watched);
    tokio::spawn(watch(store.clone(), Arc::downgrade(&watched)));
    watched
}

async fn watch(store: Arc<Stored>, watched: Weak<Watched>) {
    let mut known = Vec::new();
    loop {
        let asked = look(&store).await;
        let Some(watched) = watched.upgrade() else { return };
        watched.is_lost.store(asked.is_err(), Ordering::Release);
        if let Ok(origins) = asked
            && origins != known
        {
            known = origins;
            watched.come.fetch_add(1, Ordering::Release);
        }
        drop(watched);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How much of each trail is in the store.
async fn look(store: &Arc<Stored>) -> Result<Vec<StoredOrigin>, Problem> {
    let (store, given_up) = (store.clone(), Arc::new(AtomicBool::new(false)));
    let over = given_up.clone();
    let mut asked = aside(move || store.begin(&given_up)?.ask(Reader::origins));
    let answer = match tokio::time::timeout(ANSWER_WITHIN, &mut asked).await {
        Ok(answer) => answer,
        Err(_) => {
            over.store(true, Ordering::Relaxed);
            asked.await
        }
    };
    answer.unwrap_or_else(|error| Err(Problem::internal(&error)))
}
