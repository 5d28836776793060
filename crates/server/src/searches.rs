//! Searches: kept open between requests, done in turns, and ended when nobody waits for them or their time is over.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use trailseal_core::file::open_files_max;
use trailseal_core::{PersonalKeysIn, PersonalKeysOptions, Trail};
use trailseal_event::personal::{PersonalKeys, SeveralKeys};
use trailseal_index::{Page, Search, SearchError};

use crate::config::Config;
use crate::fairness::blocking;
use crate::metrics::Metrics;
use crate::problem::{Problem, is_short_of_files};

/// How many searches are kept open between requests.
const SEARCHES_KEPT: usize = 16;
/// One per this many files that may be open: each holds several, and more if there are many trails.
const FILES_A_SEARCH_KEPT: u64 = 64;
/// How long one request for a page may search.
const BUDGET: Duration = Duration::from_secs(2);

/// Searches of the server's folder.
pub(crate) struct Searches {
    trail: Trail,
    /// The folder that is searched: the trail's, or that of all slots.
    dir: PathBuf,
    /// The most that one may take.
    timeout: Duration,
    metrics: Arc<Metrics>,
    kept: Mutex<Vec<Search>>,
    kept_max: usize,
    /// Where the keys of other slots are, and those, once somebody needed them.
    personal: PersonalKeysOptions,
    personal_keys: OnceLock<Option<Arc<PersonalKeysIn>>>,
}

impl Searches {
    pub(crate) fn new(trail: Trail, dir: PathBuf, config: &Config, metrics: Arc<Metrics>) -> Searches {
        let kept_max = SEARCHES_KEPT.min((open_files_max() / FILES_A_SEARCH_KEPT) as usize);
        Searches {
            trail,
            dir,
            timeout: config.search_timeout,
            metrics,
            kept: Mutex::default(),
            personal: config.personal_keys.clone(),
            personal_keys: OnceLock::new(),
            kept_max: kept_max.min(config.searches_max),
        }
    }

    /// What opens personal values, for those who may see them. Blocks, the first time.
    pub(crate) fn personal_keys(&self) -> Arc<dyn PersonalKeys> {
        let others = self.personal_keys.get_or_init(|| {
            let files = self.trail.folder().files().clone();
            let opened = PersonalKeysIn::open(self.slots()?, files, self.personal.clone());
            opened
                .map(Arc::new)
                .map_err(
                    |error| tracing::warn!(error = %error, "personal values of other slots cannot be read"),
                )
                .ok()
        });
        let own = self.trail.personal_keys();
        let others = others.clone().map(|others| others as Arc<dyn PersonalKeys>);
        Arc::new(SeveralKeys(own.into_iter().chain(others).collect()))
    }

    /// The folder where other processes write other trails; `None` if there are no others.
    pub(crate) fn slots(&self) -> Option<&Path> {
        (self.dir != self.trail.folder().root()).then_some(&self.dir)
    }

    /// How long one search for events may take: it ends before it would be cancelled.
    pub(crate) fn budget(&self) -> Duration {
        BUDGET.min(self.timeout / 2)
    }

    /// A search that sees everything that is durable now, and ends when it is cancelled.
    pub(crate) fn take(&self, given_up: &Arc<AtomicBool>) -> Result<Search, Problem> {
        if given_up.load(Ordering::Relaxed) {
            return Err(SearchError::Stopped.into());
        }
        let kept = self.kept().pop();
        let search = match kept {
            // A new search finds what this one no longer can, such as a renamed segment.
            Some(mut search) => search.refresh().map(|()| search).or_else(|_| self.open()),
            None => self.open(),
        };
        let mut search = search.or_else(|error| match is_short_of_files(&error) {
            // Kept searches hold files.
            true => {
                self.kept().clear();
                self.open()
            }
            false => Err(error),
        })?;
        search.stop_when(given_up);
        Ok(search)
    }

    fn open(&self) -> Result<Search, SearchError> {
        Search::open(&self.dir, self.trail.folder().files().clone())
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Search>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a search for the next request.
    pub(crate) fn give_back(&self, search: Search) {
        let mut kept = self.kept();
        if kept.len() < self.kept_max {
            kept.push(search);
        }
    }

    /// Counts a search that was not finished and that nobody waits for.
    pub(crate) fn count(&self, is_done: bool, given_up: &AtomicBool) {
        self.metrics.searched(is_done, given_up);
    }

    /// Does `work` with a search, in a turn and outside the threads that serve connections. If the client goes away,
    /// which drops this future, or time runs out, the work ends soon.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Search) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (searches, waiting) = (self.clone(), Waiting::default());
        let (given_up, late) = (waiting.given_up(), Arc::new(AtomicBool::new(false)));
        let (stop, is_late) = (given_up.clone(), late.clone());
        let (begun, begins) = tokio::sync::oneshot::channel();
        let mut done = std::pin::pin!(blocking(move || {
            let _ = begun.send(());
            let result = searches.take(&given_up).and_then(|mut search| {
                let found = work(&mut search)?;
                // A failed search may belong to a folder that has changed.
                searches.give_back(search);
                Ok(found)
            });
            if !is_late.load(Ordering::Relaxed) {
                searches.count(result.is_ok(), &given_up);
            }
            result
        }));
        let most = self.timeout;
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

/// Checks that a page has everything up to its limit: what was not found in time may exist.
pub(crate) fn whole(page: &Page) -> Result<(), Problem> {
    match page.scanned {
        None => Ok(()),
        Some(_) => {
            Err(Problem::unavailable("not everything could be searched in time: try again in a moment"))
        }
    }
}

/// A partial result is not returned: it would be taken for the whole.
fn too_much_work(most: Duration) -> Problem {
    let seconds = most.as_secs_f64();
    let detail = format!(
        "the answer takes more than the {seconds} s allowed for one request: narrow it, for example by time, or ask for pages"
    );
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "work-limit", detail)
}
