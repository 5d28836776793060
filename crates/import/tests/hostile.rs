//! Nothing that comes from outside ends in a panic, and no record is lost.
#![allow(clippy::expect_used, reason = "a test says what it needs by failing")]

use std::ops::ControlFlow;

use proptest::prelude::*;
use trailseal_event::{Event, Oddity, Parsed, Value};
use trailseal_import::mapping::BUILT_IN;
use trailseal_import::records::Records;
use trailseal_import::{Imported, Mapping, Reading, SAMPLES, Written, defaulted, read, read_in_order};

/// JSON objects out of the keys that the built-in mappings look for.
fn record() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "eventName",
        "eventtime",
        "userIdentity",
        "arn",
        "resources",
        "0",
        "verb",
        "objectRef",
        "resource",
        "name",
        "properties",
        "log",
        "protoPayload",
        "methodName",
        "responseStatus",
        "code",
        "action",
        "actor",
        "@timestamp",
        "created_at",
        "requestParameters",
        "user",
        "groups",
        "errorCode",
        "conclusion",
    ]);
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        Just("1e999".to_owned()),
        "[ -~]{0,12}".prop_map(|text| Value::String(text).to_string()),
        Just(r#""{\"verb\":\"get\",\"log\":\"[1]\"}""#.to_owned()),
        Just(r#""2022-11-29 00:09:04.38""#.to_owned()),
    ];
    let value = leaf.prop_recursive(4, 40, 5, {
        let key = key.clone();
        move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|list| format!("[{}]", list.join(","))),
                prop::collection::vec((key.clone(), inner), 0..5).prop_map(object),
            ]
        }
    });
    prop::collection::vec((key, value), 0..6).prop_map(object)
}

fn object(entries: Vec<(&str, String)>) -> String {
    let entries: Vec<String> = entries.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", entries.join(","))
}

