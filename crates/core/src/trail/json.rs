//! Hands in JSON text: an ordinary event becomes its line without intermediate values.

use trailseal_event::{BadLine, Event, Warnings};

use super::inner::Trail;
use super::once::{HandedInOnce, RecordOnceError};
use super::ready::with_line;
use super::receipt::Ack;
use super::submitted::Submitter;

/// Why JSON text was not handed in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandInJsonError {
    /// The text is not a valid event.
    #[error(transparent)]
    BadLine(#[from] BadLine),
    /// The event was refused, or could not be looked up.
    #[error(transparent)]
    Once(#[from] RecordOnceError),
}

/// An event that was handed in as JSON text.
#[derive(Clone, Debug)]
pub struct HandedInJson {
    /// The outcome.
    pub done: HandedInOnce,
    /// Warnings for the author of the program that made the text.
    pub warnings: Warnings,
}

impl Trail {
    /// Hands in the event in this JSON text, unless its tenant already has one with its id. Like
    /// [`record_once`](Trail::record_once) with [`Event::from_json`], but several times as fast for an ordinary
    /// event, and without waiting for the level that the policy asks for: for callers that hand in many and wait once.
    ///
    /// # Errors
    /// When the text is not a valid event, or as for `record_once`, except for unconfirmed.
    pub fn hand_in_json_once(&self, text: &[u8], ack: Ack) -> Result<HandedInJson, HandInJsonError> {
        if let Some(done) = self.hand_in_ordinary(text, ack)? {
            return Ok(HandedInJson { done, warnings: Warnings::default() });
        }
        let (event, warnings) = self.read_sent(text, self.inner.strict)?;
        let done = self.hand_in_once(&event, ack)?;
        self.inner.count_warnings(warnings.count());
        Ok(HandedInJson { done, warnings })
    }

    /// Parses an event that was sent. Warnings never reveal a secret used as a field's name.
    pub(super) fn read_sent(&self, json: &[u8], strict: bool) -> Result<(Event, Warnings), BadLine> {
        let masker = &self.inner.masker;
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

    /// `None` if the event is out of the ordinary.
    fn hand_in_ordinary(&self, text: &[u8], ack: Ack) -> Result<Option<HandedInOnce>, HandInJsonError> {
        let inner = &*self.inner;
        if inner.is_forked() {
            // The slow path refuses it; here is a lock that nobody may ever release.
            return Ok(None);
        }
        inner.policy.with(|policy| {
            with_line(|line| {
                let (by, now) = (Submitter::default(), inner.log.clock.now());
                let Some(Ok((ready, key))) = inner.ready_from_text(policy, text, &by, now, line) else {
                    return Ok(None);
                };
                let own_id = key.map(|key| (key, ready.stamp.id.as_str()));
                let (mut ids, found) = self.look_up(own_id).map_err(RecordOnceError::from)?;
                if !inner.policy.is(policy) {
                    // The look-up took long, and another policy came into force: the slow path decides by that.
                    return Ok(None);
                }
                if let Some(index) = found {
                    drop(ids);
                    let (event, _) = self.read_sent(text, inner.strict)?;
                    return Ok(Some(self.repeat(&event, index, &ready, ack)?));
                }
                let handed_in = inner
                    .hand_over(policy, ready, Ok(()), line, ack, inner.room_wait)
                    .map_err(RecordOnceError::from)?;
                self.note(&mut ids, key, &handed_in, line);
                Ok(Some(HandedInOnce::New(handed_in)))
            })
        })
    }
}
