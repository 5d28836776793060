//! Where the value of a `key=value` in a text begins and ends, and what it looks like.
//!
//! A secret is masked whole or not at all: if it is in doubt whether a character still belongs to the value, it does.
//! So an unquoted value ends at the next blank.
//!
//! JSON in a text may itself have been put into a JSON string, more than once. Its *level* is how many backslashes
//! precede each of its quotes: each time they double and one is added.
//!
//! What must hold: a value that is rejected after it was walked is short, so that a text with many such costs no more
//! than their sum.

use std::ops::Range;

use super::examined_text::Look;
use super::token_prefixes::Class;
use crate::counted_steps;
use crate::mask::names::effect::{Kind, is_count};

/// Longer values are not placeholders, names or words, whatever they consist of.
pub(super) const ASKED_MAX: usize = 256;
/// The maximum length of a key.
const KEY_MAX: usize = 64;
/// The maximum number of bytes between a key and its value.
const BLANKS_MAX: usize = 16;
/// How long a name that is a placeholder for a value may be.
const VARIABLE_MAX: usize = 128;

/// What is between a key and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Separator {
    /// `=`, `=>`, `==`, `:=`.
    Equals,
    /// `:`.
    Colon,
    /// Nothing but a blank or a bracket, before a quote, as in `PASSWORD 'x'`.
    Quote,
    /// A tab alone.
    Tab,
    /// `>`, the end of a tag that `<` began.
    Tag,
    /// The blank line after the header of a form's part.
    Part,
}

/// What follows a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follows {
    pub(super) separator: Separator,
    /// The level of the key's own quotes, if it has some.
    pub(in crate::mask) level: Option<usize>,
    /// Where the value begins.
    pub(in crate::mask) start: usize,
    /// Whether a blank precedes it.
    pub(super) has_blank: bool,
}

/// What follows the key `key_start..key_end`, if a value may.
pub(super) fn follows(look: &Look<'_>, key_start: usize, key_end: usize) -> Option<Follows> {
    let blanks = |start: usize| {
        let len = (0..BLANKS_MAX).take_while(|at| matches!(look.byte(start + at), b' ' | b'\t')).count();
        look.walked(len + 1);
        start + len
    };
    let level = backslashes(look, key_end);
    let quote = key_end + level;
    let (behind, level) = match look.byte(quote) {
        b'"' | b'\'' | b'`' => (quote + 1, Some(level)),
        _ => (key_end, None),
    };
    // An element of an array, as PHP and Lua print it.
    let behind = behind + usize::from(look.byte(behind) == b']' && is_element(look, key_start, level));
    let place = blanks(behind);
    // Otherwise the second sign is the first of the value.
    let is_sign = matches!(look.byte(place + 2), b' ' | b'\t')
        || matches!(look.byte(place + 2 + backslashes(look, place + 2)), b'"' | b'\'');
    let separator = match (look.byte(place), look.byte(place + 1)) {
        (b'=', b'=' | b'>') | (b':', b'=') if is_sign => (Separator::Equals, place + 2),
        (b'=', _) => (Separator::Equals, place + 1),
        (b':', _) => (Separator::Colon, place + 1),
        // `define('KEY', 'value')`, `name="key" value="value"`, and a part of a form.
        (b',', _) if level.is_some() && is_after(look, key_start, b"define(") => {
            (Separator::Equals, place + 1)
        }
        (b'v', b'a') if level.is_some() && names_member(look, key_start, place) => {
            (Separator::Equals, place + b"value=".len())
        }
        (b'\r' | b'\n', _) if level == Some(0) && is_after(look, key_start, b"name=") => {
            let rest = &look.text[place..];
            let gap = [b"\r\n\r\n".as_slice(), b"\n\n"].into_iter().find(|gap| rest.starts_with(gap))?;
            (Separator::Part, place + gap.len())
        }
        (b'>', _) if level.is_none() && place == key_end && is_before(look, key_start, b"<:/") => {
            (Separator::Tag, place + 1)
        }
        (b'(', b'\'' | b'"') if level.is_none() && place == key_end => (Separator::Quote, place + 1),
        (b'\'' | b'"', _) if level.is_none() && place > key_end => (Separator::Quote, place),
        (b'$', b'$' | b'a'..=b'z' | b'A'..=b'Z') if level.is_none() && place > key_end => {
            dollar_quoted(look, place)?;
            (Separator::Quote, place)
        }
        (b'\\', _) if level.is_none() && place > key_end => {
            let quote = place + backslashes(look, place);
            if look.byte(quote) != b'"' {
                return None;
            }
            (Separator::Quote, place)
        }
        (0x21.., _) if level.is_none() && place == key_end + 1 && look.byte(key_end) == b'\t' => {
            (Separator::Tab, place)
        }
        _ => return None,
    };
    let (separator, from) = separator;
    let start = if matches!(separator, Separator::Tag | Separator::Part) { from } else { blanks(from) };
    Some(Follows { separator, level, start, has_blank: start > from })
}

