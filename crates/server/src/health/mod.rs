//! Whether the server is well: for probes, people and Prometheus.

mod durable_watch;
mod level;
mod outbox;
mod probes;
mod prometheus;
mod stats;

pub(crate) use durable_watch::{DurableWatch, LOOK_EVERY};
pub(crate) use probes::{healthz, readyz};
pub(crate) use prometheus::metrics;
pub(crate) use stats::{admin_stats, stats};
