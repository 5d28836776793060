//! What changed between the states before and after, derived when both are objects.
//!
//! One entry for each changed leaf or array, keyed by its dotted path, the missing side left out:
//! `{"role":{"before":"user","after":"admin"},"tags":{"after":["x"]}}`. In keys, dots and backslashes are
//! written with a backslash before them, so that no two paths are alike.

use super::limits::CHANGES_MAX;
use super::out::Out;
use super::parse::{DEPTH_MAX, Path, Step};
use super::value::{Object, Value};
use super::write::{write_escaped, write_value};

/// Writes the changes as one JSON object, or nothing if both sides are alike. False if there were more
/// than [`CHANGES_MAX`]; then the first of them were written.
pub(crate) fn write_changes(before: &Object, after: &Object, out: &mut Out) -> bool {
    write_changes_up_to(CHANGES_MAX, before, after, out)
}

pub(crate) fn write_changes_up_to(max: usize, before: &Object, after: &Object, out: &mut Out) -> bool {
    let mut changes = Changes { out, count: 0, max };
    changes.out.push(b'{');
    let complete = changes.objects(before, after, 1, &Path::ROOT);
    changes.out.push(b'}');
    complete
}

struct Changes<'a> {
    out: &'a mut Out,
    count: usize,
    max: usize,
}

impl Changes<'_> {
    /// Writes what differs between two objects. False if the limit was reached.
    fn objects(&mut self, before: &Object, after: &Object, depth: usize, path: &Path<'_>) -> bool {
        // Mostly both sides have the same keys in the same order; only else is a table made.
        let same_keys = before.len() == after.len()
            && before.0.iter().zip(&after.0).all(|((before, _), (after, _))| before == after);
        if same_keys {
            return before
                .0
                .iter()
                .zip(&after.0)
                .all(|((key, old), (_, new))| self.pair(Some(old), Some(new), depth, &path.key(key)));
        }
        let (old, new) = (before.lookup(), after.lookup());
        before.0.iter().all(|(key, value)| self.pair(Some(value), new.get(key), depth, &path.key(key)))
            && after
                .0
                .iter()
                .filter(|(key, _)| old.get(key).is_none())
                .all(|(key, value)| self.pair(None, Some(value), depth, &path.key(key)))
    }

    /// Writes what differs between two values at one path. False if the limit was reached.
    fn pair(&mut self, old: Option<&Value>, new: Option<&Value>, depth: usize, path: &Path<'_>) -> bool {
        static NOTHING: Object = Object::new();
        match (old, new) {
            (Some(Value::Object(old)), Some(Value::Object(new))) if depth < DEPTH_MAX => {
                self.objects(old, new, depth + 1, path)
            }
            (Some(Value::Object(old)), None) if depth < DEPTH_MAX && !old.is_empty() => {
                self.objects(old, &NOTHING, depth + 1, path)
            }
            (None, Some(Value::Object(new))) if depth < DEPTH_MAX && !new.is_empty() => {
                self.objects(&NOTHING, new, depth + 1, path)
            }
            _ => old == new || self.entry(old, new, path),
        }
    }

    fn entry(&mut self, old: Option<&Value>, new: Option<&Value>, path: &Path<'_>) -> bool {
        if self.count == self.max {
            return false;
        }
        if self.count > 0 {
            self.out.push(b',');
        }
        self.count += 1;
        self.out.push(b'"');
        self.path(path);
        self.out.extend_from_slice(b"\":{");
        if let Some(old) = old {
            self.out.extend_from_slice(b"\"before\":");
            write_value(old, self.out);
        }
        if let Some(new) = new {
            self.out.extend_from_slice(if old.is_some() { b",\"after\":" } else { b"\"after\":" });
            write_value(new, self.out);
        }
        self.out.push(b'}');
        true
    }

    fn path(&mut self, path: &Path<'_>) {
        let Some(parent) = path.parent() else { return };
        if parent.parent().is_some() {
            self.path(parent);
            self.out.push(b'.');
        }
        let Step::Key(key) = path.step() else { return };
        if key.bytes().any(|byte| byte == b'.' || byte == b'\\') {
            write_escaped(key.replace('\\', "\\\\").replace('.', "\\.").as_bytes(), self.out);
        } else {
            write_escaped(key.as_bytes(), self.out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, after: &str, expected: &str) {
        let parse = |json: &str| Value::parse(json.as_bytes()).unwrap().as_object().unwrap().clone();
        let out = Out::collect(|out| assert!(write_changes(&parse(before), &parse(after), out)));
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn names_each_changed_leaf() {
        check(
            r#"{"role":"user","n":1}"#,
            r#"{"role":"admin","n":1}"#,
            r#"{"role":{"before":"user","after":"admin"}}"#,
        );
        check(
            r#"{"a":{"b":{"c":1,"d":2}}}"#,
            r#"{"a":{"b":{"c":1,"d":3}}}"#,
            r#"{"a.b.d":{"before":2,"after":3}}"#,
        );
        check(r#"{"t":[1]}"#, r#"{"t":[1,2]}"#, r#"{"t":{"before":[1],"after":[1,2]}}"#);
        check(
            r#"{"a":{"b":1},"c":2}"#,
            r#"{"d":{"e":{}},"c":2}"#,
            r#"{"a.b":{"before":1},"d.e":{"after":{}}}"#,
        );
        check(r#"{"a":1}"#, r#"{"a":{"b":1}}"#, r#"{"a":{"before":1,"after":{"b":1}}}"#);
        check(r#"{"a":null}"#, r#"{}"#, r#"{"a":{"before":null}}"#);
        check(r#"{"a":1,"b":{"x":1,"y":2}}"#, r#"{"b":{"y":2,"x":1},"a":1}"#, "{}");
    }

    #[test]
    fn no_two_paths_are_alike() {
        check(
            r#"{"a.b":1,"a":{"b":1},"a\\":{"b":1}}"#,
            r#"{"a.b":2,"a":{"b":2},"a\\":{"b":2}}"#,
            r#"{"a\\.b":{"before":1,"after":2},"a.b":{"before":1,"after":2},"a\\\\.b":{"before":1,"after":2}}"#,
        );
        check(r#"{"":{"":1}}"#, r#"{}"#, r#"{".":{"before":1}}"#);
    }

    #[test]
    fn ends_at_the_limit_and_in_linear_time() {
        let many = |prefix: &str| (0..100_000).map(|n| (format!("{prefix}{n}"), n)).collect::<Object>();
        let out = Out::collect(|out| assert!(!write_changes(&many("a"), &many("b"), out)));
        assert_eq!(Value::parse(&out).unwrap().as_object().unwrap().len(), CHANGES_MAX);
    }
}
