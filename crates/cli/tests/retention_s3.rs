//! Archives in an S3-compatible object store: a real server, moto (`pip install 'moto[server]'`).
//!
//! `MOTO_SERVER=/path/to/moto_server cargo test -p trailseal-cli --features object-store --test retention_s3 -- --ignored`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use support::{Answer, Place, Running, aged, wait_until};

/// What the store says to a request: its status line, and the body.
fn ask(port: u16, method: &str, path: &str) -> Option<(String, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let head = format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let status = String::from_utf8_lossy(&answer).lines().next()?.to_owned();
    Some((status, answer.split_off(at + 4)))
}

#[test]
#[ignore = "needs moto_server: see the head of this file"]
fn events_go_to_an_object_store_before_they_are_retired() {
    let server = std::env::var_os("MOTO_SERVER").expect("MOTO_SERVER is not set: see the head of this file");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut store = Command::new(server);
    store.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let _store = Running(store.spawn().unwrap());
    let made = || ask(port, "PUT", "/audit").is_some_and(|(status, _)| status.contains(" 200 "));
    wait_until("the store has a bucket", made);

    let place = Place::new();
    place.write("trailseal.toml", "index.enabled = false\n");
    aged::make(&place.path("trail"), 4_000, 4);
    let run = |words: &str, secret: &str| {
        let mut command = place.command(&words.split_whitespace().collect::<Vec<_>>());
        command.envs([
            ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT", &format!("http://127.0.0.1:{port}")),
            ("AWS_ALLOW_HTTP", "true"),
        ]);
        Answer::of(command, b"")
    };
    // A bucket that is not there: nothing goes, and no secret is told.
    let count = || place.run("query --count").ok().out;
    let before = count();
    let refused = run("retain --older-than 90d --archive s3://nowhere/x", "hidden-from-all")
        .could_not(&["nothing was retired"]);
    assert!(!refused.err.contains("hidden-from-all"), "{refused:?}");
    let refused = run("retain --older-than 90d --archive s3://user:secret@audit/x", "s")
        .could_not(&["AWS_ACCESS_KEY_ID"]);
    assert!(!refused.err.contains("secret@"), "{refused:?}");
    assert_eq!(count(), before);

    let retained = run("retain --older-than 90d --archive s3://audit/trail --json", "s").ok().json();
    let location = retained["archive"].as_str().unwrap();
    let key = location.strip_prefix("s3://audit").unwrap_or_else(|| panic!("{location}"));
    assert!(key.starts_with("/trail/example.com-aged."), "{location}");
    let (status, bundle) = ask(port, "GET", &format!("/audit{key}")).unwrap();
    assert!(status.contains(" 200 "), "{status}");
    place.write("bundle.zip", bundle);
    let checked = place.run("verify --bundle bundle.zip --json").ok().json();
    assert_eq!(checked["count"], retained["events"]);
    place.run("verify").ok();
}
