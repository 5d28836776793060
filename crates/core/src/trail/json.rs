//! Handing in JSON text: the ordinary event becomes its line without values in between.

use std::sync::PoisonError;

use trailseal_event::line::{self, REST_BYTES_MAX};
use trailseal_event::policy::{self, Facts, OnFailure};
use trailseal_event::{BadLine, Category, Event, Index, Rewritten, Warnings, rewrite};

use super::error::RecordError;
use super::flag::Flag;
use super::once::{HandedInOnce, Ids, RecordOnceError};
use super::recording::{Ack, HandedIn, LINE, Receipt, Status, level};
use super::{Inner, Trail};
use crate::trail::in_force::InForce;

/// Why JSON text was not handed in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandInJsonError {
    /// It is no event.
    #[error(transparent)]
    BadLine(#[from] BadLine),
    /// It is an event that was refused, or could not be looked up.
    #[error(transparent)]
    Once(#[from] RecordOnceError),
}

/// An event that was handed in as JSON text.
#[derive(Clone, Debug)]
pub struct HandedInJson {
    /// What came of it.
    pub done: HandedInOnce,
    /// What the author of the program that made the text should know.
    pub warnings: Warnings,
}

/// The field `sample_rate` is at most this long.
pub(super) const SAMPLE_RATE_BYTES_MAX: usize = 64;

/// What the fast way says of a text.
enum Fast {
    /// It is handed in.
    Done(HandedIn),
    /// It is out of the ordinary.
    No,
}

impl Trail {
    /// Hands in the event that is this JSON text, unless one with its id is there already for its tenant. As
    /// [`hand_in_once`](Trail::hand_in_once) of [`Event::from_json`], several times as fast for the ordinary event.
    ///
    /// # Errors
    /// When the text is no event, or as `hand_in_once`.
    pub fn hand_in_json_once(&self, text: &[u8], ack: Ack) -> Result<HandedInJson, HandInJsonError> {
        if let Fast::Done(handed_in) = self.hand_in_ordinary(text, ack)? {
            let warnings = Warnings::default();
            return Ok(HandedInJson { done: HandedInOnce::New(handed_in), warnings });
        }
        let (event, warnings) = self.read_sent(text, self.inner.shared.options.strict)?;
        let done = self.hand_in_once(&event, ack)?;
        self.inner.count_warnings(warnings.count());
        Ok(HandedInJson { done, warnings })
    }

    /// Reads an event that was sent. No secret that is the name of a field is told.
    pub(super) fn read_sent(&self, json: &[u8], strict: bool) -> Result<(Event, Warnings), BadLine> {
        let masker = &self.inner.shared.masker;
        let has_secret = |field: &str| masker.is_enabled() && !masker.find_in_text(field).is_empty();
        match Event::from_json_told(json, strict) {
            Ok((event, mut warnings)) => {
                warnings.mask(has_secret);
                Ok((event, warnings))
            }
            Err(BadLine::NotStrict(mut warning)) => {
                warning.mask(has_secret);
                Err(BadLine::NotStrict(warning))
            }
            Err(error) => Err(error),
        }
    }

    /// Says no only before it has decided: a second decision could be another one.
    fn hand_in_ordinary(&self, text: &[u8], ack: Ack) -> Result<Fast, RecordOnceError> {
        let inner = &*self.inner;
        if inner.is_forked() {
            // The slow way refuses it; here is a lock that nobody may ever give free.
            return Ok(Fast::No);
        }
        inner
            .shared
            .policy
            .with(|policy| LINE.with_borrow_mut(|rest| self.hand_in_text(policy, text, ack, rest)))
    }

    fn hand_in_text(
        &self,
        policy: &InForce,
        text: &[u8],
        ack: Ack,
        rest: &mut Vec<u8>,
    ) -> Result<Fast, RecordOnceError> {
        let inner = &*self.inner;
        let now = inner.shared.options.clock.now();
        let masker = &inner.shared.masker;
        rest.clear();
        let Some(event) = rewrite(text, now, |key| masker.key_matches(key), rest) else {
            return Ok(Fast::No);
        };
        // Of a name that no event has, and of nothing else, is a strict reader told here.
        if event.has_own_names && inner.shared.options.strict {
            return Ok(Fast::No);
        }
        if masker.text_has(rest) || rest.len() + SAMPLE_RATE_BYTES_MAX > REST_BYTES_MAX {
            return Ok(Fast::No);
        }
        let Some(category) = Category::parse(&event.category) else { return Ok(Fast::No) };
        // Held until the event is recorded, so that two callers with one id cannot both find it absent.
        let mut ids = inner.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let key = event.is_id_given.then(|| Ids::key(event.tenant.as_deref(), event.id.as_str()));
        if let Some(key) = key {
            self.catch_up(&mut ids)?;
            if self.find(&mut ids, key, event.id.as_str())?.is_some() {
                return Ok(Fast::No);
            }
        }
        let decision = policy.decide(&facts(&event, &category));
        policy.count(decision.rule, decision.keep);
        let then = decision.then;
        let (ack, timeout, on_failure) = (level(then, ack), then.timeout, then.on_failure);
        let done = |index, status, id| {
            let receipt = Receipt { index, id, status };
            Ok(Fast::Done(HandedIn { receipt, ack, timeout, on_failure, events: 1 }))
        };
        if let Some(status) = inner.not_kept(&decision) {
            return done(None, status, event.id);
        }
        if let Some(rate) = decision.sample_rate {
            let field = line::sample_rate_field(rate);
            rest.splice(event.trail_fields_at..event.trail_fields_at, field);
        }
        match inner.push_rest(rest, &event, decision.review, now) {
            Ok(index) => {
                let index = Index::new(index);
                match key {
                    Some(key) => ids.insert(key, index, rest, inner.shared.progress.durable()),
                    None => ids.pass(index),
                }
                done(Some(index), Status::Accepted, event.id)
            }
            Err(_) if on_failure == OnFailure::Allow => done(None, Status::Refused, event.id),
            Err(error) => Err(error.into()),
        }
    }
}

impl Inner {
    fn push_rest(
        &self,
        rest: &mut Vec<u8>,
        event: &Rewritten<'_>,
        review: Option<&str>,
        now: trailseal_event::Timestamp,
    ) -> Result<u64, RecordError> {
        self.admit(1)?;
        let flag = review.map(|reason| Flag::new(reason, &event.id, event.tenant.as_deref()));
        self.push_line(rest, flag, now, self.room_wait())
    }
}

pub(super) fn facts<'a>(event: &'a Rewritten<'_>, category: &'a Category) -> Facts<'a> {
    Facts {
        category: std::borrow::Cow::Borrowed(category),
        action: &event.action,
        tenant: event.tenant.as_deref(),
        actor: event.actor_id.as_deref(),
        severity: event.severity,
        outcome: policy::outcome_of(event.outcome),
        correlation_id: event.correlation_id.as_deref().or(event.is_id_given.then(|| event.id.as_str())),
    }
}
