//! The line: an event as the one line of JSON that is hashed and stored.
//!
//! ```text
//! {"v":1,"index":42,"recorded":"2026-11-21T04:00:00.123456Z","id":"01…","time":…,…}
//! └──────────────────────── front ─────────────────────────┘└──────── rest ───────┘
//! ```
//!
//! The front has fixed positions, so that only it is written under the handoff's mutex; the rest was serialised before.
//! In lines that the trail itself makes, the rest begins with `"system":true,`, which no field of a caller can reach.
//! What must hold: a line is valid JSON, contains no newline, and is at most [`LINE_BYTES_MAX`] long, whatever index it
//! gets.

use crate::complete::Stamp;
use crate::event::{Event, NoAction, Out, fit, within_limits};
use crate::timestamp::{TIMESTAMP_BYTES, Timestamp};

mod fields;
mod front;
mod fronts;
mod json;
mod masked;
mod objects;
mod same;

pub use fields::{recorded_by_field, sample_rate_field};
pub use front::{FRONT_BYTES_MAX, Front, RunningFront, front_len, parse_front, write_front};
pub use fronts::Fronts;
pub use masked::{is_step, masked, masked_own, rewrite_clean, rewrite_clean_text, write_masked};
pub use objects::Objects;
pub use same::{Compared, same_content};

/// The maximum size of a line: the limit of an entry in C2SP tlog-tiles.
pub const LINE_BYTES_MAX: usize = 65_535;
/// The maximum size of a rest, so that any front fits before it.
pub const REST_BYTES_MAX: usize = LINE_BYTES_MAX - FRONT_BYTES_MAX;

/// The effective time of the event on a line, as
/// [`Recorded::effective_time`](crate::event::Recorded::effective_time) gives it; `None` if the line cannot be read.
pub fn effective_time(line: &[u8]) -> Option<Timestamp> {
    let front = parse_front(line)?;
    match line.get(front.rest_offset..).and_then(time_behind_id) {
        Some(time) => Some(time.min(front.recorded)),
        None => Event::from_line(line).ok().map(|recorded| recorded.effective_time()),
    }
}

/// The time where the trail writes it: directly after the id.
fn time_behind_id(rest: &[u8]) -> Option<Timestamp> {
    let rest = rest.strip_prefix(front::SYSTEM.as_bytes()).unwrap_or(rest);
    let mut rest = rest.strip_prefix(b"\"id\":\"")?;
    loop {
        let at = memchr::memchr2(b'"', b'\\', rest)?;
        let is_end = rest.get(at) == Some(&b'"');
        rest = rest.get(at + if is_end { 1 } else { 2 }..)?;
        if is_end {
            break;
        }
    }
    let (text, _) = rest.strip_prefix(b",\"time\":\"")?.split_first_chunk::<TIMESTAMP_BYTES>()?;
    Timestamp::parse(std::str::from_utf8(text).ok()?)
}

/// Appends the rest of an event's line: everything after the front, including the closing brace.
///
/// Fields over their limits are cut and listed in `truncated`; a rest of over [`REST_BYTES_MAX`] bytes is cut field by
/// field, largest first, until it fits. Where nothing was cut, the result is where its objects are.
///
/// ```
/// use trailseal_event::{Event, Timestamp, line};
/// use trailseal_event::complete::complete;
///
/// let event = Event::new("user.login").id("7").actor("u1");
/// let now = Timestamp::from_micros(0);
/// let mut bytes = Vec::new();
/// line::write_front(0, &now.to_text(), &mut bytes);
/// line::write_rest(&event, &complete(&event, now), &mut bytes).unwrap();
/// assert_eq!(
///     String::from_utf8(bytes).unwrap(),
///     concat!(
///         r#"{"v":1,"index":0,"recorded":"1970-01-01T00:00:00.000000Z","id":"7","#,
///         r#""time":"1970-01-01T00:00:00.000000Z","category":"custom:other","action":"user.login","#,
///         r#""severity":"info","actor":{"id":"u1"}}"#,
///     ),
/// );
/// ```
///
/// # Errors
/// [`NoAction`] if the action is empty; then nothing was appended.
pub fn write_rest(event: &Event, stamp: &Stamp, out: &mut Vec<u8>) -> Result<Option<Objects>, NoAction> {
    let objects = write_whole(event, stamp, out)?;
    if objects.is_none() {
        write_fitted(event, stamp, out, <[u8]>::len);
    }
    Ok(objects)
}

/// Like [`write_rest`], but only if nothing has to be cut; otherwise appends nothing.
pub(crate) fn write_whole(
    event: &Event,
    stamp: &Stamp,
    out: &mut Vec<u8>,
) -> Result<Option<Objects>, NoAction> {
    if event.action.is_empty() {
        return Err(NoAction::Empty);
    }
    if !within_limits(event) || stamp.masked.len() > 16 {
        return Ok(None);
    }
    let start = out.len();
    let complete = Out::append(out, |out| fields::write(event, stamp, &[], out));
    let whole = complete.filter(|_| out.len() - start <= REST_BYTES_MAX);
    if whole.is_none() {
        out.truncate(start);
    }
    Ok(whole)
}

/// Like [`write_rest`], but as short as `measure` wants it: what that says of a rest may be at most [`REST_BYTES_MAX`].
pub(crate) fn write_rest_measured(
    event: &Event,
    stamp: &Stamp,
    out: &mut Vec<u8>,
    measure: impl Fn(&[u8]) -> usize,
) -> Result<(), NoAction> {
    if event.action.is_empty() {
        return Err(NoAction::Empty);
    }
    write_fitted(event, stamp, out, measure);
    Ok(())
}

/// How many bytes at the beginning of a rest were made here and can contain no secret: the id and the time.
pub(crate) fn own_bytes(stamp: &Stamp) -> usize {
    const TIME: usize = ",\"time\":\"\"".len() + TIMESTAMP_BYTES;
    match stamp.id.made() {
        Some(id) if !stamp.system => "\"id\":\"\"".len() + id.len() + TIME,
        _ => 0,
    }
}

/// The path for an event that is over some limit.
#[cold]
fn write_fitted(event: &Event, stamp: &Stamp, out: &mut Vec<u8>, measure: impl Fn(&[u8]) -> usize) {
    let start = out.len();
    let mut stamp = stamp.clone();
    crate::event::shorten_paths(&mut stamp.masked);
    let (event, truncated) = fit(event, REST_BYTES_MAX, |event, truncated| {
        measure(&Out::collect(|out| fields::write(event, &stamp, truncated, out).0))
    });
    Out::append(out, |out| fields::write(&event, &stamp, &truncated, out));
    debug_assert!(out.len() - start <= REST_BYTES_MAX);
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
