//! Keys that are paths. In `changes`, and where rejected values are kept, one key represents several joined by dots; a
//! secret's key may be any of them.

use super::effect::{Kind, says_who};
use super::secret_names::Keys;
use crate::event::INVALID;

/// Members of an entry of changes: they hold the value of the key above them.
pub(in crate::mask) const SIDES: [&str; 9] =
    ["before", "after", "from", "to", "old", "new", "previous", "current", "value"];
/// The end of a path that was cut.
const CUT: char = '…';

/// What the keys of an object are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mask) enum Form {
    /// Keys.
    Single,
    /// Paths as in `changes`: a dot inside a key has a backslash before it.
    Escaped,
    /// Paths as in `_invalid`: a dot may be anything, the path may be cut, and a number may follow `#`.
    Plain,
}

impl Form {
    /// What the keys below a key of this form are.
    pub(in crate::mask) fn below(self, key: &str) -> Form {
        if key == INVALID {
            return Form::Plain;
        }
        // It may be the event's own `changes`, or what another trail had kept.
        match (self, without_count(key).rsplit('.').next()) {
            (Form::Plain, Some("changes")) => Form::Escaped,
            (Form::Plain, Some(INVALID)) => Form::Plain,
            _ => Form::Single,
        }
    }
}

/// What the keys above a value say about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::mask) struct Under {
    /// How the nearest matching one matches.
    pub(in crate::mask) kind: Option<Kind>,
    /// Whether the nearest one says who, what kind or when.
    pub(super) says_who: bool,
    /// Whether it is an element of a list.
    pub(super) is_listed: bool,
    /// Whether it is a member of what is under that nearest one.
    is_member: bool,
    /// Whether that nearest one ends in `tokens`, whose objects say how many were used.
    is_of_tokens: bool,
}

impl Under {
    pub(in crate::mask) fn of(kind: Option<Kind>) -> Under {
        Under { kind, ..Under::default() }
    }

    pub(in crate::mask) fn listed(self) -> Under {
        Under { is_listed: true, ..self }
    }

    /// Whether a text here is masked.
    pub(in crate::mask) fn hides(self, text: &str) -> bool {
        self.hiding().is_some_and(|kind| !kind.lets_be(text.as_bytes()))
    }

    /// Whether a number here is masked. Directly under the name of several secrets it counts them; in a list or an
    /// object it may be one of them.
    pub(in crate::mask) fn hides_number(self) -> bool {
        let may_be_one = self.is_listed || self.is_member && !self.is_of_tokens;
        self.hiding().is_some_and(|kind| may_be_one || !kind.counts())
    }

    /// How a text or number here is hidden, if it is.
    pub(super) fn hiding(self) -> Option<Kind> {
        self.kind.filter(|kind| !(self.says_who && kind.asks_keys()))
    }
}

/// What applies to the value under a key or path, given what applies above it.
pub(in crate::mask) fn below(keys: &Keys, above: Under, key: &str, form: Form) -> Under {
    let whole = || step(keys, above, key);
    match form {
        Form::Single => whole(),
        Form::Escaped | Form::Plain if above.kind == Some(Kind::All) => above,
        Form::Escaped => fold(keys, above, escaped_parts(key)).or_else(whole),
        Form::Plain => {
            let path = without_count(key);
            if path.ends_with(CUT) {
                // The key that names the secret may be gone.
                return Under::of(Some(Kind::All));
            }
            fold(keys, above, path.split('.')).or_else(whole)
        }
    }
}

/// Whether any key in a path names a secret; also says yes to paths that [`below`] leaves alone.
pub(super) fn has_key(keys: &Keys, path: &str) -> bool {
    without_count(path).ends_with(CUT)
        || keys.find(path).is_some()
        || path.split('.').any(|key| keys.find(key).is_some())
        || escaped_parts(path).any(|key| keys.find(key).is_some())
}

/// The path with each key changed by `change`; `None` if none was changed.
pub(in crate::mask) fn change_keys(path: &str, change: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut is_changed = false;
    let keys: Vec<String> = escaped_parts(path)
        .map(|part| {
            let Some(changed) = change(&unescaped(part)) else { return part.to_owned() };
            is_changed = true;
            changed.replace('\\', "\\\\").replace('.', "\\.")
        })
        .collect();
    is_changed.then(|| keys.join("."))
}

