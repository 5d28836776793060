use super::*;
use crate::complete::complete;

/// Reads an event, writes its line, and compares that from `category` on.
fn check(json: &str, expected: &str) {
    let event = Event::from_json(json.as_bytes()).unwrap();
    let now = Timestamp::from_micros(0);
    let mut rest = Vec::new();
    crate::line::write_rest(&event, &complete(&event, now), &mut rest).unwrap();
    let rest = String::from_utf8(rest).unwrap();
    let from = rest.find(",\"category\"").unwrap();
    let expected = if expected.starts_with('{') {
        // Only what follows the head of an event without anything else.
        let expected = expected.strip_prefix('{').unwrap();
        let comma = if expected == "}" { "" } else { "," };
        format!(",\"category\":\"custom:other\",\"action\":\"a\",\"severity\":\"info\"{comma}{expected}")
    } else {
        expected.to_owned()
    };
    assert_eq!(rest[from..], expected, "{json}");
}

fn check_bad(json: &[u8], expected: BadLine) {
    assert_eq!(Event::from_json(json), Err(expected), "{}", json.escape_ascii());
}

#[test]
fn takes_every_field() {
    let json = concat!(
        r#"{"id":"1","time":"2026-11-21T04:00:00+01:00","tenant":"t","category":"custom:x","action":"a","#,
        r#""description":"d","severity":"warn","outcome":"denied","error":"e","#,
        r#""actor":{"id":"u","type":"user","name":"n","email":"m","roles":["r"],"x":1},"#,
        r#""on_behalf_of":{"id":"o","reason":"w","x":1},"resource":{"type":"t","id":"i","name":"n","x":1},"#,
        r#""related":[{"type":"t","id":"i"},{}],"before":{"a":1},"after":{"a":2},"details":{"d":[1.50]},"#,
        r#""context":{"ip":"1","user_agent":"2","request_id":"3","correlation_id":"4","session_id":"5","trace_id":"6","#,
        r#""span_id":"7","component":"8","service":"9","version":"10","host":"11","x":1},"#,
        r#""duration_ms":12.5,"approval":[1],"own":null}"#
    );
    let event = Event::from_json(json.as_bytes()).unwrap();
    assert_eq!((event.invalid.len(), event.extra.len(), event.related.len()), (0, 1, 2));
    let now = Timestamp::from_micros(1_800_000_000_000_000);
    let mut rest = Vec::new();
    crate::line::write_rest(&event, &complete(&event, now), &mut rest).unwrap();
    let expected = json
        .replace("2026-11-21T04:00:00+01:00", "2026-11-21T03:00:00.000000Z")
        .replace("\"warn\"", "\"warning\"")
        .replace("\"details\"", "\"changes\":{\"a\":{\"before\":1,\"after\":2}},\"details\"");
    assert_eq!(format!("{{{}", String::from_utf8(rest.clone()).unwrap()), expected);

    let mut line = Vec::new();
    crate::line::write_front(9, &now.to_text(), &mut line);
    line.extend_from_slice(&rest);
    let read = Event::from_line(&line).unwrap();
    assert_eq!((read.index, read.recorded, read.system), (9, now, false));
    assert_eq!(Event { changes: None, ..read.event }, event);
}

#[test]
fn null_is_as_good_as_absent() {
    check(
        r#"{"action":"a","id":null,"time":null,"severity":null,"outcome":null,"actor":null,"details":null,"before":null,"context":{"ip":null}}"#,
        "{}",
    );
}

