//! Objects and lists under a secret's name, and names that are none: as products that write audit logs have them.
//!
//! The records have the forms that the products document: OpenAI's audit logs API, Azure's activity log, GitHub's audit
//! log events, Vault's audit devices, AWS CloudTrail, Windows' security log. Their values are made up.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

#[path = "../../event/tests/masking/differences.rs"]
mod differences;

use std::collections::BTreeSet;

use differences::differences;
use trailseal_core::Trail;
use trailseal_core::{AnyEvent, RecordOptions};
use trailseal_event::complete::complete;
use trailseal_event::mask::{MaskOptions, Masker};
use trailseal_event::{Event, Timestamp, Value, line};

const ONCE: RecordOptions = RecordOptions::new().once();

fn value_of(event: &Event) -> Value {
    let mut event = event.clone();
    event.id.get_or_insert_with(|| "e".to_owned());
    let mut rest = b"{".to_vec();
    line::write_rest(&event, &complete(&event, Timestamp::from_micros(0)), &mut rest).unwrap();
    Value::parse(&rest).unwrap()
}

/// Masks these fields; exactly these paths change, and exactly they are listed.
#[track_caller]
fn check(fields: &str, expected: &[&str]) {
    let masker = Masker::new(&MaskOptions::default()).unwrap();
    let mut event = Event::from_json(format!("{{\"action\":\"a\",{fields}}}").as_bytes()).unwrap();
    let before = value_of(&event);
    let is_noticed = masker.has_key(&event) || masker.text_has(&before.to_json());
    let paths = masker.mask(&mut event);
    assert!(is_noticed || paths.is_empty(), "nobody would have looked: {fields}");
    let after = value_of(&event);
    let changed = differences(&before, &after);
    let (paths, changed): (BTreeSet<_>, BTreeSet<_>) =
        (paths.into_iter().collect(), changed.into_iter().collect());
    assert_eq!(paths, changed, "`masked` is not what was changed: {after}");
    assert_eq!(paths, expected.iter().map(|path| (*path).to_owned()).collect(), "{after}");
    assert!(masker.mask(&mut event).is_empty(), "masked again: {after}");
}

