//! The ids of older events are asked of the index: by commands and by the server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::PathBuf;
use std::sync::Arc;

use support::Place;
use support::server::{Connection, Server};
use trailseal_core::deliver::{Batch, Follower, Lines, Sink as _};
use trailseal_core::file::StdFiles;
use trailseal_core::{Folder, Reader};
use trailseal_event::Index;
use trailseal_index::{FOLDER, IndexOptions, Indexer, remove};

const EVENTS: usize = 2_000;

fn events(numbers: std::ops::Range<usize>) -> String {
    let text = "x".repeat(100);
    numbers
        .map(|number| format!("{{\"action\":\"a\",\"id\":\"id-{number}\",\"description\":\"{text}\"}}\n"))
        .collect()
}

/// A trail of several segments. Its index has ranges that are closed long before 250,000 events.
fn place() -> Place {
    let place = Place::new();
    place.write("trailseal.toml", "[segment]\nroll = \"64KiB\"\n");
    // A commit for each part of the input that the pipe holds, and not one for all of it, which would not roll.
    place.feed("record --ack durable", events(0..EVENTS)).ok();
    let (root, files) = (place.path("trail"), Arc::new(StdFiles));
    let index = root.join(FOLDER);
    remove(&index).unwrap();
    let reader = Reader::open(&root, files.clone()).unwrap();
    let options = IndexOptions { range_events: 50, ..IndexOptions::new(reader.origin()) };
    let mut indexer = Indexer::open(&index, options).unwrap();
    let mut follower = Follower::new(Folder::new(&root, files), Index::new(0)).unwrap();
    while follower.next() < reader.end() {
        let (first, mut lines) = (follower.next(), Lines::default());
        follower.read(reader.end(), 50, usize::MAX, &mut lines).unwrap();
        indexer.deliver(&Batch { first, lines: &lines.as_batch_lines() }).unwrap();
    }
    place
}

/// A segment that was taken away; as many bytes that say nothing are in its place.
struct Taken {
    segment: PathBuf,
    away: PathBuf,
    /// The number of its first event.
    number: usize,
}

/// Takes a segment away, so that whoever reads the trail for its ids does not find them. It holds none of the trail's own
/// events, which a server reads at its start.
fn take_away(place: &Place) -> Taken {
    let segments = Folder::new(place.path("trail"), Arc::new(StdFiles)).segments().unwrap();
    assert!(segments.len() > 2, "{segments:?}");
    let (segment, away) = (segments[1].path.clone(), place.path("away"));
    std::fs::rename(&segment, &away).unwrap();
    let len = std::fs::metadata(&away).unwrap().len();
    std::fs::write(&segment, vec![b' '; len as usize]).unwrap();
    // Index 0 is `trail.opened`.
    Taken { segment, away, number: segments[1].first.get() as usize - 1 }
}

#[test]
fn a_command_asks_the_index_and_does_not_read_the_trail() {
    let place = place();
    let fresh = "{\"action\":\"a\",\"id\":\"fresh\"}\n";
    let Taken { segment, away, number } = take_away(&place);
    // It is known, and cannot be compared.
    assert_ne!(place.feed("record", events(number..number + 1)).code, Some(0));
    place.feed("record", fresh).ok();
    std::fs::rename(away, segment).unwrap();
    let again = place.feed("record --json", format!("{}{fresh}", events(0..EVENTS))).ok().json_lines();
    assert!(again.iter().all(|receipt| receipt["repeated"] == true));
    assert_eq!(place.run("query --count").ok().out, format!("{}\n", EVENTS + 1));
    place.run("verify").ok();
}

#[test]
fn a_server_asks_the_index_and_a_kill_changes_no_answer() {
    let place = place();
    let Taken { segment, away, number } = take_away(&place);
    let mut server = Server::start(&place);
    server.admin().record("{\"action\":\"a\",\"id\":\"fresh\"}\n");
    assert!(server.admin().post("/v1/events", events(number..number + 1)).status >= 500);
    server.stop();
    std::fs::rename(away, segment).unwrap();
    server.launch();
    for round in 0..4 {
        // Old ones, those of the round before the kill, and new ones.
        let body = events(round * 500..EVENTS + (round + 1) * 100);
        let answer = server.admin().post("/v1/events", &body).is(202).json();
        assert_eq!(answer["accepted"], 100, "round {round}");
        let again = server.admin().post("/v1/events", &body).is(202).json();
        assert_eq!(again["accepted"], 0, "round {round}");
        server.kill();
        if round == 2 {
            remove(place.path("trail").join(FOLDER)).unwrap();
        }
        server.launch();
        let again = server.admin().post("/v1/events", &body).is(202).json();
        assert_eq!(again["accepted"], 0, "round {round}");
    }
    server.stop();
    assert_eq!(place.run("query --count").ok().out, format!("{}\n", EVENTS + 401));
    place.run("verify").ok();
}

#[test]
fn an_id_that_is_looked_up_on_a_slow_disk_holds_up_no_other_request() {
    let place = Place::new();
    let server = "[server]\nconnections_per_address_max = 1000\n";
    place.write("trailseal.toml", format!("[segment]\nroll = \"64KiB\"\n[index]\nenabled = false\n{server}"));
    place.feed("record", events(0..EVENTS)).ok();
    let server = Server::start(&place);
    // Whoever reads it waits for ever.
    let Taken { segment, .. } = take_away(&place);
    std::fs::remove_file(&segment).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &segment, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let admin = server.admin();
    let send = |event: &str| {
        let mut connection = Connection::open(&admin).unwrap();
        connection.send("POST", "/v1/events", event.as_bytes()).unwrap();
        connection
    };
    let _looked_up = send(r#"{"action":"a","id":"fresh"}"#);
    // More than there are threads, of those that serve connections and of all others. As long as one request looks an id
    // up, these may wait for it.
    let _waiting: Vec<Connection> = (0..300).map(|_| send(r#"{"action":"a"}"#)).collect();
    std::thread::sleep(std::time::Duration::from_millis(200));
    let _more: Vec<Connection> = (0..300).map(|_| send(r#"{"action":"a"}"#)).collect();
    admin.get("/healthz").is(200);
}
