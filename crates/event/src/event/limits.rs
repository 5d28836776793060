//! How large an event may be, field by field and as a whole.
//!
//! | what | bytes |
//! | --- | --- |
//! | action, custom category; types of actor and resource; roles; the rest of the context | 1,024 |
//! | tenant; ids of actor, `on_behalf_of`, resource, related; ids of the context | 1,024; see below |
//! | `context.ip` | 128 |
//! | `context.user_agent` | 1,024 |
//! | `description`, `error`, names, `email`, `on_behalf_of.reason` | 8,192 |
//! | `id` | 128; a longer one is replaced by `sha256:` and its hash, or two would become one |
//!
//! A tenant or id that is too long keeps its beginning, followed by `…sha256:` and the hash of the whole: two with the
//! same beginning stay distinct. Other text over its limit is cut between two characters; each cut is listed in
//! `truncated` with the length and the SHA-256 of the original. [`cut`] describes what happens to an event that is too
//! large as a whole.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::changes::{write_changes, write_changes_up_to};
use super::names::{
    ACTOR_FIELDS, CONTEXT_FIELDS, FIELDS, INVALID, ON_BEHALF_OF_FIELDS, RESERVED, RESOURCE_FIELDS,
};
use super::out::Out;
use super::parse::{self, AND_MORE, NUMBER_BYTES_MAX, STORED_DEPTH_MAX};
use super::value::without_doubles;
use super::write::hex;
use super::{Category, Event, Number, Object, Resource, Value};

mod cut;

pub(crate) use cut::fit;

/// The maximum size of an event's own id.
pub(crate) const ID_BYTES_MAX: usize = 128;
/// The maximum size of an identifier, such as an action, a tenant, an actor's id.
pub(crate) const IDENTIFIER_BYTES_MAX: usize = 1_024;
/// The maximum size of a network address.
pub(crate) const IP_BYTES_MAX: usize = 128;
/// The maximum size of text for people, such as a description, a name, an error.
pub const TEXT_BYTES_MAX: usize = 8_192;
/// The maximum number of roles of an actor.
pub(crate) const ROLES_MAX: usize = 256;
/// The maximum number of related resources.
pub const RELATED_MAX: usize = 100;
/// Lists of paths up to this many, and this long, need no closer check.
const PATHS_MAX: usize = 16;
/// The maximum size of a list of paths.
const PATHS_BYTES_MAX: usize = 4_096;

/// One cut: something longer than the line may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// The field: keys and positions joined by dots.
    pub path: String,
    /// How many bytes it had; of a list or object, its JSON text.
    pub length: u64,
    /// The SHA-256 of those bytes, in lower-case hexadecimal.
    pub sha256: String,
}

impl Truncation {
    fn of(path: impl Into<String>, bytes: &[u8]) -> Self {
        Truncation { path: path.into(), length: bytes.len() as u64, sha256: hex(&Sha256::digest(bytes)) }
    }

    /// Parses one as it appears in a line.
    pub(crate) fn from_value(value: &Value) -> Option<Self> {
        let text = |key| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let length = value.get("length").and_then(Value::as_u64)?;
        Some(Truncation { path: text("path")?, length, sha256: text("sha256")? })
    }
}

/// The id as kept: unchanged, or its hash if it is too long.
pub fn held_id(id: &str) -> Cow<'_, str> {
    if id.len() <= ID_BYTES_MAX {
        Cow::Borrowed(id)
    } else {
        Cow::Owned(format!("sha256:{}", hex(&Sha256::digest(id.as_bytes()))))
    }
}

/// The text between the beginning of an identifier that was too long and the hash of the whole.
const HASH_MARK: &str = "…sha256:";
/// Bytes of the mark and the hash.
const HASHED_END_BYTES: usize = HASH_MARK.len() + 64;

/// A tenant or part's id as kept: unchanged, or its beginning and hash if it is too long.
pub fn held_identifier(text: &str) -> Cow<'_, str> {
    match text.len() <= IDENTIFIER_BYTES_MAX {
        true => Cow::Borrowed(text),
        false => {
            Cow::Owned(with_hash(text, text.floor_char_boundary(IDENTIFIER_BYTES_MAX - HASHED_END_BYTES)))
        }
    }
}

/// The first `len` bytes, and the hash of the whole.
fn with_hash(text: &str, len: usize) -> String {
    format!("{}{HASH_MARK}{}", &text[..len], hex(&Sha256::digest(text.as_bytes())))
}

/// Fields that identify somebody or decide who may read; those of `related` are handled separately.
const IDENTITIES: [&str; 9] = [
    "tenant",
    "actor.id",
    "on_behalf_of.id",
    "resource.id",
    "context.request_id",
    "context.correlation_id",
    "context.session_id",
    "context.trace_id",
    "context.span_id",
];

/// Whether the field at this path is cut so that different values stay different.
fn is_identity(path: &str) -> bool {
    let is_related = path.starts_with("related.") && path.ends_with(".id");
    (is_related || IDENTITIES.contains(&path)) && !cfg!(trailseal_fault = "identity_cut")
}

