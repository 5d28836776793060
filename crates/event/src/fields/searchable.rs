//! What stores search by, of one event.

use std::borrow::Cow;

use crate::event::{Outcome, Recorded, Resource, Severity};
use crate::personal::searchable;

/// What filters can ask of one event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields<'a> {
    /// The effective time: the event's, but never later than its recording. In microseconds.
    pub time: i64,
    /// Whether the trail itself made it.
    pub system: bool,
    /// How serious it is.
    pub severity: Severity,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What was done.
    pub action: Cow<'a, str>,
    /// The name of its category.
    pub category: Cow<'a, str>,
    /// Its id.
    pub id: Option<Cow<'a, str>>,
    /// Whose event it is.
    pub tenant: Option<Cow<'a, str>>,
    /// Who did it.
    pub actor_id: Option<Cow<'a, str>>,
    /// The actor's name.
    pub actor_name: Option<Cow<'a, str>>,
    /// The id of the person acted for.
    pub on_behalf_of: Option<Cow<'a, str>>,
    /// What it was done to.
    pub resource: ResourceFields<'a>,
    /// Further resources.
    pub related: Vec<ResourceFields<'a>>,
    /// The client's address, as it was given.
    pub ip: Option<Cow<'a, str>>,
    /// The request.
    pub request_id: Option<Cow<'a, str>>,
    /// What belongs together.
    pub correlation_id: Option<Cow<'a, str>>,
    /// The session.
    pub session_id: Option<Cow<'a, str>>,
    /// The trace.
    pub trace_id: Option<Cow<'a, str>>,
}

/// One resource; all absent when there is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceFields<'a> {
    /// Its type.
    pub kind: Option<Cow<'a, str>>,
    /// Its id.
    pub id: Option<Cow<'a, str>>,
    /// Its name.
    pub name: Option<Cow<'a, str>>,
}

impl Fields<'static> {
    /// The fields of an event that was parsed in full.
    pub(super) fn of_recorded(recorded: Recorded) -> Self {
        let time = recorded.effective_time().as_micros();
        let event = recorded.event;
        let own = |text: Option<String>| text.map(Cow::Owned);
        let (actor_id, actor_name) = event.actor.map_or((None, None), |actor| (actor.id, actor.name));
        Fields {
            time,
            system: recorded.system,
            severity: event.severity,
            outcome: event.outcome,
            action: Cow::Owned(event.action),
            category: Cow::Owned(event.category.name().into_owned()),
            id: own(event.id),
            tenant: own(event.tenant),
            actor_id: own(actor_id),
            actor_name: own(actor_name),
            on_behalf_of: own(event.on_behalf_of.and_then(|other| other.id)),
            resource: event.resource.map(ResourceFields::of).unwrap_or_default(),
            related: event.related.into_iter().map(ResourceFields::of).collect(),
            ip: own(event.context.ip),
            request_id: own(event.context.request_id),
            correlation_id: own(event.context.correlation_id),
            session_id: own(event.context.session_id),
            trace_id: own(event.context.trace_id),
        }
    }
}

impl ResourceFields<'static> {
    fn of(resource: Resource) -> Self {
        ResourceFields {
            kind: resource.kind.map(Cow::Owned),
            id: resource.id.map(Cow::Owned),
            name: resource.name.map(Cow::Owned),
        }
    }
}

impl Fields<'_> {
    /// The fields with personal values as filters compare them and summaries show them: by their keyed hashes.
    pub(super) fn searchable(mut self) -> Self {
        for text in [
            &mut self.actor_id,
            &mut self.actor_name,
            &mut self.on_behalf_of,
            &mut self.ip,
            &mut self.request_id,
            &mut self.correlation_id,
            &mut self.session_id,
            &mut self.trace_id,
        ] {
            make_searchable(text);
        }
        for resource in std::iter::once(&mut self.resource).chain(&mut self.related) {
            for text in [&mut resource.kind, &mut resource.id, &mut resource.name] {
                make_searchable(text);
            }
        }
        self
    }
}

fn make_searchable(text: &mut Option<Cow<'_, str>>) {
    let Some(held) = text.as_deref() else { return };
    let kept = searchable(held);
    // A token is longer than what stands for it.
    if kept.len() != held.len() {
        *text = Some(Cow::Owned(kept.into_owned()));
    }
}
