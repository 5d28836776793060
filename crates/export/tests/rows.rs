//! A row says what reading the line as an event says, and a line gives a row exactly if it is one.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use proptest::prelude::*;
use trailseal_event::complete::complete;
use trailseal_event::{Event, Outcome, Recorded, Timestamp, Value, line};
use trailseal_export::{Cell, Kind, Row, columns};

const ORIGIN: &str = "example.com/trail";

/// The line of an event that a client sends as this JSON.
fn stored(json: &str) -> Option<Vec<u8>> {
    let event = Event::from_json(json.as_bytes()).ok()?;
    let now = Timestamp::from_micros(1_770_000_000_123_456);
    let mut line = Vec::new();
    line::write_front(7, &now.to_text(), &mut line);
    line::write_rest(&event, &complete(&event, now), &mut line).unwrap();
    Some(line)
}

fn text(text: Option<&str>) -> Cell<'_> {
    text.map_or(Cell::Null, |text| Cell::Text(text.into()))
}

/// What the event says for a column of text, time or number.
fn said<'a>(recorded: &'a Recorded, column: &str) -> Cell<'a> {
    let event = &recorded.event;
    let (actor, other, resource) =
        (event.actor.as_ref(), event.on_behalf_of.as_ref(), event.resource.as_ref());
    let context = &event.context;
    match column {
        "origin" => text(Some(ORIGIN)),
        "index" => Cell::Integer(recorded.index as i64),
        "id" => text(event.id.as_deref()),
        "recorded" => Cell::Time(recorded.recorded),
        "time" => Cell::Time(event.time.unwrap_or(recorded.recorded)),
        "tenant" => text(event.tenant.as_deref()),
        "category" => Cell::Text(event.category.name()),
        "action" => text(Some(&event.action)),
        "severity" => text(Some(event.severity.name())),
        "outcome" => text(event.outcome.map(Outcome::name)),
        "error" => text(event.error.as_deref()),
        "description" => text(event.description.as_deref()),
        "actor_id" => text(actor.and_then(|actor| actor.id.as_deref())),
        "actor_type" => text(actor.and_then(|actor| actor.kind.as_deref())),
        "actor_name" => text(actor.and_then(|actor| actor.name.as_deref())),
        "actor_email" => text(actor.and_then(|actor| actor.email.as_deref())),
        "on_behalf_of_id" => text(other.and_then(|other| other.id.as_deref())),
        "on_behalf_of_reason" => text(other.and_then(|other| other.reason.as_deref())),
        "resource_type" => text(resource.and_then(|resource| resource.kind.as_deref())),
        "resource_id" => text(resource.and_then(|resource| resource.id.as_deref())),
        "resource_name" => text(resource.and_then(|resource| resource.name.as_deref())),
        "ip" => text(context.ip.as_deref()),
        "user_agent" => text(context.user_agent.as_deref()),
        "request_id" => text(context.request_id.as_deref()),
        "correlation_id" => text(context.correlation_id.as_deref()),
        "session_id" => text(context.session_id.as_deref()),
        "trace_id" => text(context.trace_id.as_deref()),
        "span_id" => text(context.span_id.as_deref()),
        "component" => text(context.component.as_deref()),
        "service" => text(context.service.as_deref()),
        "duration_ms" => event.duration_ms.as_ref().map_or(Cell::Null, |number| Cell::Float(number.as_f64())),
        "sample_rate" => recorded.sample_rate.map_or(Cell::Null, Cell::Float),
        "system" => Cell::Boolean(recorded.system),
        other => unreachable!("no column {other}"),
    }
}

/// The row and the event of a line say the same, or there is neither.
fn check(line: &[u8]) {
    let shown = String::from_utf8_lossy(line);
    let (row, recorded) = (Row::read(line), Event::from_line(line).ok());
    assert_eq!(row.is_some(), recorded.is_some(), "{shown}");
    let (Some(row), Some(recorded)) = (row, recorded) else { return };
    let value = Value::parse(line).unwrap();
    for (column, cell) in columns().iter().zip(row.cells(ORIGIN)) {
        let name = column.name();
        match (column.kind(), cell) {
            _ if name == "line" => assert_eq!(row.line().as_bytes(), line),
            (Kind::Json, Cell::Text(json)) => {
                assert_eq!(
                    Some(&Value::parse(json.as_bytes()).unwrap()),
                    value.get(name),
                    "{name} of {shown}"
                );
                assert!(shown.contains(&*json), "{name} of {shown}");
            }
            (Kind::Json, cell) => {
                assert_eq!(cell, Cell::Null);
                assert!(value.get(name).is_none_or(|value| *value == Value::Null), "{name} of {shown}");
            }
            (_, cell) => assert_eq!(cell, said(&recorded, name), "{name} of {shown}"),
        }
    }
}

