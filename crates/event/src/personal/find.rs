//! Finds the personal values in the rest of a line.
//!
//! Most rules name fields of the actor and the context, and then little of the text is looked at: before the first object
//! of a rest there are only texts, and the context is sought by its name. Whether what was found is the event's own is
//! checked in both cases; in doubt, the whole text is walked.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use memchr::memmem;

use super::json::{self, DEPTH_MAX, Pointer};
use super::marks::Marks;
use super::paths::{FlatMember, Followed, Paths, is_kind, is_side, stays_container};
use super::placed::{Placed, PlacedTexts, texts_of_actor, texts_of_context};
use super::token;
use crate::event::{Event, INVALID};
use crate::line::Objects;
use crate::timestamp::TIMESTAMP_BYTES;

/// The key under which the text of an object stands that was cut.
const CUT: &str = "_cut";

/// What is sought in the part of a text that is not walked.
struct Needles {
    invalid: memmem::Finder<'static>,
    context: memmem::Finder<'static>,
    truncated: memmem::Finder<'static>,
}

impl Needles {
    fn get() -> &'static Needles {
        static NEEDLES: OnceLock<Needles> = OnceLock::new();
        NEEDLES.get_or_init(|| Needles {
            invalid: memmem::Finder::new(INVALID),
            context: memmem::Finder::new(",\"context\":{"),
            truncated: memmem::Finder::new(",\"truncated\":["),
        })
    }
}

/// The personal values of one event, in the order of its text.
#[derive(Default)]
pub(super) struct Found {
    pub(super) values: Vec<Value>,
    /// The pointers of all of them, one after the other.
    pub(super) pointers: String,
    /// Where the event's id and tenant stand, with their quotes.
    pub(super) id: Range<usize>,
    pub(super) tenant: Range<usize>,
    /// Where the actor's object begins.
    pub(super) actor: Option<usize>,
    /// By how much the text becomes longer at most.
    grows: usize,
    pointer: Pointer,
}

/// One personal value.
pub(super) struct Value {
    /// Where it stands.
    pub(super) from: usize,
    pub(super) to: usize,
    /// Which field of a rule it is.
    pub(super) field: usize,
    pub(super) pointer: Range<usize>,
}

impl Found {
    /// How long a text of `len` bytes is at most when each value is sealed.
    pub(super) fn len_max(&self, len: usize) -> usize {
        len + self.grows
    }

    fn clear(&mut self) {
        self.values.clear();
        self.pointers.clear();
        (self.id, self.tenant, self.actor, self.grows) = (0..0, 0..0, None, 0);
    }
}

/// How much of a text is looked at, unless there is doubt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The actor and the context.
    Actor,
    /// All people and resources, and the context.
    Parties,
    /// Everything.
    Whole,
}

impl Paths {
    /// What has all of them, and the persons' ids.
    pub(super) fn reach(&self) -> Reach {
        let reach = |parts: &[String]| match &*parts[0] {
            "actor" | "context" => Reach::Actor,
            "on_behalf_of" | "resource" | "related" => Reach::Parties,
            _ => Reach::Whole,
        };
        let all = self.fields.iter().flat_map(|field| [reach(&field.parts), reach(&field.subject.parts)]);
        all.max_by_key(|reach| *reach as u8).unwrap_or(Reach::Whole)
    }
}

/// Finds the personal values in the rest of a line, which ends with its closing brace. False if it is no such text.
pub(super) fn find(paths: &Paths, reach: Reach, text: &[u8], found: &mut Found) -> bool {
    found.clear();
    let pointer = std::mem::take(&mut found.pointer);
    let mut finder = Finder { paths, text, found, pointer };
    let is_found = finder.run(reach);
    // Its memory is used again.
    let pointer = finder.pointer;
    found.pointer = pointer;
    is_found
}

