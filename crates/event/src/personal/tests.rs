//! What is written and what is read, over many policies and events.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::complete::complete;
use crate::event::{Actor, Event, Object, OnBehalfOf, Resource, Value};
use crate::line::{self, Compared, LINE_BYTES_MAX, same_content};
use crate::mask::{MaskKey, MaskOptions, Masker};
use crate::timestamp::Timestamp;

const NOW: Timestamp = Timestamp::from_micros(1_795_233_600_123_456);
/// What no line may hold.
const SECRET: &str = "Zq7Rhubarb";

/// Keys in memory.
#[derive(Default)]
struct Held {
    keys: Mutex<HashMap<String, Arc<SubjectKey>>>,
    nonces: AtomicU64,
    keeps_none: bool,
    has_none: bool,
}

impl SubjectKeys for Held {
    fn key_of(&self, subject: &str) -> Option<Arc<SubjectKey>> {
        if self.keeps_none {
            return None;
        }
        let mut keys = self.keys.lock().unwrap();
        let slot = keys.len() as u64;
        let new = || Arc::new(SubjectKey::new(KeyName { file: 7, slot }, &[slot as u8; 32]).unwrap());
        Some(keys.entry(subject.to_owned()).or_insert_with(new).clone())
    }

    fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.nonces.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        nonce
    }
}

impl PersonalKeys for Held {
    fn key(&self, name: KeyName) -> Key {
        let keys = self.keys.lock().unwrap();
        let key = keys.values().find(|key| key.name() == name).filter(|_| !self.has_none);
        key.map_or(Key::Erased, |key| Key::Kept(key.clone()))
    }
}

fn masker() -> Masker {
    Masker::new(&MaskOptions { key: Some(MaskKey::new([7; 32])), ..MaskOptions::default() }).unwrap()
}

fn rule(fields: &[&str], subject: &str) -> PersonalRule {
    let fields = fields.iter().map(|&field| field.to_owned()).collect();
    PersonalRule { fields, subject: subject.to_owned(), searchable: true }
}

fn personal(fields: &[&str]) -> Personal {
    Personal::new(&[rule(fields, "actor.id")]).unwrap()
}

/// The line of an event as a trail writes it, and as it would be without sealing.
fn lines(personal: &Personal, keys: &Held, event: &Event) -> (String, String) {
    let masker = masker();
    let mut stamp = complete(event, NOW);
    let (masked, paths) = line::masked(&masker, event).unwrap_or_else(|| (event.clone(), Vec::new()));
    let mut front = Vec::new();
    line::write_front(7, &NOW.to_text(), &mut front);
    let mut plain = front.clone();
    stamp.masked = paths.clone();
    personal.write_unsealed(&masked, &stamp, &mut plain).unwrap();
    let mut bytes = front.clone();
    let whole = line::write_masked(&masker, event, &mut stamp, &mut bytes).unwrap();
    let whole = whole.map(|objects| (event, objects));
    let written = |stamp: &mut crate::complete::Stamp| {
        stamp.masked = paths;
        masked
    };
    personal.seal((&masker, keys), whole, written, &mut stamp, (&mut bytes, front.len())).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(bytes), text(plain))
}

fn shown(line: &str, keys: Option<&dyn PersonalKeys>) -> String {
    String::from_utf8(reveal(line.as_bytes(), keys).into_owned()).unwrap()
}

