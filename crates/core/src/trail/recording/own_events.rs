//! The trail's own events.

use trailseal_event::complete::Stamp;
use trailseal_event::{Category, Event, Index, NoAction, Object, Outcome, Timestamp, line};

use super::ready_event::Sent;
use super::record_own_event::{own_event, own_stamp, push_rest, push_system};
use crate::notice::Notice;
use crate::trail::error::RecordError;
use crate::trail::open_trail::{Inner, Trail};

impl Trail {
    /// Records one of the trail's own events, for programs that give others access to the trail: that it was read, that
    /// a token was made. Its action is `trail.` and `what`; its category is system, and no caller's event can look like
    /// it.
    ///
    /// # Errors
    /// As [`record`](Trail::record).
    pub fn record_own(&self, what: &str, event: Event) -> Result<Index, RecordError> {
        self.inner.refuse_forked()?;
        // Callers report what was done.
        let outcome = event.outcome.or(Some(Outcome::Success));
        let mut event = event.category(Category::System);
        event.action = format!("trail.{what}");
        event.outcome = outcome;
        let masked = line::masked_own(&self.inner.masker, &event);
        let (written, paths) = masked.unwrap_or((event, Vec::new()));
        let is_masked = !paths.is_empty();
        let (rest, now) = self.inner.rest_of_own(&written, paths)?;
        let index = push_rest(&self.inner.log, &rest, now)?;
        self.inner.count_masked(is_masked.into());
        Ok(Index::new(index))
    }

    /// One of the trail's own events as it would be written: with its secrets masked.
    pub fn as_written(&self, event: &Event) -> Event {
        let masked = line::masked_own(&self.inner.masker, event);
        masked.map_or_else(|| event.clone(), |(masked, _)| masked)
    }

    /// Tells the operator something, as the trail itself does.
    pub fn notice(&self, notice: &Notice) {
        self.inner.log.notice(notice);
    }

    /// Records one of the trail's own events.
    pub(in crate::trail) fn record_system(
        &self,
        action: &'static str,
        details: Object,
    ) -> Result<u64, RecordError> {
        self.inner.refuse_forked()?;
        push_system(&self.inner.log, &own_event(action, details))
    }
}

impl Inner {
    /// The rest of the line of an event of which these paths were masked, with its personal values sealed and its newline.
    fn rest_of_own(&self, event: &Event, masked: Vec<String>) -> Result<(Vec<u8>, Timestamp), NoAction> {
        let now = self.log.clock.now();
        let mut stamp = Stamp { masked, ..own_stamp(event, now) };
        let mut rest = Vec::new();
        let whole = line::write_rest(event, &stamp, &mut rest)?;
        self.policy.with(|policy| match &policy.personal_of_own {
            // Names of tokens, by which whoever decides is told from whoever asked.
            _ if line::is_step(event) => Ok(()),
            Some(personal) if !cfg!(trailseal_fault = "own_events_unsealed") => {
                let sent = Sent::masked(event, None);
                self.seal(personal, sent, whole, &mut stamp, (&mut rest, 0))
            }
            _ => Ok(()),
        })?;
        rest.push(b'\n');
        Ok((rest, now))
    }
}
