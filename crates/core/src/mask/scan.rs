//! Secrets in one text: where they stand, and what they are.
//!
//! Every form but cards is found by its anchor, three bytes that the prefilter knows too; so what is found here was
//! a candidate there.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::card;
use super::keys::Keys;
use super::kind::{Kind, is_count};
use super::prefilter::{Finder, KEY_VALUE};
use super::rules::{Class, Form, RULES, Special};
use super::values;

/// One secret in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) range: Range<usize>,
    pub(super) kind: &'static str,
}

/// What a text is searched with.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a> {
    pub(super) finder: &'a Finder,
    /// The default keys alone: keys in texts are looked for by their ends, which are fixed.
    pub(super) keys: &'a Keys,
    pub(super) key_id: &'a str,
}

impl Scan<'_> {
    /// The secrets of a text, in their order, none overlapping another.
    pub(super) fn all(&self, text: &[u8], cards: bool) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let byte = text[at];
            let here = if byte.is_ascii_digit() && !(at > 0 && text[at - 1].is_ascii_digit()) && cards {
                card::find(text, at).map(|range| Found { range, kind: "card" })
            } else {
                None
            };
            let here = here.or_else(|| self.at_anchor(text, at));
            if let Some(here) = here {
                // A later anchor may belong to a secret that begins before an earlier one.
                while found.last().is_some_and(|last| last.range.start >= here.range.start) {
                    found.pop();
                }
                if found.last().is_none_or(|last| last.range.end <= here.range.start) {
                    at = here.range.end.max(at + 1);
                    found.push(here);
                    continue;
                }
            }
            at += 1;
        }
        found
    }

    fn at_anchor(&self, text: &[u8], at: usize) -> Option<Found> {
        let anchor = text.get(at..at + 3)?;
        self.finder.rules_at(anchor).iter().find_map(|&rule| {
            let (range, kind) = self.rule_at(text, at, rule)?;
            (!range.is_empty()).then_some(Found { range, kind })
        })
    }

    fn rule_at(&self, text: &[u8], at: usize, number: u16) -> Option<(Range<usize>, &'static str)> {
        if number == KEY_VALUE {
            return self.key_value(text, at);
        }
        let rule = RULES.get(usize::from(number))?;
        let start = at.checked_sub(rule.anchor)?;
        let after = start + rule.literal.len();
        if !text.get(start..)?.starts_with(rule.literal.as_bytes()) {
            return None;
        }
        let range = match rule.form {
            Form::Body(class, min, max) => body(text, start, after, class, min, max),
            Form::Special(special) => self.special(text, start, after, special),
        };
        Some((range?, rule.kind))
    }

    fn special(&self, text: &[u8], start: usize, after: usize, special: Special) -> Option<Range<usize>> {
        match special {
            Special::Jwt => jwt(text, start),
            Special::Pem => pem(text, start, after),
            Special::Url => self.url_password(text, after),
            Special::Basic => basic(text, start, after),
            Special::Bearer => bearer(text, start, after),
            Special::Flag => self.flag(text, start),
            Special::Telegram => telegram(text, start),
            Special::AzureSecret => azure_secret(text, start),
            Special::Mailchimp => mailchimp(text, start, after),
            Special::SendGrid => sendgrid(text, start, after),
            Special::Slack => slack(text, start),
            Special::Webhook => webhook(text, after),
            Special::OpenAi => ai_key(text, start, after),
            Special::Terraform => terraform(text, start, after),
            Special::QueryValue => query_value(text, start, after),
            Special::Postman => parts(text, start, after, &[(Class::Hex, 24), (Class::Hex, 34)]),
            Special::Cloudflare => parts(text, start, after, &[(Class::Hex, 24), (Class::Hex, 146)]),
            Special::AgeKey => body(text, start, after, Class::Upper, 58, 58),
            Special::OnePassword => {
                let upper = |len| (Class::Upper, len);
                parts(text, start, after, &[upper(6), upper(11), upper(5), upper(5), upper(5)])
            }
            Special::Braintree => {
                let environment = run(text, after, Class::Alnum, 20);
                let first = after + environment + 1;
                let second = first + run(text, first, Class::Alnum, 40) + 1;
                let end = second + run(text, second, Class::Hex, 40);
                (environment > 3 && end >= second + 32).then_some(start..end)
            }
        }
    }

    /// `key=value`, `key: value`, `"key": "value"` and headers, where the key names a secret.
    fn key_value(&self, text: &[u8], at: usize) -> Option<(Range<usize>, &'static str)> {
        let key_end = if matches!(text[at + 1], b' ' | b'\'') { at + 1 } else { at + 2 };
        let (separator, level) = values::separator(text, key_end)?;
        let key_start = key_start(text, key_end);
        let key = std::str::from_utf8(&text[key_start..key_end]).ok()?;
        let kind = self.keys.find(key)?;
        let blanks = text[separator + 1..].iter().take(3).take_while(|byte| **byte == b' ').count();
        let start = separator + 1 + blanks;
        let is_header = values::is_header(key);
        let is_colon = text[separator] == b':';
        let value_level = values::backslashes(text, start);
        let (range, is_plain) = match text.get(start + value_level)? {
            quote @ (b'"' | b'\'') => {
                (values::quoted(text, start + value_level + 1, *quote, value_level), false)
            }
            // What stands in it is looked at by itself.
            b'{' if level.is_some() && matches!(kind, Kind::AccessKey | Kind::AccessKeys) => return None,
            b'{' | b'[' if level.is_some() => (values::container(text, start, level?), false),
            _ if is_header => (values::header_value(text, start), is_colon),
            _ if is_colon && blanks == 0 && level.is_none() => return None,
            _ => (values::unquoted(text, start), is_colon),
        };
        let range = range?;
        let value = &text[range.clone()];
        let is_word =
            is_plain && !values::looks_like_value(value) && !(is_header && values::has_scheme(value));
        let stays = kind.lets_be(value) || (kind.counts() && is_count(value));
        (!self.is_placeholder(text, &range) && !is_word && !stays)
            .then_some((range, if is_header { "header" } else { "key and value in text" }))
    }

    /// `--password value`.
    fn flag(&self, text: &[u8], start: usize) -> Option<Range<usize>> {
        if start > 0 && !matches!(text[start - 1], b' ' | b'\n' | b'"' | b'\'') {
            return None;
        }
        let key_end = start + 2 + run(text, start + 2, Class::Word, 64);
        if text.get(key_end) != Some(&b' ') || text.get(key_end + 1).is_none_or(|byte| *byte == b'-') {
            return None;
        }
        self.keys.find(std::str::from_utf8(&text[start + 2..key_end]).ok()?)?;
        let value = match text[key_end + 1] {
            quote @ (b'"' | b'\'') => values::quoted(text, key_end + 2, quote, 0),
            _ => values::unquoted(text, key_end + 1),
        }?;
        (!self.is_placeholder(text, &value)).then_some(value)
    }

    /// The password in `scheme://user:password@host`.
    fn url_password(&self, text: &[u8], after: usize) -> Option<Range<usize>> {
        let authority = authority(text, after);
        let at = authority.iter().rposition(|byte| *byte == b'@')?;
        let colon = authority[..at].iter().position(|byte| *byte == b':')?;
        let range = after + colon + 1..after + at;
        (!range.is_empty() && !self.is_placeholder(text, &range)).then_some(range)
    }

    /// Whether a value stands for a secret instead of being one.
    fn is_placeholder(&self, text: &[u8], range: &Range<usize>) -> bool {
        let value = &text[range.clone()];
        let is_ours = value.strip_prefix(b"***").is_some_and(|rest| rest.len() <= 4)
            || (!self.key_id.is_empty()
                && value.strip_prefix(b"hmac:").is_some_and(|rest| rest.starts_with(self.key_id.as_bytes())));
        let is_blank =
            value.iter().all(|byte| matches!(byte, b'*' | b'x' | b'X' | b'.' | b'-' | b'_' | b' '));
        let words: [&[u8]; 11] = [
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
        is_ours
            || values::is_variable(text, range)
            || is_blank
            || words.iter().any(|word| value.eq_ignore_ascii_case(word))
    }
}

