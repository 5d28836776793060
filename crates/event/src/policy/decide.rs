//! From the facts of an event to what happens to it.

use std::borrow::Cow;

use super::matching::ANYTHING;
use super::{Mode, Policy, Rule, Sampler, Treatment, When};
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
        }
    }

    /// Whether it is one of those that are never sampled out, unless `when` names each of the reasons.
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

/// The outcome that rules and sampling assume.
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
    /// The share of such events that is kept, if it was sampled.
    pub sample_rate: Option<f64>,
    /// The rule that matched; `None` if none did.
    pub rule: Option<usize>,
    /// Why somebody should review the event, if it is kept and its rule says so.
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
