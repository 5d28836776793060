//! The trail's own events.

use trailseal_event::{Category, Event, Index, Object, Outcome, line};

use super::error::RecordError;
use super::inner::Trail;
use super::own::push_system;

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
        let event = Event { action: format!("trail.{what}"), category: Category::System, outcome, ..event };
        let masked = line::masked_own(&self.inner.masker, &event);
        let written = masked.as_ref().map_or(&event, |(masked, _)| masked);
        let index = push_system(&self.inner.log, written)?;
        self.inner.count_masked(masked.is_some_and(|(_, paths)| !paths.is_empty()).into());
        Ok(Index::new(index))
    }

    /// One of the trail's own events as it would be written: with its secrets masked.
    pub fn as_written(&self, event: &Event) -> Event {
        let masked = line::masked_own(&self.inner.masker, event);
        masked.map_or_else(|| event.clone(), |(masked, _)| masked)
    }

    /// Records one of the trail's own events.
    pub(super) fn record_system(&self, action: &'static str, details: Object) -> Result<u64, RecordError> {
        self.inner.refuse_forked()?;
        let event = Event {
            action: action.into(),
            category: Category::System,
            outcome: Some(Outcome::Success),
            details,
            ..Event::default()
        };
        push_system(&self.inner.log, &event)
    }
}
