//! Finds the array of records inside a JSON object, without parsing the rest.

use crate::json_tree::Item;
use crate::mapping::Path;

/// The usual places of an array of records.
const USUAL: [&[&str]; 16] = [
    &["Records"],
    &["Events"],
    &["value"],
    &["items"],
    &["entries"],
    &["data"],
    &["results"],
    &["result"],
    &["logs"],
    &["audit_logs"],
    &["auditLogs"],
    &["audit_events"],
    &["auditEvents"],
    &["data", "items"],
    &["data", "records"],
    &["hits", "hits"],
];

/// The array that was found.
pub(super) struct Found {
    /// Behind its opening bracket.
    pub(super) at: usize,
    /// How many brackets are open there, outside the array.
    pub(super) depth: usize,
    /// Its keys, joined by dots.
    pub(super) path: String,
}

/// The array of records in the object that `json` begins with: at `path`, or at one of the usual places.
pub(super) fn find(json: &[u8], path: Option<&Path>) -> Option<Found> {
    let own: Option<Vec<&str>> = path.map(Path::keys);
    let mut keys: Vec<String> = Vec::new();
    // For each open bracket, whether it is an object's.
    let mut open: Vec<bool> = Vec::new();
    let mut key: Option<String> = None;
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => {
                let end = end_of_text(json, at)?;
                if open.last() == Some(&true) && next(json, end) == Some(b':') {
                    key = Some(String::from_utf8_lossy(&json[at + 1..end - 1]).into_owned());
                }
                at = end;
                continue;
            }
            b'[' => {
                if open.iter().all(|&is_object| is_object)
                    && let Some(key) = &key
                {
                    let here: Vec<&str> = keys.iter().map(String::as_str).chain([key.as_str()]).collect();
                    if is_wanted(&here, own.as_deref(), &json[at + 1..]) {
                        return Some(Found { at: at + 1, depth: open.len(), path: here.join(".") });
                    }
                }
                keys.extend(key.take());
                open.push(false);
            }
            b'{' => {
                keys.extend(key.take());
                open.push(true);
            }
            b'}' | b']' => {
                open.pop();
                keys.truncate(open.len().saturating_sub(1));
                if open.is_empty() {
                    return None;
                }
            }
            b',' => key = None,
            _ => {}
        }
        at += 1;
        if open.len() > 64 {
            return None;
        }
    }
    None
}

/// How many of the records in an object are looked at.
const RECORDS_LOOKED_AT: usize = 8;

/// Whether an object that was parsed is there only for the records in it. Where the mapping does not say where those are,
/// there must be some that it `knows`, while it does not know the object: a record may well have a list of `results`, and
/// what stands beside the list would be lost.
pub(super) fn is_container<'v>(
    object: Item<'v>,
    path: Option<&Path>,
    knows: &dyn Fn(Item<'v>) -> bool,
) -> bool {
    match path {
        Some(path) => list_at(object, &path.keys()).is_some(),
        None => usual_list(object).is_some_and(|list| !knows(object) && has_known(list, knows)),
    }
}

/// Whether an object is a record, and not only there for the records in it, as [`is_container`] says. If nothing follows
/// it, records that are not known speak for a wrong mapping.
pub(super) fn is_record<'v>(object: Item<'v>, is_followed: bool, knows: &dyn Fn(Item<'v>) -> bool) -> bool {
    knows(object) || is_followed && !usual_list(object).is_some_and(|list| has_known(list, knows))
}

fn has_known<'v>(list: Item<'v>, knows: &dyn Fn(Item<'v>) -> bool) -> bool {
    list.inside().take(RECORDS_LOOKED_AT).any(|record| record.is_object() && knows(record))
}