/// Whether a key stands in brackets: `[key]`, `["key"]`.
fn is_element(look: &Look<'_>, key_start: usize, level: Option<usize>) -> bool {
    let quote = level.map_or(0, |level| level + 1);
    key_start.checked_sub(quote + 1).is_some_and(|place| look.text[place] == b'[')
}

/// Whether these letters precede the quote before a key.
fn is_after(look: &Look<'_>, key_start: usize, letters: &[u8]) -> bool {
    let Some(quote) = key_start.checked_sub(1) else { return false };
    look.walked(letters.len());
    look.text[..quote].trim_ascii_end().ends_with(letters)
}

/// Whether `name="key"` comes before `value="`, as attributes of one tag.
fn names_member(look: &Look<'_>, key_start: usize, place: usize) -> bool {
    let is_attribute = is_after(look, key_start, b"name=") || is_after(look, key_start, b"key=");
    is_attribute && look.text[place..].starts_with(b"value=")
}

/// A text in PostgreSQL's dollar quotes: `$$x$$`, `$tag$x$tag$`.
pub(super) fn dollar_quoted(look: &Look<'_>, start: usize) -> Option<Range<usize>> {
    const TAG_MAX: usize = 16;
    let name =
        look.text[start + 1..].iter().take(TAG_MAX).take_while(|byte| Class::Alnum.holds(**byte)).count();
    look.walked(name + 1);
    if look.byte(start) != b'$' || look.byte(start + 1 + name) != b'$' {
        return None;
    }
    let tag = start..start + name + 2;
    let window = &look.text[tag.end..look.text.len().min(tag.end + ASKED_MAX)];
    look.walked(window.len());
    let len = memchr::memmem::find(window, &look.text[tag.clone()])?;
    (len > 0).then_some(tag.end..tag.end + len)
}

/// Where a quoted key begins: after the same quote, so that it may contain a blank.
pub(super) fn quoted_key_start(look: &Look<'_>, key_start: usize, key_end: usize, level: usize) -> usize {
    let quote = look.byte(key_end + level);
    let before = &look.text[key_end.saturating_sub(KEY_MAX)..key_start];
    look.walked(before.len());
    memchr::memrchr(quote, before).map_or(key_start, |place| key_start - (before.len() - place - 1))
}

/// Whether one of these bytes precedes a place.
pub(super) fn is_before(look: &Look<'_>, place: usize, bytes: &[u8]) -> bool {
    place > 0 && bytes.contains(&look.text[place - 1])
}

/// Whether a key is the word `pass`, which in a sentence or a report says something else.
pub(super) fn is_pass(key: &str) -> bool {
    key.eq_ignore_ascii_case("pass")
}

pub(super) fn is_header(key: &str) -> bool {
    ends(key, "authorization") || ends(key, "cookie")
}

pub(super) fn is_phrase(key: &str) -> bool {
    ends(key, "passphrase") || ends(key, "pass_phrase") || ends(key, "pass-phrase")
}

/// Whether a key names a password, and not another secret.
pub(super) fn is_password(key: &str) -> bool {
    ["password", "passwd", "passphrase", "passcode", "pwd"].iter().any(|end| ends(key, end))
}

