//! A body, cut into its events.

use serde::Deserializer as _;
use serde::de::{SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::problem::{Kind, Problem};

/// The texts of the events in a body: one object, an array of objects, or objects one after the other. At most `max`:
/// the record of a small event's place takes many times its own bytes.
pub(super) fn split(body: &[u8], max: usize) -> Result<Vec<&[u8]>, Problem> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    let texts = match body.first() {
        None => {
            return Err(Problem::new(Kind::Empty, "the body is empty: send one event, an array, or NDJSON"));
        }
        Some(b'[') => split_array(body, max)?,
        Some(_) => split_lines(body, max).map_or_else(|| split_stream(body, max), Ok)?,
    };
    match texts.len() {
        0 => Err(Problem::new(Kind::Empty, "there is no event in the body")),
        count if count > max => Err(Problem::too_large(format!(
            "there are more than {max} events in one request: send fewer at once"
        ))),
        _ => Ok(texts),
    }
}

/// NDJSON in its usual form: one object per line. `None` if it is something else; whether each is an object is checked
/// later. Ends with one more than `max`, like the others.
fn split_lines(body: &[u8], max: usize) -> Option<Vec<&[u8]>> {
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let is_object = |line: &[u8]| line.starts_with(b"{") && line.ends_with(b"}");
    lines.take(max.saturating_add(1)).map(|line| is_object(line).then_some(line)).collect()
}

/// Objects one after the other, each over any number of lines.
fn split_stream(body: &[u8], max: usize) -> Result<Vec<&[u8]>, Problem> {
    let text = utf8(body)?;
    let mut texts = Vec::new();
    let values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    for value in values.take(max.saturating_add(1)) {
        match value {
            Ok(value) => texts.push(value.get().as_bytes()),
            Err(error) => {
                let detail = format!("event {} is not JSON: line {} of the body", texts.len(), error.line());
                return Err(Problem::new(Kind::NotJson, detail).with("item", texts.len()));
            }
        }
    }
    Ok(texts)
}

fn split_array(body: &[u8], max: usize) -> Result<Vec<&[u8]>, Problem> {
    let mut reader = serde_json::Deserializer::from_str(utf8(body)?);
    let mut texts = Vec::new();
    let read = reader.deserialize_seq(Elements { texts: &mut texts, max }).and_then(|()| reader.end());
    match read {
        Err(error) if texts.len() <= max => {
            let (line, column) = (error.line(), error.column());
            let detail = format!("the array is not JSON: line {line}, column {column}");
            let problem = Problem::new(Kind::NotJson, detail);
            Err(if is_in_next(body, texts.last()) { problem.with("item", texts.len()) } else { problem })
        }
        _ => Ok(texts),
    }
}

/// Whether an array that is not JSON goes on with one more element behind the last that could be read: then that is what
/// is wrong, and not what is between elements or behind all.
fn is_in_next(array: &[u8], last: Option<&&[u8]>) -> bool {
    let read = last.map_or(0, |last| last.as_ptr().addr() + last.len() - array.as_ptr().addr());
    let rest = array.get(read..).unwrap_or_default().trim_ascii_start();
    let begins = if last.is_some() { b"," } else { b"[" };
    let next = rest.strip_prefix(begins).unwrap_or_default().trim_ascii_start();
    !matches!(next.first(), None | Some(b']'))
}

/// Takes the texts of an array's elements, up to one more than `max`.
struct Elements<'a, 'b> {
    texts: &'b mut Vec<&'a [u8]>,
    max: usize,
}

impl<'a> Visitor<'a> for Elements<'a, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut elements: S) -> Result<(), S::Error> {
        while self.texts.len() <= self.max
            && let Some(element) = elements.next_element::<&RawValue>()?
        {
            self.texts.push(element.get().as_bytes());
        }
        Ok(())
    }
}

fn utf8(body: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(body).map_err(|error| {
        let detail = format!("byte {} of the body is not UTF-8: send JSON in UTF-8", error.valid_up_to());
        Problem::new(Kind::NotJson, detail)
    })
}

/// The texts of the events in a body with this encoding: everything done with a body before its events are parsed.
#[cfg(fuzzing)]
pub fn events_of(encoding: &str, body: &[u8], max: usize) -> Option<Vec<Vec<u8>>> {
    let unpacked = match encoding {
        "identity" => body.to_vec(),
        _ => crate::body::unpacked(encoding, body, max)?,
    };
    Some(split(&unpacked, usize::MAX).ok()?.into_iter().map(<[u8]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::http::StatusCode;
    use axum::response::IntoResponse as _;

    use super::*;

    fn check(body: &str, expected: &[&str]) {
        let texts: Vec<&str> = split(body.as_bytes(), 3)
            .unwrap()
            .into_iter()
            .map(|text| std::str::from_utf8(text).unwrap())
            .collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn one_many_and_lines() {
        check(r#" {"action":"a"} "#, &[r#"{"action":"a"}"#]);
        check("\u{feff}{\"action\":\"a\"}", &[r#"{"action":"a"}"#]);
        check("[{\"a\":1},\n {\"b\":[2]}]", &[r#"{"a":1}"#, r#"{"b":[2]}"#]);
        check("{\"a\":1}\r\n\n{\"b\":2}\n", &[r#"{"a":1}"#, r#"{"b":2}"#]);
        check("{\n \"a\": {}\n}\n{\"b\":2}", &["{\n \"a\": {}\n}", r#"{"b":2}"#]);
        check("{\"a\":1} {\"b\":2}\n{\"c\":\n3}", &[r#"{"a":1}"#, r#"{"b":2}"#, "{\"c\":\n3}"]);
        check("[7]", &["7"]);
    }

    #[test]
    fn what_is_none_of_them_is_refused() {
        for body in ["", " \n", "[", "[]", "{", "{\"a\":1}\n{", "nonsense", "{\"a\":1}]"] {
            assert!(split(body.as_bytes(), 3).is_err(), "{body:?}");
        }
        assert!(split(b"[\"\xff\"]", 3).is_err());
    }

    #[test]
    fn too_many_are_refused_and_not_gathered() {
        // What follows the first one too many is not looked at.
        for body in ["[1,2,3,4,", "{}\n{}\n{}\n{}\n{", "{} {} {} {} nonsense"] {
            let problem = split(body.as_bytes(), 3).unwrap_err().into_response();
            assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE, "{body:?}");
        }
    }
}
