//! The client for a server: the one that holds the trail, through the socket in its folder, or a remote one by its URL.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use trailseal_core::file::StdFiles;
use trailseal_core::trails_in;
use trailseal_server::SocketPath;

use crate::arguments::Common;
use crate::failure::{Failure, Outcome};
use crate::settings::Settings;

/// The maximum time for a server to respond.
const TIMEOUT: Duration = Duration::from_secs(90);
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// A server and how to reach it.
pub(crate) enum ServerClient {
    /// The server that holds the trail in this folder. Only the owner can open its socket, so no token is needed.
    Socket { folder: PathBuf, path: SocketPath },
    /// A remote server.
    Url { tls: bool, host: String, port: u16, token: String },
}

/// A bidirectional stream.
trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// A server's response.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// When to retry, if the response says so.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

impl ServerClient {
    /// The server that was named, or the one that holds the trail, if any; with several slots, the first slot's that
    /// has one.
    pub(crate) fn beside(settings: &Settings) -> Outcome<Option<ServerClient>> {
        if let Some(named) = ServerClient::named(settings.flags())? {
            return Ok(Some(named));
        }
        // Without a folder there is no server.
        let folders = trails_in(&settings.dir(), &StdFiles).unwrap_or_default();
        Ok(folders.into_iter().find_map(ServerClient::of_trail))
    }

    fn of_trail(folder: PathBuf) -> Option<ServerClient> {
        let path = SocketPath::in_folder(&folder).ok()?;
        // There is none, or one was killed and left its socket behind.
        UnixStream::connect(path.as_path()).ok()?;
        Some(ServerClient::Socket { folder, path })
    }

    /// The folder of the trail that the server holds, if it is on this machine.
    pub(crate) fn folder(&self) -> Option<&Path> {
        if let ServerClient::Socket { folder, .. } = self { Some(folder) } else { None }
    }

    fn named(flags: &Common) -> Outcome<Option<ServerClient>> {
        let Some(url) = &flags.server else { return Ok(None) };
        let wrong = || {
            Failure::could_not(format!("--server {url:?} is not a URL: use https://HOST or http://HOST:PORT"))
        };
        let (tls, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(wrong()),
        };
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (rest, if tls { 443 } else { 80 }),
        };
        let host = host.trim_matches(['[', ']']).to_owned();
        if host.is_empty() || host.contains(['/', '@', '?', '#']) {
            return Err(wrong());
        }
        let token = flags.token.clone();
        let token =
            token.ok_or_else(|| Failure::could_not("--server needs a token: --token, or TRAILSEAL_TOKEN"))?;
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::could_not("--token is not a token: tokens look like tsl_…"));
        }
        Ok(Some(ServerClient::Url { tls, host, port, token }))
    }

    /// Which server it is, for people.
    pub(crate) fn described(&self) -> String {
        match self {
            ServerClient::Socket { .. } => "the server beside".to_owned(),
            ServerClient::Url { .. } => format!("the server at {}", self.place()),
        }
    }

    fn place(&self) -> String {
        match self {
            ServerClient::Socket { folder, .. } => folder.join("socket").display().to_string(),
            ServerClient::Url { host, port, .. } => format!("{host}:{port}"),
        }
    }

    fn connect(&self, timeout: Option<Duration>) -> std::io::Result<Box<dyn Stream>> {
        match self {
            ServerClient::Socket { path, .. } => {
                let stream = UnixStream::connect(path.as_path())?;
                stream.set_read_timeout(timeout)?;
                // A stopped (SIGSTOP) server's socket accepts what its buffer can hold, and then nothing.
                stream.set_write_timeout(Some(TIMEOUT))?;
                Ok(Box::new(stream))
            }
            ServerClient::Url { tls, host, port, .. } => {
                let stream = TcpStream::connect((host.as_str(), *port))?;
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                Ok(if *tls { Box::new(secured(host, stream)?) } else { Box::new(stream) })
            }
        }
    }

    /// Sends JSON and receives JSON. A refusal is a failure, in the server's words.
    pub(crate) fn json(&self, method: &str, path: &str, body: &Value) -> Outcome<Value> {
        self.json_within(method, path, body, Some(TIMEOUT))
    }

    /// As [`json`](ServerClient::json), for work that takes as long as it takes.
    pub(crate) fn json_patiently(&self, method: &str, path: &str, body: &Value) -> Outcome<Value> {
        self.json_within(method, path, body, None)
    }

    fn json_within(
        &self,
        method: &str,
        path: &str,
        body: &Value,
        timeout: Option<Duration>,
    ) -> Outcome<Value> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.ask_within(method, path, text.as_bytes(), timeout)?;
        match answer.status {
            200..300 => Ok(serde_json::from_slice(&answer.body).unwrap_or(Value::Null)),
            _ => Err(answer.refused()),
        }
    }

    /// Sends one request on its own connection, so that the end of the response is the end of the connection.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &[u8]) -> Outcome<Answer> {
        self.ask_within(method, path, body, Some(TIMEOUT))
    }

    /// Without a timeout, the response may take as long as it takes.
    fn ask_within(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        timeout: Option<Duration>,
    ) -> Outcome<Answer> {
        let failed = |error: std::io::Error| {
            Failure::could_not(format!("could not reach the server at {}: {error}", self.place()))
        };
        let mut stream = self.connect(timeout).map_err(failed)?;
        let (host, token) = match self {
            ServerClient::Socket { .. } => ("localhost", String::new()),
            ServerClient::Url { host, token, .. } => {
                (host.as_str(), format!("Authorization: Bearer {token}\r\n"))
            }
        };
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{token}Connection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        // The server may respond to an oversized request, and close, before it has read all of it.
        let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        let sent = sent.and_then(|()| stream.flush());
        let mut bytes = Vec::new();
        let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
        // The response itself says whether it is complete: many servers close a TLS connection without notice.
        match (parse(&bytes), sent, read) {
            (Some(answer), _, _) => Ok(answer),
            (None, Err(error), _) | (None, _, Err(error)) => Err(failed(error)),
            (None, Ok(()), Ok(0)) => Err(failed(std::io::ErrorKind::UnexpectedEof.into())),
            (None, Ok(()), Ok(_)) => {
                Err(Failure::could_not("the server's response could not be read: is it a Trailseal server?"))
            }
        }
    }
}

