//! Events that a rule of the policy puts up for review.
//!
//! Before such an event, in the same frame of the handoff, goes `trail.review_requested`, one of the trail's own
//! events: it names the event by its id, and by how many lines `ahead` it is, since no index is known before the lock.
//! What must hold: no crash leaves the event without its flag. Both are in one frame, and of lines that no sync covered
//! yet a power loss keeps the first ones.

use std::time::Duration;

use trailseal_event::complete::{EventId, Stamp, complete};
use trailseal_event::mask::Masker;
use trailseal_event::{Object, Timestamp, line};

use super::frame::{Frame, put};
use super::record_own_event::own_event;
use crate::log_state::Log;
use crate::trail::error::RecordError;

/// The requester of a review that a rule requests.
const POLICY: &str = "policy";

/// What a rule requests, for one event of a frame.
#[derive(Clone, Debug)]
pub(super) struct Flag {
    /// How many events of the frame come before it.
    pub(in crate::trail) place: u64,
    pub(in crate::trail) event: EventId,
    pub(in crate::trail) tenant: Option<String>,
    pub(in crate::trail) reason: String,
}

impl Flag {
    /// For the first event of a frame.
    pub(in crate::trail) fn new(reason: &str, event: &EventId, tenant: Option<&str>) -> Flag {
        let (event, tenant) = (event.clone(), tenant.map(str::to_owned));
        Flag { place: 0, event, tenant, reason: reason.to_owned() }
    }
}

/// Puts events into the handoff as one frame, preceded by their flags. Returns the first event's index.
#[cold]
pub(super) fn put_flagged(
    log: &Log,
    masker: &Masker,
    flags: &[Flag],
    events: Frame<'_>,
    room_wait: Duration,
) -> Result<u64, RecordError> {
    let asked = flags.len() as u64;
    let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(flags.len() + events.ends.len()));
    for (nth, flag) in (0..).zip(flags) {
        write_flag(log, masker, flag, asked - nth + flag.place, events.now, &mut bytes)?;
        ends.push(bytes.len());
    }
    let before = bytes.len();
    bytes.extend_from_slice(events.bytes);
    ends.extend(events.ends.iter().map(|end| before + end));
    let all = Frame { bytes: &bytes, ends: &ends, now: events.now };
    Ok(put(log, all, room_wait)? + asked)
}

fn write_flag(
    log: &Log,
    masker: &Masker,
    flag: &Flag,
    ahead: u64,
    now: Timestamp,
    bytes: &mut Vec<u8>,
) -> Result<(), RecordError> {
    let mut details = Object::default();
    details.insert("review", EventId::new(now).as_str());
    details.insert("event", flag.event.as_str());
    details.insert("origin", log.origin.as_str());
    details.insert("ahead", ahead);
    details.insert("reason", flag.reason.as_str());
    let mut event = own_event("trail.review_requested", details).actor(POLICY).actor_kind(POLICY);
    event.tenant = flag.tenant.clone();
    let (event, masked) = line::masked_own(masker, &event).unwrap_or((event, Vec::new()));
    let stamp = Stamp { system: true, masked, ..complete(&event, now) };
    line::write_rest(&event, &stamp, bytes)?;
    bytes.push(b'\n');
    Ok(())
}
