//! The flags of retirement: what goes, what is held, and sinks that are gone.

use clap::{Args, Subcommand};
use trailseal_core::RETAIN_DAYS_MAX;

use super::filters::Filters;
use super::store::StoreFlag;

#[derive(Args)]
pub(crate) struct Retain {
    /// Retire what was recorded at least this long ago, in days: 90d
    #[arg(long, value_name = "AGE", value_parser = days)]
    pub(crate) older_than: u32,
    /// Only events of this tenant
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
    /// Only events of this category; may be repeated
    #[arg(long, value_name = "CATEGORY")]
    pub(crate) category: Vec<String>,
    /// Where the events go first, as a bundle: a folder, or a URL such as s3://bucket/prefix
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) archive: Option<String>,
    /// Report what would go, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// A number of days, from `90d`.
pub(crate) fn days(text: &str) -> Result<u32, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
    days.filter(|days| (1..=RETAIN_DAYS_MAX).contains(days))
        .ok_or_else(|| format!("use days, from 1d to {RETAIN_DAYS_MAX}d, such as 90d"))
}

#[derive(Subcommand)]
pub(crate) enum Hold {
    /// Hold events that match the filters, including later ones; without filters, all events
    #[command(after_help = "Example:\n  trailseal hold add case-7 --reason 'Acme v. Example' --tenant acme")]
    Add {
        /// The hold's name
        #[arg(value_name = "NAME")]
        name: String,
        /// The reason for the hold
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        filters: Box<Filters>,
        #[command(flatten)]
        store: StoreFlag,
    },
    /// Remove a hold
    #[command(after_help = "Example:\n  trailseal hold remove case-7")]
    Remove {
        /// The hold's name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        store: StoreFlag,
    },
    /// Show all holds
    #[command(after_help = "Example:\n  trailseal hold list --json")]
    List {
        #[command(flatten)]
        store: StoreFlag,
    },
}

#[derive(Subcommand)]
pub(crate) enum Sink {
    /// Show the sinks that must have an event before it is retired
    #[command(after_help = "Example:\n  trailseal sink list")]
    List,
    /// Forget a sink that is gone for good
    #[command(after_help = "Example:\n  trailseal sink forget old-database")]
    Forget {
        /// The sink's name
        #[arg(value_name = "NAME")]
        name: String,
    },
}
