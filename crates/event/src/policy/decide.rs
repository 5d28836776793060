//! From the facts of an event to what happens to it.

use super::facts::Facts;
use super::matching::ANYTHING;
use super::{Mode, Policy, Rule, Sampler, Treatment, When};
use crate::event::{Category, Outcome, Severity};

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
            Mode::Sampled if is_protected(facts, when) && !cfg!(trailseal_fault = "failures_sampled_out") => {
                (Keep::Kept, None)
            }
            Mode::Sampled if sampler.keeps(facts.correlation_id, then.rate) => (Keep::Kept, Some(then.rate)),
            Mode::Sampled => (Keep::SampledOut, None),
        };
        let review = review.filter(|_| keep == Keep::Kept);
        Decision { keep, then, sample_rate, rule: found, review }
    }
}

/// Whether the event is one of those that are never sampled out, unless `when` names each of the reasons.
fn is_protected(facts: &Facts<'_>, when: &When) -> bool {
    let is_bad = matches!(facts.outcome, Outcome::Failure | Outcome::Denied | Outcome::Unknown);
    let is_grave = facts.severity >= Severity::Warning;
    let is_security = matches!(
        *facts.category,
        Category::Authentication | Category::Authorization | Category::SecretAccess | Category::ConfigChange
    );
    // A rule that names `unknown` has sampled the beginning, too, by the same correlation id.
    let ends_kept = facts.ends_kept && !cfg!(trailseal_fault = "end_sampled_out");
    (is_bad && !when.outcome.contains(&facts.outcome))
        || (ends_kept && !when.outcome.contains(&Outcome::Unknown))
        || (is_grave && !when.severity.contains(&facts.severity))
        || (is_security && !when.category.contains(&facts.category))
}
