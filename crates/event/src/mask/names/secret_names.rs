//! Which keys name a secret.
//!
//! A key is split into words at case changes, punctuation and digits, and matches if its words *end* with an entry:
//! `user_password` and `dbPassword`, but not `passwordResetRequired`. Nearly every key is rejected by its last three
//! letters, without allocation.

use std::borrow::Cow;

use super::effect::Kind;
use super::words::{end_of, is_word_start, stripped};

/// Entries without their blanks. A `-` before one means that it may also be the end of a longer word, as in
/// `userpassword`.
pub(in crate::mask) const ENTRIES: &[(&str, Kind)] = &[
    ("-password", Kind::Secret),
    ("-passwords", Kind::Secrets),
    ("-passwd", Kind::Secret),
    ("-pwd", Kind::Folder),
    ("pass", Kind::Question),
    ("dbpass", Kind::Secret),
    ("databasepass", Kind::Secret),
    ("adminpass", Kind::Secret),
    ("rootpass", Kind::Secret),
    ("mailpass", Kind::Secret),
    ("emailpass", Kind::Secret),
    ("ftppass", Kind::Secret),
    ("sshpass", Kind::Secret),
    ("redispass", Kind::Secret),
    ("postgrespass", Kind::Secret),
    ("pgpass", Kind::Secret),
    ("mongopass", Kind::Secret),
    ("sqlpass", Kind::Secret),
    ("ldappass", Kind::Secret),
    ("authpass", Kind::Secret),
    ("loginpass", Kind::Secret),
    ("apppass", Kind::Secret),
    ("keypass", Kind::Secret),
    ("mysqlpass", Kind::Secret),
    ("requirepass", Kind::Secret),
    ("smtppass", Kind::Secret),
    ("storepass", Kind::Secret),
    ("userpass", Kind::Secret),
    ("-passphrase", Kind::Secret),
    ("passphrases", Kind::Secrets),
    ("-passcode", Kind::Secret),
    ("passcodes", Kind::Secrets),
    ("-secret", Kind::Secret),
    ("-secrets", Kind::Secrets),
    ("secretvalue", Kind::Secret),
    ("secretstring", Kind::Secret),
    ("secretbinary", Kind::Secret),
    ("secretkeybase", Kind::Secret),
    ("-token", Kind::Secret),
    ("-tokens", Kind::Secrets),
    ("-apikey", Kind::Secret),
    ("-apikeys", Kind::Secrets),
    ("-privatekey", Kind::Secret),
    ("-privatekeys", Kind::Secrets),
    ("-accesskey", Kind::AccessKey),
    ("-accesskeys", Kind::AccessKeys),
    ("-secretkey", Kind::Secret),
    ("-secretkeys", Kind::Secrets),
    ("accountkey", Kind::Secret),
    ("accountkeys", Kind::Secrets),
    ("masterkey", Kind::Secret),
    ("masterkeys", Kind::Secrets),
    ("encryptionkey", Kind::Secret),
    ("encryptionkeys", Kind::Secrets),
    ("signingkey", Kind::Secret),
    ("signingkeys", Kind::Secrets),
    ("unsealkey", Kind::Secret),
    ("unsealkeys", Kind::Secrets),
    ("sharedkey", Kind::Secret),
    ("sharedkeys", Kind::Secrets),
    ("authkey", Kind::Secret),
    ("authkeys", Kind::Secrets),
    ("subscriptionkey", Kind::Secret),
    ("credential", Kind::AccessKey),
    ("credentials", Kind::AccessKeys),
    ("authorization", Kind::Secret),
    ("cookie", Kind::Secret),
    ("cookies", Kind::Secrets),
    ("cardnumber", Kind::Secret),
    ("cvc", Kind::Secret),
    ("cvv", Kind::Secret),
    ("ssn", Kind::Secret),
    ("socialsecurity", Kind::Secret),
    ("socialsecuritynumber", Kind::Secret),
    ("pin", Kind::Secret),
    ("rawpayload", Kind::Secret),
    ("emailbody", Kind::Secret),
    ("documentcontent", Kind::Secret),
];

