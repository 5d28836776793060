//! One event of a request, prepared for the handoff.

use std::borrow::Cow;

use trailseal_event::complete::Stamp;
use trailseal_event::{Event, Timestamp, Warnings, line};

use crate::trail::error::RecordError;
use crate::trail::open_trail::Trail;
use crate::trail::policy::in_force::InForce;
use crate::trail::recording::any_event::{AnyEvent, Submitted, Submitter};
use crate::trail::recording::ready_event::{OtherTenant, Ready, Sent};

/// An event of a request.
pub(super) struct One<'p> {
    pub(super) ready: Ready<'p>,
    /// Of tenant and id, if the caller gave one.
    pub(super) key: Option<u128>,
    /// Where its rest ends, with its newline, among those of the request.
    pub(super) end: usize,
}

impl Trail {
    /// The event as it will be written: with its tenant and id, and masked.
    pub(super) fn written(&self, submitted: &Submitted<'_>, by: &Submitter) -> Result<Event, RecordError> {
        let (event, _) = self.sent(submitted, by)?;
        Ok(line::masked(&self.inner.masker, &event).map_or_else(|| event.into_owned(), |(masked, _)| masked))
    }

    /// Prepares an event of a request, and appends the bytes to write to `bytes`.
    pub(super) fn make_ready<'p>(
        &self,
        submitted: &Submitted<'_>,
        by: &Submitter,
        policy: &'p InForce,
        now: Timestamp,
        bytes: &mut Vec<u8>,
    ) -> Result<(One<'p>, Warnings), RecordError> {
        let inner = &*self.inner;
        if let (None, None, AnyEvent::Json(text)) = (&submitted.id, submitted.time, submitted.event)
            && submitted.masked.is_empty()
            && let Some(ready) = inner.ready_from_text(policy, text, by, now, bytes)
        {
            let (ready, key) = ready.map_err(|OtherTenant| RecordError::OtherTenant)?;
            return Ok((One { ready, key, end: bytes.len() }, Warnings::default()));
        }
        let (mut event, warnings) = self.sent(submitted, by)?;
        if let (None, Some(time)) = (event.time, submitted.time) {
            event.to_mut().time = Some(time);
        }
        let masked = with_earlier(line::masked(&inner.masker, &event), &event, &submitted.masked);
        let sent = Sent::masked(&event, masked.as_ref());
        let ready = Ready::decide(policy, sent, now);
        let stamp = Stamp { recorded_by: by.recorded_by.clone(), ..ready.stamp };
        let mut ready = Ready { stamp, ..ready };
        inner.write(&mut ready, sent, bytes)?;
        Ok((One { ready, key: sent.own_id().map(|(key, _)| key), end: bytes.len() }, warnings))
    }

    /// The event that was sent, with its submitter's tenant and the request's id if it has none.
    fn sent<'a>(
        &self,
        submitted: &Submitted<'a>,
        by: &Submitter,
    ) -> Result<(Cow<'a, Event>, Warnings), RecordError> {
        let strict = by.strict || self.inner.strict;
        let (mut event, warnings) = match submitted.event {
            AnyEvent::Event(event) => (Cow::Borrowed(event), Warnings::default()),
            AnyEvent::Json(text) => own(self.read_sent(text, strict)?),
            AnyEvent::Text(text) => own(self.read_sent(&text.to_json(), strict)?),
        };
        if let Some(own) = &by.tenant {
            match event.tenant.as_deref() {
                Some(tenant) if *tenant != **own => return Err(RecordError::OtherTenant),
                Some(_) => {}
                None => event.to_mut().tenant = Some(own.to_string()),
            }
        }
        if submitted.id.is_some() && event.id.as_deref().is_none_or(str::is_empty) {
            event.to_mut().id.clone_from(&submitted.id);
        }
        Ok((event, warnings))
    }
}

/// What was found to be masked, and what was masked before.
fn with_earlier(
    found: Option<(Event, Vec<String>)>,
    event: &Event,
    earlier: &[String],
) -> Option<(Event, Vec<String>)> {
    if earlier.is_empty() {
        return found;
    }
    let (written, found) = found.unwrap_or_else(|| (event.clone(), Vec::new()));
    let new = found.into_iter().filter(|path| !earlier.contains(path));
    Some((written, earlier.iter().cloned().chain(new).collect()))
}

fn own<'a>((event, warnings): (Event, Warnings)) -> (Cow<'a, Event>, Warnings) {
    (Cow::Owned(event), warnings)
}
