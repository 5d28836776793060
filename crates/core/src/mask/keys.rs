//! Which keys name a secret.
//!
//! A key is read as words, cut at case changes, punctuation and digits, and matches when its words *end* with an
//! entry: `user_password` and `dbPassword`, but not `passwordResetRequired`. Nearly every key is refused by its
//! last three letters, without allocation.

use std::borrow::Cow;

/// How an entry of the list acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What stands below goes, all of it.
    All,
    /// Text goes; an object is walked by the ordinary rules, so that its id and expiry stay.
    Walked,
    /// As `Walked`, and ids of access keys stay: they name a key, as a user name does.
    AccessKey,
}

/// Entries without their blanks. `-` before one: it may also be the end of a longer word, as in `userpassword`.
const ENTRIES: &[(&str, Kind)] = &[
    ("-password", Kind::All),
    ("passwords", Kind::All),
    ("-passwd", Kind::All),
    ("-passphrase", Kind::All),
    ("secret", Kind::All),
    ("secretvalue", Kind::All),
    ("secretstring", Kind::All),
    ("secretbinary", Kind::All),
    ("clientsecret", Kind::All),
    ("token", Kind::All),
    ("accesstoken", Kind::All),
    ("apitoken", Kind::All),
    ("authtoken", Kind::All),
    ("csrftoken", Kind::All),
    ("idtoken", Kind::All),
    ("refreshtoken", Kind::All),
    ("sessiontoken", Kind::All),
    ("-apikey", Kind::All),
    ("privatekey", Kind::All),
    ("accesskey", Kind::AccessKey),
    ("secretkey", Kind::All),
    ("accountkey", Kind::All),
    ("credential", Kind::Walked),
    ("credentials", Kind::Walked),
    ("authorization", Kind::All),
    ("cookie", Kind::All),
    ("cookies", Kind::All),
    ("cardnumber", Kind::All),
    ("cvv", Kind::All),
    ("ssn", Kind::All),
    ("socialsecurity", Kind::All),
    ("socialsecuritynumber", Kind::All),
    ("pin", Kind::All),
    ("rawpayload", Kind::All),
    ("emailbody", Kind::All),
    ("documentcontent", Kind::All),
];

/// Words before `token` that make it no secret: it names a request, so that a retry is not done twice, or says
/// where a listing goes on. Neither gives access.
const HARMLESS_TOKENS: &[&[u8]] = &[
    b"client",
    b"clientrequest",
    b"next",
    b"page",
    b"nextpage",
    b"continue",
    b"continuation",
    b"pagination",
];

/// How many ends of three letters there are, where 0 stands for what is no letter.
const ENDS: usize = 32 * 32 * 32;

/// The place of each byte in the alphabet, in any case, from 1; 0 for what is no letter.
static LETTERS: [u8; 256] = {
    let mut letters = [0; 256];
    let mut place = 0;
    while place < 26 {
        letters[b'a' as usize + place] = place as u8 + 1;
        letters[b'A' as usize + place] = place as u8 + 1;
        place += 1;
    }
    letters
};

/// The number of an end.
#[inline(always)]
fn end_number(end: [u8; 3]) -> usize {
    let [a, b, c] = end.map(|byte| usize::from(LETTERS[usize::from(byte)]));
    a | b << 5 | c << 10
}

struct Entry {
    letters: Box<[u8]>,
    kind: Kind,
    inside_word: bool,
}

/// The list of keys in force.
pub(super) struct Keys {
    /// Which ends some entry may have, by [`end_number`].
    ends: Box<[u64; ENDS / 64]>,
    /// Whether some entry does not end in three ASCII letters.
    has_odd: bool,
    /// Whether there is a preset, or an entry that is not all ASCII; then all ends are possible.
    is_special: bool,
    entries: Vec<Entry>,
    /// Whole keys in lower case, as a preset lists them.
    exact: Vec<&'static str>,
    /// Parts of keys in lower case, as a preset lists them.
    parts: Vec<&'static str>,
    /// Ends of keys that no part matches.
    kept_ends: &'static [&'static str],
}

