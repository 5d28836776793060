//! Secrets in command lines, by the option before them.

use std::ops::Range;

use super::examined_text::Look;
use super::pair_values::{self, ASKED_MAX};
use super::scan::Scan;
use super::token_prefixes::Class;
use crate::mask::names::secret_names::{BEARER_FLAG, USER_FLAGS};

/// Commands that take a password after a short flag.
const COMMANDS: [&str; 16] = [
    "mysql",
    "mariadb",
    "sshpass",
    "7z",
    "sqlcmd",
    "bcp",
    "redis-cli",
    "curl",
    "docker login",
    "podman login",
    "az login",
    "mongosh",
    "mongodump",
    "zip ",
    "unrar",
    "ldap",
];

// Each is one bit.
const _: () = assert!(COMMANDS.len() <= 16);

const CURL: u16 = 1 << 7;

/// Those commands, the flag, and whether a blank may follow it.
const SHORT_FLAGS: [(u16, u8, bool); 11] = [
    (0b0000_0000_0000_0011, b'p', false),
    (0b0000_0000_0000_0100, b'p', true),
    (0b0100_0000_0000_1000, b'p', false),
    (0b0000_0000_0011_0000, b'P', true),
    (0b0000_0000_0100_0000, b'a', true),
    (CURL, b'u', true),
    (CURL, b'U', true),
    (CURL, b'b', true),
    (0b0001_1111_0000_0000, b'p', true),
    (0b0010_0000_0000_0000, b'P', true),
    (0b1000_0000_0000_0000, b'w', true),
];

impl Scan<'_> {
    /// `--password value`.
    pub(super) fn flag(&self, look: &Look<'_>, start: usize) -> Option<Range<usize>> {
        let text = look.text;
        if start > 0 && !matches!(text[start - 1], b' ' | b'\t' | b'\n' | b'"' | b'\'') {
            return None;
        }
        let key_start = start + 2;
        let key_end = key_start + look.run(key_start, Class::Word, 64);
        let key = std::str::from_utf8(&text[key_start..key_end]).ok()?;
        if USER_FLAGS.contains(&key) {
            let is_curl =
                matches!(look.byte(key_end), b' ' | b'=') && look.commands(start, &COMMANDS) & CURL != 0;
            return is_curl.then(|| self.password_of_user(look, key_end + 1)).flatten();
        }
        if look.byte(key_end) != b' ' {
            return None;
        }
        if key == BEARER_FLAG {
            return self.argument(look, key_end + 1);
        }
        self.keys.find(key)?;
        self.argument(look, key_end + 1)
    }

    /// `-pvalue` and the like, after a command that takes a password this way.
    pub(super) fn short_flag(&self, look: &Look<'_>, start: usize) -> Option<Range<usize>> {
        if !self.looks {
            return None;
        }
        let flag = look.byte(start + 2);
        let commands = look.commands(start, &COMMANDS);
        let mut of_line = SHORT_FLAGS.iter().filter(|(of, name, _)| commands & of != 0 && *name == flag);
        let value = start + 3;
        if !of_line.any(|(.., takes_blank)| *takes_blank || look.byte(value) != b' ') {
            return None;
        }
        match flag {
            b'u' | b'U' => self.password_of_user(look, value),
            // Otherwise it is the file that the cookies are in.
            b'b' => self.argument(look, value).filter(|range| look.text[range.clone()].contains(&b'=')),
            _ => self.argument(look, value),
        }
    }

    /// In an argument `name:password`.
    fn password_of_user(&self, look: &Look<'_>, start: usize) -> Option<Range<usize>> {
        let value = self.argument(look, start)?;
        let colon = look.text[value.clone()].iter().take(ASKED_MAX).position(|byte| *byte == b':')?;
        let password = value.start + colon + 1..value.end;
        (!password.is_empty() && !self.is_placeholder(look, &password, false)).then_some(password)
    }

    /// What follows a flag.
    pub(super) fn argument(&self, look: &Look<'_>, start: usize) -> Option<Range<usize>> {
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
}
