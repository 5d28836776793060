//! One event of a request, ready to be put into the handoff: read, decided upon, masked, and written as the rest of a line.

use trailseal_event::complete::{EventId, Stamp, complete};
use trailseal_event::policy::{Decision, Facts, Keep, Treatment};
use trailseal_event::{BadLine, Category, Event, Timestamp, Warnings, held_id, line, rewrite};

use super::{BatchError, Submitted, Submitter};
use crate::trail::Trail;
use crate::trail::flag::Flag;
use crate::trail::in_force::InForce;
use crate::trail::json::{SAMPLE_RATE_BYTES_MAX, facts};
use crate::trail::once::Ids;

/// An event that is ready to be put into the handoff.
pub(super) struct Ready {
    /// Where its rest ends, with its newline, among those of the request.
    pub(super) end: usize,
    pub(super) id: EventId,
    /// Of tenant and id, if the caller gave one.
    pub(super) key: Option<u128>,
    pub(super) keep: Keep,
    pub(super) is_masked: bool,
    pub(super) then: Treatment,
    /// The rule that decided.
    pub(super) rule: Option<usize>,
    /// What the rule asks for; its place is not known yet.
    pub(super) flag: Option<Box<Flag>>,
}

impl Trail {
    /// The event as it is to be written: with its tenant and id, and masked.
    pub(super) fn written(&self, submitted: &Submitted<'_>, by: &Submitter) -> Result<Event, Why> {
        let (event, _) = self.sent(submitted, by)?;
        Ok(line::masked(&self.inner.shared.masker, &event).map_or(event, |(masked, _)| masked))
    }

    pub(super) fn make_ready(
        &self,
        submitted: &Submitted<'_>,
        by: &Submitter,
        policy: &InForce,
        now: Timestamp,
        bytes: &mut Vec<u8>,
    ) -> Result<(Ready, Warnings), Why> {
        let start = bytes.len();
        if submitted.id.is_none()
            && let Some(ready) = self.make_ready_fast(submitted.json, by, policy, now, bytes)
        {
            return ready.map(|ready| (ready, Warnings::default()));
        }
        bytes.truncate(start);
        let (event, warnings) = self.sent(submitted, by)?;
        let decision = policy.decide(&Facts::of(&event));
        let masked = line::masked(&self.inner.shared.masker, &event);
        let (written, paths) = masked.unwrap_or((event, Vec::new()));
        let stamp = Stamp {
            sample_rate: decision.sample_rate,
            recorded_by: by.recorded_by.clone(),
            masked: paths,
            ..complete(&written, now)
        };
        line::write_rest(&written, &stamp, bytes).map_err(|error| Why::Bad(error.into()))?;
        bytes.push(b'\n');
        let is_masked = !stamp.masked.is_empty();
        let id = written.id.as_deref().filter(|id| !id.is_empty());
        let key = id.map(|id| Ids::key(written.tenant.as_deref(), &held_id(id)));
        let Decision { keep, then, rule, review, .. } = decision;
        let flag = review.map(|reason| Flag::new(reason, &stamp.id, written.tenant.as_deref()).into());
        let end = bytes.len();
        Ok((Ready { end, id: stamp.id, key, keep, is_masked, then: *then, rule, flag }, warnings))
    }

    /// For the ordinary event; `None` if it is not. That is said only before it is decided upon: a second decision
    /// could be another one.
    fn make_ready_fast(
        &self,
        json: &[u8],
        by: &Submitter,
        policy: &InForce,
        now: Timestamp,
        bytes: &mut Vec<u8>,
    ) -> Option<Result<Ready, Why>> {
        let masker = &self.inner.shared.masker;
        let start = bytes.len();
        let event = rewrite(json, now, |key| masker.key_matches(key), bytes)?;
        let is_minded = event.has_own_names && self.is_strict(by);
        if is_minded || masker.text_has(&bytes[start..]) {
            return None;
        }
        match (&by.tenant, event.tenant.as_deref()) {
            (Some(_), None) => return None,
            (Some(own), Some(tenant)) if **own != *tenant => return Some(Err(Why::OtherTenant)),
            _ => {}
        }
        let category = Category::parse(&event.category)?;
        let mut field = by.recorded_by.as_deref().map_or_else(Vec::new, line::recorded_by_field);
        if bytes.len() - start + field.len() + SAMPLE_RATE_BYTES_MAX > line::REST_BYTES_MAX {
            return None;
        }
        let Decision { keep, then, rule, sample_rate, review } = policy.decide(&facts(&event, &category));
        if let Some(rate) = sample_rate {
            field.extend(line::sample_rate_field(rate));
        }
        let at = start + event.trail_fields_at;
        bytes.splice(at..at, field);
        bytes.push(b'\n');
        let key = event.is_id_given.then(|| Ids::key(event.tenant.as_deref(), event.id.as_str()));
        let flag = review.map(|reason| Flag::new(reason, &event.id, event.tenant.as_deref()).into());
        Some(Ok(Ready {
            end: bytes.len(),
            id: event.id,
            key,
            keep,
            is_masked: false,
            then: *then,
            rule,
            flag,
        }))
    }

    /// The event that was sent, with its submitter's tenant and the request's id where it has none.
    fn sent(&self, submitted: &Submitted<'_>, by: &Submitter) -> Result<(Event, Warnings), Why> {
        let (mut event, warnings) = self.read_sent(submitted.json, self.is_strict(by)).map_err(Why::Bad)?;
        if let Some(own) = &by.tenant {
            match event.tenant.as_deref() {
                Some(tenant) if *tenant != **own => return Err(Why::OtherTenant),
                _ => event.tenant = Some(own.to_string()),
            }
        }
        if event.id.as_deref().is_none_or(str::is_empty) {
            event.id.clone_from(&submitted.id);
        }
        Ok((event, warnings))
    }

    fn is_strict(&self, by: &Submitter) -> bool {
        by.strict || self.inner.shared.options.strict
    }
}

/// Why one event stops its request.
pub(super) enum Why {
    Bad(BadLine),
    OtherTenant,
}

impl Why {
    pub(super) fn at(self, place: usize) -> BatchError {
        match self {
            Why::Bad(source) => BatchError::Bad { place, source },
            Why::OtherTenant => BatchError::OtherTenant { place },
        }
    }
}
