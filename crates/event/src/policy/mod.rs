//! The policy: which mode, failure behaviour and deadline each event gets.
//!
//! In: the [`Facts`] of an event, before anything is written. Out: a [`Decision`]. The first rule that matches
//! wins. What must hold: a client cannot choose whether its events are kept, and what matters most (failures,
//! denials, warnings, security) is never sampled out unless a rule names it.

mod decide;
mod matching;
mod read;
mod sample;
mod weaken;
mod write;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use decide::{Decision, Facts, Keep, outcome_of};
pub use matching::When;
pub use read::PolicyError;
pub use sample::Sampler;
pub use weaken::{WEAKENINGS_MAX, Weakened, Weakening};

/// A policy has at most this many rules.
pub const RULES_MAX: usize = 1_000;
/// The most bytes of the reason that a rule gives for a review.
pub const REVIEW_BYTES_MAX: usize = 1_024;

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
/// let login = Event { category: Category::Authentication, ..Event::new("user.login") };
/// assert_eq!(policy.decide(&Facts::of(&login), &sampler).then.mode, Mode::Sync);
/// let read = Event::new("invoice.read");
/// assert_eq!(policy.decide(&Facts::of(&read), &sampler).keep, Keep::Off);
/// # Ok::<(), trailseal_event::policy::PolicyError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// What happens to an event that no rule matches.
    pub otherwise: Treatment,
    /// The first that matches wins. At most [`RULES_MAX`].
    pub rules: Vec<Rule>,
}

/// Which events a rule is about, and what happens to them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// Which events.
    pub when: When,
    /// What happens to them.
    pub then: Treatment,
    /// Why somebody is to look at each of them that is kept, if anybody is.
    pub review: Option<String>,
}

/// What happens to an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Treatment {
    /// When `record` returns, and whether the event is kept.
    pub mode: Mode,
    /// The share that is kept in mode sampled, from 0 to 1.
    pub rate: f64,
    /// How long a caller waits at most.
    pub timeout: Duration,
    /// What a caller hears of a failure.
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
    /// When the event is on disk, or in the store: power loss does not lose it.
    Sync,
    /// When the event is in the handoff: a killed process does not lose it.
    #[default]
    Async,
    /// As async, for a share of the events; the others are counted and not kept.
    Sampled,
    /// The event is counted and not kept.
    Off,
}

/// What a caller hears when an event is refused, or does not reach its level in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// An error: the caller's operation can fail with it.
    #[default]
    Deny,
    /// A receipt that says so; it is counted, and the caller's operation goes on.
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

    /// The mode of this name.
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

    /// The behaviour of this name.
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

    /// The level of this name.
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
    /// A policy that treats every event alike.
    pub fn of_mode(mode: Mode) -> Policy {
        Policy { otherwise: Treatment { mode, ..Treatment::default() }, rules: Vec::new() }
    }
}