#[test]
fn openai_says_who_used_a_key() {
    check(
        r#""actor":{"type":"api_key","api_key":{"id":"key_xxxx","type":"user","user":{"id":"user-xxxx","email":"user@example.com"}}}"#,
        &[],
    );
    check(
        r#""actor":{"api_key":{"type":"service_account","service_account":{"id":"svc_acct_xxxx"},"value":"v","redacted_value":"r"}}"#,
        &["actor.api_key.value", "actor.api_key.redacted_value"],
    );
    check(r#""details":{"api_key.created":{"id":"key_xxxx","data":{"scopes":["resource.operation"]}}}"#, &[]);
}

#[test]
fn azure_says_what_was_granted() {
    check(
        r#""details":{"identity":{"authorization":{"scope":"/subscriptions/1/resourceGroups/g","action":"Microsoft.Storage/storageAccounts/listKeys/action","evidence":{"role":"Owner","roleAssignmentScope":"/subscriptions/1","roleAssignmentId":"7","principalId":"p","principalType":"User"}},"claims":{"appid":"a","name":"Ada"}}}"#,
        &[],
    );
    check(r#""details":{"authorization":{"Scope":"/s","secret":"x"}}"#, &["details.authorization.secret"]);
    check(r#""details":{"authorization":{"value":"Bearer x"}}"#, &["details.authorization.value"]);
    check(r#""details":{"authorization":"Bearer x"}"#, &["details.authorization"]);
    check(r#""details":{"headers":{"Authorization":["x"]}}"#, &["details.headers.Authorization.0"]);
}

#[test]
fn github_says_which_token() {
    check(
        r#""details":{"personal_access_token":{"id":1089,"name":"deploy","owner":{"login":"x","id":3},"permissions":{"a":"read"},"token_expires_at":"2026-01-01T00:00:00Z"},"programmatic_access_type":"Fine-grained personal access token","hashed_token":"Zk9q","token_id":77,"token_scopes":"repo"}"#,
        &["details.personal_access_token.permissions.a", "details.hashed_token"],
    );
}

#[test]
fn vault_and_aws_name_different_things_client_token() {
    let hashed = format!("hmac-sha256:{}", "0f".repeat(32));
    check(
        &format!(
            r#""details":{{"auth":{{"client_token":"s.iyNUhq8Ov4hIAx6snw5mB2nL","accessor":"{hashed}","token_type":"service"}},"request":{{"client_token":"{hashed}","client_token_accessor":"{hashed}"}}}}"#
        ),
        &["details.auth.client_token"],
    );
    check(
        r#""details":{"requestParameters":{"clientToken":"5b7eff74-2b70-4f92-8aa1-9c716bf151aa","clientRequestToken":"x","nextToken":"y"},"metadataOptions":{"httpTokens":"required"}}"#,
        &[],
    );
    check(
        r#""details":{"unseal_keys":["a","b"],"root_token":"s.x"}"#,
        &["details.unseal_keys.0", "details.unseal_keys.1", "details.root_token"],
    );
    check(
        r#""details":{"accessKey":{"accessKeyId":"AKIAIOSFODNN7EXAMPLE","status":"Active","userName":"Bob","createDate":"Mar 24","secretAccessKey":"x"},"encryptionKey":{"id":"arn:aws:kms:us-east-1:111122223333:key/1","type":"KMS"},"encryption_key":"arn:aws:kms:us-east-1:111122223333:alias/aws/s3"}"#,
        &["details.accessKey.secretAccessKey"],
    );
}

#[test]
fn windows_speaks_of_tokens_without_having_any() {
    check(
        r#""details":{"ElevatedToken":"%%1842","PublicKeyToken":"31bf3856ad364e35","TokenElevationType":"%%1936","Has Sensitive Credentials":"No","HasCredentials":"yes"}"#,
        &[],
    );
    check(r#""details":{"HasPassword":"hunter2"}"#, &["details.HasPassword"]);
}

#[test]
fn a_number_under_a_plural_is_a_count() {
    check(
        r#""details":{"max_tokens":4096,"prompt_tokens":512,"tokens":{"input":12,"cached":3.5},"secrets":7,"passwords":0}"#,
        &[],
    );
    check(
        r#""details":{"tokens":["a",["b"],3],"api_keys":"k1,k2","secrets":{"a":"x"},"private_keys":[{"kty":"y"}],"access_tokens":"t","passcode":1234,"master_key":5}"#,
        &[
            "details.tokens.0",
            "details.tokens.1.0",
            "details.tokens.2",
            "details.api_keys",
            "details.secrets.a",
            "details.private_keys.0.kty",
            "details.access_tokens",
            "details.passcode",
            "details.master_key",
        ],
    );
    check(
        r#""details":{"passwords":"12345678","api_keys":"90871234567","credentials":"1234","secrets":[99887766]}"#,
        &["details.passwords", "details.api_keys", "details.credentials", "details.secrets.0"],
    );
    check(
        r#""details":{"secrets":{"a":99887766,"id":7},"passwords":[{"a":1}],"tokens":{"input":12},"hasPassword":"1"}"#,
        &["details.secrets.a", "details.passwords.0.a"],
    );
    check(
        r#""changes":{"secrets.0":{"before":1,"after":2}}"#,
        &["changes.secrets.0.before", "changes.secrets.0.after"],
    );
    check(r#""description":"passwords=12345678""#, &["description"]);
    check(r#""description":"used max_tokens=4096 and tokens=512""#, &[]);
    check(r#""description":"signing_key=Zk9q#1 passcode=12345""#, &["description"]);
}

#[test]
fn an_object_under_a_secrets_name_keeps_what_says_who_and_when() {
    check(
        r#""details":{"password":{"value":"v","hint":"h","updated_at":"t","user":{"id":7,"name":"n","pin":1}}}"#,
        &["details.password.value", "details.password.hint", "details.password.user.pin"],
    );
    check(
        r#""details":{"secrets":[{"name":"DB","value":"v"},{"name":"API","value":"w","type":"opaque"}]}"#,
        &["details.secrets.0.value", "details.secrets.1.value"],
    );
    // An id of a session is what lets somebody in.
    check(
        r#""details":{"cookies":{"session_id":"a","JSESSIONID":"b","id":"c"},"credentials":{"secret_id":"d","role_id":"e"}}"#,
        &["details.cookies.session_id", "details.cookies.JSESSIONID", "details.credentials.secret_id"],
    );
    // What is kept is still looked at.
    check(
        r#""details":{"token":{"name":"ghp_Zk9q1234567890abcdefABCDEF1234567890"}}"#,
        &["details.token.name"],
    );
    check(
        r#""changes":{"api_key.name":{"before":"a","after":"b"},"api_key.value":{"before":"c","after":"d"}}"#,
        &["changes.api_key.value.before", "changes.api_key.value.after"],
    );
    check(r#""details":{"body":"{\"token\":{\"id\":1,\"value\":\"x\"}}"}"#, &["details.body"]);
}

#[test]
fn a_weaker_name_below_a_secrets_name_takes_nothing_back() {
    check(
        r#""details":{"credentials":{"clientToken":"x","has_token":"no"}}"#,
        &["details.credentials.clientToken", "details.credentials.has_token"],
    );
}

/// A trail, the text handed in both ways, and what stands in the lines behind the id.
#[test]
fn both_ways_of_writing_agree() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = trailseal_core::Options::default();
    options.origin = Some("example.com/objects".into());
    options.mask.hash = vec!["context.session_id".into()];
    options.handoff.size_bytes = 1 << 20;
    options.disk_reserve_bytes = Some(0);
    let trail = Trail::open(folder.path(), options).unwrap();
    let all = [
        r#""details":{"max_tokens":4096}"#,
        r#""details":{"tokens":["a"],"clientToken":"b","has_token":"no"}"#,
        r#""details":{"authorization":{"action":"a","scope":"b"}}"#,
        r#""details":{"api_key":{"id":"a","value":"b"}},"resource":{"type":"t","id":"4242424242424242"}"#,
        r#""context":{"session_id":"plain","trace_id":"4242424242424242"}"#,
        r#""context":{"trace_id":"4242424242424242"},"description":"session_id"#,
    ];
    for (number, fields) in all.iter().enumerate() {
        let fields = if fields.ends_with('}') { (*fields).to_owned() } else { format!("{fields}\"") };
        let json =
            format!("{{\"id\":\"{number}\",\"time\":\"2026-01-01T00:00:00Z\",\"action\":\"a.b\",{fields}}}");
        trail.with(ONCE).record(AnyEvent::Json(json.as_bytes())).unwrap();
        trail.record(&Event::from_json(json.as_bytes()).unwrap()).unwrap();
    }
    trail.close(std::time::Duration::from_secs(60)).unwrap();
    let text = std::fs::read_to_string(folder.path().join("segments/00000000000000000000.jsonl")).unwrap();
    let rests: Vec<&str> =
        text.lines().filter_map(|line| line.split_once("\"id\":\"").map(|(_, rest)| rest)).collect();
    let rests: Vec<&str> = rests.into_iter().filter(|rest| rest.contains("\"a.b\"")).collect();
    assert_eq!(rests.len(), 2 * all.len());
    rests.chunks(2).for_each(|pair| assert_eq!(pair[0], pair[1]));
    assert!(!text.contains("plain"), "{text}");
}
