//! Where a value is in a record: `userIdentity.arn`, `resources.0.ARN`, `annotations."a.b/c"`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use trailseal_event::DEPTH_MAX;

use crate::json_tree::{Item, Owned, TextPlace, hash};

/// The maximum depth of a path; a deeper one is probably a mistake.
const SEGMENTS_MAX: usize = 32;

/// A dotted path into a record.
#[derive(Clone, Debug)]
pub(crate) struct Path(Vec<Segment>);

/// The text that an entry of a list has at a key.
#[derive(Clone, Debug)]
struct Select {
    key: String,
    text: String,
}

#[derive(Clone, Debug)]
struct Segment {
    key: String,
    /// [`hash`] of the key.
    hash: u32,
    /// Of a list's entries, those with this text at this key.
    select: Option<Select>,
    /// The position in a list, from its end if negative.
    index: Option<i64>,
}

impl Path {
    /// Parses a path. The error is for people.
    pub(crate) fn parse(text: &str) -> Result<Path, String> {
        let mut segments = Vec::new();
        let mut rest = text;
        loop {
            let (key, behind) = take_segment(rest).ok_or_else(|| {
                format!("`{text}` is not a path: write keys with dots between them, such as user.name, and quote a \
                    key that contains a dot")
            })?;
            let (key, select) = split_select(key, rest).map_err(|message| format!("`{text}`: {message}"))?;
            segments.push(Segment {
                index: key.parse().ok(),
                hash: hash(key.as_bytes()),
                key: key.to_owned(),
                select,
            });
            if segments.len() > SEGMENTS_MAX {
                return Err(format!("`{text}` is deeper than {SEGMENTS_MAX} keys: choose a shorter path"));
            }
            match behind.strip_prefix('.') {
                Some(more) => rest = more,
                None => return Ok(Path(segments)),
            }
        }
    }

    /// Whether it may find several values.
    pub(crate) fn has_star(&self) -> bool {
        self.0.iter().any(|segment| segment.key == "*")
    }

    pub(crate) fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|segment| segment.key.as_str()).collect()
    }
}

/// The next key and what follows it, which is empty or begins with a dot.
fn take_segment(text: &str) -> Option<(&str, &str)> {
    let (key, behind) = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => text.split_at(end_of_key(text)),
    };
    let good = !(key.trim().is_empty() || key.starts_with('/') || key.contains(['"', '{', '}', '\n']));
    (good && (behind.is_empty() || behind.starts_with('.'))).then_some((key, behind))
}

/// Where an unquoted key ends: at a dot, but not at one in brackets.
fn end_of_key(text: &str) -> usize {
    let dot = text.find('.').unwrap_or(text.len());
    match text.find('[') {
        Some(open) if open < dot => match text[open..].find(']') {
            Some(close) => open + close + 1,
            None => dot,
        },
        _ => dot,
    }
}

/// Takes apart `parameters[name=value]`, unless the key was quoted. The error is for people.
fn split_select<'t>(key: &'t str, written: &str) -> Result<(&'t str, Option<Select>), &'static str> {
    let Some((list, inside)) = key.split_once('[').filter(|_| !written.starts_with('"')) else {
        return Ok((key, None));
    };
    let inside = inside.strip_suffix(']').ok_or("a bracket is not closed; quote a key that contains one")?;
    match inside.split_once('=') {
        Some((name, value)) if !list.is_empty() && !name.is_empty() && !value.is_empty() => {
            Ok((list, Some(Select { key: name.to_owned(), text: value.to_owned() })))
        }
        Some(_) => Err("write list[key=text] for the entries of a list that have this text"),
        None => Err(
            "this can never match: write the place in a list with dots, such as events.0.name or events.*.name",
        ),
    }
}

/// A record to look values up in. If a path continues below a string, the string is parsed as JSON, once.
pub(super) struct Lookup<'r> {
    root: Item<'r>,
    /// What paths that begin with `@` refer to.
    entry: Option<Item<'r>>,
    /// Parsed strings by their address in memory, which stays the same while this lives.
    texts: RefCell<HashMap<TextPlace, Option<Rc<Owned>>>>,
}

