use super::*;
use crate::complete::{Stamp, complete};
use crate::event::Event;
use crate::event::names::{ACTOR_FIELDS, CONTEXT_FIELDS, FIELDS, ON_BEHALF_OF_FIELDS, RESOURCE_FIELDS};
use crate::line::write_rest;

const NOW: Timestamp = Timestamp::from_micros(1_795_233_600_123_456);

fn masks_password(key: &str, _: Option<&[u8]>) -> bool {
    key == "password"
}

/// Whether the text takes the fast way. If it does, that gives what the slow way gives.
fn check(text: &[u8]) -> bool {
    let mut rest = b"before".to_vec();
    let Some(fast) = rewrite(text, NOW, masks_password, &mut rest) else {
        assert_eq!(rest, b"before", "nothing is appended by the fast way's no");
        return false;
    };
    let shown = text.escape_ascii();
    let (event, warnings) =
        Event::from_json_told(text, false).unwrap_or_else(|error| panic!("{error}: {shown}"));
    assert!(warnings.is_empty(), "{warnings:?}: {shown}");
    let is_refused = Event::from_json_told(text, true).is_err();
    assert_eq!(fast.has_own_names, is_refused, "what a strict reader minds: {shown}");
    let stamp = Stamp { id: fast.id.clone(), ..complete(&event, NOW) };
    let mut slow = b"before".to_vec();
    write_rest(&event, &stamp, &mut slow).unwrap();
    assert_eq!(rest.escape_ascii().to_string(), slow.escape_ascii().to_string(), "{shown}");

    let actor = event.actor.as_ref().and_then(|actor| actor.id.as_deref());
    assert_eq!(fast.is_id_given.then_some(fast.id.as_str()), event.id.as_deref(), "{shown}");
    assert_eq!((&*fast.category, &*fast.action), (&*event.category.name(), &*event.action), "{shown}");
    assert_eq!((fast.severity, fast.outcome), (event.severity, event.outcome), "{shown}");
    assert_eq!((fast.tenant.as_deref(), fast.actor_id.as_deref()), (event.tenant.as_deref(), actor));
    assert_eq!(fast.correlation_id.as_deref(), event.context.correlation_id.as_deref(), "{shown}");
    check_trail_fields(&fast, &event, stamp, &rest[6..]);
    true
}

/// The trail's fields go where the slow way writes them.
fn check_trail_fields(fast: &Rewritten<'_>, event: &Event, stamp: Stamp, rest: &[u8]) {
    let stamp = Stamp { recorded_by: Some("t".into()), sample_rate: Some(0.5), ..stamp };
    let mut slow = Vec::new();
    write_rest(event, &stamp, &mut slow).unwrap();
    let is_ahead = event.time.is_some_and(|time| time > NOW);
    assert_eq!(rest.windows(13).any(|part| part == b",\"time_ahead\""), is_ahead);
    if slow.len() < REST_BYTES_MAX && rest.len() + 40 < REST_BYTES_MAX {
        let (front, back) = rest.split_at(fast.trail_fields_at);
        let with = [front, br#","recorded_by":"t","sample_rate":0.5"#, back].concat();
        assert_eq!(with.escape_ascii().to_string(), slow.escape_ascii().to_string());
    }
}

fn check_fast(text: &str) {
    assert!(check(text.as_bytes()), "not taken the fast way: {text}");
}

fn check_slow(text: &str) {
    assert!(!check(text.as_bytes()), "taken the fast way: {text}");
}

/// Like what an application records when a role is changed.
const ROLE_CHANGE: &str = r#"{"tenant":"acme","category":"config_change","action":"user.role.change",
"description":"Role changed by an administrator","severity":"notice","outcome":"success",
"actor":{"id":"u-10432","type":"user","name":"Ada Example","roles":["admin"]},
"resource":{"type":"user","id":"u-20117","name":"Bob Example"},
"before":{"role":"user","limit":100},"after":{"role":"admin","limit":100},
"details":{"reason":"on call","ticket":"OPS-4711","approved":true,"attempt":1},
"context":{"ip":"203.0.113.7","user_agent":"Mozilla/5.0 (X11; Linux x86_64)",
"request_id":"req-7f3a9c","correlation_id":"c-550e8400e29b","service":"billing"},"duration_ms":12}"#;

