//! The body of a request: read with a limit and a deadline, decompressed, and split into events.

use std::io::Read;
use std::ops::Deref;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserializer as _;
use serde::de::{SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::room::Held;
use crate::access::Caller;
use crate::app::App;
use crate::problem::Problem;

/// How many bytes are decompressed before room is taken for them.
const UNPACKED_AT_ONCE: u64 = 64 << 10;

/// The whole body of a request, as sent.
pub(super) struct Sent {
    bytes: Bytes,
    /// Its compression.
    encoding: Option<String>,
    held: Held,
}

/// The whole body of a request, decompressed.
pub(crate) struct Whole {
    bytes: Bytes,
    _held: Held,
}

impl Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads and decompresses a body: see [`receive`] and [`Sent::unpack`].
pub(crate) async fn read(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
) -> Result<Whole, Problem> {
    let (sent, max) = (receive(app, caller, headers, body).await?, app.config.body_bytes_max);
    match sent.is_packed() {
        false => sent.unpack(max),
        true => {
            let turn = app.large_bodies.take(caller.client()).await;
            let unpack = move || {
                let _turn = turn;
                sent.unpack(max)
            };
            tokio::task::spawn_blocking(unpack).await.unwrap_or_else(|error| Err(Problem::internal(&error)))
        }
    }
}

/// Reads a body of at most the size that the settings allow, if there is room for it beside others.
pub(super) async fn receive(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
) -> Result<Sent, Problem> {
    let max = app.config.body_bytes_max;
    let too_large = || too_large(max);
    let declared =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|declared| declared > max) {
        return Err(too_large());
    }
    let mut held = Held::new(app.body_room.begin(caller.client()));
    let collected = tokio::time::timeout(app.config.request_timeout, collect(body, declared, max, &mut held));
    let bytes = match collected.await {
        Ok(collected) => collected?.ok_or_else(too_large)?,
        Err(_) => {
            let detail = "the body took too long: send it faster, or send less at once";
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail).retry_after(1));
        }
    };
    let encoding = headers.get(header::CONTENT_ENCODING);
    let encoding = encoding.map(|encoding| encoding.to_str().unwrap_or_default().trim().to_ascii_lowercase());
    let encoding = encoding.filter(|encoding| !matches!(encoding.as_str(), "" | "identity"));
    Ok(Sent { bytes, encoding, held })
}

fn too_large(max: usize) -> Problem {
    Problem::too_large(format!("the body is larger than {max} bytes: send less at once"))
}