const FULL: &str = r#"{"id":"e \"1\"","time":"2026-05-01T10:00:00.5Z","tenant":"acme","category":"custom:x","action":"a.b","description":"döne \u0000","severity":"error","outcome":"denied","error":"no\n","actor":{"id":"u1","type":"user","name":"Ann","email":"a@example.com","roles":["r"],"more":{"id":"no"}},"on_behalf_of":{"id":"u2","reason":"on leave"},"resource":{"type":"invoice","id":"7","name":"No. 7"},"related":[{"type":"x","id":"1"}],"before":{"a":1.50},"after":{"a":2},"details":{"action":"no","deep":[{"ip":"no"}]},"context":{"ip":"10.0.0.1","user_agent":"ua","request_id":"r","correlation_id":"c","session_id":"s","trace_id":"t","span_id":"p","component":"k","service":"v","version":"1","host":"h"},"duration_ms":12.25,"approval":{"by":"x"},"unknown":[1]}"#;

#[test]
fn every_column_of_a_full_event_is_filled() {
    let line = stored(FULL).unwrap();
    check(&line);
    let row = Row::read(&line).unwrap();
    let empty: Vec<&str> = columns()
        .iter()
        .zip(row.cells(ORIGIN))
        .filter(|(_, cell)| *cell == Cell::Null)
        .map(|(column, _)| column.name())
        .collect();
    assert_eq!(empty, ["masked", "truncated", "sample_rate"]);
}

#[test]
fn lines_that_another_writer_made_are_read_as_the_core_reads_them() {
    const FRONT: &str = r#"{"v":1,"index":7,"recorded":"2026-01-02T03:04:05.000006Z","#;
    for rest in [
        r#""action":"a"}"#,
        r#""action":"a" } "#,
        r#""system":true,"action":"a"}"#,
        r#""action":"a","system":true}"#,
        r#""action":""}"#,
        r#""action":null}"#,
        r#""action":5}"#,
        r#""action":"a","action":"b"}"#,
        r#""action":"a","action":null}"#,
        r#""acti\u006fn":"a","\u0061ctor":{"i\u0064":"x"}}"#,
        r#""action":"a","actor":{"id":"x"},"actor":{"name":"y"}}"#,
        r#""action":"a","actor":{"id":"x"},"actor":"y"}"#,
        r#""action":"a","actor":{"id":"x"},"actor":null}"#,
        r#""action":"a","actor":{"id":"x","id":7},"outcome":"odd","severity":"odd","category":"odd","time":"odd"}"#,
        r#""action":"a","outcome":""}"#,
        r#""action":"a","outcome":"denied","outcome":""}"#,
        r#""action":"a","outcome":null,"severity":null,"category":null,"time":null,"id":null}"#,
        r#""action":"a","outcome":3,"severity":"WARN","category":"custom:","time":"2026-05-01","id":3}"#,
        r#""action":"a","duration_ms":"5","sample_rate":0.25,"masked":["a"],"truncated":[]}"#,
        r#""action":"a","tenant":"\ud800x"}"#,
        r#""action":"a","details":{"x":}}"#,
        r#""action":"a"}}"#,
    ] {
        check(format!("{FRONT}{rest}").as_bytes());
    }
    check(br#"{"action":"a"}"#);
    check(b"\xff\xfe");
}

/// JSON of any kind, small.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|truth| truth.to_string()),
        any::<i32>().prop_map(|number| number.to_string()),
        Just("-1.50e-3".to_owned()),
        "[a-z\"\\\\\n é]{0,6}".prop_map(|text| Value::from(text).to_string()),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(|all| format!("[{}]", all.join(","))),
            proptest::collection::vec(("id|name|type|ip|in", inner), 0..3).prop_map(|all| {
                let members: Vec<String> =
                    all.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn event() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "id",
        "time",
        "tenant",
        "category",
        "description",
        "severity",
        "outcome",
        "error",
        "actor",
        "on_behalf_of",
        "resource",
        "related",
        "before",
        "after",
        "changes",
        "details",
        "context",
        "duration_ms",
        "approval",
        "other",
    ]);
    proptest::collection::vec((key, json()), 0..8).prop_map(|members| {
        let members: String = members.iter().map(|(key, value)| format!(",\"{key}\":{value}")).collect();
        format!("{{\"action\":\"a.b\"{members}}}")
    })
}

proptest! {
    #[test]
    fn rows_and_events_say_the_same(json in event()) {
        check(&stored(&json).unwrap());
    }

    #[test]
    fn a_changed_byte_is_judged_as_the_core_judges_it(at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3) {
        let mut line = stored(FULL).unwrap();
        let at = at.index(line.len());
        match how {
            0 => line[at] = byte,
            1 => line.insert(at, byte),
            _ => drop(line.remove(at)),
        }
        check(&line);
    }
}

#[test]
fn the_documentation_lists_the_columns_in_their_order() {
    let page = include_str!("../../../docs/export.md");
    let listed: Vec<(&str, &str)> = page
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            Some((cells.next()?.trim_end_matches('`'), cells.next()?))
        })
        .collect();
    let kind = |kind| match kind {
        Kind::Text | Kind::Json => "string",
        Kind::Time => "timestamp (µs, UTC)",
        Kind::Integer => "int64",
        Kind::Float => "double",
        Kind::Boolean => "boolean",
    };
    let wanted: Vec<(&str, &str)> =
        columns().iter().map(|column| (column.name(), kind(column.kind()))).collect();
    assert_eq!(listed, wanted);
}
