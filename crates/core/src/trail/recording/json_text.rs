//! Hands in JSON text: an ordinary event becomes its line without intermediate values.

use trailseal_event::{BadLine, Event, Warnings};

use super::any_event::Submitter;
use super::ready_event::with_line;
use super::receipt::HandedIn;
use super::record_options::How;
use crate::trail::error::RecordError;
use crate::trail::open_trail::Trail;

impl Trail {
    /// Hands in the event in this JSON text; if it is recorded once, unless its tenant already has one with its id.
    pub(super) fn hand_in_json(&self, text: &[u8], how: How, is_once: bool) -> Result<HandedIn, RecordError> {
        if let Some(done) = self.hand_in_ordinary(text, how, is_once)? {
            return Ok(done);
        }
        let (event, warnings) = self.read_sent(text, self.inner.strict)?;
        let mut handed_in =
            if is_once { self.hand_in_once(&event, how)? } else { self.inner.hand_in(&event, how)? };
        self.inner.count_warnings(warnings.count());
        handed_in.receipt = handed_in.receipt.with_warnings(warnings);
        Ok(handed_in)
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
    fn hand_in_ordinary(
        &self,
        text: &[u8],
        how: How,
        is_once: bool,
    ) -> Result<Option<HandedIn>, RecordError> {
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
                if !is_once {
                    return inner.hand_over(policy, ready, Ok(()), line, how).map(Some);
                }
                let own_id = key.map(|key| (key, ready.stamp.id.as_str()));
                let (mut ids, found) = self.look_up(own_id)?;
                if !inner.policy.is(policy) {
                    // The look-up took long, and another policy came into force: the slow path decides by that.
                    return Ok(None);
                }
                if let Some(index) = found {
                    drop(ids);
                    let (event, _) = self.read_sent(text, inner.strict)?;
                    return self.repeat(&event, index, &ready, how).map(Some);
                }
                let handed_in = inner.hand_over(policy, ready, Ok(()), line, how)?;
                self.note(&mut ids, key, &handed_in, line);
                Ok(Some(handed_in))
            })
        })
    }
}