impl<'r> Lookup<'r> {
    pub(super) fn new(root: Item<'r>) -> Self {
        Lookup { root, entry: None, texts: RefCell::default() }
    }

    /// The same with an entry of a list in it: paths that begin with `@` are relative to that.
    pub(super) fn with_entry(root: Item<'r>, entry: Option<Item<'r>>) -> Self {
        Lookup { entry, ..Lookup::new(root) }
    }

    /// The first value at `path` that `accept` takes. There can be several if keys differ only in case or the path has
    /// a `*`.
    pub(super) fn find<T>(&self, path: &Path, mut accept: impl FnMut(Item<'_>) -> Option<T>) -> Option<T> {
        match (self.entry, path.0.split_first()) {
            (Some(entry), Some((first, rest))) if first.key == "@" => self.walk(entry, rest, &mut accept),
            _ => self.walk(self.root, &path.0, &mut accept),
        }
    }

    /// The value at these keys of objects.
    pub(super) fn place(&self, keys: &[&str]) -> Option<Item<'r>> {
        keys.iter().try_fold(self.root, |value, key| {
            let members = || value.is_object().then(|| value.inside()).into_iter().flatten();
            let close = || members().find(|member| member.key().eq_ignore_ascii_case(key));
            members().find(|member| member.key() == *key).or_else(close)
        })
    }

