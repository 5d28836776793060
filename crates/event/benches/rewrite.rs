//! What it costs to turn the JSON text of an event into its line, the fast way and the slow way, beside
//! reading and writing the same text with serde_json: `cargo bench -p trailseal-event --bench rewrite`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench says what is wrong by panicking, and what it measured by printing"
)]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use trailseal_event::complete::complete;
use trailseal_event::{Event, Timestamp, line, rewrite};

const NOW: Timestamp = Timestamp::from_micros(1_795_233_600_123_456);

/// Like what an application records when a role is changed: 575 bytes.
const ROLE_CHANGE: &str = concat!(
    r#"{"tenant":"acme","category":"config_change","action":"user.role.change","#,
    r#""severity":"notice","outcome":"success","#,
    r#""actor":{"id":"u-10432","type":"user","name":"Ada Example","roles":["admin"]},"#,
    r#""resource":{"type":"user","id":"u-20117","name":"Bob Example"},"#,
    r#""before":{"role":"user","limit":100},"after":{"role":"admin","limit":100},"#,
    r#""details":{"reason":"on call","ticket":"OPS-4711","approved":true},"#,
    r#""context":{"ip":"203.0.113.7","user_agent":"Mozilla/5.0 (X11; Linux x86_64)","#,
    r#""request_id":"req-7f3a9c","correlation_id":"c-550e8400e29b","service":"billing"},"duration_ms":12}"#,
);

const SAMPLES: [&str; 6] = [
    "role_change",
    "role_change_sorted",
    "role_change_spaced",
    "aws-cloudtrail",
    "github-audit",
    "kubernetes-audit",
];

fn main() {
    for name in SAMPLES {
        let all = sample(name);
        let bytes: usize = all.iter().map(String::len).sum();
        println!("{name}: {} events of {} bytes on average", all.len(), bytes / all.len());
    }
    divan::main();
}

/// The texts of a sample; the real records each whole in the details of an event.
fn sample(name: &str) -> Vec<String> {
    let value = || serde_json::from_str::<serde_json::Value>(ROLE_CHANGE).expect("the sample is JSON");
    match name {
        "role_change" => return vec![ROLE_CHANGE.to_owned()],
        // serde_json sorts keys, as many other writers do.
        "role_change_sorted" => return vec![value().to_string()],
        "role_change_spaced" => return vec![ROLE_CHANGE.replace(',', ", ").replace("\":", "\": ")],
        _ => {}
    }
    let path = format!("{}/../import/sample/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the sample file is there");
    let event = |record| format!(r#"{{"action":"record","details":{{"record":{record}}}}}"#);
    text.lines().map(event).collect()
}

/// About what a masker by key does: two letters tell most keys.
fn key_matches(key: &str, _: Option<&[u8]>) -> bool {
    let Some([.., before, last]) = key.as_bytes().get(key.len().saturating_sub(2)..) else { return false };
    let letters = u16::from_be_bytes([*before, *last]);
    letters == u16::from_be_bytes(*b"rd") && key.ends_with("password")
}

fn bench(bencher: Bencher<'_, '_>, name: &str, mut run: impl FnMut(&str)) {
    let texts = sample(name);
    let bytes = texts.iter().map(String::len).sum::<usize>() / texts.len();
    let mut all = texts.iter().cycle();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| all.next().map(|text| run(black_box(text))));
}

#[divan::bench(sample_size = 2_000, args = SAMPLES)]
fn fast_way(bencher: Bencher<'_, '_>, name: &str) {
    let mut out = Vec::with_capacity(65_536);
    bench(bencher, name, |text| {
        out.clear();
        let event = rewrite(text.as_bytes(), NOW, key_matches, &mut out);
        assert!(black_box(event).is_some());
    });
}

#[divan::bench(sample_size = 500, args = SAMPLES)]
fn slow_way(bencher: Bencher<'_, '_>, name: &str) {
    let mut out = Vec::with_capacity(65_536);
    bench(bencher, name, |text| {
        out.clear();
        let event = Event::from_json(text.as_bytes()).expect("the sample is an event");
        line::write_rest(&event, &complete(&event, NOW), &mut out).expect("it has an action");
    });
}

#[divan::bench(sample_size = 500, args = SAMPLES)]
fn serde_json_there_and_back(bencher: Bencher<'_, '_>, name: &str) {
    let mut out = Vec::with_capacity(65_536);
    bench(bencher, name, |text| {
        out.clear();
        let value: serde_json::Value = serde_json::from_slice(text.as_bytes()).expect("the sample is JSON");
        serde_json::to_writer(&mut out, &value).expect("memory takes all");
    });
}

/// The grammar alone, nothing kept.
#[divan::bench(sample_size = 1_000, args = SAMPLES)]
fn serde_json_checks_only(bencher: Bencher<'_, '_>, name: &str) {
    bench(bencher, name, |text| {
        let checked: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(text.as_bytes());
        assert!(black_box(checked).is_ok());
    });
}
