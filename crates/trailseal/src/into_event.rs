//! What can be recorded.

use std::borrow::Cow;

use crate::Event;

/// What can be recorded: an [`Event`], and every type with `#[derive(AuditEvent)]`; by value or by reference.
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

/// A type of your own that can be turned into an event. `#[derive(AuditEvent)]` implements it.
pub trait ToEvent {
    /// The event.
    fn to_event(&self) -> Event;
}

impl<T: ToEvent> IntoEvent<'static> for &T {
    fn into_event(self) -> Cow<'static, Event> {
        Cow::Owned(self.to_event())
    }
}
