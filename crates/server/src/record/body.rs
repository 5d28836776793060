//! The body of a request: read with a limit and a deadline, unpacked, and cut into events.

use std::io::Read;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::value::RawValue;

use crate::app::App;
use crate::problem::Problem;

/// Reads a body of at most as many bytes as the settings allow, packed or not.
pub(crate) async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let max = app.config.body_bytes_max;
    let too_large = || Problem::too_large(format!("the body is larger than {max} bytes: send less at once"));
    let declared =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|declared| declared > max) {
        return Err(too_large());
    }
    let collected = tokio::time::timeout(app.config.request_timeout, Limited::new(body, max).collect());
    let bytes = match collected.await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(_)) => return Err(Problem::bad_request("body", "the body ended early")),
        Err(_) => {
            let detail = "the body took too long: send it faster, or less at once";
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail).retry_after(1));
        }
    };
    let encoding = match headers.get(header::CONTENT_ENCODING) {
        None => return Ok(bytes),
        Some(encoding) => encoding.to_str().unwrap_or_default().trim().to_ascii_lowercase(),
    };
    if matches!(encoding.as_str(), "" | "identity") {
        return Ok(bytes);
    }
    let unpacked = tokio::task::block_in_place(|| match encoding.as_str() {
        "gzip" | "x-gzip" => Some(unpack(flate2::read::MultiGzDecoder::new(&bytes[..]), max)),
        "zstd" => Some(zstd::Decoder::new(&bytes[..]).and_then(|mut decoder| {
            // A frame may ask for a window of many gigabytes.
            decoder.window_log_max(27)?;
            unpack(decoder, max)
        })),
        _ => None,
    });
    let Some(unpacked) = unpacked else {
        let detail = "this Content-Encoding is not read: use gzip or zstd, or none";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding", detail));
    };
    match unpacked {
        Ok(Some(unpacked)) => Ok(unpacked.into()),
        Ok(None) => Err(too_large()),
        Err(_) => Err(Problem::bad_request("encoding", format!("the body is not {encoding}"))),
    }
}

/// What `packed` unpacks to; `None` if that is more than `max` bytes.
fn unpack(packed: impl Read, max: usize) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    packed.take(max as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= max).then_some(bytes))
}

/// The texts of the events in a body: one object, an array of them, or one behind the other.
pub(super) fn split(body: &[u8]) -> Result<Vec<&[u8]>, Problem> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    let texts = match body.first() {
        None => {
            return Err(Problem::bad_request(
                "empty",
                "the body is empty: send one event, an array, or NDJSON",
            ));
        }
        Some(b'[') => split_array(body)?,
        Some(_) => split_lines(body).map_or_else(|| split_stream(body), Ok)?,
    };
    match texts.is_empty() {
        false => Ok(texts),
        true => Err(Problem::bad_request("empty", "there is no event in the body")),
    }
}

/// NDJSON as it mostly is: an object a line. `None` if it is something else; whether each is one is seen later.
fn split_lines(body: &[u8]) -> Option<Vec<&[u8]>> {
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines.map(|line| (line.starts_with(b"{") && line.ends_with(b"}")).then_some(line)).collect()
}

/// Objects behind each other, each over any number of lines.
fn split_stream(body: &[u8]) -> Result<Vec<&[u8]>, Problem> {
    let text = utf8(body)?;
    let mut texts = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
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

fn split_array(body: &[u8]) -> Result<Vec<&[u8]>, Problem> {
    let values: Vec<&RawValue> = serde_json::from_str(utf8(body)?).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Problem::bad_request("not-json", format!("the array is not JSON: line {line}, column {column}"))
    })?;
    Ok(values.into_iter().map(|value| value.get().as_bytes()).collect())
}

fn utf8(body: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(body).map_err(|error| {
        let detail = format!("byte {} of the body is not UTF-8: send JSON in UTF-8", error.valid_up_to());
        Problem::bad_request("not-json", detail)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn check(body: &str, expected: &[&str]) {
        let texts: Vec<&str> = split(body.as_bytes())
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
            assert!(split(body.as_bytes()).is_err(), "{body:?}");
        }
        assert!(split(b"[\"\xff\"]").is_err());
    }

    #[test]
    fn a_bomb_is_cut_off() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut packer, &vec![b' '; 10 << 20]).unwrap();
        let packed = packer.finish().unwrap();
        assert!(packed.len() < 20_000);
        assert_eq!(unpack(flate2::read::MultiGzDecoder::new(&packed[..]), 1 << 20).unwrap(), None);
    }
}
