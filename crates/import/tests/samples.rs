//! Every real record goes in once, as an auditor would expect it.
#![allow(clippy::expect_used, reason = "a test says what it needs by failing")]

use std::collections::{BTreeMap, HashSet};

use trailseal_event::{Event, Value};
use trailseal_import::{Imported, Mapping, SAMPLES, read};

fn sample(format: &str) -> Vec<Imported> {
    let (_, _, bytes) = SAMPLES.into_iter().find(|(name, ..)| *name == format).expect("a sample");
    let mapping = Mapping::builtin(format).expect("a built-in mapping");
    read(bytes, mapping).map(|record| record.expect("a good record")).collect()
}

fn all() -> Vec<Imported> {
    SAMPLES.iter().flat_map(|(format, ..)| sample(format)).collect()
}

fn defaulted(event: &Event) -> String {
    let import = event.details.get("_import").expect("the mark");
    import.get("defaulted").map_or_else(|| "nothing".to_owned(), Value::to_string)
}

/// The fields that the table below compares, as one line of text.
fn summary(event: &Event) -> String {
    let text = |field: &Option<String>| field.clone().unwrap_or_else(|| "-".to_owned());
    let actor = event.actor.clone().unwrap_or_default();
    let resource = event.resource.clone().unwrap_or_default();
    [
        event.action.clone(),
        format!("{:?}", event.category),
        event.outcome.map_or_else(|| "-".to_owned(), |outcome| format!("{outcome:?}")),
        event.time.map_or_else(|| "-".to_owned(), |time| time.to_string()),
        text(&event.tenant),
        text(&actor.id),
        format!("{} {}", text(&resource.kind), text(&resource.id)),
        text(&event.context.ip),
    ]
    .join(" | ")
}

#[test]
fn chosen_records() {
    let expected = include_str!("expected.txt");
    let samples: BTreeMap<&str, Vec<Imported>> =
        SAMPLES.iter().map(|(format, ..)| (*format, sample(format))).collect();
    let mut checked = 0;
    for row in expected.lines().filter(|row| !row.starts_with('#')) {
        let (place, expected) = row.split_once(' ').expect("a place and what is expected");
        let (format, line) = place.split_once(':').expect("a format and a line");
        let line: usize = line.parse().expect("a number");
        let imported = &samples[format][line - 1];
        assert_eq!(imported.line, line as u64);
        assert_eq!(summary(&imported.event), expected, "{place}");
        checked += 1;
    }
    assert!(checked >= 25, "the table has rows");
}

#[test]
fn how_many_records_lack_an_action_or_a_time() {
    let mut counts = String::new();
    for (format, ..) in SAMPLES {
        let mut by_kind = BTreeMap::new();
        for imported in sample(format) {
            *by_kind.entry(defaulted(&imported.event)).or_insert(0) += 1;
        }
        for (kind, count) in by_kind {
            counts.push_str(&format!("{format} {count} {kind}\n"));
        }
    }
    assert_eq!(counts, include_str!("defaulted.txt"));
}

#[test]
fn every_line_goes_in_once_and_the_same_way_again() {
    let (first, again) = (all(), all());
    assert_eq!(first.len(), 801);
    let ids: HashSet<&str> = first.iter().filter_map(|imported| imported.event.id.as_deref()).collect();
    assert_eq!(ids.len(), 801);
    assert_eq!(first, again);
}

#[test]
fn the_whole_record_is_in_its_event() {
    for (format, _, bytes) in SAMPLES {
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        for (line, imported) in lines.zip(sample(format)) {
            let kept = imported.event.details.get("record").expect("the record");
            assert_eq!(String::from_utf8_lossy(line), kept.to_string());
        }
    }
}

#[test]
fn the_records_own_id_can_be_found() {
    let trail = &sample("cloudtrail")[5].event;
    let import = trail.details.get("_import").expect("the mark");
    assert_eq!(import.get("source_id").and_then(Value::as_str), Some("1111"));
    assert_eq!(trail.context.request_id.as_deref(), Some("1111"));
    for (format, key) in [("cloudtrail", "eventID"), ("kubernetes", "auditID"), ("github", "_document_id")] {
        for imported in sample(format) {
            let own = imported.event.details.get("record").and_then(|record| record.get(key)).cloned();
            let import = imported.event.details.get("_import").expect("the mark");
            if let Some(own) = own {
                assert_eq!(import.get("source_id"), Some(&own));
                assert!(imported.event.context.request_id.is_some());
            }
        }
    }
}

#[test]
fn the_same_records_as_a_trail_file_have_the_same_ids() {
    let (format, _, bytes) = SAMPLES[0];
    let mut file = b"{\"Records\":[".to_vec();
    file.extend_from_slice(
        &bytes.trim_ascii_end().split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b','),
    );
    file.extend_from_slice(b"]}");
    let mapping = Mapping::builtin(format).expect("a built-in mapping");
    let from_file: Vec<_> = read(&file[..], mapping).map(|record| record.expect("a record").event).collect();
    let from_lines: Vec<_> = sample(format).into_iter().map(|imported| imported.event).collect();
    assert_eq!(from_file, from_lines);
}

#[test]
fn a_line_that_is_no_json_object_is_named_and_the_rest_goes_in() {
    let mapping = Mapping::builtin("github").expect("a built-in mapping");
    let input = b"{\"action\":\"a\"}\nnot json\n7\n\xff{}\n\n{\"action\":\"b\"}\n{\"action\":\"a\"}";
    let found: Vec<_> = read(&input[..], mapping)
        .map(|record| match record {
            Ok(imported) => (imported.line, imported.event.action),
            Err(failed) => (failed.line, failed.reason.split(':').next().unwrap_or_default().to_owned()),
        })
        .collect();
    let expected = [
        (1, "a"),
        (2, "not a JSON object"),
        (3, "not a JSON object but a number"),
        (4, "not a JSON object"),
        (6, "b"),
        (7, "a"),
    ];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
}
