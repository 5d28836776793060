use crate::complete::complete;
use crate::line::{write_front, write_rest};
use crate::{Category, Event, Outcome, Resource, Severity, Timestamp};
use proptest::prelude::*;

use super::*;

fn check(line: &[u8]) {
    let wanted = Event::from_line(line).ok().map(Fields::of_recorded).map(Fields::searchable);
    assert_eq!(Fields::of_line(line), wanted, "{}", String::from_utf8_lossy(line));
}

fn line_of(event: &Event) -> Vec<u8> {
    let now = Timestamp::from_micros(1_795_000_000_000_000);
    let mut bytes = Vec::new();
    write_front(7, &now.to_text(), &mut bytes);
    write_rest(event, &complete(event, now), &mut bytes).unwrap();
    bytes
}

const FRONT: &str = r#"{"v":1,"index":7,"recorded":"2026-01-02T03:04:05.000006Z","#;

#[test]
fn a_line_as_written_is_walked() {
    let event = Event::new("user.login").id("i").actor("u").resource("t", "r").detail("k", 1.5).ip("::1");
    let line = line_of(&event);
    assert_eq!(walk::fields(&line), Event::from_line(&line).ok().map(Fields::of_recorded));
}

#[test]
fn whatever_the_trail_never_writes_reads_the_same() {
    for rest in [
        r#""action":"a"}"#,
        r#""system":true,"action":"a"}"#,
        r#""action":"a","system":true}"#,
        r#""action":""}"#,
        r#"}"#,
        r#""action":"a","action":"b"}"#,
        r#""action":"a","tenant":"x","tenant":5}"#,
        r#""action":"a","tenant":null}"#,
        r#""action":"a","tenant":1e999}"#,
        r#""action":"a","id":""}"#,
        r#""action":"a","outcome":"so-so"}"#,
        r#""action":"a","outcome":""}"#,
        r#""action":"a","outcome":null}"#,
        r#""action":"a","outcome":5}"#,
        r#""action":"a","outcome":"DENIED","severity":"warn","category":"custom:"}"#,
        r#""action":"a","time":"yesterday"}"#,
        r#""action":"a","time":"2026-01-02 03:04:05+01:00"}"#,
        r#""action":"a","actor":{"id":"x","id":"y"}}"#,
        r#""action":"a","actor":{"\u0069d":"x"}}"#,
        r#""action":"a","act\u006fr":{"id":"x"}}"#,
        r#""action":"a","actor":{}}"#,
        r#""action":"a","actor":[],"context":{"ip":null,"trace_id":7}}"#,
        r#""action":"a","related":[]}"#,
        r#""action":"a","related":[{"type":"t"},{}, 5]}"#,
        r#""action":"a","related":[{"type":"t"},5,{"type":"u","id":"\ud800"}]}"#,
        r#""action":"a","details":{"x":[1,-0.5e+7,true,false,null,{"y":[]},{}]}}"#,
        r#""action":"a","details":{"x":01}}"#,
        r#""action":"a","details":{"x":1.}}"#,
        r#""action":"a","details":{"x":nul}}"#,
        r#""action":"a","details":{"x":[}]}"#,
        r#""action":"a","details":{"x":"\x"}}"#,
        r#""action":"a","details":{,}}"#,
        r#""action":"a"} "#,
        r#""action":"a"}}"#,
        r#""action":"a""#,
        "\"action\":\"a\nb\"}",
        "\"action\":\"a\u{1}\"}",
    ] {
        check(format!("{FRONT}{rest}").as_bytes());
    }
    let deep = |levels: usize| {
        format!(
            "{FRONT}\"action\":\"a\",\"details\":{{\"x\":{}{}}}}}",
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    for levels in [98, 99, 100, 101, 117, 118, 119, 130] {
        check(deep(levels).as_bytes());
    }
    check(b"");
    check(b"{}");
    check(&[FRONT.as_bytes(), b"\"action\":\"\xff\"}"].concat());
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9.]{0,9}", "\\PC{0,4}", "[\\x00-\\x7f]{0,5}", "[a\"\\\\é/]{0,12}"]
}

prop_compose! {
    fn any_event()(
        texts in proptest::array::uniform12(proptest::option::of(text())),
        action in "\\PC{1,5}", custom in text(), detail in text(), related in proptest::collection::vec(
            (proptest::option::of(text()), proptest::option::of(text()), proptest::option::of(text())), 0..4),
        severity in 0..6_usize, outcome in 0..6_usize, category in 0..12_usize, time in proptest::option::of(0..4_000_000_000_000_000_i64),
    ) -> Event {
        let [id, tenant, actor, name, other, ip, request, correlation, session, trace, kind, resource] = texts;
        let mut event = Event::new(action).severity(Severity::ALL[severity])
            .category(Category::NAMED.get(category).cloned().unwrap_or(Category::Custom(custom.into())))
            .detail("k", detail);
        event.outcome = Outcome::ALL.get(outcome).copied();
        (event.id, event.tenant, event.time) = (id, tenant, time.map(Timestamp::from_micros));
        if actor.is_some() || name.is_some() {
            event.actor = Some(Default::default());
        }
        if let Some(it) = &mut event.actor {
            (it.id, it.name) = (actor, name);
        }
        if let Some(other) = other {
            event = event.on_behalf_of(other, "why");
        }
        event.context.ip = ip;
        (event.context.request_id, event.context.correlation_id) = (request, correlation);
        (event.context.session_id, event.context.trace_id) = (session, trace);
        event.resource = kind.is_some().then(|| Resource { kind, id: resource, ..Resource::default() });
        event.related = related.into_iter().map(|(kind, id, name)| Resource { kind, id, name, ..Resource::default() })
            .collect();
        event
    }
}

proptest! {
    #[test]
    fn fields_are_those_of_the_event(event in any_event()) {
        check(&line_of(&event));
    }

    #[test]
    fn a_damaged_line_reads_the_same(event in any_event(), at: prop::sample::Index, byte: u8, cut: bool) {
        let mut line = line_of(&event);
        let at = at.index(line.len());
        line[at] = byte;
        if cut {
            line.truncate(at);
        }
        check(&line);
    }
}
