//! The trails that this process has open. Nothing here is locked: a thread that holds a lock at a fork would leave it
//! held for ever in the child.

use std::path::Path;
use std::sync::{Arc, LazyLock, Weak};

use arc_swap::ArcSwap;

use crate::shared::Shared;

static OPEN: LazyLock<ArcSwap<Vec<Weak<Shared>>>> = LazyLock::new(ArcSwap::default);

/// Adds one.
pub(crate) fn add(shared: &Arc<Shared>) {
    OPEN.rcu(|open| {
        let mut all: Vec<_> = open.iter().filter(|one| one.strong_count() > 0).cloned().collect();
        all.push(Arc::downgrade(shared));
        all
    });
}

/// All of them.
pub(crate) fn all() -> Vec<Arc<Shared>> {
    OPEN.load().iter().filter_map(Weak::upgrade).collect()
}

/// The one in this folder that is not closed.
pub(crate) fn find(dir: &Path) -> Option<Arc<Shared>> {
    all().into_iter().find(|shared| shared.dir() == dir && !shared.is_closed())
}
