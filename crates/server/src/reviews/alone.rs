//! One decision at a time, across all servers that write into one folder.
//!
//! Slots share only the folder and its disk. So a server that decides locks a file there, reads what the others decided
//! before, and releases the lock when its own decision is on the disk, where the others read it. Servers without a
//! common folder cannot be ordered; they have no common reviews either.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use trailseal_core::Trail;
use trailseal_core::file::open_ordinary_as;

use crate::problem::{Kind, Problem};

/// In the folder of the slots. The file stays and is empty.
const FILE: &str = "reviews.lock";
/// How long others may take, and how often to retry.
const PATIENCE: Duration = Duration::from_secs(3);
const ASK_EVERY: Duration = Duration::from_millis(2);

/// Held while deciding; holds nothing if there can be no other server.
pub(super) struct Alone(Option<File>);

impl Alone {
    /// Waits for the others. Blocks.
    pub(super) fn begin(slots: Option<&Path>) -> Result<Alone, Problem> {
        let Some(slots) = slots else { return Ok(Alone(None)) };
        let failed = |error: std::io::Error| Problem::internal(&error);
        let file =
            open_ordinary_as(File::options().create(true).append(true), &slots.join(FILE)).map_err(failed)?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Alone(Some(file))),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => std::thread::sleep(ASK_EVERY),
                Err(TryLockError::WouldBlock) => {
                    let detail =
                        "another server of this folder has not finished its decision: try again in a moment";
                    return Err(Problem::unavailable(detail));
                }
            }
        }
    }

    /// Lets the others continue once they can read the decision.
    pub(super) fn end(self, trail: &Trail) -> Result<(), Problem> {
        if self.0.is_none() || trail.flush(PATIENCE).is_ok() {
            return Ok(());
        }
        let detail = "the decision is recorded but not on the disk yet, so another server may not know it: read the \
            review again";
        Err(Problem::new(Kind::Unconfirmed, detail).retry_after(1))
    }
}