/// A key in a text ends at `end`; where does it begin?
pub(super) fn key_start(text: &[u8], end: usize) -> usize {
    let is_key = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'_' | b'-' | b'.');
    end - text[..end].iter().rev().take(64).take_while(is_key).count()
}

/// The part of a URL between `://` and the path.
pub(super) fn authority(text: &[u8], start: usize) -> &[u8] {
    let is_end = |byte: &u8| {
        byte.is_ascii_whitespace()
            || matches!(*byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'\\' | b'`')
    };
    let rest = text.get(start..).unwrap_or_default();
    let rest = &rest[..rest.len().min(512)];
    &rest[..rest.iter().position(is_end).unwrap_or(rest.len())]
}

/// Whether a token may begin here: not inside a longer word, but straight after an escape.
fn begins(text: &[u8], start: usize) -> bool {
    let back =
        |count: usize| start.checked_sub(count).and_then(|place| text.get(place)).copied().unwrap_or(b' ');
    if !back(1).is_ascii_alphanumeric() {
        return true;
    }
    (matches!(back(1), b'n' | b't' | b'r') && back(2) == b'\\')
        || (back(3) == b'%' && back(1).is_ascii_hexdigit() && back(2).is_ascii_hexdigit())
}

pub(super) fn run(text: &[u8], start: usize, class: Class, max: usize) -> usize {
    text.iter().skip(start).take(max).take_while(|byte| class.holds(**byte)).count()
}

