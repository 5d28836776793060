//! An event on its way into the handoff.
//!
//! However it comes in (from a builder, from JSON text, in a batch, once by its id, or flagged by a rule), it takes the
//! same steps: it is decided upon and stamped and, if it is kept, written with its secrets masked, and flagged if a
//! rule asks for that. [`Inner::push`] follows. JSON text of ordinary events takes the fast path through these steps,
//! with the same result.

use std::borrow::Cow;
use std::cell::Cell;

use trailseal_event::complete::{Stamp, complete};
use trailseal_event::line::{self, REST_BYTES_MAX};
use trailseal_event::personal::Personal;
use trailseal_event::policy::{self, Decision, Facts, Keep};
use trailseal_event::{Category, Event, NoAction, Rewritten, Timestamp, held_id};

use super::any_event::Submitter;
use super::ids::Ids;
use super::receipt::Status;
use super::record_options::How;
use super::review_flag::Flag;
use crate::personal::KeyPlace;
use crate::trail::open_trail::Inner;
use crate::trail::policy::in_force::InForce;

/// The maximum length of the field `sample_rate`.
const SAMPLE_RATE_BYTES_MAX: usize = 64;
/// A thread's line buffer larger than this is freed after use.
const LINE_BUFFER_KEPT: usize = 1 << 20;

thread_local! {
    static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls `work` with an empty buffer for a line. It may do so again inside.
pub(super) fn with_line<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    // A thread that is ending has none, and keeps none.
    let mut line = LINE.try_with(Cell::take).unwrap_or_default();
    line.clear();
    let done = work(&mut line);
    line.shrink_to(LINE_BUFFER_KEPT);
    let _ = LINE.try_with(|kept| kept.set(line));
    done
}

/// An event that is decided upon, and, if it is kept, written.
pub(super) struct Ready<'p> {
    /// Its id, its moment, and what was masked.
    pub(super) stamp: Stamp,
    /// What happens to it.
    pub(in crate::trail) decision: Decision<'p>,
    /// What a rule asks for; its place in a frame is not known yet.
    pub(super) flag: Option<Box<Flag>>,
    /// Which of its values are personal, if the policy says so of any.
    pub(in crate::trail) personal: Option<&'p Personal>,
}

/// An event as it was sent. The policy goes by that: masked ids are all alike, and one could then choose to be sampled
/// with the others.
#[derive(Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(in crate::trail) event: &'a Event,
    pub(in crate::trail) secrets: Secrets<'a>,
    /// Where the key of its likely subject is, if somebody asked.
    pub(super) key_place: Option<KeyPlace>,
    ends_kept: bool,
}

/// What is known of an event's secrets.
#[derive(Clone, Copy)]
pub(super) enum Secrets<'a> {
    /// Nobody has looked yet.
    Unknown,
    /// It has none.
    None,
    /// The event without them, and the paths that were masked.
    Masked(&'a (Event, Vec<String>)),
}

impl<'a> Sent<'a> {
    /// Nobody has looked for its secrets yet.
    pub(in crate::trail) fn new(event: &'a Event) -> Sent<'a> {
        Sent { event, secrets: Secrets::Unknown, key_place: None, ends_kept: false }
    }

    /// With what [`line::masked`] found.
    pub(in crate::trail) fn masked(event: &'a Event, masked: Option<&'a (Event, Vec<String>)>) -> Sent<'a> {
        Sent { secrets: masked.map_or(Secrets::None, Secrets::Masked), ..Sent::new(event) }
    }

    /// As the caller asks for it.
    #[inline]
    pub(super) fn asked(self, how: How) -> Sent<'a> {
        Sent { ends_kept: how.ends_kept, ..self }
    }

    /// With where the key of its likely subject is.
    #[inline]
    pub(super) fn expecting(self, key_place: Option<KeyPlace>) -> Sent<'a> {
        Sent { key_place, ..self }
    }

    /// As it is to be written, as far as that is known.
    pub(in crate::trail) fn written(&self) -> &'a Event {
        match self.secrets {
            Secrets::Masked((written, _)) => written,
            Secrets::Unknown | Secrets::None => self.event,
        }
    }

    /// Its id, as its line will have it, and by what that is looked up, if it has one of its own.
    pub(super) fn own_id(&self) -> Option<(u128, Cow<'a, str>)> {
        let written = self.written();
        let id = held_id(written.id.as_deref().filter(|id| !id.is_empty())?);
        Some((Ids::key(written.tenant.as_deref(), &id), id))
    }
}

