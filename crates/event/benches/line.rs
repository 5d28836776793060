//! What writing and reading one line costs: `cargo bench -p trailseal-event --bench line`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::redundant_closure,
    reason = "a test says what is wrong by panicking, and what it measured by printing"
)]

use std::time::SystemTime;

use divan::{Bencher, black_box};
use trailseal_event::complete::{EventId, complete};
use trailseal_event::{Event, Timestamp, Value, line};

const NOW: Timestamp = Timestamp::from_micros(1_795_233_600_123_456);

/// Like what an application records when a role is changed.
const ROLE_CHANGE: &str = r#"{"tenant":"acme","category":"config_change","action":"user.role.change",
"description":"Role changed by an administrator","severity":"notice","outcome":"success",
"actor":{"id":"u-10432","type":"user","name":"Ada Example","roles":["admin"]},
"resource":{"type":"user","id":"u-20117","name":"Bob Example"},
"before":{"role":"user","limit":100},"after":{"role":"admin","limit":100},
"details":{"reason":"on call","ticket":"OPS-4711","approved":true,"attempt":1},
"context":{"ip":"203.0.113.7","user_agent":"Mozilla/5.0 (X11; Linux x86_64)",
"request_id":"req-7f3a9c","correlation_id":"c-550e8400e29b","service":"billing"},"duration_ms":12}"#;

fn main() {
    let mut out = Vec::new();
    let event = role_change();
    let _ = line::write_rest(&event, &complete(&event, NOW), &mut out);
    println!("role change: {} bytes; real records: {:?} bytes on average", out.len(), real_sizes());
    divan::main();
}

fn role_change() -> Event {
    Event::from_json(ROLE_CHANGE.as_bytes()).expect("the sample is an event")
}

const REAL: [&str; 3] = ["aws-cloudtrail", "github-audit", "kubernetes-audit"];

/// The real records, each whole in the details of an event.
fn real(name: &str) -> Vec<Event> {
    let path = format!("{}/../import/sample/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the sample file is there");
    let records = text.lines().map(|line| Value::parse(line.as_bytes()).expect("the sample is JSON"));
    records.map(|record| Event::new("record").detail("record", record)).collect()
}

fn real_sizes() -> Vec<usize> {
    let size = |event: &Event| event.details.to_string().len();
    REAL.map(|name| real(name)).iter().map(|all| all.iter().map(size).sum::<usize>() / all.len()).collect()
}

/// Everything but the front: id, time, all fields, the derived changes.
#[divan::bench(sample_size = 1_000)]
fn complete_and_write(bencher: Bencher<'_, '_>) {
    let event = role_change();
    let mut out = Vec::with_capacity(4_096);
    bencher.bench_local(|| {
        out.clear();
        let stamp = complete(black_box(&event), NOW);
        line::write_rest(&event, &stamp, &mut out)
    });
}

#[divan::bench(sample_size = 1_000)]
fn write_rest(bencher: Bencher<'_, '_>) {
    let event = role_change();
    let stamp = complete(&event, NOW);
    let mut out = Vec::with_capacity(4_096);
    bencher.bench_local(|| {
        out.clear();
        line::write_rest(black_box(&event), &stamp, &mut out)
    });
}

/// The same without before and after, from which changes are derived.
#[divan::bench(sample_size = 1_000)]
fn write_rest_without_states(bencher: Bencher<'_, '_>) {
    let mut event = role_change();
    (event.before, event.after) = (None, None);
    let stamp = complete(&event, NOW);
    let mut out = Vec::with_capacity(4_096);
    bencher.bench_local(|| {
        out.clear();
        line::write_rest(black_box(&event), &stamp, &mut out)
    });
}

/// One record of a real file, on average over the file.
#[divan::bench(sample_size = 1_000, args = REAL)]
fn write_real(bencher: Bencher<'_, '_>, name: &str) {
    let events = real(name);
    let stamp = complete(&events[0], NOW);
    let mut out = Vec::with_capacity(65_536);
    let mut all = events.iter().cycle();
    bencher.bench_local(|| {
        out.clear();
        all.next().map(|event| line::write_rest(event, &stamp, &mut out))
    });
}

/// The same records by serde_json, as a measure of this machine.
#[divan::bench(sample_size = 1_000, args = REAL)]
fn write_real_by_serde_json(bencher: Bencher<'_, '_>, name: &str) {
    let parse = |event: &Event| -> serde_json::Value {
        serde_json::from_str(&event.details.to_string()).expect("what we write is JSON")
    };
    let records: Vec<serde_json::Value> = real(name).iter().map(parse).collect();
    let mut out = Vec::with_capacity(65_536);
    let mut all = records.iter().cycle();
    bencher.bench_local(|| {
        out.clear();
        all.next().map(|record| serde_json::to_writer(&mut out, record).is_ok())
    });
}

#[divan::bench(sample_size = 1_000)]
fn read_json() -> bool {
    Event::from_json(black_box(ROLE_CHANGE.as_bytes())).is_ok()
}

#[divan::bench(sample_size = 1_000)]
fn make_id() -> EventId {
    EventId::new(black_box(NOW))
}

#[divan::bench(sample_size = 1_000)]
fn time_text_in_the_same_second() -> [u8; 27] {
    black_box(NOW).to_text()
}

#[divan::bench(sample_size = 1_000)]
fn look_at_the_clock() -> SystemTime {
    SystemTime::now()
}

#[divan::bench(sample_size = 1_000)]
fn parse_front(bencher: Bencher<'_, '_>) {
    let mut text = Vec::new();
    line::write_front(12_345_678, &NOW.to_text(), &mut text);
    bencher.bench_local(|| line::parse_front(black_box(&text)));
}