/// Checks one event whose personal values all hold the secret.
fn check(fields: &[&str], event: &Event) -> String {
    let (personal, keys) = (personal(fields), Held::default());
    let (sealed, plain) = lines(&personal, &keys, event);
    assert!(!sealed.contains(SECRET), "{fields:?}: {sealed}");
    assert!(sealed.len() <= LINE_BYTES_MAX);
    assert_eq!(shown(&sealed, Some(&keys)), plain, "{fields:?}");
    // However much of the text is looked at, the same is found.
    let named = Event { id: Some(event.id.clone().unwrap_or("7".into())), ..event.clone() };
    let hidden = |fields: &[&str]| shown(&lines(&self::personal(fields), &Held::default(), &named).0, None);
    let deep = fields.iter().filter_map(|field| field.split_once('.')).map(|(first, _)| match first {
        "actor" => "actor.none.none",
        "on_behalf_of" => "on_behalf_of.none.none",
        "before" => "before.none.none",
        "after" => "after.none.none",
        "details" => "details.none.none",
        "context" => "context.none.none",
        _ => "own.none",
    });
    let whole: Vec<&str> = fields.iter().copied().chain(deep).chain(["own.none"]).collect();
    assert_eq!(hidden(fields), hidden(&whole));
    assert!(Event::from_line(sealed.as_bytes()).is_ok());
    let by = |keys| Compared { rules: Some(&personal), keys };
    let masked = line::masked(&masker(), event).map_or_else(|| event.clone(), |(event, _)| event);
    assert!(same_content(&masked, sealed.as_bytes(), by(Some(&keys))), "{sealed}");
    // What was erased cannot be compared, so it may be the same.
    assert!(same_content(&masked, sealed.as_bytes(), by(None)), "{sealed}");
    sealed
}

fn secret() -> String {
    format!("{SECRET} \"of\" ünë\n")
}

