//! One writer, whatever is done to its lock; and what a writer does when its files are taken away from under it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::Write as _;
use std::process::{ChildStdin, Stdio};

use support::{Lines, Place, Running, Said, wait_until};

/// `record` that is kept open, and what it says.
struct Writer {
    child: Running,
    input: Option<ChildStdin>,
    receipts: Lines,
    said: Said,
}

impl Writer {
    /// With one event in the trail.
    fn start(place: &Place) -> Writer {
        let mut command = place.command(&["record", "--json", "--ack", "durable"]);
        let mut child = Running(command.stdin(Stdio::piped()).spawn().unwrap());
        let said = Said::of(child.0.stderr.take().unwrap());
        let receipts = Lines::of(child.0.stdout.take().unwrap());
        let mut writer = Writer { input: child.0.stdin.take(), child, receipts, said };
        writer.record("begun");
        writer
    }

    fn pid(&self) -> String {
        self.child.0.id().to_string()
    }

    /// Returns when it is on disk.
    fn record(&mut self, action: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(format!("{{\"action\":\"{action}\"}}\n").as_bytes()).unwrap();
        self.receipts.wait();
    }

    fn finish(mut self) -> (Option<i32>, String) {
        drop(self.input.take());
        let status = self.child.0.wait().unwrap();
        (status.code(), self.said.all())
    }
}

#[test]
fn removing_the_lock_lets_nobody_else_in_and_it_comes_back() {
    let place = Place::new();
    let mut writer = Writer::start(&place);
    for round in 0..3 {
        let text = place.read("trail/lock");
        std::fs::remove_file(place.path("trail/lock")).unwrap();
        // Beside the writer, before and after it has noticed.
        place.feed("record", "{\"action\":\"second\"}\n").could_not(&["in use", &writer.pid()]);
        wait_until("the lock is back", || {
            place.path("trail/lock").exists() && place.read("trail/lock") == text
        });
        place.feed("record", "{\"action\":\"second\"}\n").could_not(&["in use", &writer.pid()]);
        writer.record(&format!("round.{round}"));
    }
    // Replaced rather than removed.
    std::fs::remove_file(place.path("trail/lock")).unwrap();
    place.write("trail/lock", "");
    place.feed("record", "{\"action\":\"second\"}\n").could_not(&["in use", &writer.pid()]);
    writer.said.wait("was recreated");
    let (code, said) = writer.finish();
    assert_eq!(code, Some(0), "{said}");
    place.record("{\"action\":\"after\"}");
    assert_eq!(place.run("query --count").ok().out.trim(), "5");
    place.run("verify").ok();
}

#[test]
fn a_reader_sees_a_writer_whose_lock_was_removed() {
    let place = Place::new();
    let writer = Writer::start(&place);
    std::fs::remove_file(place.path("trail/lock")).unwrap();
    let answer = place.run("verify --json").ok();
    assert_eq!(answer.json()["ok"], true);
    // Nobody would wait for what is not sealed yet if nobody wrote.
    let answer = place.run("doctor --json");
    assert!(!answer.out.contains("not_closed"), "{answer:#?}");
    assert_eq!(writer.finish().0, Some(0));
}

#[test]
fn a_foreign_file_in_the_locks_place_is_left_and_told() {
    let place = Place::new();
    let writer = Writer::start(&place);
    std::fs::remove_file(place.path("trail/lock")).unwrap();
    place.write("aside", "my thesis\n");
    std::fs::rename(place.path("aside"), place.path("trail/lock")).unwrap();
    writer.said.wait("cannot be recreated");
    assert_eq!(place.read("trail/lock"), "my thesis\n");
    place.feed("record", "{\"action\":\"second\"}\n").could_not(&["in use"]);
    std::fs::remove_file(place.path("trail/lock")).unwrap();
    writer.said.wait("was recreated");
    assert_eq!(writer.finish().0, Some(0));
}

#[test]
fn a_killed_writer_leaves_no_lock() {
    let place = Place::new();
    let mut writer = Writer::start(&place);
    std::fs::remove_file(place.path("trail/lock")).unwrap();
    writer.child.0.kill().unwrap();
    writer.child.0.wait().unwrap();
    place.record("{\"action\":\"after\"}");
    assert_eq!(place.run("query --count").ok().out.trim(), "2");
}

