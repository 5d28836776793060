//! Cutting an event that is too large as a whole, until it fits.
//!
//! Texts go first: the largest are cut down to one level, as high as the room allows. Where many small
//! things fill the line, a list or object becomes a string of its JSON text's beginning; in a place that is
//! always an object (`details`, unknown fields) that string stands in it under `_cut`; `related` and
//! `actor.roles` keep their first elements. Each cut is listed. What must hold: it always ends, in time
//! linear in the event but for a small factor.

use super::{
    Category, Event, HASHED_END_BYTES, IDENTIFIER_BYTES_MAX, IP_BYTES_MAX, Object, RELATED_MAX, ROLES_MAX,
    Resource, TEXT_BYTES_MAX, Truncation, Value, derive_changes, each_text, is_identity, limit_fields,
    move_known_fields, with_hash,
};
use crate::event::out::Out;
use crate::event::out::piece;
use crate::event::parse::Path;
use crate::event::write::{WRITE_DEPTH_MAX, end_object, escaped_width, write_list, write_members};

/// The key under which the text of an object stands that had to stay one.
const CUT: &str = "_cut";
/// Texts below this many bytes are never cut for the line's sake.
const LEVEL_MIN: usize = 256;
/// A list or object keeps at least this many bytes of its text.
const KEEP_MIN: usize = 1_024;
/// Inside of a large container, one is cut alone if it is at least this large.
const CONTAINER_MIN: usize = 4_096;
/// The most texts cut in one round, so that the list of cuts fits.
const TEXTS_MAX: usize = 32;
/// About what one entry in the list of cuts takes, beside its path.
const ENTRY_BYTES: usize = 256;
const ROUNDS_MAX: usize = 40;
const TRUNCATED_MAX: usize = 48;

/// Brings an event within every limit. `measure` says how many bytes it takes with a list of cuts, of
/// which there may be `bytes_max`.
pub(crate) fn fit(
    event: &Event,
    bytes_max: usize,
    measure: impl Fn(&Event, &[Truncation]) -> usize,
) -> (Event, Vec<Truncation>) {
    let mut event = event.clone();
    let mut truncated = Vec::new();
    move_known_fields(&mut event);
    limit_fields(&mut event, &mut truncated);
    derive_changes(&mut event, &mut truncated);
    shorten_lists(&mut event, &mut truncated);
    for _ in 0..ROUNDS_MAX {
        let excess = measure(&event, &truncated).saturating_sub(bytes_max);
        if excess == 0 && truncated.len() <= TRUNCATED_MAX * 2 {
            return (event, truncated);
        }
        let done = cut_texts(&mut event, excess, false, &mut truncated)
            || cut_container(&mut event, excess, &mut truncated)
            || cut_texts(&mut event, excess, true, &mut truncated);
        if !done {
            break;
        }
    }
    strip(&mut event, &mut truncated);
    (event, truncated)
}

fn shorten_lists(event: &mut Event, truncated: &mut Vec<Truncation>) {
    if event.related.len() > RELATED_MAX {
        truncated.push(Truncation::of("related", &related_json(&event.related)));
        event.related.truncate(RELATED_MAX);
    }
    if let Some(actor) = event.actor.as_mut().filter(|actor| actor.roles.len() > ROLES_MAX) {
        truncated.push(Truncation::of("actor.roles", &Value::from(actor.roles.clone()).to_json()));
        actor.roles.truncate(ROLES_MAX);
    }
}

/// Cuts the largest texts to one level, so that all of `excess` goes. False if that cannot be, unless
/// `forced`: then as much as can go.
fn cut_texts(event: &mut Event, excess: usize, forced: bool, truncated: &mut Vec<Truncation>) -> bool {
    let mut widths = Vec::new();
    each_leaf(event, &mut |_, text| {
        if text.len() > LEVEL_MIN / 6 {
            widths.push(width(text));
        }
    });
    widths.sort_unstable_by(|a, b| b.cmp(a));
    let (count, level) = match level(&widths, excess) {
        Some(found) => found,
        None if forced && widths.first().is_some_and(|&largest| largest > LEVEL_MIN) => {
            (TEXTS_MAX, LEVEL_MIN)
        }
        None => return false,
    };
    let mut left = count;
    each_leaf(event, &mut |path, text| {
        if left > 0 && width(text) > level {
            left -= 1;
            cut_text(text, level, path.text(), truncated);
        }
    });
    true
}

