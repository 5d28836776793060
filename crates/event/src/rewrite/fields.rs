//! The event's own fields: each is checked and stored as `,"key":value` until the line is assembled. Instead of the
//! comma there may be a brace, if the field is the first of its object.

use super::copy::Places;
use super::names::{self, Names};
use super::scan::{MARKS, Scan, Text};
use super::span::Span;
use crate::event::names::{ACTOR_FIELDS, CONTEXT_FIELDS, FIELDS, RESERVED, RESOURCE_FIELDS};
use crate::event::warning::Place;
use crate::event::{
    ID_BYTES_MAX, IDENTIFIER_BYTES_MAX, IP_BYTES_MAX, Outcome, RELATED_MAX, ROLES_MAX, Severity,
    TEXT_BYTES_MAX,
};
use crate::timestamp::{TIMESTAMP_BYTES, Timestamp};

/// The ranks of the top-level fields: their places in the line.
pub(crate) mod rank {
    pub(crate) const ID: usize = 0;
    pub(crate) const TIME: usize = 1;
    pub(crate) const TENANT: usize = 2;
    pub(crate) const CATEGORY: usize = 3;
    pub(crate) const ACTION: usize = 4;
    pub(crate) const DESCRIPTION: usize = 5;
    pub(crate) const SEVERITY: usize = 6;
    pub(crate) const OUTCOME: usize = 7;
    pub(crate) const ERROR: usize = 8;
    pub(crate) const ACTOR: usize = 9;
    pub(crate) const ON_BEHALF_OF: usize = 10;
    pub(crate) const RESOURCE: usize = 11;
    pub(crate) const RELATED: usize = 12;
    pub(crate) const BEFORE: usize = 13;
    pub(crate) const AFTER: usize = 14;
    pub(crate) const CHANGES: usize = 15;
    pub(crate) const DETAILS: usize = 16;
    pub(crate) const CONTEXT: usize = 17;
    pub(crate) const DURATION_MS: usize = 18;
    pub(crate) const APPROVAL: usize = 19;
}

pub(super) const TOP: usize = FIELDS.len() + RESERVED.len();
/// The levels at which containers in the event's own fields are.
const PART_DEPTH: usize = 2;
const RELATED_DEPTH: usize = 3;

/// Where each field's value ends in an event's JSON text, by its rank; 0 for fields that are not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends(pub(crate) [u32; FIELDS.len()]);

/// What was found in an object with known fields. Each span is a whole `,"key":value`.
pub(super) struct Fields<const N: usize> {
    pub(super) known: [Span; N],
    /// One bit for each known field that is present.
    pub(super) present: u32,
    /// Whether all are in the order of the line, without gaps.
    is_sorted: bool,
    /// The place of the first of the unknown fields.
    pub(super) extras_from: usize,
}

impl<const N: usize> Fields<N> {
    pub(super) const fn new() -> Self {
        Fields { known: [Span { from: 0, to: 0 }; N], present: 0, is_sorted: true, extras_from: 0 }
    }

    #[inline(always)]
    pub(super) fn has(&self, rank: usize) -> bool {
        self.present & 1 << rank != 0
    }
}

/// What is known about an event besides its text in the line.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) id: Option<Text>,
    /// As the line has it.
    pub(super) time: Option<[u8; TIMESTAMP_BYTES]>,
    pub(super) tenant: Option<Text>,
    pub(super) category: Option<Text>,
    pub(super) action: Option<Text>,
    pub(super) severity: Severity,
    pub(super) outcome: Option<Outcome>,
    pub(super) actor_id: Option<Text>,
    pub(super) correlation_id: Option<Text>,
    /// The members of `before` and `after`, if they are objects.
    pub(super) before: Option<Span>,
    pub(super) after: Option<Span>,
}

