//! Where an answer continues. Opaque to clients; that of a folder is not one of a store.

use std::fmt;

use trailseal_index::Order;

/// Where the next page, or a stream, continues.
#[derive(Clone, Debug)]
pub(crate) enum Cursor {
    /// In the trails of a folder.
    Folder(trailseal_index::Cursor),
    /// In the order of all events of a store.
    #[cfg(feature = "postgres")]
    Store(trailseal_postgres::StoreCursor),
    /// In a store: a place in each trail, for what arrives there later.
    #[cfg(feature = "postgres")]
    Position(trailseal_postgres::StorePosition),
}

impl Cursor {
    /// The order that it belongs to.
    pub(crate) fn order(&self) -> Order {
        match self {
            Cursor::Folder(cursor) => cursor.order(),
            #[cfg(feature = "postgres")]
            Cursor::Store(cursor) => cursor.order(),
            #[cfg(feature = "postgres")]
            Cursor::Position(_) => Order::OLDEST_RECORDED,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cursor::Folder(cursor) => cursor.fmt(out),
            #[cfg(feature = "postgres")]
            Cursor::Store(cursor) => cursor.fmt(out),
            #[cfg(feature = "postgres")]
            Cursor::Position(position) => position.fmt(out),
        }
    }
}