impl Keys {
    /// The default entries and those of a user.
    pub(super) fn new(custom: &[String]) -> Self {
        let mut keys = Keys {
            ends: Box::new([0; ENDS / 64]),
            has_odd: false,
            is_special: custom.iter().any(|entry| !entry.is_ascii()),
            entries: Vec::new(),
            exact: Vec::new(),
            parts: Vec::new(),
            kept_ends: &[],
        };
        if keys.is_special {
            keys.ends.fill(u64::MAX);
        }
        for (entry, kind) in ENTRIES {
            let inside_word = entry.starts_with('-');
            keys.add(entry.trim_start_matches('-').bytes().collect(), *kind, inside_word);
        }
        for entry in custom {
            let letters: Vec<u8> = entry
                .to_lowercase()
                .bytes()
                .filter(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii())
                .collect();
            keys.add(stripped(&letters).to_vec(), Kind::All, false);
        }
        keys
    }

    /// Adds what a preset lists.
    pub(super) fn add_preset(
        &mut self,
        exact: &[&'static str],
        parts: &[&'static str],
        kept: &'static [&'static str],
    ) {
        self.is_special = true;
        self.ends.fill(u64::MAX);
        self.exact.extend(exact);
        self.parts.extend(parts);
        self.kept_ends = kept;
    }

    fn add(&mut self, letters: Vec<u8>, kind: Kind, inside_word: bool) {
        match letters.as_slice() {
            [] => return,
            [.., a, b, c] if [a, b, c].iter().all(|letter| letter.is_ascii_lowercase()) => {
                self.add_end([*a, *b, *c]);
                // A word may be cut between its last letters, as in `to_ken`.
                for letter in b'a'..=b'z' {
                    self.add_end([0, letter, *c]);
                    self.add_end([letter, 0, *c]);
                }
                self.add_end([0, 0, *c]);
            }
            _ => {
                self.has_odd = true;
                self.ends.fill(u64::MAX);
            }
        }
        self.entries.push(Entry { letters: letters.into(), kind, inside_word });
    }

    fn add_end(&mut self, end: [u8; 3]) {
        let end = end_number(end);
        self.ends[end / 64] |= 1 << (end % 64);
    }

    /// False for most keys that [`find`](Keys::find) finds nothing for, and quickly.
    #[inline(always)]
    pub(super) fn is_worth_a_look(&self, key: &[u8]) -> bool {
        let Some(&end @ [_, _, last]) = key.last_chunk::<3>() else { return true };
        let number = end_number(end);
        !last.is_ascii_alphabetic() || self.ends[number / 64] >> (number % 64) & 1 != 0
    }

    /// How the key matches, if it does.
    #[inline(never)]
    pub(super) fn find(&self, key: &str) -> Option<Kind> {
        if self.is_special {
            return self.find_with_preset(&lower_beyond_ascii(key));
        }
        let key = stripped(key.as_bytes());
        if self.is_possible(key) { self.find_in_entries(key) } else { None }
    }

    #[inline]
    fn is_possible(&self, key: &[u8]) -> bool {
        let Some(&end) = key.last_chunk::<3>() else { return self.has_odd };
        let end = end_number(end);
        self.ends[end / 64] >> (end % 64) & 1 != 0
    }

    #[inline(never)]
    fn find_in_entries(&self, key: &[u8]) -> Option<Kind> {
        let last = key.last().map_or(0, u8::to_ascii_lowercase);
        let mut entries = self.entries.iter().filter(|entry| entry.letters.last() == Some(&last));
        entries.find_map(|entry| {
            let start = end_of(key, &entry.letters)?;
            if !(entry.inside_word || is_word_start(key, start)) {
                return None;
            }
            let is_harmless = *entry.letters == *b"token"
                && HARMLESS_TOKENS.iter().any(|before| {
                    end_of(stripped(&key[..start]), before).is_some_and(|start| is_word_start(key, start))
                });
            (!is_harmless).then_some(entry.kind)
        })
    }

    #[cold]
    fn find_with_preset(&self, key: &str) -> Option<Kind> {
        let lower = key.to_lowercase();
        let is_part = || self.parts.iter().any(|part| lower.contains(part));
        if self.kept_ends.iter().any(|end| lower.ends_with(end)) {
            return None;
        }
        if self.exact.contains(&lower.as_str()) || is_part() {
            // In the documents an object below such a key is walked, not replaced, but our own list stands above.
            return Some(self.find_in_entries(stripped(key.as_bytes())).unwrap_or(Kind::Walked));
        }
        self.find_in_entries(stripped(key.as_bytes()))
    }
}

/// Letters beyond ASCII in lower case; the others say where a word begins.
fn lower_beyond_ascii(key: &str) -> Cow<'_, str> {
    if key.is_ascii() {
        return Cow::Borrowed(key);
    }
    let mut lower = String::with_capacity(key.len());
    for character in key.chars() {
        match character.is_ascii() {
            true => lower.push(character),
            false => lower.extend(character.to_lowercase()),
        }
    }
    Cow::Owned(lower)
}

