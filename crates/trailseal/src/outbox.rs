//! The outbox: audit events that commit, or are rolled back, with the change that they tell of. See
//! [`Trail::for_outbox`](crate::Trail::for_outbox).

pub use trailseal_outbox::{INSERT_SQL, OutboxEvent, OutboxWriter, SCHEMA_SQL, SCHEMA_VERSION};
#[cfg(feature = "postgres")]
pub use trailseal_postgres::outbox::{OutboxSeen, Relay, RelayStats, RelayWatch};
