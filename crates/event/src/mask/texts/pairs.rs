//! Secrets named by a key, a flag or their place in a text: `key=value` and the like, URLs, SQL, XML, command lines.

use std::ops::Range;

use super::examined_text::{End, Look};
use super::multi_line;
use super::pair_values::{self, ASKED_MAX, Follows, Separator};
use super::scan::Scan;
use super::token_prefixes::key_start;
use crate::mask::names::effect::Kind;

impl Scan<'_> {
    /// `key=value`, `key: value`, `"key": "value"`, `PASSWORD 'value'`, `<key>value</key>` and headers.
    pub(super) fn key_value(&self, look: &Look<'_>, at: usize) -> Option<(Range<usize>, &'static str)> {
        let text = look.text;
        let key_end = if matches!(text[at + 1], b' ' | b'\'' | b'\t') { at + 1 } else { at + 2 };
        // Anchors end a key in a letter or digit. Others come here when their hash is that of one, but the pass over an
        // event's text, where a tab is escaped, has other bytes and another hash, and would not have noticed them.
        if !text[key_end - 1].is_ascii_alphanumeric() {
            return None;
        }
        let key_start = key_start(text, key_end);
        let key = std::str::from_utf8(&text[key_start..key_end]).ok()?;
        self.keys.find(key)?;
        let follows = pair_values::follows(look, key_start, key_end)?;
        let whole_start = follows
            .level
            .map_or(key_start, |level| pair_values::quoted_key_start(look, key_start, key_end, level));
        let key = std::str::from_utf8(&text[whole_start..key_end]).unwrap_or(key);
        let kind = self.keys.find(key)?;
        if !self.is_pair(look, key_start, key, follows) {
            return None;
        }
        let (range, is_quoted) = self.value(look, key_start, key, kind, follows)?;
        let is_plain = !is_quoted && self.may_be_word(look, key_start, follows);
        let value = &text[range.clone()];
        let is_header = pair_values::is_header(key);
        let is_sure = pair_values::looks_like_value(value)
            || (is_header && pair_values::has_scheme(value))
            || (pair_values::is_phrase(key) && value.contains(&b' '));
        let is_word = is_plain && !is_sure;
        let stays = pair_values::stays(kind, key, value, follows.level.is_some() && !is_quoted);
        (!self.is_placeholder(look, &range, is_quoted) && !is_word && !stays)
            .then_some((range, if is_header { "header" } else { "key and value in text" }))
    }

    /// Whether the surroundings of a key allow a value to follow.
    fn is_pair(&self, look: &Look<'_>, key_start: usize, key: &str, follows: Follows) -> bool {
        let is_free = || !pair_values::is_before(look, key_start, b":/@.");
        match follows.separator {
            Separator::Quote => {
                // `get_secret('prod/db')` names one, and `unknown column refresh_token 'x'` is a sentence.
                let is_option = key.contains('_') && !key.bytes().any(|byte| byte.is_ascii_lowercase());
                let is_call = pair_values::is_before(look, follows.start, b"(");
                pair_values::is_password(key) || (is_option && !is_call)
            }
            Separator::Colon if pair_values::is_pass(key) && follows.level.is_none() => {
                let before = look.text[..key_start].trim_ascii_end();
                let is_option = [b"-pass".as_slice(), b"-passin", b"-passout"];
                !follows.has_blank && is_option.iter().any(|option| before.ends_with(option))
            }
            Separator::Tab if pair_values::is_pass(key) => false,
            Separator::Tab => self.looks && is_free(),
            // Otherwise any path or name with a colon in it would be one.
            Separator::Colon if follows.level.is_none() && !follows.has_blank => {
                let is_slash_option = key_start >= 1
                    && look.byte(key_start - 1) == b'/'
                    && (key_start == 1 || look.byte(key_start - 2).is_ascii_whitespace());
                self.looks && (is_free() || is_slash_option)
            }
            _ => true,
        }
    }

    /// Whether the value may also be a word of a sentence.
    fn may_be_word(&self, look: &Look<'_>, key_start: usize, follows: Follows) -> bool {
        match follows.separator {
            Separator::Colon => {
                !(follows.level.is_some() || (!follows.has_blank && look.is_in_map(key_start)))
            }
            Separator::Tab => true,
            Separator::Equals | Separator::Quote | Separator::Tag | Separator::Part => false,
        }
    }

    /// Where the value is, and whether it is in quotes.
    fn value(
        &self,
        look: &Look<'_>,
        key_start: usize,
        key: &str,
        kind: Kind,
        follows: Follows,
    ) -> Option<(Range<usize>, bool)> {
        let Follows { separator, level, start, .. } = follows;
        if separator == Separator::Tag {
            return tagged(look, key_start, start, key).map(|range| (range, true));
        }
        if separator == Separator::Part {
            let end = look.part(start);
            let len = look.text[start..end].trim_ascii_end().len();
            return (len > 0).then_some((start..start + len, true));
        }
        if separator == Separator::Quote && look.byte(start) == b'$' {
            return pair_values::dollar_quoted(look, start).map(|range| (range, true));
        }
        if let Some(behind) = behind_tag(look, follows) {
            let (value, is_quoted) =
                self.value(look, key_start, key, kind, Follows { start: behind, ..follows })?;
            let quote = usize::from(is_quoted && matches!(look.byte(value.end), b'"' | b'\''));
            return Some((start..value.end + quote, is_quoted));
        }
        if matches!(separator, Separator::Equals | Separator::Colon)
            && let Some(range) = multi_line::value(look, key_start, start)
        {
            return Some((range, true));
        }
        let value_level = pair_values::backslashes(look, start);
        let quote_at = start + value_level;
        let is_quote = matches!(look.byte(quote_at), b'"' | b'\'' | b'`');
        if is_quote && (level.is_some() || value_level > 0) {
            return pair_values::quoted(look, quote_at + 1, look.byte(quote_at), value_level)
                .map(|range| (range, true));
        }
        if is_quote {
            return pair_values::quoted_or_more(look, start, quote_at, 0).map(|range| (range, true));
        }
        if separator == Separator::Quote {
            return None;
        }
        if let Some(quote_at) = pair_values::prefixed_quote(look, start) {
            return pair_values::quoted_or_more(look, start, quote_at, 0).map(|range| (range, true));
        }
        match (look.byte(start), level) {
            // Its content is examined separately.
            (b'{', Some(_)) if matches!(kind, Kind::AccessKey | Kind::AccessKeys) => return None,
            (b'{' | b'[', Some(level)) => {
                return pair_values::container(look, start, level).map(|range| (range, false));
            }
            (_, Some(_)) => {
                if let Some(range) = pair_values::scalar(look, start) {
                    return Some((range, false));
                }
            }
            _ => {}
        }
        self.bare(look, key_start, key, follows).map(|range| (range, false))
    }

    /// A value without quotes.
    fn bare(&self, look: &Look<'_>, key_start: usize, key: &str, follows: Follows) -> Option<Range<usize>> {
        let start = follows.start;
        if pair_values::is_before(look, key_start, b"?&#") {
            return pair_values::in_query(look, start);
        }
        if look.byte(start) == b'[' && pair_values::is_header(key) && look.is_in_map(key_start) {
            let close = memchr::memchr(b']', &look.text[start..look.line(start)]);
            look.walked(close.unwrap_or(0) + 1);
            if let Some(close) = close {
                return (close > 1).then_some(start + 1..start + close);
            }
        }
        // The quote around `"key=value"` is its end.
        if follows.level.is_none()
            && pair_values::is_before(look, key_start, b"\"'")
            && let Some(range) = around(look, key_start, start)
        {
            return Some(range);
        }
        if pair_values::is_header(key) || pair_values::is_phrase(key) {
            return pair_values::line(look, start);
        }
        pair_values::unquoted(look, start)
    }

    /// The password in `scheme://user:password@host`. One with a `/`, `?` or `#` that should have been escaped is also
    /// masked whole: if no host follows the first `@`, or no port the colon.
    pub(super) fn url_password(&self, look: &Look<'_>, start: usize, after: usize) -> Option<Range<usize>> {
        let text = look.text;
        let authority = look.authority(after);
        let colon = after + text[after..authority].iter().position(|byte| *byte == b':')?;
        look.walked(colon - after + 1);
        let (whole, end) = end_of_url(look, start, after);
        let is_port = colon > after && is_port(&text[colon + 1..authority], look.byte(authority));
        let sign = match look.last_sign(after..authority, End::Authority) {
            Some(sign) if sign < colon => return None,
            Some(sign) if is_host(look, sign + 1, authority, whole) => sign,
            Some(sign) => look.last_sign(after..whole, end).map_or(sign, |last| last.max(sign)),
            None if is_port || authority >= whole || look.byte(after) == b'[' => return None,
            None => look.last_sign(authority..whole, end)?,
        };
        let range = colon + 1..sign;
        (!range.is_empty() && !self.is_placeholder(look, &range, true)).then_some(range)
    }

    /// Whether a value is a placeholder for a secret instead of one.
    pub(super) fn is_placeholder(&self, look: &Look<'_>, range: &Range<usize>, is_quoted: bool) -> bool {
        const WORDS: [&[u8]; 11] = [
            b"redacted",
            b"***redacted***",
            b"[redacted]",
            b"none",
            b"null",
            b"nil",
            b"true",
            b"false",
            b"undefined",
            b"hidden",
            b"masked",
        ];
        if pair_values::is_variable(look, range, is_quoted) {
            return true;
        }
        let value = &look.text[range.clone()];
        if value.len() > ASKED_MAX {
            return false;
        }
        look.walked(value.len());
        let is_start = |byte: &&u8| **byte & 0xC0 != 0x80;
        let is_ours = value
            .strip_prefix(b"***")
            .is_some_and(|rest| rest.iter().filter(is_start).count() <= 4)
            || self.key.is_some_and(|key| std::str::from_utf8(value).is_ok_and(|value| key.is_hash(value)));
        let is_blank =
            value.iter().all(|byte| matches!(byte, b'*' | b'x' | b'X' | b'.' | b'-' | b'_' | b' '));
        // A sentence may continue after it.
        let marks = value.iter().rev().take_while(|byte| matches!(**byte, b',' | b';' | b'.' | b')')).count();
        let word = if is_quoted { value } else { &value[..value.len() - marks] };
        is_ours || is_blank || WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
    }
}

