//! What masking hides and what it leaves: recall and precision on two corpora that were fixed before the patterns.
//!
//! `UPDATE_SNAPSHOTS=1` writes the reports anew; a person then reads what changed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use trailseal_event::complete::complete;
use trailseal_event::mask::{MaskKey, MaskOptions, Masker, Preset, ReplaceWith};
use trailseal_event::{Event, Object, Timestamp, Value, line};

const SECRETS: &str = include_str!("masking/secrets.jsonl");
const LOOKALIKES: &str = include_str!("masking/lookalikes.jsonl");

/// One line of a corpus.
struct Case {
    kind: String,
    secret: String,
    key: Option<String>,
    /// What stands in the field.
    value: Value,
}

fn cases(corpus: &str) -> Vec<Case> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    corpus
        .lines()
        .map(|line| {
            let case = Value::parse(line.as_bytes()).unwrap();
            let secret = text(case.get("value")).unwrap_or_default();
            let value = match case.get("text") {
                Some(text) => text.clone(),
                None if case.get("number").is_some() => Value::parse(secret.as_bytes()).unwrap(),
                None => case.get("value").unwrap().clone(),
            };
            Case {
                kind: text(case.get("kind")).unwrap_or_default(),
                secret,
                key: text(case.get("key")),
                value,
            }
        })
        .collect()
}

fn masker() -> Masker {
    Masker::new(&MaskOptions::default()).unwrap()
}

fn rest(event: &Event) -> String {
    let mut out = Vec::new();
    let mut event = event.clone();
    event.id.get_or_insert_with(|| "e1".to_owned());
    line::write_rest(&event, &complete(&event, Timestamp::from_micros(0)), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Masks, and checks what always holds. Returns the masked line.
fn masked_line(masker: &Masker, event: &mut Event) -> (Vec<String>, String) {
    let before = rest(event);
    let said_yes = masker.text_has(before.as_bytes()) || masker.has_key(event);
    let paths = masker.mask(event);
    let after = rest(event);
    assert!(said_yes || paths.is_empty(), "nobody would have looked: {before}");
    assert_eq!(paths.is_empty(), before == after, "{before}\n{after}");
    let again = masker.mask(event);
    assert!(again.is_empty(), "masked again at {again:?}: {after}");
    (paths, after)
}

/// The event with the value in `details`, under its key or one that says nothing.
fn event_with(key: &str, value: &Value) -> Event {
    let mut event = Event::new("test");
    event.details.insert(key, value.clone());
    event
}

fn is_hidden(masker: &Masker, case: &Case) -> bool {
    let key = case.key.as_deref().unwrap_or("note");
    let mut event = event_with(key, &case.value);
    masked_line(masker, &mut event);
    match event.details.get(key) {
        Some(Value::String(left)) => !left.contains(&case.secret),
        Some(Value::Number(left)) => left.to_string() != case.secret,
        Some(other) => panic!("{other}"),
        None => true,
    }
}

/// Compares with a file beside this test, or writes it.
fn snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/masking").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{name} differs; UPDATE_SNAPSHOTS=1 writes it anew:\n{text}");
}

#[test]
fn recall_and_precision() {
    let masker = masker();
    let mut kinds: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut missed = String::new();
    let cases_of_secrets = cases(SECRETS);
    for case in &cases_of_secrets {
        let hidden = is_hidden(&masker, case);
        let kind = kinds.entry(case.kind.clone()).or_default();
        kind.0 += usize::from(hidden);
        kind.1 += 1;
        if !hidden {
            writeln!(missed, "  {}: {} {}", case.kind, case.key.as_deref().unwrap_or("(text)"), case.value)
                .unwrap();
        }
    }
    let lookalikes = cases(LOOKALIKES);
    let mut changed = String::new();
    for case in &lookalikes {
        let key = case.key.as_deref().unwrap_or("note");
        let mut event = event_with(key, &case.value);
        masked_line(&masker, &mut event);
        let left = event.details.get(key).cloned().unwrap_or_default();
        if left != case.value {
            writeln!(changed, "  {key}: {} -> {left}", case.value).unwrap();
        }
    }
    let (hidden, all) = kinds.values().fold((0, 0), |sum, kind| (sum.0 + kind.0, sum.1 + kind.1));
    let mut report = format!(
        "secrets hidden: {hidden} of {all}, of {} kinds\nlook-alikes left: {} of {}\n\nmissed:\n{missed}\nlook-alikes changed:\n{changed}\nby kind:\n",
        kinds.len(),
        lookalikes.len() - changed.lines().count(),
        lookalikes.len(),
    );
    for (kind, (hidden, all)) in &kinds {
        writeln!(report, "  {kind}: {hidden} of {all}").unwrap();
    }
    snapshot("report.txt", &report);
}