/// Words before `token` with which it grants no access: the name of a request, so that a retry is not done twice; where a
/// listing continues; part of a public key's name; a level of rights; whether tokens are required; a format.
const HARMLESS_TOKENS: &[&[u8]] = &[
    b"clientrequest",
    b"next",
    b"page",
    b"nextpage",
    b"continue",
    b"continuation",
    b"pagination",
    b"publickey",
    b"elevated",
    b"http",
    b"jsonweb",
];

/// Words that begin a key that asks a question, such as `Has Sensitive Credentials`.
const QUESTIONS: &[&[u8]] = &[b"has", b"is"];

/// How many endings of three letters there are, where 0 means not a letter.
const ENDS: usize = 32 * 32 * 32;

/// The position of each byte in the alphabet, in any case, from 1; 0 if it is not a letter.
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
pub(in crate::mask) struct Keys {
    /// Which endings some entry may have, by [`end_number`].
    ends: Box<[u64; ENDS / 64]>,
    /// Whether some entry does not end in three ASCII letters.
    has_odd: bool,
    /// Whether there is a preset, or an entry that is not all ASCII; then all endings are possible.
    is_special: bool,
    entries: Vec<Entry>,
    /// Whole keys in lower case, as a preset lists them.
    exact: Vec<&'static str>,
    /// Parts of keys in lower case, as a preset lists them.
    parts: Vec<&'static str>,
    /// Ends of keys that no part matches.
    kept_ends: &'static [&'static str],
}

/// The long flags of curl that are followed by a name and a password.
pub(in crate::mask) const USER_FLAGS: [&str; 2] = ["user", "proxy-user"];
/// The one that is followed by a token.
pub(in crate::mask) const BEARER_FLAG: &str = "oauth2-bearer";

