//! Making the trail's own events, and putting them into the handoff.

use trailseal_event::complete::{Stamp, complete};
use trailseal_event::{Category, Event, NoAction, Object, Outcome, Timestamp, line};

use super::frame::{Frame, put};
use crate::handoff::{self, Rests};
use crate::log_state::Log;
use crate::trail::error::RecordError;

/// An event of the trail itself, about what was done.
pub(in crate::trail) fn own_event(action: &'static str, details: Object) -> Event {
    let mut event = Event::new(action).category(Category::System).outcome(Outcome::Success);
    event.details = details;
    event
}

/// Records one of the trail's own events; these are also accepted while the gate is closed.
pub(in crate::trail) fn push_system(log: &Log, event: &Event) -> Result<u64, RecordError> {
    let now = log.clock.now();
    let rest = rest_of(event, now)?;
    push_rest(log, &rest, now)
}

/// Records one of the trail's own events of which the rest of the line is written, with its newline.
pub(super) fn push_rest(log: &Log, rest: &[u8], now: Timestamp) -> Result<u64, RecordError> {
    put(log, Frame { bytes: rest, ends: &[rest.len()], now }, log.room_wait)
}

/// Records the trail's last event, after which nothing comes, and closes the handoff: threads that were let in before
/// the gate was closed may still be on their way. Without room in time it closes without the event; then the next
/// opening says that the stop was not clean. Returns the number of events.
pub(in crate::trail) fn push_closing(log: &Log, event: &Event) -> u64 {
    let now = log.clock.now();
    let Ok(rest) = rest_of(event, now) else { return log.handoff.close() };
    let rests = Rests { bytes: &rest, ends: &[rest.len()], crc: handoff::checksum(&rest), now };
    log.handoff.close_with(&rests, log.room_wait, || log.wake_writer())
}

/// What the trail fills in of an event of its own.
pub(super) fn own_stamp(event: &Event, now: Timestamp) -> Stamp {
    Stamp { system: true, ..complete(event, now) }
}

fn rest_of(event: &Event, now: Timestamp) -> Result<Vec<u8>, NoAction> {
    let stamp = own_stamp(event, now);
    let mut rest = Vec::new();
    line::write_rest(event, &stamp, &mut rest)?;
    rest.push(b'\n');
    Ok(rest)
}
