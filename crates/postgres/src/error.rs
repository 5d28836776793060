//! What can go wrong with a store. No error holds a password or any piece of a URL that may be one.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use trailseal_core::deliver::SinkError;
use trailseal_core::with_causes;

/// Why a store could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The URL cannot be used. Nothing of it is shown, since any piece may be the password.
    #[error("the store's URL cannot be used: {what}")]
    Url {
        /// What to do about it.
        what: String,
    },
    /// A file that the URL names cannot be used.
    #[error("could not use the {what} that the store's URL names")]
    File {
        /// Which file.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The system refused something that every connection needs.
    #[error("could not prepare a connection to {store}")]
    System {
        /// The store.
        store: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server cannot hold a store.
    #[error("{store} cannot hold events: {what}")]
    Unfit {
        /// The store.
        store: String,
        /// What it lacks.
        what: String,
    },
    /// PostgreSQL, or the way there, refused.
    #[error("could not {doing} {store}{}", advice(.doing, .source))]
    Postgres {
        /// What was tried.
        doing: &'static str,
        /// The store.
        store: String,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// A lock was held by others for longer than is waited.
    #[error("could not {doing} {store}: timed out waiting for a lock; {by}")]
    Held {
        /// What was tried.
        doing: &'static str,
        /// The store.
        store: String,
        /// Who may hold it, as far as the database shows it, and what to do.
        by: String,
    },
    /// No answer came in time.
    #[error("could not {doing} {store}: no answer {}", in_time(within))]
    TimedOut {
        /// What was tried.
        doing: &'static str,
        /// The store.
        store: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// The answer takes more work than is allowed.
    #[error(
        "an answer of {store} takes more than the {} s or the memory allowed for it: narrow what is asked, for example by time",
        within.as_secs_f64()
    )]
    WorkLimit {
        /// The store.
        store: String,
        /// How long it may take.
        within: Duration,
    },
    /// A histogram would have too many bars.
    #[error("the histogram would have over {max} bars: use wider ones or a shorter time")]
    Buckets {
        /// The maximum.
        max: usize,
    },
    /// Rows were given, and others or none were kept, without an error.
    #[error(
        "{store} kept {kept} of {given} rows of trailseal.{table} and reported no error, so nothing was stored: somebody put a \
         trigger on that table. Find out who did it, and drop the trigger"
    )]
    Swallowed {
        /// The store.
        store: String,
        /// The table, in the schema `trailseal`.
        table: String,
        /// How many rows were sent.
        given: u64,
        /// How many PostgreSQL says that it has kept.
        kept: u64,
    },
    /// Nobody waits any more.
    #[error("could not {doing} {store} before the trail was closed")]
    Ended {
        /// What was tried.
        doing: &'static str,
        /// The store.
        store: String,
    },
    /// A newer version of Trailseal made the store.
    #[error("{store} has schema version {found}, and this program knows {known}: use a newer trailseal")]
    Newer {
        /// The store.
        store: String,
        /// Its version.
        found: i32,
        /// The newest known.
        known: i32,
    },
    /// There is no outbox in that database yet.
    #[error(
        "{store} has no outbox yet: run `trailseal outbox migrate`, or the SQL that `trailseal outbox schema` prints"
    )]
    NoOutbox {
        /// The database.
        store: String,
    },
    /// There is no store in that database yet.
    #[error("{store} holds no store yet: deliver to it first, with a role that may create schemas")]
    Missing {
        /// The store.
        store: String,
    },
}

/// What PostgreSQL, or the way there, said.
pub struct Refusal {
    error: tokio_postgres::Error,
    /// Why the connection ended, if that is known better.
    ended: Option<tokio_postgres::Error>,
}

impl Refusal {
    pub(crate) fn new(error: tokio_postgres::Error, ended: Option<tokio_postgres::Error>) -> Self {
        Refusal { error, ended }
    }

    fn told(&self) -> &tokio_postgres::Error {
        self.ended.as_ref().unwrap_or(&self.error)
    }

    /// The SQLSTATE, if it was PostgreSQL that refused.
    pub fn code(&self) -> Option<&SqlState> {
        self.told().code()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.told().as_db_error() {
            Some(refused) => format!("{} (SQLSTATE {})", refused.message(), refused.code().code()),
            None => with_causes(self.told()),
        };
        // The reasons of several addresses, or of a server, may be many lines.
        out.write_str(&text.lines().map(str::trim).collect::<Vec<_>>().join("; "))
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Its text has that of its causes.
impl Error for Refusal {}

/// What kind of trouble it is, for whoever must mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// It cannot be reached, or gives no answer.
    Unreachable,
    /// User or password are wrong, or the server lets that user in from nowhere.
    Login,
    /// The role lacks a privilege.
    Permission,
    /// The server's disk is full.
    DiskFull,
    /// It takes no writes, as a standby does.
    ReadOnly,
    /// No connection is left.
    Connections,
    /// What should be there is not, or differs.
    Schema,
    /// Somebody else holds what is needed.
    Locked,
    /// The settings cannot be used.
    Settings,
    /// Anything else.
    Other,
}

impl StoreError {
    /// Whether the server ended a statement, as it does with one that takes too long.
    pub(crate) fn is_canceled(&self) -> bool {
        matches!(self, StoreError::Postgres { source, .. } if source.code() == Some(&SqlState::QUERY_CANCELED))
    }

