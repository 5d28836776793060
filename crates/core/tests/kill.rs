//! Promise: what was accepted survives `kill -9`.
//!
//! A child of this test binary records flat out from four threads and prints each index it was given; it is
//! killed at a random moment; every printed index must be there, without gaps, and verified. In at least
//! half of the rounds events must have been in the handoff that were in no segment.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::redundant_closure,
    reason = "a test says what is wrong by panicking, and what it measured by printing"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use trailseal_core::file::{Files, StdFiles};
use trailseal_core::{Ack, HandoffHeader, Options, Trail};
use trailseal_event::Event;
use trailseal_testkit::check::check_trail;

const CHILD: &str = "TRAILSEAL_TEST_KILL_CHILD";
const THREADS: u64 = 4;
/// A shorter delay is counted from the child's start, and kills it while it opens or recovers.
const DURING_OPENING: Duration = Duration::from_millis(10);

fn rounds() -> u32 {
    std::env::var("TRAILSEAL_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(200)
}

fn options() -> Options {
    let mut options = Options::default();
    options.handoff.size_bytes = 4 << 20;
    options.seal_every = Duration::from_millis(5);
    options.disk_reserve_bytes = Some(0);
    options
}

/// The child's work; does nothing when the test suite runs it as a test.
#[test]
fn child_records_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let trail = Trail::open(Path::new(&dir), options()).unwrap();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let trail = trail.clone();
            std::thread::spawn(move || {
                let stdout = std::io::stdout();
                for number in 0u64.. {
                    let mark = format!("mark-{thread}-{number}-end");
                    let event = Event::new("test.kill").description(&mark);
                    let ack = if number % 64 == 63 { Ack::Durable } else { Ack::Accepted };
                    if let Ok(receipt) = trail.with(ack).record(&event) {
                        // One write a line: the pipe keeps what was written before the kill.
                        let line = format!("{} {mark}\n", receipt.index.unwrap());
                        stdout.lock().write_all(line.as_bytes()).unwrap();
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

struct Round {
    acknowledged: Vec<(u64, String)>,
    only_in_handoff: bool,
}

fn run_round(dir: &Path, delay: Duration) -> Round {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_records_until_it_is_killed", "--nocapture", "--test-threads=1"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let (began, has_begun) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut acknowledged = Vec::new();
        for line in BufReader::new(stdout).split(b'\n') {
            let line = String::from_utf8_lossy(&line.unwrap()).into_owned();
            let Some((index, mark)) = line.rsplit_once(" mark-") else { continue };
            let index = index.rsplit(' ').next().and_then(|index| index.parse().ok());
            if let (Some(index), true) = (index, mark.ends_with("-end")) {
                acknowledged.push((index, format!("mark-{mark}")));
                let _ = began.send(());
            }
        }
        acknowledged
    });
    // A child that is killed while it opens is another case; see `times` below.
    if delay > DURING_OPENING {
        has_begun.recv_timeout(Duration::from_secs(30)).unwrap();
    }
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
    let acknowledged = reader.join().unwrap();
    Round { only_in_handoff: only_in_handoff(dir), acknowledged }
}

/// Whether the handoff holds lines that no segment does.
fn only_in_handoff(dir: &Path) -> bool {
    let Ok(file) = std::fs::read(dir.join("handoff")) else { return false };
    let Some(header) = HandoffHeader::decode(&file) else { return false };
    let in_segments: u64 = std::fs::read_dir(dir.join("segments"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .map(|path| memchr::memchr_iter(b'\n', &std::fs::read(path).unwrap()).count() as u64)
        .sum();
    let in_segments = in_segments.max(header.durable);
    trailseal_core::replay(&file, in_segments, |_, _| {}) > in_segments
}

#[test]
fn every_returned_index_survives_kill_9() {
    if std::env::var(CHILD).is_ok() {
        return;
    }
    let seed = std::env::var("TRAILSEAL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos())
    });
    println!("seed {seed}: run again with TRAILSEAL_SEED={seed}");
    let mut random = seed;
    let (mut only_in_handoff, mut events) = (0, 0);
    let rounds = rounds();
    for round in 0..rounds {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let folder = tempfile::tempdir().unwrap();
        let delay = Duration::from_micros(10_001 + (random >> 33) % 30_000);
        let first = run_round(folder.path(), delay);
        only_in_handoff += u32::from(first.only_in_handoff);
        let mut acknowledged = first.acknowledged;
        // Now and then the same trail is killed again, while it recovers and soon after.
        if round % 4 == 0 {
            for delay in [(random >> 40) % 10_000, 10_001] {
                acknowledged.extend(run_round(folder.path(), Duration::from_micros(delay)).acknowledged);
            }
        }
        events += acknowledged.len();
        let trail = Trail::open(folder.path(), options()).unwrap();
        trail.close(Duration::from_secs(60)).unwrap();
        let files: Arc<dyn Files> = Arc::new(StdFiles);
        let checked = check_trail(folder.path(), &files, &acknowledged);
        assert_eq!(checked.sealed, checked.lines.len() as u64, "a clean close seals everything");
    }
    println!(
        "{rounds} rounds, {events} events acknowledged, in {only_in_handoff} rounds some only in the handoff"
    );
    assert!(events > 0, "the children recorded nothing");
    assert!(
        only_in_handoff * 2 >= rounds,
        "in only {only_in_handoff} of {rounds} rounds was the handoff needed"
    );
}
