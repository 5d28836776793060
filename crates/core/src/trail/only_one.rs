//! What a trail has at most one of at a time, such as a relay of one outbox: two would be in each other's way.

use std::sync::{Arc, PoisonError};

use super::open_trail::{Inner, Trail};

/// Something that a trail has only once. It ends when this is dropped.
#[must_use = "dropping it ends it"]
pub struct OnlyOne {
    inner: Arc<Inner>,
    what: String,
}

impl Trail {
    /// Begins something that this trail, all clones of the handle together, has only once; `None` while there is one of this name.
    /// In a forked child there is none.
    pub fn begin_only_one(&self, what: &str) -> Option<OnlyOne> {
        if self.inner.is_forked() {
            return None;
        }
        let mut begun = self.inner.only_ones.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = begun.insert(what.to_owned()) || cfg!(trailseal_fault = "two_relays_at_once");
        is_first.then(|| OnlyOne { inner: self.inner.clone(), what: what.to_owned() })
    }
}

impl Drop for OnlyOne {
    fn drop(&mut self) {
        // In a forked child nobody may ever release the lock.
        if !self.inner.is_forked() {
            self.inner.only_ones.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.what);
        }
    }
}
