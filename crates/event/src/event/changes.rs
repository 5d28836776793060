//! What changed between the states before and after, derived if both are objects.
//!
//! One entry per changed leaf or array, keyed by its dotted path, with the missing side left out:
//! `{"role":{"before":"user","after":"admin"},"tags":{"after":["x"]}}`. In keys, dots and backslashes are preceded by a
//! backslash, so that no two paths are the same.

use super::out::{Mark, Out, piece};
use super::parse::{DEPTH_MAX, Path, Step};
use super::value::{Object, Value};
use super::write::{end_object, write_escaped, write_value};

/// The maximum number of entries of derived changes.
pub(crate) const CHANGES_MAX: usize = 1_000;
/// The approximate maximum size of all derived changes. A line holds less; but each change carries its whole path, so a
/// long key above many changes would be repeated in all of them.
pub(crate) const CHANGES_BYTES_MAX: usize = 1 << 17;

/// Writes the changes as one JSON object, or nothing if both sides are the same. False if there were more than
/// [`CHANGES_MAX`], or more than fit any line; then the first of them were written.
pub(crate) fn write_changes<'a>(before: &Object, after: &Object, out: Out<'a>) -> (Out<'a>, bool) {
    write_changes_up_to(CHANGES_MAX, CHANGES_BYTES_MAX, before, after, out)
}

pub(crate) fn write_changes_up_to<'a>(
    max: usize,
    bytes_max: usize,
    before: &Object,
    after: &Object,
    out: Out<'a>,
) -> (Out<'a>, bool) {
    let start = out.mark();
    let changes = Changes { out, start, bytes_max, left: max, is_complete: true }.objects(
        before,
        after,
        1,
        &Path::ROOT,
    );
    (end_object(start, changes.out), changes.is_complete)
}

/// The changes being written, each preceded by a comma.
struct Changes<'a> {
    out: Out<'a>,
    /// Where they begin.
    start: Mark,
    /// After this many bytes, no further change is started.
    bytes_max: usize,
    /// How many more may be written.
    left: usize,
    /// Whether none was left out.
    is_complete: bool,
}

impl Changes<'_> {
    /// Writes what differs between two objects.
    fn objects(mut self, before: &Object, after: &Object, depth: usize, path: &Path<'_>) -> Self {
        // Both sides mostly have the same keys in the same order; only otherwise a table is built.
        let same_keys = before.len() == after.len()
            && before.0.iter().zip(&after.0).all(|((before, _), (after, _))| before == after);
        if same_keys {
            for ((key, old), (_, new)) in before.0.iter().zip(&after.0) {
                self = self.pair(Some(old), Some(new), depth, &path.key(key));
            }
            return self;
        }
        let (old, new) = (before.lookup(), after.lookup());
        for (key, value) in &before.0 {
            self = self.pair(Some(value), new.get(key), depth, &path.key(key));
        }
        for (key, value) in after.0.iter().filter(|(key, _)| old.get(key).is_none()) {
            self = self.pair(None, Some(value), depth, &path.key(key));
        }
        self
    }

    /// Writes what differs between two values at one path.
    fn pair(self, old: Option<&Value>, new: Option<&Value>, depth: usize, path: &Path<'_>) -> Self {
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
            _ if !self.is_complete || old == new => self,
            _ => self.entry(old, new, path),
        }
    }

    fn entry(self, old: Option<&Value>, new: Option<&Value>, path: &Path<'_>) -> Self {
        if self.left == 0 || self.out.bytes_since(self.start) > self.bytes_max {
            return Changes { is_complete: false, ..self };
        }
        let mut out = write_path(path, self.out.piece(piece!(",\"")));
        out = out.piece(if old.is_some() { piece!("\":{\"before\":") } else { piece!("\":{\"after\":") });
        if let Some(old) = old {
            out = write_value(old, out);
        }
        if let Some(new) = new {
            out = if old.is_some() { out.piece(piece!(",\"after\":")) } else { out };
            out = write_value(new, out);
        }
        Changes { out: out.piece(piece!("}")), left: self.left - 1, ..self }
    }
}

fn write_path<'a>(path: &Path<'_>, mut out: Out<'a>) -> Out<'a> {
    let Some(parent) = path.parent() else { return out };
    if parent.parent().is_some() {
        out = write_path(parent, out).piece(piece!("."));
    }
    let Step::Key(key) = path.step() else { return out };
    if key.bytes().any(|byte| byte == b'.' || byte == b'\\') {
        write_escaped(key.replace('\\', "\\\\").replace('.', "\\.").as_bytes(), out)
    } else {
        write_escaped(key.as_bytes(), out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, after: &str, expected: &str) {
        let parse = |json: &str| Value::parse(json.as_bytes()).unwrap().as_object().unwrap().clone();
        let mut text = Vec::new();
        assert!(Out::append(&mut text, |out| write_changes(&parse(before), &parse(after), out)));
        assert_eq!(String::from_utf8(text).unwrap(), expected);
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
    fn a_long_key_above_many_changes_is_not_written_for_each() {
        let side = |value: i64| {
            let inner: Object = (0..2_000).map(|n| (format!("k{n}"), Value::from(value))).collect();
            Object::from_iter([("x".repeat(50_000), Value::from(inner))])
        };
        let mut text = Vec::new();
        assert!(!Out::append(&mut text, |out| write_changes(&side(1), &side(2), out)));
        assert!(text.len() <= 2 * CHANGES_BYTES_MAX, "{} bytes", text.len());
        assert!(!Value::parse(&text).unwrap().as_object().unwrap().is_empty());
    }

    #[test]
    fn ends_at_the_limit_and_in_linear_time() {
        let many = |prefix: &str| (0..100_000).map(|n| (format!("{prefix}{n}"), n)).collect::<Object>();
        let mut text = Vec::new();
        assert!(!Out::append(&mut text, |out| write_changes(&many("a"), &many("b"), out)));
        assert_eq!(Value::parse(&text).unwrap().as_object().unwrap().len(), CHANGES_MAX);
    }
}
