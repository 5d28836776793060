//! What another policy would weaken.
//!
//! Rules overlap, and the first match wins, so two policies are not compared rule by rule. Instead, for each pair of a
//! rule before and a rule after that some event could match, the treatment after must be as strict as the one before.
//! What must hold: a weakening is never missed. If action patterns cannot be told apart, an event is assumed to match
//! both, so something harmless may be called a weakening.

use std::time::Duration;

use super::matching::ANYTHING;
use super::{Acknowledge, Mode, OnFailure, Policy, Treatment, When};
use crate::event::{Category, Outcome, Severity};
use crate::filter::glob_matches;
use crate::personal::PersonalRule;

/// The maximum number of weakenings reported.
pub(crate) const WEAKENINGS_MAX: usize = 50;

/// Something that another policy would treat less strictly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weakening {
    /// The rule that decides now; `None` for events that match no rule.
    pub from: Option<usize>,
    /// The rule that would decide.
    pub to: Option<usize>,
    /// What would be less strict.
    pub what: Weakened,
}

/// What is less strict, before and after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weakened {
    /// Sync, async, sampled, off: each is weaker than the one before it.
    Mode(Mode, Mode),
    /// A smaller share is kept.
    Rate(f64, f64),
    /// Failures, warnings or security events could be sampled out.
    Protection,
    /// Deny becomes allow.
    OnFailure,
    /// Sync no longer waits for the store.
    Acknowledge,
    /// With `allow`, sync continues unconfirmed earlier.
    Timeout(Duration, Duration),
    /// Events are no longer put up for review.
    Review,
    /// Fields of the personal rule with this number are no longer sealed, or not in the same way.
    Personal(usize),
}

/// What decides about an event: a rule, or, without a `when`, the treatment of all others.
#[derive(Clone, Copy)]
struct Branch<'a> {
    rule: Option<usize>,
    when: &'a When,
    then: &'a Treatment,
    review: bool,
}

impl Policy {
    /// What `to` would treat less strictly than this policy, for some event; at most 50. Empty if it is
    /// as strict for all.
    ///
    /// ```
    /// use trailseal_event::policy::{Mode, Policy};
    /// let (strict, loose) = (Policy::of_mode(Mode::Sync), Policy::of_mode(Mode::Off));
    /// let found = strict.weakened_by(&loose);
    /// assert_eq!(found[0].describe(&strict, &loose), "all other events: mode sync becomes off");
    /// assert!(loose.weakened_by(&strict).is_empty());
    /// ```
    pub fn weakened_by(&self, to: &Policy) -> Vec<Weakening> {
        let mut found = Vec::new();
        let after: Vec<(Branch<'_>, usize)> =
            to.branches().map(|branch| (branch, first_covering(self, branch.when))).collect();
        for (at, before) in self.branches().enumerate() {
            // After a rule that takes all of its events, it gets none of them.
            let reached = first_covering(to, before.when);
            for (branch, covered) in after.iter().take(reached + 1) {
                if at > *covered || are_apart(before.when, branch.when) {
                    continue;
                }
                let each = weaknesses(&before, branch).into_iter().flatten();
                found.extend(each.map(|what| Weakening { from: before.rule, to: branch.rule, what }));
                if found.len() >= WEAKENINGS_MAX {
                    found.truncate(WEAKENINGS_MAX);
                    return found;
                }
            }
        }
        let is_as_before =
            |rule: &PersonalRule| rule.fields.iter().all(|field| to.seals(field) == self.seals(field));
        let personal = self.personal.iter().enumerate().filter(|(_, rule)| !is_as_before(rule));
        found.extend(personal.map(|(rule, _)| Weakening {
            from: None,
            to: None,
            what: Weakened::Personal(rule),
        }));
        found.truncate(WEAKENINGS_MAX);
        found
    }

    /// Whose the values of a field are, and whether a hash stands beside them; `None` if no rule names it like that.
    fn seals(&self, field: &str) -> Option<(&str, bool)> {
        let first = self.personal.iter().find(|rule| rule.fields.iter().any(|named| named == field));
        first.map(|rule| (&*rule.subject, rule.searchable))
    }

    fn branches(&self) -> impl Iterator<Item = Branch<'_>> {
        let rules = self.rules.iter().enumerate().map(|(rule, each)| Branch {
            rule: Some(rule),
            when: &each.when,
            then: &each.then,
            review: each.review.is_some(),
        });
        let rest = Branch { rule: None, when: &ANYTHING, then: &self.otherwise, review: false };
        rules.chain(std::iter::once(rest))
    }
}

