//! The greedy client: many connections, each sending its request again as soon as it is answered, whatever the answer is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::{get, packed, post};
use crate::load;

/// The floods. Batches come last, since the trail grows by them.
pub const KINDS: &[&str] = &["openapi", "globs", "queries", "streams", "reviews", "bombs", "batches"];

const UNPACKED_BYTES: usize = 16 << 20;
const BATCH_EVENTS: u64 = 10_000;

/// Floods until it is killed.
pub fn flood(kind: &str, address: &str, token: &str) {
    be_idle();
    let address: SocketAddr = address.parse().expect("an address");
    let (connections, requests) = requests(kind, address, token);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    for number in 0..connections {
        let request = requests[number % requests.len()].clone();
        let is_read = kind != "streams";
        local.spawn_local(async move {
            loop {
                // Refused, or closed before everything was sent: it comes again.
                if connection(address, &request, is_read).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
    }
    runtime.block_on(local.run_until(std::future::pending::<()>()));
}

/// How many connections there are, and what they send.
fn requests(kind: &str, address: SocketAddr, token: &str) -> (usize, Vec<Vec<u8>>) {
    let glob = |number: usize| "*i*n*v*o*i*c*e*.*a*p*p*r*o*v*e*".replace('i', &format!("i{number}"));
    match kind {
        "openapi" => (200, vec![b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()]),
        "globs" => {
            let globs: String = (0..150).map(|number| format!("&action={}", glob(number))).collect();
            (64, vec![get(token, &format!("/v1/events?count=true{globs}&action=*voice*appro*"))])
        }
        "queries" => {
            let long = "x".repeat(59_000);
            (64, vec![get(token, &format!("/v1/events?actor={long}&action=invoice.*"))])
        }
        "streams" => {
            // Where pages come by time, a stream goes on from one that comes by recording.
            let oldest = ["/v1/events?order=asc&limit=1&order_by=recorded", "/v1/events?order=asc&limit=1"];
            let cursor = oldest.iter().find_map(|path| text_of(&ask(address, &get(token, path)), "next"));
            // Bare axum knows no cursors.
            let from = cursor.map_or_else(String::new, |cursor| format!("?cursor={cursor}"));
            (250, vec![get(token, &format!("/v1/events/stream{from}"))])
        }
        "reviews" => {
            let page = ask(address, &get(token, "/v1/events?limit=1"));
            let id = text_of(&page, "id").unwrap_or_default();
            let body = format!("{{\"event\":\"{id}\",\"reason\":\"look at it\"}}");
            (64, vec![post(token, "/v1/reviews", &body)])
        }
        "bombs" => {
            let mut packer = GzEncoder::new(Vec::new(), flate2::Compression::best());
            packer.write_all(&vec![b' '; UNPACKED_BYTES - 1]).expect("memory takes it");
            let bomb = packer.finish().expect("memory takes it");
            (64, vec![packed(token, "/v1/events", &bomb)])
        }
        "batches" => {
            let events: Vec<String> = (0..BATCH_EVENTS).map(load::text).collect();
            (16, vec![post(token, "/v1/events", &events.join("\n"))])
        }
        _ => panic!("there is no flood {kind}: use one of {}", KINDS.join(", ")),
    }
}

async fn connection(address: SocketAddr, request: &[u8], is_read: bool) -> std::io::Result<()> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.into_split();
    let mut bytes = vec![0; 64 << 10];
    loop {
        writer.write_all(request).await?;
        if !is_read {
            // Long enough to see whether it was let in; then nobody reads.
            let count = reader.read(&mut bytes[..16]).await?;
            if !bytes[..count].starts_with(b"HTTP/1.1 200") {
                return Err(std::io::ErrorKind::ConnectionRefused.into());
            }
            std::future::pending::<()>().await;
        }
        let mut kept = Vec::new();
        // The head, and as much of a body as it says.
        let mut left = loop {
            let count = reader.read(&mut bytes).await?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            kept.extend_from_slice(&bytes[..count]);
            if let Some(end) = kept.windows(4).position(|end| end == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&kept[..end]).to_ascii_lowercase();
                let length =
                    head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                let length: usize = length.ok_or(std::io::ErrorKind::InvalidData)?;
                break (end + 4 + length).saturating_sub(kept.len());
            }
        };
        while left > 0 {
            let count = reader.read(&mut bytes).await?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            left = left.saturating_sub(count);
        }
    }
}

/// One answer, whole.
fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("the server answers");
    let text = String::from_utf8_lossy(request).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server writes");
    answer
}

/// The first text of this name in an answer.
fn text_of(answer: &str, name: &str) -> Option<String> {
    let (_, rest) = answer.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next().map(str::to_owned)
}

/// Runs only when nobody else would.
fn be_idle() {
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameter lives through the call, and the call changes nothing but this process's turn at the cores.
    let is_idle = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &parameter) } == 0;
    assert!(is_idle, "this process cannot be made idle");
}