fn ends(key: &str, end: &str) -> bool {
    key.len()
        .checked_sub(end.len())
        .and_then(|at| key.get(at..))
        .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

/// Whether a header's value is an authentication scheme and one word that is too long for a sentence.
pub(super) fn has_scheme(value: &[u8]) -> bool {
    const SCHEMES: [&[u8]; 6] = [b"bearer", b"basic", b"token", b"digest", b"negotiate", b"apikey"];
    let Some(blank) = value.iter().take(ASKED_MAX).position(|byte| *byte == b' ') else { return false };
    let (scheme, word) = (&value[..blank], value[blank..].trim_ascii());
    word.len() >= 16
        && !word.contains(&b' ')
        && SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme))
}

/// A quoted value: up to the same quote, or to the end of a text that was cut. A quote inside it has more backslashes
/// before it than `level`, is doubled, or has a letter or digit after it.
pub(super) fn quoted(look: &Look<'_>, start: usize, quote: u8, level: usize) -> Option<Range<usize>> {
    let end = look.close(quote, level, start, || closing_quote(look, start, quote, level));
    (end > start).then_some(start..end)
}

fn closing_quote(look: &Look<'_>, start: usize, quote: u8, level: usize) -> usize {
    let mut backslashes = 0;
    let mut place = start;
    while let Some(byte) = look.text.get(place) {
        let end = match *byte {
            b'\\' => {
                backslashes += 1;
                place += 1;
                continue;
            }
            b'\n' => Some(place),
            byte if byte == quote && is_level(backslashes, level) => {
                let is_double = level == 0 && place > start && look.byte(place + 1) == quote;
                place += usize::from(is_double);
                let is_inside = is_double || look.byte(place + 1).is_ascii_alphanumeric();
                (!is_inside).then(|| place - level)
            }
            _ => None,
        };
        backslashes = 0;
        if let Some(end) = end {
            look.walked(place - start + 1);
            return end;
        }
        place += 1;
    }
    look.walked(look.text.len().saturating_sub(start) + 1);
    look.text.len()
}

/// A quoted value after an unquoted key, outside JSON. What follows the quote up to the next blank belongs to the
/// value, unless it can only be the surroundings.
pub(super) fn quoted_or_more(
    look: &Look<'_>,
    start: usize,
    quote_at: usize,
    level: usize,
) -> Option<Range<usize>> {
    let inside = quoted(look, quote_at + 1, look.byte(quote_at), level);
    let close = inside.as_ref().map_or(quote_at + 1, |inside| inside.end) + level;
    let is_closed = look.byte(close) == look.byte(quote_at);
    let behind = if is_closed { close + 1 } else { return inside };
    let rest = &look.text[behind..look.blank(behind).min(behind + ASKED_MAX)];
    let brackets = rest.iter().take_while(|byte| matches!(**byte, b')' | b']' | b'}' | b'>')).count();
    look.walked(brackets + 1);
    let is_around = rest[brackets..].first().is_none_or(|byte| b",;.:\\&|<\"'".contains(byte));
    if is_around { inside } else { Some(start..look.blank(behind)) }
}

/// A JSON list or object of this level, or what is left of it.
pub(super) fn container(look: &Look<'_>, start: usize, level: usize) -> Option<Range<usize>> {
    let (mut depth, mut is_string, mut backslashes) = (0_usize, false, 0);
    for (place, byte) in look.text.iter().enumerate().skip(start) {
        match *byte {
            b'"' if is_level(backslashes, level) => is_string = !is_string,
            b'{' | b'[' if !is_string => depth += 1,
            b'}' | b']' if !is_string => depth -= 1,
            _ => {}
        }
        backslashes = if *byte == b'\\' { backslashes + 1 } else { 0 };
        if depth == 0 {
            look.walked(place - start + 1);
            return Some(start..place + 1);
        }
    }
    look.walked(look.text.len() - start);
    Some(start..look.text.len())
}

/// A JSON number, or another unquoted JSON value, if the end of a member follows.
pub(super) fn scalar(look: &Look<'_>, start: usize) -> Option<Range<usize>> {
    let is_scalar =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.' | b'*' | b':');
    let len = (0..64).take_while(|at| is_scalar(look.byte(start + at))).count();
    look.walked(len + 1);
    let value = &look.text[start..start + len];
    let is_word =
        [b"true".as_slice(), b"false", b"null", b"None", b"True", b"False", b"nil"].contains(&value);
    // Where a list or object stood.
    let is_masked = [b"***".as_slice(), b"hmac:", b"REDACTED"].iter().any(|mask| value.starts_with(mask));
    let is_number = (value.first().is_some_and(u8::is_ascii_digit) || value.starts_with(b"-"))
        && value.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'));
    let is_end = matches!(look.byte(start + len), b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | 0);
    (len > 0 && is_end && (is_word || is_number || is_masked)).then_some(start..start + len)
}

