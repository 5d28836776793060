//! A server that runs beside this command: asked over the socket in the trail's folder.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::failure::{Failure, Outcome};
use crate::settings::Settings;

/// How long a server may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(90);
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// A server that answers on the trail's socket.
pub(crate) struct ServerClient {
    path: PathBuf,
}

/// What a server answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl ServerClient {
    /// The server that holds the trail, if one does.
    pub(crate) fn beside(settings: &Settings) -> Outcome<Option<ServerClient>> {
        let path = settings.dir().join("socket");
        match UnixStream::connect(&path) {
            Ok(_) => Ok(Some(ServerClient { path })),
            // None runs, or one was killed and left its socket.
            Err(_) => Ok(None),
        }
    }

    /// Sends JSON and reads JSON. An answer that says no is a failure, in the server's words.
    pub(crate) fn json(&self, method: &str, path: &str, body: &Value) -> Outcome<Value> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let Answer { status, body } = self.ask(method, path, text.as_bytes())?;
        let answer = serde_json::from_slice(&body).unwrap_or(Value::Null);
        match status {
            200..300 => Ok(answer),
            404 | 409 => Err(Failure::no(detail(&answer, status))),
            _ => Err(Failure::could_not(detail(&answer, status))),
        }
    }

    /// One request on a connection of its own, so that the end of the answer is the end of the connection.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &[u8]) -> Outcome<Answer> {
        let failed = |error: std::io::Error| {
            Failure::could_not(format!("could not ask the server at {}: {error}", self.path.display()))
        };
        let mut stream = UnixStream::connect(&self.path).map_err(failed)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).map_err(failed)?;
        let mut bytes = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
        parse(&bytes).ok_or_else(|| {
            Failure::could_not("the server's answer could not be read: is it of this program?")
        })
    }
}

/// What the server says is wrong.
pub(crate) fn detail(answer: &Value, status: u16) -> String {
    answer["detail"].as_str().map_or_else(|| format!("the server answered {status}"), str::to_owned)
}

/// An answer of which the whole is here.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(end) = response.parse(bytes).ok()? else { return None };
    let status = response.code?;
    let is_chunked =
        response.headers.iter().any(|header| header.name.eq_ignore_ascii_case("transfer-encoding"));
    let rest = bytes.get(end..)?;
    let body = if is_chunked { unchunk(rest)? } else { rest.to_vec() };
    Some(Answer { status, body })
}

fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let httparse::Status::Complete((start, len)) = httparse::parse_chunk_size(bytes).ok()? else {
            return None;
        };
        let chunk = bytes.get(start..start.checked_add(usize::try_from(len).ok()?)?)?;
        if chunk.is_empty() {
            return Some(body);
        }
        body.extend_from_slice(chunk);
        bytes = bytes.get(start + chunk.len() + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn whole_and_chunked_answers() {
        let answer = parse(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        assert_eq!((answer.status, &*answer.body), (201, &b"{}"[..]));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n1\r\n\n\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap().body, b"{}\n");
        assert!(parse(b"HTTP/1.1 200 OK\r\n").is_none());
    }
}