#[test]
fn a_folder_that_is_moved_away_ends_the_writer_and_nothing_is_made_in_its_place() {
    let place = Place::new();
    let mut writer = Writer::start(&place);
    writer.record("before");
    std::fs::rename(place.path("trail"), place.path("moved")).unwrap();
    writer.said.wait("was moved or removed");
    // It ends although nobody writes to it or closes its input.
    let input = writer.input.take();
    let (code, said) = writer.finish();
    drop(input);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.lines().last().unwrap().contains("put it back, or open it where it is"), "{said}");
    assert!(!place.path("trail").exists());
    let count = || place.run("query --dir moved --count").ok().out.trim().to_owned();
    assert_eq!(count(), "2");
    place.feed("record --dir moved", "{\"action\":\"after\"}\n").ok();
    assert_eq!(count(), "3");
    assert_eq!(place.run("verify --dir moved --json").ok().json()["unsealed"], 0);
}

#[test]
fn a_folder_that_is_removed_ends_the_writer_and_nothing_is_made_in_its_place() {
    let place = Place::new();
    let mut writer = Writer::start(&place);
    // The writer may put a file into it meanwhile.
    wait_until("it is removed", || {
        let _ = std::fs::remove_dir_all(place.path("trail"));
        !place.path("trail").exists()
    });
    let input = writer.input.take();
    let (code, said) = writer.finish();
    drop(input);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("was moved or removed"), "{said}");
    assert!(!place.path("trail").exists());
}

#[test]
fn a_slot_whose_lock_is_removed_is_held_still() {
    let place = Place::new();
    place.write("trailseal.toml", "origin = \"example.com/slots\"\nworkers = \"slots\"\n");
    let mut writer = Writer::start(&place);
    std::fs::remove_file(place.path("trail/0/lock")).unwrap();
    let receipts = place.record("{\"action\":\"second\"}");
    assert_eq!(receipts[0]["origin"], "example.com/slots/1");
    wait_until("the lock is back", || place.path("trail/0/lock").exists());
    writer.record("after");
    assert_eq!(writer.finish().0, Some(0));
    place.run("verify").ok();
    assert_eq!(place.run("query --count").ok().out.trim(), "3");
}

/// Lines that are answered as durable while their segment goes are in another by then.
#[test]
fn what_is_durable_while_a_segment_is_cut_or_removed_is_never_in_the_lost_part() {
    for cut in [true, false] {
        let place = Place::new();
        let mut writer = Writer::start(&place);
        (0..20).for_each(|number| writer.record(&format!("before.{number}")));
        match cut {
            true => std::fs::File::options().write(true).open(place.segment()).unwrap().set_len(100).unwrap(),
            false => std::fs::remove_file(place.segment()).unwrap(),
        }
        // At once: the writer's next look at its files is up to 100 ms away.
        (0..50).for_each(|number| writer.record(&format!("after.{number}")));
        writer.said.wait("was deleted, replaced or truncated");
        drop(writer.finish());
        let mut lines = String::new();
        for file in std::fs::read_dir(place.path("trail/segments")).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "jsonl") && path != place.segment() {
                lines.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
        let lost: Vec<_> =
            (0..50).filter(|number| !lines.contains(&format!("\"action\":\"after.{number}\""))).collect();
        assert!(lost.is_empty(), "cut: {cut}, lost: {lost:?}");
        place.run("verify").no();
    }
}

#[test]
fn a_folder_that_comes_back_is_written_on() {
    let place = Place::new();
    let mut server = support::server::Server::with(&place, &["--open"]);
    let post = |server: &support::server::Server<'_>| {
        server.admin().post("/v1/events?ack=durable", "{\"action\":\"a\"}").status
    };
    assert_eq!(post(&server), 202);
    std::fs::rename(place.path("trail"), place.path("moved")).unwrap();
    server.tells("was moved or removed");
    assert_eq!(post(&server), 503);
    assert!(!place.path("trail").exists());
    std::fs::rename(place.path("moved"), place.path("trail")).unwrap();
    server.tells("is back: new events");
    assert_eq!(post(&server), 202);
    server.stop();
    assert_eq!(place.run("query --count").ok().out.trim(), "2");
    assert_eq!(place.run("verify --json").ok().json()["unsealed"], 0);
}

