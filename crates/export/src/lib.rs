//! Stored lines as rows: CSV for spreadsheets, Parquet and SQLite for your own SQL; and lines with their proofs: bundles, and
//! archives of what is retired.
//!
//! In: lines of a trail, one at a time ([`Row::read`]). Out: one row per event, with the columns of [`columns`], in
//! bounded memory. What must hold: a line gives a row exactly if it can be parsed as an event, and the column `line` has its
//! exact bytes.
//!
//! Deliberately absent: filters and the choice of lines; callers bring them.

#[cfg(feature = "archive")]
mod archive;
#[cfg(feature = "archive")]
mod bundle;
mod csv;
#[cfg(feature = "tables")]
mod parquet;
mod row;
mod scan;
#[cfg(feature = "tables")]
mod sqlite;

#[cfg(feature = "archive")]
pub use archive::archive;
#[cfg(feature = "archive")]
pub use bundle::{
    BUNDLE_FORMAT, BundleError, BundleWriter, Bundled, LineWanted, Member, UntilItFails, WHAT_A_BUNDLE_PROVES,
};
pub use csv::{CSV_HEADER, CSV_JSON_HEADER, write_csv_row};
#[cfg(feature = "tables")]
pub use parquet::ParquetWriter;
pub use row::{Cell, Column, Kind, Row, columns};
#[cfg(feature = "tables")]
pub use sqlite::SqliteWriter;
