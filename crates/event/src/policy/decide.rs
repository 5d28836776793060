//! From the facts of an event to what happens to it.

use std::borrow::Cow;

use super::matching::ANYTHING;
use super::{Mode, Policy, Rule, Sampler, Treatment, When};
use crate::event::{Category, Event, Outcome, Severity};

/// What a policy looks at, borrowed from an event.
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
    /// The outcome. An event that names none is treated as one that succeeded.
    pub outcome: Outcome,
    /// What ties the events of one request together; they are sampled as one. Without it, the id that the caller
    /// gave: whoever sends an event again must not get another chance.
    pub correlation_id: Option<&'a str>,
}

impl<'a> Facts<'a> {
    /// Those of `event`.
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
        }
    }

    /// Whether it is one of those that are never sampled out, unless each of the reasons is named by `when`.
    fn is_protected(&self, when: &When) -> bool {
        let is_bad = matches!(self.outcome, Outcome::Failure | Outcome::Denied | Outcome::Unknown);
        let is_grave = self.severity >= Severity::Warning;
        let is_security = matches!(
            *self.category,
            Category::Authentication
                | Category::Authorization
                | Category::SecretAccess
                | Category::ConfigChange
        );
        (is_bad && !when.outcome.contains(&self.outcome))
            || (is_grave && !when.severity.contains(&self.severity))
            || (is_security && !when.category.contains(&self.category))
    }
}

/// What rules and sampling take an event's outcome for.
pub fn outcome_of(named: Option<Outcome>) -> Outcome {
    named.unwrap_or(Outcome::Success)
}

/// Whether an event is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It is.
    Kept,
    /// It is one of those that sampling leaves out.
    SampledOut,
    /// Events like it are not recorded.
    Off,
}

/// What happens to one event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision<'p> {
    /// Whether it is kept.
    pub keep: Keep,
    /// How it is treated if it is.
    pub then: &'p Treatment,
    /// The share of events like it that is kept, if it went through sampling.
    pub sample_rate: Option<f64>,
    /// The rule that matched; `None` where none did.
    pub rule: Option<usize>,
    /// Why somebody is to look at the event, if it is kept and its rule says so.
    pub review: Option<&'p str>,
}

impl Policy {
    /// What happens to an event with these facts.
    pub fn decide(&self, facts: &Facts<'_>, sampler: &Sampler) -> Decision<'_> {
        let found = self.rules.iter().position(|rule| rule.when.matches(facts));
        let (when, then, review) = match found.and_then(|at| self.rules.get(at)) {
            Some(Rule { when, then, review }) => (when, then, review.as_deref()),
            None => (&ANYTHING, &self.otherwise, None),
        };
        let (keep, sample_rate) = match then.mode {
            Mode::Sync | Mode::Async => (Keep::Kept, None),
            Mode::Off => (Keep::Off, None),
            Mode::Sampled if facts.is_protected(when) && !cfg!(trailseal_fault = "failures_sampled_out") => {
                (Keep::Kept, None)
            }
            Mode::Sampled if sampler.keeps(facts.correlation_id, then.rate) => (Keep::Kept, Some(then.rate)),
            Mode::Sampled => (Keep::SampledOut, None),
        };
        let review = review.filter(|_| keep == Keep::Kept);
        Decision { keep, then, sample_rate, rule: found, review }
    }
}
