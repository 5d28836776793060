//! Tokens recognised by their form, if that needs more than a class and a length.
//!
//! What must hold: examining a candidate takes a bounded number of steps besides the runs, which [`Look`] walks once.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::examined_text::Look;
use super::token_prefixes::{Class, Special};
use crate::counted_steps;

/// How many bytes of a body are checked for variation, or for digits.
const BODY_ASKED: usize = 128;

/// The secret of a special form whose literal begins at `start` and ends at `after`.
pub(super) fn find(look: &Look<'_>, start: usize, after: usize, special: Special) -> Option<Range<usize>> {
    match special {
        Special::Jwt => jwt(look, start),
        Special::Pem => pem(look.text, start, after, b"-----"),
        Special::Ssh2 => pem(look.text, start, after, b"----"),
        Special::Putty => putty(look.text, after),
        Special::EncodedPem => encoded_pem(look, start),
        Special::Basic => basic(look, start, after),
        Special::Bearer => bearer(look, start, after),
        Special::Telegram => telegram(look, start),
        Special::AzureSecret => azure_secret(look.text, start),
        Special::Mailchimp => mailchimp(look, start, after),
        Special::SendGrid => sendgrid(look, start, after),
        Special::Slack => slack(look, start),
        Special::Webhook => webhook(look, after),
        Special::OpenAi => ai_key(look, start, after),
        Special::Terraform => terraform(look, start, after),
        Special::QueryValue => query_value(look.text, start, after),
        Special::Signature => query_value(look.text, parameter_start(look, start), after),
        Special::Postman => parts(look, start, after, &[(Class::Hex, 24), (Class::Hex, 34)]),
        Special::Uuid => {
            let hex = |len| (Class::Hex, len);
            parts(look, start, after, &[hex(8), hex(4), hex(4), hex(4), hex(12)])
        }
        Special::Cloudflare => parts(look, start, after, &[(Class::Hex, 24), (Class::Hex, 146)]),
        Special::AgeKey => body(look, start, after, Class::Upper, 58, 58),
        Special::OnePassword => {
            let upper = |len| (Class::Upper, len);
            parts(look, start, after, &[upper(6), upper(11), upper(5), upper(5), upper(5)])
        }
        Special::Braintree => {
            let environment = look.run(after, Class::Alnum, 20);
            let first = after + environment + 1;
            let second = first + look.run(first, Class::Alnum, 40) + 1;
            let end = second + look.run(second, Class::Hex, 40);
            (environment > 3 && end >= second + 32).then_some(start..end)
        }
        Special::Url
        | Special::Identified
        | Special::Crypt
        | Special::SlashPass
        | Special::PasswordFor
        | Special::EscapeString
        | Special::Netrc
        | Special::GoSource => None,
    }
}

/// Whether a token may begin here: not inside a longer word, but directly after an escape.
pub(in crate::mask) fn begins(text: &[u8], start: usize) -> bool {
    let back =
        |count: usize| start.checked_sub(count).and_then(|place| text.get(place)).copied().unwrap_or(b' ');
    if !back(1).is_ascii_alphanumeric() {
        return true;
    }
    (matches!(back(1), b'n' | b't' | b'r') && back(2) == b'\\')
        || (back(3) == b'%' && back(1).is_ascii_hexdigit() && back(2).is_ascii_hexdigit())
}

/// Whether enough of the characters differ: `xxxxxxxx` is a placeholder for a token.
fn is_varied(body: &[u8]) -> bool {
    let body = &body[..body.len().min(BODY_ASKED)];
    let mut seen = [false; 256];
    let is_new = |byte: &&u8| {
        counted_steps::count(1);
        !std::mem::replace(&mut seen[usize::from(**byte)], true)
    };
    body.iter().filter(is_new).take(7).count() >= 7
}

pub(super) fn body(
    look: &Look<'_>,
    start: usize,
    after: usize,
    class: Class,
    min: usize,
    max: usize,
) -> Option<Range<usize>> {
    let len = look.run(after, class, max + 1);
    let end = after + len;
    let is_whole = (min..=max).contains(&len) && !look.byte(end).is_ascii_alphanumeric();
    (is_whole && begins(look.text, start) && is_varied(&look.text[after..end])).then_some(start..end)
}

