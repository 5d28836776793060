//! A trail, as an application uses it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use trailseal::{
    Ack, Event, HandoffPlace, Options, Order, Outcome, Policy, Query, QueryError, RecordError, RecordOptions,
    RequestContext, Status, Trail,
};
use trailseal_event::filter::FILTER_NAMES;
use trailseal_testkit::fault::FaultFiles;

const SOON: Duration = Duration::from_secs(60);
/// For what must get there, however long a busy machine takes.
const DURABLE: RecordOptions = RecordOptions::new().ack(Ack::Durable).timeout(SOON);

fn actions(page: &trailseal::Page) -> Vec<&str> {
    page.events.iter().map(|found| found.event.action.as_str()).collect()
}

#[test]
fn what_was_recorded_is_found_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let trail = Trail::open(folder.path()).unwrap();
    trail.record(Event::new("user.login").actor("u1").outcome(Outcome::Denied)).unwrap();
    let event = Event::new("invoice.approve").actor("u2").resource("invoice", "42");
    trail.record(&event).unwrap();

    let page = trail.query(Query::new()).unwrap();
    assert_eq!(actions(&page), ["invoice.approve", "user.login"]);
    assert_eq!(actions(&trail.query(Query::new().actor("u1")).unwrap()), ["user.login"]);
    assert_eq!(actions(&trail.query(Query::new().resource("invoice", "42")).unwrap()), ["invoice.approve"]);
    assert_eq!(actions(&trail.query(Query::new().outcome(None)).unwrap()), ["invoice.approve"]);
    assert_eq!(trail.count(Query::new().action("*.approve")).unwrap(), 1);
    let id = page.events[0].event.id.clone().unwrap();
    assert_eq!(trail.get(&id).unwrap().unwrap().event.action, "invoice.approve");
    assert!(trail.get("no such id").unwrap().is_none());

    let verdict = trail.verify().unwrap();
    assert!(verdict.ok && verdict.unsealed == 0, "{verdict}");
    let closed = trail.close(SOON).unwrap();
    assert_eq!(closed.sealed, closed.events);
    assert!(matches!(trail.record(&event), Err(RecordError::Closed)));
    assert_eq!(trail.query(Query::new()).unwrap().events.len(), 2, "a closed trail can be read");
}

/// As a backup put back over a newer folder does: all of it is older than the index.
#[cfg(feature = "index")]
#[test]
fn an_index_that_has_seen_more_events_than_there_are_is_a_witness() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (dir, backup) = (folder.path().join("trail"), elsewhere.path().join("trail"));
    let record = |count: usize| {
        let trail = Trail::open(&dir).unwrap();
        (0..count).for_each(|n| drop(trail.record(Event::new("a").id(n.to_string())).unwrap()));
        trail.close(SOON).unwrap();
    };
    record(5);
    copy(&dir, &backup);
    record(500);
    let index = elsewhere.path().join("index");
    std::fs::rename(dir.join("index"), &index).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    copy(&backup, &dir);
    Trail::open(&dir).unwrap().close(SOON).unwrap();
    std::fs::remove_dir_all(dir.join("index")).unwrap();
    std::fs::rename(index, dir.join("index")).unwrap();
    let refused = Trail::open(&dir).err().unwrap();
    assert!(refused.to_string().contains("the cursor of the index"), "{refused}");
}

#[cfg(feature = "index")]
fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        match entry.is_dir() {
            true => copy(&entry, &to),
            false => _ = std::fs::copy(&entry, &to).unwrap(),
        }
    }
}

#[test]
fn a_query_is_recorded_itself_and_tells_no_secret() {
    let trail = Trail::temporary().unwrap();
    let secret = "ghp_abcdefghijklmnopqrstuvwxyz0123456789";
    trail.query(Query::new().actor("u1").actor(secret).outcome(Outcome::Denied)).unwrap();
    let read = trail.query(Query::new().with_system().action("trail.read")).unwrap();
    // The newest may be this query itself.
    let read = read.events.last().unwrap();
    assert!(read.system);
    assert_eq!(read.get("details.query.actor.0").unwrap().as_str(), Some("u1"));
    assert_eq!(read.get("details.query.outcome.0").unwrap().as_str(), Some("denied"));
    assert!(!String::from_utf8_lossy(&read.line).contains(secret));
    assert_eq!(trail.count(Query::new()).unwrap(), 0);
}