/// Every field, each in the other order than the line's.
const BACKWARDS: &str = r#" { "own": null, "approval": [1], "duration_ms": 12.50, "context": {"x":1,"host":"11",
"version":"10","service":"9","component":"8","span_id":"7","trace_id":"6","session_id":"5","correlation_id":"4",
"request_id":"3","user_agent":"2","ip":"1"}, "details": {"d":[1.50, -0, {}, [ ]]}, "after": {"a":2}, "before":
{"a":1}, "related": [{"id":"i","type":"t"}, {}, {"z":[{}],"name":"n"}], "resource":{"x":1,"name":"n","id":"i",
"type":"t"}, "on_behalf_of":{"x":1,"reason":"w","id":"o"}, "actor":{"x":1,"roles":["r", "s"],"email":"m","name":
"n","type":"user","id":"u\\1"}, "error":"e", "outcome":"DENIED", "severity":"Warn", "description":"d\u00e9\/\"",
"action":"a\n", "category":"custom:x", "tenant":"t", "time":"2026-11-21 04:00:00+01:00", "id":"1\u0022" } "#;

#[test]
fn ordinary_events_take_the_fast_way() {
    check_fast(ROLE_CHANGE);
    check_fast(BACKWARDS);
    check_fast(r#"{"action":"a"}"#);
    check_fast(r#"{"action":"a","tenant":null,"actor":{"id":null,"roles":null},"context":{"ip":null}}"#);
    check_fast(r#"{"action":"a","actor":{},"resource":{ },"related":[ ],"details":{},"context":{ }}"#);
    check_fast(r#"{"action":"a","time":"2026-11-21T03:00:60.000000Z"}"#);
    // Ahead of the trail's clock, and just not.
    for time in ["2099-01-01T00:00:00Z", "2026-11-21T04:00:00.123457Z", "2026-11-21T05:00:00.123456+01:00"] {
        check_fast(&format!(r#"{{"own":1,"action":"a","time":"{time}","duration_ms":1}}"#));
    }
    check_fast(r#"{"action":"a","actor":"u1","resource":"invoice/42","order_ref":7}"#);
    check_fast(r#"{"resource":"file\/etc/\u002f\n/","action":"a","actor":"\"é\u2028\\","tenant":"t"}"#);
    check_fast(r#"{"action":"a","resource":"a/b"}"#);
    check_fast(r#"{"action":"a","outcome":null}"#);
    check_fast(r#"{"action":"a","details":{"n":[0,-1,18446744073709551615,1234567890123456,1e5,0.1]}}"#);
    check_fast(
        "{\"action\":\"a\",\"details\":{\"k\":\"1234567890123\u{2028}\u{2014} \u{e9}\\ud83d\\ude00\\u001F\"}}",
    );
    check_fast(&format!(r#"{{"action":"a","details":{{"d":{}1{}}}}}"#, "[".repeat(62), "]".repeat(62)));
    for length in 0..70 {
        let text = "x".repeat(length);
        check_fast(&format!(r#"{{"action":"a{text}","details":{{"k{text}":"{text}","l":"{text}é"}}}}"#));
    }
}

#[test]
fn real_records_take_the_fast_way() {
    for name in ["aws-cloudtrail", "github-audit", "kubernetes-audit"] {
        let path = format!("{}/../import/sample/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
        for record in std::fs::read_to_string(path).unwrap().lines() {
            check_fast(&format!(r#"{{"action":"record","details":{{"record":{record}}}}}"#));
        }
    }
}

#[test]
fn what_is_out_of_the_ordinary_does_not() {
    for text in [
        "",
        "{}",
        "[]",
        "{\"action\":\"a\"}x",
        "{\"action\":\"a\",}",
        "{\"action\":\"\"}",
        "{\"action\":\"\t\"}",
        "\u{feff}{\"action\":\"a\"}",
    ] {
        check_slow(text);
    }
    for member in [
        r#""action":"b""#,
        r#""acti\u006fn":"b""#,
        r#""index":7"#,
        r#""system":null"#,
        r#""id":"""#,
        r#""severity":"loud""#,
        r#""outcome":"ok""#,
        r#""category":"custom:""#,
        r#""time":"now""#,
        r#""actor":"""#,
        r#""actor":5"#,
        r#""resource":"invoice""#,
        r#""resource":"/7""#,
        r#""resource":"invoice/""#,
        r#""ip":"203.0.113.7""#,
        r#""actor":{"userId":"u"}"#,
        r#""context":{"userAgent":"u"}"#,
        r#""actor":{"id":1}"#,
        r#""actor":{"roles":[1]}"#,
        r#""related":[1]"#,
        r#""details":[1]"#,
        r#""details":{"_invalid":1}"#,
        r#""details":{"k":1,"k":2}"#,
        r#""details":{"a key of some length":1,"a key of some length":2}"#,
        r#""details":{"k":[{"password":"x"}]}"#,
        r#""own":1,"own":2"#,
        r#""password":"x""#,
        r#""details":{"k":"\ud800"}"#,
        r#""details":{"k":1e999}"#,
        r#""details":{"k":18446744073709551616}"#,
        r#""details":{"k":01}"#,
        r#""details":{"k":[1}}"#,
        r#""duration_ms":"1""#,
        r#""before":{"k":[{"a":1,"b":2}]},"after":{"k":[{"b":2,"a":1}]}"#,
    ] {
        check_slow(&format!(r#"{{"action":"a",{member}}}"#));
    }
    check_slow(&format!(r#"{{"action":"a","details":{{"d":{}1{}}}}}"#, "[".repeat(63), "]".repeat(63)));
    check_slow(&format!(r#"{{"action":"{}"}}"#, "a".repeat(1_025)));
    check_slow(&format!(r#"{{"action":"a","details":{{"k":"{}"}}}}"#, "a".repeat(REST_BYTES_MAX)));
}

#[test]
fn changes_are_told_from_text() {
    for states in [
        r#""before":{"a":{"b":{"c":1,"d":2}}},"after":{"a":{"b":{"c":1,"d":3}}}"#,
        r#""before":{"a":{"b":1},"c":2},"after":{"d":{"e":{}},"c":2}"#,
        r#""before":{"a":1,"b":{"x":1,"y":2}},"after":{"b":{"y":2,"x":1},"a":1}"#,
        r#""before":{"a.b":1,"a":{"b":1}},"after":{"a.b":2,"a":{"b":2}}"#,
        r#""before":{"":{"":1}},"after":{}"#,
        r#""before":{"t":[1]},"after":{"t":[1, 2]}"#,
        r#""before":{"t":[{"a":1}]},"after":{"t":[{"a":1},{}]}"#,
        r#""before":{"t":{"a":[{"x":1}],"b":1}},"after":{"t":{"a":[{"x":1}],"b":2}}"#,
        r#""before":{"t":1},"after":null"#,
        r#""before":{"t":1},"after":{"t":2},"changes":null"#,
        r#""before":{"t":1},"after":{"t":2},"changes":7"#,
        r#""before":[{"t":1}],"after":{"t":2}"#,
    ] {
        check_fast(&format!(r#"{{"action":"a",{states}}}"#));
    }
    let many = |prefix: &str, count: usize| {
        let members: Vec<String> = (0..count).map(|n| format!(r#""{prefix}{n}":{n}"#)).collect();
        format!("{{{}}}", members.join(","))
    };
    check_fast(&format!(r#"{{"action":"a","before":{},"after":{}}}"#, many("a", 60), many("b", 60)));
    check_slow(&format!(r#"{{"action":"a","before":{},"after":{}}}"#, many("a", 500), many("b", 500)));
}

#[test]
fn worst_texts_fit_the_buffer() {
    let text = "\u{2028}".repeat(20_000);
    let mut rest = Vec::new();
    let json = format!(r#"{{"action":"a","context":{{"x":"{text}","ip":"1"}}}}"#);
    assert!(rewrite(json.as_bytes(), NOW, masks_password, &mut rest).is_none(), "over the line's limit");
    let text = "\u{2028}".repeat(10_000);
    check_fast(&format!(r#"{{"action":"a","context":{{"x":"{text}","ip":"1"}}}}"#));
}

#[test]
fn asking_again_from_within_takes_the_slow_way() {
    let inner = |_: &str, _: Option<&[u8]>| {
        rewrite(br#"{"action":"a"}"#, NOW, |_, _| false, &mut Vec::new()).is_some()
    };
    assert!(rewrite(br#"{"action":"a","own":1}"#, NOW, inner, &mut Vec::new()).is_some());
}

/// Makes JSON of events from random bytes, mostly right, and in all the ways of writing it.
struct Maker<'a> {
    bytes: std::slice::Iter<'a, u8>,
    out: String,
}

impl Maker<'_> {
    fn event(bytes: &[u8]) -> String {
        let mut maker = Maker { bytes: bytes.iter(), out: String::new() };
        let mut names: Vec<&str> = FIELDS.to_vec();
        names.extend(["own", "x-trace", "a name of its own"]);
        if maker.pick(8) == 1 {
            names.extend(["v", "password", "extra\\u0031", "ip", "userId", "Actor"]);
        }
        let kept = 1 + maker.pick(12);
        let mut chosen = vec!["action"];
        for _ in 0..kept {
            let name = names[maker.pick(names.len() as u8)];
            if !chosen.contains(&name) || maker.pick(60) == 7 {
                chosen.insert(maker.pick(chosen.len() as u8 + 1), name);
            }
        }
        maker.members(&chosen, |maker, name| maker.field(name));
        maker.out
    }

    fn next(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or(0)
    }

    fn pick(&mut self, count: u8) -> usize {
        usize::from(self.next() % count.max(1))
    }

    fn space(&mut self) {
        let space = ["", "", "", "", " ", "\n  ", "\t\r"][self.pick(7)];
        self.out.push_str(space);
    }

    fn members(&mut self, names: &[&str], mut value: impl FnMut(&mut Self, &str)) {
        self.out.push('{');
        for (place, name) in names.iter().enumerate() {
            if place > 0 {
                self.out.push(',');
            }
            self.space();
            self.out.push_str(&format!("\"{name}\""));
            self.space();
            self.out.push(':');
            self.space();
            value(self, name);
            self.space();
        }
        self.out.push('}');
    }

    fn some_of(&mut self, names: &[&'static str]) -> Vec<&'static str> {
        let mut chosen: Vec<&str> = names.iter().filter(|_| self.next() > 90).copied().collect();
        if self.pick(3) == 1 {
            chosen.reverse();
        }
        if self.pick(4) == 1 {
            chosen.insert(
                self.pick(chosen.len() as u8 + 1),
                ["more", "z.z", "longer than names are", "userId"][self.pick(4)],
            );
        }
        chosen
    }

    fn field(&mut self, name: &str) {
        match (self.pick(80), name) {
            (0, _) => self.value(0),
            (1, _) => self.out.push_str("null"),
            (_, "time") => {
                let times = [
                    "2026-11-21T04:00:00.123456Z",
                    "2026-11-21t04:00:00+01:00",
                    "2024-02-29T23:59:60.000001Z",
                    "later",
                ];
                let time = times[self.pick(4)];
                self.out.push_str(&format!("\"{time}\""));
            }
            (_, "category") => {
                let names = [
                    "step",
                    "custom:x",
                    "custom:a\\u0062\\n",
                    "custom:other",
                    "custom:",
                    "data_access",
                    "st\\u0065p",
                ];
                let name = names[self.pick(7)];
                self.out.push_str(&format!("\"{name}\""));
            }
            (_, "severity") => {
                let name = ["info", "WARN", "debug", "crit", "l\\u006fud", "notice"][self.pick(6)];
                self.out.push_str(&format!("\"{name}\""));
            }
            (_, "outcome") => {
                let name = ["success", "Failure", "denied", "partial", "unknown", "ok"][self.pick(6)];
                self.out.push_str(&format!("\"{name}\""));
            }
            (70.., "actor" | "resource") => {
                let short = [
                    "u1",
                    "invoice/42",
                    "a\\/b/c",
                    "/x",
                    "x/",
                    "é/\\n\u{2028}",
                    "",
                    "\\u002f\\u0041/",
                    "a\\\\/b",
                    "a type of some length/an id of more length",
                ];
                let short = short[self.pick(10)];
                self.out.push_str(&format!("\"{short}\""));
            }
            (_, "actor") => self.part(&ACTOR_FIELDS),
            (_, "resource") => self.part(&RESOURCE_FIELDS),
            (_, "on_behalf_of") => self.part(&ON_BEHALF_OF_FIELDS),
            (_, "context") => self.part(&CONTEXT_FIELDS),
            (_, "roles") => self.list(|maker| maker.text()),
            (_, "related") => self.list(|maker| maker.part(&RESOURCE_FIELDS)),
            (_, "before" | "after" | "details") => self.object(0),
            (_, "duration_ms") => self.number(),
            (_, "changes" | "approval" | "own" | "more") => self.value(0),
            _ => self.text(),
        }
    }

    fn part(&mut self, names: &[&'static str]) {
        let chosen = self.some_of(names);
        self.members(&chosen, |maker, name| maker.field(name));
    }

    fn list(&mut self, mut element: impl FnMut(&mut Self)) {
        self.out.push('[');
        for place in 0..self.pick(4) {
            if place > 0 {
                self.out.push(',');
            }
            self.space();
            element(self);
            self.space();
        }
        self.out.push(']');
    }

    fn object(&mut self, depth: usize) {
        const KEYS: [&str; 8] =
            ["a", "b", "role", "k.l", "é", "fourteen_bytes", "fifteen_bytes__", "password"];
        let mut chosen: Vec<&str> = KEYS[..7].iter().filter(|_| self.next() > 128).copied().collect();
        match self.pick(50) {
            0 => chosen.push("a"),
            1 => chosen.push(["password", "_invalid", "b\\n"][self.pick(3)]),
            2..20 => chosen.reverse(),
            _ => {}
        }
        self.members(&chosen, |maker, _| maker.value(depth + 1));
    }

    fn value(&mut self, depth: usize) {
        match self.pick(if depth < 5 { 12 } else { 8 }) {
            0 => self.out.push_str("null"),
            1 => self.out.push_str("true"),
            2 => self.out.push_str("false"),
            3 => self.number(),
            // Often the same, so that states are alike in part.
            4 | 5 => self.out.push_str("\"same\""),
            6 | 7 => self.text(),
            8 | 9 => self.list(|maker| maker.value(depth + 1)),
            _ => self.object(depth + 1),
        }
    }

    fn number(&mut self) {
        const NUMBERS: [&str; 13] = [
            "0",
            "-0",
            "1",
            "100",
            "-17",
            "12.50",
            "1e5",
            "1E-7",
            "123456789012345",
            "1234567890123456",
            "-9223372036854775808",
            "18446744073709551615",
            "0.1",
        ];
        const ODD: [&str; 3] = ["1e999", "18446744073709551616", "01"];
        let odd = self.pick(40) == 3;
        let number = if odd { ODD[self.pick(3)] } else { NUMBERS[self.pick(13)] };
        self.out.push_str(number);
    }

    fn text(&mut self) {
        self.out.push('"');
        for _ in 0..self.pick(5) {
            let piece = [
                "a",
                "plain text of length",
                "é",
                "日本",
                "😀",
                "\u{2028}",
                "\u{2014}",
                "\\n",
                "\\\"",
                "\\\\",
                "\\/",
                "\\u0041",
                "\\u00e9",
                "\\ud83d\\ude00",
                "\\u2029",
                "\\u0000",
                "\\u001F",
                "\\u007f",
                "\\u0022",
                "\\b\\f",
                "user-12345678",
                "0123456789abcdef",
                "\u{7f}",
                "\\r\\t",
            ][self.pick(24)];
            let odd = ["\\ud800", "\\x", "\u{1}", "\\u12"];
            let piece = if self.pick(80) == 3 { odd[self.pick(4)] } else { piece };
            self.out.push_str(piece);
        }
        self.out.push('"');
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2_000))]

    #[test]
    fn never_differs_from_the_slow_way(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        check(Maker::event(&bytes).as_bytes());
    }

    #[test]
    fn nor_does_what_is_nearly_an_event(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        place: proptest::sample::Index,
        byte: u8,
        how in 0..3,
    ) {
        let mut text = Maker::event(&bytes).into_bytes();
        let place = place.index(text.len());
        match how {
            0 => text[place] = byte,
            1 => text.insert(place, byte),
            _ => _ = text.remove(place),
        }
        check(&text);
    }

    #[test]
    fn nor_do_any_bytes(bytes: Vec<u8>) {
        check(&bytes);
        check(&[br#"{"action":"a","own":"#, &*bytes, b"}"].concat());
    }
}

#[test]
fn most_made_events_take_the_fast_way() {
    use chacha20::rand_core::Rng;
    use proptest::test_runner::{RngAlgorithm, TestRng};
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let fast = (0..1_000).filter(|_| {
        let mut bytes = [0; 300];
        random.fill_bytes(&mut bytes);
        check(Maker::event(&bytes).as_bytes())
    });
    let fast = fast.count();
    assert!(fast > 300, "{fast}");
}

/// The text of an event whose parts are texts, read on the fast path if its parts end where they should.
fn rewritten_text(event: &crate::EventText<'_>) -> Option<String> {
    let (mut text, mut rest) = (Vec::new(), Vec::new());
    let ends = event.write(&mut text)?;
    rewrite_text(&text, &ends, Timestamp::from_micros(0), |_, _| false, &mut rest)?;
    String::from_utf8(rest).ok()
}

#[test]
fn parts_that_are_one_value_each_take_the_fast_path() {
    let event = crate::EventText {
        action: "a",
        id: Some("7"),
        error: Some("a \"b\""),
        actor: Some(r#"{"id":"u"}"#),
        before: Some(r#"{"n":1}"#),
        after: Some(r#"{ "n" : 2 }"#),
        details: Some(r#"{"deep":[1,{"x":"\u00e9"}]}"#),
        ..crate::EventText::default()
    };
    let slow = Event::from_json(&event.to_json()).unwrap();
    let mut expected = Vec::new();
    let stamp = crate::complete::complete(&slow, Timestamp::from_micros(0));
    crate::line::write_rest(&slow, &stamp, &mut expected).unwrap();
    assert_eq!(rewritten_text(&event).unwrap(), String::from_utf8(expected).unwrap());
}

#[test]
fn a_part_that_ends_its_field_and_begins_another_does_not() {
    for smuggled in [
        r#"{},"tenant":"other""#,
        r#"{}, "actor":"root""#,
        r#"{} ,"own":1"#,
        r#"{},"id":"x","description":"""#,
    ] {
        let event = crate::EventText { action: "a", details: Some(smuggled), ..crate::EventText::default() };
        assert_eq!(rewritten_text(&event), None, "{smuggled}");
        let event = crate::EventText { action: "a", actor: Some(smuggled), ..crate::EventText::default() };
        assert_eq!(rewritten_text(&event), None, "{smuggled}");
    }
    let own = [("own", "1")];
    let event = crate::EventText { action: "a", extra: &own, ..crate::EventText::default() };
    assert_eq!(rewritten_text(&event), None, "of those no end is known");
}
