//! Commands that show events.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::filters::Filters;
use super::store::StoreFlag;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// One event per line, as stored
    #[value(aliases = ["json", "ndjson"])]
    Jsonl,
    /// For spreadsheets
    Csv,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// Oldest first
    Asc,
    /// Newest first
    Desc,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OrderBy {
    /// When it happened: the event's time, but never later than when it was recorded
    Time,
    /// When it was recorded
    Recorded,
}

/// How events are shown.
#[derive(Args)]
pub(crate) struct Shown {
    /// The output format [default: table]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Show personal values in plain; without it they are `erasable`
    #[arg(long)]
    pub(crate) personal: bool,
}

impl Shown {
    /// The format: JSON lines if `--json` is given without `--format`.
    pub(crate) fn format(&self, json: bool) -> Format {
        self.format.unwrap_or(if json { Format::Jsonl } else { Format::Table })
    }
}

#[derive(Args)]
pub(crate) struct Query {
    #[command(flatten)]
    pub(crate) filters: Filters,
    /// The maximum number of events [default: 50 as a table, otherwise all]
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) limit: Option<u64>,
    /// Continue where an earlier page ended
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,
    /// The order
    #[arg(long, value_enum, default_value = "desc")]
    pub(crate) order: Order,
    /// What to order by
    #[arg(long, value_enum, default_value = "time", value_name = "WHAT")]
    pub(crate) order_by: OrderBy,
    /// Print only the number of matches
    #[arg(long)]
    pub(crate) count: bool,
    #[command(flatten)]
    pub(crate) store: StoreFlag,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Args)]
pub(crate) struct Tail {
    /// How many events to start with
    #[arg(short = 'n', default_value = "10", value_name = "N")]
    pub(crate) lines: u64,
    /// Show new events as they arrive, until interrupted
    #[arg(short = 'f', long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) filters: Filters,
    #[command(flatten)]
    pub(crate) store: StoreFlag,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Args)]
pub(crate) struct History {
    /// The resource
    #[arg(value_name = "TYPE/ID")]
    pub(crate) resource: String,
    /// Include the trail's own events
    #[arg(long)]
    pub(crate) system: bool,
    #[command(flatten)]
    pub(crate) store: StoreFlag,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Args)]
pub(crate) struct Summary {
    #[command(flatten)]
    pub(crate) filters: Filters,
    /// The maximum number of values per field
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) top: usize,
    /// The width of one histogram bar: 15m, 1h, 1d, … [default: gives up to 48 bars]
    #[arg(long, value_name = "SPAN")]
    pub(crate) bucket: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreFlag,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// One event per line, as stored
    #[value(aliases = ["json", "ndjson"])]
    Jsonl,
    /// For spreadsheets
    Csv,
    /// For your own SQL: DuckDB, pandas, Spark
    Parquet,
    /// For your own SQL: a database with one table, `events`
    Sqlite,
    /// A zip with lines, proofs, checkpoint and key: self-contained evidence
    Bundle,
}

#[derive(Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) filters: Filters,
    /// The output format
    #[arg(long, value_enum)]
    pub(crate) format: ExportFormat,
    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// In CSV, also the columns before, after, changes and details, as JSON
    #[arg(long)]
    pub(crate) json_columns: bool,
    #[command(flatten)]
    pub(crate) store: StoreFlag,
    /// Show personal values in plain; a bundle has them in a file beside its lines
    #[arg(long)]
    pub(crate) personal: bool,
}
