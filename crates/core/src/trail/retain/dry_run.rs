//! What a run would retire, for whoever only reads the folder.

use trailseal_event::mask::MaskKey;

use super::error::RetainError;
use super::hold::Hold;
use super::no_mask_key;
use super::plan::{Basis, plan};
use super::rule::{KnownSink, Retained, RetentionRule};
use crate::clock::{Clock as _, SystemClock};
use crate::trail::keys::secrets::load_mask_key;
use crate::trail::reading::reader::Reader;

impl Reader {
    /// What [`Trail::retain`](crate::Trail::retain) would retire now, with these holds and sinks. `given` is the masking key of the
    /// settings, if they have one. Changes nothing.
    ///
    /// # Errors
    /// When the folder cannot be read, or the clock cannot be right.
    pub fn would_retain(
        &self,
        rule: &RetentionRule,
        given: Option<&MaskKey>,
        holds: &[Hold],
        sinks: &[KnownSink],
    ) -> Result<Retained, RetainError> {
        let folder = self.folder();
        let own = load_mask_key(folder).map_err(|error| no_mask_key(folder, &error))?;
        let unreadable = |error| RetainError::Damaged {
            path: folder.checkpoint(),
            what: format!("cannot be used: {error}"),
        };
        let (_, checkpoint) = self.checkpoint().map_err(unreadable)?;
        let basis = Basis {
            folder,
            now: SystemClock.now(),
            keys: given.cloned().into_iter().chain(own).collect(),
            // A real run opens the trail first, and then that opening is needed, no longer the last one.
            pointed_at: self.holder().map(|_| folder.pointed_at()).unwrap_or_default(),
            sealed: checkpoint.size,
            // What only the handoff holds is in no segment yet.
            durable: self.end().get() - self.only_in_handoff(),
        };
        Ok(plan(&basis, rule, holds, sinks)?.into_retained(true))
    }
}
