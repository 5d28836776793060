//! The files of the index: names, modes, and the set-up of SQLite.
//!
//! ```text
//! main.db   meta(k, v)                format, origin, seed; `state`: cursor, last leaf, how much the dictionaries hold; and
//!                                     `retired`: how many lines of each range were retired when its rows were made
//!           dict(c, i, s)             value `s` of column `c` has the code `i`
//!           tail(first, n, b)         batch blobs of the open range (`rows.rs`)
//!           ranges(lo, n, b)          closed ranges, each in r<lo>.db; `b` is the earliest and latest time in it
//! ```
//!
//! What must hold: cursor, blobs and dictionary change in one transaction; a range file is complete and synced before
//! `ranges` names it. Seed, state, times and blobs end with their checksum (`codec.rs`), and the state holds a checksum
//! of all values: damage, or data missing because of a damaged page, is an error. Everything is derived from the trail
//! and only its owner can read it.

mod connect;
mod files;
mod fork;
mod main_file;
mod state;

pub(crate) use connect::{open_connection, open_immutable, stillness};
pub use files::remove;
pub(crate) use files::{create_private, main_path, new_range_path, range_path, remove_strays, sync_folder};
pub(crate) use main_file::Main;
pub(crate) use state::{RangeRow, State, put_retired, retired_around};