/// Calls `$visit(path, max bytes, text)` for each text with its own name, except those in lists. `$as` is `as_ref` or
/// `as_mut`.
macro_rules! each_text {
    ($event:ident, $as:ident, $visit:ident) => {
        each_text!(@ $event, $as, $visit,
            tenant "tenant" IDENTIFIER_BYTES_MAX, description "description" TEXT_BYTES_MAX,
            error "error" TEXT_BYTES_MAX);
        if let Some(actor) = $event.actor.$as() {
            each_text!(@ actor, $as, $visit,
                id "actor.id" IDENTIFIER_BYTES_MAX, kind "actor.type" IDENTIFIER_BYTES_MAX,
                name "actor.name" TEXT_BYTES_MAX, email "actor.email" TEXT_BYTES_MAX);
        }
        if let Some(other) = $event.on_behalf_of.$as() {
            each_text!(@ other, $as, $visit,
                id "on_behalf_of.id" IDENTIFIER_BYTES_MAX, reason "on_behalf_of.reason" TEXT_BYTES_MAX);
        }
        if let Some(resource) = $event.resource.$as() {
            each_text!(@ resource, $as, $visit,
                kind "resource.type" IDENTIFIER_BYTES_MAX, id "resource.id" IDENTIFIER_BYTES_MAX,
                name "resource.name" TEXT_BYTES_MAX);
        }
        each_text!(@ $event.context, $as, $visit,
            ip "context.ip" IP_BYTES_MAX, user_agent "context.user_agent" IDENTIFIER_BYTES_MAX,
            request_id "context.request_id" IDENTIFIER_BYTES_MAX,
            correlation_id "context.correlation_id" IDENTIFIER_BYTES_MAX,
            session_id "context.session_id" IDENTIFIER_BYTES_MAX,
            trace_id "context.trace_id" IDENTIFIER_BYTES_MAX, span_id "context.span_id" IDENTIFIER_BYTES_MAX,
            component "context.component" IDENTIFIER_BYTES_MAX, service "context.service" IDENTIFIER_BYTES_MAX,
            version "context.version" IDENTIFIER_BYTES_MAX, host "context.host" IDENTIFIER_BYTES_MAX);
    };
    (@ $part:expr, $as:ident, $visit:ident, $($field:ident $path:literal $max:ident),+) => {
        $(if let Some(text) = $part.$field.$as() { $visit($path, $max, text); })+
    };
}
use each_text;

/// Whether only the size of the whole line can be over a limit. On the hot path.
pub(crate) fn within_limits(event: &Event) -> bool {
    let mut within = event.action.len() <= IDENTIFIER_BYTES_MAX
        && event.id.as_ref().is_none_or(|id| id.len() <= ID_BYTES_MAX)
        && !matches!(&event.category, Category::Custom(custom) if custom.len() > IDENTIFIER_BYTES_MAX)
        && !matches!(&event.duration_ms, Some(Number::Text(text)) if text.len() > NUMBER_BYTES_MAX)
        && event.invalid.len() <= PATHS_MAX
        && event.related.len() <= RELATED_MAX
        && event.related.iter().all(resource_within);
    let mut check = |_: &str, max: usize, text: &String| within &= text.len() <= max;
    each_text!(event, as_ref, check);
    within && parts_within(event)
}

fn parts_within(event: &Event) -> bool {
    let unknown = |extra: &Object, known: &[&str]| extra.iter().all(|(key, _)| !known.contains(&key));
    event.actor.as_ref().is_none_or(|actor| {
        actor.roles.len() <= ROLES_MAX
            && actor.roles.iter().all(|role| role.len() <= IDENTIFIER_BYTES_MAX)
            && unknown(&actor.extra, &ACTOR_FIELDS)
    }) && event.on_behalf_of.as_ref().is_none_or(|other| unknown(&other.extra, &ON_BEHALF_OF_FIELDS))
        && event.resource.as_ref().is_none_or(|resource| unknown(&resource.extra, &RESOURCE_FIELDS))
        && unknown(&event.context.extra, &CONTEXT_FIELDS)
        && unknown(&event.extra, &FIELDS)
        && unknown(&event.extra, &RESERVED)
}

fn resource_within(resource: &Resource) -> bool {
    let short = |text: &Option<String>, max| text.as_ref().is_none_or(|text| text.len() <= max);
    short(&resource.kind, IDENTIFIER_BYTES_MAX)
        && short(&resource.id, IDENTIFIER_BYTES_MAX)
        && short(&resource.name, TEXT_BYTES_MAX)
        && resource.extra.iter().all(|(key, _)| !RESOURCE_FIELDS.contains(&key))
}

/// Shortens a list of paths to what a line can hold; the last one then represents all others.
pub(crate) fn shorten_paths(paths: &mut Vec<String>) {
    let mut room = PATHS_BYTES_MAX;
    let kept = paths
        .iter()
        .take_while(|path| {
            let width = path.chars().map(super::write::escaped_width).sum::<usize>() + 3;
            let fits = width <= room;
            room = room.saturating_sub(width);
            fits
        })
        .count();
    if kept < paths.len() {
        paths.truncate(kept);
        paths.push(AND_MORE.to_owned());
    }
}

