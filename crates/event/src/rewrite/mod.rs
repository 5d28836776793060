//! The fast path from an event's JSON text to the rest of its line: one pass, without intermediate values.
//!
//! In: JSON text. Out: the bytes that [`Event::from_json`](crate::Event::from_json) and
//! [`write_rest`](crate::line::write_rest) would give, or `None` for anything out of the ordinary: not an event, over a
//! limit, of a wrong type, repeated, to be masked, or needing a warning. Then nothing was written, and the caller takes
//! the slow path, which handles everything. What must hold: the fast path never writes a byte that the slow one would
//! not.
//!
//! The pass records where each field is. Then the fields are put in their order, and those already in order are moved
//! as one. Most clients send no white space and few escapes, so the text is first assumed to be in the line's form. If
//! it is not, a second pass copies each value in that form into a buffer of the thread, and the fields are moved from
//! there.

use std::borrow::Cow;
use std::cell::RefCell;

use crate::complete::EventId;
use crate::event::parse::unescape;
use crate::event::{Outcome, Severity};
use crate::line::REST_BYTES_MAX;
use crate::timestamp::Timestamp;

mod before_after;
mod block;
mod copy;
mod fields;
mod names;
mod scan;
#[cfg(target_arch = "x86_64")]
mod simd;
mod span;

use before_after::States;
pub use fields::Ends;
pub(crate) use fields::rank;
use fields::{Facts, Fields};
use scan::{Lists, Scan, Text};
use span::Span;

/// Longer texts take the slow path: mostly they do not fit into a line.
const TEXT_BYTES_MAX: usize = 2 * REST_BYTES_MAX;
/// Room for what an event may leave out: id, time, and the names of defaults.
const HEAD_BYTES: usize = 192;
/// A thread's buffer larger than this is freed after use.
const BUFFER_KEPT: usize = 1 << 18;

/// An event whose rest was written by [`rewrite`]: what must be known before it goes into a trail.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewritten<'a> {
    /// Its id: the caller's, or a new one.
    pub id: EventId,
    /// Whether the caller gave the id, so that the event may be a repeat.
    pub is_id_given: bool,
    /// The category's name in JSON.
    pub category: Cow<'a, str>,
    /// What was done.
    pub action: Cow<'a, str>,
    /// Whose data it is about.
    pub tenant: Option<Cow<'a, str>>,
    /// The id of who did it.
    pub actor_id: Option<Cow<'a, str>>,
    /// Which events belong together.
    pub correlation_id: Option<Cow<'a, str>>,
    /// How serious it is.
    pub severity: Severity,
    /// The outcome, if it has one.
    pub outcome: Option<Outcome>,
    /// Whether it has names of its own in places that have known ones. None of them looks like a known one: that would
    /// need a warning, and so the slow path.
    pub has_own_names: bool,
    /// Where in the rest the fields added by the trail belong (`recorded_by`, `sample_rate`), each preceded by a comma.
    pub trail_fields_at: usize,
}

/// What a thread keeps between events.
struct Buffers {
    text: Vec<u8>,
    lists: Lists,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> =
        const { RefCell::new(Buffers { text: Vec::new(), lists: Lists::new() }) };
}

/// Appends the rest of the line of an ordinary event, given as JSON text. `None` if it is not ordinary; then nothing
/// was appended, and [`Event::from_json`](crate::Event::from_json) handles it.
///
/// `now` is the time of recording. `masks` says whether a member must be masked by its key; it is called for every key
/// except [`OWN_KEYS`](crate::OWN_KEYS) with the JSON text from its value on. Without a value it is asked of a key in a path,
/// and of a text that may name what another member holds (under `name`, `key`, `field` or `path`). One yes ends the fast
/// path. Whether a *text* must be masked is left to the
/// caller, who can check what was appended.
///
/// ```
/// use trailseal_event::Timestamp;
/// use trailseal_event::rewrite;
///
/// let now = Timestamp::from_micros(0);
/// let mut rest = Vec::new();
/// let text = br#"{"actor": {"id": "u1"}, "action": "user.login", "id": "7"}"#;
/// let event = rewrite(text, now, |key, _| key == "password", &mut rest).unwrap();
/// assert_eq!((&*event.action, event.id.as_str(), event.is_id_given), ("user.login", "7", true));
/// assert_eq!(
///     String::from_utf8(rest).unwrap(),
///     concat!(
///         r#""id":"7","time":"1970-01-01T00:00:00.000000Z","category":"custom:other","#,
///         r#""action":"user.login","severity":"info","actor":{"id":"u1"}}"#,
///     ),
/// );
///
/// let secret = br#"{"action":"user.login","details":{"password":"x"}}"#;
/// assert!(rewrite(secret, now, |key, _| key == "password", &mut Vec::new()).is_none());
/// ```
pub fn rewrite<'a>(
    text: &'a [u8],
    now: Timestamp,
    masks: impl Fn(&str, Option<&[u8]>) -> bool,
    out: &mut Vec<u8>,
) -> Option<Rewritten<'a>> {
    rewrite_with(text, None, now, masks, out)
}