#[test]
fn every_filter_of_a_query_is_told() {
    let trail = Trail::temporary().unwrap();
    let values = [
        ("category", "admin"),
        ("resource", "door/7"),
        ("outcome", "none"),
        ("severity", "error"),
        ("since", "2026-01-01T00:00:00.000000Z"),
        ("until", "2126-01-01T00:00:00.000000Z"),
        ("recorded_since", "2026-01-02T00:00:00.000000Z"),
        ("recorded_until", "2126-01-02T00:00:00.000000Z"),
        ("id", "7"),
        ("system", "true"),
    ];
    let value = |name: &str| values.iter().find(|(known, _)| *known == name).map_or("x", |(_, value)| *value);
    let query = FILTER_NAMES.iter().fold(Query::new(), |query, name| query.by(name, value(name)).unwrap());
    trail.count(query).unwrap();
    let read = Query::new().with_system().action("trail.read").order(Order::OldestRecorded);
    let read = &trail.query(read).unwrap().events[0];
    assert_eq!(read.get("details.what").unwrap().as_str(), Some("count"));
    for name in FILTER_NAMES {
        let told = read.get(&format!("details.query.{name}.0"));
        assert_eq!(told.as_ref().and_then(|told| told.as_str()), Some(value(name)), "{name}");
    }
}

#[test]
fn pages_follow_each_other_in_each_order() {
    let trail = Trail::temporary().unwrap();
    let now = SystemTime::now();
    let time = |second: u64| {
        let micros = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as i64;
        trailseal::Timestamp::from_micros(micros - 1_000_000_000 + second as i64 * 1_000_000)
    };
    // By their own time: 0, 3, 6, 2, 5, 1, 4; two of them alike.
    for at in [0_u64, 3, 6, 2, 5, 1, 4, 4] {
        trail.record(Event::new(format!("at.{at}")).time(time(at))).unwrap();
    }
    let all = |order| {
        let (mut found, mut query) = (Vec::new(), Query::new().order(order).limit(3));
        loop {
            let page = trail.query(query.clone()).unwrap();
            assert!(page.events.len() <= 3);
            found.extend(page.events.iter().map(|event| event.event.action.clone()));
            match page.next {
                // As text, as it goes through a client.
                Some(next) => query = query.after(next.to_string().parse().unwrap()),
                None => return found.join(" "),
            }
        }
    };
    assert_eq!(all(Order::Newest), "at.6 at.5 at.4 at.4 at.3 at.2 at.1 at.0");
    assert_eq!(all(Order::Oldest), "at.0 at.1 at.2 at.3 at.4 at.4 at.5 at.6");
    assert_eq!(all(Order::NewestRecorded), "at.4 at.4 at.1 at.5 at.2 at.6 at.3 at.0");
    assert_eq!(all(Order::OldestRecorded), "at.0 at.3 at.6 at.2 at.5 at.1 at.4 at.4");
    let since = trail.query(Query::new().since(now - Duration::from_secs(996))).unwrap();
    assert_eq!(actions(&since), ["at.6", "at.5", "at.4", "at.4"]);

    let next = trail.query(Query::new().limit(1)).unwrap().next.unwrap();
    let other = trail.query(Query::new().order(Order::Oldest).after(next));
    assert!(matches!(other, Err(QueryError::Cursor)));
    assert!(matches!(trail.query(Query::new().after("x".parse().unwrap())), Err(QueryError::Cursor)));
}

#[test]
fn a_batch_is_there_as_a_whole_or_not_at_all() {
    let trail = Trail::temporary().unwrap();
    let events = [Event::new("a"), Event::new("b"), Event::new("c")];
    let receipts = trail.record_all(&events).unwrap();
    let indexes: Vec<_> = receipts.iter().map(|receipt| receipt.index.unwrap().get()).collect();
    assert_eq!(indexes, [indexes[0], indexes[0] + 1, indexes[0] + 2]);
    assert!(trail.record_all([Event::new("d"), Event::new("")]).is_err());
    assert_eq!(trail.count(Query::new()).unwrap(), 3);
}

