//! The shared store of many trails on PostgreSQL: see [`Trail::deliver_to_store`](crate::Trail::deliver_to_store).

pub use trailseal_postgres::{StoreError, StoreUrl};