/// The same for the text of an [`EventText`](crate::EventText), and only if each field's value ends where it does in
/// `ends`: so a part that is not one JSON value is never read as several fields.
pub fn rewrite_text<'a>(
    text: &'a [u8],
    ends: &Ends,
    now: Timestamp,
    masks: impl Fn(&str, Option<&[u8]>) -> bool,
    out: &mut Vec<u8>,
) -> Option<Rewritten<'a>> {
    rewrite_with(text, Some(ends), now, masks, out)
}

#[inline(always)]
fn rewrite_with<'a>(
    text: &'a [u8],
    ends: Option<&Ends>,
    now: Timestamp,
    masks: impl Fn(&str, Option<&[u8]>) -> bool,
    out: &mut Vec<u8>,
) -> Option<Rewritten<'a>> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let write = |cell: &RefCell<Buffers>| {
        // `masks` may re-enter this function; then the buffers are in use.
        let mut buffers = cell.try_borrow_mut().ok()?;
        let as_sent = memchr::memchr(b'\\', text.as_bytes()).is_none();
        let written = as_sent.then(|| write::<false>(text, ends, now, &masks, &mut buffers, out)).flatten();
        let written = written.or_else(|| write::<true>(text, ends, now, &masks, &mut buffers, out));
        if buffers.text.len() > BUFFER_KEPT {
            *buffers = Buffers { text: Vec::new(), lists: Lists::new() };
        }
        written
    };
    BUFFERS.try_with(write).ok()?
}

/// One pass over the text, copying or not; see [`copy`].
fn write<'a, const COPIES: bool>(
    text: &'a str,
    ends: Option<&Ends>,
    now: Timestamp,
    masks: impl Fn(&str, Option<&[u8]>) -> bool,
    buffers: &mut Buffers,
    out: &mut Vec<u8>,
) -> Option<Rewritten<'a>> {
    // A three-byte line separator becomes six; fields out of order need as much again; a block is copied whole.
    let room = if COPIES { 4 * text.len() + 256 } else { 0 };
    if buffers.text.len() < room {
        buffers.text.resize(room, 0);
    }
    let mut scan = Scan::<_, COPIES>::new(text, &mut buffers.text, &mut buffers.lists, masks);
    let (mut fields, mut facts) = (Fields::new(), Facts::default());
    scan.event(ends, &mut fields, &mut facts)?;
    let action = facts.action?;
    let has_own_names = scan.has_own_names;
    let id = match facts.id {
        Some(id) => EventId::given(&resolve(text, id)),
        None => EventId::new(now),
    };
    let start = out.len();
    let end = scan.places.end;
    let source = if COPIES { buffers.text.get(..end)? } else { text.as_bytes() };
    let line = Line { text: source, lists: &buffers.lists };
    let trail_fields_at = line.write(&fields, &facts, &id, now, out);
    if trail_fields_at.is_none() || out.len() - start > REST_BYTES_MAX {
        out.truncate(start);
        return None;
    }
    let fact = |fact: Option<Text>| fact.map(|fact| resolve(text, fact));
    Some(Rewritten {
        is_id_given: facts.id.is_some(),
        id,
        category: fact(facts.category).unwrap_or(Cow::Borrowed("custom:other")),
        action: resolve(text, action),
        tenant: fact(facts.tenant),
        actor_id: fact(facts.actor_id),
        correlation_id: fact(facts.correlation_id),
        severity: facts.severity,
        outcome: facts.outcome,
        has_own_names,
        trail_fields_at: trail_fields_at? - start,
    })
}

