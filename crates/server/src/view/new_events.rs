//! When there may be new events, so that a stream need not look for nothing.

#[cfg(feature = "postgres")]
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use trailseal_core::Trail;

/// Says when there may be new events.
pub(crate) enum News {
    /// In a folder.
    Folder {
        trail: Trail,
        /// Other slots are other processes: only looking at their folders shows new events.
        has_slots: bool,
    },
    /// In a shared store, which one look for all streams asks.
    #[cfg(feature = "postgres")]
    Store(std::sync::Arc<Watched>),
}

/// A moment as far as news are concerned: at two equal ones there is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// So much has come.
    At(u64),
    /// That can only be seen by looking.
    Unknown,
    /// Nothing can be seen now.
    Lost,
}

impl News {
    pub(super) fn of_folder(trail: Trail, has_slots: bool) -> News {
        News::Folder { trail, has_slots }
    }

    /// The present moment. What came before it, a look after it finds.
    pub(crate) fn now(&self) -> Moment {
        match self {
            News::Folder { has_slots: true, .. } => Moment::Unknown,
            News::Folder { trail, .. } => Moment::At(trail.durable().get()),
            #[cfg(feature = "postgres")]
            News::Store(watched) => watched.now(),
        }
    }
}

/// What the streams of a server know of its store.
#[cfg(feature = "postgres")]
#[derive(Default)]
pub(crate) struct Watched {
    /// How often something was seen to have come.
    come: AtomicU64,
    is_lost: AtomicBool,
}

#[cfg(feature = "postgres")]
impl Watched {
    fn now(&self) -> Moment {
        match self.is_lost.load(Ordering::Acquire) {
            true => Moment::Lost,
            false => Moment::At(self.come.load(Ordering::Acquire)),
        }
    }

    /// The store was looked at: whether it could be, and whether something has come.
    pub(super) fn looked(&self, is_lost: bool, has_come: bool) {
        self.is_lost.store(is_lost, Ordering::Release);
        self.come.fetch_add(has_come.into(), Ordering::Release);
    }
}
