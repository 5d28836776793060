//! Rules that name nothing but texts of the actor and the context, as most do: where such a text stands follows from the event
//! that was written, and nothing is sought.

use super::paths::{FlatMember, Paths};
use crate::event::{Actor, Context, Event, INVALID};

/// The texts of an actor in the order in which they are written.
const ACTOR: [&str; 4] = ["id", "type", "name", "email"];
/// The same of a context.
const CONTEXT: [&str; 11] = [
    "ip",
    "user_agent",
    "request_id",
    "correlation_id",
    "session_id",
    "trace_id",
    "span_id",
    "component",
    "service",
    "version",
    "host",
];

pub(super) fn texts_of_actor(actor: &Actor) -> [Option<&str>; ACTOR.len()] {
    [&actor.id, &actor.kind, &actor.name, &actor.email].map(Option::as_deref)
}

pub(super) fn texts_of_context(context: &Context) -> [Option<&str>; CONTEXT.len()] {
    let Context { ip, user_agent, request_id, correlation_id, session_id, trace_id, span_id, .. } = context;
    let Context { component, service, version, host, .. } = context;
    [
        ip,
        user_agent,
        request_id,
        correlation_id,
        session_id,
        trace_id,
        span_id,
        component,
        service,
        version,
        host,
    ]
    .map(Option::as_deref)
}

/// What the rules name of the actor and the context.
pub(super) struct Placed {
    pub(super) actor: PlacedTexts<{ ACTOR.len() }>,
    pub(super) context: PlacedTexts<{ CONTEXT.len() }>,
}

/// The texts of one object.
pub(super) struct PlacedTexts<const N: usize> {
    pub(super) keys: [&'static str; N],
    /// What is named, each at the place of its key.
    pub(super) members: [Option<FlatMember>; N],
    /// Behind the last that is named.
    pub(super) len: usize,
}

impl Placed {
    /// `None` if a field names something else.
    pub(super) fn new(paths: &Paths) -> Option<Placed> {
        let is_near = |parts: &[String]| matches!(&*parts[0], "actor" | "context");
        let are_near =
            paths.fields.iter().all(|field| is_near(&field.parts) && is_near(&field.subject.parts));
        let members = |key: &str| paths.flat.iter().find(|flat| flat.key == key).map(|flat| &*flat.members);
        let actor = PlacedTexts::new(ACTOR, members("actor")?)?;
        let context = PlacedTexts::new(CONTEXT, members("context")?)?;
        are_near.then_some(Placed { actor, context })
    }

    /// Whether an event has nothing but its texts that a rule could name: no fields of its own there, and nothing that was sent
    /// in a wrong form.
    #[inline]
    pub(super) fn tells(&self, event: &Event) -> bool {
        let has_no_more = event.actor.as_ref().is_none_or(|actor| actor.extra.is_empty())
            && event.context.extra.is_empty()
            && event.extra.is_empty()
            && event.invalid.is_empty()
            && event.details.get(INVALID).is_none();
        has_no_more || cfg!(trailseal_fault = "personal_elsewhere_plain")
    }
}

impl<const N: usize> PlacedTexts<N> {
    /// `None` if one that is named is no text.
    fn new(keys: [&'static str; N], named: &[FlatMember]) -> Option<PlacedTexts<N>> {
        let members = keys.map(|key| named.iter().find(|member| member.key == key).cloned());
        let are_texts = members.iter().flatten().count() == named.len();
        let len = members.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        are_texts.then_some(PlacedTexts { keys, members, len })
    }
}