/// Whether enough of the characters differ: `xxxxxxxx` stands for a token.
fn is_varied(body: &[u8]) -> bool {
    let mut seen = [false; 256];
    body.iter().filter(|byte| !std::mem::replace(&mut seen[usize::from(**byte)], true)).take(7).count() >= 7
}

fn body(
    text: &[u8],
    start: usize,
    after: usize,
    class: Class,
    min: usize,
    max: usize,
) -> Option<Range<usize>> {
    let len = run(text, after, class, max + 1);
    let end = after + len;
    let is_whole =
        (min..=max).contains(&len) && text.get(end).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    (is_whole && begins(text, start) && is_varied(&text[after..end])).then_some(start..end)
}

/// Parts of fixed length, joined by hyphens.
fn parts(text: &[u8], start: usize, after: usize, parts: &[(Class, usize)]) -> Option<Range<usize>> {
    let mut end = after;
    for (place, (class, len)) in parts.iter().enumerate() {
        if place > 0 {
            (text.get(end)? == &b'-').then_some(())?;
            end += 1;
        }
        (run(text, end, *class, len + 1) == *len).then_some(())?;
        end += len;
    }
    (begins(text, start) && is_varied(&text[after..end])).then_some(start..end)
}

/// RFC 7515 and 7516 in the compact form, and tokens of providers that begin with a prefix of their own and
/// then base64 of JSON.
fn jwt(text: &[u8], anchor: usize) -> Option<Range<usize>> {
    if text[..anchor].ends_with(b"ops_") {
        return body(text, anchor - 4, anchor, Class::Base64, 200, 2_000);
    }
    let header_len = run(text, anchor, Class::Word, 4_096);
    if header_len < 10 {
        return None;
    }
    let mut end = anchor + header_len;
    let segment = |start: usize| run(text, start, Class::Word, 1 << 20);
    if text[..anchor].ends_with(b"sk.") {
        let signature = segment(end + 1);
        return (text.get(end) == Some(&b'.') && signature >= 20).then_some(anchor - 3..end + 1 + signature);
    }
    if !begins(text, anchor) || text.get(end) != Some(&b'.') || !is_jose_header(&text[anchor..end]) {
        return None;
    }
    for number in 0..4 {
        if text.get(end) != Some(&b'.') {
            break;
        }
        let len = segment(end + 1);
        // The first part after the header is never empty; an unsigned token ends with its dot.
        if len == 0 && number == 0 {
            return None;
        }
        end += 1 + len;
    }
    Some(anchor..end)
}