impl Weakening {
    /// A description for people.
    pub fn describe(&self, from: &Policy, to: &Policy) -> String {
        let name = |policy: &Policy, rule: Option<usize>| {
            let rule = rule.and_then(|rule| Some((rule, policy.rules.get(rule)?)));
            match rule {
                Some((at, rule)) => format!("rule {} ({})", at + 1, rule.when.to_toml()),
                None => "all other events".to_owned(),
            }
        };
        let (before, after) = (name(from, self.from), name(to, self.to));
        let what = match self.what {
            Weakened::Mode(from, to) => format!("mode {} becomes {}", from.name(), to.name()),
            Weakened::Rate(from, to) => format!("rate {from} becomes {to}"),
            Weakened::Protection => "failures, warnings or security events could be sampled out".to_owned(),
            Weakened::OnFailure => "on_failure deny becomes allow".to_owned(),
            Weakened::Acknowledge => "acknowledge store becomes durable".to_owned(),
            Weakened::Timeout(from, to) => {
                format!("timeout_ms {} becomes {}, and on_failure is allow", from.as_millis(), to.as_millis())
            }
            Weakened::Review => "no review is requested any more".to_owned(),
            Weakened::Personal(rule) => {
                let fields = from.personal.get(rule).map(|rule| rule.fields.join(", ")).unwrap_or_default();
                return format!("personal fields are not sealed as before: {fields}");
            }
        };
        match before == after {
            true => format!("{before}: {what}"),
            false => format!("{before} → {after}: {what}"),
        }
    }
}

/// The first rule that takes all events of `when`; the number of rules if none does.
fn first_covering(policy: &Policy, when: &When) -> usize {
    policy.rules.iter().position(|rule| covers(&rule.when, when)).unwrap_or(policy.rules.len())
}

/// What is less strict `after`, for events that match both.
fn weaknesses(before: &Branch<'_>, after: &Branch<'_>) -> [Option<Weakened>; 5] {
    let (from, to) = (before.then, after.then);
    if from.mode == Mode::Off {
        return [None; 5];
    }
    let mode = (strictness(to.mode) < strictness(from.mode)).then_some(Weakened::Mode(from.mode, to.mode));
    if to.mode == Mode::Off {
        return [mode, None, None, None, None];
    }
    let sampled = match (from.mode, to.mode) {
        (Mode::Sampled, Mode::Sampled) if to.rate < from.rate => Some(Weakened::Rate(from.rate, to.rate)),
        (Mode::Sampled, Mode::Sampled) if !names_only(after.when, before.when) => Some(Weakened::Protection),
        _ => None,
    };
    let allows = |then: &Treatment| then.on_failure == OnFailure::Allow;
    let on_failure = (!allows(from) && allows(to)).then_some(Weakened::OnFailure);
    let waiting = match (from.mode, to.mode) {
        (Mode::Sync, Mode::Sync)
            if from.acknowledge == Acknowledge::Store && to.acknowledge != Acknowledge::Store =>
        {
            Some(Weakened::Acknowledge)
        }
        (Mode::Sync, Mode::Sync) if allows(from) && allows(to) && to.timeout < from.timeout => {
            Some(Weakened::Timeout(from.timeout, to.timeout))
        }
        _ => None,
    };
    let review = (before.review && !after.review).then_some(Weakened::Review);
    [mode, sampled, on_failure, waiting, review]
}

