//! The outbox: events that are written in the application's own transactions, in its own database, and their way into a trail.
//!
//! ```text
//! BEGIN; UPDATE invoices …; INSERT INTO trailseal_outbox.events …; COMMIT
//!                            └─> relay: claim ─> record once, durable ─> delete
//! ```
//!
//! What must hold: a row is claimed for one trail, and that is committed, before anything of it is recorded; it is deleted only
//! once it is durable there; and it is recorded by its id, once. So whatever dies, every committed event is in one trail, once.
//! No transaction is open while events are recorded, and no session is relied on.

mod grants;
mod hand_over;
mod relay;
mod schema;
mod state;
mod turn;
mod watch;

pub use grants::{WideGrant, wide_grants};
pub use relay::Relay;
pub use schema::{migrate, version};
pub use state::{OutboxState, Redelivered, RefusedEvent, SHOWN_MAX, Taken, look, redeliver, release};
pub use watch::{OutboxSeen, RelayStats, RelayWatch};

/// An event as it lies in the outbox.
#[derive(Clone, Debug)]
struct Row {
    place: i64,
    id: String,
    event: String,
    masked: Vec<String>,
    /// In microseconds since 1970.
    written: i64,
}