/// Where a YAML value begins, if its tag or anchor comes first. It may also be a password with a blank, so both go.
fn behind_tag(look: &Look<'_>, follows: Follows) -> Option<usize> {
    let start = follows.start;
    if follows.separator != Separator::Colon || !follows.has_blank || !matches!(look.byte(start), b'!' | b'&')
    {
        return None;
    }
    let end = look.blank(start);
    let blanks = (0..16).take_while(|ahead| look.byte(end + ahead) == b' ').count();
    look.walked(blanks + 1);
    let behind = end + blanks;
    (blanks > 0 && look.line(start) > behind && !matches!(look.byte(behind), b'!' | b'&')).then_some(behind)
}

/// The text between two tags of one name. A tag with attributes is known by the one that closes it.
fn tagged(look: &Look<'_>, key_start: usize, start: usize, name: &str) -> Option<Range<usize>> {
    if let Some(close) = closing_start(look, key_start) {
        return between(look, close, name);
    }
    let end = look.closing_tag(start)?;
    let closing = &look.text[end..look.text.len().min(end + 2 * ASKED_MAX)];
    let closing = &closing[..closing.iter().take(ASKED_MAX).position(|byte| *byte == b'>')?];
    look.walked(closing.len());
    let is_same = closing.ends_with(name.as_bytes());
    let holds_text = look.byte(start) != b'<' || look.text[start..].starts_with(b"<![CDATA[");
    (is_same && holds_text && end > start).then_some(start..end)
}

