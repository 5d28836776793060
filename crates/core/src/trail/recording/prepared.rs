//! Events that wait elsewhere until they are recorded, as in an outbox.
//!
//! *masked first* holds there, too: what waits has its id and no secret. Whoever hands it in later says when it was written and
//! what was masked ([`Submitted`](crate::Submitted)), since masking again finds nothing.

use trailseal_event::complete::complete;
use trailseal_event::mask::Masker;
use trailseal_event::{Event, NoAction, Timestamp, line};

use crate::trail::error::RecordError;
use crate::trail::open_trail::Trail;

/// An event that can be kept anywhere until it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prepared {
    /// Its id, by which it is recorded once.
    pub id: String,
    /// The event as JSON text, with its id, and without secrets.
    pub json: String,
    /// The paths that were masked.
    pub masked: Vec<String>,
}

impl Prepared {
    /// Completes and masks an event.
    ///
    /// # Errors
    /// When it has no action.
    pub fn new(masker: &Masker, event: &Event, now: Timestamp) -> Result<Prepared, NoAction> {
        if event.action.is_empty() {
            return Err(NoAction::Empty);
        }
        let is_masked = !cfg!(trailseal_fault = "outbox_not_masked");
        let masked = if is_masked { line::masked(masker, event) } else { None };
        let (mut event, masked) = masked.unwrap_or_else(|| (event.clone(), Vec::new()));
        let id = complete(&event, now).id.to_string();
        event.id = Some(id.clone());
        // It is written from texts, so nothing of it is ever replaced.
        let json = String::from_utf8_lossy(&event.to_json()).into_owned();
        Ok(Prepared { id, json, masked })
    }
}

impl Trail {
    /// Completes and masks an event as this trail would, without recording it. The policy is asked, and what it says is personal
    /// becomes erasable, when it is recorded.
    ///
    /// # Errors
    /// When it has no action, or this is a forked child.
    pub fn prepared(&self, event: &Event) -> Result<Prepared, RecordError> {
        // In a child, locks of masking may be held by nobody.
        self.inner.refuse_forked()?;
        Ok(Prepared::new(&self.inner.masker, event, self.inner.log.clock.now())?)
    }
}
