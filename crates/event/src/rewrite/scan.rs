//! One pass over JSON text: its grammar is checked while it is copied in the line's form (no white space, escapes only
//! where needed), or only checked to be in that form already.
//!
//! `None` always means: not for the fast path. It may be bad JSON, or good JSON that the slow path treats specially: a
//! repeated key, half a surrogate pair, a number that must become text.

use super::copy::{Key, Places, copy_byte, copy_key, copy_number, copy_string, copy_word, skip_space};
use super::names::{print_of_word, word};
use super::span::Span;
use crate::counted_steps;
use crate::event::INVALID;
use crate::event::parse::DEPTH_MAX;
use crate::event::warning::{Place, misplaced};
use crate::mask::NAMERS;

/// The maximum number of keys of all objects open at one point. Each new key is compared with those of its object, so
/// this bounds the work.
const OPEN_KEYS_MAX: usize = 512;

/// The key that only the trail writes, below which keys are paths.
pub(super) const MARKS: u128 = word(INVALID.as_bytes());

/// The inside of a string in the input. Its length counts escapes as written: never less than the decoded length.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Text {
    pub(super) inside: Span,
    /// Whether it contains escapes.
    pub(super) escaped: bool,
}

/// A member of an object below `before` or `after`, as it is in the output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// The inside of the key, which has no escapes.
    pub(super) key: Span,
    pub(super) value: Span,
    /// The position after the members of the value.
    pub(super) next: u32,
}

/// A container that is open.
#[derive(Clone, Copy)]
struct Frame {
    /// The byte that closes it; zero if there is none.
    close: u8,
    keys: Keys,
    /// The position of the member whose value is being read.
    member: usize,
}

/// The keys of one object, none of which may occur twice.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    /// One bit for each key, by its print: a new bit is a new key.
    seen: u64,
    /// Where the prints of the object begin.
    from: usize,
}

/// What a thread keeps between events, so that no event needs an allocation.
#[derive(Default)]
pub(super) struct Lists {
    pub(super) members: Vec<Member>,
    pub(super) extras: Vec<Span>,
    frames: Vec<Frame>,
    prints: Vec<u64>,
}

impl Lists {
    pub(super) const fn new() -> Self {
        Lists { members: Vec::new(), extras: Vec::new(), frames: Vec::new(), prints: Vec::new() }
    }

    fn clear(&mut self) {
        self.members.clear();
        self.extras.clear();
        self.frames.clear();
        self.prints.clear();
    }

    pub(super) fn keys(&self) -> Keys {
        Keys { seen: 0, from: self.prints.len() }
    }

    /// Adds a key to those of its object; `None` if it is already there.
    #[inline(always)]
    pub(super) fn add(&mut self, keys: &mut Keys, print: u64) -> Option<()> {
        let bit = 1 << (print >> 58);
        if keys.seen & bit != 0 && self.prints.get(keys.from..)?.contains(&print) {
            return None;
        }
        keys.seen |= bit;
        if self.prints.len() == OPEN_KEYS_MAX {
            return None;
        }
        self.prints.push(print);
        Some(())
    }

    pub(super) fn end(&mut self, keys: Keys) {
        self.prints.truncate(keys.from);
    }
}

/// Reads `text` and writes `out`, each from its position on. Without `COPIES` it only reads; see [`super::copy`].
pub(super) struct Scan<'a, F, const COPIES: bool> {
    pub(super) text: &'a str,
    pub(super) places: Places,
    pub(super) out: &'a mut [u8],
    pub(super) lists: &'a mut Lists,
    /// Whether members are recorded, to find out what changed.
    pub(super) notes_members: bool,
    /// Whether there were unknown names in places that have known ones.
    pub(super) has_own_names: bool,
    masks: F,
}