/// The same with a digit and a capital, without which it is a name of several words.
pub(super) fn mixed_body(
    look: &Look<'_>,
    start: usize,
    after: usize,
    class: Class,
    min: usize,
    max: usize,
) -> Option<Range<usize>> {
    let range = body(look, start, after, class, min, max)?;
    let asked = &look.text[after..range.end.min(after + BODY_ASKED)];
    look.walked(2 * asked.len());
    (asked.iter().any(u8::is_ascii_digit) && asked.iter().any(u8::is_ascii_uppercase)).then_some(range)
}

/// Parts of fixed length, joined by hyphens.
fn parts(look: &Look<'_>, start: usize, after: usize, parts: &[(Class, usize)]) -> Option<Range<usize>> {
    let mut end = after;
    for (place, (class, len)) in parts.iter().enumerate() {
        if place > 0 {
            (look.byte(end) == b'-').then_some(())?;
            end += 1;
        }
        (look.run(end, *class, len + 1) == *len).then_some(())?;
        end += len;
    }
    (begins(look.text, start) && is_varied(&look.text[after..end])).then_some(start..end)
}

/// RFC 7515 and 7516 in the compact form, and tokens of providers that begin with their own prefix and then base64 of
/// JSON.
fn jwt(look: &Look<'_>, anchor: usize) -> Option<Range<usize>> {
    let text = look.text;
    if text[..anchor].ends_with(b"ops_") {
        return body(look, anchor - 4, anchor, Class::Base64, 200, 2_000);
    }
    let segment = |start: usize| look.run(start, Class::Word, usize::MAX);
    let header_len = segment(anchor);
    let mut end = anchor + header_len;
    if header_len < 10 || look.byte(end) != b'.' {
        return None;
    }
    if text[..anchor].ends_with(b"sk.") {
        let signature = segment(end + 1);
        return (signature >= 20).then_some(anchor - 3..end + 1 + signature);
    }
    if !begins(text, anchor) || !look.is_jose_header(anchor..end) {
        return None;
    }
    for number in 0..4 {
        if look.byte(end) != b'.' {
            break;
        }
        let len = segment(end + 1);
        // The first part after the header is empty only if the encrypted content follows; an unsigned token ends with
        // its dot.
        if len == 0 && number == 0 && segment(end + 2) == 0 {
            return None;
        }
        end += 1 + len;
    }
    Some(anchor..end)
}

/// RFC 7468 and the like: from the first hyphen to the last, or to the end of a text that was cut. RFC 4716 has four hyphens
/// and a blank.
fn pem(text: &[u8], start: usize, after: usize, hyphens: &[u8]) -> Option<Range<usize>> {
    let window = &text[after..text.len().min(after + 64)];
    let label_len = window.windows(hyphens.len()).position(|part| part == hyphens)?;
    let label = &window[..label_len];
    counted_steps::count(window.len());
    // Checked first: only a real match may cost the rest of the text.
    if !names_private_key(label) {
        return None;
    }
    let end_of_key: &[u8] = if hyphens.len() == 4 { b"---- END " } else { b"-----END " };
    let rest = after + label_len;
    let end = memchr::memmem::find(&text[rest..], end_of_key).map_or(text.len(), |at| {
        let label = rest + at + end_of_key.len();
        memchr::memmem::find(&text[label..], hyphens).map_or(text.len(), |at| label + at + hyphens.len())
    });
    counted_steps::count(end - start);
    Some(start..end)
}

fn names_private_key(label: &[u8]) -> bool {
    memchr::memmem::find(label, b"PRIVATE KEY").is_some()
}

/// The private part of a key as PuTTY writes it: up to its checksum, or to the end of a text that was cut.
fn putty(text: &[u8], after: usize) -> Option<Range<usize>> {
    // A number of lines, and the end of this one: `Private-Lines: 14 of 20` is a sentence.
    let number =
        text[after..].iter().take(8).take_while(|byte| byte.is_ascii_digit() || **byte == b' ').count();
    if !matches!(text.get(after + number), Some(b'\r' | b'\n' | b'\\')) {
        return None;
    }
    let end = memchr::memmem::find(&text[after..], b"Private-").map_or(text.len(), |len| after + len);
    counted_steps::count(end - after);
    let len = text[after..end].trim_ascii_end().len();
    // A number of lines alone is no key.
    (len > 40).then_some(after..after + len)
}