/// Where the closing tag begins whose name begins here.
fn closing_start(look: &Look<'_>, key_start: usize) -> Option<usize> {
    let before = &look.text[key_start.saturating_sub(32)..key_start];
    look.walked(before.len());
    let space = before.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b':').count();
    key_start.checked_sub(space + 2).filter(|close| look.text[*close..].starts_with(b"</"))
}

/// What stands before a closing tag, if the tag before it has the same name, and attributes.
fn between(look: &Look<'_>, close: usize, name: &str) -> Option<Range<usize>> {
    // Between two tags is scanned once, so long texts cost no more than their length.
    let tag_before = |place: usize| {
        let open = memchr::memrchr(b'<', &look.text[..place]);
        look.walked(place - open.unwrap_or(0));
        open
    };
    let last = tag_before(close)?;
    let is_cdata = look.text[last..].starts_with(b"<![CDATA[");
    let open = if is_cdata { tag_before(last)? } else { last };
    let tag = &look.text[open + 1..close];
    let prefix = tag.iter().take(32).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let own = if tag.get(prefix) == Some(&b':') { &tag[prefix + 1..] } else { tag };
    let behind = own.strip_prefix(name.as_bytes());
    if !behind.is_some_and(|behind| behind.first().is_some_and(u8::is_ascii_whitespace)) {
        return near(look, close, name);
    }
    let end = open + memchr::memchr(b'>', &look.text[open..close])? + 1;
    (end < close).then_some(end..close)
}

