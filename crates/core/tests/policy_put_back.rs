//! A policy that somebody put back while nothing ran: the next opening compares it with what the trail's own lines say
//! was in force, whatever the file `opened` says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests panic")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use trailseal_core::file::StdFiles;
use trailseal_core::{Ack, Notice, Options, Reader, RecordOptions, Trail, policy_hash};
use trailseal_event::policy::Policy;
use trailseal_event::{Event, Object, Value};

const SOON: Duration = Duration::from_secs(60);
/// For what must get there, however long a busy machine takes.
const DURABLE: RecordOptions = RecordOptions::new().ack(Ack::Durable).timeout(SOON);
const WEAK: &str = "mode = \"off\"\n";
const STRICT: &str = "mode = \"sync\"\n";

fn options() -> Options {
    let mut options = Options::default();
    options.handoff.size_bytes = 1 << 20;
    options.disk_reserve_bytes = Some(0);
    options
}

/// A trail whose policy was weak once, and then strict until it stopped.
struct Case {
    folder: tempfile::TempDir,
    dir: PathBuf,
    /// The files of the weak time.
    weak_policy: Vec<u8>,
    weak_note: Vec<u8>,
}

fn stopped(is_clean: bool, events: u64) -> Case {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("trail");
    let trail = Trail::open(&dir, options()).unwrap();
    trail.set_policy(Policy::from_toml(WEAK).unwrap()).unwrap();
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    let (weak_policy, weak_note) = (read("policy.toml"), read("opened"));
    trail.set_policy(Policy::from_toml(STRICT).unwrap()).unwrap();
    for _ in 0..events {
        trail.record(&Event::new("test.later")).unwrap();
    }
    trail.flush(SOON).unwrap();
    let dir = match is_clean {
        true => {
            trail.close(SOON).unwrap();
            dir
        }
        false => {
            // As a killed process leaves it.
            let killed = folder.path().join("killed");
            let copied = Command::new("cp").arg("-a").arg(&dir).arg(&killed).status().unwrap();
            assert!(copied.success());
            trail.close(SOON).unwrap();
            killed
        }
    };
    Case { folder, dir, weak_policy, weak_note }
}

impl Case {
    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.dir.join(name), bytes).unwrap();
    }

    /// The details of the `trail.opened` of an opening now, and its notices.
    fn open(&self) -> (Object, String) {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let (mut options, seen) = (options(), notices.clone());
        options.on_notice =
            Some(Arc::new(move |notice: &Notice| seen.lock().unwrap().push(notice.to_string())));
        let trail = Trail::open(&self.dir, options).unwrap();
        trail.close(SOON).unwrap();
        let details = own_lines(&self.dir, "trail.opened").pop().unwrap();
        let told = notices.lock().unwrap().join("\n");
        assert_eq!(
            told.contains(&format!("last opening: {};", differs(&details).join(", "))),
            !differs(&details).is_empty()
        );
        (details, told)
    }
}

fn own_lines(dir: &Path, action: &str) -> Vec<Object> {
    let mut reader = Reader::open(dir, Arc::new(StdFiles)).unwrap();
    let mut found = Vec::new();
    reader
        .for_each(0..u64::MAX, &mut |_, line| {
            let event = Event::from_line(line).unwrap().event;
            if event.action == action {
                found.push(event.details);
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    found
}

fn differs(details: &Object) -> Vec<&str> {
    match details.get("differs") {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn an_older_policy_is_told_though_the_note_of_that_time_came_with_it() {
    for (is_clean, events) in [(true, 0), (true, 2_000), (false, 0), (false, 2_000)] {
        let case = stopped(is_clean, events);
        case.write("policy.toml", &case.weak_policy);
        case.write("opened", &case.weak_note);
        let (details, _) = case.open();
        assert!(differs(&details).contains(&"policy"), "{is_clean} {events}: {details:?}");
        let weak = Policy::from_toml(WEAK).unwrap();
        assert_eq!(details.get("policy").and_then(Value::as_str), Some(policy_hash(&weak).as_str()));
        // Said once; from then on it is the policy in force.
        assert_eq!(differs(&case.open().0), Vec::<&str>::new());
    }
}

#[test]
fn a_policy_or_a_note_that_is_gone_hides_nothing() {
    for is_clean in [true, false] {
        let case = stopped(is_clean, 1_000);
        std::fs::remove_file(case.dir.join("policy.toml")).unwrap();
        std::fs::remove_file(case.dir.join("opened")).unwrap();
        let (details, _) = case.open();
        assert!(differs(&details).contains(&"policy"), "{is_clean}: {details:?}");
        assert!(details.get("last_opening").is_none(), "{is_clean}: {details:?}");
    }
}

#[test]
fn what_was_in_force_is_not_told() {
    let case = stopped(true, 300);
    for round in 0..3 {
        let (details, told) = case.open();
        assert_eq!(differs(&details), Vec::<&str>::new(), "round {round}");
        assert_eq!(told, "", "round {round}");
        assert!(details.get("last_opening").is_none() && details.get("policy_before").is_some());
    }
    let closed = own_lines(&case.dir, "trail.closed").pop().unwrap();
    let strict = policy_hash(&Policy::from_toml(STRICT).unwrap());
    assert_eq!(closed.get("policy").and_then(Value::as_str), Some(strict.as_str()));
    // A kill, and a note that the kill took: the lines tell.
    let killed = stopped(false, 300);
    std::fs::remove_file(killed.dir.join("opened")).unwrap();
    assert_eq!(differs(&killed.open().0), ["folder"]);
}

/// Where a segment has begun since, and the process was killed, only the note tells which lines to compare with. Without
/// one, that is told.
#[test]
fn that_nothing_tells_is_told() {
    let case = stopped(true, 10);
    let mut options = options();
    options.segment.roll = trailseal_core::Roll::Bytes(4_096);
    options.seal_every = Duration::from_millis(1);
    let trail = Trail::open(&case.dir, options).unwrap();
    for _ in 0..200 {
        trail.with(DURABLE).record(&Event::new("test.later")).unwrap();
    }
    let deadline = Instant::now() + SOON;
    while trail.stats().sealed < trail.stats().durable {
        assert!(Instant::now() < deadline, "it is not sealed in time");
        std::thread::sleep(Duration::from_millis(2));
    }
    let killed = Case { dir: case.folder.path().join("killed"), ..case };
    let copied = Command::new("cp").arg("-a").arg(trail.folder().root()).arg(&killed.dir).status().unwrap();
    assert!(copied.success());
    trail.close(SOON).unwrap();
    std::fs::remove_file(killed.dir.join("opened")).unwrap();
    let (details, told) = killed.open();
    assert_eq!(details.get("last_opening").and_then(Value::as_str), Some("unknown"), "{details:?}");
    assert!(told.contains("nothing tells"), "{told}");
}
