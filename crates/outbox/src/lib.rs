//! The outbox: audit events that commit, or are rolled back, with the change that they tell of.
//!
//! An event is completed and masked here, and then written by the application in its own transaction, into the table
//! `trailseal_outbox.events` of its own database. A relay takes it over into a trail. Any driver will do: [`INSERT_SQL`] takes three
//! parameters. For tokio-postgres and sqlx there are methods, behind a feature each, which take a transaction and nothing else: what
//! is written outside of one commits alone.

use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_core::{Prepared, RecordError, Trail};
use trailseal_event::mask::{MaskError, MaskOptions, Masker};
use trailseal_event::{Event, NoAction};

/// The SQL that makes the tables, for migrations of the application's own. To be executed once.
pub const SCHEMA_SQL: &str = include_str!("001_outbox.sql");

/// The version of the tables that it makes.
pub const SCHEMA_VERSION: i32 = 1;

/// Writes an event: its [id](OutboxEvent::id), its [JSON text](OutboxEvent::json), and the [paths](OutboxEvent::masked) that were
/// masked.
pub const INSERT_SQL: &str = "INSERT INTO trailseal_outbox.events (id, event, masked) VALUES ($1, $2, $3)";

/// An event for the outbox: it has its id, and no secret. Its time is that of the INSERT, unless it has one itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it is not written yet"]
pub struct OutboxEvent(Prepared);

impl OutboxEvent {
    /// Completes and masks an event as this trail would.
    ///
    /// # Errors
    /// When it has no action, or this is a forked child.
    pub fn of(trail: &Trail, event: &Event) -> Result<OutboxEvent, RecordError> {
        trail.prepared(event).map(OutboxEvent)
    }

    /// Its id in the trail.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The event.
    pub fn json(&self) -> &str {
        &self.0.json
    }

    /// What of it was masked.
    pub fn masked(&self) -> &[String] {
        &self.0.masked
    }

    /// Writes it in this transaction.
    ///
    /// # Errors
    /// When PostgreSQL refuses; then nothing of the transaction can be committed.
    #[cfg(feature = "tokio-postgres")]
    pub async fn insert(
        &self,
        transaction: &tokio_postgres::Transaction<'_>,
    ) -> Result<(), tokio_postgres::Error> {
        use tokio_postgres::types::Type;
        let masked = self.masked();
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
            [(&self.id(), Type::TEXT), (&self.json(), Type::TEXT), (&masked, Type::TEXT_ARRAY)];
        // Without a named statement, so that it works through a pooler, too.
        transaction.execute_typed(INSERT_SQL, &parameters).await.map(drop)
    }

    /// Writes it in this transaction.
    ///
    /// # Errors
    /// As [`insert`](OutboxEvent::insert).
    #[cfg(feature = "sqlx")]
    pub async fn insert_with_sqlx(
        &self,
        transaction: &mut sqlx::Transaction<'_, sqlx::Postgres>,
    ) -> Result<(), sqlx::Error> {
        let insert = sqlx::query(INSERT_SQL).bind(self.id()).bind(self.json()).bind(self.masked());
        insert.persistent(false).execute(&mut **transaction).await.map(drop)
    }
}

/// Makes events ready for the outbox where no trail is open: the relay, with its trail, is another program.
pub struct OutboxWriter {
    masker: Masker,
}

impl OutboxWriter {
    /// A writer that masks like this. The trail masks again with its own options, and finds nothing where both are the same. For
    /// hashes give it the trail's key.
    ///
    /// # Errors
    /// When a pattern or key cannot be used.
    pub fn new(mask: &MaskOptions) -> Result<OutboxWriter, MaskError> {
        Ok(OutboxWriter { masker: Masker::new(mask)? })
    }

    /// Completes and masks an event.
    ///
    /// # Errors
    /// When it has no action.
    pub fn prepare(&self, event: &Event) -> Result<OutboxEvent, NoAction> {
        Prepared::new(&self.masker, event, SystemClock.now()).map(OutboxEvent)
    }
}
