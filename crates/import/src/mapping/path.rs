//! Where a value is in a record: `userIdentity.arn`, `resources.0.ARN`, `annotations."a.b/c"`.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use trailseal_event::Value;

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
            segments.push(Segment { index: key.parse().ok(), key: key.to_owned(), select });
            if segments.len() > SEGMENTS_MAX {
                return Err(format!("`{text}` is deeper than {SEGMENTS_MAX} keys: choose a shorter path"));
            }
            match behind.strip_prefix('.') {
                Some(more) => rest = more,
                None => return Ok(Path(segments)),
            }
        }
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

/// The address of a text in memory and its length; only compared, never dereferenced.
type TextPlace = (*const u8, usize);

/// A record to look values up in. If a path continues below a string, the string is parsed as JSON, once.
pub(super) struct Lookup<'r> {
    root: &'r Value,
    /// What paths that begin with `@` refer to.
    entry: Option<&'r Value>,
    /// Parsed strings by their address in memory, which stays the same while this lives.
    texts: RefCell<HashMap<TextPlace, Option<Rc<Value>>>>,
}

impl<'r> Lookup<'r> {
    pub(super) fn new(root: &'r Value) -> Self {
        Lookup { root, entry: None, texts: RefCell::default() }
    }

    /// The same with an entry of a list in it: paths that begin with `@` are relative to that.
    pub(super) fn with_entry(root: &'r Value, entry: Option<&'r Value>) -> Self {
        Lookup { entry, ..Lookup::new(root) }
    }

    /// The first value at `path` that `accept` takes. There can be several if keys differ only in case or the path has
    /// a `*`.
    pub(super) fn find<T>(&self, path: &Path, mut accept: impl FnMut(&Value) -> Option<T>) -> Option<T> {
        match (self.entry, path.0.split_first()) {
            (Some(entry), Some((first, rest))) if first.key == "@" => self.walk(entry, rest, &mut accept),
            _ => self.walk(self.root, &path.0, &mut accept),
        }
    }

    /// The value at these keys of objects.
    pub(super) fn place(&self, keys: &[&str]) -> Option<&'r Value> {
        keys.iter().try_fold(self.root, |value, key| {
            let object = value.as_object()?;
            let close =
                || object.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, value)| value);
            object.get(key).or_else(close)
        })
    }

    fn walk<T>(
        &self,
        value: &Value,
        path: &[Segment],
        accept: &mut dyn FnMut(&Value) -> Option<T>,
    ) -> Option<T> {
        let Some((segment, rest)) = path.split_first() else { return accept(value) };
        match value {
            Value::Object(object) => {
                let mut on = |value: &Value| match &segment.select {
                    None => self.walk(value, rest, accept),
                    Some(Select { key, text }) => {
                        let mut entries = value.as_array()?.iter();
                        entries.find_map(|entry| {
                            is_selected(entry, key, text).then(|| self.walk(entry, rest, accept))?
                        })
                    }
                };
                let mut others = Vec::new();
                for (key, value) in object.iter() {
                    if *key == segment.key {
                        if let Some(found) = on(value) {
                            return Some(found);
                        }
                    } else if key.eq_ignore_ascii_case(&segment.key) {
                        others.push(value);
                    }
                }
                if let Some(found) = others.into_iter().find_map(on) {
                    return Some(found);
                }
                // Below any key.
                let all = object.iter().filter(|_| segment.key == "*");
                all.map(|(_, value)| value).find_map(|value| self.walk(value, rest, accept))
            }
            Value::Array(list) if segment.key == "*" => {
                list.iter().find_map(|value| self.walk(value, rest, accept))
            }
            Value::Array(list) => self.walk(at(list, segment.index?)?, rest, accept),
            Value::String(text) => self.walk(&*self.text(text)?, path, accept),
            _ => None,
        }
    }

    /// The text parsed as JSON, if it is an object or a list.
    fn text(&self, text: &str) -> Option<Rc<Value>> {
        if !text.trim_start().starts_with(['{', '[']) {
            return None;
        }
        let place = (text.as_ptr(), text.len());
        if let Some(known) = self.texts.borrow().get(&place) {
            return known.clone();
        }
        let read = Value::parse(text.as_bytes()).ok().map(Rc::new);
        self.texts.borrow_mut().insert(place, read.clone());
        read
    }
}

fn is_selected(entry: &Value, key: &str, text: &str) -> bool {
    entry.get(key).and_then(text_of).is_some_and(|found| found.eq_ignore_ascii_case(text))
}

fn at(list: &[Value], index: i64) -> Option<&Value> {
    let from_start = if index < 0 { index.checked_add_unsigned(list.len() as u64)? } else { index };
    list.get(usize::try_from(from_start).ok()?)
}

/// A value as text: non-blank text, numbers as they were sent, true and false.
pub(super) fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(record: &str, path: &str, expected: Option<&str>) {
        let record = Value::parse(record.as_bytes()).expect("good JSON");
        let path = Path::parse(path).expect("a good path");
        let text = |value: &Value| text_of(value).map(Cow::into_owned);
        assert_eq!(Lookup::new(&record).find(&path, text).as_deref(), expected);
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
