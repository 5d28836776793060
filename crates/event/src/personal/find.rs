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
use super::paths::{Field, Followed, Paths, is_kind, is_side, stays_container};
use super::token;
use crate::event::INVALID;
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
    actor: Option<usize>,
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

impl Paths {
    /// Whether all of them, and the persons' ids, are in the event's people, resources and context.
    pub(super) fn are_near(&self) -> bool {
        let is_near = |parts: &[String]| {
            matches!(&*parts[0], "actor" | "on_behalf_of" | "resource" | "related" | "context")
        };
        self.fields.iter().all(|field| is_near(&field.parts) && is_near(&field.subject.parts))
    }
}

/// Finds the personal values in the rest of a line, which ends with its closing brace. False if it is no such text.
pub(super) fn find(paths: &Paths, is_near: bool, text: &[u8], found: &mut Found) -> bool {
    found.clear();
    let pointer = std::mem::take(&mut found.pointer);
    let mut finder = Finder { paths, text, found, pointer };
    let is_found = finder.run(is_near);
    // Its memory is used again.
    let pointer = finder.pointer;
    found.pointer = pointer;
    is_found
}

struct Finder<'a> {
    paths: &'a Paths,
    text: &'a [u8],
    found: &'a mut Found,
    pointer: Pointer,
}