#[tokio::test]
async fn the_async_forms_wait_for_what_the_policy_says() {
    let mut options = Options::default();
    options.policy = Policy::from_toml("mode = \"sync\"\ntimeout_ms = 60000").unwrap();
    let trail = Trail::temporary_with(options).unwrap();
    assert_eq!(trail.record_async(Event::new("a")).await.unwrap().status, Status::Durable);
    let receipts = trail.record_all_async([Event::new("b"), Event::new("c")]).await.unwrap();
    assert!(receipts.iter().all(|receipt| receipt.status == Status::Durable));
    assert!(matches!(trail.record_async(Event::new("")).await, Err(RecordError::NoAction(_))));
    assert!(trail.record_all_async([Event::new("")]).await.is_err());
    assert_eq!(trail.query_async(Query::new()).await.unwrap().events.len(), 3);
    trail.close_async(SOON).await.unwrap();
}

#[test]
fn a_level_is_raised_for_a_handle() {
    let trail = Trail::temporary().unwrap();
    assert_eq!(trail.record(Event::new("a")).unwrap().status, Status::Accepted);
    assert_eq!(trail.with(DURABLE).record(Event::new("b")).unwrap().status, Status::Durable);
}

#[test]
fn a_temporary_trail_leaves_nothing_behind() {
    let trail = Trail::temporary().unwrap();
    let (dir, other) = (trail.dir().to_owned(), trail.clone());
    drop(trail);
    assert!(dir.is_dir());
    drop(other);
    assert!(!dir.exists());
}

#[test]
fn what_began_says_how_it_ended() {
    let trail = Trail::temporary().unwrap();
    let transfer = || Event::new("money.transfer").resource("account", "7");
    trail.begin(transfer()).unwrap().succeed().unwrap();
    trail.begin(transfer()).unwrap().fail("no money").unwrap();
    drop(trail.begin(transfer()).unwrap());
    let panicking = trail.clone();
    std::thread::spawn(move || {
        let _begun = panicking.begin(Event::new("money.transfer")).unwrap();
        panic!("of the test");
    })
    .join()
    .unwrap_err();
    // As a process leaves it that dies in between.
    std::mem::forget(trail.begin(transfer()).unwrap());

    let page = trail.query(Query::new().order(Order::OldestRecorded)).unwrap();
    let told: Vec<_> = page
        .events
        .iter()
        .map(|found| {
            let phase = found.get("details.phase").unwrap().as_str().unwrap().to_owned();
            (phase, found.event.outcome.unwrap(), found.event.error.clone())
        })
        .collect();
    let begun = ("begun".to_owned(), Outcome::Unknown, None);
    let ended = |outcome, error: Option<&str>| ("ended".to_owned(), outcome, error.map(str::to_owned));
    assert_eq!(
        told,
        [
            begun.clone(),
            ended(Outcome::Success, None),
            begun.clone(),
            ended(Outcome::Failure, Some("no money")),
            begun.clone(),
            ended(Outcome::Unknown, Some("it ended without saying how")),
            begun.clone(),
            ended(Outcome::Failure, Some("it panicked")),
            begun,
        ]
    );
    let (first, second) = (&page.events[0], &page.events[1]);
    assert_eq!(first.event.context.correlation_id, second.event.context.correlation_id);
    assert_eq!(second.get("details.began.index").unwrap().as_u64(), Some(first.index.get()));
    assert!(second.event.duration_ms.is_some());
}

/// What remains of ten operations that succeed: the phases, each with whether it says that others like it were left out.
fn phases_of_ten(policy: &str) -> (usize, usize, bool) {
    let mut options = Options::default();
    options.policy = Policy::from_toml(policy).unwrap();
    let trail = Trail::temporary_with(options).unwrap();
    for _ in 0..10 {
        trail.begin(Event::new("report.make")).unwrap().succeed().unwrap();
    }
    let found = trail.query(Query::new()).unwrap().events;
    let of =
        |phase: &str| found.iter().filter(|found| found.get("details.phase") == Some(phase.into())).count();
    (of("begun"), of("ended"), found.iter().any(|found| found.sample_rate.is_some()))
}

#[test]
fn sampling_leaves_no_operation_that_seems_to_have_died() {
    // Unknown outcomes are never sampled out, so every beginning is kept.
    assert_eq!(phases_of_ten("mode = \"sampled\"\nrate = 0.0"), (10, 10, false));
    let ends = "[[rule]]\nwhen = { outcome = \"success\" }\nmode = \"sampled\"\nrate = 0.0";
    assert_eq!(phases_of_ten(ends), (10, 10, false));
    // Unless a rule names them: then it is both or none.
    let both = |rate| {
        format!(
            "[[rule]]\nwhen = {{ outcome = [\"success\", \"unknown\"] }}\nmode = \"sampled\"\nrate = {rate}"
        )
    };
    assert_eq!(phases_of_ten(&both("0.0")), (0, 0, false));
    let (begun, ended, is_told) = phases_of_ten(&both("0.5"));
    assert_eq!(begun, ended);
    assert_eq!(is_told, begun > 0);
    assert_eq!(phases_of_ten("mode = \"off\""), (0, 0, false));
}

