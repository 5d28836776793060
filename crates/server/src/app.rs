//! What all requests share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use trailseal_core::Trail;
use trailseal_core::file::open_files_max;
use trailseal_event::{Actor, Event, Index, Object, Value};
use trailseal_index::{Search, SearchError};

use crate::access::{Caller, Tokens};
use crate::config::Config;
use crate::durable_watch::DurableWatch;
use crate::listen::Rates;
use crate::metrics::Metrics;
use crate::problem::{Problem, is_short_of_files};
use crate::read::NewestCheckpoint;
use crate::reviews::Reviews;
use crate::shares::Shares;
use crate::turns::{Asker, Turns};

/// How many searches are kept open between requests.
const SEARCHES_KEPT: usize = 16;
/// One per this many files that may be open: each holds several, and more if there are many trails.
const FILES_A_SEARCH_KEPT: u64 = 64;
/// How many requests may wait for a turn, have one, or be sending a response: per client, and in total.
const PLACES_EACH: usize = 32;
const PLACES_MAX: usize = 512;
/// Exports per client, and in total: each holds a search for as long as its client takes.
const EXPORTS_EACH: usize = 4;
const EXPORTS_MAX: usize = 16;
/// Small requests that hand in their events outside the threads that serve connections: per client, and in total.
const RECORDING_EACH: usize = 16;
const RECORDING_MAX: usize = 64;

pub(crate) struct App {
    pub(crate) trail: Trail,
    /// The folder that is searched: the trail's, or that of all slots.
    pub(crate) dir: PathBuf,
    pub(crate) config: Config,
    pub(crate) tokens: Tokens,
    pub(crate) reviews: Reviews,
    pub(crate) metrics: Metrics,
    pub(crate) rates: Rates,
    /// Bytes of large bodies.
    pub(crate) body_room: Arc<Shares>,
    pub(crate) durable_watch: DurableWatch,
    /// Places for requests whose work takes turns.
    pub(crate) places: Arc<Shares>,
    /// Turns at searches, proofs and reviews.
    pub(crate) turns: Arc<Turns>,
    /// Places for responses that hold a thread for as long as the client takes.
    pub(crate) exports: Arc<Shares>,
    /// Places for endless responses.
    pub(crate) streams: Arc<Shares>,
    /// Turns at large bodies.
    pub(crate) large_bodies: Arc<Turns>,
    /// Turns of small requests that may have to wait for room or for id look-ups: each holds a thread.
    pub(crate) recording: Arc<Turns>,
    pub(crate) newest_checkpoint: NewestCheckpoint,
    /// Set when the server stops: streams end.
    pub(crate) stopping: tokio::sync::watch::Receiver<bool>,
    searches: Mutex<Vec<Search>>,
    searches_kept: usize,
}

/// What handlers receive.
pub(crate) type Shared = Arc<App>;

impl App {
    pub(crate) fn new(
        trail: Trail,
        dir: PathBuf,
        config: Config,
        tokens: Tokens,
        stopping: tokio::sync::watch::Receiver<bool>,
    ) -> App {
        App {
            trail,
            dir,
            // The compressed and the decompressed body are both held.
            body_room: Shares::new(config.bodies_bytes_max, 2 * config.body_bytes_max),
            places: Shares::with(PLACES_EACH, PLACES_MAX),
            turns: Turns::new(config.searches_max, config.searches_max / 2),
            exports: Shares::with(EXPORTS_EACH, EXPORTS_MAX),
            streams: Shares::new(config.streams_max, 1),
            large_bodies: Turns::new(config.searches_max, config.searches_max / 2),
            recording: Turns::new(RECORDING_MAX, RECORDING_EACH),
            newest_checkpoint: NewestCheckpoint::default(),
            config,
            tokens,
            reviews: Reviews::default(),
            metrics: Metrics::default(),
            rates: Rates::default(),
            durable_watch: DurableWatch::default(),
            stopping,
            searches: Mutex::default(),
            searches_kept: SEARCHES_KEPT.min((open_files_max() / FILES_A_SEARCH_KEPT) as usize),
        }
    }

    /// A search that sees everything that is durable now, and ends when it is cancelled.
    pub(crate) fn take_search(&self, given_up: &Arc<AtomicBool>) -> Result<Search, Problem> {
        if given_up.load(Ordering::Relaxed) {
            return Err(SearchError::Stopped.into());
        }
        let kept = self.searches.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let search = match kept {
            // A new search finds what this one no longer can, such as a renamed segment.
            Some(mut search) => search.refresh().map(|()| search).or_else(|_| self.open_search()),
            None => self.open_search(),
        };
        let mut search = search.or_else(|error| match is_short_of_files(&error) {
            // Kept searches hold files.
            true => {
                self.searches.lock().unwrap_or_else(PoisonError::into_inner).clear();
                self.open_search()
            }
            false => Err(error),
        })?;
        search.stop_when(given_up);
        Ok(search)
    }

