//! Whether a line that somebody shows is a sealed one with its personal values revealed.

use super::json::value_end;
use super::{Seen, reveal_with};
use crate::event::Value;

/// What no line has: a control character in a text is escaped.
const GAP: &str = "\0";
const QUOTED_GAP: &[u8] = b"\"\0\"";

/// Whether `shown` is `line`, byte for byte, with any JSON value in place of each personal value. What these values are is
/// told by whoever shows them: only the keys could say whether it is true.
///
/// ```
/// use trailseal_event::personal::is_shown_line;
///
/// let line = format!(r#"{{"id":"7","actor":{{"name":"erasable:3fa91c02-1f:{}"}}}}"#, "A".repeat(40));
/// assert!(is_shown_line(line.as_bytes(), br#"{"id":"7","actor":{"name":"Ann"}}"#));
/// assert!(!is_shown_line(line.as_bytes(), br#"{"id":"8","actor":{"name":"Ann"}}"#));
/// ```
pub fn is_shown_line(line: &[u8], shown: &[u8]) -> bool {
    // Then the gaps below are those of personal values, and no more.
    if line.contains(&0) || shown.contains(&0) {
        return false;
    }
    let gapped = reveal_with(line, |_, _| Seen::Word(GAP));
    let (mut held, mut told) = (&*gapped, shown);
    while let Some(at) = memchr::memmem::find(held, QUOTED_GAP) {
        let (before, after) = (&held[..at], &held[at + QUOTED_GAP.len()..]);
        let Some(rest) = told.strip_prefix(before) else { return false };
        let Some(end) = value_end(rest, 0) else { return false };
        let is_value = rest.get(..end).is_some_and(|value| Value::parse(value).is_ok());
        if !is_value {
            return false;
        }
        (held, told) = (after, &rest[end..]);
    }
    held == told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_line_differs_in_its_personal_values_alone() {
        let token = format!("\"erasable:3fa91c02-1f:{}\"", "A".repeat(40));
        let line = |one: &str, two: &str| format!(r#"{{"id":"7","a":{one},"b":["x",{two}],"c":"{{}}"}}"#);
        let held = line(&token, &token);
        let is_shown = |shown: &str| is_shown_line(held.as_bytes(), shown.as_bytes());
        for (one, two) in [
            ("\"Ann\"", "12.5"),
            ("{\"a\":[1,\"}\"]}", "null"),
            ("\"erased\"", &*token),
            ("\"a\\\"b\"", "[]"),
        ] {
            assert!(is_shown(&line(one, two)), "{one} {two}");
        }
        let good = line("\"Ann\"", "1");
        for (from, to) in [
            ("\"7\"", "\"8\""),
            ("\"Ann\"", ""),
            ("\"Ann\"", "\"Ann\",\"admin\":true"),
            ("\"Ann\"", "Ann"),
            ("\"Ann\"", "\"Ann\u{0}\""),
            ("[\"x\",1]", "[\"x\",1,2]"),
            ("[\"x\",1]", "[\"x\"]"),
            ("\"c\":\"{}\"}", "\"c\":\"{}\"} "),
            ("\"c\":\"{}\"}", ""),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good, "{from}");
            assert!(!is_shown(&bad), "{bad}");
        }
        assert!(is_shown_line(b"{\"a\":1}", b"{\"a\":1}") && !is_shown_line(b"{\"a\":1}", b"{\"a\":2}"));
    }
}
