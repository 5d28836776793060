//! What the policy asks of an event.

use std::borrow::Cow;

use crate::event::{Category, Event, Outcome, Severity};

/// The facts that a policy uses, borrowed from an event.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The category.
    pub category: Cow<'a, Category>,
    /// The action.
    pub action: &'a str,
    /// The tenant.
    pub tenant: Option<&'a str>,
    /// The actor's id.
    pub actor: Option<&'a str>,
    /// The severity.
    pub severity: Severity,
    /// The outcome. An event without one counts as a success.
    pub outcome: Outcome,
    /// What ties the events of one request together; they are sampled as one. Without it, the id given by the caller:
    /// sending an event again must not be another chance.
    pub correlation_id: Option<&'a str>,
    /// Whether it says how an operation ended whose beginning, with the outcome `unknown`, is kept. Without it the operation
    /// would look as if it had died.
    pub ends_kept: bool,
}

impl<'a> Facts<'a> {
    /// The facts of `event`.
    pub fn of(event: &'a Event) -> Facts<'a> {
        Facts {
            category: Cow::Borrowed(&event.category),
            action: &event.action,
            tenant: event.tenant.as_deref(),
            actor: event.actor.as_ref().and_then(|actor| actor.id.as_deref()),
            severity: event.severity,
            outcome: outcome_of(event.outcome),
            correlation_id: event
                .context
                .correlation_id
                .as_deref()
                .or(event.id.as_deref().filter(|id| !id.is_empty())),
            ends_kept: false,
        }
    }
}

/// The outcome that rules and sampling assume.
pub fn outcome_of(named: Option<Outcome>) -> Outcome {
    named.unwrap_or(Outcome::Success)
}