#[test]
fn an_outcome_that_nobody_named_is_absent() {
    for json in [r#"{"action":"a"}"#, r#"{"action":"a","outcome":null}"#, r#"{"action":"a","outcome":""}"#] {
        check(json, "{}");
        assert_eq!(Event::from_json(json.as_bytes()).unwrap().outcome, None);
    }
    // An error says why, and not how it ended.
    check(
        r#"{"action":"a","error":"e"}"#,
        r#",category"#.get(..0).map(|_| r#","category":"custom:other","action":"a","severity":"info","error":"e"}"#).unwrap(),
    );
    let line = |outcome: &str| {
        let front = r#"{"v":1,"index":0,"recorded":"2026-01-02T03:04:05.000006Z","id":"i","action":"a""#;
        Event::from_line(format!("{front}{outcome}}}").as_bytes()).unwrap().event
    };
    for absent in ["", r#","outcome":null"#, r#","outcome":"""#] {
        assert_eq!((line(absent).outcome, line(absent).extra.len()), (None, 0), "{absent}");
    }
    assert_eq!(line(r#","outcome":"success""#).outcome, Some(Outcome::Success));
    assert_eq!(line(r#","outcome":"so-so""#).outcome, Some(Outcome::Unknown));
}

#[test]
fn what_cannot_be_taken_is_kept_and_listed() {
    check(
        r#"{"action":"a","severity":"loud"}"#,
        r#"{"details":{"_invalid":{"severity":"loud"}},"invalid":["severity"]}"#,
    );
    check(
        r#"{"action":"a","details":[1]}"#,
        r#"{"details":{"_invalid":{"details":[1]}},"invalid":["details"]}"#,
    );
    check(r#"{"action":"a","actor":5}"#, r#"{"details":{"_invalid":{"actor":5}},"invalid":["actor"]}"#);
    check(
        r#"{"action":"a","resource":"invoice"}"#,
        r#"{"details":{"_invalid":{"resource":"invoice"}},"invalid":["resource"]}"#,
    );
    check(
        r#"{"action":"a","actor":{"id":1,"roles":["x",2]},"related":[3,{"id":4}]}"#,
        r#"{"actor":{"roles":["x"]},"related":[{}],"details":{"_invalid":{"actor.id":1,"actor.roles.1":2,"related.0":3,"related.1.id":4}},"invalid":["actor.id","actor.roles.1","related.0","related.1.id"]}"#,
    );
    check(
        r#"{"action":"a","outcome":"ok","category":"x","time":"now","duration_ms":"1"}"#,
        r#",category":"#.get(..0).map(|_| r#","category":"custom:other","action":"a","severity":"info","outcome":"unknown","details":{"_invalid":{"outcome":"ok","category":"x","time":"now","duration_ms":"1"}},"invalid":["outcome","category","time","duration_ms"]}"#).unwrap(),
    );
    check(
        r#"{"action":"a","duration_ms":1e999}"#,
        r#"{"details":{"_invalid":{"duration_ms":"1e999"}},"invalid":["duration_ms"]}"#,
    );
    check(r#"{"action":"a","own":1e999}"#, r#"{"invalid":["own"],"own":"1e999"}"#);
    check(r#"{"action":"a","id":""}"#, r#"{"details":{"_invalid":{"id":""}},"invalid":["id"]}"#);
}

#[test]
fn what_has_an_obvious_meaning_is_taken() {
    check(
        r#"{"action":"a","actor":"u1","resource":"invoice/2026/42"}"#,
        r#"{"actor":{"id":"u1"},"resource":{"type":"invoice","id":"2026/42"}}"#,
    );
    // Only from a caller: in a stored line it means what it meant when it was written.
    let line =
        br#"{"v":1,"index":0,"recorded":"2026-01-02T03:04:05.000006Z","id":"i","action":"a","actor":"u1"}"#;
    assert_eq!(Event::from_line(line).unwrap().event.actor, None);
}

#[test]
fn no_caller_fills_what_the_trail_fills() {
    for field in RESERVED {
        check(
            &format!(r#"{{"action":"a","{field}":true}}"#),
            &format!(r#"{{"details":{{"_invalid":{{"{field}":true}}}},"invalid":["{field}"]}}"#),
        );
    }
    check(
        r#"{"action":"a","details":{"_invalid":{"id":1},"k":2}}"#,
        r#"{"details":{"k":2,"_invalid":{"details._invalid":{"id":1}}},"invalid":["details._invalid"]}"#,
    );
}

#[test]
fn of_doubled_fields_the_last_counts_and_none_is_lost() {
    check(
        r#"{"action":"z","action":"a","severity":"x","severity":1,"own":1,"own":2,"own":3}"#,
        r#"{"details":{"_invalid":{"action":"z","severity":"x","own":1,"own#2":2,"severity#2":1}},"invalid":["action","severity","own"],"own":3}"#,
    );
}

#[test]
fn refuses_what_is_no_event() {
    check_bad(b"{\"action\":\"\xff\"}", BadLine::NotUtf8 { offset: 11 });
    check_bad(b"[]", BadLine::NotAnObject { found: "an array" });
    check_bad(b"{}", BadLine::NoAction(NoAction::Missing));
    check_bad(b"{\"action\":null}", BadLine::NoAction(NoAction::Missing));
    check_bad(b"{\"action\":\"\"}", BadLine::NoAction(NoAction::Empty));
    check_bad(b"{\"action\":1}", BadLine::NoAction(NoAction::NotText { found: "a number" }));
    assert!(matches!(Event::from_json(b"{\"action\":\"a\"}{}"), Err(BadLine::NotJson { offset: 14, .. })));
    assert!(Event::from_json(b"\xef\xbb\xbf{\"action\":\"a\"}\n").is_ok());
    assert_eq!(Event::from_line(b"{\"action\":\"a\"}"), Err(BadLine::NotALine));
}
