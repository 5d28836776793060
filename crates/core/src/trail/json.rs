//! Handing in JSON text: the ordinary event becomes its line without values in between.

use super::error::RecordError;
use super::once::{HandedInOnce, Ids, RecordOnceError};
use super::recording::{Ack, HandedIn, LINE, Receipt, Status, level};
use super::{Inner, Trail};
use crate::Index;
use crate::event::{BadLine, Category, Event, Rewritten, rewrite};
use crate::policy::{Facts, OnFailure};

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
    pub fn hand_in_json_once(&self, text: &[u8], ack: Ack) -> Result<HandedInOnce, HandInJsonError> {
        if let Fast::Done(handed_in) = self.hand_in_ordinary(text, ack)? {
            return Ok(HandedInOnce::New(handed_in));
        }
        let event = Event::from_json(text)?;
        Ok(self.hand_in_once(&event, ack)?)
    }

    fn hand_in_ordinary(&self, text: &[u8], ack: Ack) -> Result<Fast, RecordOnceError> {
        let inner = &*self.inner;
        let now = inner.shared.options.clock.now();
        let masker = &inner.shared.masker;
        LINE.with_borrow_mut(|rest| {
            rest.clear();
            let Some(event) = rewrite(text, now, |key| masker.key_matches(key), rest) else {
                return Ok(Fast::No);
            };
            if masker.text_has(rest) {
                return Ok(Fast::No);
            }
            let Some(category) = Category::parse(&event.category) else { return Ok(Fast::No) };
            let policy = inner.shared.policy.load();
            let decision = policy.decide(&facts(&event, &category));
            if decision.sample_rate.is_some() {
                // It must be written into the line.
                return Ok(Fast::No);
            }
            let then = decision.then;
            let (ack, timeout, on_failure) = (level(then, ack), then.timeout, then.on_failure);
            let done = |index, status, id| {
                let receipt = Receipt { index, id, status };
                Ok(Fast::Done(HandedIn { receipt, ack, timeout, on_failure }))
            };
            if let Some(status) = inner.not_kept(&decision) {
                return done(None, status, event.id);
            }
            match self.push_once(&event, now, rest) {
                Ok(Some(index)) => done(Some(Index::new(index)), Status::Accepted, event.id),
                Ok(None) => Ok(Fast::No),
                Err(RecordOnceError::Refused(_)) if on_failure == OnFailure::Allow => {
                    done(None, Status::Refused, event.id)
                }
                Err(error) => Err(error),
            }
        })
    }

    /// Puts the rest of a line into the handoff; `None` if its id is there already.
    fn push_once(
        &self,
        event: &Rewritten<'_>,
        now: crate::clock::Timestamp,
        rest: &mut Vec<u8>,
    ) -> Result<Option<u64>, RecordOnceError> {
        let inner = &*self.inner;
        // Held until the event is recorded, so that two callers with one id cannot both find it absent.
        let mut guard = inner.ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !event.is_id_given {
            let index = inner.push_rest(rest, now)?;
            if let Some(ids) = guard.as_mut() {
                ids.pass(Index::new(index));
            }
            return Ok(Some(index));
        }
        let key = Ids::key(event.tenant.as_deref(), event.id.as_str());
        let ids = guard.get_or_insert_with(Ids::default);
        self.catch_up(ids)?;
        if ids.has(key) {
            return Ok(None);
        }
        let index = inner.push_rest(rest, now)?;
        ids.insert(key, Index::new(index));
        Ok(Some(index))
    }
}

impl Inner {
    fn push_rest(&self, rest: &mut Vec<u8>, now: crate::clock::Timestamp) -> Result<u64, RecordError> {
        self.admit(1)?;
        self.push_line(rest, now, self.room_wait())
    }
}

pub(super) fn facts<'a>(event: &'a Rewritten<'_>, category: &'a Category) -> Facts<'a> {
    Facts {
        category: std::borrow::Cow::Borrowed(category),
        action: &event.action,
        tenant: event.tenant.as_deref(),
        actor: event.actor_id.as_deref(),
        severity: event.severity,
        outcome: event.outcome,
        correlation_id: event.correlation_id.as_deref(),
    }
}