fn is_jose_header(text: &[u8]) -> bool {
    // A base64 text cannot have one character over.
    let whole = if text.len() % 4 == 1 { return false } else { text };
    URL_SAFE_NO_PAD.decode(whole).is_ok_and(|json| {
        let has = |name: &[u8]| json.windows(name.len()).any(|part| part == name);
        json.first() == Some(&b'{') && (has(b"\"alg\"") || has(b"\"enc\"") || has(b"\"typ\""))
    })
}

/// RFC 7468 and its like: from the first hyphen to the last, or to the end of a text that was cut.
fn pem(text: &[u8], start: usize, after: usize) -> Option<Range<usize>> {
    let window = &text[after..text.len().min(after + 64)];
    let label_len = window.windows(5).position(|part| part == b"-----")?;
    let label = &window[..label_len];
    let names_a_key = label.windows(11).any(|part| part == b"PRIVATE KEY");
    let rest = after + label_len;
    let end = memchr::memmem::find(&text[rest..], b"-----END ").map_or(text.len(), |at| {
        let label = rest + at + b"-----END ".len();
        memchr::memmem::find(&text[label..], b"-----").map_or(text.len(), |at| label + at + 5)
    });
    names_a_key.then_some(start..end)
}

/// RFC 7617: base64 of a name, a colon and a password.
fn basic(text: &[u8], start: usize, after: usize) -> Option<Range<usize>> {
    let len = run(text, after, Class::Base64, 4_096);
    let begins = start > 0 && matches!(text[start - 1], b'b' | b'B') && begins(text, start - 1);
    let value = text[after..after + len].iter().map(|byte| match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => *other,
    });
    let value: Vec<u8> = value.filter(|byte| *byte != b'=').collect();
    let has_password = len >= 8
        && URL_SAFE_NO_PAD.decode(value).is_ok_and(|pair| {
            pair.contains(&b':') && std::str::from_utf8(&pair).is_ok_and(|pair| !pair.contains('\0'))
        });
    (begins && has_password).then_some(after..after + len)
}

/// RFC 6750, where what follows is no word of a sentence.
fn bearer(text: &[u8], start: usize, after: usize) -> Option<Range<usize>> {
    let len = text[after..]
        .iter()
        .take_while(|byte| Class::Base64.holds(**byte) || matches!(**byte, b'.' | b'~' | b'%'))
        .count();
    let value = &text[after..after + len];
    let begins = start > 0 && matches!(text[start - 1], b'b' | b'B') && begins(text, start - 1);
    let is_token = len >= 12 && value.iter().any(u8::is_ascii_digit);
    (begins && is_token && is_varied(value)).then_some(after..after + len)
}

fn telegram(text: &[u8], colon: usize) -> Option<Range<usize>> {
    let digits = text[..colon].iter().rev().take(17).take_while(|byte| byte.is_ascii_digit()).count();
    let start = colon - digits;
    let is_bot = text[..start].ends_with(b"bot") || begins(text, start);
    let len = run(text, colon + 1, Class::Word, 40);
    ((5..=16).contains(&digits) && len == 35 && is_bot && is_varied(&text[colon + 1..colon + 36]))
        .then_some(start..colon + 36)
}

/// Three characters, a digit, `Q~`, and 31 to 34 more.
fn azure_secret(text: &[u8], digit: usize) -> Option<Range<usize>> {
    let start = digit.checked_sub(3)?;
    let holds = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(*byte, b'_' | b'~' | b'.' | b'-');
    let len = text[digit + 3..].iter().take(36).take_while(|byte| holds(byte)).count();
    let end = digit + 3 + len;
    let is_whole = (31..=35).contains(&len) && text[start..digit].iter().all(holds);
    (is_whole && begins(text, start) && is_varied(&text[digit + 3..end])).then_some(start..end)
}

