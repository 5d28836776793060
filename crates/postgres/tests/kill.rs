//! SIGKILL of the process that records and delivers, at random moments, with the server killed in between: in the end the store holds
//! every line of the trail once, and the trail every event that was acknowledged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod kills;
mod server;
mod trails;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kills::{Random, rounds};
use server::Server;
use trails::{SOON, check_equal, delivering, lines, options, wait_stored, wait_until};
use trailseal_core::file::StdFiles;
use trailseal_core::{Ack, Reader, Trail};
use trailseal_event::Event;
use trailseal_postgres::{AbandonedSlots, AbandonedTimes, StoreSink, StoreUrl};

const CHILD: &str = "TRAILSEAL_POSTGRES_CHILD";
const ORIGIN: &str = "example.com/killed";

/// The child's work; does nothing when the test suite runs it as a test.
#[test]
fn child_records_and_delivers_until_it_is_killed() {
    let Ok(given) = std::env::var(CHILD) else { return };
    let (dir, url) = given.split_once(' ').unwrap();
    let trail = delivering(Path::new(dir), options(ORIGIN), &StoreUrl::parse(url).unwrap());
    for number in 0_u64.. {
        let mark = format!("mark-{}-{number}-end", std::process::id());
        let event = Event::new("test.kill").description(&mark);
        // Not faster than the store takes them, so that kills meet deliveries of every size.
        let ack = if number % 50 == 49 { Ack::Store } else { Ack::Durable };
        if trail.with(ack).record(&event).is_ok() {
            println!("{} {mark}", if ack == Ack::Store { "stored" } else { "durable" });
        }
    }
}

const SLOT_CHILD: &str = "TRAILSEAL_SLOT_CHILD";

