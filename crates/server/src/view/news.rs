//! When there may be new events, so that a stream need not look for nothing.

use trailseal_core::Trail;

#[cfg(feature = "postgres")]
use super::store::Watched;

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