#[tokio::test(flavor = "current_thread")]
async fn what_begins_async_reaches_its_level_before_it_goes_on() {
    let mut options = Options::default();
    options.policy = Policy::from_toml("mode = \"sync\"\ntimeout_ms = 60000").unwrap();
    let trail = Trail::temporary_with(options).unwrap();
    let request = RequestContext::new();
    request.change(|facts| facts.context.request_id = Some("r1".into()));
    // Recorded when it returns, in the context of there, whoever awaits it where.
    let beginning = request.enter(|| trail.begin_async(Event::new("money.transfer")));
    assert_eq!(trail.count(Query::new()).unwrap(), 1);
    let begun = beginning.await.unwrap();
    assert_eq!(begun.receipt().status, Status::Durable);
    assert_eq!(begun.end_async(Outcome::Success).await.unwrap().status, Status::Durable);

    let found = trail.query(Query::new().order(Order::OldestRecorded)).unwrap().events;
    let told: Vec<_> = found
        .iter()
        .map(|found| (found.get("details.phase").unwrap().to_string(), found.event.outcome.unwrap()))
        .collect();
    let told_as = |phase: &str, outcome| (format!("{phase:?}"), outcome);
    assert_eq!(told, [told_as("begun", Outcome::Unknown), told_as("ended", Outcome::Success)]);
    assert_eq!(found[1].get("details.began.index").unwrap().as_u64(), Some(found[0].index.get()));
    assert_eq!(found[0].event.context.correlation_id, found[1].event.context.correlation_id);
    assert!(found.iter().all(|found| found.event.context.request_id.as_deref() == Some("r1")));

    assert!(matches!(trail.begin_async(Event::new("")).await, Err(RecordError::NoAction(_))));
    // One that nobody waits for began, and says no more.
    drop(trail.begin_async(Event::new("report.make")));
    let found = trail.query(Query::new().action("report.make")).unwrap().events;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].event.outcome, Some(Outcome::Unknown));
}

#[test]
fn processes_write_trails_of_their_own_and_see_all() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = {
        let open = || Trail::open_slot(folder.path(), Options::default()).unwrap();
        (open(), open())
    };
    assert_ne!(first.origin(), second.origin());
    for number in 0..6 {
        let trail = if number % 2 == 0 { &first } else { &second };
        trail.with(DURABLE).record(Event::new(format!("at.{number}"))).unwrap();
    }
    let (mut found, mut query) = (Vec::new(), Query::new().limit(4));
    loop {
        let page = second.query(query.clone()).unwrap();
        found.extend(page.events.iter().map(|event| event.event.action.clone()));
        match page.next {
            Some(next) => query = query.after(next),
            None => break,
        }
    }
    assert_eq!(found.join(" "), "at.5 at.4 at.3 at.2 at.1 at.0");
    assert_eq!(first.count(Query::new()).unwrap(), 6);
}

#[test]
fn values_that_masking_hashed_are_found() {
    let trail = Trail::temporary().unwrap();
    let token = "ghp_abcdefghijklmnopqrstuvwxyz0123456789";
    trail.record(Event::new("token.use").actor(token)).unwrap();
    let found = trail.query(Query::new().actor(token)).unwrap().events;
    assert_eq!(found.len(), 1);
    assert!(!String::from_utf8_lossy(&found[0].line).contains(token));
}