/// A whole PEM text in base64, as configurations of Kubernetes have it.
fn encoded_pem(look: &Look<'_>, start: usize) -> Option<Range<usize>> {
    const LABEL: usize = 64;
    let len = look.run(start, Class::Base64, usize::MAX);
    let label = look.text.get(start..start + LABEL).filter(|_| len > LABEL)?;
    look.walked(2 * LABEL);
    let is_key = STANDARD.decode(label).is_ok_and(|label| names_private_key(&label));
    (is_key && begins(look.text, start)).then(|| start..end_of_lines(look, start + len, len))
}

/// Where base64 text ends of which a line ends here, and how long that line is. All lines but the last are full.
fn end_of_lines(look: &Look<'_>, mut end: usize, mut len: usize) -> usize {
    const FULL: usize = 60;
    const BREAKS: [&[u8]; 3] = [b"\n", b"\r\n", b"\\n"];
    while len >= FULL
        && let Some(line_break) = BREAKS.iter().find(|known| look.text[end..].starts_with(known))
    {
        let indent = end + line_break.len();
        let blanks = (0..32).take_while(|ahead| look.byte(indent + ahead) == b' ').count();
        len = look.run(indent + blanks, Class::Base64, usize::MAX);
        look.walked(blanks + 1);
        if len == 0 {
            break;
        }
        end = indent + blanks + len;
    }
    end
}

