//! Secrets named by a key, a flag or their place in a text: `key=value` and the like, URLs, SQL, XML, command lines.

use std::ops::Range;

use super::examined_text::{End, Look};
use super::pair_values::{self, ASKED_MAX, Follows, Separator};
use super::scan::Scan;
use super::token_prefixes::{Class, key_start};
use crate::mask::names::effect::Kind;
use crate::mask::names::secret_names::{USER, kind_of};

/// Commands that take a password after a short flag.
const COMMANDS: [&str; 8] = ["mysql", "mariadb", "sshpass", "7z", "sqlcmd", "bcp", "redis-cli", "curl"];

const CURL: u8 = 0b1000_0000;

/// Those commands, the flag, and whether a blank may follow it.
const SHORT_FLAGS: [(u8, u8, bool); 6] = [
    (0b0000_0011, b'p', false),
    (0b0000_0100, b'p', true),
    (0b0000_1000, b'p', false),
    (0b0011_0000, b'P', true),
    (0b0100_0000, b'a', true),
    (CURL, b'u', true),
];

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
        kind_of(self.keys, key)?;
        let follows = pair_values::follows(look, key_start, key_end)?;
        let whole_start = follows
            .level
            .map_or(key_start, |level| pair_values::quoted_key_start(look, key_start, key_end, level));
        let key = std::str::from_utf8(&text[whole_start..key_end]).unwrap_or(key);
        let kind = kind_of(self.keys, key)?;
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
        let is_folder =
            self.keys.find(key).is_none() && matches!(value, [b'/' | b'~', ..] | [_, b':', b'\\', ..]);
        let stays = pair_values::stays(kind, key, value, follows.level.is_some() && !is_quoted) || is_folder;
        (!self.is_placeholder(look, &range, is_quoted) && !is_word && !stays)
            .then_some((range, if is_header { "header" } else { "key and value in text" }))
    }

    /// Whether the surroundings of a key allow a value to follow.
    fn is_pair(&self, look: &Look<'_>, key_start: usize, key: &str, follows: Follows) -> bool {
        let is_free = || !pair_values::is_before(look, key_start, b":/@.");
        match follows.separator {
            Separator::Quote => pair_values::is_password(key),
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
            Separator::Equals | Separator::Quote | Separator::Tag => false,
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
            return tagged(look, start, key).map(|range| (range, true));
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

    /// `--password value`.
    pub(super) fn flag(&self, look: &Look<'_>, start: usize) -> Option<Range<usize>> {
        let text = look.text;
        if start > 0 && !matches!(text[start - 1], b' ' | b'\t' | b'\n' | b'"' | b'\'') {
            return None;
        }
        let key_start = start + 2;
        let key_end = key_start + look.run(key_start, Class::Word, 64);
        if look.byte(key_end) != b' ' {
            return None;
        }
        let key = std::str::from_utf8(&text[key_start..key_end]).ok()?;
        if key == USER {
            let is_curl = look.commands(start, &COMMANDS) & CURL != 0;
            return is_curl.then(|| self.password_of_user(look, key_end + 1)).flatten();
        }
        kind_of(self.keys, key)?;
        self.argument(look, key_end + 1)
    }

    /// `-pvalue` and the like, after a command that takes a password this way.
    pub(super) fn short_flag(&self, look: &Look<'_>, start: usize) -> Option<Range<usize>> {
        if !self.looks {
            return None;
        }
        let flag = look.byte(start + 2);
        let commands = look.commands(start, &COMMANDS);
        let (.., takes_blank) =
            SHORT_FLAGS.iter().find(|(commands_of, name, _)| commands & commands_of != 0 && *name == flag)?;
        let value = start + 3;
        if look.byte(value) == b' ' && !takes_blank {
            return None;
        }
        if flag == b'u' { self.password_of_user(look, value) } else { self.argument(look, value) }
    }

    /// In an argument `name:password`.
    fn password_of_user(&self, look: &Look<'_>, start: usize) -> Option<Range<usize>> {
        let value = self.argument(look, start)?;
        let colon = look.text[value.clone()].iter().take(ASKED_MAX).position(|byte| *byte == b':')?;
        let password = value.start + colon + 1..value.end;
        (!password.is_empty() && !self.is_placeholder(look, &password, false)).then_some(password)
    }

    /// What follows a flag.
    fn argument(&self, look: &Look<'_>, start: usize) -> Option<Range<usize>> {
        let start = start + (0..16).take_while(|at| look.byte(start + at) == b' ').count();
        // Another flag.
        if look.byte(start) == b'-'
            && (look.byte(start + 1).is_ascii_alphabetic() || look.byte(start + 1) == b'-')
        {
            return None;
        }
        let level = pair_values::backslashes(look, start);
        let quote_at = start + level;
        let is_quoted = matches!(look.byte(quote_at), b'"' | b'\'');
        let value = match is_quoted {
            true if level > 0 => pair_values::quoted(look, quote_at + 1, look.byte(quote_at), level),
            true => pair_values::quoted_or_more(look, start, quote_at, 0),
            false => pair_values::unquoted(look, start),
        }?;
        (!self.is_placeholder(look, &value, is_quoted)).then_some(value)
    }

    /// `/pass:value`.
    pub(super) fn slash_pass(&self, look: &Look<'_>, start: usize, after: usize) -> Option<Range<usize>> {
        if start > 0 && !look.text[start - 1].is_ascii_whitespace() {
            return None;
        }
        self.argument(look, after)
    }

    /// `IDENTIFIED BY 'value'`, `IDENTIFIED WITH plugin BY 'value'`, and without quotes.
    pub(super) fn identified(&self, look: &Look<'_>, after: usize) -> Option<Range<usize>> {
        let mut at = after;
        for _ in 0..6 {
            at += (0..16).take_while(|ahead| look.byte(at + ahead) == b' ').count();
            let word = look.run(at, Class::Word, 64);
            look.walked(16);
            let is = |name: &[u8]| look.text[at..at + word].eq_ignore_ascii_case(name);
            if is(b"BY") {
                at += word;
                let behind = at + (0..16).take_while(|ahead| look.byte(at + ahead) == b' ').count();
                let word = look.run(behind, Class::Word, 16);
                let next = &look.text[behind..behind + word];
                let is_next = |name: &[u8]| next.eq_ignore_ascii_case(name);
                let skip = if is_next(b"PASSWORD") || is_next(b"VALUES") { word } else { 0 };
                return self.argument(look, behind + skip);
            }
            if word == 0 || is(b"EXTERNALLY") || is(b"GLOBALLY") {
                return None;
            }
            at += word;
        }
        None
    }

    /// What `crypt('` hashes.
    pub(super) fn crypt(&self, look: &Look<'_>, start: usize, after: usize) -> Option<Range<usize>> {
        let is_call = !pair_values::is_before(look, start, b"_") && super::tokens::begins(look.text, start);
        let value = pair_values::quoted(look, after, look.byte(after - 1), 0)?;
        (is_call && !self.is_placeholder(look, &value, true)).then_some(value)
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

/// The text between two tags of one name.
fn tagged(look: &Look<'_>, start: usize, name: &str) -> Option<Range<usize>> {
    let end = look.closing_tag(start)?;
    let closing = &look.text[end..look.text.len().min(end + 2 * ASKED_MAX)];
    let closing = &closing[..closing.iter().take(ASKED_MAX).position(|byte| *byte == b'>')?];
    look.walked(closing.len());
    let is_same = closing.ends_with(name.as_bytes());
    (is_same && look.byte(start) != b'<' && end > start).then_some(start..end)
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
