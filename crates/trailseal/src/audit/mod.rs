//! For users of `llm-orchestrator-audit`: the same names, on top of a trail.
//!
//! A storage is a copy here: events go into a trail, which delivers them from a cursor to whatever implements
//! [`AuditStorage`]. What must hold: nothing that fails here crashes the host; every failure is a value.

mod copy;
mod cursor;
#[cfg(feature = "postgres")]
mod database;
mod environment;
mod event;
mod file;
mod filter;
mod logger;
mod opened_by_path;
mod opened_later;
mod retention;
mod rotated;
mod rotation;
mod storage;
mod storage_delivery;

#[cfg(feature = "postgres")]
pub use database::DatabaseAuditStorage;
pub use environment::create_audit_logger;
pub use event::{AuditEvent, AuditEventType, AuditResult, ResourceType};
pub use file::FileAuditStorage;
pub use filter::AuditFilter;
pub use logger::AuditLogger;
pub use retention::{AuditRetentionManager, CleanupHandle};
pub use rotation::RotationPolicy;
pub use storage::{AuditStorage, StorageError, StorageFuture};