impl<'p> Ready<'p> {
    /// Decides and stamps.
    #[inline]
    pub(in crate::trail) fn decide(policy: &'p InForce, sent: Sent<'_>, now: Timestamp) -> Ready<'p> {
        let facts = Facts { ends_kept: sent.ends_kept, ..Facts::of(sent.event) };
        let decision = policy.decide(&facts);
        let mut stamp = complete(sent.written(), now);
        stamp.sample_rate = decision.sample_rate;
        Ready { stamp, decision, flag: None, personal: policy.personal.as_ref() }
    }

    pub(in crate::trail) fn is_kept(&self) -> bool {
        self.decision.keep == Keep::Kept
    }

    pub(super) fn is_masked(&self) -> bool {
        !self.stamp.masked.is_empty()
    }

    /// What a rule asks for, if this is the only event of its frame.
    pub(in crate::trail) fn flags(&self) -> &[Flag] {
        self.flag.as_deref().map_or(&[], std::slice::from_ref)
    }

    #[inline(always)]
    fn ask(&mut self, tenant: Option<&str>) {
        self.flag = self.decision.review.map(|reason| Flag::new(reason, &self.stamp.id, tenant).into());
    }
}

impl Inner {
    /// Appends the rest of an event's line, with its newline, if the event is kept. On an error nothing was appended.
    #[inline]
    pub(super) fn write(
        &self,
        ready: &mut Ready<'_>,
        sent: Sent<'_>,
        bytes: &mut Vec<u8>,
    ) -> Result<(), NoAction> {
        if !ready.is_kept() {
            return Ok(());
        }
        let key_place = sent.key_place.or_else(|| self.expect_key(ready.personal, sent.event));
        let sent = sent.expecting(key_place);
        self.bring_key_near(key_place);
        let start = bytes.len();
        let whole = match sent.secrets {
            Secrets::Unknown => line::write_masked(&self.masker, sent.event, &mut ready.stamp, bytes)?,
            Secrets::None => line::write_rest(sent.event, &ready.stamp, bytes)?,
            Secrets::Masked((written, paths)) => {
                ready.stamp.masked.clone_from(paths);
                line::write_rest(written, &ready.stamp, bytes)?
            }
        };
        if let Some(personal) = ready.personal {
            self.seal(personal, sent, whole, &mut ready.stamp, (bytes, start))?;
        }
        bytes.push(b'\n');
        ready.ask(sent.written().tenant.as_deref());
        Ok(())
    }

