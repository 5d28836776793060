//! One text while it is searched. What was found out about a run of it is kept, so that no run is walked again for each
//! place in it that could begin a secret. Otherwise a text that repeats such places would cost its square.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::token_prefixes::{CLASSES, Class};
use crate::counted_steps;

/// The quotes that may end a URL.
const QUOTES: [u8; 4] = *b"\"'>`";

/// How many bytes may be walked per byte of a text, and in any text: some hundred times what ordinary texts need.
const WALKED_FOR_EACH: usize = 48;
const WALKED_AT_LEAST: usize = 16 << 10;

/// What ends a URL, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mask) enum End {
    Blank,
    Authority,
    Quote,
}

/// A text, and what is known about it.
pub(super) struct Look<'a> {
    pub(in crate::mask) text: &'a [u8],
    /// Where each class ends.
    classes: [Ahead; CLASSES],
    blank: Ahead,
    line: Ahead,
    authority: Ahead,
    tag: Ahead,
    folder: Ahead,
    part: Ahead,
    digit: Ahead,
    /// The last `@` before each kind of end.
    signs: [Behind; 3],
    /// The quotes that may enclose a URL.
    quotes: [Ahead; QUOTES.len()],
    /// Where a value in each of these quotes ends: level, from where that is known, and the end.
    closes: [Cell<Option<(usize, usize, usize)>>; QUOTES.len()],
    /// How many bytes were walked to find where values begin and end.
    walked: Cell<usize>,
    headers: RefCell<Option<Headers>>,
    maps: Cell<Maps>,
    commands: Cell<Option<Commands>>,
}

impl<'a> Look<'a> {
    pub(in crate::mask) fn new(text: &'a [u8]) -> Self {
        Look {
            text,
            classes: Default::default(),
            blank: Ahead::default(),
            line: Ahead::default(),
            authority: Ahead::default(),
            tag: Ahead::default(),
            folder: Ahead::default(),
            part: Ahead::default(),
            digit: Ahead::default(),
            signs: Default::default(),
            quotes: Default::default(),
            closes: Default::default(),
            walked: Cell::default(),
            headers: RefCell::default(),
            maps: Cell::default(),
            commands: Cell::default(),
        }
    }

    /// Counts walked bytes.
    pub(in crate::mask) fn walked(&self, bytes: usize) {
        counted_steps::count(bytes);
        self.walked.set(self.walked.get() + bytes);
    }

    /// Whether more was walked than any text needs that was not made for it.
    pub(super) fn is_worn_out(&self) -> bool {
        self.walked.get() > WALKED_AT_LEAST + WALKED_FOR_EACH * self.text.len()
    }

    pub(in crate::mask) fn byte(&self, place: usize) -> u8 {
        self.text.get(place).copied().unwrap_or(0)
    }

    /// How many bytes of a class are here, at most `max`.
    pub(in crate::mask) fn run(&self, start: usize, class: Class, max: usize) -> usize {
        if start >= self.text.len() {
            return 0;
        }
        let end = self.classes[class as usize]
            .next(self.text, start, |rest| rest.iter().position(|byte| !class.holds(*byte)));
        (end - start).min(max)
    }

    /// The position of the next blank, or the end.
    pub(in crate::mask) fn blank(&self, start: usize) -> usize {
        self.blank.next(self.text, start, |rest| rest.iter().position(u8::is_ascii_whitespace))
    }

    /// The end of the line.
    pub(in crate::mask) fn line(&self, start: usize) -> usize {
        self.line.next(self.text, start, |rest| memchr::memchr2(b'\n', b'\r', rest))
    }

    /// Where a URL's authority ends according to the standard.
    pub(super) fn authority(&self, start: usize) -> usize {
        self.authority.next(self.text, start, |rest| {
            rest.iter().position(|byte| byte.is_ascii_whitespace() || b"/?#\"'<>\\`".contains(byte))
        })
    }

    /// Where an XML tag is closed.
    pub(super) fn closing_tag(&self, start: usize) -> Option<usize> {
        let place = self.tag.next(self.text, start, |rest| memchr::memmem::find(rest, b"</"));
        (place < self.text.len()).then_some(place)
    }

