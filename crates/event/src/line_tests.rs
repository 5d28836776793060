use super::*;
use crate::complete::complete;
use crate::event::{Event, NoAction, Number, Object, Recorded, Value};

const NOW: Timestamp = Timestamp::from_micros(1_795_233_600_123_456);

/// Writes an event's line and checks all that must hold for any line.
fn line_of(event: &Event) -> Vec<u8> {
    let mut line = Vec::new();
    write_front(u64::MAX, &NOW.to_text(), &mut line);
    write_rest(event, &complete(event, NOW), &mut line).unwrap();
    assert!(line.len() <= LINE_BYTES_MAX, "{}", line.len());
    assert!(line.iter().all(|&byte| byte >= 0x20));
    let theirs: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(theirs["index"], u64::MAX);
    let ours = Event::from_line(&line).unwrap();
    let invalid = theirs.get("invalid").map_or(0, |list| list.as_array().unwrap().len());
    assert_eq!(ours.event.invalid.len(), invalid);
    line
}

fn read(event: &Event) -> Recorded {
    Event::from_line(&line_of(event)).unwrap()
}

fn survive(json: &str) -> Recorded {
    let read = read(&Event::from_json(json.as_bytes()).unwrap());
    assert_eq!(read.event.action, "a");
    read
}

#[test]
fn fronts_read_back_and_have_their_length() {
    for index in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX] {
        let mut line = Vec::new();
        write_front(index, &NOW.to_text(), &mut line);
        assert_eq!(line.len(), front_len(index));
        let expected = Front { index, recorded: NOW, system: false, rest_offset: line.len() };
        assert_eq!(parse_front(&line), Some(expected));
        line.extend_from_slice(b"\"system\":true,\"id\"");
        assert_eq!(parse_front(&line), Some(Front { system: true, ..expected }));
    }
    assert_eq!(front_len(u64::MAX), FRONT_BYTES_MAX);
}