/// The decoded text of a string.
#[inline(always)]
fn resolve(text: &str, string: Text) -> Cow<'_, str> {
    let inside = text.get(string.inside.range()).unwrap_or_default();
    if string.escaped { Cow::Owned(unescape(inside).0) } else { Cow::Borrowed(inside) }
}

/// Puts the fields in their order.
struct Line<'a> {
    /// The positions of the fields.
    text: &'a [u8],
    lists: &'a Lists,
}

impl Line<'_> {
    /// Appends the rest of the line. Returns where the trail's fields belong.
    fn write<const N: usize>(
        &self,
        fields: &Fields<N>,
        facts: &Facts,
        id: &EventId,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        /// The fields that the line has even if they were not sent, or not in the line's words.
        const ALWAYS: u32 = 1 << rank::CATEGORY | 1 << rank::SEVERITY;
        out.reserve(self.text.len() + HEAD_BYTES);
        self.head(fields, facts, id, now, out);
        let mut run = Run { text: self.text, span: Span::default(), out };
        let derives = !fields.has(rank::CHANGES) && facts.before.is_some() && facts.after.is_some();
        let mut left = fields.present & !(1 << rank::ID) | ALWAYS | u32::from(derives) << rank::CHANGES;
        left |= u32::from(facts.outcome.is_some()) << rank::OUTCOME;
        while left != 0 {
            let rank = left.trailing_zeros() as usize;
            left &= left - 1;
            if fields.has(rank) {
                run.add(fields.known[rank]);
                continue;
            }
            match (rank, facts.before, facts.after) {
                (rank::SEVERITY, ..) => run.name(b",\"severity\":\"", facts.severity.name()),
                (rank::OUTCOME, ..) => {
                    run.name(b",\"outcome\":\"", facts.outcome.map(Outcome::name).unwrap_or_default());
                }
                (rank::CHANGES, Some(before), Some(after)) => {
                    run.put(b",\"changes\":");
                    let members = &self.lists.members;
                    let states = States { text: self.text, members, start: run.out.len() };
                    states.write_changes(before, after, run.out)?;
                }
                _ => run.put(b",\"category\":\"custom:other\""),
            }
        }
        run.flush();
        // Texts of times sort as the times do.
        if facts.time.is_some_and(|time| time > now.to_text()) {
            run.put(b",\"time_ahead\":true");
        }
        let trail_fields_at = run.out.len();
        self.lists.extras.iter().for_each(|extra| run.add(*extra));
        run.put(b"}");
        Some(trail_fields_at)
    }

    /// The id and the time.
    #[inline(always)]
    fn head<const N: usize>(
        &self,
        fields: &Fields<N>,
        facts: &Facts,
        id: &EventId,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) {
        if fields.has(rank::ID) {
            // Without its comma.
            let span = fields.known[rank::ID];
            out.extend_from_slice(
                self.text.get(span.range()).unwrap_or_default().get(1..).unwrap_or_default(),
            );
        } else {
            out.extend_from_slice(b"\"id\":\"");
            match id.made() {
                Some(id) => out.extend_from_slice(id),
                None => out.extend_from_slice(id.as_str().as_bytes()),
            }
            out.push(b'"');
        }
        out.extend_from_slice(b",\"time\":\"");
        out.extend_from_slice(&facts.time.unwrap_or_else(|| now.to_text()));
        out.push(b'"');
    }
}

/// Consecutive fields, to be moved as one.
struct Run<'a> {
    text: &'a [u8],
    span: Span,
    out: &'a mut Vec<u8>,
}

impl Run<'_> {
    #[inline(always)]
    fn add(&mut self, span: Span) {
        if span.from == self.span.to {
            self.span.to = span.to;
        } else {
            self.flush();
            self.span = span;
        }
    }

    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        self.flush();
        self.out.extend_from_slice(bytes);
    }

    fn name(&mut self, key: &[u8], name: &str) {
        self.put(key);
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'"');
    }

    fn flush(&mut self) {
        let span = std::mem::take(&mut self.span);
        let from = self.out.len();
        self.out.extend_from_slice(self.text.get(span.range()).unwrap_or_default());
        // It is a brace before the first field that was sent.
        if let Some(comma) = self.out.get_mut(from) {
            *comma = b',';
        }
    }
}

#[cfg(test)]
mod tests;
