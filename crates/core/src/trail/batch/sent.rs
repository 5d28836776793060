//! One event of a request, prepared for the handoff.

use trailseal_event::complete::Stamp;
use trailseal_event::{BadLine, Event, Timestamp, Warnings, line};

use crate::trail::in_force::InForce;
use crate::trail::inner::Trail;
use crate::trail::ready::{OtherTenant, Ready, Sent};
use crate::trail::submitted::{Submitted, Submitter};

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
    pub(super) fn written(&self, submitted: &Submitted<'_>, by: &Submitter) -> Result<Event, Why> {
        let (event, _) = self.sent(submitted, by)?;
        Ok(line::masked(&self.inner.masker, &event).map_or(event, |(masked, _)| masked))
    }

    /// Prepares an event of a request, and appends the bytes to write to `bytes`.
    pub(super) fn make_ready<'p>(
        &self,
        submitted: &Submitted<'_>,
        by: &Submitter,
        policy: &'p InForce,
        now: Timestamp,
        bytes: &mut Vec<u8>,
    ) -> Result<(One<'p>, Warnings), Why> {
        let inner = &*self.inner;
        if submitted.id.is_none()
            && let Some(ready) = inner.ready_from_text(policy, submitted.json, by, now, bytes)
        {
            let (ready, key) = ready.map_err(|OtherTenant| Why::OtherTenant)?;
            return Ok((One { ready, key, end: bytes.len() }, Warnings::default()));
        }
        let (event, warnings) = self.sent(submitted, by)?;
        let masked = line::masked(&inner.masker, &event);
        let sent = Sent::masked(&event, masked.as_ref());
        let ready = Ready::decide(policy, sent, now);
        let stamp = Stamp { recorded_by: by.recorded_by.clone(), ..ready.stamp };
        let mut ready = Ready { stamp, ..ready };
        inner.write(&mut ready, sent, bytes).map_err(|error| Why::Bad(error.into()))?;
        Ok((One { ready, key: sent.own_id().map(|(key, _)| key), end: bytes.len() }, warnings))
    }

    /// The event that was sent, with its submitter's tenant and the request's id if it has none.
    fn sent(&self, submitted: &Submitted<'_>, by: &Submitter) -> Result<(Event, Warnings), Why> {
        let strict = by.strict || self.inner.strict;
        let (mut event, warnings) = self.read_sent(submitted.json, strict).map_err(Why::Bad)?;
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
}

/// Why one event stops its request.
pub(super) enum Why {
    Bad(BadLine),
    OtherTenant,
}