#[test]
fn only_a_front_as_it_is_written_is_read() {
    for bad in [
        "",
        "{\"v\":1,\"index\":",
        "{\"v\":1,\"index\":,\"recorded\":\"2026-11-21T04:00:00.123456Z\",",
        "{\"v\":1,\"index\":01,\"recorded\":\"2026-11-21T04:00:00.123456Z\",",
        "{\"v\":1,\"index\":18446744073709551616,\"recorded\":\"2026-11-21T04:00:00.123456Z\",",
        "{\"v\":1,\"index\":1,\"recorded\":\"2026-11-21t04:00:00.123456Z\",",
        "{\"v\":1,\"index\":1,\"recorded\":\"2026-11-21T04:00:00.123456+\",",
        "{\"v\":1,\"index\":1,\"recorded\":\"2026-11-31T04:00:00.123456Z\",",
        "{\"v\":1,\"index\":1,\"recorded\":\"2026-11-21T04:00:00.123456Z\"}",
        "{\"v\":2,\"index\":1,\"recorded\":\"2026-11-21T04:00:00.123456Z\",",
    ] {
        assert_eq!(parse_front(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn the_trails_own_mark_stands_first_and_no_caller_can_set_it() {
    let event = Event::new("trail.opened").extra("system", true).extra("index", 7);
    let mut line = Vec::new();
    write_front(3, &NOW.to_text(), &mut line);
    let mut stamp = complete(&event, NOW);
    stamp.recorded_by = Some("tsl".into());
    stamp.masked = vec!["details.k".into()];
    stamp.sample_rate = Some(0.1);
    write_rest(&event, &stamp, &mut line).unwrap();
    assert!(!parse_front(&line).unwrap().system);
    let read = Event::from_line(&line).unwrap();
    assert_eq!(read.event.invalid, ["system", "index"]);
    assert_eq!((read.recorded_by.as_deref(), read.sample_rate), (Some("tsl"), Some(0.1)));
    assert_eq!(read.masked, ["details.k"]);

    stamp.system = true;
    line.clear();
    write_front(3, &NOW.to_text(), &mut line);
    write_rest(&event, &stamp, &mut line).unwrap();
    assert!(Event::from_line(&line).unwrap().system);
}

#[test]
fn an_event_without_an_action_leaves_nothing_behind() {
    let mut out = vec![1];
    let event = Event::default();
    assert_eq!(write_rest(&event, &complete(&event, NOW), &mut out), Err(NoAction::Empty));
    assert_eq!(out, [1]);
}

#[test]
fn hostile_events_are_cut_and_marked() {
    let huge = "x".repeat(5_000_000);
    let read = survive(&format!("{{\"action\":\"a\",\"details\":{{\"k\":\"{huge}\",\"small\":1}}}}"));
    assert_eq!((read.truncated[0].path.as_str(), read.truncated[0].length), ("details.k", 5_000_000));
    assert!(read.event.details.get("k").unwrap().as_str().unwrap().len() > 60_000);
    assert!(read.event.details.contains_key("small"));

    let fields: Vec<String> = (0..100_000).map(|n| format!("\"f{n}\":{n}")).collect();
    let fields = fields.join(",");
    for (json, path) in [
        (format!("{{\"action\":\"a\",\"details\":{{{fields}}}}}"), "details"),
        (format!("{{\"action\":\"a\",{fields}}}"), "_cut"),
        (format!("{{\"action\":\"a\",\"actor\":{{{fields}}}}}"), "actor._cut"),
        (format!("{{\"action\":\"a\",\"before\":{{{fields}}}}}"), "before"),
        (format!("{{\"action\":\"a\",\"own\":{{{fields}}}}}"), "own"),
    ] {
        let read = survive(&json);
        assert_eq!(read.truncated.len(), 1, "{path}");
        assert_eq!(read.truncated[0].path, path);
    }
    survive(&format!("{{\"action\":\"a\",\"before\":{{{fields}}},\"after\":{{}}}}"));
}

#[test]
fn hostile_shapes_fit_too() {
    let key = "k".repeat(1_000_000);
    survive(&format!("{{\"action\":\"a\",\"{key}\":1,\"details\":{{\"{key}\":{{\"{key}\":[1e999]}}}}}}"));
    let deep = format!("{}1{}", "{\"a\":[".repeat(5_000), "]}".repeat(5_000));
    survive(&format!("{{\"action\":\"a\",\"details\":{deep},\"before\":{deep},\"severity\":{deep}}}"));
    let roles = vec!["\"r\\u0001\""; 100_000].join(",");
    let related = vec!["{\"id\":\"\\u0001\\u0001\\u0001\\u0001\"}"; 100_000].join(",");
    survive(&format!("{{\"action\":\"a\",\"actor\":{{\"roles\":[{roles}]}},\"related\":[{related}]}}"));
    let bad = vec!["1"; 100_000].join(",");
    survive(&format!("{{\"action\":\"a\",\"actor\":{{\"roles\":[{bad}]}},\"related\":[{bad}]}}"));
    let doubled = vec!["\"v\":0"; 50_000].join(",");
    survive(&format!("{{\"action\":\"a\",{doubled}}}"));
    let arrays = (0..1_000)
        .map(|n| format!("\"a{n}\":[{}]", vec!["1"; 1_000].join(",")))
        .collect::<Vec<_>>()
        .join(",");
    survive(&format!("{{\"action\":\"a\",\"details\":{{{arrays}}},{arrays}}}"));
    let texts =
        (0..2_000).map(|n| format!("\"a{n}\":\"{}\"", "y".repeat(3_000))).collect::<Vec<_>>().join(",");
    survive(&format!("{{\"action\":\"a\",\"details\":{{{texts}}},\"after\":{{{texts}}},{texts}}}"));
}

#[test]
fn every_named_field_full_of_control_characters_fits() {
    let bad = "\u{1}".repeat(9_000);
    let mut event = Event::new(bad.clone())
        .tenant(bad.clone())
        .description(bad.clone())
        .error(bad.clone())
        .actor(bad.clone())
        .actor_kind(bad.clone())
        .actor_name(bad.clone())
        .actor_email(bad.clone())
        .on_behalf_of(bad.clone(), bad.clone())
        .resource(bad.clone(), bad.clone())
        .resource_name(bad.clone())
        .ip(bad.clone())
        .user_agent(bad.clone())
        .request_id(bad.clone())
        .correlation_id(bad.clone())
        .id(bad.clone())
        .approval(bad.as_str())
        .before(bad.as_str())
        .category(crate::event::Category::Custom(bad.clone().into()));
    for _ in 0..300 {
        event = event.related(bad.clone(), bad.clone()).actor_role(bad.clone());
    }
    for text in [&mut event.context.host, &mut event.context.service, &mut event.context.trace_id] {
        *text = Some(bad.clone());
    }
    event.invalid = vec![bad.clone(); 100];
    let read = read(&event);
    assert!(read.event.id.unwrap().starts_with("sha256:"));
    assert!(read.truncated.iter().any(|cut| cut.path == "id" && cut.length == 9_000));
    assert!(!read.event.action.is_empty());
}

#[test]
fn what_a_rust_caller_can_build_is_valid_json() {
    let mut deep = Value::Null;
    for _ in 0..2_000 {
        deep = Value::Array(vec![deep]);
    }
    let event = Event::new("a")
        .before(deep)
        .after(f64::NAN)
        .detail("inf", Value::Number(Number::F64(f64::INFINITY)))
        .detail("text", Value::Number(Number::Text("1,\"x\":2".into())))
        .detail("long", Value::Number(Number::Text("1".repeat(100_000).into())))
        .extra("action", "b")
        .extra("recorded", 1);
    let read = read(&event);
    assert_eq!(read.event.action, "a");
    assert_eq!(read.event.invalid, ["action", "recorded"]);
    assert_eq!(read.event.details.get("text").unwrap().as_str(), Some("1,\"x\":2"));
}

fn values() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[\\PC\u{0}-\u{1f}\"\\\\\u{2028}]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::vec((".{0,6}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn objects() -> impl proptest::strategy::Strategy<Value = Object> {
    use proptest::prelude::*;
    let key = prop_oneof![
        proptest::sample::select(
            &[
                "action",
                "id",
                "time",
                "severity",
                "outcome",
                "category",
                "actor",
                "resource",
                "details",
                "context",
                "before",
                "after",
                "changes",
                "related",
                "system",
                "index",
                "v",
                "invalid",
                "truncated",
                "own",
                "type",
                "name",
                "roles",
                "ip",
                "_invalid",
                "duration_ms",
            ][..]
        )
        .prop_map(str::to_owned),
        ".{0,6}"
    ];
    proptest::collection::vec((key, values()), 0..12).prop_map(|members| members.into_iter().collect())
}

proptest::proptest! {
    #[test]
    fn any_object_with_an_action_becomes_a_line_that_keeps_its_content(mut object in objects(), inner in objects()) {
        object.insert("action", "a");
        if object.get("actor").is_some() {
            object.insert("actor", inner);
        }
        let json = Value::Object(object.clone()).to_json();
        let event = Event::from_json(&json).unwrap();
        let read = read(&event);
        let stored = Event { changes: event.changes.clone(), id: event.id.clone(), time: event.time, ..read.event.clone() };
        proptest::prop_assert_eq!(&stored, &event);
        let theirs: serde_json::Value = serde_json::from_slice(&line_of(&event)).unwrap();
        for key in ["before", "after", "approval", "own"] {
            if let Some(value) = object.get(key).filter(|value| !value.is_null()) {
                let value: serde_json::Value = serde_json::from_slice(&value.to_json()).unwrap();
                proptest::prop_assert_eq!(&theirs[key], &value);
            }
        }
        proptest::prop_assert!(crate::line::same_content(&event, &line_of(&event), crate::line::Compared::default()));
    }

    #[test]
    fn any_large_event_fits(sizes in proptest::collection::vec(0_usize..40_000, 1..8), object in objects()) {
        let mut event = Event::new("a").actor("u");
        for (place, size) in sizes.iter().enumerate() {
            let text = if place % 2 == 0 { "é\"\u{1}".repeat(size / 4) } else { "x".repeat(*size) };
            match place % 4 {
                0 => event.details = std::mem::take(&mut event.details).into_iter().chain([(format!("k{place}"), text.into())]).collect(),
                1 => event = event.extra(format!("k{place}"), vec![text]),
                2 => event.before = Some(Value::Object([("b", Value::from(text)), ("c", Value::Object(object.clone()))].into_iter().collect())),
                _ => event.after = Some(Value::from(vec![1; *size])),
            }
        }
        line_of(&event);
    }

    #[test]
    fn any_front_is_survived(bytes: Vec<u8>, tail in "[0-9\":,a-z]{0,60}") {
        let _ = parse_front(&bytes);
        let _ = parse_front(format!("{{\"v\":1,\"index\":{tail}").as_bytes());
        let _ = Event::from_line(&bytes);
    }
}

#[test]
fn an_id_and_a_time_made_here_need_no_search() {
    let own = |event: &Event, system: bool| {
        let stamp = Stamp { system, ..complete(event, Timestamp::from_micros(0)) };
        let mut rest = Vec::new();
        write_rest(event, &stamp, &mut rest).unwrap();
        String::from_utf8(rest[..own_bytes(&stamp)].to_vec()).unwrap()
    };
    let made = own(&Event::new("a"), false);
    assert!(
        made.starts_with("\"id\":\"") && made.ends_with("\",\"time\":\"1970-01-01T00:00:00.000000Z\""),
        "{made}"
    );
    assert_eq!(own(&Event::new("a").id("given"), false), "");
    assert_eq!(own(&Event::new("a"), true), "");
}

#[test]
fn a_time_ahead_of_the_trails_clock_is_marked_and_does_not_count() {
    let at = |micros: i64| Timestamp::from_micros(NOW.as_micros() + micros);
    for (time, effective, is_ahead) in [
        (None, NOW, false),
        (Some(at(-1)), at(-1), false),
        (Some(at(0)), NOW, false),
        (Some(at(1)), NOW, true),
        (Timestamp::parse("2099-01-01T00:00:00Z"), NOW, true),
        (Timestamp::parse("0000-01-01T00:00:00Z"), Timestamp::parse("0000-01-01T00:00:00Z").unwrap(), false),
    ] {
        for id in ["x", "a\\\"b\",\"time\":\"2000-01-01T00:00:00.000000Z\"", "é\n"] {
            let event = Event { time, ..Event::new("a").id(id) };
            let mut line = line_of(&event);
            let read = Event::from_line(&line).unwrap();
            assert_eq!((read.effective_time(), read.time_ahead), (effective, is_ahead), "{time:?}");
            assert_eq!(read.event.time, time.or(Some(NOW)), "what was sent is kept");
            assert_eq!(effective_time(&line), Some(effective), "{id}");
            let shown = String::from_utf8_lossy(&line).into_owned();
            assert_eq!(shown.ends_with(r#","time_ahead":true}"#), is_ahead, "{shown}");
            // The trail's own lines, lines that it would not write, and none at all.
            let rest = parse_front(&line).unwrap().rest_offset;
            line.splice(rest..rest, *b"\"system\":true,");
            assert_eq!(effective_time(&line), Some(effective));
            let other = shown.replacen("\"id\":", "\"own\":1,\"id\":", 1);
            assert_eq!(effective_time(other.as_bytes()), Some(effective), "{other}");
            assert_eq!(effective_time(&line[..rest + 20]), None);
        }
    }
}

#[test]
fn only_the_trail_says_that_a_time_is_ahead() {
    let read = survive(r#"{"action":"a","time_ahead":true}"#);
    assert!(!read.time_ahead);
    assert_eq!(read.event.invalid, ["time_ahead"]);
    assert_eq!(read.event.details.to_string(), r#"{"_invalid":{"time_ahead":true}}"#);
}
