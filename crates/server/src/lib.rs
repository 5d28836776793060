//! The HTTP interface of a trail, and its viewer.
//!
//! ```text
//! connection (listen/) ─> route table (routes.rs) ─> who asks (access/) ─┬─> record/ ─> Trail::hand_in_batch
//!                                                                        ├─> read/   ─> Search, Reader
//!                                                                        ├─> reviews/, admin.rs ─> the trail's own events
//!                                                                        └─> health.rs, metrics.rs, viewer.rs
//! ```
//!
//! The server adds nothing to what a trail means: it accepts events, finds them, and controls access. It records what
//! it does for others in the trail itself.

mod access;
mod admin;
mod app;
mod config;
mod durable_watch;
#[cfg(fuzzing)]
pub mod fuzzing;
mod health;
#[cfg(test)]
mod isolation_tests;
mod listen;
mod memory;
mod metrics;
mod openapi;
mod problem;
mod query;
mod read;
mod record;
mod reviews;
mod routes;
mod server;
mod shares;
mod turns;
mod viewer;

pub use access::{NewToken, Scope, TokenError, TokenInfo};
pub use config::{Config, HealthLimits, ProxyHeader, SecondPerson, TlsFiles};
pub use listen::{SocketPath, TlsError, raise_limit_of_files};
pub use server::{Server, ServerError, Stopped, TokenFile};