/// The same for the rest of this event, which was written whole. False if that does not tell where all values are; then they
/// must be sought.
#[inline]
pub(super) fn find_placed(
    (paths, placed): (&Paths, &Placed),
    (event, objects): (&Event, Objects),
    text: &[u8],
    found: &mut Found,
) -> bool {
    if !placed.tells(event) {
        return false;
    }
    found.clear();
    let pointer = std::mem::take(&mut found.pointer);
    let mut finder = Finder { paths, text, found, pointer };
    let is_found = finder.placed(placed, event, objects).is_some();
    found.pointer = finder.pointer;
    is_found
}

/// A member of an object.
struct Member<'a> {
    /// Its key as it stands in the text, without the quotes.
    raw: &'a [u8],
    /// Whether that is the key itself, and no path.
    is_plain: bool,
    /// Where its value begins.
    value: usize,
}

impl<'a> Member<'a> {
    fn key(&self) -> Cow<'a, str> {
        json::unescaped(self.raw)
    }
}

struct Finder<'a> {
    paths: &'a Paths,
    text: &'a [u8],
    found: &'a mut Found,
    pointer: Pointer,
}

impl<'a> Finder<'a> {
    fn run(&mut self, reach: Reach) -> bool {
        self.pointer.back_to(0);
        let Some(head) = self.head() else { return false };
        if reach != Reach::Whole
            && let Some(is_found) = self.near(head, reach)
        {
            return is_found;
        }
        self.found.values.clear();
        self.found.pointers.clear();
        self.found.grows = 0;
        self.pointer.back_to(0);
        self.top_members(0, None) == Some(self.text.len())
    }

    /// The id and the tenant; returns where the text goes on after the time.
    fn head(&mut self) -> Option<usize> {
        const OWN: &[u8] = b"\"system\":true,";
        const ID: &[u8] = b"\"id\":";
        const TIME: &[u8] = b",\"time\":\"";
        const TENANT: &[u8] = b",\"tenant\":";
        let at = if self.text.starts_with(OWN) { OWN.len() } else { 0 };
        let at = self.text[at..].starts_with(ID).then_some(at + ID.len())?;
        let end = json::string_end(self.text, at)?;
        self.found.id = at..end;
        let after = end + TIME.len() + TIMESTAMP_BYTES + 1;
        if self.text.get(after..)?.starts_with(TENANT) {
            let at = after + TENANT.len();
            self.found.tenant = at..json::string_end(self.text, at)?;
        }
        Some(after)
    }

    /// The texts of the actor and the context, which stand one after the other.
    fn placed(&mut self, placed: &Placed, event: &Event, objects: Objects) -> Option<()> {
        self.head()?;
        if let Some(actor) = &event.actor {
            self.found.actor = Some(objects.actor);
            self.placed_texts(objects.actor, &placed.actor, &texts_of_actor(actor))?;
        }
        self.placed_texts(objects.context, &placed.context, &texts_of_context(&event.context))
    }

    fn placed_texts<const N: usize>(
        &mut self,
        object: usize,
        named: &PlacedTexts<N>,
        texts: &[Option<&str>; N],
    ) -> Option<()> {
        let mut at = object + 1;
        for (place, key) in named.keys.iter().enumerate().take(named.len) {
            if texts[place].is_none() {
                continue;
            }
            let value = at + "\"\":".len() + key.len();
            let end = json::string_end(self.text, value)?;
            if let Some(member) = &named.members[place] {
                // In no case is anything else sealed.
                if self.text.get(at + 1..value - 2)? != key.as_bytes() || self.text[value] != b'"' {
                    return None;
                }
                let start = self.found.pointers.len();
                self.found.pointers.push_str(&member.pointer);
                self.add(value..end, member.field, start);
            }
            at = end + 1;
        }
        Some(())
    }

