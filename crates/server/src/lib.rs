//! The HTTP interface of a trail, and its viewer.
//!
//! ```text
//! connection (listen/) ─> router (routes/) ─> who asks (access/) ─┬─> record/ ─> Trail::record_all
//!                                                                 ├─> read/   ─> view/ ─> the folder, or a shared store
//!                                                                 ├─> reviews/, admin/ ─> the trail's own events
//!                                                                 └─> health/, pages/
//! ```
//!
//! The server adds nothing to what a trail means: it accepts events, finds them, and controls access. It records what
//! it does for others in the trail itself.

mod access;
mod admin;
mod body;
mod client;
mod config;
mod erasure;
mod fairness;
#[cfg(fuzzing)]
pub mod fuzzing;
mod health;
#[cfg(test)]
mod isolation_tests;
mod listen;
mod memory;
mod metrics;
mod own_events;
mod owner;
mod pages;
mod policies;
mod problem;
mod query;
mod read;
mod record;
mod response_work;
mod retention;
mod reviews;
mod routes;
mod searches;
mod server;
#[cfg_attr(not(feature = "postgres"), path = "shared_absent.rs")]
mod shared;
mod stopping;
mod view;

pub use access::{NewToken, Scope, TokenError, TokenInfo};
pub use config::{Config, HealthLimits, RetentionConfig, SecondPerson, TlsFiles};
pub use erasure::{erased_json, would_erase_json};
pub use listen::{SocketPath, TlsError, raise_limit_of_files};
pub use owner::{NotDecided, Owner, PolicyInForce, shared_holds, tokens_in};
pub use policies::waits_in_vain;
pub use retention::{hold_json, retained_json};
pub use server::{Server, ServerError, Stopped};
pub use trailseal_event::client_address::ProxyHeader;
