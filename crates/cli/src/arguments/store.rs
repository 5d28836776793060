//! Which shared store and which outbox a command uses, and the commands for these alone.

use std::fmt;

use clap::Args;
#[cfg(feature = "postgres")]
use clap::Subcommand;

/// The shared store.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct StoreFlag {
    /// The shared store: postgres://USER@HOST/DATABASE, or `settings` for that of the settings
    #[arg(id = "store", long = "store", value_name = "URL")]
    pub(crate) url: Option<HiddenUrl>,
}

/// The database that has an outbox.
#[cfg(feature = "postgres")]
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct OutboxFlag {
    /// The database with the outbox: postgres://USER@HOST/DATABASE [default: outbox.url of the settings]
    #[arg(id = "outbox", long = "outbox", value_name = "URL")]
    pub(crate) url: Option<HiddenUrl>,
}

/// A URL that may hold a password, so it is shown nowhere.
#[derive(Clone)]
pub(crate) struct HiddenUrl(pub(crate) String);

impl fmt::Debug for HiddenUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

impl From<String> for HiddenUrl {
    fn from(url: String) -> Self {
        HiddenUrl(url)
    }
}

#[cfg(feature = "postgres")]
#[derive(Subcommand)]
pub(crate) enum Store {
    /// Make the tables, or bring them up to date; whatever delivers does so too
    #[command(after_help = "Example:\n  trailseal store migrate --store postgres://audit@db.example/audit")]
    Migrate {
        #[command(flatten)]
        store: StoreFlag,
    },
    /// Drop what trails have retired, where those that deliver may not
    #[command(
        after_help = "Example:\n  trailseal store retire --store postgres://archivist@db/audit --public-key billing.pub"
    )]
    Retire {
        #[command(flatten)]
        store: StoreFlag,
        /// The public key of a trail, or its file: without it nothing of that trail is dropped; may be repeated
        #[arg(long, value_name = "KEY", required = true)]
        public_key: Vec<String>,
    },
    /// Permanently reject the keys with which a server signs viewer tokens, so that the other servers stop accepting them
    #[command(
        after_help = "Example:\n  trailseal store reject-viewers example.com/billing/node-1 --store settings"
    )]
    RejectViewers {
        /// The trail of the server
        #[arg(value_name = "ORIGIN")]
        origin: String,
        #[command(flatten)]
        store: StoreFlag,
    },
    /// Print the SQL for separate roles: to write, read, audit, retire, decide, and read holds
    #[command(after_help = "Example:\n  trailseal store roles | psql --set ON_ERROR_STOP=1 \"$URL\"")]
    Roles {
        /// What the names of the roles begin with
        #[arg(long, default_value = "trailseal", value_name = "NAME")]
        prefix: String,
    },
    /// Print the SQL for views under the table names and columns of other audit logs
    #[command(
        after_help = "Example:\n  trailseal store views audit_trail --schema reports | psql --set ON_ERROR_STOP=1 \"$URL\""
    )]
    Views {
        /// pms_audit_log, audit_logs, resync_audit_logs, audit_trail, audit_events, audit_entries [default: all but
        /// resync_audit_logs, whose view is named audit_logs too]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Make them all in this schema [default: audit for audit_entries, public for the others]
        #[arg(long, value_name = "NAME")]
        schema: Option<String>,
        /// Show ids as text rather than as uuid: found by the store's indexes, and kept where they are no UUID
        #[arg(long)]
        text_ids: bool,
    },
}

#[cfg(feature = "postgres")]
#[derive(Subcommand)]
pub(crate) enum Outbox {
    /// Take its events over into the trail, each once, until it is stopped
    #[command(after_help = "Example:\n  trailseal outbox relay --outbox postgres://app@db.example/shop")]
    Relay {
        #[command(flatten)]
        outbox: OutboxFlag,
        /// End once it is empty
        #[arg(long)]
        until_empty: bool,
    },
    /// Make the tables in the application's database
    #[command(after_help = "Example:\n  trailseal outbox migrate --outbox postgres://app@db.example/shop")]
    Migrate {
        #[command(flatten)]
        outbox: OutboxFlag,
    },
    /// Print the SQL that makes the tables, for migrations of the application's own
    #[command(after_help = "Example:\n  trailseal outbox schema > migrations/0042_outbox.sql")]
    Schema,
    /// Show what waits, and what could not be recorded
    #[command(after_help = "Example:\n  trailseal outbox status --outbox postgres://app@db.example/shop")]
    Status {
        #[command(flatten)]
        outbox: OutboxFlag,
    },
    /// Let others take over what a trail has claimed that is gone for ever
    #[command(after_help = "Example:\n  trailseal outbox release --origin example.com/billing/node-1")]
    Release {
        /// The trail
        #[arg(long, value_name = "ORIGIN")]
        origin: String,
        #[command(flatten)]
        outbox: OutboxFlag,
    },
}

/// What moves events.
#[cfg(feature = "redis")]
#[derive(Args)]
pub(crate) struct Worker {
    /// The Redis server: redis://USER@HOST:PORT/DATABASE, or rediss:// for TLS [default: that of the first [[sink]]]
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<HiddenUrl>,
    /// The shared store: postgres://USER@HOST/DATABASE [default: store.url of the settings]
    #[arg(id = "store", long = "to", value_name = "URL")]
    pub(crate) to: Option<HiddenUrl>,
    /// How many trails it stores at once, each over a connection of its own
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) threads: u8,
    /// End when the streams are empty
    #[arg(long)]
    pub(crate) until_empty: bool,
}