/// How many of the largest texts to cut, and to what width. `widths` falls.
fn level(widths: &[usize], excess: usize) -> Option<(usize, usize)> {
    let mut sum = 0;
    for (place, width) in widths.iter().enumerate().take(TEXTS_MAX) {
        let count = place + 1;
        sum += width;
        let level = sum.saturating_sub(excess + count * ENTRY_BYTES) / count;
        let next = widths.get(count).copied().unwrap_or(0);
        if level >= LEVEL_MIN && level < *width && (level >= next || count == TEXTS_MAX) {
            return Some((count, level));
        }
    }
    None
}

fn width(text: &str) -> usize {
    text.chars().map(escaped_width).sum()
}

/// Cuts a text to as many characters as take `level` bytes in the line.
fn cut_text(text: &mut String, level: usize, path: String, truncated: &mut Vec<Truncation>) {
    if is_identity(&path) {
        let whole = std::mem::take(text);
        *text = with_hash(&whole, prefix_len(&whole, level.saturating_sub(HASHED_END_BYTES)));
        return note(truncated, path, whole.as_bytes());
    }
    note(truncated, path, text.as_bytes());
    text.truncate(prefix_len(text, level));
}

fn prefix_len(text: &str, level: usize) -> usize {
    let mut room = level;
    for (place, character) in text.char_indices() {
        let width = escaped_width(character);
        if width > room {
            return place;
        }
        room -= width;
    }
    text.len()
}

/// Lists a cut. A field that was cut before keeps what is said of its first, whole form.
fn note(truncated: &mut Vec<Truncation>, path: String, bytes: &[u8]) {
    if !truncated.iter().any(|known| known.path == path) {
        truncated.push(Truncation::of(path, bytes));
    }
}