    /// What kind of trouble it is.
    pub fn problem(&self) -> Problem {
        match self {
            StoreError::Url { .. } | StoreError::File { .. } => Problem::Settings,
            StoreError::TimedOut { .. } | StoreError::Ended { .. } => Problem::Unreachable,
            StoreError::Unfit { .. }
            | StoreError::Newer { .. }
            | StoreError::NoOutbox { .. }
            | StoreError::Swallowed { .. }
            | StoreError::Missing { .. } => Problem::Schema,
            StoreError::System { .. } | StoreError::WorkLimit { .. } | StoreError::Buckets { .. } => {
                Problem::Other
            }
            StoreError::Held { .. } => Problem::Locked,
            StoreError::Postgres { source, .. } => problem_of(source),
        }
    }
}

fn problem_of(refusal: &Refusal) -> Problem {
    let Some(code) = refusal.code() else { return Problem::Unreachable };
    match code.code() {
        "28P01" | "28000" => Problem::Login,
        "42501" => Problem::Permission,
        "53100" => Problem::DiskFull,
        "25006" => Problem::ReadOnly,
        "53300" => Problem::Connections,
        "55P03" | "40P01" | "57014" => Problem::Locked,
        "3D000" | "3F000" | "42P01" | "42703" | "42704" | "42883" | "42804" | "23502" | "23514" => {
            Problem::Schema
        }
        code if code.starts_with("08") || code.starts_with("57P") => Problem::Unreachable,
        _ => Problem::Other,
    }
}

/// What to do, in a bracket.
fn advice(doing: &str, refusal: &Refusal) -> &'static str {
    // Whatever is done to an outbox is called so.
    let is_outbox = doing.contains("outbox");
    match problem_of(refusal) {
        Problem::Login => " (check the user and the password in the store's URL, and pg_hba.conf)",
        Problem::Permission if is_outbox => " (grant the role what docs/outbox.md has for it)",
        // A user that retires or erases on the command line only looks what is decided and held.
        Problem::Permission
            if doing.starts_with("look for decisions") || doing.starts_with("read the legal holds") =>
        {
            " (grant the role what `trailseal store roles` prints; for `retain`, `erase` and `hold list` that of trailseal_hold_reader)"
        }
        Problem::Permission => " (grant the role what `trailseal store roles` prints)",
        Problem::DiskFull => " (make room on the server's disk)",
        Problem::ReadOnly => " (it is read-only, as a standby is: name the primary)",
        Problem::Connections => of_connections(refusal),
        Problem::Locked => " (another connection holds what this one needs)",
        Problem::Schema => of_schema(refusal, is_outbox),
        _ => "",
    }
}

fn of_schema(refusal: &Refusal, is_outbox: bool) -> &'static str {
    match (refusal.code().map_or("", SqlState::code), is_outbox) {
        ("3D000", _) => " (create the database, or correct its name in the URL)",
        ("23514" | "23502" | "42804", true) => {
            " (nothing is missing: a constraint or column in its schema trailseal_outbox refuses a row. Correct the row, or find out \
             who changed the table)"
        }
        ("23514" | "23502" | "42804", false) => {
            " (nothing is missing: a constraint or column in its schema trailseal refuses a row. Find out who changed the table, and \
             undo that)"
        }
        ("42703", true) => {
            " (a column is missing in its schema trailseal_outbox: find out who changed the table, and undo that)"
        }
        ("42703", false) => {
            " (a column is missing in its schema trailseal: find out who changed the table, and undo that)"
        }
        (_, true) => " (restore what is missing in its schema trailseal_outbox)",
        (_, false) => " (restore what is missing in its schema trailseal)",
    }
}

/// Three limits have the same code and, in PostgreSQL's own words, which may be of any language, other texts. The place in its source
/// tells them apart.
fn of_connections(refusal: &Refusal) -> &'static str {
    match refusal.told().as_db_error().and_then(|refused| refused.routine()) {
        Some("InitializeSessionUserId") => {
            " (this user has all the connections that its CONNECTION LIMIT allows: raise it with ALTER ROLE)"
        }
        Some("CheckMyDatabase") => {
            " (the database has all the connections that its CONNECTION LIMIT allows: raise it with ALTER DATABASE)"
        }
        _ => " (raise max_connections, or put PgBouncer in front)",
    }
}

/// What is left of a longer wait may be less than a second.
fn in_time(within: &Duration) -> String {
    match within.as_secs() {
        0 => "in time".to_owned(),
        seconds => format!("within {seconds} s"),
    }
}

impl From<StoreError> for SinkError {
    fn from(error: StoreError) -> Self {
        SinkError::Store(Box::new(error))
    }
}
