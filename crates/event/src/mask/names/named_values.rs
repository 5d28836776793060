//! Members that name what another member of the same object holds, as in `{"name":"DB_PASSWORD","value":"x"}`.

use super::effect::{Kind, is_answer};
use super::paths::{SIDES, Under};
use super::secret_names::Keys;
use super::words::{end_of, is_word_start};
use crate::event::{Object, Value};

/// The keys whose text is such a name.
pub(crate) const NAMERS: [&str; 12] =
    ["name", "Name", "NAME", "key", "Key", "KEY", "field", "Field", "FIELD", "path", "Path", "PATH"];

/// The last word of keys that hold what is named, besides those of changes.
const HOLDERS: [&str; 2] = ["value", "values"];

/// What an object's own member names, if that is a secret.
#[derive(Clone, Copy)]
pub(in crate::mask) struct Named {
    kind: Kind,
    /// Whether `from` and `to` are values. Beside a name they are places or times, and in a JSON patch paths.
    is_change: bool,
}

/// Whether the text under a key may be the name of what another member holds.
pub(in crate::mask) fn names_other(key: &str) -> bool {
    NAMERS.contains(&key)
}

/// What the object's members name, if one of them names a secret.
pub(in crate::mask) fn named_by(keys: &Keys, object: &Object) -> Option<Named> {
    // Other paths are those of requests and files.
    let is_patch = || object.iter().any(|(key, _)| key == "op");
    object.iter().find_map(|(key, value)| match value {
        Value::String(name) if names_other(key) => {
            let kind = keys.find(name)?;
            let is = |name: &str| key.eq_ignore_ascii_case(name);
            (!is("path") || is_patch()).then_some(Named { kind, is_change: is("field") || is("key") })
        }
        _ => None,
    })
}

/// What applies to a member of an object that names a secret so. An answer or a number is one of a setting or a count.
pub(in crate::mask) fn below_named(
    named: Option<Named>,
    key: &str,
    value: &Value,
    under: Under,
) -> Option<Under> {
    let named = named.filter(|_| under.kind.is_none())?;
    let key = key.as_bytes();
    let holds = |word: &str| end_of(key, word.as_bytes()).is_some_and(|start| is_word_start(key, start));
    let is_side = |side: &&str| {
        key.eq_ignore_ascii_case(side.as_bytes()) && (named.is_change || !matches!(*side, "from" | "to"))
    };
    let is_setting = match value {
        Value::Number(_) => true,
        Value::String(text) => text.len() > 1 && is_answer(text.as_bytes()),
        _ => false,
    };
    let applies = HOLDERS.iter().any(|word| holds(word)) || SIDES.iter().any(is_side);
    (applies && (named.kind == Kind::All || !is_setting)).then(|| Under::of(Some(named.kind)))
}