/// Calls `visit` for every text that may be cut.
fn each_leaf(event: &mut Event, visit: &mut dyn FnMut(&Path<'_>, &mut String)) {
    let root = Path::ROOT;
    let mut named = |path: &str, _: usize, text: &mut String| {
        // It decides who may read, and is found by what was sent.
        if path != "tenant" {
            visit(&root.key(path), text);
        }
    };
    named("action", IDENTIFIER_BYTES_MAX, &mut event.action);
    if let Category::Custom(std::borrow::Cow::Owned(custom)) = &mut event.category {
        named("category", IDENTIFIER_BYTES_MAX, custom);
    }
    each_text!(event, as_mut, named);
    for (path, object) in objects(event) {
        let path = root.key(path);
        each_in_object(object, 1, if path.text().is_empty() { &root } else { &path }, visit);
    }
    for (path, value) in values(event) {
        each_in_value(value, 1, &root.key(path), visit);
    }
}

fn each_in_object(
    object: &mut Object,
    depth: usize,
    path: &Path<'_>,
    visit: &mut dyn FnMut(&Path<'_>, &mut String),
) {
    for (key, value) in &mut object.0 {
        each_in_value(value, depth + 1, &path.key(key), visit);
    }
}

fn each_in_value(
    value: &mut Value,
    depth: usize,
    path: &Path<'_>,
    visit: &mut dyn FnMut(&Path<'_>, &mut String),
) {
    match value {
        Value::String(text) => visit(path, text),
        Value::Array(elements) if depth <= WRITE_DEPTH_MAX => {
            for (place, element) in elements.iter_mut().enumerate() {
                each_in_value(element, depth + 1, &path.place(place), visit);
            }
        }
        Value::Object(object) if depth <= WRITE_DEPTH_MAX => each_in_object(object, depth, path, visit),
        _ => {}
    }
}

/// The places that are always an object, with their paths; unknown fields stand in their part itself.
fn objects(event: &mut Event) -> Vec<(&'static str, &mut Object)> {
    let mut all =
        vec![("details", &mut event.details), ("context", &mut event.context.extra), ("", &mut event.extra)];
    all.extend(event.actor.as_mut().map(|actor| ("actor", &mut actor.extra)));
    all.extend(event.on_behalf_of.as_mut().map(|other| ("on_behalf_of", &mut other.extra)));
    all.extend(event.resource.as_mut().map(|resource| ("resource", &mut resource.extra)));
    all
}

/// The places that hold any value, with their paths.
fn values(event: &mut Event) -> impl Iterator<Item = (&'static str, &mut Value)> {
    [
        ("before", &mut event.before),
        ("after", &mut event.after),
        ("changes", &mut event.changes),
        ("approval", &mut event.approval),
    ]
    .into_iter()
    .filter_map(|(path, value)| Some((path, value.as_mut()?)))
}

/// Cuts one container: the largest of the event's parts, or one inside it. False if there is none left
/// that is worth it.
fn cut_container(event: &mut Event, excess: usize, truncated: &mut Vec<Truncation>) -> bool {
    let related = related_json(&event.related).len();
    let roles = event.actor.as_ref().map_or(0, |actor| actor.roles.iter().map(|role| width(role) + 3).sum());
    let object = objects(event)
        .into_iter()
        .map(|(path, object)| (object_json(object).len(), path))
        .max()
        .unwrap_or_default();
    let value = values(event)
        .filter(|(_, value)| is_container(value))
        .map(|(path, value)| (value.to_json().len(), path))
        .max()
        .unwrap_or_default();
    let largest = related.max(roles).max(object.0).max(value.0);
    if largest <= KEEP_MIN + ENTRY_BYTES {
        return false;
    }
    let keep = |size: usize| size.saturating_sub(excess + ENTRY_BYTES).max(KEEP_MIN);
    if largest == value.0 {
        if let Some((path, value)) = values(event).find(|(path, _)| *path == value.1) {
            cut_value(value, excess, &Path::ROOT.key(path), 0, truncated);
        }
    } else if largest == object.0 {
        if let Some((path, object)) = objects(event).into_iter().find(|(path, _)| *path == object.1) {
            cut_object(object, excess, path, truncated);
        }
    } else if largest == related {
        note(truncated, "related".to_owned(), &related_json(&event.related));
        shorten_list(&mut event.related, keep(related), |resource| {
            related_json(std::slice::from_ref(resource)).len()
        });
    } else if let Some(actor) = &mut event.actor {
        note(truncated, "actor.roles".to_owned(), &Value::from(actor.roles.clone()).to_json());
        shorten_list(&mut actor.roles, keep(roles), |role| width(role) + 3);
    }
    true
}

fn shorten_list<T>(list: &mut Vec<T>, mut room: usize, size: impl Fn(&T) -> usize) {
    let fits = |element: &T| {
        let size = size(element);
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    };
    let kept = list.iter().map(fits).take_while(|&fits| fits).count();
    // One less at least, or a round would be for nothing.
    list.truncate(kept.min(list.len().saturating_sub(1)));
}

/// Cuts an object that must stay one: a container in it, or all of it to a text under `_cut`.
fn cut_object(object: &mut Object, excess: usize, path: &'static str, truncated: &mut Vec<Truncation>) {
    let text = object_json(object);
    let root = Path::ROOT;
    let at = root.key(path);
    let at = if path.is_empty() { &root } else { &at };
    if let Some((key, value)) = worth_cutting(object, excess, text.len()) {
        return cut_value(value, excess, &at.key(key), 1, truncated);
    }
    let name = match path {
        "details" => path.to_owned(),
        part => Path::text(&if part.is_empty() { Path::ROOT.key(CUT) } else { at.key(CUT) }),
    };
    note(truncated, name, &text);
    let cut = cut_json(text, excess);
    object.0 = vec![(CUT.to_owned(), Value::String(cut))];
}

/// The largest container in an object, if cutting it alone gets somewhere.
fn worth_cutting(object: &mut Object, excess: usize, total: usize) -> Option<(&str, &mut Value)> {
    let (size, key, value) = object
        .0
        .iter_mut()
        .filter(|(_, value)| is_container(value))
        .map(|(key, value)| (value.to_json().len(), key, value))
        .max_by_key(|(size, _, _)| *size)?;
    let enough = (excess + ENTRY_BYTES + KEEP_MIN).min((total / 8).max(CONTAINER_MIN));
    (size >= enough).then_some((key.as_str(), value))
}

fn cut_value(
    value: &mut Value,
    excess: usize,
    path: &Path<'_>,
    depth: usize,
    truncated: &mut Vec<Truncation>,
) {
    let text = value.to_json();
    if depth < 4
        && let Value::Object(object) = value
        && let Some((key, inner)) = worth_cutting(object, excess, text.len())
    {
        return cut_value(inner, excess, &path.key(key), depth + 1, truncated);
    }
    note(truncated, path.text(), &text);
    *value = Value::String(cut_json(text, excess));
}

/// The beginning of a JSON text, so short that as a string it saves `excess` bytes, if it can.
fn cut_json(text: Vec<u8>, excess: usize) -> String {
    let keep = text.len().saturating_sub(excess + ENTRY_BYTES * 2).max(KEEP_MIN);
    let mut text = String::from_utf8_lossy(&text).into_owned();
    text.truncate(prefix_len(&text, keep));
    text
}

/// Lists, objects, and numbers of absurd length, which a Rust caller can make.
fn is_container(value: &Value) -> bool {
    match value {
        Value::Array(_) | Value::Object(_) => true,
        Value::Number(super::Number::Text(text)) => text.len() > LEVEL_MIN,
        _ => false,
    }
}

fn object_json(object: &Object) -> Vec<u8> {
    if object.is_empty() {
        return Vec::new();
    }
    object.to_string().into_bytes()
}

fn related_json(related: &[Resource]) -> Vec<u8> {
    if related.is_empty() {
        return Vec::new();
    }
    Out::collect(|out| write_related(related, out))
}

fn write_related<'a>(related: &[Resource], out: Out<'a>) -> Out<'a> {
    write_list(related, out, |resource, out| {
        let start = out.mark();
        let texts = [
            (piece!(",\"type\":\""), &resource.kind),
            (piece!(",\"id\":\""), &resource.id),
            (piece!(",\"name\":\""), &resource.name),
        ];
        let out = texts.into_iter().fold(out, |out, (key, text)| match text {
            Some(text) => out.text(key, text.as_bytes(), piece!("\"")),
            None => out,
        });
        end_object(start, write_members(&resource.extra, out))
    })
}

/// The last resort, which no known event reaches: what identifies the event stays, all else goes.
fn strip(event: &mut Event, truncated: &mut Vec<Truncation>) {
    for (path, object) in objects(event) {
        if !object.is_empty() {
            note(
                truncated,
                if path.is_empty() { CUT.to_owned() } else { path.to_owned() },
                &object_json(object),
            );
            object.0.clear();
        }
    }
    for (path, value) in values(event) {
        note(truncated, path.to_owned(), &value.to_json());
    }
    (event.before, event.after, event.changes, event.approval) = (None, None, None, None);
    event.related.clear();
    event.invalid.clear();
    if let Some(actor) = &mut event.actor {
        actor.roles.clear();
    }
    let mut short = |path: &Path<'_>, text: &mut String| {
        if width(text) > LEVEL_MIN {
            cut_text(text, LEVEL_MIN, path.text(), truncated);
        }
    };
    each_leaf(event, &mut short);
    truncated.truncate(TRUNCATED_MAX);
}