fn has_doubles(record: &str) -> bool {
    let notes = Parsed::parse(record.as_bytes()).expect("good JSON").notes;
    notes.iter().any(|note| note.oddity == Oddity::Doubled)
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes[..], Mapping::builtin("cloudtrail").expect("built in")).count();
    }

    #[test]
    fn any_brackets_are_survived(text in r#"[\[\]{}:,"\\\na ]{0,60}"#, wrapped in any::<bool>()) {
        let input = if wrapped { format!("{{\"Records\":[{{{text}") } else { text };
        let _ = Records::new(input.as_bytes()).count();
    }

    #[test]
    fn no_record_after_a_broken_line_is_lost(broken in r#"[\[\]{}:,"a ]{0,30}"#, wrapped in any::<bool>()) {
        let head = if wrapped { "{\"Records\":[" } else { "" };
        let input = format!("{head}{broken}\n{{\"action\":\"kept\"}}\n");
        let mapping = Mapping::builtin("github").expect("built in");
        let kept = read(input.as_bytes(), mapping).flatten().any(|imported| imported.event.action == "kept");
        prop_assert!(kept);
    }

    #[test]
    fn any_object_becomes_an_event_that_holds_it(record in record()) {
        let value = Value::parse(record.as_bytes()).expect("good JSON");
        for (format, _) in BUILT_IN {
            let event = Mapping::builtin(format).expect("built in").apply(value.clone());
            prop_assert!(!event.action.is_empty());
            prop_assert_eq!(event.details.get("record"), Some(&value));
        }
    }

    #[test]
    fn a_server_that_is_sent_an_event_reads_the_same(record in record(), depth in 0_usize..100) {
        let deep = format!("{}{record}{}", "{\"a\":[".repeat(depth), "]}".repeat(depth));
        for (format, _) in BUILT_IN {
            let imported = read(deep.as_bytes(), Mapping::builtin(format).expect("built in")).flatten().next();
            let event = imported.expect("a record").event;
            prop_assert_eq!(Event::from_json(&event.to_json()), Ok(event));
        }
    }

    #[test]
    fn texts_made_by_several_threads_are_the_events_made_one_by_one(
        records in prop::collection::vec(record(), 1..5), repeated in any::<bool>(), spaced in any::<bool>(),
    ) {
        let mut input = records.join("\n");
        if repeated {
            input = format!("{input}\n{input}");
        }
        if spaced {
            input = input.replace("\":", "\" : ");
        }
        for (format, _) in BUILT_IN {
            let mapping = Mapping::builtin(format).expect("built in");
            let expected: Vec<_> = read(input.as_bytes(), mapping).collect();
            let mut found = Vec::new();
            let reading = Reading { mapping, written: None };
            read_in_order(Records::of(input.as_bytes(), mapping), reading, 2, &mut |written| {
                found.push(written.map(|Written { line, json, defaulted }| (line, json.to_vec(), defaulted)));
                ControlFlow::Continue(())
            })
            .expect("threads");
            prop_assert_eq!(found.len(), expected.len());
            for (written, expected) in found.into_iter().zip(expected) {
                match (written, expected) {
                    (Ok((found, json, by_default)), Ok(Imported { line, event })) => {
                        prop_assert_eq!(found, line);
                        prop_assert_eq!(by_default, defaulted(&event).collect::<Vec<_>>());
                        prop_assert!(!json.contains(&b'\n'));
                        let (mut read, warnings) = Event::from_json_told(&json, false).expect("an event");
                        // Of doubled keys, an event made by itself has only the last.
                        match records.iter().any(|record| has_doubles(record)) {
                            true => {
                                read.details.remove("_invalid");
                                read.invalid.clear();
                            }
                            false => prop_assert_eq!(
                                warnings,
                                Event::from_json_told(&event.to_json(), false).expect("an event").1
                            ),
                        }
                        prop_assert_eq!(read, event);
                    }
                    (written, expected) => {
                        prop_assert_eq!(written.err(), expected.err());
                    }
                }
            }
        }
    }

    #[test]
    fn any_line_of_any_form_is_survived(
        beginning in prop::sample::select(vec![
            "", "a,b\n", "t=1 a=", "<34>1 ", "<34>Oct 11 22:14:15 h a: ", "CEF:0|a|b|c|d|e|f|",
            "type=A msg=audit(1.2:3): ", "{\"records\":[", "[",
        ]),
        text in "[ -~\n\té\"'=|\\[\\]\\\\]{0,80}|\\PC{0,40}",
    ) {
        let mapping = Mapping::builtin("syslog").expect("built in");
        let input = format!("{beginning}{text}");
        for imported in read(input.as_bytes(), mapping).flatten() {
            prop_assert_eq!(Event::from_json(&imported.event.to_json()), Ok(imported.event));
        }
    }

    #[test]
    fn a_table_gives_back_what_was_put_in(cells in prop::collection::vec(("[ -~\n]{0,8}", "[ -~\n]{0,8}"), 1..5)) {
        let quoted = |cell: &str| format!("\"{}\"", cell.replace('"', "\"\""));
        let rows: Vec<String> = cells.iter().map(|(a, b)| format!("{},{}\n", quoted(a), quoted(b))).collect();
        let input = format!("first,second\n{}", rows.concat());
        let mapping = Mapping::builtin("syslog").expect("built in");
        let found: Vec<_> = read(input.as_bytes(), mapping).map(|row| row.expect("a row").event).collect();
        prop_assert_eq!(found.len(), cells.len());
        for (event, (a, b)) in found.iter().zip(&cells) {
            let record = event.details.get("record").expect("the record");
            prop_assert_eq!(record.get("first").and_then(Value::as_str), Some(a.as_str()));
            prop_assert_eq!(record.get("second").and_then(Value::as_str), Some(b.as_str()));
        }
    }

    #[test]
    fn any_text_is_a_time_or_none(text in "[ -~]{0,40}|[0-9]{1,20}|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.,]{0,12}( [A-Z]{1,4})?") {
        let mapping = Mapping::parse("format = 'a'\n[event]\naction = '=x'\ntime = 't'").expect("a good mapping");
        let record = Value::Object([("t", text.as_str())].into_iter().collect());
        let _ = mapping.apply(record);
    }

    #[test]
    fn any_text_is_a_mapping_or_an_error(text in "\\PC{0,200}") {
        let _ = Mapping::parse(&text);
    }

    #[test]
    fn a_damaged_mapping_is_a_mapping_or_an_error(
        (which, at, with) in (0..BUILT_IN.len(), any::<prop::sample::Index>(), "[ -~\n]{0,3}"),
    ) {
        let text = BUILT_IN[which].1;
        let at = at.index(text.len());
        let damaged = format!("{}{with}{}", &text[..at], &text[(at + with.len()).min(text.len())..]);
        match Mapping::parse(&damaged) {
            Ok(mapping) => drop(read(SAMPLES[which % SAMPLES.len()].2, &mapping).take(3).count()),
            Err(error) => prop_assert!(error.line <= damaged.lines().count().max(1) + 1),
        }
    }
}