    /// Looks only at what is within `reach`. `None` if that cannot be told apart from the rest.
    fn near(&mut self, head: usize, reach: Reach) -> Option<bool> {
        let Some(brace) = memchr::memchr2(b'{', b'[', self.text.get(head..)?) else { return Some(true) };
        // No brace comes before, so if a key ends here, it is one of the event's own.
        let brace = head + brace;
        let colon = self.text.get(..brace)?.strip_suffix(b"\":")?;
        if colon.last() == Some(&b'\\') {
            return None;
        }
        let first = memchr::memrchr(b'"', colon).filter(|first| self.text.get(first - 1) == Some(&b','))?;
        match self.top_members(first, Some(reach))? {
            end if end == self.text.len() => Some(true),
            far => {
                let rest = &self.text[far..];
                // A value that was sent in a wrong form stands there, too.
                let needles = Needles::get();
                if needles.invalid.find(rest).is_some() {
                    return None;
                }
                let Some(context) = needles.context.find(rest) else {
                    return needles.truncated.find(rest).is_none().then_some(true);
                };
                // If it is that of something else, its end is followed by more than the end of the event.
                (self.top_members(far + context + 1, None)? == self.text.len()).then_some(true)
            }
        }
    }

    /// The event's own members, from the one at `at` on. Ends after the brace, or before the first that is beyond
    /// `reach`.
    fn top_members(&mut self, mut at: usize, reach: Option<Reach>) -> Option<usize> {
        let begin = self.paths.begin();
        loop {
            let member = self.member(at)?;
            let is_far = match reach {
                None | Some(Reach::Whole) => false,
                Some(Reach::Parties) => matches!(member.raw, b"before" | b"after" | b"changes" | b"details"),
                Some(Reach::Actor) => !matches!(member.raw, b"actor" | b"context"),
            };
            if is_far {
                // The comma before it.
                return Some(at - 1);
            }
            if member.raw == b"actor" {
                self.found.actor = Some(member.value);
            }
            let may_have_more = matches!(member.raw, b"changes" | b"details" | b"truncated");
            let end = match may_have_more || !self.is_passed(&member, &begin) {
                true => match self.flat(&member) {
                    Some(end) => end,
                    None => self.top_member(&member)?,
                },
                false => json::value_end(self.text, member.value)?,
            };
            match *self.text.get(end)? {
                b',' => at = end + 1,
                b'}' => return Some(end + 1),
                _ => return None,
            }
        }
    }

    /// One of the event's own objects whose named members are texts and numbers. `None` if it is something else; then
    /// nothing of it counts as found.
    fn flat(&mut self, member: &Member<'_>) -> Option<usize> {
        let paths = self.paths;
        let flat = paths.flat.iter().find(|flat| flat.key.as_bytes() == member.raw)?;
        let Found { values, pointers, grows, .. } = &*self.found;
        let before = (values.len(), pointers.len(), *grows);
        let end = self.flat_members(member.value, &flat.members);
        if end.is_none() {
            self.found.values.truncate(before.0);
            self.found.pointers.truncate(before.1);
            self.found.grows = before.2;
        }
        end
    }

    fn flat_members(&mut self, at: usize, named: &[FlatMember]) -> Option<usize> {
        let text = self.text;
        if *text.get(at)? != b'{' {
            return None;
        }
        let mut at = at + 1;
        let mut marks = Marks::new(text, at);
        loop {
            if *text.get(at)? != b'"' {
                return None;
            }
            let key_end = marks.quote(at + 1)?;
            let raw = text.get(at + 1..key_end)?;
            if marks.has_dot(at + 1, key_end) || raw == CUT.as_bytes() || raw == INVALID.as_bytes() {
                return None;
            }
            let value = (*text.get(key_end + 1)? == b':').then_some(key_end + 2)?;
            let is_text = *text.get(value)? == b'"';
            let end = match marks.quote(value + 1) {
                Some(quote) if is_text => quote + 1,
                _ => json::value_end(text, value)?,
            };
            let is_it = |named: &&FlatMember| {
                named.key.len() == raw.len() && named.key.bytes().eq(raw.iter().copied())
            };
            if let Some(named) = named.iter().find(is_it) {
                if matches!(text[value], b'{' | b'[') {
                    return None;
                }
                let start = self.found.pointers.len();
                self.found.pointers.push_str(&named.pointer);
                self.add(value..end, named.field, start);
            }
            match *text.get(end)? {
                b',' => at = end + 1,
                b'}' => return Some(end + 1),
                _ => return None,
            }
        }
    }

