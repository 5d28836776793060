//! The embedded index of a trail: finds events by any filter and holds no text.
//!
//! ```text
//! lines ─> fields ──────────> rows (codes, hashes) ─┬─> main.db: blobs, dictionaries and cursor in one transaction
//!                                                  └─> range/: one file of posting lists, key buckets and column blocks
//! answers <─ view/ (plan, rows, counts) <──────────────        per 250,000 events
//! ```
//!
//! [`Indexer`] is the writing side, a sink of the trail's delivery. [`IndexView`] is the reading side, for any process
//! at any time. What must hold: the cursor changes in the transaction of its rows, so that nothing is left out or
//! arrives twice, whatever dies; and the index is derived: deleting it loses nothing, and delivering again rebuilds it.

mod codec;
mod compare;
mod dictionary;
mod error;
mod indexer;
mod known_ids;
mod posting;
mod range;
mod rows;
mod schema;
mod search;
mod store;
mod summary;
mod view;
mod witness;

pub use compare::{CompareError, compare};
pub use error::IndexError;
pub use indexer::{BATCH_EVENTS_MAX, IndexOptions, Indexer};
pub use known_ids::IndexedIds;
pub use search::{
    Cursor, CursorError, FacetValue, Hit, Lag, PAGE_BYTES_MAX, Page, Search, SearchError, TellTrouble,
};
pub use store::remove;
pub use trailseal_event::count::Summary;
pub use view::{
    By, Candidate, Checker, Count, FacetField, Facets, First, HISTOGRAM_BUCKETS_MAX, IndexView, Order,
    RangeCheck,
};
pub use witness::witnesses;

/// The folder of the index within a trail's.
pub const FOLDER: &str = "index";

/// What the index is called among the sinks of a trail.
pub const SINK_NAME: &str = "index";