fn strictness(mode: Mode) -> u8 {
    match mode {
        Mode::Off => 0,
        Mode::Sampled => 1,
        Mode::Async => 2,
        Mode::Sync => 3,
    }
}

/// Whether everything that `one` names, and so allows to be sampled out, is also named by the other.
fn names_only(one: &When, other: &When) -> bool {
    let outcomes = [Outcome::Failure, Outcome::Denied, Outcome::Unknown];
    let severities = [Severity::Warning, Severity::Error, Severity::Critical];
    let security =
        [Category::Authentication, Category::Authorization, Category::SecretAccess, Category::ConfigChange];
    outcomes.iter().all(|each| !one.outcome.contains(each) || other.outcome.contains(each))
        && severities.iter().all(|each| !one.severity.contains(each) || other.severity.contains(each))
        && security.iter().all(|each| !one.category.contains(each) || other.category.contains(each))
}

/// Whether every event that matches `narrow` matches `wide`.
fn covers(wide: &When, narrow: &When) -> bool {
    fn list<T>(wide: &[T], narrow: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
        wide.is_empty()
            || (!narrow.is_empty() && narrow.iter().all(|one| wide.iter().any(|other| covers(other, one))))
    }
    list(&wide.category, &narrow.category, PartialEq::eq)
        && list(&wide.tenant, &narrow.tenant, PartialEq::eq)
        && list(&wide.actor, &narrow.actor, PartialEq::eq)
        && list(&wide.severity, &narrow.severity, PartialEq::eq)
        && list(&wide.outcome, &narrow.outcome, PartialEq::eq)
        && list(&wide.action, &narrow.action, |wide, narrow| glob_covers(wide, narrow))
}

/// Whether no event can match both.
fn are_apart(one: &When, other: &When) -> bool {
    fn list<T>(one: &[T], other: &[T], meet: impl Fn(&T, &T) -> bool) -> bool {
        !one.is_empty()
            && !other.is_empty()
            && !one.iter().any(|left| other.iter().any(|right| meet(left, right)))
    }
    list(&one.category, &other.category, PartialEq::eq)
        || list(&one.tenant, &other.tenant, PartialEq::eq)
        || list(&one.actor, &other.actor, PartialEq::eq)
        || list(&one.severity, &other.severity, PartialEq::eq)
        || list(&one.outcome, &other.outcome, PartialEq::eq)
        || list(&one.action, &other.action, |left, right| globs_may_meet(left, right))
}

const WILD: [char; 2] = ['*', '?'];

/// Whether everything that matches `narrow` obviously matches `wide`.
fn glob_covers(wide: &str, narrow: &str) -> bool {
    if wide == narrow || !narrow.contains(WILD) {
        return wide == narrow || glob_matches(wide, narrow);
    }
    match (wide.strip_suffix('*'), wide.strip_prefix('*')) {
        (Some(prefix), _) if !prefix.contains(WILD) => narrow.starts_with(prefix),
        (_, Some(suffix)) if !suffix.contains(WILD) => narrow.ends_with(suffix),
        _ => false,
    }
}

/// Whether some text may match both.
fn globs_may_meet(left: &str, right: &str) -> bool {
    match (left.contains(WILD), right.contains(WILD)) {
        (_, false) => glob_matches(left, right),
        (false, _) => glob_matches(right, left),
        (true, true) => {
            let head = |glob: &str| glob.split(WILD).next().unwrap_or_default().to_owned();
            let tail = |glob: &str| glob.rsplit(WILD).next().unwrap_or_default().to_owned();
            let (heads, tails) = ((head(left), head(right)), (tail(left), tail(right)));
            (heads.0.starts_with(&*heads.1) || heads.1.starts_with(&*heads.0))
                && (tails.0.ends_with(&*tails.1) || tails.1.ends_with(&*tails.0))
        }
    }
}

#[cfg(test)]
#[path = "weaken_tests.rs"]
mod tests;
