//! The trails that this process has open. Nothing here is locked: a thread that holds a lock at a fork would leave it
//! held for ever in the child.

use std::path::Path;
use std::sync::{Arc, LazyLock, Weak};

use arc_swap::ArcSwap;

use crate::shared::Shared;

static OPEN: LazyLock<ArcSwap<Vec<Weak<Shared>>>> = LazyLock::new(ArcSwap::default);

/// Adds one, unless its folder has one that is not closed: that one, then. Several threads may come at once, and all of
/// them get the same.
pub(crate) fn find_or_add(shared: Arc<Shared>) -> Arc<Shared> {
    let mut found = None;
    OPEN.rcu(|open| {
        let live = open.iter().filter_map(Weak::upgrade);
        found = live.into_iter().find(|one| one.place() == shared.place() && !one.is_closed());
        let mut all: Vec<_> = open.iter().filter(|one| one.strong_count() > 0).cloned().collect();
        if found.is_none() {
            all.push(Arc::downgrade(&shared));
        }
        all
    });
    found.unwrap_or(shared)
}

/// Takes out one that could not be opened, though a thread may still hold it.
pub(crate) fn forget(shared: &Arc<Shared>) {
    OPEN.rcu(|open| {
        let others = open.iter().filter(|one| one.as_ptr() != Arc::as_ptr(shared));
        others.cloned().collect::<Vec<_>>()
    });
}

/// All of them.
pub(crate) fn all() -> Vec<Arc<Shared>> {
    OPEN.load().iter().filter_map(Weak::upgrade).collect()
}

/// The one in this folder that is not closed.
pub(crate) fn find(place: &Path) -> Option<Arc<Shared>> {
    all().into_iter().find(|shared| shared.place() == place && !shared.is_closed())
}
