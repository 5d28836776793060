//! An audit log inside your application.
//!
//! ```standalone_crate
//! use trailseal::{Event, Outcome, Query, Trail};
//! # let folder = tempfile::tempdir()?;
//! # std::env::set_current_dir(folder.path())?;
//!
//! let trail = Trail::open("./trail")?;
//! trail.record(Event::new("invoice.approve").actor("u1").resource("invoice", "42").outcome(Outcome::Success))?;
//!
//! for found in trail.query(Query::new().actor("u1"))?.events {
//!     println!("{} {}", found.time, found.event.action);
//! }
//! println!("{}", trail.verify()?);
//! trail.close(std::time::Duration::from_secs(10))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Trail::record`] takes about a microsecond, and what it accepted survives a killed process. Every event is a leaf of a
//! signed Merkle tree, so nobody can rewrite history unnoticed. Secrets are masked before anything is written.
//!
//! This is the only crate you need. Import names rather than `use trailseal::*`: the modules `tower` and `tracing` would
//! stand in the way of the crates of these names. Where the documentation of a type has `trailseal_event::` or
//! `trailseal_core::` in an example, write `trailseal::`: these are the crates inside.
//!
//! | feature | adds |
//! | --- | --- |
//! | `index` | queries through an index on disk instead of a scan |
//! | `tower` | a layer for tower services, such as those of hyper and tonic: events get the request's context |
//! | `axum` | the same, plus what axum knows: the peer's address and the route |
//! | `tracing` | a layer for tracing: marked events and spans become audit events |
//! | `derive` | `#[derive(AuditEvent)]`: turns your structs into events |
//! | `archive` | an archive for retired events: bundles in a folder |
//! | `object-store` | the same in object stores such as S3 |
//! | `postgres` | a shared store on PostgreSQL, into which many trails are delivered; the relay of an outbox |
//! | `outbox` | events that commit with the business change, through any driver of PostgreSQL |
//! | `tokio-postgres`, `sqlx` | the same with a method for transactions of that driver |
//! | `serve` | the server and its viewer inside the application; implies `index` |
//!
//! If you come from `llm-orchestrator-audit`: [`AuditLogger`], [`struct@AuditEvent`], [`AuditStorage`].

mod audit;
mod begun_operation;
mod blocking_work;
mod context;
mod erasure;
#[cfg(feature = "index")]
mod index;
mod into_event;
#[cfg(feature = "outbox")]
pub mod outbox;
#[cfg(feature = "postgres")]
pub mod postgres;
mod query;
mod receipt_futures;
mod retention;
#[cfg(feature = "serve")]
pub mod serve;
mod temporary;
pub mod testing;
mod time;
mod to_value;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(feature = "tracing")]
pub mod tracing;
mod trail;
#[cfg(feature = "derive")]
#[doc(hidden)]
pub mod typed;
mod view;

#[cfg(feature = "postgres")]
pub use audit::DatabaseAuditStorage;
pub use audit::{
    AuditEvent, AuditEventType, AuditFilter, AuditLogger, AuditResult, AuditRetentionManager, AuditStorage,
    CleanupHandle, FileAuditStorage, ResourceType, RotationPolicy, StorageError, StorageFuture,
    create_audit_logger,
};
pub use begun_operation::{Beginning, Begun};
pub use context::{InContext, RequestContext, RequestFacts, in_context};
pub use into_event::{IntoEvent, ToEvent};
pub use query::{Cursor, Order, Page, Query, QueryError, RecordedEvent};
pub use receipt_futures::{ReceiptFuture, ReceiptsFuture};
pub use to_value::{ToValueError, to_value};
pub use trail::Trail;
pub use view::TrailView;

#[cfg(feature = "derive")]
pub use trailseal_derive::AuditEvent;

// The event.
pub use trailseal_event::Timestamp;
pub use trailseal_event::complete::EventId;
pub use trailseal_event::{
    Actor, Category, Context, Event, Number, Object, OnBehalfOf, Outcome, Resource, Severity, Truncation,
    Value,
};
// What became of it.
pub use trailseal_core::{Ack, Closed, Receipt, RecordOptions, Stats, Status};
pub use trailseal_event::Index;
// What is asked, and what is verified.
pub use trailseal_core::verify::{Problem, Unproven, Verdict, VerifyError, VerifyOptions};
pub use trailseal_event::filter::{Filter, FilterError, IdFilter, ResourceFilter};
pub use trailseal_tlog::VerifyingKey;
// How a trail is opened.
pub use trailseal_core::{
    Anchor, Full, HandoffOptions, HandoffPlace, Notice, OnNotice, Options, Roll, SegmentOptions,
};
pub use trailseal_event::mask::{MaskOptions, Preset, ReplaceWith};
// What happens to each event.
pub use trailseal_event::policy::{Acknowledge, Mode, OnFailure, Policy, PolicyError, Rule, Treatment, When};
// Where events go.
pub use trailseal_core::deliver::{
    Batch, BatchLine, DeliveryState, DeliveryStats, MustEnd, Position, Sink, SinkError,
};
// How old events go.
pub use trailseal_core::{
    Archive, Archived, Hold, HoldAdded, Kept, KnownSink, RETAIN_DAYS_MAX, Retained, RetentionRule, Retiring,
    SinkBehind,
};
#[cfg(feature = "archive")]
pub use trailseal_export::archive;
// How somebody is erased.
pub use trailseal_core::{Erased, MasterKey, PersonalKeysOptions, WouldErase};
pub use trailseal_event::personal::PersonalRule;
// What can go wrong.
pub use trailseal_core::{
    ArchiveError, CloseError, EraseError, FlushError, ForgetSinkError, HoldError, OpenError,
    PersonalKeysError, ReadError, RecordError, RetainError, RotateError, SealError, SetPolicyError,
};

/// Runs the code blocks of `docs/rust.md`.
#[cfg(all(doctest, feature = "axum", feature = "derive", feature = "tracing"))]
#[doc = include_str!("../../../docs/rust.md")]
struct PageForRust;