    /// Where letters, digits, `_`, `-` and slashes end.
    pub(in crate::mask) fn folder(&self, start: usize) -> usize {
        self.folder.next(self.text, start, |rest| {
            rest.iter().position(|byte| !(Class::Word.holds(*byte) || *byte == b'/'))
        })
    }

    /// Where a part of a form ends: before a line that begins with two hyphens.
    pub(super) fn part(&self, start: usize) -> usize {
        self.part.next(self.text, start, |rest| memchr::memmem::find(rest, b"\n--"))
    }

    pub(super) fn has_digit(&self, range: Range<usize>) -> bool {
        self.digit.next(self.text, range.start, |rest| rest.iter().position(u8::is_ascii_digit)) < range.end
    }

    /// The last `@` in a range that ends like this.
    pub(super) fn last_sign(&self, range: Range<usize>, end: End) -> Option<usize> {
        self.signs[end as usize].last(self.text, range)
    }

    /// The position of the next such quote, if it may enclose a URL.
    pub(in crate::mask) fn quote(&self, quote: u8, start: usize) -> Option<usize> {
        let number = QUOTES.iter().position(|known| *known == quote)?;
        Some(self.quotes[number].next(self.text, start, |rest| memchr::memchr(quote, rest)))
    }

    /// Where a value in such quotes that begins here ends: from `find`, or from the result for an earlier one.
    pub(super) fn close(&self, quote: u8, level: usize, start: usize, find: impl Fn() -> usize) -> usize {
        let Some(number) = QUOTES.iter().position(|known| *known == quote) else { return find() };
        // What precedes it may change the meaning of a quote or a backslash.
        let is_inside = start > 0 && (self.text[start - 1] == b'\\' || self.text[start - 1] == quote);
        match self.closes[number].get() {
            Some((of, from, end)) if of == level && (from..end).contains(&start) && !is_inside => end,
            _ => {
                let end = find();
                self.closes[number].set(Some((level, start, end)));
                end
            }
        }
    }

    /// Whether a base64 text that ends at `end` is the header of a token as in RFC 7515. All that begin in one run are
    /// judged together: those whose groups of four agree have the same end once decoded.
    pub(super) fn is_jose_header(&self, header: Range<usize>) -> bool {
        let mut headers = self.headers.borrow_mut();
        let of_run = match &mut *headers {
            Some(of_run) if of_run.end == header.end => of_run,
            other => other.insert(Headers { end: header.end, last: [None; 4] }),
        };
        let (known_from, last) = match of_run.last[header.start % 4] {
            Some(known) if known.0 <= header.start => known,
            _ => {
                let known = (header.start, last_name(&self.text[header.clone()]));
                of_run.last[header.start % 4] = Some(known);
                known
            }
        };
        last.is_some_and(|last| last >= (header.start - known_from) / 4 * 3)
    }

    /// Whether `map[` comes before this place on its line: Go prints a map like that, with a blank between its members.
    pub(super) fn is_in_map(&self, place: usize) -> bool {
        let mut maps = self.maps.get();
        if place > maps.searched_to {
            for at in maps.searched_to..place {
                match self.text[at] {
                    b'\n' => maps.opened = None,
                    b'[' if self.text[..at].ends_with(b"map") => maps.opened = Some(at),
                    _ => {}
                }
            }
            counted_steps::count(place - maps.searched_to);
            maps.searched_to = place;
            self.maps.set(maps);
        }
        maps.opened.is_some_and(|opened| opened < place)
    }

    /// Which of `names`, each a command, come before this place in its command line, one bit each. The names are always
    /// the same.
    pub(super) fn commands(&self, place: usize, names: &[&str]) -> u16 {
        let known = self.commands.get().filter(|known| (known.from..=known.to).contains(&place));
        let commands = known.unwrap_or_else(|| {
            let from = (0..place).rev().find(|at| self.ends_command(*at)).map_or(0, |at| at + 1);
            let to = (place..self.text.len()).find(|at| self.ends_command(*at)).unwrap_or(self.text.len());
            let line = &self.text[from..to];
            counted_steps::count(line.len() * (names.len() + 1));
            let mut commands = Commands { from, to, places: [usize::MAX; 16] };
            for (known, name) in commands.places.iter_mut().zip(names) {
                let mut places = memchr::memmem::find_iter(line, name.as_bytes());
                let found = places.find(|at| is_command(line, *at, at + name.len()));
                *known = found.map_or(usize::MAX, |at| from + at);
            }
            self.commands.set(Some(commands));
            commands
        });
        let is_before = |known: &usize| *known < place;
        let numbers = commands.places.iter().enumerate().filter(|(_, known)| is_before(known));
        numbers.fold(0, |found, (number, _)| found | 1 << number)
    }

