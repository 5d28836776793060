//! Stored lines as rows: CSV for spreadsheets, Parquet and SQLite for your own SQL.
//!
//! In: lines of a trail, one at a time ([`Row::read`]). Out: one row per event, with the columns of [`columns`], in
//! bounded memory ([`ParquetWriter`], [`SqliteWriter`]). What must hold: a line gives a row exactly if it can be parsed
//! as an event, and the column `line` has its exact bytes.
//!
//! Deliberately absent: filters, trails and file names; callers bring them.

mod csv;
mod parquet;
mod row;
mod scan;
mod sqlite;

pub use csv::{CSV_HEADER, write_csv_row};
pub use parquet::ParquetWriter;
pub use row::{Cell, Column, Kind, Row, columns};
pub use sqlite::SqliteWriter;
