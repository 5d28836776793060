//! Secrets in SQL statements, and in lines of a fixed order.

use std::ops::Range;

use super::examined_text::Look;
use super::pair_values::{self, ASKED_MAX};
use super::scan::Scan;
use super::token_prefixes::{Class, key_start};
use super::tokens;

impl Scan<'_> {
    /// `IDENTIFIED BY 'value'`, `IDENTIFIED WITH plugin BY 'value'`, and without quotes.
    pub(super) fn identified(&self, look: &Look<'_>, after: usize) -> Option<Range<usize>> {
        let mut at = after;
        for _ in 0..6 {
            at += (0..16).take_while(|ahead| look.byte(at + ahead) == b' ').count();
            let word = look.run(at, Class::Word, 64);
            look.walked(16);
            let is = |name: &[u8]| look.text[at..at + word].eq_ignore_ascii_case(name);
            let is_as = is(b"AS");
            if is_as || is(b"BY") {
                at += word;
                let behind = at + (0..16).take_while(|ahead| look.byte(at + ahead) == b' ').count();
                let word = look.run(behind, Class::Word, 16);
                let next = &look.text[behind..behind + word];
                let is_next = |name: &[u8]| next.eq_ignore_ascii_case(name);
                let skip = if is_next(b"PASSWORD") || is_next(b"VALUES") { word } else { 0 };
                let start = behind + skip;
                let start = start + (0..16).take_while(|ahead| look.byte(start + ahead) == b' ').count();
                // `identified as malware`.
                if is_as && !matches!(look.byte(start), b'\'' | b'"' | b'\\') {
                    return None;
                }
                let value = self.argument(look, start)?;
                return Some(self.with_replaced(look, value));
            }
            if word == 0 || is(b"EXTERNALLY") || is(b"GLOBALLY") {
                return None;
            }
            at += word;
        }
        None
    }

    /// The same up to the end of `REPLACE "old value"`, if that follows.
    fn with_replaced(&self, look: &Look<'_>, value: Range<usize>) -> Range<usize> {
        const REPLACE: &[u8] = b" REPLACE ";
        let close = value.end + usize::from(matches!(look.byte(value.end), b'"' | b'\''));
        let next = look.text.get(close..close + REPLACE.len()).unwrap_or_default();
        let old =
            next.eq_ignore_ascii_case(REPLACE).then(|| self.argument(look, close + REPLACE.len())).flatten();
        value.start..old.map_or(value.end, |old| old.end)
    }

    /// `SET PASSWORD FOR anna = 'value'`.
    pub(super) fn password_for(&self, look: &Look<'_>, after: usize) -> Option<Range<usize>> {
        let window = &look.text[after..look.line(after).min(after + ASKED_MAX)];
        let sign = window.iter().position(|byte| *byte == b'=');
        look.walked(sign.unwrap_or(window.len()) + 1);
        let start = after + sign? + 1;
        let start = start + (0..4).take_while(|ahead| look.byte(start + ahead) == b' ').count();
        // `PASSWORD('value')` is found by itself.
        matches!(look.byte(start), b'\'' | b'"').then(|| self.argument(look, start)).flatten()
    }

    /// `machine host login anna password value`, as in `.netrc`.
    pub(super) fn netrc(&self, look: &Look<'_>, start: usize, after: usize) -> Option<Range<usize>> {
        const NAME: &[u8] = b"password";
        if !tokens::begins(look.text, start) {
            return None;
        }
        let mut at = after;
        let mut word = || {
            let word = at..look.blank(at);
            at = word.end
                + look.text[word.end..].iter().take(8).take_while(|byte| byte.is_ascii_whitespace()).count();
            look.walked(NAME.len() + at - word.end + 1);
            (&look.text[word], at)
        };
        let (_host, login, (user, _), (name, value)) = (word(), word(), word(), word());
        // A sentence has a mark there: `login failed: password expired`.
        let is_entry = login.0 == b"login" && name == NAME && !user.ends_with(b":") && !user.ends_with(b",");
        is_entry.then(|| self.argument(look, value)).flatten()
    }

    /// `user:value@tcp(host)`, as Go's driver for MySQL has it.
    pub(super) fn go_source(&self, look: &Look<'_>, sign: usize) -> Option<Range<usize>> {
        const USER_MAX: usize = 64;
        let is_part = |byte: &&u8| !(byte.is_ascii_whitespace() || b"\"'`".contains(byte));
        let len = look.text[..sign].iter().rev().take(USER_MAX).take_while(is_part).count();
        let user = sign - len;
        look.walked(2 * len + 1);
        let value = if len == USER_MAX {
            // Its beginning is out of sight.
            user + look.text[user..sign].iter().take_while(|byte| **byte & 0xC0 == 0x80).count()..sign
        } else {
            user + look.text[user..sign].iter().position(|byte| *byte == b':')? + 1..sign
        };
        let is_url = look.text[value.clone()].starts_with(b"//");
        (!value.is_empty() && !is_url && !self.is_placeholder(look, &value, true)).then_some(value)
    }

    /// `PASSWORD E'value'`.
    pub(super) fn escape_string(&self, look: &Look<'_>, start: usize, after: usize) -> Option<Range<usize>> {
        let key = key_start(look.text, start);
        let key = std::str::from_utf8(&look.text[key..start]).ok()?;
        let is_password = pair_values::is_password(key) && self.keys.find(key).is_some();
        let value = is_password.then(|| pair_values::quoted(look, after, b'\'', 0)).flatten()?;
        (!self.is_placeholder(look, &value, true)).then_some(value)
    }

    /// What `crypt('` hashes.
    pub(super) fn crypt(&self, look: &Look<'_>, start: usize, after: usize) -> Option<Range<usize>> {
        let is_call = !pair_values::is_before(look, start, b"_") && tokens::begins(look.text, start);
        let value = pair_values::quoted(look, after, look.byte(after - 1), 0)?;
        (is_call && !self.is_placeholder(look, &value, true)).then_some(value)
    }
}