impl<'a, F: Fn(&str, Option<&[u8]>) -> bool, const COPIES: bool> Scan<'a, F, COPIES> {
    pub(super) fn new(text: &'a str, out: &'a mut [u8], lists: &'a mut Lists, masks: F) -> Self {
        lists.clear();
        let places = Places { at: 0, end: 0 };
        Scan { text, places, out, lists, notes_members: false, has_own_names: false, masks }
    }

    #[inline(always)]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.places.at).copied()
    }

    /// Consumes a byte that the line also has.
    #[inline(always)]
    pub(super) fn pass(&mut self, byte: u8) -> Option<()> {
        if self.peek()? != byte {
            return None;
        }
        let places = copy_byte::<COPIES>(byte, self.places, self.out)?;
        self.places = places;
        Some(())
    }

    /// Skips white space, which the line does not have.
    #[inline(always)]
    pub(super) fn space(&mut self) {
        if COPIES {
            self.places.at = skip_space(self.text.as_bytes(), self.places.at);
        }
    }

    /// Copies a string with its quotes, from its opening quote on. Returns whether it contains escapes.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Option<bool> {
        let (places, escaped) = copy_string::<COPIES>(self.text.as_bytes(), self.places, self.out)?;
        self.places = places;
        Some(escaped)
    }

    /// Copies a key and its colon, and skips the space around them. None of its characters may be escaped.
    #[inline(always)]
    pub(super) fn key(&mut self) -> Option<Key> {
        let (key, places) = copy_key::<COPIES>(self.text.as_bytes(), self.places, self.out)?;
        self.places = places;
        self.space();
        Some(key)
    }

    /// Consumes what follows a member or element; true if that was the end of the container.
    #[inline(always)]
    pub(super) fn comma_or(&mut self, close: u8) -> Option<bool> {
        self.space();
        let byte = self.peek()?;
        if byte != b',' && byte != close {
            return None;
        }
        self.pass(byte)?;
        Some(byte == close)
    }

    pub(super) fn null(&mut self) -> Option<()> {
        self.places = copy_word::<COPIES>(self.text.as_bytes(), self.places, b"null", self.out)?;
        Some(())
    }

    pub(super) fn number(&mut self) -> Option<()> {
        self.places = copy_number::<COPIES>(self.text, self.places, self.out)?;
        Some(())
    }

    /// Whether a key that is not one of the event's own must be masked, or names what must be.
    #[inline(always)]
    pub(super) fn masks_member(&self, key: &Key) -> Option<bool> {
        let name = self.text.get(key.inside.range())?;
        Some(
            (self.masks)(name, self.text.as_bytes().get(self.places.at..))
                || may_name(key) && names_secret(self.text, &self.masks, self.places.at),
        )
    }

    /// Records a name that is not one of the event's own. One that looks like one of them needs a warning.
    #[inline(never)]
    pub(super) fn own_name(&mut self, place: Place, key: &Key) -> Option<()> {
        self.has_own_names = true;
        let name = self.text.get(key.inside.range())?;
        misplaced(place, name).is_none().then_some(())
    }

    /// Whether a part of a key names a secret.
    pub(super) fn is_secret_name(&self, key: &str) -> bool {
        (self.masks)(key, None)
    }

    /// Copies any value. A container that is one is at level `depth`.
    ///
    /// A loop with its own stack, so that what each step needs stays in registers.
    pub(super) fn value(&mut self, depth: usize) -> Option<()> {
        const OBJECT: u8 = b'}';
        let text = self.text.as_bytes();
        let out = &mut *self.out;
        let lists = &mut *self.lists;
        let mut places = self.places;
        let mut open = Frame { close: 0, keys: lists.keys(), member: 0 };
        loop {
            // Here a value begins.
            let byte = *text.get(places.at)?;
            let mut has_ended = true;
            match byte {
                b'"' => places = copy_string::<COPIES>(text, places, out)?.0,
                b'-' | b'0'..=b'9' => places = copy_number::<COPIES>(self.text, places, out)?,
                b'{' | b'[' => {
                    if depth + lists.frames.len() > DEPTH_MAX {
                        return None;
                    }
                    let close = byte + 2;
                    places = copy_byte::<COPIES>(byte, places, out)?;
                    if COPIES {
                        places.at = skip_space(text, places.at);
                    }
                    if *text.get(places.at)? == close {
                        places = copy_byte::<COPIES>(close, places, out)?;
                    } else {
                        lists.frames.push(open);
                        open = Frame { close, keys: lists.keys(), member: 0 };
                        has_ended = false;
                    }
                }
                b't' => places = copy_word::<COPIES>(text, places, b"true", out)?,
                b'f' => places = copy_word::<COPIES>(text, places, b"false", out)?,
                b'n' => places = copy_word::<COPIES>(text, places, b"null", out)?,
                b' ' | b'\t' | b'\n' | b'\r' if COPIES => {
                    places.at = skip_space(text, places.at);
                    continue;
                }
                _ => return None,
            }
            // Here a value has ended, and perhaps those around it.
            if has_ended {
                loop {
                    if open.close == 0 {
                        self.places = places;
                        return Some(());
                    }
                    if self.notes_members && open.close == OBJECT {
                        let next = lists.members.len() as u32;
                        let member = lists.members.get_mut(open.member)?;
                        (member.value.to, member.next) = (places.end as u32, next);
                    }
                    if COPIES {
                        places.at = skip_space(text, places.at);
                    }
                    let byte = *text.get(places.at)?;
                    if byte != b',' && byte != open.close {
                        return None;
                    }
                    places = copy_byte::<COPIES>(byte, places, out)?;
                    if byte == b',' {
                        break;
                    }
                    lists.end(open.keys);
                    open = lists.frames.pop()?;
                }
            }
            // Here a key comes, if the open container is an object.
            if open.close != OBJECT {
                continue;
            }
            let from = places.end;
            let (key, after) = copy_key::<COPIES>(text, places, out)?;
            places = after;
            let name = self.text.get(key.inside.range())?;
            if key.word == MARKS || (self.masks)(name, text.get(places.at..)) {
                return None;
            }
            if may_name(&key) && names_secret(self.text, &self.masks, places.at) {
                return None;
            }
            lists.add(&mut open.keys, key.print)?;
            if self.notes_members {
                open.member = lists.members.len();
                let key = Span::new(from + 1, places.end - 2);
                lists.members.push(Member { key, value: Span::new(places.end, places.end), next: 0 });
            }
        }
    }
}