impl Keys {
    /// The default entries and those of a user.
    pub(in crate::mask) fn new(custom: &[String]) -> Self {
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
    pub(in crate::mask) fn add_preset(
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
                // A word may be split between its last letters, as in `to_ken`.
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

    /// False, and fast, for most keys for which [`find`](Keys::find) finds nothing.
    #[inline(always)]
    pub(in crate::mask) fn is_worth_a_look(&self, key: &[u8]) -> bool {
        let Some(&end @ [_, _, last]) = key.last_chunk::<3>() else { return true };
        let number = end_number(end);
        !last.is_ascii_alphabetic() || self.ends[number / 64] >> (number % 64) & 1 != 0
    }

    /// How the key matches, if it does.
    #[inline(never)]
    pub(in crate::mask) fn find(&self, key: &str) -> Option<Kind> {
        if self.is_special {
            return self.find_with_preset(&lower_beyond_ascii(key));
        }
        // Vault writes its mounts so: `token/`, `userpass/`.
        let is_mount = key.ends_with('/');
        let key = stripped(key.as_bytes());
        let kind = if self.is_possible(key) { self.find_in_entries(key) } else { None };
        kind.filter(|kind| !is_mount || *kind == Kind::All)
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
            if entry.kind == Kind::All {
                return Some(entry.kind);
            }
            // `boardingPass`, `first_pass`.
            if *entry.letters == *b"pass" && key[..start].iter().any(|byte| !b"_-.$".contains(byte)) {
                return None;
            }
            let is_token = *entry.letters == *b"token" || *entry.letters == *b"tokens";
            match entry.kind {
                _ if is_token && is_harmless_token(&key[..start]) => None,
                _ if asks_question(key) => Some(Kind::Question),
                _ if is_token && is_client_token(key, start) => Some(Kind::Request),
                kind => Some(kind),
            }
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
            // In the documents, an object below such a key is walked, not replaced, but our own list takes precedence.
            return Some(self.find_in_entries(stripped(key.as_bytes())).unwrap_or(Kind::Walked));
        }
        self.find_in_entries(stripped(key.as_bytes()))
    }
}

/// Lower-cases letters beyond ASCII; the others show where a word begins.
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

/// Whether the words before `token` say that it grants no access.
fn is_harmless_token(before: &[u8]) -> bool {
    let before = stripped(before);
    HARMLESS_TOKENS
        .iter()
        .any(|words| end_of(before, words).is_some_and(|start| is_word_start(before, start)))
}

/// AWS writes `clientToken` for the name of a request; Vault's `client_token` grants access.
fn is_client_token(key: &[u8], start: usize) -> bool {
    let is_client = |before: &[u8]| before.len() == b"lient".len() + 1 && before[1..] == *b"lient";
    key[start] == b'T'
        && start.checked_sub(b"client".len()).is_some_and(|client| {
            is_client(&key[client..start])
                && key[client].eq_ignore_ascii_case(&b'c')
                && is_word_start(key, client)
        })
}

/// Whether a key asks whether there is a secret.
fn asks_question(key: &[u8]) -> bool {
    QUESTIONS.iter().any(|word| {
        key.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
            && key.get(word.len()).is_some_and(|next| {
                !next.is_ascii_alphanumeric()
                    || (next.is_ascii_uppercase() && key[word.len() - 1].is_ascii_lowercase())
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::texts::token_prefixes::{KEY_ENDS, RARE_KEY_ENDS};

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
            "tokens",
            "apiKeys",
            "client_secrets",
            "access-tokens",
            "PRIVATE_KEYS",
            "vault_master_key",
            "EncryptionKey",
            "signingKey",
            "unseal_keys",
            "passcode",
            "client_token",
            "CLIENT_TOKEN",
            "pwd",
            "dbPwd",
            "pass",
            "DB_PASS",
            "appsecret",
            "identitytoken",
            "preSharedKey",
            "SECRET_KEY_BASE",
            "cvc2",
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
            "clientRequestToken",
            "client_request_token",
            "PublicKeyToken",
            "ElevatedToken",
            "httpTokens",
            "next_page_token",
            "nextpagetoken",
            "io.jsonwebtoken",
            "bypass",
            "compass",
            "boardingPass",
            "skiPass",
            "lowPass",
            "LastPass",
            "bus_pass",
            "test_pass",
            "userpass/",
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

    fn kind(key: &str) -> Kind {
        Keys::new(&["iban".into()]).find(key).unwrap()
    }

    #[test]
    fn numbers_under_plurals_are_counts() {
        for key in ["max_tokens", "tokens", "promptTokens", "passwords", "api_keys", "credentials"] {
            assert!(kind(key).counts(), "{key}");
        }
        for key in ["token", "pin", "password", "credential", "cardNumber"] {
            assert!(!kind(key).counts(), "{key}");
        }
    }

    #[test]
    fn what_only_names_a_secret_stays() {
        assert!(kind("clientToken").lets_be(b"5b7eff74-2b70-4f92-8aa1-9c716bf151aa"));
        assert!(!kind("client_token").lets_be(b"5b7eff74-2b70-4f92-8aa1-9c716bf151aa"));
        assert!(!kind("clientToken").lets_be(&[b'a'; 65]), "that of a payment page is long");
        assert!(kind("Has Sensitive Credentials").lets_be(b"No"));
        assert!(!kind("hasPassword").lets_be(b"hunter2") && !kind("hash_token").lets_be(b"no"));
        let vault = format!("hmac-sha256:{}", "0f".repeat(32));
        assert!(kind("client_token").lets_be(vault.as_bytes()) && !kind("iban").lets_be(vault.as_bytes()));
        assert!(!kind("token").lets_be(b"hmac-sha256:hunter2"));
        assert!(kind("PWD").lets_be(b"/home/anna") && kind("pwd").lets_be(br"C:\Users\anna"));
        assert!(!kind("pwd").lets_be(b"/hunter2!") && !kind("pwd").lets_be(b"hunter2"));
        assert!(kind("pass").lets_be(b"yes") && kind("pass").counts() && !kind("pass").lets_be(b"hunter2"));
        assert!(kind("encryptionKey").lets_be(b"arn:aws:kms:us-east-1:123456789012:key/1234abcd"));
        assert!(!kind("encryptionKey").lets_be(b"arn:aws:kms:hunter2"));
    }

    #[test]
    fn every_entry_is_looked_for_in_texts() {
        for (entry, _) in ENTRIES {
            let end = entry.as_bytes().last_chunk::<2>().unwrap();
            assert!(KEY_ENDS.contains(&end) || RARE_KEY_ENDS.contains(&end), "{entry}");
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