/// To the end of the line, without the blanks there.
pub(super) fn line(look: &Look<'_>, start: usize) -> Option<Range<usize>> {
    let mut end = look.line(start);
    while end > start && matches!(look.text[end - 1], b' ' | b'\t') {
        end -= 1;
        look.walked(1);
        if look.line(start) - end > ASKED_MAX {
            break;
        }
    }
    (end > start).then_some(start..end)
}

/// A value of a URL's query.
pub(super) fn in_query(look: &Look<'_>, start: usize) -> Option<Range<usize>> {
    let end = look.blank(start);
    let len =
        look.text[start..end].iter().position(|byte| matches!(byte, b'&' | b'#')).unwrap_or(end - start);
    look.walked(len + 1);
    (len > 0).then_some(start..start + len)
}

/// An unquoted value: to the next blank. A blank in braces, or in the quotes of a call, belongs to it.
pub(super) fn unquoted(look: &Look<'_>, start: usize) -> Option<Range<usize>> {
    let near = |place: usize| place.min(start + ASKED_MAX).min(look.text.len());
    let mut end = look.blank(start);
    if cfg!(trailseal_fault = "value_cut_short") {
        end = look.text[start..end]
            .iter()
            .position(|byte| b"#&;".contains(byte))
            .map_or(end, |len| start + len);
    }
    let rest = &look.text[start..near(look.line(start))];
    look.walked(1);
    if rest.starts_with(b"{") && !rest.starts_with(b"{{") {
        look.walked(rest.len());
        if memchr::memchr(b'}', &look.text[start..near(end)]).is_none()
            && let Some(close) = memchr::memchr(b'}', rest)
        {
            end = look.blank(start + close);
        }
    } else {
        let name =
            rest.iter().take(32).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        look.walked(name + 1);
        if name > 0
            && rest.get(name) == Some(&b'(')
            && let Some(quote @ (b'\'' | b'"')) = rest.get(name + 1)
        {
            let inside = quoted(look, start + name + 2, *quote, 0);
            end = inside.map_or(end, |inside| look.blank(inside.end));
        }
    }
    (end > start).then_some(start..end)
}

/// The position of a quote preceded by letters that say what kind of text it is, as in `N'x'`, `b"x"`, `@"x"`.
pub(super) fn prefixed_quote(look: &Look<'_>, start: usize) -> Option<usize> {
    let is_prefix = matches!(
        look.byte(start),
        b'N' | b'n' | b'E' | b'e' | b'B' | b'b' | b'R' | b'r' | b'U' | b'u' | b'@'
    );
    (is_prefix && matches!(look.byte(start + 1), b'\'' | b'"')).then_some(start + 1)
}

/// How many backslashes are here.
pub(super) fn backslashes(look: &Look<'_>, start: usize) -> usize {
    let len = look.text.iter().skip(start).take_while(|byte| **byte == b'\\').count();
    look.walked(len + 1);
    len
}