/// Brings every field of an event to its own limit.
fn limit_fields(event: &mut Event, truncated: &mut Vec<Truncation>) {
    if let Some(id) = event.id.as_ref().filter(|id| id.len() > ID_BYTES_MAX) {
        truncated.push(Truncation::of("id", id.as_bytes()));
    }
    let mut limit = |path: &str, max: usize, text: &mut String| {
        if text.len() > max {
            truncated.push(Truncation::of(path, text.as_bytes()));
            match is_identity(path) {
                true => *text = held_identifier(text).into_owned(),
                false => text.truncate(text.floor_char_boundary(max)),
            }
        }
    };
    limit("action", IDENTIFIER_BYTES_MAX, &mut event.action);
    if let Category::Custom(custom) = &mut event.category
        && custom.len() > IDENTIFIER_BYTES_MAX
    {
        limit("category", IDENTIFIER_BYTES_MAX, custom.to_mut());
    }
    each_text!(event, as_mut, limit);
    if let Some(actor) = &mut event.actor {
        for (place, role) in actor.roles.iter_mut().enumerate().take(ROLES_MAX) {
            if role.len() > IDENTIFIER_BYTES_MAX {
                limit(&format!("actor.roles.{place}"), IDENTIFIER_BYTES_MAX, role);
            }
        }
    }
    for (place, resource) in event.related.iter_mut().enumerate().take(RELATED_MAX) {
        let texts = [
            ("type", IDENTIFIER_BYTES_MAX, &mut resource.kind),
            ("id", IDENTIFIER_BYTES_MAX, &mut resource.id),
            ("name", TEXT_BYTES_MAX, &mut resource.name),
        ];
        for (name, max, text) in texts {
            if let Some(text) = text.as_mut().filter(|text| text.len() > max) {
                limit(&format!("related.{place}.{name}"), max, text);
            }
        }
    }
    shorten_paths(&mut event.invalid);
}

/// After this many bytes, cut changes are described by their beginning.
const WHOLE_CHANGES_MAX: usize = 1 << 22;

/// Moves unknown fields that have a known name below `details._invalid`, like a field of a wrong type: otherwise a key
/// would occur twice in the line.
fn move_known_fields(event: &mut Event) {
    let mut moved = Vec::new();
    let mut take = |path: &str, extra: &mut Object, known: &[&str]| {
        if extra.iter().any(|(key, _)| known.contains(&key)) {
            let (bad, good) =
                std::mem::take(&mut extra.0).into_iter().partition(|(key, _)| known.contains(&key.as_str()));
            extra.0 = good;
            let bad: Vec<(String, Value)> = bad;
            moved.extend(bad.into_iter().map(|(key, value)| (format!("{path}{key}"), value)));
        }
    };
    take("", &mut event.extra, &FIELDS);
    take("", &mut event.extra, &RESERVED);
    take("context.", &mut event.context.extra, &CONTEXT_FIELDS);
    if let Some(actor) = &mut event.actor {
        take("actor.", &mut actor.extra, &ACTOR_FIELDS);
    }
    if let Some(other) = &mut event.on_behalf_of {
        take("on_behalf_of.", &mut other.extra, &ON_BEHALF_OF_FIELDS);
    }
    if let Some(resource) = &mut event.resource {
        take("resource.", &mut resource.extra, &RESOURCE_FIELDS);
    }
    for (place, resource) in event.related.iter_mut().enumerate() {
        take(&format!("related.{place}."), &mut resource.extra, &RESOURCE_FIELDS);
    }
    if let Some(Number::Text(text)) = event.duration_ms.take_if(is_long_number) {
        moved.push(("duration_ms".to_owned(), Value::String(text.into_string())));
    }
    if moved.is_empty() {
        return;
    }
    event.invalid.extend(moved.iter().map(|(path, _)| path.clone()));
    let earlier = event.details.remove(INVALID);
    let mut all = match earlier {
        Some(Value::Object(object)) => object.0,
        Some(other) => vec![(format!("details.{INVALID}"), other)],
        None => Vec::new(),
    };
    all.extend(moved);
    event.details.0.push((INVALID.to_owned(), Value::Object(without_doubles(all, |_, _| ()))));
}

fn is_long_number(number: &mut Number) -> bool {
    matches!(number, Number::Text(text) if text.len() > NUMBER_BYTES_MAX)
}

/// Derives the changes and keeps as many as allowed.
fn derive_changes(event: &mut Event, truncated: &mut Vec<Truncation>) {
    let (None, Some(Value::Object(before)), Some(Value::Object(after))) =
        (&event.changes, &event.before, &event.after)
    else {
        return;
    };
    let mut text = Vec::new();
    if !Out::append(&mut text, |out| write_changes(before, after, out)) {
        let mut whole = Vec::new();
        Out::append(&mut whole, |out| write_changes_up_to(usize::MAX, WHOLE_CHANGES_MAX, before, after, out));
        truncated.push(Truncation::of("changes", &whole));
    }
    event.changes = parse::parse(&text, STORED_DEPTH_MAX).ok().map(|parsed| parsed.value);
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
