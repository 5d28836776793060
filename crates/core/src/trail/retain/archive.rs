//! Where lines go before they are retired.

use std::ops::ControlFlow;

use trailseal_event::Index;
use trailseal_tlog::{Checkpoint, Hash};

use super::error::ArchiveError;
use super::plan::Plan;
use crate::folder::Folder;
use crate::trail::reading::reader::{EachLine, ReadError, Reader};

/// Keeps lines that are about to be retired. It is asked before anything is announced.
pub trait Archive {
    /// Keeps all lines of `retiring`, and returns when they would survive a power loss.
    ///
    /// # Errors
    /// When it does not have them for certain; then nothing is retired. It may have kept some: the next run hands them
    /// over again.
    fn keep(&mut self, retiring: &mut Retiring<'_>) -> Result<Archived, ArchiveError>;
}

/// What an archive says it has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// Where the lines are, for the event `trail.retired`: a path or an address, without secrets.
    pub location: String,
}

/// The lines that are about to go, with all that their proofs need.
pub struct Retiring<'a> {
    pub(super) reader: Reader,
    pub(super) folder: &'a Folder,
    pub(super) plan: &'a Plan,
    pub(super) note: String,
    pub(super) checkpoint: Checkpoint,
}

impl Retiring<'_> {
    /// The trail's name.
    pub fn origin(&self) -> &str {
        self.reader.origin()
    }

    /// How many lines there are.
    pub fn count(&self) -> u64 {
        self.plan.events
    }

    /// A signed checkpoint that covers all of them: its text, and what it says.
    pub fn checkpoint(&self) -> (&str, &Checkpoint) {
        (&self.note, &self.checkpoint)
    }

    /// The public key that signs the trail now, in the form of a signed note's verifier key.
    pub fn public_key(&self) -> String {
        self.reader.manifest().current_key().map(ToString::to_string).unwrap_or_default()
    }

    /// Calls `each` with the lines, oldest first. It may be called again: it reads them again.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn for_each(&self, each: &mut EachLine<'_>) -> Result<(), ReadError> {
        let mut flow = ControlFlow::Continue(());
        for planned in &self.plan.segments {
            let done = self.plan.for_each(self.folder, planned, &mut |index, line, goes| {
                if goes {
                    flow = each(Index::new(index), line);
                }
                Ok(flow)
            });
            done.map_err(|source| ReadError::Io { path: planned.segment.path.clone(), source })?;
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The hashes that prove line `index` under [`checkpoint`](Retiring::checkpoint).
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub fn inclusion(&self, index: Index) -> Result<Vec<Hash>, ReadError> {
        self.reader.inclusion(index, &self.checkpoint)
    }
}