impl<'a> Finder<'a> {
    fn run(&mut self, is_near: bool) -> bool {
        self.pointer.back_to(0);
        let Some(head) = self.head() else { return false };
        if is_near && let Some(is_found) = self.near(head) {
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
        const ID: &[u8] = b"\"id\":";
        const TIME: &[u8] = b",\"time\":\"";
        const TENANT: &[u8] = b",\"tenant\":";
        let at = self.text.starts_with(ID).then_some(ID.len())?;
        let end = json::string_end(self.text, at)?;
        self.found.id = at..end;
        let after = end + TIME.len() + TIMESTAMP_BYTES + 1;
        if self.text.get(after..)?.starts_with(TENANT) {
            let at = after + TENANT.len();
            self.found.tenant = at..json::string_end(self.text, at)?;
        }
        Some(after)
    }

    /// Looks only at people, resources and context. `None` if that cannot be told apart from the rest.
    fn near(&mut self, head: usize) -> Option<bool> {
        let Some(brace) = memchr::memchr2(b'{', b'[', self.text.get(head..)?) else { return Some(true) };
        // No brace comes before, so if a key ends here, it is one of the event's own.
        let brace = head + brace;
        let colon = self.text.get(..brace)?.strip_suffix(b"\":")?;
        if colon.last() == Some(&b'\\') {
            return None;
        }
        let first = memchr::memrchr(b'"', colon).filter(|first| self.text.get(first - 1) == Some(&b','))?;
        let is_far = |key: &str| matches!(key, "before" | "after" | "changes" | "details");
        match self.top_members(first, Some(&is_far))? {
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

    /// The event's own members, from the one at `at` on. Ends after the brace, or before the first that `stops`.
    fn top_members(&mut self, mut at: usize, stops: Option<&dyn Fn(&str) -> bool>) -> Option<usize> {
        let paths = self.paths;
        loop {
            let (key, value) = self.key(at)?;
            if stops.is_some_and(|stops| stops(&key)) {
                // The comma before it.
                return Some(at - 1);
            }
            if key == "actor" {
                self.found.actor = Some(value);
            }
            self.pointer.key(&key);
            let end = match &*key {
                "truncated" => self.truncated(value)?,
                _ => self.value(value, paths.step(paths.begin(), &key), None, 1)?,
            };
            self.pointer.back_to(0);
            match *self.text.get(end)? {
                b',' => at = end + 1,
                b'}' => return Some(end + 1),
                _ => return None,
            }
        }
    }

    /// The key that begins at `at`, and where its value does.
    fn key(&self, at: usize) -> Option<(Cow<'a, str>, usize)> {
        let text = self.text;
        if *text.get(at)? != b'"' {
            return None;
        }
        let end = json::string_end(text, at)?;
        (*text.get(end)? == b':').then(|| (json::string(text, at, end), end + 1))
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
        for place in 0usize.. {
            let end = if is_object {
                let (key, value) = self.key(at)?;
                let is_details = self.pointer.text() == "/details";
                self.pointer.key(&key);
                match &*key {
                    // It stands for the object itself.
                    CUT => self.value(value, followed, forced, depth + 1)?,
                    INVALID if is_details && forced.is_none() => self.rejected(value)?,
                    key => self.value(value, self.paths.step(followed, key), forced, depth + 1)?,
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
            let (key, value) = self.key(at)?;
            self.pointer.key(&key);
            let end = visit(self, &key, value)?;
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
        let to = json::value_end(self.text, from)?;
        // It says nothing.
        if self.text.get(from..to) == Some(b"null") {
            return Some(to);
        }
        let start = self.found.pointers.len();
        self.found.pointers.push_str(self.pointer.text());
        let pointer = start..self.found.pointers.len();
        self.found.values.push(Value { from, to, field, pointer });
        let is_searchable = self.paths.fields[field].is_searchable;
        self.found.grows += (token::len_max(to - from, is_searchable) + 2).saturating_sub(to - from);
        Some(to)
    }
}

impl Found {
    /// The id of the person whose value this is: empty if the event does not say.
    pub(super) fn subject<'a>(&self, field: &Field, value: &Value, text: &'a [u8]) -> Cow<'a, str> {
        let path: Vec<String> = match field.subject.has_wildcard {
            true => {
                let pointer = self.pointers.get(value.pointer.clone()).unwrap_or_default();
                let keys = pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~"));
                keys.flat_map(|key| key.split('.').map(str::to_owned).collect::<Vec<_>>()).collect()
            }
            false => Vec::new(),
        };
        let bound;
        let parts = match field.subject.has_wildcard {
            true => {
                bound = field.subject_at(&path);
                &bound
            }
            false => &field.subject.parts,
        };
        let at = match (self.actor, parts.split_first()) {
            (Some(actor), Some((first, rest))) if first == "actor" => look_up(text, actor, rest),
            // The rest of a line begins behind the brace of its object.
            _ => look_up_in_members(text, 0, parts),
        };
        at.and_then(|at| scalar(text, at)).unwrap_or_default()
    }
}

/// Where the value at this path is below the value at `at`.
fn look_up(text: &[u8], at: usize, parts: &[String]) -> Option<usize> {
    let Some((first, rest)) = parts.split_first() else { return Some(at) };
    match *text.get(at)? {
        b'{' => look_up_in_members(text, at + 1, parts),
        b'[' => {
            let mut at = at + 1;
            for _ in 0..first.parse::<usize>().ok()? {
                at = json::value_end(text, at)?;
                at = (*text.get(at)? == b',').then_some(at + 1)?;
            }
            look_up(text, at, rest)
        }
        _ => None,
    }
}

fn look_up_in_members(text: &[u8], mut at: usize, parts: &[String]) -> Option<usize> {
    let (first, rest) = parts.split_first()?;
    while *text.get(at)? == b'"' {
        let end = json::string_end(text, at)?;
        if json::string(text, at, end) == **first {
            return look_up(text, end + 1, rest);
        }
        at = json::value_end(text, end + 1)?;
        at = (*text.get(at)? == b',').then_some(at + 1)?;
    }
    None
}

/// The text of a string or number.
fn scalar(text: &[u8], at: usize) -> Option<Cow<'_, str>> {
    let end = json::value_end(text, at)?;
    match *text.get(at)? {
        b'"' => Some(json::string(text, at, end)),
        b'-' | b'0'..=b'9' => std::str::from_utf8(&text[at..end]).ok().map(Cow::Borrowed),
        _ => None,
    }
}
