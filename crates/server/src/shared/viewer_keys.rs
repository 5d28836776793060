//! By which keys the servers sign viewer tokens.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use trailseal_core::with_causes;
use trailseal_postgres::StoreError;

use super::SharedStore;

/// How often a server says that its key is in use.
const KEPT_EVERY: Duration = Duration::from_secs(3600);
/// How soon it tries again where that failed.
const TRIED_EVERY: Duration = Duration::from_secs(10);

impl SharedStore {
    /// The keys of all servers; `None` if they cannot be read. Viewer tokens of others are unknown then, and nothing else suffers:
    /// a user that may not read them decides all the same. Blocks.
    pub(crate) fn viewer_keys(&self) -> Option<Vec<String>> {
        let keys = self.store.viewer_keys().map_err(|error| self.keys_fail(&error)).ok()?;
        self.keys_have_failed.store(false, Ordering::Relaxed);
        Some(keys)
    }

    /// Lets the other servers know this server's key, where it is time to. Blocks.
    pub(crate) fn keep_viewer_key(&self, key: &str) {
        let mut due = self.viewer_key_due.lock().unwrap_or_else(PoisonError::into_inner);
        if due.is_some_and(|due| Instant::now() < due) {
            return;
        }
        let kept = self.store.keep_viewer_key(self.ledger.origin(), key);
        *due = Some(Instant::now() + if kept.is_ok() { KEPT_EVERY } else { TRIED_EVERY });
        match kept {
            Ok(true) => {}
            Ok(false) => tracing::warn!(
                "the viewer key of this server was rejected in the store: its viewer tokens work at no other server. For a new \
                 key, stop the server and remove viewer_secret from tokens.json in the trail's folder"
            ),
            Err(error) => self.keys_fail(&error),
        }
    }

    fn keys_fail(&self, error: &StoreError) {
        if !self.keys_have_failed.swap(true, Ordering::Relaxed) && !self.is_down() {
            tracing::warn!(
                error = %with_causes(error),
                "viewer tokens of other servers are not known here, nor this server's there: if a right is missing, run what \
                 `trailseal store roles` prints"
            );
        }
    }
}
