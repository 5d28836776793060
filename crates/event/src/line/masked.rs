//! Masking on the way into the line: two checks per event, and the slow path for events that fail one.
//!
//! *masked first*: nothing unmasked reaches the handoff. An event that must be cut is masked first: a cut is listed
//! with the hash of the original.

use crate::complete::{Stamp, complete};
use crate::event::{Event, NoAction};
use crate::line::{self, Objects};
use crate::mask::Masker;
use crate::rewrite::{Ends, Rewritten, rewrite, rewrite_text};
use crate::timestamp::Timestamp;

/// Appends the rest of the event's line with every secret masked, and lists in `stamp` what was. Where this is the event as it
/// is, whole, the result is where its objects are.
pub fn write_masked(
    masker: &Masker,
    event: &Event,
    stamp: &mut Stamp,
    rest: &mut Vec<u8>,
) -> Result<Option<Objects>, NoAction> {
    if !masker.is_enabled() {
        return line::write_rest(event, stamp, rest);
    }
    let start = rest.len();
    if !masker.has_key(event)
        && let Some(objects) = line::write_whole(event, stamp, rest)?
    {
        if !masker.text_has(&rest[start + line::own_bytes(stamp)..]) {
            return Ok(Some(objects));
        }
        rest.truncate(start);
    }
    write_slowly(masker, event, stamp, rest)?;
    Ok(None)
}

/// Appends the rest of the line of an ordinary event in which nothing is to be masked, given as JSON text. `None` for any other
/// event; then nothing was appended. See [`rewrite`].
pub fn rewrite_clean<'a>(
    masker: &Masker,
    text: &'a [u8],
    now: Timestamp,
    rest: &mut Vec<u8>,
) -> Option<Rewritten<'a>> {
    let start = rest.len();
    let event = rewrite(text, now, |key, value| by_key(masker, key, value), rest);
    if event.is_some() && masker.text_has(&rest[start..]) {
        rest.truncate(start);
        return None;
    }
    event
}

/// The same for the text of an [`EventText`](crate::EventText); see [`rewrite_text`].
pub fn rewrite_clean_text<'a>(
    masker: &Masker,
    (text, ends): (&'a [u8], &Ends),
    now: Timestamp,
    rest: &mut Vec<u8>,
) -> Option<Rewritten<'a>> {
    let start = rest.len();
    let event = rewrite_text(text, ends, now, |key, value| by_key(masker, key, value), rest);
    if event.is_some() && masker.text_has(&rest[start..]) {
        rest.truncate(start);
        return None;
    }
    event
}

/// Whether a key names a secret, and, if it is a member's, the value there must be masked.
#[inline(always)]
fn by_key(masker: &Masker, key: &str, value: Option<&[u8]>) -> bool {
    match value {
        Some(value) => masker.masks_member(key, value),
        None => masker.key_matches(key),
    }
}

#[cold]
fn write_slowly(
    masker: &Masker,
    event: &Event,
    stamp: &mut Stamp,
    rest: &mut Vec<u8>,
) -> Result<(), NoAction> {
    let mut masked = event.clone();
    stamp.masked = masker.mask(&mut masked);
    if masked.id != event.id {
        stamp.id = complete(&masked, stamp.now).id;
    }
    line::write_rest(&masked, stamp, rest).map(|_| ())
}

/// What follows steps of a review and changes of the policy. The trail makes these texts itself, or has them from
/// masked lines.
const STEP_DETAILS: [&str; 7] = ["review", "change", "event", "origin", "index", "ahead", "decision"];

/// Like [`masked`], for one of the trail's own events. A step of a review still says who did what: if all actors looked
/// alike, nobody could be distinguished from a second person. The actor is the name of a token, which is also unmasked
/// in `recorded_by`.
pub fn masked_own(masker: &Masker, event: &Event) -> Option<(Event, Vec<String>)> {
    let (mut written, mut paths) = masked(masker, event)?;
    if is_step(event) {
        written.actor.clone_from(&event.actor);
        for name in STEP_DETAILS {
            if let Some(value) = event.details.get(name) {
                written.details.insert(name, value.clone());
            }
        }
        paths.retain(|path| match path.split_once('.') {
            Some(("details", name)) => !STEP_DETAILS.contains(&name),
            Some((part, _)) => part != "actor",
            None => path != "actor",
        });
    }
    Some((written, paths))
}

/// Whether one of the trail's own events is a step of a review: by its actor and some of its details steps are told apart.
pub fn is_step(event: &Event) -> bool {
    event.action.starts_with("trail.review_") || event.action.starts_with("trail.policy_")
}

/// The event with every secret masked, and the paths of what was; `None` if nothing needs masking.
pub fn masked(masker: &Masker, event: &Event) -> Option<(Event, Vec<String>)> {
    if !masker.is_enabled() {
        return None;
    }
    let is_suspect = masker.has_key(event) || {
        let mut text = Vec::new();
        let stamp = complete(event, Timestamp::default());
        // Without an action it is refused in a moment.
        let is_cut = line::write_whole(event, &stamp, &mut text).is_ok_and(|whole| whole.is_none());
        is_cut || masker.text_has(&text)
    };
    if !is_suspect {
        return None;
    }
    let mut masked = event.clone();
    let paths = masker.mask(&mut masked);
    Some((masked, paths))
}