/// An event with a text in every place that takes one.
fn everywhere(text: &str) -> Event {
    let value = || Value::from(text);
    let mut event = Event::from_json(
        br#"{"action":"a","actor":{"id":"x"},"resource":{"id":"x"},"related":[{"id":"x"}],"on_behalf_of":{"id":"x"}}"#,
    )
    .unwrap();
    event.description = Some(text.to_owned());
    event.error = Some(format!("failed: {text}"));
    if let Some(actor) = &mut event.actor {
        actor.name = Some(text.to_owned());
        actor.roles = vec!["admin".into(), text.to_owned()];
        actor.extra.insert("note", value());
    }
    if let Some(resource) = &mut event.resource {
        resource.name = Some(text.to_owned());
    }
    event.related[0].name = Some(text.to_owned());
    if let Some(other) = &mut event.on_behalf_of {
        other.reason = Some(text.to_owned());
    }
    event.context.user_agent = Some(text.to_owned());
    event.context.extra.insert("note", value());
    event.before = Some(Value::from(Object::from_iter([("note", value()), ("same", Value::from(1_i64))])));
    event.after =
        Some(Value::from(Object::from_iter([("note", Value::from("other")), ("same", Value::from(1_i64))])));
    event.approval = Some(Value::from(vec![text]));
    event
        .extra
        .insert("more", Value::from(Object::from_iter([("deep", Value::from(vec![value(), Value::Null]))])));
    event.details.insert("note", value());
    event.details.insert("list", Value::from(vec![Value::from(vec![value()])]));
    event.details.insert("json", Value::from(Object::from_iter([("note", value())]).to_string()));
    event.details.insert("json_twice", {
        let inner = Object::from_iter([("note", value())]).to_string();
        Value::from(Object::from_iter([("inner", Value::from(inner))]).to_string())
    });
    event.details.insert(text, Value::from("the key itself"));
    event
}

fn options_of_every_kind() -> Vec<MaskOptions> {
    let key = Some(MaskKey::new([7; 32]));
    [ReplaceWith::Fixed, ReplaceWith::Remove, ReplaceWith::Last4, ReplaceWith::Hmac]
        .map(|replace_with| MaskOptions { replace_with, key: key.clone(), ..MaskOptions::default() })
        .into()
}

#[test]
fn a_secret_known_by_its_looks_is_hidden_in_every_place() {
    let known = masker();
    for options in options_of_every_kind() {
        let masker = Masker::new(&options).unwrap();
        for case in cases(SECRETS).iter().filter(|case| case.key.is_none() && is_hidden(&known, case)) {
            let Value::String(text) = &case.value else { continue };
            let mut event = everywhere(text);
            let (paths, line) = masked_line(&masker, &mut event);
            let mut secret = Value::from(case.secret.as_str()).to_string();
            secret.remove(0);
            secret.pop();
            // Short secrets are words of their own texts.
            if case.secret.len() >= 12 && options.replace_with != ReplaceWith::Last4 {
                assert!(!line.contains(&case.secret) && !line.contains(&secret), "{text}\n{line}");
            }
            assert!(paths.len() >= 19, "{paths:?}");
        }
    }
}

