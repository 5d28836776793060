//! Which events a rule matches.

use crate::event::{Category, Outcome, Severity};
use crate::filter::glob_matches;

use super::facts::Facts;

/// Several values of one field match any of them, different fields must all match; an empty list matches everything.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct When {
    /// The category.
    pub category: Vec<Category>,
    /// The action; `*` is any text, `?` any character.
    pub action: Vec<String>,
    /// The tenant.
    pub tenant: Vec<String>,
    /// The actor's id.
    pub actor: Vec<String>,
    /// The severity.
    pub severity: Vec<Severity>,
    /// The outcome.
    pub outcome: Vec<Outcome>,
}

/// Matches every event.
pub(super) static ANYTHING: When = When {
    category: Vec::new(),
    action: Vec::new(),
    tenant: Vec::new(),
    actor: Vec::new(),
    severity: Vec::new(),
    outcome: Vec::new(),
};

impl When {
    /// Whether it matches an event with these facts.
    pub fn matches(&self, facts: &Facts<'_>) -> bool {
        (self.severity.is_empty() || self.severity.contains(&facts.severity))
            && (self.outcome.is_empty() || self.outcome.contains(&facts.outcome))
            && (self.category.is_empty() || self.category.iter().any(|wanted| *wanted == *facts.category))
            && is_any(&self.tenant, facts.tenant)
            && is_any(&self.actor, facts.actor)
            && (self.action.is_empty() || self.action.iter().any(|glob| action_matches(glob, facts.action)))
    }
}

fn is_any(wanted: &[String], value: Option<&str>) -> bool {
    wanted.is_empty() || value.is_some_and(|value| wanted.iter().any(|wanted| wanted == value))
}

/// Like [`glob_matches`], faster for the usual globs of rules: a word, `user.*`, `*.read`.
fn action_matches(glob: &str, action: &str) -> bool {
    let is_wild = |text: &str| text.bytes().any(|byte| matches!(byte, b'*' | b'?'));
    if let Some(suffix) = glob.strip_prefix('*').filter(|rest| !is_wild(rest)) {
        return action.ends_with(suffix);
    }
    if let Some(prefix) = glob.strip_suffix('*').filter(|rest| !is_wild(rest)) {
        return action.starts_with(prefix);
    }
    glob_matches(glob, action)
}