impl Sent {
    pub(super) fn is_packed(&self) -> bool {
        self.encoding.is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Decompresses it, to at most `max` bytes. Slow for large compressed bodies.
    pub(super) fn unpack(self, max: usize) -> Result<Whole, Problem> {
        let Sent { bytes, encoding, mut held } = self;
        let bytes = match encoding {
            None => bytes,
            Some(encoding) => {
                decode(&encoding, &bytes, max, &mut held)?.ok_or_else(|| too_large(max))?.into()
            }
        };
        Ok(Whole { bytes, _held: held })
    }
}

/// The bytes of a body whose declared length is `declared`; `None` if there are more than `max`.
async fn collect(
    body: Body,
    declared: Option<usize>,
    max: usize,
    held: &mut Held,
) -> Result<Option<Bytes>, Problem> {
    let mut body = Limited::new(body, max);
    // One piece is the usual case and is not copied.
    let (mut first, mut whole) = (Bytes::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) if error.is::<LengthLimitError>() => return Ok(None),
            Err(_) => return Err(Problem::bad_request("body", "the body ended early")),
        };
        let Ok(piece) = frame.into_data() else { continue };
        held.grow(piece.len())?;
        if first.is_empty() && whole.is_empty() {
            first = piece;
            continue;
        }
        if whole.is_empty() {
            // All at once, since growing would hold it twice. Memory that is not written to is not used yet.
            whole = Vec::with_capacity(declared.unwrap_or(0).max(first.len() + piece.len()));
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(Some(if whole.is_empty() { first } else { whole.into() }))
}

/// Decompresses a body; `None` if that is more than `max` bytes.
fn decode(encoding: &str, bytes: &[u8], max: usize, held: &mut Held) -> Result<Option<Vec<u8>>, Problem> {
    let wrong = |_| Problem::bad_request("encoding", format!("the body is not {encoding}"));
    match encoding {
        "gzip" | "x-gzip" => unpack(flate2::read::MultiGzDecoder::new(bytes), max, held, wrong),
        "zstd" => {
            let mut decoder = zstd::Decoder::new(bytes).map_err(wrong)?;
            // A frame may ask for a window of many gigabytes.
            decoder.window_log_max(27).map_err(wrong)?;
            unpack(decoder, max, held, wrong)
        }
        _ => {
            let detail = "this Content-Encoding is not supported: use gzip or zstd, or none";
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding", detail))
        }
    }
}

fn unpack(
    packed: impl Read,
    max: usize,
    held: &mut Held,
    wrong: impl Fn(std::io::Error) -> Problem,
) -> Result<Option<Vec<u8>>, Problem> {
    let mut packed = packed.take(max as u64 + 1);
    let mut bytes = Vec::new();
    loop {
        let count = packed.by_ref().take(UNPACKED_AT_ONCE).read_to_end(&mut bytes).map_err(&wrong)?;
        if count == 0 {
            return Ok((bytes.len() <= max).then_some(bytes));
        }
        held.grow(count)?;
    }
}

/// The texts of the events in a body: one object, an array of objects, or objects one after the other. At most `max`:
/// the record of a small event's place takes many times its own bytes.
pub(super) fn split(body: &[u8], max: usize) -> Result<Vec<&[u8]>, Problem> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    let texts = match body.first() {
        None => {
            return Err(Problem::bad_request(
                "empty",
                "the body is empty: send one event, an array, or NDJSON",
            ));
        }
        Some(b'[') => split_array(body, max)?,
        Some(_) => split_lines(body, max).map_or_else(|| split_stream(body, max), Ok)?,
    };
    match texts.len() {
        0 => Err(Problem::bad_request("empty", "there is no event in the body")),
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
                return Err(Problem::bad_request("not-json", detail).with("item", texts.len()));
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
            Err(Problem::bad_request("not-json", detail))
        }
        _ => Ok(texts),
    }
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
        Problem::bad_request("not-json", detail)
    })
}

/// The texts of the events in a body with this encoding: everything done with a body before its events are parsed.
#[cfg(fuzzing)]
pub fn events_of(encoding: &str, body: &[u8], max: usize) -> Option<Vec<Vec<u8>>> {
    use crate::shares::{Client, Shares};
    let mut held = Held::new(Shares::new(max, max).begin(Client::Owner));
    let unpacked = match encoding {
        "identity" => body.to_vec(),
        _ => decode(encoding, body, max, &mut held).ok()??,
    };
    Some(split(&unpacked, usize::MAX).ok()?.into_iter().map(<[u8]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::response::IntoResponse as _;

    use super::*;
    use crate::shares::{Client, Shares};

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

    #[test]
    fn a_bomb_is_cut_off() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut packer, &vec![b' '; 10 << 20]).unwrap();
        let packed = packer.finish().unwrap();
        assert!(packed.len() < 20_000);
        let mut held = Held::new(Shares::new(2 << 20, 2 << 20).begin(Client::Owner));
        assert_eq!(decode("gzip", &packed, 1 << 20, &mut held).unwrap(), None);
        let mut held = Held::new(Shares::new(1 << 19, 1 << 19).begin(Client::Owner));
        assert!(decode("gzip", &packed, 1 << 20, &mut held).unwrap_err().is_refused());
    }
}
