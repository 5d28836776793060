//! Searches in the server's folder: kept open between requests.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use trailseal_core::file::open_files_max;
use trailseal_core::{PersonalKeysIn, PersonalKeysOptions, Trail};
use trailseal_event::personal::{PersonalKeys, SeveralKeys};
use trailseal_index::{Search, SearchError};

use crate::config::Config;
use crate::problem::{Problem, is_short_of_files};
use crate::response_work::Patience;

/// How many searches are kept open between requests.
const SEARCHES_KEPT: usize = 16;
/// One per this many files that may be open: each holds several, and more if there are many trails.
const FILES_A_SEARCH_KEPT: u64 = 64;

/// Searches of the server's folder.
pub(crate) struct Searches {
    trail: Trail,
    /// The folder that is searched: the trail's, or that of all slots.
    dir: PathBuf,
    patience: Arc<Patience>,
    kept: Mutex<Vec<Search>>,
    kept_max: usize,
    /// Where the keys of other slots are, and those, once somebody needed them.
    personal: PersonalKeysOptions,
    personal_keys: OnceLock<Option<Arc<PersonalKeysIn>>>,
}

impl Searches {
    pub(crate) fn new(trail: Trail, dir: PathBuf, config: &Config, patience: Arc<Patience>) -> Searches {
        let kept_max = SEARCHES_KEPT.min((open_files_max() / FILES_A_SEARCH_KEPT) as usize);
        Searches {
            trail,
            dir,
            patience,
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

    /// The folder that is searched.
    #[cfg(feature = "postgres")]
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder where other processes write other trails; `None` if there are no others.
    pub(crate) fn slots(&self) -> Option<&Path> {
        (self.dir != self.trail.folder().root()).then_some(&self.dir)
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

    /// Does `work` with a search that ends when it is cancelled. A failed search is not kept: it may belong to a folder that has changed.
    pub(crate) fn with<T, E: From<Problem>>(
        &self,
        given_up: &Arc<AtomicBool>,
        work: impl FnOnce(&mut Search) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut search = self.take(given_up)?;
        let done = work(&mut search)?;
        self.give_back(search);
        Ok(done)
    }

    /// Does `work` with a search, as [`Patience`] does it.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Search) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let searches = self.clone();
        self.patience.run(move |given_up| searches.with(given_up, work)).await
    }
}
