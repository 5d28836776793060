//! What can be recorded.

use std::borrow::Cow;

use crate::Event;

/// What can be recorded: an [`Event`], a reference to one, and every type with `#[derive(AuditEvent)]`.
///
/// ```
/// use std::borrow::Cow;
/// use trailseal::{Event, IntoEvent, Trail};
///
/// struct Approved<'a> { invoice: &'a str }
///
/// impl IntoEvent<'static> for Approved<'_> {
///     fn into_event(self) -> Cow<'static, Event> {
///         Cow::Owned(Event::new("invoice.approve").resource("invoice", self.invoice))
///     }
/// }
///
/// Trail::temporary()?.record(Approved { invoice: "42" })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait IntoEvent<'a> {
    /// The event.
    fn into_event(self) -> Cow<'a, Event>;
}

impl IntoEvent<'static> for Event {
    fn into_event(self) -> Cow<'static, Event> {
        Cow::Owned(self)
    }
}

impl<'a> IntoEvent<'a> for &'a Event {
    fn into_event(self) -> Cow<'a, Event> {
        Cow::Borrowed(self)
    }
}