/// The list of objects at one of the usual places.
fn usual_list(object: Item<'_>) -> Option<Item<'_>> {
    if !object.inside().any(may_have_records) {
        return None;
    }
    let has_objects = |list: &Item<'_>| list.inside().next().is_some_and(|first| first.is_object());
    USUAL.iter().filter_map(|keys| list_at(object, keys)).find(has_objects)
}

/// Whether a member is where one of the usual places begins.
fn may_have_records(member: Item<'_>) -> bool {
    (member.is_array() || member.is_object())
        && USUAL.iter().any(|keys| keys[0].eq_ignore_ascii_case(member.key()))
}

fn list_at<'v>(value: Item<'v>, keys: &[&str]) -> Option<Item<'v>> {
    let found = keys.iter().try_fold(value, |value, key| {
        let mut members = value.is_object().then(|| value.inside())?;
        members.find(|member| member.key().eq_ignore_ascii_case(key))
    });
    found.filter(Item::is_array)
}

fn is_wanted(here: &[&str], own: Option<&[&str]>, behind: &[u8]) -> bool {
    let is_here = |path: &[&str]| {
        path.len() == here.len() && path.iter().zip(here).all(|(one, other)| one.eq_ignore_ascii_case(other))
    };
    match own {
        Some(path) => is_here(path),
        None => USUAL.iter().any(|path| is_here(path)) && begins_records(behind, false),
    }
}

/// Whether objects follow an opening bracket, or nothing does.
pub(super) fn begins_records(behind: &[u8], is_whole: bool) -> bool {
    match behind.trim_ascii_start().first() {
        Some(byte) => matches!(byte, b'{' | b']'),
        None => is_whole,
    }
}

/// Where the value that `json` begins with ends, if it does.
pub(super) fn end_of_value(json: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => {
                at = end_of_text(json, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return Some(at + 1),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

/// Whether an object that is not closed on its first line could continue on the next.
pub(super) fn may_run_on(line: &[u8]) -> bool {
    matches!(line.trim_ascii_end().last(), Some(b'{' | b'[' | b',' | b':'))
        || line.trim_ascii_end().len() == 1
}

/// Behind the closing quote of the text that begins at `at`; none if a line ends in it.
fn end_of_text(json: &[u8], at: usize) -> Option<usize> {
    let mut from = at + 1;
    loop {
        let rest = json.get(from..)?;
        let found = memchr::memchr3(b'"', b'\\', b'\n', rest)?;
        match rest[found] {
            b'"' => return Some(from + found + 1),
            b'\\' => from += found + 2,
            _ => return None,
        }
    }
}

fn next(json: &[u8], from: usize) -> Option<u8> {
    json[from..].iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, path: Option<&str>, expected: Option<(&str, usize)>) {
        let path = path.map(|path| Path::parse(path).expect("a good path"));
        let found = find(json.as_bytes(), path.as_ref());
        let found = found.as_ref().map(|found| (found.path.as_str(), found.depth, &json[found.at..]));
        assert_eq!(found.map(|(path, depth, _)| (path, depth)), expected, "{json}");
        assert!(found.is_none_or(|(_, _, rest)| rest.starts_with(['{', ']', '7'])), "{found:?}");
    }

    #[test]
    fn arrays_are_found_at_their_path() {
        check(r#"{"records":[{"a":1}]}"#, None, Some(("records", 1)));
        check(r#"{"status":"ok","n":[1],"o":{"data":[{}]},"Records":[{}]}"#, None, Some(("Records", 1)));
        check(r#"{"a\"]":"[{","items":[]}"#, None, Some(("items", 1)));
        check(r#"{"data":{"items":[{}]}}"#, None, Some(("data.items", 2)));
        check(r#"{"data":["a"],"value":7}"#, None, None);
        check(r#"{"list":[{"data":[{}]}]}"#, None, None);
        check(r#"{"x":{"data":[{}]},"y":1}"#, None, None);
        check(r#"{"x":{"y":[7]},"data":[{}]}"#, Some("x.y"), Some(("x.y", 2)));
        check(r#"{"data":[{}]}"#, Some("x.y"), None);
        check(r#"{"data":"#, None, None);
    }
}
