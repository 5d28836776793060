//! Keys that are paths. In `changes`, and where what could not be taken is kept, one key stands for several that are
//! joined by dots; a secret's key may be any of them.

use super::keys::{Keys, Kind};
use crate::event::INVALID;

/// Members of an entry of changes: they hold the value of the key above them.
const SIDES: [&str; 9] = ["before", "after", "from", "to", "old", "new", "previous", "current", "value"];
/// Stands at the end of a path that was cut.
const CUT: char = '…';

/// What the keys of an object are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Keys.
    Single,
    /// Paths, as `changes` has them: a dot inside of a key has a backslash before it.
    Escaped,
    /// Paths, as `_invalid` has them: a dot may be anything, the path may be cut, and a number may follow `#`.
    Plain,
}

impl Form {
    /// What the keys below a key are that is of this form itself.
    pub(super) fn below(self, key: &str) -> Form {
        if key == INVALID {
            return Form::Plain;
        }
        // What was kept may be the event's own `changes`, or what another trail had kept.
        match (self, without_count(key).rsplit('.').next()) {
            (Form::Plain, Some("changes")) => Form::Escaped,
            (Form::Plain, Some(INVALID)) => Form::Plain,
            _ => Form::Single,
        }
    }
}

/// How a key or path below a key of the kind `above` matches.
pub(super) fn kind_below(keys: &Keys, above: Option<Kind>, key: &str, form: Form) -> Option<Kind> {
    let whole = || step(keys, above, key);
    match form {
        Form::Single => whole(),
        Form::Escaped | Form::Plain if above == Some(Kind::All) => above,
        Form::Escaped => last_of(keys, above, escaped_parts(key)).or_else(whole),
        Form::Plain => {
            let path = without_count(key);
            if path.ends_with(CUT) {
                // The key that names the secret may be gone.
                return Some(Kind::All);
            }
            last_of(keys, above, path.split('.')).or_else(whole)
        }
    }
}

/// Whether any key in a path names a secret; also says yes to paths that [`kind_below`] lets be.
pub(super) fn has_key(keys: &Keys, path: &str) -> bool {
    without_count(path).ends_with(CUT)
        || keys.find(path).is_some()
        || path.split('.').any(|key| keys.find(key).is_some())
        || escaped_parts(path).any(|key| keys.find(key).is_some())
}

/// The path with each key changed as `change` says; `None` if it changed none.
pub(super) fn change_keys(path: &str, change: impl Fn(&str) -> Option<String>) -> Option<String> {
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

fn last_of<'a>(keys: &Keys, above: Option<Kind>, path: impl Iterator<Item = &'a str>) -> Option<Kind> {
    path.fold(above, |above, key| {
        // The place in a list is no key of its own.
        let is_place = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
        if is_place { above } else { step(keys, above, key) }
    })
}

/// One key further down.
fn step(keys: &Keys, above: Option<Kind>, key: &str) -> Option<Kind> {
    match above {
        Some(Kind::All) => above,
        Some(_) if SIDES.contains(&key) => keys.find(key).or(above),
        _ => keys.find(key),
    }
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

fn unescaped(key: &str) -> String {
    let mut is_escaped = false;
    key.chars()
        .filter(|character| {
            is_escaped = *character == '\\' && !is_escaped;
            !is_escaped
        })
        .collect()
}

/// The path without the number that tells the second value of one path from the first.
fn without_count(path: &str) -> &str {
    let path_and_count = path.rsplit_once('#');
    let is_count = |count: &str| !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    path_and_count.filter(|(_, count)| is_count(count)).map_or(path, |(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, form: Form, expected: Option<Kind>) {
        let keys = Keys::new(&[]);
        assert_eq!(kind_below(&keys, None, path, form), expected, "{path}");
        assert!(expected.is_none() || has_key(&keys, path), "{path}");
    }

    #[test]
    fn any_key_of_a_path_hides_what_stands_there() {
        check("secret.a.b", Form::Escaped, Some(Kind::All));
        check("secret.credentials.b", Form::Escaped, Some(Kind::All));
        check("user.api_key", Form::Escaped, Some(Kind::All));
        check("api.key", Form::Escaped, Some(Kind::All));
        check("credentials", Form::Escaped, Some(Kind::Walked));
        check("credentials.value", Form::Escaped, Some(Kind::Walked));
        check("credentials.id", Form::Escaped, None);
        check("page.token", Form::Escaped, Some(Kind::All));
        check("page_token", Form::Escaped, None);
        check(r"secret\.a", Form::Escaped, None);
        check(r"secret\\.a", Form::Escaped, Some(Kind::All));
        check(r"my\.secret.a", Form::Escaped, Some(Kind::All));
        check("secret.a", Form::Single, None);
        check(r"details.secret\.a", Form::Plain, Some(Kind::All));
        check("details.credentials.0", Form::Plain, Some(Kind::Walked));
        check("details.credentials.value#12", Form::Plain, Some(Kind::Walked));
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
