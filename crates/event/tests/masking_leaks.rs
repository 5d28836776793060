//! Secrets that once reached the line, each by its own way around the masking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

use trailseal_event::complete::complete;
use trailseal_event::mask::{MaskKey, MaskOptions, Masker, ReplaceWith};
use trailseal_event::{Event, Timestamp, line};

const NOW: Timestamp = Timestamp::from_micros(0);

fn rest(event: &Event) -> String {
    let mut out = Vec::new();
    let mut event = event.clone();
    event.id.get_or_insert_with(|| "e1".to_owned());
    line::write_rest(&event, &complete(&event, NOW), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The masked line of an event, by the fast way and by the slow one, as a trail takes them.
fn masked_with(options: &MaskOptions, fields: &str) -> String {
    masked_by(&Masker::new(options).unwrap(), fields)
}

fn masked_by(masker: &Masker, fields: &str) -> String {
    let json = format!(r#"{{"action":"a","id":"e1",{fields}}}"#);
    let mut event = Event::from_json(json.as_bytes()).unwrap();
    let before = rest(&event);
    let is_noticed = masker.has_key(&event) || masker.text_has(before.as_bytes());
    let paths = masker.mask(&mut event);
    let after = rest(&event);
    assert!(is_noticed || paths.is_empty(), "nobody would have looked: {before}");
    assert!(masker.mask(&mut event).is_empty(), "masked again: {after}");

    let mut fast = Vec::new();
    if line::rewrite_clean(masker, json.as_bytes(), NOW, &mut fast).is_some() {
        assert_eq!(String::from_utf8(fast).unwrap(), after, "the fast way wrote something else");
    }
    after
}

fn check_with(options: &MaskOptions, fields: &str, secrets: &[&str]) {
    let line = masked_with(options, fields);
    for secret in secrets {
        assert!(!line.contains(secret), "{secret} is in the line: {line}");
    }
}

/// No secret is in the line.
fn check(fields: &str, secrets: &[&str]) {
    check_with(&MaskOptions::default(), fields, secrets);
}

/// All of it is in the line.
fn check_stays(fields: &str) {
    let line = masked_with(&MaskOptions::default(), fields);
    assert!(line.contains(fields), "{fields} was changed: {line}");
}

#[test]
fn derived_changes_hide_what_stands_below_a_secret_key() {
    check(r#""before":{"api_key":{"value":"K1SECRET"}},"after":{}"#, &["K1SECRET"]);
    check(
        r#""before":{"secret":{"a":"K1SECRET"}},"after":{"secret":{"a":"K2SECRET"}}"#,
        &["K1SECRET", "K2SECRET"],
    );
    check(r#""before":{"n":1},"after":{"cookie":{"sid":{"x":["K1SECRET"]}}}"#, &["K1SECRET"]);
    check(r#""before":{"credentials":{"value":"K1SECRET"}},"after":{}"#, &["K1SECRET"]);
    check(r#""before":{"page":{"token":"K1SECRET"}},"after":{}"#, &["K1SECRET"]);
    check(r#""before":{"secret":{"credentials":{"x":"K1SECRET"}}},"after":{}"#, &["K1SECRET"]);
    check(r#""before":{"a.secret":{"b.c":"K1SECRET"}},"after":{}"#, &["K1SECRET"]);
    check(r#""before":{"secret\\":{"b":"K1SECRET"}},"after":{}"#, &["K1SECRET"]);
    let line = masked_with(&MaskOptions::default(), r#""before":{"api_key":{"value":"K1"}},"after":{}"#);
    assert!(line.contains(r#""changes":{"api_key.value":{"before":"***"}}"#), "{line}");
}

#[test]
fn derived_changes_hide_secrets_that_are_keys() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";
    let line = masked_with(
        &MaskOptions::default(),
        &format!(r#""before":{{"{jwt}":{{"a":1}},"password":"x"}},"after":{{"password":"y"}}"#),
    );
    assert!(!line.contains("c2lnbmF0dXJl"), "{line}");
}

#[test]
fn a_callers_own_changes_hide_what_stands_below_a_secret_key() {
    check(r#""changes":{"secret.a":{"before":"K1SECRET"}}"#, &["K1SECRET"]);
    check(r#""changes":{"user.api_key.value":"K1SECRET"}"#, &["K1SECRET"]);
    check(r#""changes": {"n": 1, "credentials.new": "K1SECRET"}"#, &["K1SECRET"]);
    // A dot that belongs to a key has a backslash before it.
    check_stays(r#""changes":{"annotations.authorization\\.k8s\\.io/decision":{"after":"allow"}}"#);
    check_stays(r#""changes":{"credentials.expiration":{"after":"soon"}}"#);
    check_stays(r#""changes":{"user.role":{"before":"user","after":"admin"}}"#);
}

#[test]
fn what_could_not_be_taken_is_hidden_below_a_secret_key_too() {
    check(r#""details":{"secret":{"a":"FIRSTX1","a":"S2"}}"#, &["FIRSTX1", "S2"]);
    check(r#""details":{"token":{"g":"SURR\ud800OGATE"}}"#, &["SURR", "OGATE"]);
    check(r#""details":{"credentials":["SURR\ud800OGATE"]}"#, &["SURR", "OGATE"]);
    check(r#""details":{"secret":{"a":"FIRSTX1","a":"FIRSTX2","a":1}}"#, &["FIRSTX1", "FIRSTX2"]);
    check(r#""changes":{"secret.a":"FIRSTX1","secret.a":"S2"}"#, &["FIRSTX1", "S2"]);
    check(r#""changes":{"secret.a":"FIRSTX1"},"changes":{}"#, &["FIRSTX1"]);
    check(r#""details":{"_invalid":{"details.secret.a":"FIRSTX1"}}"#, &["FIRSTX1"]);
    check(r#""_invalid":{"details.secret.a":"FIRSTX1"}"#, &["FIRSTX1"]);
    check(r#""details":{"_invalid":{"details._invalid":{"details.secret.a":"FIRSTX1"}}}"#, &["FIRSTX1"]);
    // Of a path that was cut, the key that names the secret may be gone.
    let long = "x".repeat(300);
    check(&format!(r#""details":{{"{long}_password":"FIRSTX1","{long}_password":"S2"}}"#), &["FIRSTX1"]);
}

#[test]
fn what_could_not_be_taken_and_is_no_secret_stays() {
    let line = masked_with(&MaskOptions::default(), r#""outcome":"so-so","actor":{"id":7}"#);
    assert!(line.contains(r#""_invalid":{"outcome":"so-so","actor.id":7}"#), "{line}");
    check_stays(r#""details":{"is_invalid":{"authorization.k8s.io/decision":"allow"}}"#);
}

#[test]
fn an_access_key_id_does_not_hide_the_secret_behind_it() {
    check(r#""details":{"credentials":"AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG"}"#, &["wJalr"]);
    check(r#""details":{"access_key":"AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI"}"#, &["wJalr"]);
    check(r#""description":"access_key=AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI failed""#, &["wJalr"]);
    check_stays(r#""details":{"access_key":"AKIAIOSFODNN7EXAMPLE","n":"access_key=ASIAIOSFODNN7EXAMPLE"}"#);
}

#[test]
fn json_behind_blanks_is_json() {
    check(r#""details":{"body":" {\"cvv\":123,\"secret\":{\"a\":\"bcd1234\"}}"}"#, &["123", "bcd1234"]);
    check(r#""details":{"body":"\ufeff{\"cvv\":123}"}"#, &["123"]);
    check(r#""details":{"body":"   \t\r\n [{\"secret\":{\"a\":\"bcd1234\"}}] \n"}"#, &["bcd1234"]);
    check(r#""details":{"body":"\ufeff \n{\"cvv\":123}"}"#, &["123"]);
    let third = r#"{"secret":{"a":"bcd1234"}}"#;
    let second = format!("\n{{\"b\":{}}}", serde_json::to_string(third).unwrap());
    let first = format!("\t{{\"c\":{}}}", serde_json::to_string(&second).unwrap());
    check(&format!("\"details\":{{\"d\":{}}}", serde_json::to_string(&first).unwrap()), &["bcd1234"]);
    let line = masked_with(&MaskOptions::default(), r#""details":{"body":"\n {\"pin\": 1234} "}"#);
    assert!(line.contains(r#""body":"\n {\"pin\":\"***\"}""#), "{line}");
    check_stays(r#""details":{"body":"\n {\"n\": 1234} "}"#);
}

#[test]
fn a_quote_inside_of_a_quoted_value_does_not_end_it() {
    check(r#""details":{"n":"body={\"password\":\"ab\\\"cdefsecret\"}"}"#, &["ab", "cdefsecret"]);
    check(r#""details":{"n":"password='ab\\'cdefsecret' and more"}"#, &["cdefsecret"]);
    check(r#""details":{"n":"password=\"ab\\\\\" and more"}"#, &["ab"]);
    // Escaped once, and once more.
    check(r#""details":{"n":"x={\\\"password\\\":\\\"ab\\\\\\\"cdefsecret\\\"}"}"#, &["cdefsecret"]);
    check(r#""details":{"n":"x={\\\\\\\"password\\\\\\\":\\\\\\\"cdefsecret\\\\\\\"}"}"#, &["cdefsecret"]);
    let line =
        masked_with(&MaskOptions::default(), r#""description":"got {\"password\":\"a\\\\\",\"n\":\"b\"}""#);
    assert!(line.contains(r#""got {\"password\":\"***\",\"n\":\"b\"}""#), "{line}");
}

#[test]
fn a_container_below_a_key_in_a_text_goes_whole() {
    check(r#""description":"got {\"secret\":{\"a\":\"}bcd1234\",\"b\":[1]},\"n\":1}""#, &["bcd1234"]);
    check(r#""description":"got {\"password\":[\"bcd1234\",\"efg\"],\"n\":1}""#, &["bcd1234", "efg"]);
    check(r#""description":"got {\\\"password\\\": [\\\"bcd1234\\\"]}""#, &["bcd1234"]);
    let line =
        masked_with(&MaskOptions::default(), r#""description":"got {\"secret\":{\"a\":\"}x\"},\"n\":1}""#);
    assert!(line.contains(r#""got {\"secret\":***,\"n\":1}""#), "{line}");
    check_stays(r#""description":"got {\"credentials\":{\"expiration\":\"soon\"}}""#);
}

#[test]
fn a_grouped_card_behind_a_control_character_is_noticed() {
    for before in [r"\u0007", r"\u0001", r"\u001b", r"\n"] {
        check(&format!(r#""details":{{"n":"{before}4242 4242 4242 4242"}}"#), &["4242 4242"]);
        check(&format!(r#""details":{{"n":"{before}3782-822463-10005"}}"#), &["3782-822463"]);
    }
}

#[test]
fn every_default_key_is_found_in_a_text() {
    check(r#""description":"with cvv2=123 and more""#, &["123"]);
    check(r#""description":"password2=hunter22""#, &["hunter22"]);
    check(r#""description":"password12=hunter22""#, &["hunter22"]);
    check(r#""description":"password1 = hunter22""#, &["hunter22"]);
    check(r#""description":"got {\"password2\":\"hunter22\"}""#, &["hunter22"]);
    check(r#""description":"PASSWORD2: s3cr3t""#, &["s3cr3t"]);
    check(r#""description":"SecretBinary=abc123""#, &["abc123"]);
    check_stays(r#""description":"at 2026-11-21T04:00:12 page2=3, h12=5, x1 = 2, inventory=4""#);
}

#[test]
fn passwords_that_begin_like_a_placeholder_go() {
    check(r#""details":{"n":"postgres://u:$Ecret12@h"}"#, &["$Ecret12"]);
    check(r#""details":{"n":"password=[x9!secret and"}"#, &["x9!secret"]);
    check(r#""details":{"n":"password=<secretA1 and"}"#, &["secretA1"]);
    check(r#""details":{"n":"password={{secretA1 and"}"#, &["secretA1"]);
    check(r#""details":{"n":"password=${secretA1 and"}"#, &["secretA1"]);
    check_stays(r#""details":{"n":"password=<secret> password=[secret] password={{ secret }}"}"#);
    check_stays(r#""details":{"n":"password=${SECRET} password=$SECRET password=$(pass show x)"}"#);
    check_stays(
        r#""details":{"n":"postgres://u:${PW}@h, postgres://u:$PGPASSWORD1@h, password=$_POST['x']"}"#,
    );
}

fn with_keys(keys: &[&str]) -> MaskOptions {
    MaskOptions { keys: keys.iter().map(|key| (*key).to_owned()).collect(), ..MaskOptions::default() }
}

#[test]
fn a_users_key_hides_what_the_event_has_of_that_name() {
    let person = r#""actor":{"id":"K1SECRET","type":"K2SECRET","roles":["K3SECRET"],"x":"K4SECRET"}"#;
    check_with(&with_keys(&["actor"]), person, &["K1SECRET", "K2SECRET", "K3SECRET", "K4SECRET"]);
    check_with(
        &with_keys(&["roles"]),
        r#""actor":{"roles":["K1SECRET","K2SECRET"]}"#,
        &["K1SECRET", "K2SECRET"],
    );
    check_with(
        &with_keys(&["resource"]),
        r#""resource":{"id":"K1SECRET","x":{"y":"K2SECRET"}}"#,
        &["K1SECRET", "K2SECRET"],
    );
    check_with(&with_keys(&["related"]), r#""related":[{"id":"K1SECRET"}]"#, &["K1SECRET"]);
    check_with(
        &with_keys(&["on behalf of"]),
        r#""on_behalf_of":{"id":"K1SECRET","reason":"K2SECRET"}"#,
        &["K1SECRET", "K2SECRET"],
    );
    check_with(
        &with_keys(&["context"]),
        r#""context":{"ip":"10.9.8.7","x":"K2SECRET"}"#,
        &["10.9.8.7", "K2SECRET"],
    );
    check_with(&with_keys(&["duration ms"]), r#""duration_ms":987654"#, &["987654"]);
    let removed = MaskOptions { replace_with: ReplaceWith::Remove, ..with_keys(&["roles"]) };
    check_with(&removed, r#""actor":{"id":"u","roles":["K1SECRET"]}"#, &["K1SECRET"]);
    let allowed = MaskOptions { allow: vec!["actor.roles".into()], ..with_keys(&["actor"]) };
    let line = masked_with(&allowed, person);
    assert!(line.contains("K3SECRET") && !line.contains("K1SECRET"), "{line}");
}

#[test]
fn a_users_key_beyond_ascii_matches_in_any_case() {
    check_with(&with_keys(&["größe"]), r#""details":{"GRÖßE":"K1SECRET"}"#, &["K1SECRET"]);
}

#[test]
fn a_cut_of_the_changes_is_listed_when_something_is_masked() {
    let members =
        |side: &str| -> String { (0..1_200).map(|number| format!(r#","k{number}":"{side}""#)).collect() };
    let states = format!(
        r#""before":{{"password":"K1SECRET"{}}},"after":{{"password":"K2SECRET"{}}}"#,
        members("a"),
        members("b"),
    );
    let line = masked_with(&MaskOptions::default(), &states);
    assert!(!line.contains("SECRET"), "{line}");
    assert!(line.contains(r#""truncated":["#) && line.contains(r#""path":"changes""#), "{line}");
}

/// A secret's name over a number, an answer or nothing does not always end the fast way: wherever it goes on, it writes what
/// the slow one does.
#[test]
fn what_stays_under_the_name_of_a_secret_is_written_alike_by_both_ways() {
    let keys = [
        "password",
        "max_tokens",
        "tokens",
        "pin",
        "pwd",
        "pass",
        "hasPassword",
        "clientToken",
        "client_token",
        "accessKey",
        "credentials",
        "authorization",
        "cookie",
        "api_keys",
        "secret",
        "user.password",
        "tokens.used",
    ];
    let values = [
        "null",
        "true",
        "7",
        "-1.5e3",
        "4111111111111111",
        r#""""#,
        r#""***""#,
        r#""x""#,
        r#""yes""#,
        r#""/tmp""#,
        r#""AKIAABCDEFGHIJKLMNOP""#,
        r#""5b7eff74-2b70-4f92-8aa1-9c716bf151aa""#,
        r#""arn:aws:iam::1:user/x""#,
        r#""a\"b""#,
        "{}",
        "[]",
        "[ ]",
        "[null]",
        r#"["x"]"#,
        r#"{"id":"7"}"#,
        r#"{"value":"x"}"#,
    ];
    let places = [
        r#""details":{M}"#,
        r#""details":{"a":[{"b":{M,"c":1}}]}"#,
        r#""details":{"name":"password","value":1,M}"#,
        r#""before":{M},"after":{"other":1}"#,
        r#""before":{M,"x":1},"after":{M,"x":2}"#,
        r#""changes":{M}"#,
        r#""changes":{"a":{M}}"#,
        r#""actor":{"id":"u1",M}"#,
        r#""context":{"ip":"203.0.113.7",M}"#,
        r#""approval":{M}"#,
    ];
    let keyed = MaskOptions { key: Some(MaskKey::new([7; 32])), ..MaskOptions::default() };
    let options = [
        MaskOptions::default(),
        MaskOptions { replace_with: ReplaceWith::Remove, ..MaskOptions::default() },
        MaskOptions { replace_with: ReplaceWith::Last4, ..MaskOptions::default() },
        MaskOptions { replace_with: ReplaceWith::Hmac, ..keyed.clone() },
        MaskOptions { keys: vec!["tokens".to_owned()], ..MaskOptions::default() },
        MaskOptions { allow: vec!["details.pin".to_owned()], ..MaskOptions::default() },
    ];
    for options in &options {
        let masker = Masker::new(options).unwrap();
        for key in keys {
            for value in values {
                for place in places {
                    masked_by(&masker, &place.replace('M', &format!("\"{key}\":{value}")));
                }
            }
        }
    }
}

#[test]
fn a_count_of_tokens_takes_the_fast_way() {
    let masker = Masker::new(&MaskOptions::default()).unwrap();
    let is_fast = |details: &str| {
        let json = format!(r#"{{"action":"a","details":{{{details}}}}}"#);
        line::rewrite_clean(&masker, json.as_bytes(), NOW, &mut Vec::new()).is_some()
    };
    assert!(is_fast(r#""max_tokens":4096,"has_password":true,"token":null,"clientToken":"retry-1""#));
    assert!(!is_fast(r#""token":"x""#) && !is_fast(r#""tokens":[4096]"#));
}
