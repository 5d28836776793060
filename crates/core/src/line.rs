//! The line: an event as the one line of JSON that is hashed and stored.
//!
//! ```text
//! {"v":1,"index":42,"recorded":"2026-11-21T04:00:00.123456Z","id":"01…","time":…,…}
//! └──────────────────────── front ─────────────────────────┘└──────── rest ───────┘
//! ```
//! The front has fixed places, so that it alone is written under the handoff's mutex; the rest was
//! serialised before. In lines that the trail itself makes the rest begins with `"system":true,`, which no
//! field of a caller can reach. What must hold: a line is valid JSON, has no newline in it, and is at most
//! [`LINE_BYTES_MAX`] long, whatever index it gets.

use crate::clock::{TIMESTAMP_BYTES, Timestamp};
use crate::complete::Stamp;
use crate::event::{Event, NoAction, Out, fit, within_limits};

mod fields;
mod front;
mod fronts;

pub(crate) use fields::{write_sample_rate, write_sent};
pub(crate) use front::RunningFront;
pub(crate) use fronts::Fronts;

/// The most bytes a line may have: the limit of an entry in C2SP tlog-tiles.
pub const LINE_BYTES_MAX: usize = 65_535;
/// The most bytes a front can have: with an index of 20 digits.
pub const FRONT_BYTES_MAX: usize =
    BEFORE_INDEX.len() + 20 + BEFORE_TIME.len() + TIMESTAMP_BYTES + AFTER_TIME.len();
/// The most bytes a rest may have, so that any front fits before it.
pub const REST_BYTES_MAX: usize = LINE_BYTES_MAX - FRONT_BYTES_MAX;

const BEFORE_INDEX: &[u8] = b"{\"v\":1,\"index\":";
const BEFORE_TIME: &[u8] = b",\"recorded\":\"";
const AFTER_TIME: &[u8] = b"\",";
const SYSTEM: &str = "\"system\":true,";

/// What stands at the beginning of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Front {
    /// The event's position in its trail.
    pub index: u64,
    /// When the trail recorded it, by the trail's own clock.
    pub recorded: Timestamp,
    /// Whether the trail itself made it.
    pub system: bool,
    /// Where the rest begins.
    pub rest_offset: usize,
}

/// How many bytes the front of the event at `index` has.
pub fn front_len(index: u64) -> usize {
    let digits = index.checked_ilog10().map_or(1, |power| power as usize + 1);
    FRONT_BYTES_MAX - 20 + digits
}

/// Appends a front. `recorded` is [`Timestamp::to_text`].
pub fn write_front(index: u64, recorded: &[u8; TIMESTAMP_BYTES], out: &mut Vec<u8>) {
    let mut front = [0; FRONT_BYTES_MAX];
    let len = put_front(index, recorded, &mut front);
    out.extend_from_slice(&front[..len]);
}

/// Writes a front at the beginning of `out` and returns its length, which is [`front_len`].
fn put_front(index: u64, recorded: &[u8; TIMESTAMP_BYTES], out: &mut [u8; FRONT_BYTES_MAX]) -> usize {
    let number = index.to_string();
    let mut at = 0;
    for part in [BEFORE_INDEX, number.as_bytes(), BEFORE_TIME, recorded, AFTER_TIME] {
        out[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    at
}

/// Reads the front of a line, strictly: every byte at its place, no leading zeros. Says nothing about the
/// rest, except whether it begins with the mark of the trail's own events.
pub fn parse_front(line: &[u8]) -> Option<Front> {
    let after = line.strip_prefix(BEFORE_INDEX)?;
    let digits = after.iter().take(21).take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || (after[0] == b'0' && digits > 1) {
        return None;
    }
    let index = after[..digits]
        .iter()
        .try_fold(0_u64, |index, &digit| index.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
    let (recorded, after) =
        after[digits..].strip_prefix(BEFORE_TIME)?.split_first_chunk::<TIMESTAMP_BYTES>()?;
    let time = Timestamp::parse(std::str::from_utf8(recorded).ok()?)?;
    let rest = after.strip_prefix(AFTER_TIME)?;
    // Only the form that is written: `T`, `Z`, six digits.
    if time.to_text() != *recorded {
        return None;
    }
    let rest_offset = line.len() - rest.len();
    Some(Front { index, recorded: time, system: rest.starts_with(SYSTEM.as_bytes()), rest_offset })
}

/// The effective time of the event on a line, as
/// [`Recorded::effective_time`](crate::event::Recorded::effective_time) gives it; `None` if the line cannot be read.
pub fn effective_time(line: &[u8]) -> Option<Timestamp> {
    let front = parse_front(line)?;
    match line.get(front.rest_offset..).and_then(time_behind_id) {
        Some(time) => Some(time.min(front.recorded)),
        None => Event::from_line(line).ok().map(|recorded| recorded.effective_time()),
    }
}

/// The time where the trail writes it: straight behind the id.
fn time_behind_id(rest: &[u8]) -> Option<Timestamp> {
    let rest = rest.strip_prefix(SYSTEM.as_bytes()).unwrap_or(rest);
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

/// Appends the rest of an event's line: everything after the front, up to and with the closing brace.
///
/// Fields over their limits are cut and listed in `truncated`; a rest of over [`REST_BYTES_MAX`] bytes is
/// cut field by field, largest first, until it fits.
///
/// ```
/// use trailseal_core::{clock::Timestamp, complete::complete, event::Event, line};
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
pub fn write_rest(event: &Event, stamp: &Stamp, out: &mut Vec<u8>) -> Result<(), NoAction> {
    if !write_whole(event, stamp, out)? {
        write_fitted(event, stamp, out);
    }
    Ok(())
}

/// As [`write_rest`], but only if nothing has to be cut; else false, and nothing was appended.
pub(crate) fn write_whole(event: &Event, stamp: &Stamp, out: &mut Vec<u8>) -> Result<bool, NoAction> {
    if event.action.is_empty() {
        return Err(NoAction::Empty);
    }
    if !within_limits(event) || stamp.masked.len() > 16 {
        return Ok(false);
    }
    let start = out.len();
    let complete = Out::append(out, |out| fields::write(event, stamp, &[], out));
    let is_whole = complete && out.len() - start <= REST_BYTES_MAX;
    if !is_whole {
        out.truncate(start);
    }
    Ok(is_whole)
}

/// How many bytes at the beginning of a rest were made here and can hold no secret: the id and the time.
pub(crate) fn own_bytes(stamp: &Stamp) -> usize {
    const TIME: usize = ",\"time\":\"\"".len() + TIMESTAMP_BYTES;
    match stamp.id.made() {
        Some(id) if !stamp.system => "\"id\":\"\"".len() + id.len() + TIME,
        _ => 0,
    }
}

/// The way of an event that is over some limit.
#[cold]
fn write_fitted(event: &Event, stamp: &Stamp, out: &mut Vec<u8>) {
    let start = out.len();
    let mut stamp = stamp.clone();
    crate::event::shorten_paths(&mut stamp.masked);
    let (event, truncated) = fit(event, REST_BYTES_MAX, |event, truncated| {
        Out::collect(|out| fields::write(event, &stamp, truncated, out).0).len()
    });
    Out::append(out, |out| fields::write(&event, &stamp, &truncated, out));
    debug_assert!(out.len() - start <= REST_BYTES_MAX);
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