    /// The same steps for the JSON text of an ordinary event, and by what its id is looked up. `None` if it is out of the
    /// ordinary. That is said only before it is decided upon: a second decision could be another one.
    #[inline(always)]
    pub(super) fn ready_from_text<'p>(
        &self,
        policy: &'p InForce,
        json: &[u8],
        by: &Submitter,
        now: Timestamp,
        bytes: &mut Vec<u8>,
    ) -> Option<Result<(Ready<'p>, Option<u128>), OtherTenant>> {
        let start = bytes.len();
        let event = line::rewrite_clean(&self.masker, json, now, bytes)?;
        self.ready_from_clean(policy, event, by, now, start, bytes)
    }

    /// Continues with an event of which the rest without anything to mask was written to `bytes`, from `start` on.
    #[inline(always)]
    pub(super) fn ready_from_clean<'p>(
        &self,
        policy: &'p InForce,
        event: Rewritten<'_>,
        by: &Submitter,
        now: Timestamp,
        start: usize,
        bytes: &mut Vec<u8>,
    ) -> Option<Result<(Ready<'p>, Option<u128>), OtherTenant>> {
        let Some((category, mut fields)) = self.what_is_added(&event, by, bytes.len() - start) else {
            bytes.truncate(start);
            return None;
        };
        if let (Some(own), Some(tenant)) = (&by.tenant, event.tenant.as_deref())
            && **own != *tenant
        {
            bytes.truncate(start);
            return Some(Err(OtherTenant));
        }
        let values = match &policy.personal {
            None => None,
            Some(personal) => match personal.find_in(&bytes[start..]) {
                Some(values) if values.len_max + fields.len() + SAMPLE_RATE_BYTES_MAX <= REST_BYTES_MAX => {
                    Some((personal, values))
                }
                // It must be cut.
                _ => {
                    bytes.truncate(start);
                    return None;
                }
            },
        };
        let decision = policy.decide(&facts(&event, &category));
        if decision.keep == Keep::Kept {
            if let Some(rate) = decision.sample_rate {
                fields.extend(line::sample_rate_field(rate));
            }
            let mut trail_fields_at = event.trail_fields_at;
            if let Some((personal, values)) = values {
                self.seal_found(personal, values, (bytes, start), &mut trail_fields_at);
            }
            if !fields.is_empty() {
                let at = start + trail_fields_at;
                bytes.splice(at..at, fields);
            }
            bytes.push(b'\n');
        } else {
            bytes.truncate(start);
        }
        let key = event.is_id_given.then(|| Ids::key(event.tenant.as_deref(), event.id.as_str()));
        let stamp = Stamp {
            now,
            id: event.id,
            system: false,
            recorded_by: None,
            masked: Vec::new(),
            sample_rate: decision.sample_rate,
        };
        let mut ready = Ready { stamp, decision, flag: None, personal: policy.personal.as_ref() };
        if ready.is_kept() {
            ready.ask(event.tenant.as_deref());
        }
        Some(Ok((ready, key)))
    }

    /// Whether nothing is to be said of an event, and there is room in its line, which has `len` bytes, for what the trail
    /// adds. Then its category, and the field `recorded_by`.
    #[inline(always)]
    fn what_is_added(
        &self,
        event: &Rewritten<'_>,
        by: &Submitter,
        len: usize,
    ) -> Option<(Category, Vec<u8>)> {
        // Here a strict reader is warned about unknown names, and about nothing else.
        let is_minded = event.has_own_names && (by.strict || self.strict);
        // An event without a tenant gets its submitter's.
        let lacks_tenant = by.tenant.is_some() && event.tenant.is_none();
        if is_minded || lacks_tenant {
            return None;
        }
        let category = Category::parse(&event.category)?;
        let recorded_by = by.recorded_by.as_deref().map_or_else(Vec::new, line::recorded_by_field);
        let has_room = len + recorded_by.len() + SAMPLE_RATE_BYTES_MAX <= REST_BYTES_MAX;
        has_room.then_some((category, recorded_by))
    }

    /// Counts an event that is not kept.
    pub(super) fn count_dropped(&self, keep: Keep) -> Option<Status> {
        match keep {
            Keep::Kept => None,
            Keep::SampledOut => {
                self.log.counters.sampled_out.add(1);
                Some(Status::SampledOut)
            }
            Keep::Off => {
                self.log.counters.off.add(1);
                Some(Status::Off)
            }
        }
    }
}

/// The event is of another tenant than its submitter.
pub(in crate::trail) struct OtherTenant;

fn facts<'a>(event: &'a Rewritten<'_>, category: &'a Category) -> Facts<'a> {
    Facts {
        category: Cow::Borrowed(category),
        action: &event.action,
        tenant: event.tenant.as_deref(),
        actor: event.actor_id.as_deref(),
        severity: event.severity,
        outcome: policy::outcome_of(event.outcome),
        correlation_id: event.correlation_id.as_deref().or(event.is_id_given.then(|| event.id.as_str())),
        ends_kept: false,
    }
}
