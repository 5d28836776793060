//! What masking asks of a clean event costs: `cargo bench -p trailseal-event --bench mask`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench says what it measured by printing"
)]

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use trailseal_event::complete::complete;
use trailseal_event::mask::{MaskOptions, Masker};
use trailseal_event::{Event, Timestamp, Value, line};

/// Like what an application records when a role is changed; the same as in the bench `line`.
const ROLE_CHANGE: &str = r#"{"tenant":"acme","category":"config_change","action":"user.role.change",
"description":"Role changed by an administrator","severity":"notice","outcome":"success",
"actor":{"id":"u-10432","type":"user","name":"Ada Example","roles":["admin"]},
"resource":{"type":"user","id":"u-20117","name":"Bob Example"},
"before":{"role":"user","limit":100},"after":{"role":"admin","limit":100},
"details":{"reason":"on call","ticket":"OPS-4711","approved":true,"attempt":1},
"context":{"ip":"203.0.113.7","user_agent":"Mozilla/5.0 (X11; Linux x86_64)",
"request_id":"req-7f3a9c","correlation_id":"c-550e8400e29b","service":"billing"},"duration_ms":12}"#;

const REAL: [(&str, &str); 3] = [
    ("cloudtrail", include_str!("../../import/sample/aws-cloudtrail.jsonl")),
    ("github", include_str!("../../import/sample/github-audit.jsonl")),
    ("kubernetes", include_str!("../../import/sample/kubernetes-audit.jsonl")),
];

fn main() {
    let masker = masker();
    for (name, records) in REAL {
        let yes = records.lines().filter(|line| masker.text_has(line.as_bytes())).count();
        println!("{name}: text_has says yes to {yes} of {} records", records.lines().count());
    }
    divan::main();
}

fn masker() -> Masker {
    Masker::new(&MaskOptions::default()).unwrap()
}

fn rest(event: &Event) -> Vec<u8> {
    let mut out = Vec::new();
    line::write_rest(event, &complete(event, Timestamp::from_micros(1_795_233_600_123_456)), &mut out)
        .unwrap();
    out
}

/// One event that has nothing to mask.
#[divan::bench(sample_size = 1_000)]
fn text_of_a_clean_event(bencher: Bencher<'_, '_>) {
    let (masker, rest) = (masker(), rest(&Event::from_json(ROLE_CHANGE.as_bytes()).unwrap()));
    bencher.counter(BytesCount::new(rest.len())).bench(|| masker.text_has(black_box(&rest)));
}

/// All real records of one kind.
#[divan::bench(args = [0, 1, 2])]
fn text_of_real_records(bencher: Bencher<'_, '_>, which: usize) {
    let masker = masker();
    let lines: Vec<&[u8]> = REAL[which].1.lines().map(str::as_bytes).collect();
    let bytes: usize = lines.iter().map(|line| line.len()).sum();
    bencher
        .counter(BytesCount::new(bytes))
        .bench(|| lines.iter().filter(|line| masker.text_has(black_box(line))).count());
}

/// All keys of the real records.
#[divan::bench]
fn keys_of_real_records(bencher: Bencher<'_, '_>) {
    let masker = masker();
    let mut keys = Vec::new();
    for line in REAL.iter().flat_map(|(_, records)| records.lines()) {
        collect(&Value::parse(line.as_bytes()).unwrap(), &mut keys);
    }
    bencher
        .counter(ItemsCount::new(keys.len()))
        .bench(|| keys.iter().filter(|key| masker.key_matches(black_box(key))).count());
}

/// An event with a secret, the slow way.
#[divan::bench]
fn mask_a_password(bencher: Bencher<'_, '_>) {
    let masker = masker();
    let mut event = Event::from_json(ROLE_CHANGE.as_bytes()).unwrap();
    event.details.insert("password", "hunter2");
    bencher.bench(|| {
        let mut event = event.clone();
        masker.mask(&mut event)
    });
}

/// From the text of an event whose details have one more member to its line, as a trail does it.
#[divan::bench(args = [
    r#""state":"new""#,
    r#""password":"hunter2""#,
    r#""max_tokens":4096"#,
    r#""header":"Authorization: Bearer abcdefghijklmnop1234567890""#,
])]
fn text_to_masked_line(bencher: Bencher<'_, '_>, member: &str) {
    let masker = masker();
    let text = ROLE_CHANGE.replace("\"details\":{", &format!("\"details\":{{{member},")).replace('\n', "");
    let now = Timestamp::from_micros(1_795_233_600_123_456);
    bencher.bench(|| {
        let mut out = Vec::with_capacity(1024);
        if line::rewrite_clean(&masker, black_box(text.as_bytes()), now, &mut out).is_none() {
            let (event, _) = Event::from_json_told(text.as_bytes(), false).unwrap();
            line::write_masked(&masker, &event, &mut complete(&event, now), &mut out).unwrap();
        }
        out
    });
}

fn collect(value: &Value, keys: &mut Vec<String>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| collect(element, keys)),
        Value::Object(object) => {
            for (key, value) in object.iter() {
                keys.push(key.to_owned());
                collect(value, keys);
            }
        }
        _ => {}
    }
}