    /// Whether another command begins behind this place. Without a blank the sign may be in an argument.
    fn ends_command(&self, at: usize) -> bool {
        let is_sign = matches!(self.text[at], b'|' | b';' | b'&');
        self.text[at] == b'\n' || is_sign && self.byte(at + 1).is_ascii_whitespace()
    }
}

/// The next place of something: once known, it is known for all places before it.
#[derive(Default)]
struct Ahead(Cell<Option<(usize, usize)>>);

impl Ahead {
    fn next(&self, text: &[u8], start: usize, find: impl Fn(&[u8]) -> Option<usize>) -> usize {
        let part = |range: Range<usize>| {
            let part = text.get(range.clone()).unwrap_or_default();
            let found = find(part);
            counted_steps::count(found.unwrap_or(part.len()) + 1);
            found.map(|place| range.start + place)
        };
        match self.0.get() {
            Some((from, at))
                if (from..=at).contains(&start) && !cfg!(trailseal_fault = "runs_walked_again") =>
            {
                at
            }
            // What is known about later places is kept.
            Some((from, at)) if start < from => part(start..from.min(text.len())).unwrap_or_else(|| {
                self.0.set(Some((start, at)));
                at
            }),
            _ => {
                let at = part(start..text.len()).unwrap_or(text.len());
                self.0.set(Some((start, at)));
                at
            }
        }
    }
}

/// The last place of a sign before an end, searched from the end as far as needed so far.
#[derive(Default)]
struct Behind(Cell<Option<(usize, usize, Option<usize>)>>);

impl Behind {
    fn last(&self, text: &[u8], range: Range<usize>) -> Option<usize> {
        let from = match self.0.get() {
            Some((end, _, Some(found))) if end == range.end => {
                return (found >= range.start).then_some(found);
            }
            Some((end, from, None)) if end == range.end => from.min(range.end),
            _ => range.end,
        };
        let found = text.get(range.start..from).and_then(|part| memchr::memrchr(b'@', part));
        let found = found.map(|place| range.start + place);
        counted_steps::count(from.saturating_sub(found.unwrap_or(range.start)) + 1);
        self.0.set(Some((range.end, range.start.min(from), found)));
        found
    }
}

/// What is known about base64 texts that end at one place: for each of the four ways to group them, from where, and
/// where in the decoded text the last of the names is.
struct Headers {
    end: usize,
    last: [Option<(usize, Option<usize>)>; 4],
}

/// Where each command first is in the command line `from..to`.
#[derive(Clone, Copy)]
struct Commands {
    from: usize,
    to: usize,
    places: [usize; 16],
}

/// Whether a word of its own begins here that is no file: `ldapsearch`, but not `backup.zip` or `ldap.log`.
fn is_command(line: &[u8], start: usize, end: usize) -> bool {
    let is_of_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !start.checked_sub(1).is_some_and(|before| is_of_word(&line[before])) && line.get(end) != Some(&b'.')
}

#[derive(Clone, Copy, Default)]
struct Maps {
    searched_to: usize,
    opened: Option<usize>,
}

/// Where the last name that only such a header has begins, once decoded.
fn last_name(text: &[u8]) -> Option<usize> {
    counted_steps::count(4 * text.len());
    // A base64 text cannot have one character over.
    if text.len() % 4 == 1 {
        return None;
    }
    let json = URL_SAFE_NO_PAD.decode(text).ok()?;
    [b"\"alg\"", b"\"enc\"", b"\"typ\""].iter().filter_map(|name| memchr::memmem::rfind(&json, *name)).max()
}
