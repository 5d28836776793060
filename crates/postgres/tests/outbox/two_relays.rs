//! Two relays of one trail, in one process: what one has claimed the other neither records beside it nor gives back.

use super::*;

/// So many rows are claimed at once.
const CHUNK: u64 = 500;

fn write_many(server: &Server, count: u64) {
    server.execute(&format!(
        "INSERT INTO trailseal_outbox.events (event) SELECT '{{\"action\":\"do.' || nth || '\"}}' \
         FROM generate_series(1, {count}) AS nth"
    ));
}

fn wanted(count: u64) -> Vec<String> {
    (1..=count).map(|number| format!("do.{number}")).collect()
}

#[test]
fn what_one_relay_gives_back_another_of_its_trail_has_not_recorded() {
    let (server, dir, other_dir) =
        (with_outbox(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // The first deletion waits for lock 1, and giving rows back for lock 2.
    server.execute(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN PERFORM pg_advisory_xact_lock_shared(TG_ARGV[0]::bigint); RETURN NEW; END'; \
         CREATE TRIGGER deletes BEFORE DELETE ON trailseal_outbox.events FOR EACH STATEMENT EXECUTE FUNCTION wait('1'); \
         CREATE TRIGGER gives_back BEFORE UPDATE ON trailseal_outbox.events FOR EACH ROW WHEN (NEW.origin IS NULL) \
             EXECUTE FUNCTION wait('2')",
    );
    write_many(&server, 2 * CHUNK);
    let [mut deleting, mut giving_back] = [server.connect(), server.connect()];
    for (connection, lock) in [(&mut deleting, 1), (&mut giving_back, 2)] {
        let lock = format!("SELECT pg_advisory_lock({lock})");
        connection.run("lock", SOON, async |client| client.batch_execute(&lock).await).unwrap();
    }
    let (trail, relay) = relaying(dir.path(), "example.com/outbox", &server.url());
    let waits = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    wait_until("the first rows are recorded", || server.value(waits) == "t");
    // It is told to end in the middle of a look, and then gives back what it has claimed of it.
    let (begins, has_begun) = std::sync::mpsc::channel();
    let ends = std::thread::spawn(move || {
        begins.send(()).unwrap();
        relay.stop()
    });
    has_begun.recv().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    drop(deleting);
    wait_until("it gives rows back", || server.value(waits) == "t");
    let second = Relay::start(trail.clone(), server.url()).unwrap();
    // Time for the second to do what it must not. It may be slow, and then this finds nothing.
    let until = std::time::Instant::now() + Duration::from_millis(1_500);
    while recorded(dir.path()).len() as u64 == CHUNK && std::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = std::thread::spawn(move || second.stop());
    std::thread::sleep(Duration::from_millis(50));
    drop(giving_back);
    let (first, second) = (ends.join().unwrap(), second.join().unwrap());
    // What is left is another trail's now.
    let (other_trail, other) = relaying(other_dir.path(), "example.com/other", &server.url());
    assert!(other.wait_emptied(SOON), "{:?}", other.stats());
    let other = other.stop();
    // Unless the first was so slow that its end was not waited for.
    let third = Relay::start(trail.clone(), server.url()).unwrap();
    assert!(third.wait_emptied(SOON), "{:?}", third.stats());
    let third = third.stop();
    let mut all = actions(dir.path());
    all.extend(actions(other_dir.path()));
    let stats = [first, second, other, third];
    assert_eq!(all, wanted(2 * CHUNK), "{stats:?}");
    assert_eq!(stats.iter().map(|stats| stats.taken_over).sum::<u64>(), 2 * CHUNK, "{stats:?}");
    trail.close(SOON).unwrap();
    other_trail.close(SOON).unwrap();
}

#[test]
fn two_relays_of_a_trail_record_each_event_once_in_its_order() {
    const EVENTS: u64 = 5_000;
    let (server, dir) = (with_outbox(), tempfile::tempdir().unwrap());
    write_many(&server, EVENTS);
    let (trail, one) = relaying(dir.path(), "example.com/outbox", &server.url());
    let two = Relay::start(trail.clone(), server.url()).unwrap();
    // Both know when there is nothing left.
    for relay in [&one, &two] {
        assert!(relay.wait_emptied(SOON), "{:?}", relay.stats());
    }
    assert_eq!(actions(dir.path()), wanted(EVENTS));
    assert_eq!(one.stats().taken_over + two.stats().taken_over, EVENTS);
    // Whichever ends, the other one goes on.
    let (ended, left) = if one.stats().taken_over > 0 { (one, two) } else { (two, one) };
    let before = left.stats().taken_over;
    ended.stop();
    write_plain(&mut server.connect(), r#"{"action":"last"}"#);
    wait_until("the other one goes on", || left.stats().taken_over == before + 1);
    assert!(left.wait_emptied(SOON));
    left.stop();
    trail.close(SOON).unwrap();
}

#[test]
fn one_trail_has_a_relay_of_each_outbox() {
    let (here, there, dir) = (with_outbox(), with_outbox(), tempfile::tempdir().unwrap());
    let (trail, one) = relaying(dir.path(), "example.com/outbox", &here.url());
    let two = Relay::start(trail.clone(), there.url()).unwrap();
    write_plain(&mut here.connect(), r#"{"action":"here"}"#);
    write_plain(&mut there.connect(), r#"{"action":"there"}"#);
    wait_until("both take over", || (one.stats().taken_over, two.stats().taken_over) == (1, 1));
    // One that stands by ends with the trail, too.
    let by = Relay::start(trail.clone(), here.url()).unwrap();
    assert!(by.wait_emptied(SOON), "{:?}", by.stats());
    trail.close(SOON).unwrap();
    wait_until("it has ended", || by.stats().has_ended);
    one.stop();
    two.stop();
}