/// The same for a value with a `<` in it, where tag and value are short.
fn near(look: &Look<'_>, close: usize, name: &str) -> Option<Range<usize>> {
    let from = close.saturating_sub(ASKED_MAX);
    let before = &look.text[from..close];
    look.walked(before.len());
    // The value may have the name in it.
    let is_tag = |open: &usize| {
        *open > 0
            && matches!(before[open - 1], b'<' | b':')
            && before.get(open + name.len()).is_some_and(u8::is_ascii_whitespace)
    };
    let open = memchr::memmem::rfind_iter(before, name.as_bytes()).find(is_tag)?;
    let end = open + memchr::memchr(b'>', &before[open..])? + 1;
    let range = from + end..close;
    let holds_text = !before[end..].starts_with(b"<") || before[end..].starts_with(b"<![CDATA[");
    (!range.is_empty() && holds_text).then_some(range)
}

/// A value in the quotes that also enclose its key.
fn around(look: &Look<'_>, key_start: usize, start: usize) -> Option<Range<usize>> {
    let quote = look.text[key_start - 1];
    let before = look.text[..key_start - 1].iter().rev().take(16).take_while(|byte| **byte == b'\\').count();
    let range = pair_values::quoted(look, start, quote, before)?;
    let is_closed = look.byte(range.end + before) == quote;
    is_closed.then_some(range)
}

/// Where a URL ends: at the quote before it, else at the next blank.
fn end_of_url(look: &Look<'_>, start: usize, after: usize) -> (usize, End) {
    let scheme = look.text[..start]
        .iter()
        .rev()
        .take(32)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(**byte, b'+' | b'-' | b'.' | b':'))
        .count();
    look.walked(scheme + 1);
    let end = look.blank(after);
    let before =
        look.text[..start - scheme].last().map_or(0, |byte| if *byte == b'<' { b'>' } else { *byte });
    match look.quote(before, after) {
        Some(quote) if quote < end => (quote, End::Quote),
        _ => (end, End::Blank),
    }
}

/// Whether there certainly is a host here: it has a dot or a port, or ends the URL.
fn is_host(look: &Look<'_>, start: usize, end: usize, whole: usize) -> bool {
    let hosts = &look.text[start..end.min(start + ASKED_MAX)];
    look.walked(2 * hosts.len());
    let is_one = |host: &[u8]| {
        let (name, port) = match host.iter().rposition(|byte| *byte == b':') {
            Some(colon) if host.last() != Some(&b']') => (&host[..colon], Some(&host[colon + 1..])),
            _ => (host, None),
        };
        let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_%{}$".contains(byte);
        let is_address = name.starts_with(b"[") && name.ends_with(b"]");
        let is_known =
            end >= whole || port.is_some() || is_address || name.contains(&b'.') || name == b"localhost";
        let is_named = !name.is_empty() && (is_address || name.iter().all(is_of_name));
        is_known && is_named && port.is_none_or(|port| self::is_port(port, 0) || port.starts_with(b"$"))
    };
    hosts.split(|byte| *byte == b',').all(is_one)
}

/// Whether this can be a port, before that byte.
fn is_port(text: &[u8], next: u8) -> bool {
    let is_number = text.len() <= 5 && text.iter().all(u8::is_ascii_digit);
    is_number && (!text.is_empty() || matches!(next, b'/' | b'?' | b'#'))
}