impl Under {
    fn or_else(self, other: impl FnOnce() -> Under) -> Under {
        if self.kind.is_some() { self } else { other() }
    }
}

fn fold<'a>(keys: &Keys, above: Under, path: impl Iterator<Item = &'a str>) -> Under {
    path.fold(above, |above, key| {
        // A position in a list is not a key.
        let is_place = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
        if is_place { above.listed() } else { step(keys, above, key) }
    })
}

/// One key further down.
fn step(keys: &Keys, above: Under, key: &str) -> Under {
    let is_side = SIDES.contains(&key);
    match above.kind {
        Some(Kind::All) => above,
        Some(kind) if kind.asks_keys() => match keys.find(key) {
            // A weaker name revokes nothing.
            Some(Kind::Request | Kind::Question) => Under::of(above.kind),
            Some(own) => named(own, key),
            None if is_side => above,
            None => Under { says_who: says_who(key), is_member: true, is_listed: false, ..above },
        },
        Some(_) if is_side => Under::of(keys.find(key).or(above.kind)),
        _ => keys.find(key).map_or_else(Under::default, |own| named(own, key)),
    }
}

/// What applies directly under a key that matches so.
pub(super) fn named(kind: Kind, key: &str) -> Under {
    let end = key.len().checked_sub("tokens".len()).and_then(|at| key.get(at..));
    let is_of_tokens = end.is_some_and(|end| end.eq_ignore_ascii_case("tokens"));
    Under { is_of_tokens, ..Under::of(Some(kind)) }
}

/// The keys of a path of changes, still with their backslashes.
fn escaped_parts(path: &str) -> impl Iterator<Item = &str> {
    let mut is_escaped = false;
    path.split(move |character| {
        let is_dot = character == '.' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        is_dot
    })
}

/// A key or path without the backslashes that mark its dots.
pub(in crate::mask) fn unescaped(key: &str) -> String {
    let mut is_escaped = false;
    key.chars()
        .filter(|character| {
            is_escaped = *character == '\\' && !is_escaped;
            !is_escaped
        })
        .collect()
}

/// The path without the number that distinguishes the second value of one path from the first.
pub(crate) fn without_count(path: &str) -> &str {
    let path_and_count = path.rsplit_once('#');
    let is_count = |count: &str| !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    path_and_count.filter(|(_, count)| is_count(count)).map_or(path, |(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, form: Form, expected: Option<Kind>) {
        let keys = Keys::new(&[]);
        assert_eq!(below(&keys, Under::default(), path, form).hiding(), expected, "{path}");
        assert!(expected.is_none() || has_key(&keys, path), "{path}");
    }

    #[test]
    fn any_key_of_a_path_hides_what_stands_there() {
        let secret = Some(Kind::Secret);
        check("secret.a.b", Form::Escaped, secret);
        check("secret.credentials.b", Form::Escaped, Some(Kind::AccessKeys));
        check("user.api_key", Form::Escaped, secret);
        check("api.key", Form::Escaped, secret);
        check("credentials", Form::Escaped, Some(Kind::AccessKeys));
        check("credentials.value", Form::Escaped, Some(Kind::AccessKeys));
        check("credentials.id", Form::Escaped, None);
        check("credentials.id.after", Form::Escaped, None);
        check("api_key.user.email", Form::Escaped, None);
        check("api_key.user.data", Form::Escaped, secret);
        check("page.token", Form::Escaped, secret);
        check("page_token", Form::Escaped, None);
        check(r"secret\.a", Form::Escaped, None);
        check(r"secret\\.a", Form::Escaped, secret);
        check(r"my\.secret.a", Form::Escaped, secret);
        check("secret.a", Form::Single, None);
        check(r"details.secret\.a", Form::Plain, secret);
        check("details.credentials.0", Form::Plain, Some(Kind::AccessKeys));
        check("details.credentials.value#12", Form::Plain, Some(Kind::AccessKeys));
        check("details.long…#1", Form::Plain, Some(Kind::All));
        check("outcome", Form::Plain, None);
    }

    #[test]
    fn keys_are_changed_one_by_one() {
        let change = |key: &str| key.contains("a.b").then(|| "c.d".to_owned());
        assert_eq!(change_keys(r"x.a\.b.y", change).as_deref(), Some(r"x.c\.d.y"));
        assert_eq!(change_keys("x.a.b.y", change), None);
    }
}
