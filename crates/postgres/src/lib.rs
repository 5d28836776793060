//! The shared store of many trails, on PostgreSQL.
//!
//! ```text
//! trail A ─> StoreSink ─┐  one transaction a batch: rows, extents, cursor
//! trail B ─> StoreSink ─┴─> events, cursors, checkpoints ─> readers, verifiers
//! ```
//!
//! What must hold: the cursor of an origin changes in the transaction of its rows, with its row locked, so that every event
//! arrives once, whatever dies; `line` holds the event's exact bytes, and the other columns only help to find it; nothing is
//! changed or deleted; and no password is ever shown.

mod abandoned;
mod binary_time;
pub mod columns;
mod connect;
mod deliver;
mod error;
pub mod foreign;
mod holders;
pub mod outbox;
mod read;
mod retire;
pub mod roles;
mod schema;
pub mod shared;
mod tls;
mod url;
pub mod verify;
pub mod views;

pub use abandoned::{AbandonedSlots, AbandonedTimes};
pub use connect::{Connection, Lent, Pool};
pub use deliver::{SINK_NAME, StoreSink, leaf_at, position_of};
pub use error::{Problem, Refusal, StoreError};
pub use read::{
    Arrived, PAGE_BYTES_MAX, Reader, RetiredEvent, StoreCursor, StoreCursorError, StorePage, StorePosition,
    StorePositionError, StoredOrigin, StoredTrail,
};
pub use retire::{RetiredOrigin, retire};
pub use schema::{VERSION, check_readable, migrate, version};
pub use url::{StoreUrl, split_password};
