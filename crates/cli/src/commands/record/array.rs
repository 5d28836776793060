//! Events in one JSON array, which is recorded whole or not at all, as over HTTP.

use std::io::{BufRead, Read};

use serde_json::value::RawValue;
use trailseal_core::Submitted;

use crate::commands::input::LINE_BYTES_MAX;
use crate::failure::{Failure, Outcome};

/// A longer array is not read into memory. Its events must fit into a quarter of the largest handoff.
pub(in crate::commands) const BYTES_MAX: usize = 64 << 20;
/// The handoff that a one-shot command makes for an array is at most this large.
const HANDOFF_BYTES_MAX: u64 = 256 << 20;
/// What the trail adds to an event, at the least: index, times, id.
const ADDED_BYTES: u64 = 256;

/// Whether an array begins with this line.
pub(in crate::commands) fn begins_in(line: &[u8]) -> bool {
    without_mark(line).trim_ascii_start().first() == Some(&b'[')
}

/// Whether the line is blank, perhaps behind a byte order mark: an array may still come.
pub(in crate::commands) fn is_blank(line: &[u8]) -> bool {
    without_mark(line).trim_ascii().is_empty()
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The whole of an array that begins with `begun`.
pub(in crate::commands) fn read_rest(mut begun: Vec<u8>, input: &mut dyn BufRead) -> Outcome<Vec<u8>> {
    let room = (BYTES_MAX + 1).saturating_sub(begun.len()) as u64;
    input
        .take(room)
        .read_to_end(&mut begun)
        .map_err(|error| Failure::could_not(format!("could not continue reading: {error}")))?;
    if begun.len() > BYTES_MAX {
        return Err(Failure::no(format!(
            "nothing was recorded: the array is longer than {} MiB; send one event a line, of which each is recorded on \
             its own",
            BYTES_MAX >> 20
        )));
    }
    Ok(begun)
}

/// The texts of the events in an array.
pub(in crate::commands) fn texts_of(array: &[u8]) -> Outcome<Vec<&[u8]>> {
    let array = without_mark(array);
    let refused = |what: String| Failure::no(format!("nothing was recorded: {what}"));
    let events: Vec<&RawValue> = serde_json::from_slice(array).map_err(|error| {
        refused(format!("the array is not JSON: line {}, column {}", error.line(), error.column()))
    })?;
    let texts: Vec<&[u8]> = events.into_iter().map(|event| event.get().as_bytes()).collect();
    match texts.iter().position(|text| text.len() > LINE_BYTES_MAX) {
        Some(place) => {
            Err(refused(format!("event {place} of the array is longer than {} MiB", LINE_BYTES_MAX >> 20)))
        }
        None => Ok(texts),
    }
}

/// How large a handoff takes all of them at once: a batch may have a quarter of it.
pub(super) fn handoff_bytes(texts: &[&[u8]]) -> u64 {
    let lines: u64 = texts.iter().map(|text| text.len() as u64 + ADDED_BYTES).sum();
    (4 * lines).min(HANDOFF_BYTES_MAX)
}

pub(super) fn submitted<'a>(texts: &[&'a [u8]]) -> Vec<Submitted<'a>> {
    texts.iter().map(|text| Submitted::json(text)).collect()
}
