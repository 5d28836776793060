//! What can be recorded: events in several forms, one or many, and those that somebody hands in for others.

use std::sync::Arc;

use trailseal_event::{Event, EventText, Timestamp};

/// An event, in any of the forms that can be recorded.
#[derive(Clone, Copy, Debug)]
pub enum AnyEvent<'a> {
    /// From a builder.
    Event(&'a Event),
    /// Its JSON text. Several times as fast as [`Event::from_json`] if it is an ordinary event.
    Json(&'a [u8]),
    /// Its parts, each as JSON text.
    Text(&'a EventText<'a>),
}

impl<'a> From<&'a Event> for AnyEvent<'a> {
    fn from(event: &'a Event) -> Self {
        AnyEvent::Event(event)
    }
}

impl<'a> From<&'a EventText<'a>> for AnyEvent<'a> {
    fn from(event: &'a EventText<'a>) -> Self {
        AnyEvent::Text(event)
    }
}

/// Several events, to be recorded as one.
#[derive(Clone, Copy, Debug)]
pub enum AnyEvents<'a> {
    /// From builders.
    Events(&'a [Event]),
    /// Handed in by somebody. Their ids are always looked up.
    Submission(Submission<'a>),
}

impl<'a> From<&'a [Event]> for AnyEvents<'a> {
    fn from(events: &'a [Event]) -> Self {
        AnyEvents::Events(events)
    }
}

impl<'a> From<&'a Vec<Event>> for AnyEvents<'a> {
    fn from(events: &'a Vec<Event>) -> Self {
        AnyEvents::Events(events)
    }
}

impl<'a, const N: usize> From<&'a [Event; N]> for AnyEvents<'a> {
    fn from(events: &'a [Event; N]) -> Self {
        AnyEvents::Events(events)
    }
}

impl<'a> From<Submission<'a>> for AnyEvents<'a> {
    fn from(submission: Submission<'a>) -> Self {
        AnyEvents::Submission(submission)
    }
}

/// Events that somebody hands in for others, such as the events of an HTTP request.
///
/// If they are refused, that is an error even if the policy says `allow`: whoever hands them in must pass it on.
#[derive(Clone, Copy, Debug)]
pub struct Submission<'a> {
    /// The events.
    pub events: &'a [Submitted<'a>],
    /// Who hands them in.
    pub by: &'a Submitter,
}

/// Who hands events in.
#[derive(Clone, Debug, Default)]
pub struct Submitter {
    /// The value of `recorded_by`: the name of a token, or of a process.
    pub recorded_by: Option<Arc<str>>,
    /// The only tenant it may write for. An event without a tenant gets this one.
    pub tenant: Option<Arc<str>>,
    /// Whether its events are read strictly, even if the trail's [`Options`](crate::Options) do not say so.
    pub strict: bool,
}

/// One event of a submission.
#[derive(Clone, Debug)]
pub struct Submitted<'a> {
    /// The event.
    pub event: AnyEvent<'a>,
    /// Its id, if it has no id of its own.
    pub id: Option<String>,
    /// Its time, if it has no time of its own: when it was written, where that was not now. A repeat may have another one.
    pub time: Option<Timestamp>,
    /// Paths that were masked before it was handed in, as in an outbox. Never what a client says.
    pub masked: Vec<String>,
}

impl<'a> Submitted<'a> {
    /// An event as JSON text.
    pub fn json(text: &'a [u8]) -> Submitted<'a> {
        Submitted { event: AnyEvent::Json(text), id: None, time: None, masked: Vec::new() }
    }
}