impl<F: Fn(&str, Option<&[u8]>) -> bool, const COPIES: bool> Scan<'_, F, COPIES> {
    /// Reads the whole event. If `ends` are given, each field's value must end there.
    pub(super) fn event(
        &mut self,
        ends: Option<&Ends>,
        fields: &mut Fields<TOP>,
        facts: &mut Facts,
    ) -> Option<()> {
        self.space();
        self.fields((&names::EVENT, Place::Event), 1, fields, |scan, rank| {
            let is_kept = scan.field(rank, facts)?;
            if let Some(Ends(ends)) = ends
                && ends.get(rank).copied() != u32::try_from(scan.places.at).ok()
                && !cfg!(trailseal_fault = "parts_not_bounded")
            {
                return None;
            }
            Some(is_kept)
        })?;
        self.space();
        (self.places.at == self.text.len()).then_some(())
    }

    /// Reads an object with known fields, from its brace on. `take` copies the value of the known field with that rank,
    /// and returns whether there is one to keep.
    #[inline(always)]
    fn fields<const N: usize>(
        &mut self,
        (names, place): (&Names<N>, Place),
        depth: usize,
        fields: &mut Fields<N>,
        mut take: impl FnMut(&mut Self, usize) -> Option<bool>,
    ) -> Option<()> {
        fields.extras_from = self.lists.extras.len();
        let mut keys = self.lists.keys();
        let mut seen = 0_u32;
        let mut next = 0;
        self.pass(b'{')?;
        self.space();
        if self.peek()? == b'}' {
            return self.pass(b'}');
        }
        loop {
            let from = self.places.end - 1;
            let key = self.key()?;
            if let Some(rank) = names.rank(key.word, key.print) {
                if seen & 1 << rank != 0 {
                    return None;
                }
                seen |= 1 << rank;
                if take(self, rank)? {
                    fields.known[rank] = Span::new(from, self.places.end);
                    fields.present |= 1 << rank;
                    fields.is_sorted &= rank >= next;
                    next = rank;
                } else if COPIES {
                    // What comes next is written over it.
                    self.places.end = from;
                } else {
                    fields.is_sorted = false;
                }
            } else {
                self.lists.add(&mut keys, key.print)?;
                if self.masks_member(&key)? || key.word == MARKS {
                    return None;
                }
                self.own_name(place, &key)?;
                self.value(depth + 1)?;
                self.lists.extras.push(Span::new(from, self.places.end));
                next = N;
            }
            if self.comma_or(b'}')? {
                self.lists.end(keys);
                return Some(());
            }
        }
    }

    /// Reads a part of the event, and leaves it in the order of the line.
    #[inline(always)]
    fn part<const N: usize>(
        &mut self,
        names: (&Names<N>, Place),
        depth: usize,
        take: impl FnMut(&mut Self, usize) -> Option<bool>,
    ) -> Option<()> {
        let from = self.places.end;
        let mut fields = Fields::new();
        self.fields(names, depth, &mut fields, take)?;
        if !fields.is_sorted {
            self.sort(from, &fields)?;
        }
        self.lists.extras.truncate(fields.extras_from);
        if COPIES {
            // If the first field was left out, another byte is there.
            *self.out.get_mut(from)? = b'{';
            if self.places.end == from + 1 {
                self.places = Places { at: self.places.at - 1, ..self.places };
                self.pass(b'}')?;
            }
        }
        Some(())
    }

    /// Puts the fields from `from` on into the order of the line, using the room after them.
    #[inline(never)]
    fn sort<const N: usize>(&mut self, from: usize, fields: &Fields<N>) -> Option<()> {
        if !COPIES {
            return None;
        }
        let end = self.places.end;
        let known = (0..N).filter(|&rank| fields.has(rank)).map(|rank| fields.known[rank]);
        let extras = self.lists.extras.get(fields.extras_from..)?;
        let mut to = end;
        for span in known.chain(extras.iter().copied()) {
            self.out.get(to..to + span.len())?;
            self.out.copy_within(span.range(), to);
            self.out[to] = b',';
            to += span.len();
        }
        self.out.copy_within(end..to, from);
        Some(())
    }

    #[inline(always)]
    fn field(&mut self, rank: usize, facts: &mut Facts) -> Option<bool> {
        if self.peek()? == b'n' {
            self.null()?;
            return (rank < FIELDS.len()).then_some(false);
        }
        match rank {
            rank::ID => facts.id = Some(self.text(ID_BYTES_MAX).filter(|id| id.inside.len() > 0)?),
            rank::TIME => {
                facts.time = Some(self.time()?);
                return Some(false);
            }
            rank::TENANT => facts.tenant = Some(self.text(IDENTIFIER_BYTES_MAX)?),
            rank::CATEGORY => facts.category = Some(self.category()?),
            rank::ACTION => {
                facts.action =
                    Some(self.text(IDENTIFIER_BYTES_MAX).filter(|action| action.inside.len() > 0)?);
            }
            rank::DESCRIPTION | rank::ERROR => _ = self.text(TEXT_BYTES_MAX)?,
            rank::SEVERITY => {
                let (severity, is_same) = self.word(&names::SEVERITIES, Severity::ALL, Severity::parse)?;
                facts.severity = severity;
                return Some(is_same);
            }
            rank::OUTCOME => {
                let (outcome, is_same) = self.word(&names::OUTCOMES, Outcome::ALL, Outcome::parse)?;
                facts.outcome = Some(outcome);
                return Some(is_same);
            }
            rank::ACTOR if self.peek()? == b'"' => facts.actor_id = Some(self.actor_text()?),
            rank::ACTOR => self.actor(facts)?,
            rank::ON_BEHALF_OF => self.on_behalf_of()?,
            rank::RESOURCE if self.peek()? == b'"' => self.resource_text()?,
            rank::RESOURCE => self.resource(PART_DEPTH)?,
            rank::RELATED => return self.related(),
            rank::BEFORE => facts.before = self.state()?,
            rank::AFTER => facts.after = self.state()?,
            rank::CHANGES => self.changes()?,
            rank::APPROVAL => self.value(PART_DEPTH)?,
            rank::DETAILS => return self.details(),
            rank::CONTEXT => return self.context(facts),
            rank::DURATION_MS => self.number()?,
            _ => return None,
        }
        Some(true)
    }

    /// Copies a string of at most this many bytes.
    #[inline(always)]
    fn text(&mut self, bytes_max: usize) -> Option<Text> {
        if self.peek()? != b'"' {
            return None;
        }
        let from = self.places.at + 1;
        let escaped = self.string()?;
        let inside = Span::new(from, self.places.at - 1);
        (inside.len() <= bytes_max).then_some(Text { inside, escaped })
    }

    /// The same for a field of a part, which may be null.
    #[inline(always)]
    fn text_or_null(&mut self, bytes_max: usize) -> Option<Option<Text>> {
        if self.peek()? == b'n' {
            self.null()?;
            return Some(None);
        }
        self.text(bytes_max).map(Some)
    }

    /// Copies a string without escapes and returns its inside.
    #[inline(always)]
    fn plain(&mut self) -> Option<Text> {
        self.text(IDENTIFIER_BYTES_MAX).filter(|text| !text.escaped)
    }

    /// Copies one of a few words. Returns whether it is in the line's form, or another that is understood.
    #[inline(always)]
    fn word<T: Copy, const N: usize>(
        &mut self,
        names: &Names<N>,
        all: [T; N],
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<(T, bool)> {
        let word = self.plain()?;
        match names.rank_of(self.text.as_bytes(), word.inside) {
            Some(rank) => Some((all[rank], true)),
            None => Some((parse(self.text.get(word.inside.range())?)?, false)),
        }
    }

    /// Consumes a time, and returns it in the line's form.
    fn time(&mut self) -> Option<[u8; TIMESTAMP_BYTES]> {
        let text = self.plain()?;
        let text = self.text.get(text.inside.range())?;
        let time = Timestamp::parse(text)?;
        let same = <[u8; TIMESTAMP_BYTES]>::try_from(text.as_bytes()).ok().filter(|bytes| {
            // Not a leap second, which is written as the second after it.
            matches!((bytes[10], bytes[17], bytes[19], bytes[26]), (b'T', b'0'..=b'5', b'.', b'Z'))
        });
        Some(same.unwrap_or_else(|| time.to_text()))
    }

    #[inline(always)]
    fn category(&mut self) -> Option<Text> {
        let text = self.text(IDENTIFIER_BYTES_MAX)?;
        // What follows the colon may be escaped; what precedes it may not.
        let is_custom = || {
            let custom = self.text.get(text.inside.range())?.strip_prefix("custom:")?;
            Some(!custom.is_empty())
        };
        let is_named = names::CATEGORIES.rank_of(self.text.as_bytes(), text.inside).is_some();
        (is_named || is_custom()?).then_some(text)
    }

    #[inline(always)]
    fn actor(&mut self, facts: &mut Facts) -> Option<()> {
        const MAX: [usize; ACTOR_FIELDS.len() - 1] =
            [IDENTIFIER_BYTES_MAX, IDENTIFIER_BYTES_MAX, TEXT_BYTES_MAX, TEXT_BYTES_MAX];
        self.part((&names::ACTOR, Place::Actor), PART_DEPTH, |scan, rank| {
            let Some(&max) = MAX.get(rank) else { return scan.roles() };
            let text = scan.text_or_null(max)?;
            if rank == 0 {
                facts.actor_id = text;
            }
            Some(text.is_some())
        })
    }

    /// An actor given as its id, written as an object.
    #[inline(never)]
    fn actor_text(&mut self) -> Option<Text> {
        self.insert(b"{\"id\":")?;
        let id = self.text(IDENTIFIER_BYTES_MAX).filter(|id| id.inside.len() > 0)?;
        self.insert(b"}")?;
        Some(id)
    }

    /// `TYPE/ID` as an object: the type ends at the first slash.
    #[inline(never)]
    fn resource_text(&mut self) -> Option<()> {
        const BEFORE: &[u8] = b"{\"type\":";
        const BETWEEN: &[u8] = b"\",\"id\":\"";
        self.insert(BEFORE)?;
        let from = self.places.end;
        self.text(IDENTIFIER_BYTES_MAX)?;
        // In the line's form a slash is never escaped.
        let inside = self.out.get(from + 1..self.places.end - 1)?;
        let slash = from
            + 1
            + memchr::memchr(b'/', inside).filter(|at| (1..inside.len().saturating_sub(1)).contains(at))?;
        let end = self.places.end;
        self.out.get(..end + BETWEEN.len())?;
        self.out.copy_within(slash + 1..end, slash + BETWEEN.len());
        self.out[slash..slash + BETWEEN.len()].copy_from_slice(BETWEEN);
        self.places.end = end + BETWEEN.len() - 1;
        self.insert(b"}")
    }

    /// Writes what the text does not have.
    fn insert(&mut self, bytes: &[u8]) -> Option<()> {
        if !COPIES {
            return None;
        }
        let end = self.places.end + bytes.len();
        self.out.get_mut(self.places.end..end)?.copy_from_slice(bytes);
        self.places.end = end;
        Some(())
    }

    fn roles(&mut self) -> Option<bool> {
        self.list(ROLES_MAX, |scan| scan.text(IDENTIFIER_BYTES_MAX).map(|_| ()))
    }

    #[inline(never)]
    fn on_behalf_of(&mut self) -> Option<()> {
        const MAX: [usize; 2] = [IDENTIFIER_BYTES_MAX, TEXT_BYTES_MAX];
        self.part((&names::ON_BEHALF_OF, Place::OnBehalfOf), PART_DEPTH, |scan, rank| {
            scan.text_or_null(*MAX.get(rank)?).map(|text| text.is_some())
        })
    }

    fn resource(&mut self, depth: usize) -> Option<()> {
        const MAX: [usize; RESOURCE_FIELDS.len()] =
            [IDENTIFIER_BYTES_MAX, IDENTIFIER_BYTES_MAX, TEXT_BYTES_MAX];
        self.part((&names::RESOURCE, Place::Resource), depth, |scan, rank| {
            scan.text_or_null(*MAX.get(rank)?).map(|text| text.is_some())
        })
    }

    #[inline(never)]
    fn related(&mut self) -> Option<bool> {
        self.list(RELATED_MAX, |scan| scan.resource(RELATED_DEPTH))
    }

    /// Copies a list of at most this many elements; null and the empty list count as none.
    fn list(
        &mut self,
        elements_max: usize,
        mut element: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<bool> {
        if self.peek()? == b'n' {
            self.null()?;
            return Some(false);
        }
        self.pass(b'[')?;
        self.space();
        if self.peek()? == b']' {
            self.pass(b']')?;
            return Some(false);
        }
        for _ in 0..elements_max {
            element(self)?;
            if self.comma_or(b']')? {
                return Some(true);
            }
            self.space();
        }
        None
    }

    /// Copies `before` or `after`, and returns the places of its members if it is an object.
    #[inline(always)]
    fn state(&mut self) -> Option<Option<Span>> {
        let is_object = self.peek()? == b'{';
        let from = self.lists.members.len();
        self.notes_members = true;
        self.value(PART_DEPTH)?;
        self.notes_members = false;
        Some(is_object.then_some(Span::new(from, self.lists.members.len())))
    }

    /// Copies `changes`. Its keys may be paths, of which each key is checked.
    #[inline(never)]
    fn changes(&mut self) -> Option<()> {
        let changes = self.state()?.unwrap_or_default();
        let text = if COPIES { &*self.out } else { self.text.as_bytes() };
        let mut at = changes.from;
        while at < changes.to {
            let member = self.lists.members.get(at as usize)?;
            let path = std::str::from_utf8(text.get(member.key.range())?).ok()?;
            if path.contains('.') && path.split('.').any(|key| self.is_secret_name(key)) {
                return None;
            }
            at = member.next;
        }
        Some(())
    }

    fn details(&mut self) -> Option<bool> {
        let from = self.places.end;
        if self.peek()? != b'{' {
            return None;
        }
        self.value(PART_DEPTH)?;
        Some(self.places.end - from > b"{}".len())
    }

    #[inline(always)]
    fn context(&mut self, facts: &mut Facts) -> Option<bool> {
        const IP: usize = 0;
        const CORRELATION_ID: usize = 3;
        const { assert!(matches!(CONTEXT_FIELDS[CORRELATION_ID].as_bytes(), b"correlation_id")) };
        let from = self.places.end;
        self.part((&names::CONTEXT, Place::Context), PART_DEPTH, |scan, rank| {
            let text = scan.text_or_null(if rank == IP { IP_BYTES_MAX } else { IDENTIFIER_BYTES_MAX })?;
            if rank == CORRELATION_ID {
                facts.correlation_id = text;
            }
            Some(text.is_some())
        })?;
        Some(self.places.end - from > b"{}".len())
    }
}
