//! Retirement: old lines go, and every proof stays.
//!
//! What must hold: nothing goes that a sink still has to receive, that is held, or that no signed checkpoint covers;
//! a missing line is explained by a signed event that a checkpoint covers, or it is tampering; and a process killed
//! anywhere has finished or not begun. The order of a run, each step on disk before the next:
//!
//! 1. the archive, if there is one, has the lines
//! 2. `retiring` says that a run began, after which index its events are, and how long each list was
//! 3. the lists `segments/<first index>.retired`, and the hashed ids of what will go
//! 4. the signed events `trail.retired`. What one says that is on disk is finished, by this process or by the next
//!    opening, once a signed checkpoint covers it; what none says is undone
//! 5. each segment is written again without those lines, or removed
//! 6. `retiring` is removed
//!
//! The run itself, which decides what goes, is `trail/retain`; the lists and how they number lines, `segment/retired`.

mod announce;
mod announced_to_stores;
mod finish;
mod ids;
mod journal;
mod rewrite;

pub use announce::{AnnouncedList, Announcement};
pub(crate) use announce::{SEGMENTS_MAX, announces, details, may_be, read};
pub use announced_to_stores::{announced_since, newest_announced};
pub(crate) use finish::{FinishError, Finished, finish};
pub use ids::RetiredId;
pub(crate) use ids::{RetiredIds, find_in, parse_ids_name};
pub use journal::is_retiring;
pub(crate) use journal::{Journal, announced_by};
pub(crate) use rewrite::RewriteError;
