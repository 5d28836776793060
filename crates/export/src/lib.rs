//! Stored lines as rows: CSV for spreadsheets, Parquet and SQLite for SQL of one's own.
//!
//! In: lines of a trail, one at a time ([`Row::read`]). Out: one row an event, in the columns of
//! [`columns`], with bounded memory ([`ParquetWriter`], [`SqliteWriter`]). What must hold: a line gives a row
//! exactly if it can be read as an event, and the column `line` has its exact bytes.
//!
//! Deliberately absent: filters, trails, names of files; callers bring them.

mod csv;
mod parquet;
mod row;
mod scan;
mod sqlite;

pub use csv::{CSV_HEADER, write_csv_row};
pub use parquet::ParquetWriter;
pub use row::{Cell, Column, Kind, Row, columns};
pub use sqlite::SqliteWriter;
