//! How a key that names a secret affects what is below it, and which values there are not secrets.

use super::words::{end_of, is_word_start, stripped};

/// How an entry of the list acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mask) enum Kind {
    /// A user's own: everything below is masked.
    All,
    /// A secret: in an object below, values that say who, what kind or when stay, and everything else is masked.
    Secret,
    /// Secrets, like `Secret`. A number counts them, and stays.
    Secrets,
    /// Like `Secret`, but access key ids stay: they name a key, as a user name does.
    AccessKey,
    /// Like `AccessKey`, for several: a number counts them, and stays.
    AccessKeys,
    /// Like `Secret`, for a name that also means a request id, so that a retry is not done twice: a short text stays.
    Request,
    /// Like `Secret`, for a key that asks whether there is one: the answer stays.
    Question,
    /// Like `Secret`, for `pwd`, which in a shell is a folder: a path stays.
    Folder,
    /// As in a preset: text is masked, an object is walked by the ordinary rules.
    Walked,
}

impl Kind {
    /// Whether an object below is treated according to its keys.
    pub(super) fn asks_keys(self) -> bool {
        !matches!(self, Kind::All | Kind::Walked)
    }

    /// Whether a number below is a count, not a secret.
    pub(in crate::mask) fn counts(self) -> bool {
        matches!(self, Kind::Secrets | Kind::AccessKeys | Kind::Question)
    }

    /// Whether a text below a key of this kind only names a secret, or is what another product left of one.
    pub(in crate::mask) fn lets_be(self, text: &[u8]) -> bool {
        let names_key = matches!(self, Kind::AccessKey | Kind::AccessKeys | Kind::Walked);
        let is_name = (names_key && is_access_key_id(text)) || is_arn(text) || is_hashed_by_vault(text);
        match self {
            Kind::All => false,
            Kind::Request => is_name || text.len() <= REQUEST_BYTES_MAX,
            Kind::Question => is_name || is_answer(text) || is_count(text),
            Kind::Folder => is_name || is_folder(text),
            _ => is_name,
        }
    }
}

/// The possible answers.
const ANSWERS: &[&[u8]] = &[
    b"yes",
    b"no",
    b"true",
    b"false",
    b"y",
    b"n",
    b"0",
    b"1",
    b"on",
    b"off",
    b"ok",
    b"enabled",
    b"disabled",
    b"required",
    b"optional",
];

/// Whether a text says that something is so or not.
pub(super) fn is_answer(text: &[u8]) -> bool {
    ANSWERS.iter().any(|answer| text.eq_ignore_ascii_case(answer))
}

/// Endings of keys that say who, what kind or when. `-` before one as in the list of keys.
const SAYS_WHO: &[&str] = &[
    "id",
    "ids",
    "uuid",
    "guid",
    "arn",
    "-name",
    "type",
    "kind",
    "status",
    "-email",
    "user",
    "login",
    "scope",
    "scopes",
    "action",
    "actions",
    "path",
    "domain",
    "audience",
    "mode",
    "length",
    "count",
    "maxage",
    "at",
    "date",
    "timestamp",
];

/// Words anywhere in a key that say when.
const SAYS_WHEN: &[&str] = &["created", "creation", "expires", "expired", "expiry", "expiration"];

/// Names of ids that grant access by themselves.
const SECRET_IDS: &[&str] = &["-sessionid", "-sessid", "-secretid", "-sid"];

/// Longer texts are not names of requests.
const REQUEST_BYTES_MAX: usize = 64;

/// Whether a key says who, what kind or when, so that its value below a secret's name is not itself a secret.
pub(super) fn says_who(key: &str) -> bool {
    let key = stripped(key.as_bytes());
    let ends = |entry: &&str| {
        let letters = entry.trim_start_matches('-').as_bytes();
        end_of(key, letters).is_some_and(|start| entry.starts_with('-') || is_word_start(key, start))
    };
    let says_when = |word: &&str| {
        let word = word.as_bytes();
        (0..key.len()).any(|at| {
            key[at..].get(..word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word))
                && is_word_start(key, at)
        })
    };
    (SAYS_WHO.iter().any(ends) || SAYS_WHEN.iter().any(says_when)) && !SECRET_IDS.iter().any(ends)
}

/// Whether a key names a header, which may also be an object that describes permissions.
pub(in crate::mask) fn is_authorization(key: &str) -> bool {
    end_of(stripped(key.as_bytes()), b"authorization").is_some()
}

/// An AWS access key id, which names a key and grants nothing.
pub(super) fn is_access_key_id(value: &[u8]) -> bool {
    (value.starts_with(b"AKIA") || value.starts_with(b"ASIA"))
        && value.len() >= 20
        && value.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

/// A path from the root, from home, or from a drive.
fn is_folder(text: &[u8]) -> bool {
    let begins = matches!(text, [b'/' | b'~', ..] | [_, b':', b'\\' | b'/', ..]);
    let is_of_path = |byte: &u8| byte.is_ascii_alphanumeric() || b"/\\_-.~:+@,; ".contains(byte);
    begins && text.iter().all(|byte| is_of_path(byte) || !byte.is_ascii())
}

/// The name of something at AWS, such as the key that encrypts.
fn is_arn(value: &[u8]) -> bool {
    value.starts_with(b"arn:aws")
        && value.iter().filter(|byte| **byte == b':').count() >= 5
        && value.iter().all(|byte| byte.is_ascii_alphanumeric() || b":/_+=,.@*-".contains(byte))
}

/// Whether the text after the name of several secrets only says how many there are.
pub(in crate::mask) fn is_count(value: &[u8]) -> bool {
    value.first().is_some_and(u8::is_ascii_digit)
        && value.len() <= 20
        && value.iter().all(|byte| byte.is_ascii_digit() || b".,_%/kKmM".contains(byte))
}

/// What Vault's own log has in place of a secret.
pub(super) fn is_hashed_by_vault(value: &[u8]) -> bool {
    let hex = value.strip_prefix(b"hmac-sha256:").unwrap_or_default();
    hex.len() == 64 && hex.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_say_who_what_kind_or_when() {
        for key in [
            "id",
            "user_id",
            "accessKeyId",
            "name",
            "username",
            "type",
            "status",
            "email",
            "user",
            "scope",
            "scopes",
            "action",
            "created",
            "created_at",
            "createdBy",
            "creationDate",
            "expires",
            "expiresIn",
            "expiration",
            "token_last_used_at",
            "path",
            "defaultMode",
            "originalMaxAge",
        ] {
            assert!(says_who(key), "{key}");
        }
        for key in [
            "value",
            "data",
            "hash",
            "session_id",
            "JSESSIONID",
            "PHPSESSID",
            "secret_id",
            "sid",
            "format",
            "",
        ] {
            assert!(!says_who(key), "{key}");
        }
    }
}
