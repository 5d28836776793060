//! The policy: which mode, failure behaviour and deadline each event gets.
//!
//! In: the [`Facts`] of an event, before anything is written. Out: a [`Decision`]. The first rule that matches
//! wins. What must hold: a client cannot choose whether its events are kept, and what matters most (failures,
//! denials, warnings, security) is never sampled out unless a rule names it.

mod decide;
mod facts;
mod matching;
mod read;
mod sample;
mod weaken;
mod write;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use crate::personal::PersonalRule;
pub use decide::{Decision, Keep};
pub use facts::{Facts, outcome_of};
pub use matching::When;
pub use read::PolicyError;
pub use sample::Sampler;
pub use weaken::{Weakened, Weakening};

/// The maximum number of rules in a policy.
pub(crate) const RULES_MAX: usize = 1_000;
/// The maximum size of the reason that a rule gives for a review.
pub(crate) const REVIEW_BYTES_MAX: usize = 1_024;

/// What happens to each event.
///
/// ```
/// use trailseal_event::{Category, Event};
/// use trailseal_event::policy::{Facts, Keep, Mode, Policy, Sampler};
///
/// let policy = Policy::from_toml(
///     r#"
///     mode = "async"
///     [[rule]]
///     when = { category = ["authentication", "authorization"] }
///     mode = "sync"
///     [[rule]]
///     when = { action = "*.read" }
///     mode = "off"
///     "#,
/// )?;
/// let sampler = Sampler::new([7; 16]);
/// let login = Event::new("user.login").category(Category::Authentication);
/// assert_eq!(policy.decide(&Facts::of(&login), &sampler).then.mode, Mode::Sync);
/// let read = Event::new("invoice.read");
/// assert_eq!(policy.decide(&Facts::of(&read), &sampler).keep, Keep::Off);
/// # Ok::<(), trailseal_event::policy::PolicyError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    /// What happens to an event that no rule matches.
    pub otherwise: Treatment,
    /// The first that matches wins. At most 1,000.
    pub rules: Vec<Rule>,
    /// Which fields are personal, and whose: each is sealed under a key of that person, so that they can be erased.
    pub personal: Vec<PersonalRule>,
}

/// Which events a rule matches, and what happens to them.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Rule {
    /// Which events.
    pub when: When,
    /// What happens to them.
    pub then: Treatment,
    /// Why somebody should review each of them that is kept, if anybody should.
    pub review: Option<String>,
}

/// What happens to an event.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Treatment {
    /// When `record` returns, and whether the event is kept.
    pub mode: Mode,
    /// The share that is kept in mode sampled, from 0 to 1.
    pub rate: f64,
    /// How long a caller waits, at most.
    pub timeout: Duration,
    /// What a caller gets on a failure.
    pub on_failure: OnFailure,
    /// Whether mode sync waits for the disk or for the store.
    pub acknowledge: Acknowledge,
}

impl Default for Treatment {
    fn default() -> Self {
        Treatment {
            mode: Mode::Async,
            rate: 1.0,
            timeout: Duration::from_secs(2),
            on_failure: OnFailure::Deny,
            acknowledge: Acknowledge::Durable,
        }
    }
}

/// When `record` returns, and whether the event is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// When the event is on disk, or in the store: it survives power loss.
    Sync,
    /// When the event is in the handoff: it survives a killed process.
    #[default]
    Async,
    /// Like async, for a share of the events; the others are counted but not kept.
    Sampled,
    /// The event is counted but not kept.
    Off,
}

/// What a caller gets if an event is refused, or does not reach its level in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// An error: the caller's operation can fail with it.
    #[default]
    Deny,
    /// A receipt that says so; it is counted, and the caller's operation continues.
    Allow,
}

/// What mode sync waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// The disk.
    #[default]
    Durable,
    /// The store.
    Store,
}

impl Mode {
    const NAMES: [(&'static str, Mode); 4] =
        [("sync", Mode::Sync), ("async", Mode::Async), ("sampled", Mode::Sampled), ("off", Mode::Off)];

    /// The mode's name in settings.
    pub fn name(self) -> &'static str {
        name_in(&Mode::NAMES, self)
    }

    /// The mode with this name.
    pub fn parse(name: &str) -> Option<Mode> {
        value_in(&Mode::NAMES, name)
    }
}

impl OnFailure {
    const NAMES: [(&'static str, OnFailure); 2] = [("deny", OnFailure::Deny), ("allow", OnFailure::Allow)];

    /// The name in settings.
    pub fn name(self) -> &'static str {
        name_in(&OnFailure::NAMES, self)
    }

    /// The behaviour with this name.
    pub fn parse(name: &str) -> Option<OnFailure> {
        value_in(&OnFailure::NAMES, name)
    }
}

impl Acknowledge {
    const NAMES: [(&'static str, Acknowledge); 2] =
        [("durable", Acknowledge::Durable), ("store", Acknowledge::Store)];

    /// The name in settings.
    pub fn name(self) -> &'static str {
        name_in(&Acknowledge::NAMES, self)
    }

    /// The level with this name.
    pub fn parse(name: &str) -> Option<Acknowledge> {
        value_in(&Acknowledge::NAMES, name)
    }
}

fn name_in<T: PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    names.iter().find(|(_, other)| *other == value).map_or("", |(name, _)| name)
}

fn value_in<T: Copy>(names: &[(&'static str, T)], name: &str) -> Option<T> {
    names.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
}

impl Policy {
    /// A policy that treats all events the same.
    pub fn of_mode(mode: Mode) -> Policy {
        Policy { otherwise: Treatment { mode, ..Treatment::default() }, ..Policy::default() }
    }
}