#[test]
fn every_place_of_a_field_is_sealed() {
    let from = |json: &str| Event::from_json(json.replace('$', SECRET).as_bytes()).unwrap();
    for (field, json) in [
        ("actor.email", r#"{"action":"a","actor":{"id":"u","email":"$"}}"#),
        ("actor.email", r#"{"action":"a","actor":{"id":"u","email":["$"]}}"#),
        ("actor.email", r#"{"action":"a","actor":{"id":"u","email":{"x":"$"}},"context":{"ip":"::1"}}"#),
        ("actor.email", r#"{"action":"a","details":{"a":1},"actor":[{"email":"$"}]}"#),
        ("actor.email", r#"{"action":"a","details":{"a":1},"actor":{"email":"$","email":"$"}}"#),
        ("actor.*", r#"{"action":"a","actor":{"id":"$","roles":["$","$"],"name":"$","own":{"a":"$"}}}"#),
        ("actor", r#"{"action":"a","actor":{"id":"$","roles":["$","$"],"type":"user"}}"#),
        ("context.ip", r#"{"action":"a","context":{"ip":"$"}}"#),
        ("context", r#"{"action":"a","details":{"context":{"b":1}},"context":{"ip":"$","session_id":"$"}}"#),
        ("related.*.name", r#"{"action":"a","related":[{"name":"$","id":"1"},{"name":"$"}]}"#),
        ("related", r#"{"action":"a","related":[{"type":"x","name":"$","id":"$"}]}"#),
        ("details.*.mail", r#"{"action":"a","details":{"a":{"mail":"$"},"b":{"mail":{"work":["$"]}}}}"#),
        ("details", r#"{"action":"a","details":{"a":"$","b":["$"],"c":{"d":"$"}}}"#),
        ("details.a.mail", r#"{"action":"a","details":{"a":"{\"mail\":\"$\"}"}}"#),
        ("details.a.mail", r#"{"action":"a","details":{"a.mail":"$"}}"#),
        ("details.mail", r#"{"action":"a","details":["$"]}"#),
        ("before.mail", r#"{"action":"a","before":{"mail":"$","x":1},"after":{"mail":"$ 2","x":2}}"#),
        ("after.a.mail", r#"{"action":"a","before":{"a":{"mail":"$"}},"after":{"a":1}}"#),
        ("before", r#"{"action":"a","before":{"mail":"$"},"after":{"mail":1}}"#),
        ("changes.mail", r#"{"action":"a","changes":{"mail":{"from":"$","to":"$"}}}"#),
        ("before.mail", r#"{"action":"a","changes":{"mail":["$","$"]}}"#),
        ("own.mail", r#"{"action":"a","own":{"mail":"$","x":1}}"#),
        ("description", r#"{"action":"a","description":"{ $ [\"a\":{"}"#),
        ("approval.by", r#"{"action":"a","approval":{"by":"$"}}"#),
        (
            "context.ip",
            r#"{"action":"a","details":{"x":",\"context\":{"},"context":{"ip":"$","x":{"context":{}}}}"#,
        ),
        (
            "context.ip",
            r#"{"action":"a","own":{"context":{"ip":"b"}},"details":{"a":{}},"context":{"ip":"$"}}"#,
        ),
        (
            "context.ip",
            r#"{"action":"a","description":"{\"actor\":{","details":{"a":{}},"context":{"ip":"$"}}"#,
        ),
    ] {
        // A state of its own, which a rule for the other names too.
        let other = field.replace("before", "state").replace("after", "before").replace("state", "after");
        let sealed = check(&[field, &other, "details.unused"], &from(json));
        assert!(sealed.contains("erasable:"), "{field}: {sealed}");
        check(&[field, &other], &from(json));
    }
}

#[test]
fn what_is_in_no_named_field_stays() {
    let text = r#"{"action":"a","actor":{"id":"u","email":"e","type":"t"},"details":{"context":{"ip":"i"}}}"#;
    let event = Event::from_json(text.as_bytes()).unwrap();
    let (sealed, plain) = lines(&personal(&["context.ip", "actor.name"]), &Held::default(), &event);
    assert_eq!(sealed, plain);
    // A part that decides how it is searched stays, and so does what says nothing.
    let event = Event::from_json(br#"{"action":"a","actor":{"type":"t"},"details":{"x":null}}"#).unwrap();
    let (sealed, plain) = lines(&personal(&["actor", "details"]), &Held::default(), &event);
    assert_eq!(sealed, plain);
}

#[test]
fn a_secret_in_a_personal_field_is_masked() {
    let text =
        r#"{"action":"a","actor":{"id":"u"},"details":{"password":"hunter2","note":"redis://:hunter2@c/0"}}"#;
    let event = Event::from_json(text.as_bytes()).unwrap();
    let keys = Held::default();
    let (sealed, plain) = lines(&personal(&["details"]), &keys, &event);
    assert!(sealed.contains(r#""password":"***""#), "{sealed}");
    assert!(shown(&sealed, Some(&keys)).contains("redis://:***@c/0") && !plain.contains("hunter2"));
    assert!(!sealed.contains("redis"), "{sealed}");
}

#[test]
fn without_a_key_a_value_is_masked() {
    let keys = Held { keeps_none: true, ..Held::default() };
    let event = Event::new("a").actor("u").detail("mail", secret());
    let (sealed, _) = lines(&personal(&["details.mail"]), &keys, &event);
    assert!(!sealed.contains(SECRET) && sealed.contains(r#""mail":"***""#), "{sealed}");
}

#[test]
fn each_value_is_of_its_own_person() {
    let keys = Held::default();
    let rules = [rule(&["actor.email"], "actor.id"), rule(&["related.*.name"], "related.*.id")];
    let json = r#"{"action":"a","actor":{"id":"ann","email":"e"},
        "related":[{"id":"bob","name":"b"},{"id":7,"name":"c"},{"name":"nobody"}]}"#;
    let event = Event::from_json(json.as_bytes()).unwrap();
    let (sealed, _) = lines(&Personal::new(&rules).unwrap(), &keys, &event);
    let mut found = Vec::new();
    // The id that is a number was moved, and what was moved is sealed in doubt.
    tokens(sealed.as_bytes(), |token, pointer| {
        found.extend((!pointer.starts_with("/details")).then(|| (token.key.slot, pointer.to_owned())));
    });
    let held = keys.keys.lock().unwrap();
    let slot = |subject: &str| held[subject].name().slot;
    assert_eq!(
        found,
        [
            (slot("ann"), "/actor/email".to_owned()),
            (slot("bob"), "/related/0/name".to_owned()),
            (slot(""), "/related/1/name".to_owned()),
            (slot(""), "/related/2/name".to_owned()),
        ]
    );
}

#[test]
fn a_long_event_is_cut_so_that_its_values_fit() {
    let long = |bytes: usize| format!("{SECRET}{}", "ü".repeat(bytes / 2));
    let numbers = |count: usize| Value::from((0..count).map(|n| Value::from(n as u64)).collect::<Vec<_>>());
    let mut event = Event::new("a").actor("u").detail("mail", long(60_000)).user_agent("x".repeat(1_000));
    let sealed = check(&["details.mail"], &event);
    assert!(sealed.contains("truncated"), "a hash of it would tell who guesses: {sealed}");
    event.details.insert("more", Value::from(vec![Value::from(long(100)); 500]));
    check(&["details.mail", "details.more.*"], &event);
    event.details.insert("numbers", numbers(9_000));
    let sealed = check(&["details.mail", "details.more", "details.numbers.*"], &event);
    assert!(Event::from_line(sealed.as_bytes()).unwrap().event.details.get("numbers").is_some());
    event.before = Some(Value::from(Object::from_iter((0..900).map(|n| (format!("k{n}"), long(40))))));
    event.after = Some(Value::from(Object::from_iter((0..900).map(|n| (format!("k{n}"), long(42))))));
    check(&["details.mail", "details.more", "details.numbers", "before.*", "after.*"], &event);
    let actor = Actor { id: Some(long(3_000)), email: Some(long(20_000)), ..Actor::default() };
    check(&["actor.email", "actor.id"], &Event { actor: Some(actor), ..Event::new("a") });
}

#[test]
fn a_value_is_found_by_its_hash() {
    let keys = Held::default();
    let event = Event::new("a").actor("ann").ip("192.0.2.7").resource("user", "r1");
    let (sealed, _) = lines(&personal(&["actor.id", "context.ip", "resource.id"]), &keys, &event);
    let key = MaskKey::new([7; 32]);
    let finds = |name: &str, value: &str| {
        let filter = crate::filter::Filter::from_pairs([(name, value)], NOW).unwrap();
        assert!(!filter.accepts(sealed.as_bytes()), "{name}");
        filter.as_stored(Some(&key)).accepts(sealed.as_bytes())
    };
    assert!(finds("actor", "ann") && finds("ip", "192.0.2.7") && finds("resource", "user/r1"), "{sealed}");
    assert!(!finds("actor", "bob") && !finds("text", "ann") && !finds("text", "hmac"));
    let long = "i".repeat(3_000);
    let (sealed, _) = lines(&personal(&["actor.id"]), &keys, &Event::new("a").actor(long.as_str()));
    let filter = crate::filter::Filter::from_pairs([("actor", &*long)], NOW).unwrap();
    assert!(filter.as_stored(Some(&key)).accepts(sealed.as_bytes()));
}

#[test]
fn another_value_is_no_repeat() {
    let (personal, keys) = (personal(&["actor.email", "details"]), Held::default());
    let event = |mail: &str, more: &str| {
        let actor = Actor { id: Some("u".into()), email: Some(mail.into()), ..Actor::default() };
        Event { actor: Some(actor), ..Event::new("a").id("1").detail("more", more) }
    };
    let (sealed, _) = lines(&personal, &keys, &event("m", "n"));
    let same = |event: &Event, keys: Option<&dyn PersonalKeys>| {
        same_content(event, sealed.as_bytes(), Compared { rules: Some(&personal), keys })
    };
    assert!(same(&event("m", "n"), Some(&keys)));
    assert!(!same(&event("x", "n"), Some(&keys)) && !same(&event("m", "x"), Some(&keys)));
    let erased = Held { has_none: true, ..Held::default() };
    assert!(same(&event("x", "n"), Some(&erased)));
    assert!(!same(&event("x", "n").description("d"), Some(&erased)));
}

/// The places at which the events below may hold the secret, and a field that names each.
const PLACES: [(&str, &str); 12] = [
    ("description", "description"),
    ("error", "error"),
    ("actor.name", "actor.*"),
    ("actor.email", "actor.email"),
    ("actor.own.deep", "actor.own"),
    ("on_behalf_of.reason", "on_behalf_of.reason"),
    ("related.0.name", "related.*.name"),
    ("before.a.b", "before.*.b"),
    ("after.c", "after.c"),
    ("details.list", "details.list.*"),
    ("context.user_agent", "context.user_agent"),
    ("context.own", "context.own"),
];

fn event_with(place: &str, text: &str, event: &mut Event) {
    let text = || Some(text.to_owned());
    let value = || Value::from(text());
    let actor = event.actor.get_or_insert_with(|| Actor::new("u1"));
    match place {
        "description" => event.description = text(),
        "error" => event.error = text(),
        "actor.name" => actor.name = text(),
        "actor.email" => actor.email = text(),
        "actor.own.deep" => _ = actor.extra.insert("own", Object::from_iter([("deep", value())])),
        "on_behalf_of.reason" => {
            event.on_behalf_of = Some(OnBehalfOf { reason: text(), ..OnBehalfOf::default() });
        }
        "related.0.name" => event.related.push(Resource { name: text(), ..Resource::default() }),
        "before.a.b" => {
            let inner = Object::from_iter([("b", value())]);
            event.before = Some(Object::from_iter([("a", Value::from(inner))]).into());
        }
        "after.c" => event.after = Some(Object::from_iter([("c", value())]).into()),
        "details.list" => _ = event.details.insert("list", vec![value(), Value::from(1)]),
        "context.user_agent" => event.context.user_agent = text(),
        _ => _ = event.context.extra.insert("own", value()),
    }
}

proptest! {
    #[test]
    fn nothing_personal_is_plain(
        places in prop::collection::vec((0..PLACES.len(), 0..3usize, "\\PC{0,12}"), 0..8),
        named in prop::collection::vec(0..PLACES.len(), 0..4),
        id in "[^\\x00]{1,12}",
        tenant in prop::option::of("[^\\x00]{1,12}"),
        noise in "[\\PC{}\"\\[\\]:,]{0,40}",
    ) {
        let mut event = Event { id: Some(id), tenant, ..Event::new("a").detail("noise", noise.as_str()) };
        let mut fields: Vec<&str> = named.iter().map(|&place| PLACES[place].1).collect();
        for (place, long, odd) in &places {
            let text = format!("{odd}{SECRET}{}", "y".repeat([0, 30, 9_000][*long]));
            event_with(PLACES[*place].0, &text, &mut event);
            fields.push(PLACES[*place].1);
        }
        // The states of one resource; changes are derived from both.
        if fields.iter().any(|field| field.starts_with("before") || field.starts_with("after")) {
            fields.extend(["before.*.b", "after.*.b", "before.c", "after.c"]);
        }
        if !fields.is_empty() {
            check(&fields, &event);
        }
    }

    #[test]
    fn no_line_is_too_odd_to_show(line in "\\PC{0,60}", pointer in "\\PC{0,6}") {
        for text in [line.clone(), format!("{{\"a\":\"erasable:{line}\"}}"), format!("{{\"{pointer}\":[{line}\"erasable:")] {
            let _ = reveal(text.as_bytes(), None);
            let _ = Token::parse(&text);
            let _ = Personal::new(&[rule(&["a.b"], "c")]).map(|personal| personal.find_in(text.as_bytes()).is_some());
        }
    }
}