fn mailchimp(text: &[u8], start: usize, after: usize) -> Option<Range<usize>> {
    let digits = run(text, after, Class::Hex, 3);
    let first = start.checked_sub(32)?;
    let key = &text[first..start];
    (matches!(digits, 1 | 2)
        && key.iter().all(|byte| Class::Hex.holds(*byte))
        && begins(text, first)
        && is_varied(key))
    .then_some(first..after + digits)
}

fn sendgrid(text: &[u8], start: usize, after: usize) -> Option<Range<usize>> {
    let first = run(text, after, Class::Word, 40);
    let second = run(text, after + first + 1, Class::Word, 80);
    let is_whole = (16..=32).contains(&first) && text.get(after + first) == Some(&b'.') && second >= 30;
    (is_whole && begins(text, start)).then_some(start..after + first + 1 + second)
}

/// `xoxb-`, `xoxe.xoxp-1-` and the like, with as many digits as a real one has.
fn slack(text: &[u8], start: usize) -> Option<Range<usize>> {
    let rest = text.get(start + 3..)?;
    let prefix_len = match rest {
        [b'e', b'.', b'x', b'o', b'x', b'b' | b'p', b'-', ..] => 10,
        [b'a' | b'b' | b'e' | b'o' | b'p' | b'r' | b's', b'-', ..] => 5,
        _ => return None,
    };
    let after = start + prefix_len;
    let len = run(text, after, Class::Word, 400);
    let value = &text[after..after + len];
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    (len >= 20 && digits >= 8 && begins(text, start)).then_some(start..after + len)
}

/// What stands behind the path of an incoming webhook gives the right to post.
fn webhook(text: &[u8], after: usize) -> Option<Range<usize>> {
    let rest = text.get(after..)?;
    let skip = [b"services/".as_slice(), b"workflows/", b"triggers/"]
        .into_iter()
        .find(|folder| rest.starts_with(folder))
        .map_or(0, <[u8]>::len);
    // Discord: an id, then the token.
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let skip = if digits >= 15 && rest.get(digits) == Some(&b'/') { digits + 1 } else { skip };
    let start = after + skip;
    let len = text[start..].iter().take_while(|byte| Class::Word.holds(**byte) || **byte == b'/').count();
    (len >= 30 && text[start..start + len].iter().any(u8::is_ascii_digit)).then_some(start..start + len)
}

/// `sk-ant-…`, `sk-proj-…` and the older `sk-…`.
fn ai_key(text: &[u8], start: usize, after: usize) -> Option<Range<usize>> {
    let len = run(text, after, Class::Word, 400);
    let value = &text[after..after + len];
    let has_prefix = [b"ant-".as_slice(), b"proj-", b"svcacct-", b"admin-", b"or-v1-", b"None-"]
        .iter()
        .any(|prefix| value.starts_with(prefix));
    let is_plain = len >= 32
        && value.iter().all(u8::is_ascii_alphanumeric)
        && value.iter().filter(|byte| byte.is_ascii_digit()).count() >= 3;
    (begins(text, start) && ((has_prefix && len >= 40) || is_plain) && is_varied(value))
        .then_some(start..after + len)
}

fn terraform(text: &[u8], start: usize, after: usize) -> Option<Range<usize>> {
    let head = text[..start].iter().rev().take(15).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let len = run(text, after, Class::Word, 100);
    (head == 14 && (60..=70).contains(&len)).then_some(start - head..after + len)
}

/// The value of a query parameter whose name alone says nothing.
fn query_value(text: &[u8], start: usize, after: usize) -> Option<Range<usize>> {
    let is_parameter = start > 0 && matches!(text[start - 1], b'?' | b'&');
    let len = text[after..].iter().take_while(|byte| Class::Base64.holds(**byte) || **byte == b'%').count();
    (is_parameter && len >= 20 && is_varied(&text[after..after + len])).then_some(after..after + len)
}