    fn walk<T>(
        &self,
        value: Item<'_>,
        path: &[Segment],
        accept: &mut dyn FnMut(Item<'_>) -> Option<T>,
    ) -> Option<T> {
        let Some((segment, rest)) = path.split_first() else { return accept(value) };
        if value.is_object() {
            self.walk_object(value, segment, rest, accept)
        } else if value.is_array() {
            match segment.key == "*" {
                true => value.inside().find_map(|value| self.walk(value, rest, accept)),
                false => self.walk(at(value, segment.index?)?, rest, accept),
            }
        } else {
            self.walk(self.text(value)?.root(), path, accept)
        }
    }

    fn walk_object<T>(
        &self,
        object: Item<'_>,
        segment: &Segment,
        rest: &[Segment],
        accept: &mut dyn FnMut(Item<'_>) -> Option<T>,
    ) -> Option<T> {
        let mut on = |value: Item<'_>| match &segment.select {
            None => self.walk(value, rest, accept),
            Some(Select { key, text }) => {
                let entries = value.is_array().then(|| value.inside());
                entries?.find_map(|entry| {
                    is_selected(entry, key, text).then(|| self.walk(entry, rest, accept))?
                })
            }
        };
        let mut others = Vec::new();
        for member in object.inside().filter(|member| member.hash() == segment.hash) {
            let key = member.key();
            if key == segment.key {
                if let Some(found) = on(member) {
                    return Some(found);
                }
            } else if key.eq_ignore_ascii_case(&segment.key) {
                others.push(member);
            }
        }
        if let Some(found) = others.into_iter().find_map(on) {
            return Some(found);
        }
        if segment.key != "*" {
            return None;
        }
        // Below any key.
        object.inside().find_map(|value| self.walk(value, rest, accept))
    }

    /// The string parsed as JSON, if it is an object or a list.
    fn text(&self, string: Item<'_>) -> Option<Rc<Owned>> {
        let (inside, place) = string.as_str()?;
        if !inside.trim_start().starts_with(['{', '[']) {
            return None;
        }
        if let Some(known) = self.texts.borrow().get(&place) {
            return known.clone();
        }
        let read = Owned::parse(inside, DEPTH_MAX).map(Rc::new);
        self.texts.borrow_mut().insert(place, read.clone());
        read
    }
}

fn is_selected(entry: Item<'_>, key: &str, text: &str) -> bool {
    let members = entry.is_object().then(|| entry.inside());
    let found = members.and_then(|mut members| members.find(|member| member.key() == key));
    found.and_then(Item::scalar).is_some_and(|found| found.eq_ignore_ascii_case(text))
}

fn at(list: Item<'_>, index: i64) -> Option<Item<'_>> {
    let place = if index < 0 { index.checked_add_unsigned(list.inside().count() as u64)? } else { index };
    list.inside().nth(usize::try_from(place).ok()?)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::json_tree::Tree;
    use trailseal_event::Value;

    #[track_caller]
    fn check(record: &str, path: &str, expected: Option<&str>) {
        let path = Path::parse(path).expect("a good path");
        let text = |value: Item<'_>| value.scalar().map(Cow::into_owned);
        let owned = Owned::of(&Value::parse(record.as_bytes()).expect("good JSON"));
        let mut tree = Tree::default();
        let read = tree.read(record, DEPTH_MAX).expect("an ordinary object");
        for root in [owned.root(), read] {
            assert_eq!(Lookup::new(root).find(&path, text).as_deref(), expected);
        }
    }

    #[test]
    fn keys_lists_and_case() {
        check(r#"{"a":{"b":1.50}}"#, "a.b", Some("1.50"));
        check(r#"{"A":{"b":true}}"#, "a.B", Some("true"));
        check(r#"{"eventname":"x","eventName":"y"}"#, "eventName", Some("y"));
        check(r#"{"eventname":"x","eventName":""}"#, "eventName", Some("x"));
        check(r#"{"a":["x","y"]}"#, "a.0", Some("x"));
        check(r#"{"a":["x","y"]}"#, "a.-1", Some("y"));
        check(r#"{"a":["x","y"]}"#, "a.2", None);
        check(r#"{"a":["x","y"]}"#, "a.-3", None);
        check(r#"{"a":[{"c":1},{"b":2}]}"#, "a.*.b", Some("2"));
        check(r#"{"a":{"0":"x"}}"#, "a.0", Some("x"));
        check(r#"{"x":1,"a":{"b":"1"},"c":{"b":"2"}}"#, "*.b", Some("1"));
        check(r#"{"a":{"b":"1"},"*":{"b":"2"}}"#, "*.b", Some("2"));
        check(r#"{"a":{"b.c/d":"x"}}"#, r#"a."b.c/d""#, Some("x"));
        let list = r#"{"p":[{"name":"x","value":"1"},{"name":"a.b","value":"2"},{"name":"X","value":"3"}]}"#;
        check(list, "p[name=a.b].value", Some("2"));
        check(list, "p[name=x].value", Some("1"));
        check(list, "p[name=y].value", None);
        check(r#"{"a[0]":"x"}"#, "\"a[0]\"", Some("x"));
        check(r#"{"a":{"b":{}}}"#, "a.b", None);
        check(r#"{"a":null}"#, "a", None);
        check(r#"{"a":"  "}"#, "a", None);
    }

    #[test]
    fn json_in_a_text_is_looked_into() {
        check(r#"{"log":"{\"verb\":\"get\"}"}"#, "log.verb", Some("get"));
        check(r#"{"log":"[{\"x\":\"[7]\"}]"}"#, "log.0.x.0", Some("7"));
        check(r#"{"log":"{broken"}"#, "log.verb", None);
        check(r#"{"log":"plain"}"#, "log.verb", None);
    }

    #[test]
    fn what_is_no_path() {
        for text in [
            "", ".", "a.", ".a", "a..b", "a.\"b", "a\"b", "\"a\"b", "{a}", "  ", "a[0].b", "a[*]", "a[b",
            "/a/b", "a[=b]",
        ] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
        assert!(Path::parse(&"a.".repeat(40)).is_err());
    }
}
