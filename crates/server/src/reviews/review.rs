//! What a trail says of a review: its question, and its decision.

use serde::{Deserialize, Serialize};
use trailseal_core::RetentionRule;
use trailseal_event::{Category, Event, Object, Recorded, Value};

use super::how_decided::HowDecided;
use super::id::ReviewId;
use crate::access::Caller;

/// The state of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ReviewState {
    Pending,
    Approved,
    Rejected,
}

impl ReviewState {
    const NAMES: [(&'static str, ReviewState); 3] = [
        ("pending", ReviewState::Pending),
        ("approved", ReviewState::Approved),
        ("rejected", ReviewState::Rejected),
    ];

    pub(crate) fn parse(name: &str) -> Option<ReviewState> {
        ReviewState::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, state)| state)
    }

    pub(crate) fn name(self) -> &'static str {
        ReviewState::NAMES.into_iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }
}

/// What is to be decided.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Subject {
    /// An event, by its id, its trail and its index. The decision changes nothing else.
    Event { event: String, origin: String, index: u64 },
    /// A change that waits for a second person; approving makes it. Another kind of change needs a variant here, and an
    /// arm where subjects are parsed and decided.
    Policy(PolicyChange),
    /// Old events that go once a second person approves.
    Retention(Retirement),
    /// Somebody whose keys are destroyed once a second person approves.
    Erasure(Erasure),
}

/// A review as it is returned.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Review {
    pub(super) id: ReviewId,
    #[serde(flatten)]
    pub(super) subject: Subject,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<String>,
    pub(super) state: ReviewState,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
    requested: String,
    pub(super) requested_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decided_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

impl Review {
    /// The review that an event requests; `None` if it is of a kind that only a later version knows.
    pub(super) fn requested(id: ReviewId, recorded: &Recorded, origin: &str) -> Option<Review> {
        let event = &recorded.event;
        let member = |name: &str| event.details.get(name);
        let number = |name: &str| member(name).and_then(Value::as_u64);
        let subject = match text(event, "change").as_deref() {
            None => Subject::Event {
                event: text(event, "event").unwrap_or_default(),
                origin: text(event, "origin").unwrap_or_default(),
                // A rule knows the position of its event only relative to its own.
                index: match number("ahead") {
                    Some(ahead) => recorded.index.saturating_add(ahead),
                    None => number("index").unwrap_or_default(),
                },
            },
            Some(PolicyChange::NAME) => Subject::Policy(PolicyChange::read(&event.details, origin)?),
            Some(Retirement::NAME) => Subject::Retention(Retirement::read(&event.details, origin)?),
            Some(Erasure::NAME) => Subject::Erasure(Erasure::read(&event.details, origin)?),
            Some(_) => return None,
        };
        Some(Review {
            id,
            subject,
            tenant: event.tenant.clone(),
            state: ReviewState::Pending,
            reason: text(event, "reason").unwrap_or_default(),
            confidence: member("confidence").and_then(Value::as_f64),
            requested: recorded.recorded.to_string(),
            requested_by: actor(recorded),
            decided: None,
            decided_by: None,
            comment: None,
        })
    }

    pub(super) fn decide(&mut self, recorded: &Recorded) {
        self.decided = Some(recorded.recorded.to_string());
        self.decided_by = Some(actor(recorded));
        self.comment = text(&recorded.event, "comment");
    }

    pub(super) fn set_decided(&mut self, how: HowDecided) {
        (self.decided, self.decided_by, self.comment) = (Some(how.at), Some(how.by), how.comment);
    }

    /// `None` while it waits.
    pub(super) fn how_decided(&self) -> Option<HowDecided> {
        let (at, by) = (self.decided.clone()?, self.decided_by.clone().unwrap_or_default());
        Some(HowDecided { at, by, comment: self.comment.clone() })
    }

    pub(super) fn is_seen_by(&self, caller: &Caller) -> bool {
        caller.tenant().is_none_or(|tenant| self.tenant.as_deref() == Some(tenant))
    }
}

/// From which policy to which.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PolicyChange {
    /// The trail whose policy it is: each slot has its own.
    pub(super) origin: String,
    pub(super) from: String,
    pub(super) to: String,
    /// What would be less strict, for people.
    weakens: Vec<String>,
}

impl PolicyChange {
    pub(super) const NAME: &str = "policy";

    /// Parses the details of the event that requests it.
    pub(super) fn read(details: &Object, origin: &str) -> Option<PolicyChange> {
        let text = |name: &str| details.get(name).and_then(Value::as_str).map(str::to_owned);
        let weakens = match details.get("weakens") {
            Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        Some(PolicyChange { origin: origin.to_owned(), from: text("from")?, to: text("to")?, weakens })
    }
}

/// What is to be retired, and where it goes first.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Retirement {
    /// The trail whose events they are.
    pub(super) origin: String,
    older_than_days: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    for_tenant: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    category: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) archive: Option<String>,
}

impl Retirement {
    pub(super) const NAME: &str = "retention";

    /// Parses the details of the event that requests it; `None` if it cannot be what this version has written.
    pub(super) fn read(details: &Object, origin: &str) -> Option<Retirement> {
        let text = |name: &str| details.get(name).and_then(Value::as_str).map(str::to_owned);
        let category = match details.get("category") {
            None => Vec::new(),
            Some(Value::Array(names)) => {
                names.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<_>>()?
            }
            Some(_) => return None,
        };
        let retirement = Retirement {
            origin: origin.to_owned(),
            older_than_days: details.get("older_than_days")?.as_u64()?.try_into().ok()?,
            for_tenant: text("for_tenant"),
            category,
            archive: text("archive"),
        };
        retirement.rule().is_some().then_some(retirement)
    }

    /// The rule, if its categories are known: without one of them more would go than was asked for.
    pub(super) fn rule(&self) -> Option<RetentionRule> {
        let mut rule = RetentionRule::older_than_days(self.older_than_days);
        rule.tenant.clone_from(&self.for_tenant);
        rule.category = self.category.iter().map(|name| Category::parse(name)).collect::<Option<_>>()?;
        Some(rule)
    }
}

/// Which keys are to be destroyed: they name nobody.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Erasure {
    /// The trail whose keys they are.
    pub(super) origin: String,
    pub(super) keys: Vec<String>,
}

impl Erasure {
    pub(super) const NAME: &str = "erasure";

    /// Parses the details of the event that requests it.
    pub(super) fn read(details: &Object, origin: &str) -> Option<Erasure> {
        let Some(Value::Array(keys)) = details.get("keys") else { return None };
        let keys = keys.iter().map(|key| key.as_str().map(str::to_owned)).collect::<Option<_>>()?;
        Some(Erasure { origin: origin.to_owned(), keys })
    }
}

fn text(event: &Event, name: &str) -> Option<String> {
    event.details.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn actor(recorded: &Recorded) -> String {
    recorded.event.actor.as_ref().and_then(|actor| actor.id.clone()).unwrap_or_default()
}