    fn top_member(&mut self, member: &Member<'_>) -> Option<usize> {
        let paths = self.paths;
        let key = member.key();
        self.pointer.key(&key);
        let end = match &*key {
            "truncated" => self.truncated(member.value)?,
            _ => self.value(member.value, paths.step(paths.begin(), &key), None, 1)?,
        };
        self.pointer.back_to(0);
        Some(end)
    }

    /// The member that begins at `at`.
    #[inline(always)]
    fn member(&self, at: usize) -> Option<Member<'a>> {
        let text = self.text;
        if *text.get(at)? != b'"' {
            return None;
        }
        let plain = json::plain_key_end(text, at);
        let end = match plain {
            Some(end) => end,
            None => json::string_end(text, at)?,
        };
        let raw = text.get(at + 1..end - 1)?;
        (*text.get(end)? == b':').then_some(Member { raw, is_plain: plain.is_some(), value: end + 1 })
    }

    /// Whether no field names anything in this member of what was followed so far. That can be said of most, without more
    /// than a look at the key.
    #[inline]
    fn is_passed(&self, member: &Member<'_>, followed: &Followed) -> bool {
        let is_wrong = cfg!(trailseal_fault = "personal_passed_over") && member.raw == b"related";
        member.is_plain && (self.paths.end_before(followed, member.raw) || is_wrong)
    }

    /// Walks a value; `forced` is the field that names all of it.
    fn value(&mut self, at: usize, followed: Followed, forced: Option<usize>, depth: usize) -> Option<usize> {
        let byte = *self.text.get(at)?;
        let is_container = matches!(byte, b'{' | b'[');
        if let Some(field) = forced.or_else(|| self.paths.named(followed)) {
            if is_container && (stays_container(self.pointer.text()) || self.has_sides(at)) {
                return self.inside(at, followed, Some(field), depth);
            }
            if is_kind(self.pointer.text()) {
                return json::value_end(self.text, at);
            }
            return self.personal(at, field);
        }
        match self.paths.below(followed) {
            // Whatever was sent in a wrong form stands there.
            None if is_container && self.pointer.text() == "/details" => {
                self.inside(at, followed, None, depth)
            }
            Some(field) if is_container && depth >= DEPTH_MAX => self.personal(at, field),
            Some(_) if is_container => self.inside(at, followed, None, depth),
            // It stands for the object or list that was expected.
            Some(field) if byte == b'"' && !cfg!(trailseal_fault = "personal_cut_plain") => {
                self.personal(at, field)
            }
            _ => json::value_end(self.text, at),
        }
    }

    fn inside(
        &mut self,
        at: usize,
        followed: Followed,
        forced: Option<usize>,
        depth: usize,
    ) -> Option<usize> {
        let is_object = self.text[at] == b'{';
        let closing = if is_object { b'}' } else { b']' };
        let mut at = at + 1;
        if *self.text.get(at)? == closing {
            return Some(at + 1);
        }
        let outer = self.pointer.len();
        let is_details = self.pointer.text() == "/details";
        for place in 0usize.. {
            let end = if is_object {
                let member = self.member(at)?;
                let is_of_trail =
                    member.raw == CUT.as_bytes() || is_details && member.raw == INVALID.as_bytes();
                match forced.is_none() && !is_of_trail && self.is_passed(&member, &followed) {
                    true => json::value_end(self.text, member.value)?,
                    false => self.inner_member(&member, followed, forced, depth)?,
                }
            } else {
                self.pointer.place(place);
                let followed = match forced {
                    Some(_) => followed,
                    None => self.paths.step(followed, &place.to_string()),
                };
                self.value(at, followed, forced, depth + 1)?
            };
            self.pointer.back_to(outer);
            match *self.text.get(end)? {
                b',' => at = end + 1,
                byte if byte == closing => return Some(end + 1),
                _ => return None,
            }
        }
        None
    }

    fn inner_member(
        &mut self,
        member: &Member<'_>,
        followed: Followed,
        forced: Option<usize>,
        depth: usize,
    ) -> Option<usize> {
        let is_details = self.pointer.text() == "/details";
        let (key, value) = (member.key(), member.value);
        self.pointer.key(&key);
        match &*key {
            // It stands for the object itself.
            CUT => self.value(value, followed, forced, depth + 1),
            INVALID if is_details && forced.is_none() => self.rejected(value),
            key => self.value(value, self.paths.step(followed, key), forced, depth + 1),
        }
    }

    /// What was sent in a wrong form, each value under its path.
    fn rejected(&mut self, at: usize) -> Option<usize> {
        if self.text[at] != b'{' {
            return json::value_end(self.text, at);
        }
        self.each_member(at, |finder, key, value| match finder.paths.may_be_at(key) {
            Some(field) if !cfg!(trailseal_fault = "personal_rejected_plain") => {
                finder.personal(value, field)
            }
            _ => json::value_end(finder.text, value),
        })
    }

    /// The list of cuts: the hash of what was cut would tell who guesses it.
    fn truncated(&mut self, at: usize) -> Option<usize> {
        let mut at = at + 1;
        let outer = self.pointer.len();
        for place in 0usize.. {
            self.pointer.place(place);
            let mut field = None;
            at = self.each_member(at, |finder, key, value| {
                let end = json::value_end(finder.text, value)?;
                match (key, field) {
                    ("path", _) => field = finder.paths.may_be_at(&json::string(finder.text, value, end)),
                    ("sha256", Some(field)) => return finder.personal(value, field),
                    _ => {}
                }
                Some(end)
            })?;
            self.pointer.back_to(outer);
            match *self.text.get(at)? {
                b',' => at += 1,
                b']' => return Some(at + 1),
                _ => return None,
            }
        }
        None
    }

    fn each_member(
        &mut self,
        at: usize,
        mut visit: impl FnMut(&mut Self, &str, usize) -> Option<usize>,
    ) -> Option<usize> {
        let mut at = at + 1;
        if *self.text.get(at)? == b'}' {
            return Some(at + 1);
        }
        let outer = self.pointer.len();
        loop {
            let member = self.member(at)?;
            let key = member.key();
            self.pointer.key(&key);
            let end = visit(self, &key, member.value)?;
            self.pointer.back_to(outer);
            match *self.text.get(end)? {
                b',' => at = end + 1,
                b'}' => return Some(end + 1),
                _ => return None,
            }
        }
    }

    /// Whether this is an entry of changes with a value for each side: each is personal for itself, so that it stays
    /// visible that there was a change.
    fn has_sides(&mut self, at: usize) -> bool {
        if self.text[at] != b'{' || !self.pointer.text().starts_with("/changes/") {
            return false;
        }
        let mut all_sides = true;
        let end = self.each_member(at, |finder, key, value| {
            all_sides &= is_side(key);
            json::value_end(finder.text, value)
        });
        all_sides && end.is_some_and(|end| end > at + 2)
    }

    fn personal(&mut self, from: usize, field: usize) -> Option<usize> {
        let start = self.found.pointers.len();
        self.found.pointers.push_str(self.pointer.text());
        let to = json::value_end(self.text, from)?;
        self.add(from..to, field, start);
        Some(to)
    }

    /// A value whose pointer was added at `start`.
    fn add(&mut self, value: Range<usize>, field: usize, start: usize) {
        // It says nothing.
        if self.text.get(value.clone()) == Some(b"null") {
            self.found.pointers.truncate(start);
            return;
        }
        let pointer = start..self.found.pointers.len();
        let is_searchable = self.paths.fields[field].is_searchable;
        self.found.grows += (token::len_max(value.len(), is_searchable) + 2).saturating_sub(value.len());
        self.found.values.push(Value { from: value.start, to: value.end, field, pointer });
    }
}
