//! Members that name what another member of the same object holds, as in `{"name":"DB_PASSWORD","value":"x"}`.

use super::effect::Kind;
use super::paths::{SIDES, Under};
use super::secret_names::Keys;
use super::words::{end_of, is_word_start};
use crate::event::{Object, Value};

/// The keys whose text is such a name.
pub(crate) const NAMERS: [&str; 12] =
    ["name", "Name", "NAME", "key", "Key", "KEY", "field", "Field", "FIELD", "path", "Path", "PATH"];

/// The last word of keys that hold what is named, besides those of changes.
const HOLDERS: [&str; 2] = ["value", "values"];

/// Whether the text under a key may be the name of what another member holds.
pub(in crate::mask) fn names_other(key: &str) -> bool {
    NAMERS.contains(&key)
}

/// How the object's own names match, if one of them names a secret.
pub(in crate::mask) fn kind_of_named(keys: &Keys, object: &Object) -> Option<Kind> {
    object.iter().find_map(|(key, value)| match value {
        Value::String(name) if names_other(key) => keys.find(name),
        _ => None,
    })
}

/// Whether JSON text has a key that may hold what another member names. Says yes to other texts that end alike.
pub(crate) fn has_holder(text: &str) -> bool {
    let text = text.as_bytes();
    let ends = |quote: usize, word: &str| {
        let start = quote.checked_sub(word.len());
        start.is_some_and(|start| text[start..quote].eq_ignore_ascii_case(word.as_bytes()))
    };
    memchr::memchr_iter(b'"', text).any(|quote| HOLDERS.iter().chain(&SIDES).any(|word| ends(quote, word)))
}

/// What applies to a member of an object that names a secret so.
pub(in crate::mask) fn below_named(named: Option<Kind>, key: &str, under: Under) -> Option<Under> {
    let key = key.as_bytes();
    let holds = |word: &str| end_of(key, word.as_bytes()).is_some_and(|start| is_word_start(key, start));
    let is_side = |side: &&str| key.eq_ignore_ascii_case(side.as_bytes());
    let kind = named?;
    let applies =
        under.kind.is_none() && (HOLDERS.iter().any(|word| holds(word)) || SIDES.iter().any(is_side));
    applies.then(|| Under::of(Some(kind)))
}