impl Answer {
    /// A refusal as a failure, in the server's words.
    pub(crate) fn refused(&self) -> Failure {
        let answer = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        let what = detail(&answer, self.status);
        if matches!(self.status, 404 | 409) { Failure::no(what) } else { Failure::could_not(what) }
    }
}

/// The same over TLS, with the certificates that this machine trusts.
fn secured(host: &str, stream: TcpStream) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
    Ok(StreamOwned::new(connection, stream))
}

/// A text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The error in the server's words.
pub(crate) fn detail(answer: &Value, status: u16) -> String {
    answer["detail"].as_str().map_or_else(|| format!("the server responded with {status}"), str::to_owned)
}

/// The same of a request with one event, which needs no place.
pub(crate) fn detail_of_one(answer: &Value, status: u16) -> String {
    let detail = detail(answer, status);
    match detail.strip_prefix("event 0: ") {
        Some(of_one) => of_one.to_owned(),
        None => detail,
    }
}

/// Parses a complete response.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(end) = response.parse(bytes).ok()? else { return None };
    let status = response.code?;
    let is_chunked =
        response.headers.iter().any(|header| header.name.eq_ignore_ascii_case("transfer-encoding"));
    let rest = bytes.get(end..)?;
    let number = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()?.trim().parse::<u64>().ok()
    };
    let length = number("content-length").and_then(|length| usize::try_from(length).ok());
    // In seconds. A proxy may give a date instead, which is ignored.
    let retry_after = number("retry-after").map(Duration::from_secs);
    // Without either, the end of the response cannot be known.
    if !is_chunked && length.is_none_or(|length| rest.len() < length) && status != 204 {
        return None;
    }
    let body = if is_chunked { unchunk(rest)? } else { rest.to_vec() };
    Some(Answer { status, retry_after, body })
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
        assert_eq!(answer.retry_after, None);
        let busy = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(parse(busy).unwrap().retry_after, Some(Duration::from_secs(5)));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n1\r\n\n\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap().body, b"{}\n");
        assert!(parse(b"HTTP/1.1 200 OK\r\n").is_none());
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}").is_none(), "cut off");
    }

    #[test]
    fn urls_and_what_is_none() {
        let named = |url: &str| {
            let flags = Common { server: Some(url.into()), token: Some("tsl_x".into()), ..Common::default() };
            ServerClient::named(&flags).ok().flatten().map(|server| server.place())
        };
        assert_eq!(named("https://audit.example.com").as_deref(), Some("audit.example.com:443"));
        assert_eq!(named("http://127.0.0.1:8410/").as_deref(), Some("127.0.0.1:8410"));
        assert_eq!(named("https://[::1]:8410").as_deref(), Some("::1:8410"));
        assert_eq!(named("https://[::1]").as_deref(), Some("::1:443"));
        for url in ["audit.example.com", "ftp://x", "http://", "http://x:y", "https://a@b", "http://x/y"] {
            assert_eq!(named(url), None, "{url}");
        }
        let flags = Common { server: Some("http://x".into()), ..Common::default() };
        assert!(ServerClient::named(&flags).is_err(), "no token");
    }
}