    fn open_search(&self) -> Result<Search, SearchError> {
        Search::open(&self.dir, self.trail.folder().files().clone())
    }

    /// Keeps a search for the next request.
    pub(crate) fn give_back(&self, search: Search) {
        let mut searches = self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        if searches.len() < self.searches_kept.min(self.config.searches_max) {
            searches.push(search);
        }
    }

    /// Does `work` with a search, in a turn and outside the threads that serve connections. If the client goes away,
    /// which drops this future, or time runs out, the work ends soon.
    pub(crate) async fn search<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Search) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (app, waiting) = (self.clone(), Waiting::default());
        let (given_up, late) = (waiting.given_up(), Arc::new(AtomicBool::new(false)));
        let (stop, is_late) = (given_up.clone(), late.clone());
        let (begun, begins) = tokio::sync::oneshot::channel();
        let mut done = std::pin::pin!(blocking(move || {
            let _ = begun.send(());
            let result = app.take_search(&given_up).and_then(|mut search| {
                let found = work(&mut search)?;
                // A failed search may belong to a folder that has changed.
                app.give_back(search);
                Ok(found)
            });
            if !is_late.load(Ordering::Relaxed) {
                app.metrics.searched(result.is_ok(), &given_up);
            }
            result
        }));
        let most = self.config.search_timeout;
        let over = async {
            let _ = begins.await;
            tokio::time::sleep(most).await;
        };
        tokio::select! {
            done = &mut done => return done,
            () = over => {}
        }
        late.store(true, Ordering::Relaxed);
        stop.store(true, Ordering::Relaxed);
        done.await.map_err(|_| too_much_work(most))
    }

    /// How many reviews wait for a decision; without recent flags by rules if they cannot be read. Blocks.
    pub(crate) fn reviews_pending(&self) -> usize {
        // The error was logged where it occurred.
        let _ = self.reviews.refresh(self);
        self.reviews.pending()
    }

    /// Like [`note`](App::note), outside the threads that serve connections: it may wait for a full handoff.
    pub(crate) async fn note_aside(self: &Arc<Self>, what: &'static str, caller: &Caller, details: Object) {
        let (app, caller) = (self.clone(), caller.clone());
        let _ = tokio::task::spawn_blocking(move || app.note(what, &caller, details)).await;
    }

    /// Records what the caller did as one of the trail's own events. If that fails, the failure is logged and does not
    /// affect the caller.
    pub(crate) fn note(&self, what: &str, caller: &Caller, details: Object) -> Option<Index> {
        let actor =
            Actor { id: Some(caller.name().to_owned()), kind: Some("token".into()), ..Actor::default() };
        let mut event = Event {
            actor: Some(actor),
            details,
            tenant: caller.tenant().map(str::to_owned),
            ..Event::default()
        };
        event.context.ip = caller.address().map(|address| address.to_string());
        match self.trail.record_own(what, event) {
            Ok(index) => Some(index),
            Err(error) => {
                tracing::warn!(what, error = %error, "one of the trail's own events was refused");
                None
            }
        }
    }
}

/// Held by whoever waits for a search; dropped with the response that nobody reads.
#[derive(Default)]
pub(crate) struct Waiting(Arc<AtomicBool>);

impl Waiting {
    /// Set when nobody waits any more.
    pub(crate) fn given_up(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does work that may block outside the threads that serve connections, in a turn if the request takes turns.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let turn = match Asker::here() {
        Some(asker) => Some(asker.turn().await),
        None => None,
    };
    let work = move || {
        // Released when the work is done, even if nobody waits for it any more.
        let _turn = turn;
        work()
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Problem::internal(&error)))
}

/// A partial result is not returned: it would be taken for the whole.
fn too_much_work(most: Duration) -> Problem {
    let seconds = most.as_secs_f64();
    let detail = format!(
        "the answer takes more than the {seconds} s allowed for one request: narrow it, for example by time, or ask \
         for pages"
    );
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "work-limit", detail)
}

/// An object from names and texts; names without a text are left out.
pub(crate) fn details<'a>(members: impl IntoIterator<Item = (&'a str, Option<String>)>) -> Object {
    let mut object = Object::default();
    for (name, text) in members {
        if let Some(text) = text {
            object.insert(name, Value::from(text));
        }
    }
    object
}