#[test]
fn a_key_hides_what_stands_below_it() {
    let check = |json: &str, expected: &str, paths: &[&str]| {
        let mut event = Event::from_json(format!(r#"{{"action":"a","details":{json}}}"#).as_bytes()).unwrap();
        let (masked, _) = masked_line(&masker(), &mut event);
        assert_eq!(event.details.to_string(), expected);
        assert_eq!(masked, paths);
    };
    check(r#"{"password":"x","n":1}"#, r#"{"password":"***","n":1}"#, &["details.password"]);
    check(r#"{"a":[{"pin":4711}]}"#, r#"{"a":[{"pin":"***"}]}"#, &["details.a.0.pin"]);
    check(
        r#"{"token":true,"secret":null,"password":""}"#,
        r#"{"token":true,"secret":null,"password":""}"#,
        &[],
    );
    check(
        r#"{"secret":{"a":"x","b":[1,true,null]}}"#,
        r#"{"secret":{"a":"***","b":["***",true,null]}}"#,
        &["details.secret.a", "details.secret.b.0"],
    );
    check(
        r#"{"credentials":{"accessKeyId":"AKIAIOSFODNN7EXAMPLE","expiration":"soon","sessionToken":"x"}}"#,
        r#"{"credentials":{"accessKeyId":"AKIAIOSFODNN7EXAMPLE","expiration":"soon","sessionToken":"***"}}"#,
        &["details.credentials.sessionToken"],
    );
    check(r#"{"credentials":"user:pw"}"#, r#"{"credentials":"***"}"#, &["details.credentials"]);
    check(r#"{"accessKey":"AKIAIOSFODNN7EXAMPLE"}"#, r#"{"accessKey":"AKIAIOSFODNN7EXAMPLE"}"#, &[]);
    check(
        r#"{"credentials":{"before":"a","after":"b"}}"#,
        r#"{"credentials":{"before":"***","after":"***"}}"#,
        &["details.credentials.before", "details.credentials.after"],
    );
    check(r#"{"card":4242424242424242}"#, r#"{"card":"***"}"#, &["details.card"]);
    check(
        r#"{"body":"{\"password\":\"x\",\"n\":[1, 2]}"}"#,
        r#"{"body":"{\"password\":\"***\",\"n\":[1,2]}"}"#,
        &["details.body"],
    );
}

#[test]
fn a_changed_secret_is_still_seen_to_have_changed() {
    let json = br#"{"action":"a","before":{"password":"old","n":1},"after":{"password":"new","n":1}}"#;
    let mut event = Event::from_json(json).unwrap();
    let (paths, line) = masked_line(&masker(), &mut event);
    assert!(line.contains(r#""changes":{"password":{"before":"***","after":"***"}}"#), "{line}");
    assert_eq!(
        paths,
        ["before.password", "after.password", "changes.password.before", "changes.password.after"]
    );
}

#[test]
fn ids_of_the_request_are_no_cards() {
    let json = br#"{"action":"a","id":"4242424242424242","context":{"request_id":"4242424242424242","trace_id":"4242424242424242"}}"#;
    let mut event = Event::from_json(json).unwrap();
    assert!(masked_line(&masker(), &mut event).0.is_empty());
    event.context.session_id = Some("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl".into());
    assert_eq!(masked_line(&masker(), &mut event).0, ["context.session_id"]);
}

#[test]
fn options_do_what_they_say() {
    let masked = |options: &MaskOptions, details: &str| {
        let mut event =
            Event::from_json(format!(r#"{{"action":"a","details":{details}}}"#).as_bytes()).unwrap();
        masked_line(&Masker::new(options).unwrap(), &mut event);
        event.details.to_string()
    };
    let default = MaskOptions::default;
    let off = MaskOptions { enabled: false, ..default() };
    assert_eq!(masked(&off, r#"{"password":"x"}"#), r#"{"password":"x"}"#);
    let keys = MaskOptions { keys: vec!["iban".into(), "home address".into()], ..default() };
    assert_eq!(
        masked(&keys, r#"{"userIban":"x","home_address":"y"}"#),
        r#"{"userIban":"***","home_address":"***"}"#
    );
    let allow = MaskOptions { allow: vec!["details.*.token".into(), "details.url".into()], ..default() };
    assert_eq!(
        masked(&allow, r#"{"a":{"token":"x"},"token":"y","url":"redis://:pw@h"}"#),
        r#"{"a":{"token":"x"},"token":"***","url":"redis://:pw@h"}"#
    );
    let patterns = MaskOptions { patterns: vec!["emp-([0-9]{6})".into()], ..default() };
    assert_eq!(masked(&patterns, r#"{"n":"by emp-123456, é"}"#), r#"{"n":"by emp-***, é"}"#);
    let removed = MaskOptions { replace_with: ReplaceWith::Remove, ..default() };
    assert_eq!(
        masked(&removed, r#"{"password":"x","n":1,"u":"redis://:pw@h"}"#),
        r#"{"n":1,"u":"redis://:@h"}"#
    );
    let last4 = MaskOptions { replace_with: ReplaceWith::Last4, ..default() };
    assert_eq!(
        masked(&last4, r#"{"password":"short","card":"4242424242424242"}"#),
        r#"{"password":"***","card":"***4242"}"#
    );
    let hmac = MaskOptions { replace_with: ReplaceWith::Hmac, key: Some(MaskKey::new([7; 32])), ..default() };
    let hash = Masker::new(&hmac).unwrap().hash("x");
    assert!(hash.starts_with("hmac:") && hash.len() == 5 + 8 + 1 + 32, "{hash}");
    assert_eq!(masked(&hmac, r#"{"password":"x"}"#), format!(r#"{{"password":"{hash}"}}"#));
    for wrong in [
        MaskOptions { patterns: vec!["(".into()], ..default() },
        MaskOptions { patterns: vec!["a*".into()], ..default() },
        MaskOptions { keys: vec!["--".into()], ..default() },
        MaskOptions { replace_with: ReplaceWith::Hmac, ..default() },
    ] {
        assert!(Masker::new(&wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn the_presets_do_what_their_documents_list() {
    let exact_000 = [
        "password",
        "secret",
        "key",
        "token",
        "api_key",
        "auth",
        "credentials",
        "credit_card",
        "ssn",
        "social_security",
        "cvv",
        "card_number",
        "pin",
        "cvv2",
    ];
    let parts_001 = [
        "raw_payload",
        "payload",
        "password",
        "secret",
        "token",
        "api_key",
        "email_body",
        "document_content",
    ];
    let parts_003 = ["password", "secret", "token", "api_key", "private_key", "credential", "auth"];
    let guide_003 = ["password", "secret", "token", "key", "api_key", "credit_card", "ssn", "pin"];
    let left = |preset: &str, key: &str| {
        let preset = Preset::from_name(preset).unwrap();
        let masker = Masker::new(&MaskOptions { preset: Some(preset), ..MaskOptions::default() }).unwrap();
        let mut event = event_with(key, &Value::from("value"));
        masked_line(&masker, &mut event);
        event.details.get(key).map(|left| left.as_str().unwrap().to_owned())
    };
    let text = |text: &str| Some(text.to_owned());
    for key in exact_000 {
        assert_eq!(left("000", key), text("REDACTED"), "{key}");
        assert_eq!(left("000", &key.to_uppercase()), text("REDACTED"), "{key}");
    }
    for key in ["monkey", "author", "shipping", "keys"] {
        assert_eq!(left("000", key), text("value"), "{key}");
    }
    for part in parts_001 {
        assert_eq!(left("001-export", part), None);
        assert_eq!(left("001-export", &format!("my_{part}_x")), None);
        assert_eq!(left("001-export", &format!("{part}_hash")), text("value"));
    }
    assert!(left("001-export", "email").is_some_and(|hash| hash.len() == 16 && hash != "value"));
    for part in parts_003 {
        assert_eq!(left("003", &format!("X_{part}_y")), text("***REDACTED***"), "{part}");
    }
    for key in guide_003 {
        assert_eq!(left("003", key), text("***REDACTED***"), "{key}");
    }
}

#[test]
fn what_a_removed_secret_uncovers_is_masked_too() {
    let options = MaskOptions { replace_with: ReplaceWith::Remove, ..MaskOptions::default() };
    let masker = Masker::new(&options).unwrap();
    let token = "ghp_abcdefghijklmnopqrstuvwxyz0123456789";
    let mut event = event_with("note", &Value::from(format!(r#"{token}{{"p\u0061ssword":"x"}}"#)));
    masked_line(&masker, &mut event);
    assert!(!event.details.to_string().contains('x'), "{}", event.details);
}

/// Texts that hide a secret behind an escape, or look like one.
const TRICKS: [&str; 14] = [
    "\npassword=hunter2",
    "\u{1}token=abc123",
    "a\tghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "\u{b}4242424242424242",
    "-\n-4242424242424242",
    "é4242424242424242",
    "https:\\/\\/u:p@h",
    "x\"password\": \"a\"",
    "\\\"secret\\\":\\\"x\\\"",
    "{\"a\":1,\"a\":2}",
    "{\"p\\u0061ssword\":\"x\"}",
    "[\"\\u0067hp_abcdefghijklmnopqrstuvwxyz0123456789\"]",
    "redis://:\u{1}\u{2}x@h",
    "\u{2028}xoxb-123456789012-abcdefghijkl",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 300, ..Default::default() })]
    #[test]
    fn whatever_is_masked_was_noticed_and_stays_masked(
        picks in proptest::collection::vec((0..3usize, proptest::prelude::any::<usize>(), "[ -~é\n\"\\\\]{0,6}"), 1..5),
        how in 0..4usize,
    ) {
        let (secrets, others) = (cases(SECRETS), cases(LOOKALIKES));
        let mut text = String::new();
        let mut event = Event::new("a");
        for (corpus, pick, glue) in picks {
            let case = match corpus {
                0 => &secrets[pick % secrets.len()],
                1 => &others[pick % others.len()],
                _ => {
                    text.push_str(TRICKS[pick % TRICKS.len()]);
                    continue;
                }
            };
            match (&case.key, &case.value) {
                (None, Value::String(value)) => text.push_str(value),
                (key, value) => {
                    event.details.insert(key.as_deref().unwrap_or("n"), value.clone());
                }
            }
            text.push_str(&glue);
        }
        let mut all = everywhere(&text);
        for (key, value) in event.details.iter() {
            all.details.insert(key, value.clone());
        }
        let masker = Masker::new(&options_of_every_kind()[how]).unwrap();
        masked_line(&masker, &mut all);
    }
}