/// The key up to its last letter: `password2` and `token[]` are read as `password` and `token`.
#[inline]
fn stripped(key: &[u8]) -> &[u8] {
    let mut len = key.len();
    while len > 0 && !key[len - 1].is_ascii_alphabetic() && key[len - 1].is_ascii() {
        len -= 1;
    }
    &key[..len]
}

/// Where `letters` begin at the end of `key`, in any case and with any punctuation between them.
fn end_of(key: &[u8], letters: &[u8]) -> Option<usize> {
    let mut at = key.len();
    for (place, letter) in letters.iter().rev().enumerate() {
        loop {
            let byte = *key.get(at.checked_sub(1)?)?;
            at -= 1;
            if byte.to_ascii_lowercase() == *letter {
                break;
            }
            if place == 0 || byte.is_ascii_alphanumeric() || !byte.is_ascii() {
                return None;
            }
        }
    }
    Some(at)
}

fn is_word_start(key: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|before| key[before]) else { return true };
    if !before.is_ascii_alphabetic() {
        return true;
    }
    let is_upper = key.get(at).is_some_and(u8::is_ascii_uppercase);
    is_upper && (before.is_ascii_lowercase() || key.get(at + 1).is_some_and(u8::is_ascii_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, expected: bool) {
        assert_eq!(Keys::new(&[]).find(key).is_some(), expected, "{key}");
    }

    #[test]
    fn words_end_with_an_entry() {
        for key in [
            "password",
            "user_password",
            "dbPassword",
            "DBPassword",
            "USER-PASSWORD",
            "a.b/password",
            "password2",
            "userpassword",
            "APIKey",
            "x-api-key",
            "apikey",
            "SecretAccessKey",
            "accessKey",
            "masterUserPassword",
            "hashed_token",
            "cvv2",
            "Authorization",
            "proxy-authorization",
            "set-cookie",
            "cardNumber",
            "userPIN",
            "socialSecurityNumber",
        ] {
            check(key, true);
        }
        for key in [
            "passwordResetRequired",
            "tokenType",
            "keyName",
            "author",
            "accessKeyId",
            "aws_access_key_id",
            "key",
            "auth",
            "authorization.k8s.io/decision",
            "authorizationInfo",
            "shipping",
            "opinion",
            "monkey",
            "secretName",
            "secret_arn",
            "max_tokens",
            "clientRequestToken",
            "ClientToken",
            "next_page_token",
            "class_n",
            "version",
            "",
            "2",
            "é",
            "n",
        ] {
            check(key, false);
        }
    }

    #[test]
    fn every_entry_is_looked_for_in_texts() {
        for (entry, _) in ENTRIES {
            let end = entry.as_bytes().last_chunk::<2>().unwrap();
            assert!(crate::mask::rules::KEY_ENDS.contains(&end), "{entry}");
        }
    }

    #[test]
    fn a_users_own_entries_count_too() {
        let keys = Keys::new(&["iban".into(), "home address".into(), "größe".into(), "x1".into()]);
        for key in
            ["iban", "customerIban", "home_address", "HomeAddress", "größe", "GRÖßE", "bodyGRÖßE", "x1", "x"]
        {
            assert!(keys.find(key).is_some(), "{key}");
        }
        assert!(keys.find("ibanCount").is_none() && keys.find("address").is_none());
    }
}