/// Whether a key is one of [`NAMERS`]. Few instructions for most keys: the bit of their print says no.
#[inline(always)]
fn may_name(key: &Key) -> bool {
    const WORDS: [u128; NAMERS.len()] = {
        let mut words = [0; NAMERS.len()];
        let mut place = 0;
        while place < words.len() {
            words[place] = word(NAMERS[place].as_bytes());
            place += 1;
        }
        words
    };
    const BITS: u64 = {
        let (mut bits, mut place) = (0, 0);
        while place < WORDS.len() {
            bits |= 1 << (print_of_word(WORDS[place]) >> 58);
            place += 1;
        }
        bits
    };
    BITS >> (key.print >> 58) & 1 != 0 && WORDS.contains(&key.word)
}

/// Whether the value at a place is a text that names what another member of the object holds, and must be masked.
#[cold]
#[inline(never)]
fn names_secret(text: &str, masks: &impl Fn(&str, Option<&[u8]>) -> bool, at: usize) -> bool {
    let at = skip_space(text.as_bytes(), at);
    let Some((b'"', rest)) = text.as_bytes().get(at..).and_then(<[u8]>::split_first) else { return false };
    let end = memchr::memchr2(b'"', b'\\', rest);
    counted_steps::count(end.unwrap_or(rest.len()));
    match end {
        Some(len) if rest[len] == b'"' => {
            text.get(at + 1..at + 1 + len).is_some_and(|name| masks(name, None))
        }
        // With an escape in it, it is decoded first; without an end it is not JSON.
        _ => true,
    }
}
