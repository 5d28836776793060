use trailseal_event::{Timestamp, Value};

use super::orchestrator::snake;
use super::{HashReport, OldHashes, text_at};
use crate::form::Form;
use crate::records::Record;

/// Made by the application's own recipe, run in Python over made-up records.
const RECORDS: &str = include_str!("../../tests/old/audit_trail.jsonl");

#[test]
fn hashes_of_both_recipes_hold_and_a_changed_record_is_named() {
    let look = |edit: &dyn Fn(usize, &str) -> String| {
        let hashes = OldHashes::of("audit_trail").expect("it has hashes");
        for (at, line) in RECORDS.lines().enumerate() {
            let bytes = edit(at, line).into_bytes();
            hashes.look(&Record { line: at as u64 + 1, bytes, form: Form::Json });
        }
        hashes.finish()
    };
    let report = look(&|_, line| line.to_owned());
    assert_eq!((report.held, report.without, report.failed.len()), (7, 1, 0), "{report:?}");
    assert!(report.notes[0].starts_with("2 records have a hash of the older recipe"), "{report:?}");
    for (at, from, to) in [
        (0, "\"create\"", "\"delete\""),
        (1, "6f9619ff-8b86-4011-b42d-00c04fc964ff", "7f9619ff-8b86-4011-b42d-00c04fc964ff"),
        (2, "0.25", "0.26"),
        (3, "2026-01-04T10", "2026-01-04T11"),
        (4, "10000000000000000", "10000000000000001"),
    ] {
        let report = look(&|line, text| if line == at { text.replace(from, to) } else { text.to_owned() });
        let lines: Vec<u64> = report.failed.iter().map(|failed| failed.line).collect();
        assert_eq!(lines, [at as u64 + 1], "{from}");
    }
}

/// Made-up events with hashes by the recipe of the crate.
const FILE: &str = include_str!("../../tests/old/audit_events.jsonl");

fn look(lines: &[String]) -> HashReport {
    let hashes = OldHashes::of("audit_events").expect("it has hashes");
    for (at, line) in lines.iter().enumerate() {
        hashes.look(&Record { line: at as u64 + 1, bytes: line.clone().into_bytes(), form: Form::Json });
    }
    hashes.finish()
}

#[test]
fn what_was_changed_or_removed_is_named_and_forks_are_not() {
    let lines: Vec<String> = FILE.lines().map(str::to_owned).collect();
    let report = look(&lines);
    assert_eq!((report.held, report.failed.len()), (lines.len() as u64, 0), "{report:?}");
    assert!(report.notes.iter().any(|note| note.contains("begins 2 times")), "{report:?}");
    // Changed in the middle.
    let mut changed = lines.clone();
    changed[1] = changed[1].replace("\"w1\"", "\"w2\"");
    assert_ne!(changed[1], lines[1]);
    assert_eq!(look(&changed).failed.iter().map(|failed| failed.line).collect::<Vec<_>>(), [2]);
    // Removed: the one after it has no predecessor.
    let mut removed = lines.clone();
    removed.remove(1);
    let report = look(&removed);
    assert_eq!(report.failed.iter().map(|failed| failed.line).collect::<Vec<_>>(), [2], "{report:?}");
    // As a database has it: in its words, and to the microsecond.
    let stored = lines.iter().map(|line| {
        let value = Value::parse(line.as_bytes()).expect("JSON");
        let mut record = value.as_object().expect("an object").clone();
        let time = text_at(&value, "timestamp").expect("a time");
        record.insert("timestamp", Timestamp::parse(&time).expect("a time").to_string());
        record.insert("event_type", snake(&text_at(&value, "event_type").expect("a type")));
        record.insert("resource_type", snake(&text_at(&value, "resource_type").expect("a type")));
        let result = match value.get("result") {
            Some(Value::String(word)) => snake(word),
            _ => "failure".to_owned(),
        };
        record.insert("result", result);
        Value::Object(record).to_string()
    });
    let report = look(&stored.collect::<Vec<_>>());
    assert_eq!((report.held, report.failed.len()), (lines.len() as u64, 0), "{report:?}");
}
