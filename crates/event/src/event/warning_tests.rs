use proptest::prelude::*;

use super::super::{BadLine, Event, Value};
use super::*;

fn read(json: &str) -> (Event, Warnings) {
    Event::from_json_told(json.as_bytes(), false).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// The fields that are told of an event with this member, and whether a strict reader refuses it.
fn check(member: &str, fields: &[&str], refused: bool) {
    let json = format!(r#"{{"action":"a",{member}}}"#);
    let (event, warnings) = read(&json);
    let told: Vec<&str> = warnings.told.iter().map(|warning| warning.field.as_str()).collect();
    assert_eq!(told, fields, "{member}");
    match Event::from_json_told(json.as_bytes(), true) {
        Ok((strict, same)) => {
            assert!(!refused, "taken: {member}");
            assert_eq!((strict, same), (event, warnings), "{member}");
        }
        Err(BadLine::NotStrict(warning)) => {
            assert!(refused, "{warning}: {member}");
            assert!(!warning.to_string().contains("kept"), "nothing of a refused event is: {warning}");
            assert!(fields.is_empty() || fields.contains(&warning.field.as_str()), "{warning}");
        }
        Err(error) => panic!("{error}: {member}"),
    }
}

#[test]
fn an_ordinary_event_is_told_nothing_of() {
    for member in [
        r#""actor":"u1""#,
        r#""actor":"""#,
        r#""resource":"invoice/42""#,
        r#""resource":"""#,
        r#""outcome":"","severity":"WARN","time":"2026-11-21 04:00:00+01:00","category":"custom:x""#,
        r#""actor":{"id":"","roles":[]},"context":{"ip":"not an ip"},"details":{"ip":1,"k":{"Actor":[]}}"#,
        r#""before":{"ip":1},"after":7,"changes":[],"approval":"x","duration_ms":1.5,"tenant":null"#,
    ] {
        check(member, &[], false);
    }
}

#[test]
fn what_has_an_obvious_meaning_is_taken() {
    let (event, _) = read(r#"{"action":"a","actor":"u1","resource":"file/etc/passwd"}"#);
    assert_eq!(event.actor.unwrap().id.as_deref(), Some("u1"));
    let resource = event.resource.unwrap();
    assert_eq!((resource.kind.as_deref(), resource.id.as_deref()), (Some("file"), Some("etc/passwd")));
    assert!(event.invalid.is_empty() && event.details.is_empty());
    let (event, _) = read(r#"{"action":"a","actor":"","resource":""}"#);
    assert_eq!((event.actor, event.resource, event.invalid.len()), (None, None, 0));
    for text in ["invoice", "/42", "invoice/", "/"] {
        let (event, _) = read(&format!(r#"{{"action":"a","resource":"{text}"}}"#));
        assert_eq!((event.resource, event.invalid), (None, vec!["resource".to_owned()]), "{text}");
        check(&format!(r#""resource":"{text}""#), &["resource"], false);
    }
}

#[test]
fn a_name_in_the_wrong_place_is_told_and_refused_by_strict_readers() {
    for (member, target) in [
        (r#""ip":"203.0.113.7""#, "context.ip"),
        (r#""clientIp":1"#, "context.ip"),
        (r#""user-agent":"x""#, "context.user_agent"),
        (r#""context.ip":"x""#, "context.ip"),
        (r#""actor_id":"x""#, "actor.id"),
        (r#""userId":"x""#, "actor.id"),
        (r#""email":"x""#, "actor.email"),
        (r#""resource_type":"x""#, "resource.type"),
        (r#""timestamp":"x""#, "time"),
        (r#""@timestamp":"x""#, "time"),
        (r#""Actor":{}"#, "actor"),
        (r#""onBehalfOf":{}"#, "on_behalf_of"),
        (r#""durationMs":1"#, "duration_ms"),
        (r#""detail":{}"#, "details"),
        (r#""resourse":{}"#, "resource"),
        (r#""dsecription":"x""#, "description"),
        (r#""level":"warn""#, "severity"),
        (r#""tenant_id":"x""#, "tenant"),
        (r#""actor":{"userName":"x"}"#, "actor.name"),
        (r#""actor":{"role":"x"}"#, "actor.roles"),
        (r#""actor":{"ip":"x"}"#, "context.ip"),
        (r#""resource":{"kind":"x"}"#, "resource.type"),
        (r#""related":[{"Type":"x"}]"#, "resource.type"),
        (r#""context":{"userAgent":"x"}"#, "context.user_agent"),
        (r#""context":{"tenant":"x"}"#, "tenant"),
        (r#""on_behalf_of":{"user_id":"x"}"#, "on_behalf_of.id"),
        (r#""on_behalf_of":{"ip":"x"}"#, "context.ip"),
        (r#""context":{"outcome":"denied"}"#, "outcome"),
        (r#""context":{"Severity":"error"}"#, "severity"),
        (r#""context":{"description":"x"}"#, "description"),
        (r#""context":{"email":"x"}"#, "actor.email"),
        (r#""actor":{"outcome":"denied"}"#, "outcome"),
        (r#""actor":{"resource":{"type":"a","id":"b"}}"#, "resource"),
        (r#""actor":{"context":{"ip":"x"}}"#, "context"),
        (r#""on_behalf_of":{"severity":"error"}"#, "severity"),
        (r#""resource":{"before":{}}"#, "before"),
        (r#""resource":{"duration-ms":1}"#, "duration_ms"),
        (r#""acotr":"x""#, "actor"),
        (r#""tennant":"x""#, "tenant"),
        (r#""eror":"x""#, "error"),
        (r#""befor":{}"#, "before"),
        (r#""actor":{"emial":"x"}"#, "actor.email"),
        (r#""on_behalf_of":{"reson":"x"}"#, "on_behalf_of.reason"),
    ] {
        let (event, warnings) = read(&format!(r#"{{"action":"a",{member}}}"#));
        assert_eq!(warnings.count(), 1, "{member}");
        assert_eq!(warnings.told[0].hint, format!("send it as {target}"), "{member}");
        assert!(event.invalid.is_empty(), "it is kept where it was sent: {member}");
        let field = warnings.told[0].field.clone();
        check(member, &[&field], true);
    }
    check(r#""actor":{"role":"x"}"#, &["actor.role"], true);
    check(r#""related":[{},{"ID":"x"}]"#, &["related.1.ID"], true);
}

#[test]
fn a_name_of_ones_own_is_refused_by_strict_readers_alone() {
    for member in [
        r#""order_ref":1"#,
        r#""content":"x""#,
        r#""charges":[]"#,
        r#""metadata":{}"#,
        r#""event_type":"x""#,
        r#""x-trace":"x""#,
        r#""größe":1"#,
        r#""a name that is longer than any known one":1"#,
        r#""actor":{"department":"x"}"#,
        r#""resource":{"version":1}"#,
        r#""context":{"region":"x"}"#,
        r#""resource":{"category":"x","description":"x","severity":"x","context":"x","host":"x"}"#,
        r#""actor":{"category":"x","description":"x","details":{},"rules":[]}"#,
        r#""on_behalf_of":{"name":"x","email":"x"}"#,
        r#""context":{"id":"x"}"#,
        r#""factor":2"#,
        r#""auction":"x""#,
        r#""season":"x""#,
        r#""alter":{}"#,
        r#""cost":1"#,
    ] {
        check(member, &[], true);
    }
}

#[test]
fn wrong_types_and_reserved_names_are_told_and_refused_by_strict_readers() {
    for (member, field) in [
        (r#""description":5"#, "description"),
        (r#""time":1763697600"#, "time"),
        (r#""actor":7"#, "actor"),
        (r#""actor":{"id":7}"#, "actor.id"),
        (r#""actor":{"roles":"admin"}"#, "actor.roles"),
        (r#""actor":{"roles":["a",{}]}"#, "actor.roles.1"),
        (r#""on_behalf_of":"u2""#, "on_behalf_of"),
        (r#""resource":[]"#, "resource"),
        (r#""related":["a/b"]"#, "related.0"),
        (r#""related":{}"#, "related"),
        (r#""details":"x""#, "details"),
        (r#""context":{"ip":[]}"#, "context.ip"),
        (r#""duration_ms":"12""#, "duration_ms"),
        (r#""severity":3"#, "severity"),
        (r#""index":7"#, "index"),
        (r#""recorded":null"#, "recorded"),
    ] {
        check(member, &[field], true);
    }
    let (_, warnings) = read(r#"{"action":"a","description":5,"actor":{"roles":"admin"}}"#);
    assert_eq!(
        warnings.told[0].to_string(),
        "`description` is a number: send a text; what was sent is kept under details._invalid"
    );
    assert!(warnings.told[1].hint.starts_with("send a list of texts;"), "{}", warnings.told[1]);
}

#[test]
fn a_value_is_told_and_never_refused() {
    for (member, field) in [
        (r#""time":"yesterday""#, "time"),
        (r#""id":"""#, "id"),
        (r#""category":"cats""#, "category"),
        (r#""severity":"loud""#, "severity"),
        (r#""outcome":"ok""#, "outcome"),
        (r#""outcome":"none""#, "outcome"),
        (r#""duration_ms":1e999"#, "duration_ms"),
        (r#""description":1e999"#, "description"),
        (r#""actor":"\ud800""#, "actor"),
        (r#""details":{"_invalid":1}"#, "details._invalid"),
        (r#""details":{"n":1e999}"#, "details.n"),
        (r#""details":{"k":1,"k":2}"#, "details.k"),
        (r#""severity":"info","severity":"debug""#, "severity"),
    ] {
        check(member, &[field], false);
    }
    let deep = format!(r#""details":{{"d":{}{}}}"#, "[".repeat(70), "]".repeat(70));
    let (_, warnings) = read(&format!(r#"{{"action":"a",{deep}}}"#));
    assert_eq!(warnings.told[0].problem, "nested too deep");
}

#[test]
fn three_are_told_and_the_others_counted_with_what_the_author_wrote_first() {
    let odd: Vec<String> = (0..10).map(|n| format!(r#""k{n}":1e999"#)).collect();
    let json = format!(r#"{{"action":"a","details":{{{}}},"ip":"x","time":"now"}}"#, odd.join(","));
    let (event, warnings) = read(&json);
    let told: Vec<&str> = warnings.told.iter().map(|warning| warning.field.as_str()).collect();
    assert_eq!((told, warnings.more), (vec!["ip", "time", "details.k0"], 9));
    assert_eq!(warnings.count(), 12);
    assert_eq!(event.invalid.len(), 11, "all but the name that is kept where it was sent");
}

#[test]
fn no_value_and_no_secret_is_told() {
    let (_, mut warnings) =
        read(r#"{"action":"a","time":"s3cr3t","description":["s3cr3t"],"details":{"s3cr3t":1e999}}"#);
    assert!(warnings.told[..2].iter().all(|warning| !warning.to_string().contains("s3cr3t")));
    warnings.mask(|field| field.contains("s3cr3t"));
    let fields: Vec<&str> = warnings.told.iter().map(|warning| warning.field.as_str()).collect();
    assert_eq!(fields, ["time", "description", "details.***"]);
    let long = "k".repeat(100_000);
    let (_, mut warnings) = read(&format!(r#"{{"action":"a","details":{{"{long}":1e999}}}}"#));
    assert!(warnings.told[0].field.len() < 300);
    warnings.mask(|_| false);
    assert_eq!(warnings.told[0].field, "details.***", "half of it could be half of a secret");
    let error =
        Event::from_json_told(format!(r#"{{"action":"a","{long}":1}}"#).as_bytes(), true).unwrap_err();
    assert!(error.to_string().len() < 400);
}

#[test]
fn a_missing_action_comes_before_strictness() {
    let error = Event::from_json_told(br#"{"ip":1}"#, true).unwrap_err();
    assert!(matches!(error, BadLine::NoAction(_)), "{error}");
}

/// Text as JSON, with whatever a client might put there.
fn outside_text() -> impl Strategy<Value = String> {
    let plain = prop_oneof![".{0,40}", "[\\x00-\\x7f]{0,40}", Just("x".repeat(70_000)), Just(String::new())];
    prop_oneof![
        8 => plain.prop_map(|text| Value::from(text).to_string()),
        1 => Just(r#""\ud800""#.to_owned()),
        1 => Just(r#""\u0000\n\u2028""#.to_owned()),
    ]
}

/// Any JSON: what a client sends may stand in `details` and the states.
fn outside_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        outside_text(),
        prop::sample::select(vec!["null", "true", "1e999", "-0", "18446744073709551616", "1.50"])
            .prop_map(str::to_owned),
        Just(format!("{}{}", "[".repeat(80), "]".repeat(80))),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        let key = prop_oneof![outside_text(), Just("\"_invalid\"".to_owned()), Just("\"ip\"".to_owned())];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|all| format!("[{}]", all.join(","))),
            proptest::collection::vec((key, inner), 0..4).prop_map(|all| {
                let members: Vec<String> =
                    all.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    /// *no self-suppression*: whatever comes from outside, an event that its author wrote rightly is taken.
    #[test]
    fn no_value_from_outside_refuses_an_event(
        texts in proptest::array::uniform24(outside_text()),
        free in proptest::array::uniform4(outside_json()),
        duration in prop::sample::select(vec!["1", "1e999", "-0", "1e-999", "123456789012345678901234567890"]),
    ) {
        let [id, time, tenant, category, description, severity, outcome, error, ..] = &texts;
        let [.., actor, kind, name, email, role, behalf, reason, resource, related] = &texts;
        let [ip, agent, request, correlation, session, trace, host] = [9, 10, 11, 12, 13, 14, 15].map(|at| &texts[at]);
        let [before, after, detail, approval] = &free;
        let json = format!(
            r#"{{"action":"a","id":{id},"time":{time},"tenant":{tenant},"category":{category},"description":{description},"severity":{severity},"outcome":{outcome},"error":{error},"actor":{{"id":{actor},"type":{kind},"name":{name},"email":{email},"roles":[{role}]}},"on_behalf_of":{{"id":{behalf},"reason":{reason}}},"resource":{resource},"related":[{{"type":{related},"id":{related},"name":{related}}}],"before":{before},"after":{after},"details":{{"k":{detail}}},"context":{{"ip":{ip},"user_agent":{agent},"request_id":{request},"correlation_id":{correlation},"session_id":{session},"trace_id":{trace},"host":{host}}},"duration_ms":{duration},"approval":{approval}}}"#
        );
        let strict = Event::from_json_told(json.as_bytes(), true);
        prop_assert!(strict.is_ok(), "{}: {json}", strict.unwrap_err());
        let lax = Event::from_json_told(json.as_bytes(), false);
        prop_assert_eq!(strict, lax);
        let short = format!(r#"{{"action":"a","actor":{actor},"resource":{resource}}}"#);
        prop_assert!(Event::from_json_told(short.as_bytes(), true).is_ok());
    }

    /// Names are read by anybody's program, too: whatever they are, reading comes to an end and keeps them.
    #[test]
    fn any_name_is_kept(name in ".{0,60}", value in outside_text()) {
        let name = Value::from(name).to_string();
        let json = format!(r#"{{"action":"a",{name}:{value},"actor":{{{name}:{value}}},"context":{{{name}:{value}}}}}"#);
        prop_assert!(Event::from_json_told(json.as_bytes(), false).is_ok() || name == r#""action""#);
    }
}