/// RFC 7617: base64 of a name, a colon and a password.
fn basic(look: &Look<'_>, start: usize, after: usize) -> Option<Range<usize>> {
    let text = look.text;
    let len = look.run(after, Class::Base64, usize::MAX);
    look.walked(3 * len);
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

/// RFC 6750, if what follows is not a word of a sentence.
fn bearer(look: &Look<'_>, start: usize, after: usize) -> Option<Range<usize>> {
    let text = look.text;
    let len = text[after..]
        .iter()
        .take_while(|byte| Class::Base64.holds(**byte) || matches!(**byte, b'.' | b'~' | b'%'))
        .count();
    look.walked(2 * len);
    let value = &text[after..after + len];
    let begins = start > 0 && matches!(text[start - 1], b'b' | b'B') && begins(text, start - 1);
    let is_token = len >= 12 && value.iter().any(u8::is_ascii_digit);
    (begins && is_token && is_varied(value)).then_some(after..after + len)
}

fn telegram(look: &Look<'_>, colon: usize) -> Option<Range<usize>> {
    let text = look.text;
    look.walked(2 * 17);
    let digits = text[..colon].iter().rev().take(17).take_while(|byte| byte.is_ascii_digit()).count();
    let start = colon - digits;
    let is_bot = text[..start].ends_with(b"bot") || begins(text, start);
    let len = look.run(colon + 1, Class::Word, 40);
    ((5..=16).contains(&digits) && len == 35 && is_bot && is_varied(&text[colon + 1..colon + 36]))
        .then_some(start..colon + 36)
}

/// Three characters, a digit, `Q~`, and 31 to 34 more.
fn azure_secret(text: &[u8], digit: usize) -> Option<Range<usize>> {
    let start = digit.checked_sub(3)?;
    let holds = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(*byte, b'_' | b'~' | b'.' | b'-');
    counted_steps::count(36);
    let len = text[digit + 3..].iter().take(36).take_while(|byte| holds(byte)).count();
    let end = digit + 3 + len;
    let is_whole = (31..=35).contains(&len) && text[start..digit].iter().all(holds);
    (is_whole && begins(text, start) && is_varied(&text[digit + 3..end])).then_some(start..end)
}

fn mailchimp(look: &Look<'_>, start: usize, after: usize) -> Option<Range<usize>> {
    let text = look.text;
    let digits = look.run(after, Class::Hex, 3);
    look.walked(32);
    let first = start.checked_sub(32)?;
    let key = &text[first..start];
    (matches!(digits, 1 | 2)
        && key.iter().all(|byte| Class::Hex.holds(*byte))
        && begins(text, first)
        && is_varied(key))
    .then_some(first..after + digits)
}

fn sendgrid(look: &Look<'_>, start: usize, after: usize) -> Option<Range<usize>> {
    let first = look.run(after, Class::Word, 40);
    let second = look.run(after + first + 1, Class::Word, 80);
    let is_whole = (16..=32).contains(&first) && look.byte(after + first) == b'.' && second >= 30;
    (is_whole && begins(look.text, start)).then_some(start..after + first + 1 + second)
}

/// `xoxb-`, `xoxe.xoxp-1-` and the like, with as many digits as a real one has.
fn slack(look: &Look<'_>, start: usize) -> Option<Range<usize>> {
    let text = look.text;
    let rest = text.get(start + 3..)?;
    let prefix_len = match rest {
        [b'e', b'.', b'x', b'o', b'x', b'b' | b'p', b'-', ..] => 10,
        // A cookie, which is usually percent-encoded.
        [b'd', b'-', ..] => {
            let is_of_cookie = |byte: &&u8| Class::Base64.holds(**byte) || **byte == b'%';
            let len = rest[2..].iter().take(400).take_while(is_of_cookie).count();
            look.walked(len);
            return (len >= 40 && begins(text, start)).then_some(start..start + 5 + len);
        }
        [b'a' | b'b' | b'c' | b'e' | b'o' | b'p' | b'r' | b's', b'-', ..] => 5,
        _ => return None,
    };
    let after = start + prefix_len;
    let len = look.run(after, Class::Word, 400);
    let value = &text[after..after + len.min(BODY_ASKED)];
    look.walked(value.len());
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    (len >= 20 && digits >= 8 && begins(text, start)).then_some(start..after + len)
}

/// What follows the path of an incoming webhook grants the right to post.
fn webhook(look: &Look<'_>, after: usize) -> Option<Range<usize>> {
    let rest = look.text.get(after..)?;
    let skip = [b"services/".as_slice(), b"workflows/", b"triggers/"]
        .into_iter()
        .find(|folder| rest.starts_with(folder))
        .map_or(0, <[u8]>::len);
    // Discord: an id, then the token.
    let digits = rest.iter().take(24).take_while(|byte| byte.is_ascii_digit()).count();
    look.walked(24);
    let skip = if digits >= 15 && rest.get(digits) == Some(&b'/') { digits + 1 } else { skip };
    let start = after + skip;
    let end = look.folder(start);
    (end >= start + 30 && look.has_digit(start..end)).then_some(start..end)
}

/// `sk-ant-…`, `sk-proj-…` and the older `sk-…`.
fn ai_key(look: &Look<'_>, start: usize, after: usize) -> Option<Range<usize>> {
    let text = look.text;
    let len = look.run(after, Class::Word, 400);
    let value = &text[after..after + len];
    look.walked(24);
    let has_prefix = [b"ant-".as_slice(), b"proj-", b"svcacct-", b"admin-", b"or-v1-", b"None-"]
        .iter()
        .any(|prefix| value.starts_with(prefix));
    let is_plain = len >= 32
        && look.run(after, Class::Alnum, 400) == len
        && value.iter().take(BODY_ASKED).filter(|byte| byte.is_ascii_digit()).count() >= 3;
    (begins(text, start) && ((has_prefix && len >= 40) || is_plain) && is_varied(value))
        .then_some(start..after + len)
}

fn terraform(look: &Look<'_>, start: usize, after: usize) -> Option<Range<usize>> {
    let text = look.text;
    look.walked(15);
    let head = text[..start].iter().rev().take(15).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let len = look.run(after, Class::Word, 100);
    (head == 14 && (60..=70).contains(&len)).then_some(start - head..after + len)
}

/// Where the name of a query parameter that ends here with `Signature` begins.
fn parameter_start(look: &Look<'_>, start: usize) -> usize {
    let name = look.text[..start].iter().rev().take(16).take_while(|byte| Class::Word.holds(**byte)).count();
    look.walked(name + 1);
    start - name
}

/// The value of a query parameter whose name alone says nothing.
fn query_value(text: &[u8], start: usize, after: usize) -> Option<Range<usize>> {
    let is_parameter = start > 0 && matches!(text[start - 1], b'?' | b'&');
    if !is_parameter {
        return None;
    }
    let len = text[after..]
        .iter()
        .take_while(|byte| Class::Base64.holds(**byte) || matches!(**byte, b'%' | b'~'))
        .count();
    counted_steps::count(len);
    (len >= 20 && is_varied(&text[after..after + len])).then_some(after..after + len)
}