/// The child's work; does nothing when the test suite runs it as a test.
#[test]
fn child_records_in_a_slot_until_it_is_killed() {
    let Ok(dir) = std::env::var(SLOT_CHILD) else { return };
    let trail = Trail::open_slot(dir, options(ORIGIN)).unwrap();
    for number in 0_u64.. {
        let _ = trail.record(&Event::new("test.slot").detail("number", number));
        if number == 5_000 {
            println!("recorded");
        }
        if number % 100 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn what_a_killed_process_left_in_its_slot_is_delivered_by_another_one() {
    if std::env::var(SLOT_CHILD).is_ok() {
        return;
    }
    let (server, dir) = (Server::start_own(&[]), tempfile::tempdir().unwrap());
    let own = Trail::open_slot(dir.path(), options(ORIGIN)).unwrap();
    own.deliver_to_store(Box::new(StoreSink::new(server.url(), own.origin()))).unwrap();
    wait_stored(&own);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_records_in_a_slot_until_it_is_killed", "--nocapture", "--test-threads=1"])
        .env(SLOT_CHILD, dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.into_iter().any(|line| line.ends_with("recorded")));
    // Nobody touches the slot of a process that lives.
    let times =
        AbandonedTimes { every: Duration::from_millis(20), after: Duration::from_millis(200), at_most: SOON };
    let watching =
        AbandonedSlots::start(dir.path().to_owned(), options(ORIGIN), server.url(), times).unwrap();
    // Whoever looks for a slot while this one is delivered takes another one. Something holds that up.
    let origin = format!("{ORIGIN}/1");
    let mut holds_up = server.connect();
    let insert = format!("BEGIN; INSERT INTO trailseal.cursors (origin, next) VALUES ('{origin}', 0)");
    holds_up.run("hold up", SOON, async |client| client.batch_execute(&insert).await).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let slot = dir.path().join("1");
    wait_until("the slot is taken", || {
        Reader::open(&slot, Arc::new(StdFiles)).is_ok_and(|reader| reader.holder().is_some())
    });
    let other = Trail::open_slot(dir.path(), options(ORIGIN)).unwrap();
    assert_eq!(other.origin(), format!("{ORIGIN}/2"));
    drop(holds_up);
    wait_until("the slot is delivered", || watching.delivered().contains(&1));
    watching.end();
    check_equal(&server, &origin, &slot);
    let left = server.value("SELECT count(*) FROM trailseal.events WHERE action = 'test.slot'");
    assert!(left.parse::<u64>().unwrap() >= 5_000, "{left}");
    // It is free again.
    let again = Trail::open_slot(dir.path(), options(ORIGIN)).unwrap();
    assert_eq!(again.origin(), origin);
    for trail in [own, other, again] {
        trail.close(SOON).unwrap();
    }
}

/// What the child said of its events: the marks of those that were durable, and of those that were in the store. Whoever is
/// patient waits for one of these before the child is killed.
fn run_and_kill(
    dir: &Path,
    url: &str,
    after: Duration,
    is_patient: bool,
    disturb: impl FnOnce(),
) -> (Vec<String>, Vec<String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_records_and_delivers_until_it_is_killed", "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{} {url}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let heard = std::thread::spawn(move || {
        let (mut durable, mut stored) = (Vec::new(), Vec::new());
        for line in BufReader::new(stdout).split(b'\n') {
            let line = String::from_utf8_lossy(&line.unwrap()).into_owned();
            let Some(at) = line.find(" mark-").filter(|_| line.ends_with("-end")) else { continue };
            let mark = line[at + 1..].to_owned();
            let is_stored = line[..at].ends_with("stored");
            if is_stored {
                stored.push(mark)
            } else {
                durable.push(mark)
            }
            if is_stored || !is_patient {
                let _ = begun.send(());
            }
        }
        (durable, stored)
    });
    // One that is killed while it opens is met by a short delay of the next round.
    if after > Duration::from_millis(20) || is_patient {
        has_begun.recv_timeout(SOON).unwrap();
    }
    std::thread::sleep(after);
    disturb();
    child.kill().unwrap();
    child.wait().unwrap();
    heard.join().unwrap()
}

#[test]
fn killed_at_any_moment_every_event_is_stored_once() {
    if std::env::var(CHILD).is_ok() {
        return;
    }
    let (mut server, dir) = (Server::start_own(&[]), tempfile::tempdir().unwrap());
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut random = Random(seed);
    let (mut durable, mut stored) = (Vec::new(), Vec::new());
    let mut between = 0;
    for round in 0..rounds() {
        let after = Duration::from_micros(random.below(250_000));
        let url = server.url_text().to_owned();
        // However slow the machine is, the other half of the rounds meets a store that has something.
        let is_patient = round == rounds() / 2;
        let (more_durable, more_stored) = match round % 5 {
            3 => run_and_kill(dir.path(), &url, after, is_patient, || server.cut_off()),
            4 => {
                let heard = run_and_kill(dir.path(), &url, after, is_patient, || server.kill());
                server.start_again();
                heard
            }
            _ => run_and_kill(dir.path(), &url, after, is_patient, || {}),
        };
        durable.extend(more_durable);
        stored.extend(more_stored);
        // At each of these moments the store holds a beginning of the trail, and its cursor says which.
        if server.value("SELECT to_regclass('trailseal.cursors') IS NOT NULL") == "t" {
            // In one statement: the server may still be about to commit what the child sent last.
            let held = "SELECT next, (SELECT count(*) FROM trailseal.events), \
                (SELECT coalesce(max(idx) + 1, 0) FROM trailseal.events) FROM trailseal.cursors";
            for held in server.rows(held) {
                assert!(held[0] == held[1] && held[1] == held[2], "cursor, rows and last: {held:?}");
                between += u64::from(held[0] != "0");
            }
        }
    }
    assert!(between >= rounds() / 2, "only {between} rounds got as far as the store");
    assert!(!stored.is_empty() && !durable.is_empty());
    // What was acknowledged at the level store is in the store, whatever becomes of the trail.
    let marks = "SELECT convert_from(line, 'UTF8')::jsonb ->> 'description' FROM trailseal.events WHERE action = 'test.kill'";
    let held: std::collections::HashSet<String> = server.rows(marks).into_iter().flatten().collect();
    let lost: Vec<_> = stored.iter().filter(|mark| !held.contains(*mark)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} stored events are not in the store: {lost:?}",
        lost.len(),
        stored.len()
    );
    let trail = delivering(dir.path(), options(ORIGIN), &server.url());
    wait_stored(&trail);
    trail.close(SOON).unwrap();
    check_equal(&server, ORIGIN, dir.path());
    let all: Vec<u8> = lines(dir.path()).into_iter().flat_map(|(_, line)| line).collect();
    let all = String::from_utf8(all).unwrap();
    let lost: Vec<_> = durable.iter().filter(|mark| !all.contains(mark.as_str())).collect();
    assert!(lost.is_empty(), "{} of {} durable events are lost: {lost:?}", lost.len(), durable.len());
}
