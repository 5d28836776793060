//! What masking does to real records: every value that goes, and every one that stays and looks as if it should go.
//!
//! `UPDATE_SNAPSHOTS=1` writes the list anew; a person then reads what changed.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test says what it needs by failing")]

#[path = "../../event/tests/masking/differences.rs"]
mod differences;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use differences::differences;
use trailseal_event::complete::complete;
use trailseal_event::mask::{MaskOptions, Masker};
use trailseal_event::{Event, Timestamp, Value, line};
use trailseal_import::{Mapping, SAMPLES, read};

/// Parts of keys that make a reader look twice.
const LOOSE: [&str; 12] = [
    "password",
    "secret",
    "token",
    "credential",
    "auth",
    "key",
    "pin",
    "cookie",
    "session",
    "private",
    "card",
    "cert",
];

fn value_of(event: &Event) -> (String, Value) {
    let mut event = event.clone();
    event.id.get_or_insert_with(|| "e".to_owned());
    let mut rest = b"{".to_vec();
    line::write_rest(&event, &complete(&event, Timestamp::from_micros(0)), &mut rest).expect("an action");
    (String::from_utf8(rest[1..].to_vec()).expect("UTF-8"), Value::parse(&rest).expect("JSON"))
}

/// Calls `visit` with the key and text of each text or number.
fn each_leaf(key: &str, value: &Value, visit: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => visit(key, text),
        Value::Number(number) => visit(key, &number.to_string()),
        Value::Array(elements) => elements.iter().for_each(|element| each_leaf(key, element, visit)),
        Value::Object(object) => object.iter().for_each(|(key, value)| each_leaf(key, value, visit)),
        Value::Null | Value::Bool(_) => {}
    }
}

fn any_key(value: &Value, matches: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(|element| any_key(element, matches)),
        Value::Object(object) => object.iter().any(|(key, value)| matches(key) || any_key(value, matches)),
        _ => false,
    }
}

/// Bits of entropy for each character.
fn entropy(text: &str) -> f64 {
    let mut counts = BTreeMap::new();
    for byte in text.bytes() {
        *counts.entry(byte).or_insert(0.0) += 1.0;
    }
    let len = text.len() as f64;
    counts.values().map(|count: &f64| -count / len * (count / len).log2()).sum()
}

fn is_suspicious(key: &str, text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=_-.~".contains(&byte);
    let looks_random = text.len() >= 24
        && text.bytes().all(is_word)
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_uppercase())
        && entropy(text) > 4.2;
    let key = key.to_lowercase();
    looks_random || LOOSE.iter().any(|part| key.contains(part))
}

fn shown(text: &str) -> String {
    let short: String = text.chars().take(72).collect();
    if short.len() < text.len() { format!("{short:?}…") } else { format!("{short:?}") }
}

#[test]
fn every_masked_and_every_suspicious_value() {
    let masker = Masker::new(&MaskOptions::default()).expect("the defaults");
    let mut report = String::new();
    for (format, _, bytes) in SAMPLES {
        let mapping = Mapping::builtin(format).expect("a built-in mapping");
        let (mut gone, mut left) = (BTreeMap::new(), BTreeMap::new());
        let mut noticed = 0;
        let mut events = 0;
        for record in read(bytes, mapping) {
            let mut event = record.expect("a good record").event;
            let (line, before) = value_of(&event);
            let has_key = any_key(&before, &|key| masker.key_matches(key));
            let has_text = masker.text_has(line.as_bytes());
            noticed += usize::from(has_text);
            events += 1;
            let paths = masker.mask(&mut event);
            assert!(paths.is_empty() || has_key || has_text, "nobody would have looked: {line}");
            let (_, after) = value_of(&event);
            let changed = differences(&before, &after);
            assert_eq!(paths.iter().collect::<BTreeSet<_>>(), changed.iter().collect(), "{line}");
            for path in &paths {
                let was = before.get_path(path).map(Value::to_string).unwrap_or_default();
                let is = after.get_path(path).map(Value::to_string).unwrap_or_default();
                *gone.entry(format!("{path}: {} -> {}", shown(&was), shown(&is))).or_insert(0) += 1;
            }
            each_leaf("", &after, &mut |key, text| {
                if text != "***" && is_suspicious(key, text) {
                    *left.entry(format!("{key}: {}", shown(text))).or_insert(0) += 1;
                }
            });
        }
        writeln!(
            report,
            "# {format}: {events} records; the text of {noticed} was looked at twice\n\n## masked"
        )
        .unwrap();
        gone.iter().for_each(|(row, count)| writeln!(report, "{count} x {row}").unwrap());
        writeln!(report, "\n## left, and looked at by a person").unwrap();
        left.iter().for_each(|(row, count)| writeln!(report, "{count} x {row}").unwrap());
        report.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/masked.txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &report).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == report,
        "UPDATE_SNAPSHOTS=1 writes it anew:\n{report}"
    );
}