#[test]
fn a_query_never_leaves_out_in_silence_what_a_failing_disk_does_not_take() {
    let (folder, files) = (tempfile::tempdir().unwrap(), FaultFiles::new());
    let mut options = Options::default();
    options.files = Arc::new(files.clone());
    options.handoff.place = HandoffPlace::Memory;
    options.disk_reserve_bytes = Some(0);
    let trail = Trail::open_with(folder.path(), options).unwrap();
    trail.with(DURABLE).record(Event::new("door.open")).unwrap();
    files.set_broken(true);
    trail.record(Event::new("door.close")).unwrap();
    let deadline = Instant::now() + SOON;
    while trail.why_shut().is_none() {
        assert!(Instant::now() < deadline, "the writer has not noticed");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(matches!(trail.query(Query::new()), Err(QueryError::NotDurable { .. })));
    assert!(matches!(trail.count(Query::new()), Err(QueryError::NotDurable { .. })));
    // Nor after a close that came too late for it.
    assert!(trail.close(Duration::from_millis(1)).is_err());
    assert!(matches!(trail.query(Query::new()), Err(QueryError::NotDurable { .. })));
    files.set_broken(false);
    trail.close(SOON).unwrap();
    assert_eq!(actions(&trail.query(Query::new()).unwrap()), ["door.close", "door.open"]);
}

/// Whatever is recorded through a handle follows its options: one event or many, blocking or awaited.
#[tokio::test]
async fn each_way_to_record_follows_the_options_of_its_handle() {
    let trail = Trail::temporary().unwrap();
    let once = trail.with(DURABLE.once());
    let repeated = Status::Repeated { retired: false };
    let event = |id: &str| Event::new("order.pay").id(id);

    assert_eq!(once.record(event("1")).unwrap().status, Status::Durable);
    assert_eq!(once.record_async(event("2")).await.unwrap().status, Status::Durable);
    let receipts = once.record_all([event("1"), event("3")]).unwrap();
    assert_eq!(
        receipts.iter().map(|receipt| receipt.status).collect::<Vec<_>>(),
        [repeated, Status::Durable]
    );
    let receipts = once.record_all_async([event("3"), event("4")]).await.unwrap();
    assert_eq!(
        receipts.iter().map(|receipt| receipt.status).collect::<Vec<_>>(),
        [repeated, Status::Durable]
    );
    assert_eq!(once.record_async(event("4")).await.unwrap().status, repeated);
    assert_eq!(trail.count(Query::new().action("order.pay")).unwrap(), 4);

    let other = Event::new("order.cancel").id("1");
    let conflict = once.record(&other).unwrap_err();
    let first = trail.get("1").unwrap().unwrap().index;
    assert!(
        matches!(conflict, RecordError::Conflict { index: Some(index), .. } if index == first),
        "{conflict}"
    );
    let Err(RecordError::At { place: 1, source }) = once.record_all([event("5"), other.clone()]) else {
        panic!("it was recorded")
    };
    assert!(matches!(*source, RecordError::Conflict { .. }), "{source}");
    assert_eq!(trail.count(Query::new().id("5")).unwrap(), 0, "all of them, or none");
    // Without the option, ids are not looked up.
    assert_eq!(trail.record(&other).unwrap().status, Status::Accepted);
}

/// What the policy lets a caller do without is a receipt, also when ids are looked up for several events.
#[test]
fn a_refusal_that_the_policy_allows_is_a_receipt_of_each_event() {
    let mut options = Options::default();
    options.policy = Policy::from_toml("on_failure = \"allow\"").unwrap();
    options.disk_reserve_bytes = Some(u64::MAX / 2);
    let trail = Trail::temporary_with(options).unwrap();
    let deadline = Instant::now() + SOON;
    while trail.why_shut().is_none() {
        assert!(Instant::now() < deadline, "the disk reserve is not noticed");
        std::thread::sleep(Duration::from_millis(1));
    }
    let events = [Event::new("a").id("1"), Event::new("b")];
    for trail in [trail.clone(), trail.with(RecordOptions::new().once())] {
        let receipts = trail.record_all(&events).unwrap();
        assert!(receipts.iter().all(|receipt| receipt.status == Status::Refused), "{receipts:?}");
        assert!(receipts.iter().all(|receipt| receipt.index.is_none()), "{receipts:?}");
    }
    assert_eq!(trail.stats().counted.refused, 4);
}

/// A caller's deadline comes before the policy's.
#[test]
fn a_callers_deadline_counts() {
    let files = FaultFiles::default();
    let mut options = Options::default();
    options.files = Arc::new(files.clone());
    options.policy = Policy::from_toml("mode = \"sync\"\ntimeout_ms = 3600000").unwrap();
    let trail = Trail::temporary_with(options).unwrap();
    files.set_stalled(true);
    let hasty = trail.with(RecordOptions::new().timeout(Duration::from_millis(5)));
    assert!(matches!(hasty.record(Event::new("a")), Err(RecordError::Unconfirmed { .. })));
    assert!(matches!(hasty.record_all([Event::new("b")]), Err(RecordError::Unconfirmed { .. })));
    files.set_stalled(false);
    trail.close(SOON).unwrap();
}