#[test]
fn a_segment_that_is_cut_or_removed_is_rolled_and_verify_names_the_lines() {
    for cut in [true, false] {
        let place = Place::new();
        let mut writer = Writer::start(&place);
        writer.record("one");
        writer.record("two");
        // Signed, so that what is gone is known to have been there.
        wait_until("all is sealed", || place.run("verify --json").json()["sealed"] == 4);
        let segment = place.segment();
        match cut {
            true => {
                let file = std::fs::OpenOptions::new().write(true).open(&segment).unwrap();
                let lines = place.lines();
                file.set_len(lines[..2].iter().map(|line| line.len() as u64 + 1).sum()).unwrap();
            }
            false => std::fs::remove_file(&segment).unwrap(),
        }
        writer.said.wait("was deleted, replaced or truncated");
        writer.record("after");
        assert!(place.path("trail/segments/00000000000000000004.jsonl").exists());
        let (code, said) = writer.finish();
        assert_eq!(code, Some(0), "{said}");
        let found = place.run("verify --json").no().json();
        let (first_bad, range) = if cut { (2, [2, 4]) } else { (0, [0, 4]) };
        assert_eq!(found["first_bad"], first_bad, "{found}");
        assert!(found["range"].is_null() || found["range"] == serde_json::json!(range), "{found}");
        // What was written after it is there.
        let text = std::fs::read_to_string(place.path("trail/segments/00000000000000000004.jsonl")).unwrap();
        assert!(text.contains("\"action\":\"after\""), "{text}");
        assert!(text.contains("\"segments_replaced\":1"), "trail.counts tells: {text}");
    }
}

#[test]
fn a_tree_that_is_cut_or_removed_is_made_again_and_locked_again() {
    for file in ["trail/tree/0", "trail/tree/1"] {
        for cut in [true, false] {
            let events = "{\"action\":\"many\"}\n".repeat(300);
            let place = Place::with(&events);
            let mut writer = Writer::start(&place);
            let kept = std::fs::read(place.path(file)).unwrap();
            match cut {
                true => {
                    std::fs::File::options().write(true).open(place.path(file)).unwrap().set_len(16).unwrap()
                }
                false => std::fs::remove_file(place.path(file)).unwrap(),
            }
            writer.said.wait("the tree was rebuilt");
            assert!(
                std::fs::read(place.path(file)).unwrap().starts_with(&kept),
                "what was signed is as it was"
            );
            writer.record("after");
            // The guard is a new file, and held.
            std::fs::remove_file(place.path("trail/lock")).unwrap();
            place.feed("record", "{\"action\":\"second\"}\n").could_not(&["in use", &writer.pid()]);
            let (code, said) = writer.finish();
            assert_eq!(code, Some(0), "{said}");
            assert_eq!(place.run("verify --json").ok().json()["unsealed"], 0);
            let counts = place.run("query --system --action trail.counts --format jsonl").ok().json();
            assert_eq!(counts["details"]["trees_remade"], 1, "{counts}");
        }
    }
}

#[test]
fn nothing_is_signed_over_a_tree_that_is_lost_with_its_lines() {
    let place = Place::with_events(&["before"]);
    let mut writer = Writer::start(&place);
    wait_until("all is sealed", || place.run("verify --json").json()["unsealed"] == 0);
    let checkpoint = place.read("trail/checkpoint");
    std::fs::remove_file(place.segment()).unwrap();
    std::fs::remove_file(place.path("trail/tree/0")).unwrap();
    writer.said.wait("cannot be rebuilt");
    writer.record("after");
    let (_, said) = writer.finish();
    assert!(said.contains("was deleted, replaced or truncated"), "{said}");
    assert_eq!(place.read("trail/checkpoint"), checkpoint);
    place.run("verify").no();
}
