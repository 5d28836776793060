//! What each way into a trail costs its caller: `cargo bench -p trailseal-core --bench record [-- EVENTS [WAY]]`.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a bench says what it measured by printing")]

use std::time::{Duration, Instant};

use trailseal_core::{AnyEvent, Options, RecordOptions, Submission, Submitted, Submitter, Trail};
use trailseal_event::Event;
use trailseal_event::policy::Policy;

const ONCE: RecordOptions = RecordOptions::new().once();

const BATCH: usize = 16;
const WAIT: Duration = Duration::from_secs(10);

fn text(id: Option<usize>) -> Vec<u8> {
    let id = id.map_or_else(String::new, |id| format!(r#""id":"e-{id:012}","#));
    let mut text = format!("{{{id}").into_bytes();
    text.extend_from_slice(
        br#""tenant":"acme","category":"config_change","action":"user.role.change","severity":"notice",
"outcome":"success","actor":{"id":"u-10432","type":"user","name":"Ada Example","roles":["admin"]},
"resource":{"type":"user","id":"u-20117","name":"Bob Example"},
"before":{"role":"user","limit":100},"after":{"role":"admin","limit":100},
"details":{"reason":"on call","ticket":"OPS-4711","approved":true},
"context":{"ip":"203.0.113.7","user_agent":"Mozilla/5.0 (X11; Linux x86_64)",
"request_id":"req-7f3a9c","correlation_id":"c-550e8400e29b","service":"billing"},"duration_ms":12}"#,
    );
    text
}

fn event(id: Option<usize>) -> Event {
    Event::from_json(&text(id)).expect("the sample is an event")
}

/// Prints the median and the 99th percentile of what one event costs.
fn measure(name: &str, count: usize, events: usize, mut work: impl FnMut(usize)) {
    if std::env::args().nth(2).is_some_and(|way| way != name && !way.starts_with('-')) {
        return;
    }
    let mut nanos: Vec<u64> = (0..count)
        .map(|nth| {
            let begun = Instant::now();
            work(nth);
            begun.elapsed().as_nanos() as u64 / events as u64
        })
        .collect();
    nanos.sort_unstable();
    println!("{name:<28} p50 {:>6} ns   p99 {:>6} ns", nanos[count / 2], nanos[count * 99 / 100]);
}

fn main() {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::tempdir().expect("a folder");
    let policy = "[[rule]]\nwhen = { action = \"user.flagged\" }\nreview = \"look at it\"\n";
    let mut options = Options::default();
    options.policy = Policy::from_toml(policy).expect("a policy");
    options.handoff.timeout = WAIT;
    let trail = Trail::open(folder.path(), options).expect("a trail");

    let plain = event(None);
    measure("builder", count, 1, |_| {
        let _ = trail.record(&plain).expect("recorded");
    });
    let batch: Vec<Event> = (0..BATCH).map(|_| plain.clone()).collect();
    measure("builders, a batch of 16", count / BATCH, BATCH, |_| {
        let _ = trail.record_all(&batch).expect("recorded");
    });
    let sent = text(None);
    measure("JSON text", count, 1, |_| {
        let _ = trail.with(ONCE).record(AnyEvent::Json(&sent)).expect("recorded");
    });
    let texts: Vec<Vec<u8>> = (0..count).map(|id| text(Some(id))).collect();
    measure("JSON text, once by its id", count, 1, |nth| {
        let _ = trail.with(ONCE).record(AnyEvent::Json(&texts[nth])).expect("recorded");
    });
    let once: Vec<Event> = (0..count).map(|id| event(Some(count + id))).collect();
    measure("builder, once by its id", count, 1, |nth| {
        let _ = trail.with(ONCE).record(&once[nth]).expect("recorded");
    });
    let request: Vec<Submitted<'_>> = (0..BATCH).map(|_| Submitted::json(&sent)).collect();
    let by = Submitter { recorded_by: Some("bench".into()), ..Submitter::default() };
    measure("a request of 16 texts", count / BATCH, BATCH, |_| {
        let _ = trail.record_all(Submission { events: &request, by: &by }).expect("recorded");
    });
    let mut flagged = plain.clone();
    flagged.action = "user.flagged".into();
    measure("builder, flagged by a rule", count, 1, |_| {
        let _ = trail.record(&flagged).expect("recorded");
    });
    let _ = trail.close(WAIT);

    // The same with two personal values, in one run with those without.
    let folder = tempfile::tempdir().expect("a folder");
    let policy = "[[personal]]\nfields = [\"actor.name\", \"context.ip\"]\nsubject = \"actor.id\"\n";
    let mut options = Options::default();
    options.policy = Policy::from_toml(policy).expect("a policy");
    options.handoff.timeout = WAIT;
    let trail = Trail::open(folder.path(), options).expect("a trail");
    let without = tempfile::tempdir().expect("a folder");
    let mut options = Options::default();
    options.handoff.timeout = WAIT;
    let other = Trail::open(without.path(), options).expect("a trail");
    // In turn, so that whatever else the machine does is the same for both.
    for _ in 0..3 {
        measure("builder, 0 personal", count, 1, |_| {
            let _ = other.record(&plain).expect("recorded");
        });
        measure("builder, 2 personal", count, 1, |_| {
            let _ = trail.record(&plain).expect("recorded");
        });
        measure("JSON text, 0 personal", count, 1, |_| {
            let _ = other.with(ONCE).record(AnyEvent::Json(&sent)).expect("recorded");
        });
        measure("JSON text, 2 personal", count, 1, |_| {
            let _ = trail.with(ONCE).record(AnyEvent::Json(&sent)).expect("recorded");
        });
    }
    let _ = other.close(WAIT);
    let people: Vec<Event> = (0..count).map(|id| plain.clone().actor(format!("u-{id}").as_str())).collect();
    measure("builder, each a new person", count, 1, |nth| {
        let _ = trail.record(&people[nth]).expect("recorded");
    });
    let _ = trail.close(WAIT);
}