/// Whether a value is only a placeholder: `<password>`, `{{ password }}`, `[password]`, `$PASSWORD`, `${password}`,
/// `$(command)`, `%s`, and parameters of SQL: `?`, `$1`, `:password`, `@p1`. An unquoted one may have blanks in its brackets.
pub(super) fn is_variable(look: &Look<'_>, value: &Range<usize>, is_quoted: bool) -> bool {
    let to = if is_quoted { value.end } else { look.text.len() };
    let rest = &look.text[value.start..to.min(value.start + VARIABLE_MAX)];
    if !matches!(rest.first(), Some(b'<' | b'{' | b'[' | b'$' | b'%' | b'?' | b':' | b'@')) {
        return false;
    }
    look.walked(2 * rest.len());
    let closed = |open: usize, with: &[u8], holds: fn(&[u8]) -> bool| {
        let len = memchr::memmem::find(&rest[open..], with)?;
        (len > 0 && holds(&rest[open..open + len])).then_some(open + len + with.len())
    };
    if !is_quoted && let Some(len) = parameter(rest) {
        let close = rest[len..].iter().take_while(|byte| b",;)\"'".contains(byte)).count();
        return rest.get(len + close).is_none_or(u8::is_ascii_whitespace);
    }
    let end = match rest {
        [b'<', ..] => closed(1, b">", is_words),
        [b'{', b'{', ..] => closed(2, b"}}", is_expression),
        [b'[', ..] => closed(1, b"]", is_words),
        [b'$', b'{', b'{', ..] => closed(3, b"}}", is_expression),
        [b'$', b'{', ..] => closed(2, b"}", is_name),
        [b'$', b'(', ..] => closed(2, b")", is_expression),
        [b'$', b'A'..=b'Z' | b'_', name @ ..] => {
            let is_upper = |byte: &&u8| Class::Upper.holds(**byte) || **byte == b'_';
            let end = 2 + name.iter().take_while(is_upper).count();
            // `$_POST['password']` is one name.
            let is_element = rest.get(end) == Some(&b'[');
            if is_element { closed(end + 1, b"]", is_expression) } else { Some(end) }
        }
        [b'%', b's' | b'd' | b'v' | b'q', ..] => Some(2),
        [b'%', b'(', ..] => closed(2, b")s", is_name),
        _ => None,
    };
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b",;)]}>\"'@&:/|`.".contains(byte);
    end.is_some_and(|end| rest.get(end).is_none_or(ends))
}

/// The length of a parameter of SQL that begins here.
fn parameter(rest: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let len = rest.get(from..)?.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
        (len > 0).then_some(from + len)
    };
    let is_of_name = |byte: &&u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || **byte == b'_';
    match rest {
        [b'?', ..] => Some(1),
        [b'$', ..] => digits(1),
        [b':', b'a'..=b'z', name @ ..] => Some(2 + name.iter().take_while(is_of_name).count()),
        [b'@', b'p' | b'P', ..] => digits(2),
        _ => None,
    }
}

fn is_words(words: &[u8]) -> bool {
    words.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'*')
        && words.iter().all(|byte| byte.is_ascii_alphanumeric() || b" _-.*:".contains(byte))
}

fn is_expression(words: &[u8]) -> bool {
    !words.contains(&b'\n')
}

fn is_name(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
}

/// Whether what follows `key:` is a value and not a word of a sentence.
pub(super) fn looks_like_value(value: &[u8]) -> bool {
    if value.len() > ASKED_MAX {
        return true;
    }
    counted_steps::count(value.len());
    let ends_word = |byte: &u8| {
        matches!(byte, b'.' | b',' | b';' | b':' | b'!' | b'?' | b')' | b']' | b'"' | b'\'' | b'}' | b'>')
    };
    let len = value.iter().rposition(|byte| !ends_word(byte)).map_or(0, |last| last + 1);
    let is_of_word = |byte: &u8| {
        byte.is_ascii_alphabetic()
            || !byte.is_ascii()
            || matches!(byte, b'-' | b'_' | b'\'' | b'/' | b'.' | b'(' | b'[' | b'<' | b'"')
    };
    value.len() >= 4 && value[..len].iter().any(|byte| !is_of_word(byte) && *byte != b' ')
}

/// Whether what follows a key stays because it only names or counts secrets. Among names of several secrets, only
/// tokens are usually counted; but where JSON has a number, it is a count.
pub(in crate::mask) fn stays(kind: Kind, key: &str, value: &[u8], is_json_number: bool) -> bool {
    value.len() <= ASKED_MAX && {
        counted_steps::count(2 * value.len());
        let may_count = kind.counts() && (is_json_number || ends(key, "tokens"));
        // A sentence may continue after an answer.
        let marks = value.iter().rev().take_while(|byte| b",;.)".contains(byte)).count();
        let answer = if kind == Kind::Question { &value[..value.len() - marks] } else { value };
        kind.lets_be(answer) || (may_count && is_count(value))
    }
}

/// Whether a quote after this many backslashes is one that JSON of this level has itself.
fn is_level(backslashes: usize, level: usize) -> bool {
    backslashes % (2 * (level + 1)) == level
}
