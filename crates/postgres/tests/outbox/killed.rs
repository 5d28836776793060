//! Relays that are killed, under writers, with a server that is killed too.

use std::sync::atomic::AtomicU64;

use trailseal_core::Reader;

use super::kills::{Random, rounds};
use super::*;

const CHILD: &str = "TRAILSEAL_OUTBOX_CHILD";

/// The child's work; does nothing when the test suite runs it as a test.
#[test]
fn child_relays_until_it_is_killed() {
    let Ok(given) = std::env::var(CHILD) else { return };
    let [dir, origin, url] = given.split(' ').collect::<Vec<_>>()[..] else { panic!() };
    let (_trail, relay) = relaying(Path::new(dir), origin, &StoreUrl::parse(url).unwrap());
    wait_until("it is killed", || relay.stats().has_ended);
}

/// Writes transactions of one to three events until it is told to end; a third of them is rolled back. Returns the ids of the events
/// that were committed, and of those that may be, since the server died at their COMMIT.
fn write(
    url: &StoreUrl,
    writer: u64,
    ends: &AtomicBool,
    all_committed: &AtomicU64,
) -> (Vec<String>, BTreeSet<String>) {
    let (mut committed, mut unknown) = (Vec::new(), BTreeSet::new());
    let masker = trailseal_outbox::OutboxWriter::new(&Default::default()).unwrap();
    let mut random = Random(writer);
    let mut connection = None;
    for number in 0_u64.. {
        if ends.load(Ordering::Acquire) {
            break;
        }
        let Some(open) = &mut connection else {
            connection = url.connect(&MustEnd::default()).ok();
            continue;
        };
        let events: Vec<OutboxEvent> = (0..=random.below(3))
            .map(|nth| {
                let event =
                    Event::new("test.write").detail("writer", writer).detail("number", number * 3 + nth);
                masker.prepare(&event).unwrap()
            })
            .collect();
        let commits = random.below(3) > 0;
        let ids = events.iter().map(|event| event.id().to_owned());
        let mut has_asked = false;
        let done = open.run("work in", SOON, async |client| {
            let transaction = client.transaction().await?;
            for event in &events {
                event.insert(&transaction).await?;
            }
            if commits {
                has_asked = true;
                transaction.commit().await
            } else {
                transaction.rollback().await
            }
        });
        match done {
            Ok(()) if commits => {
                all_committed.fetch_add(events.len() as u64, Ordering::Relaxed);
                committed.extend(ids)
            }
            Ok(()) => {}
            Err(_) => {
                if has_asked {
                    unknown.extend(ids);
                }
                connection = None;
            }
        }
        std::thread::sleep(Duration::from_micros(random.below(3_000)));
    }
    (committed, unknown)
}

#[test]
fn relays_that_are_killed_take_every_committed_event_over_once() {
    if std::env::var(CHILD).is_ok() {
        return;
    }
    let mut server = with_outbox();
    let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut random = Random(seed);
    let (ends, all_committed) = (AtomicBool::new(false), AtomicU64::new(0));
    let url = server.url();
    let start = |number: usize, url: &str| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::child_relays_until_it_is_killed", "--nocapture", "--test-threads=1"])
            .env(CHILD, format!("{} example.com/outbox/{number} {url}", dirs[number].path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let written: Vec<_> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (url, ends, all_committed) = (&url, &ends, &all_committed);
                scope.spawn(move || write(url, seed ^ writer, ends, all_committed))
            })
            .collect();
        let text = server.url_text().to_owned();
        let mut relays: Vec<_> = (0..dirs.len()).map(|number| start(number, &text)).collect();
        for round in 0..rounds() {
            std::thread::sleep(Duration::from_micros(random.below(300_000)));
            match round % 6 {
                4 => server.cut_off(),
                5 => {
                    server.kill();
                    server.start_again();
                }
                _ => {
                    let number = random.below(relays.len() as u64) as usize;
                    relays[number].kill().unwrap();
                    relays[number].wait().unwrap();
                    relays[number] = start(number, &text);
                }
            }
        }
        // On a busy machine, little may have happened so far.
        let has_some = |dir: &tempfile::TempDir| {
            Reader::open(dir.path(), Arc::new(StdFiles)).is_ok() && !recorded(dir.path()).is_empty()
        };
        let is_in_time = (0..1_200).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            all_committed.load(Ordering::Relaxed) > rounds() * 10 && dirs.iter().all(has_some)
        });
        ends.store(true, Ordering::Release);
        let written = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        for relay in &mut relays {
            relay.kill().unwrap();
            relay.wait().unwrap();
        }
        assert!(is_in_time, "both trails take events over");
        written
    });
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    let mut per_trail = Vec::new();
    // Each takes over what it has claimed, and the first all the rest.
    for (number, dir) in dirs.iter().enumerate() {
        let (trail, relay) = relaying(dir.path(), &format!("example.com/outbox/{number}"), &server.url());
        assert!(relay.wait_emptied(SOON), "{:?}", relay.stats());
        relay.stop();
        trail.close(SOON).unwrap();
        let events = recorded(dir.path());
        per_trail.push(events.len());
        events.into_iter().for_each(|event| *found.entry(event.event.id.unwrap()).or_default() += 1);
        let verdict =
            verify(&Folder::new(dir.path(), Arc::new(StdFiles)), &VerifyOptions::default()).unwrap();
        assert!(verdict.ok, "{verdict}");
    }
    println!("{per_trail:?} events in the trails");
    assert_eq!(server.value("SELECT count(*) FROM trailseal_outbox.events"), "0");
    assert_eq!(server.value("SELECT count(*) FROM trailseal_outbox.refused"), "0");
    let (mut committed, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    for (of_one, unsure) in written {
        committed.extend(of_one);
        unknown.extend(unsure);
    }
    assert!(committed.len() as u64 > rounds() * 10, "only {} events were committed", committed.len());
    assert!(per_trail.iter().all(|events| *events > 0), "both took part: {per_trail:?}");
    let twice: Vec<_> = found.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{} of {} came twice: {twice:?}", twice.len(), found.len());
    let lost: Vec<_> = committed.iter().filter(|id| !found.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), committed.len());
    let never: Vec<_> =
        found.keys().filter(|id| !committed.contains(*id) && !unknown.contains(*id)).collect();
    assert!(never.is_empty(), "{} were never committed: {never:?}", never.len());
}
