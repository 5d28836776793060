//! What says who it is, or decides who may read, keeps apart what differs: what only looks like a secret stays, what
//! certainly is one becomes its keyed hash.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use trailseal_core::file::StdFiles;
use trailseal_core::{AnyEvent, Folder, Options, RecordOptions, Status, Trail, load_mask_key};
use trailseal_event::filter::Filter;
use trailseal_event::mask::{MaskKey, MaskOptions, Masker, Preset, ReplaceWith, TenantError};
use trailseal_event::{Event, Value};

const ONCE: RecordOptions = RecordOptions::new().once();

const LONG: Duration = Duration::from_secs(60);

/// The fields that say who it is, as paths.
const IDENTITIES: [&str; 10] = [
    "tenant",
    "actor.id",
    "on_behalf_of.id",
    "resource.id",
    "related.0.id",
    "context.request_id",
    "context.correlation_id",
    "context.session_id",
    "context.trace_id",
    "context.span_id",
];

/// The JSON of an event with this text in each of them.
fn event(id: &str, text: &str) -> String {
    let text = Value::from(text);
    format!(
        r#"{{"id":"{id}","action":"test.made","tenant":{text},"actor":{{"id":{text}}},"on_behalf_of":{{"id":{text}}},"#
    ) + &format!(
        r#""resource":{{"type":"t","id":{text}}},"related":[{{"type":"t","id":{text}}}],"context":{{"request_id":{text},"correlation_id":{text},"session_id":{text},"trace_id":{text},"span_id":{text}}}}}"#
    )
}

fn options() -> Options {
    let mut options = Options::default();
    options.origin = Some("example.com/identity".into());
    options.handoff.size_bytes = 16 << 20;
    options.disk_reserve_bytes = Some(0);
    options
}

fn opened(folder: &std::path::Path, mask: MaskOptions) -> Trail {
    let mut options = options();
    options.mask = mask;
    Trail::open(folder, options).unwrap()
}

/// The lines of events of the test, as values.
fn lines(folder: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("segments/00000000000000000000.jsonl")).unwrap();
    let of_test = text.lines().filter(|line| line.contains("test.made"));
    of_test.map(|line| Value::parse(line.as_bytes()).unwrap()).collect()
}

fn key(folder: &std::path::Path) -> MaskKey {
    load_mask_key(&Folder::new(folder, Arc::new(StdFiles))).unwrap().unwrap()
}

fn texts(line: &Value) -> Vec<&str> {
    IDENTITIES.map(|path| line.get_path(path).unwrap().as_str().unwrap()).into()
}

/// The same numbers in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn of(&mut self, alphabet: &[u8], len: usize) -> String {
        (0..len).map(|_| char::from(alphabet[(self.next() % alphabet.len() as u64) as usize])).collect()
    }

    fn digits(&mut self, len: usize) -> String {
        self.of(b"0123456789", len)
    }

    fn hex(&mut self, len: usize) -> String {
        self.of(b"0123456789abcdef", len)
    }

    /// A number with the beginning, length and check digit of a card.
    fn card(&mut self) -> String {
        let [prefix, len] =
            [["4", "16"], ["51", "16"], ["34", "15"], ["6011", "16"]][(self.next() % 4) as usize];
        let len: usize = len.parse().unwrap();
        let body = format!("{prefix}{}", self.digits(len - prefix.len() - 1));
        let sum: u32 = body.bytes().rev().enumerate().fold(0, |sum, (place, digit)| {
            let digit = u32::from(digit - b'0') * if place % 2 == 0 { 2 } else { 1 };
            sum + digit / 10 + digit % 10
        });
        format!("{body}{}", (10 - sum % 10) % 10)
    }

    /// An id as programs make them.
    fn id(&mut self, number: usize) -> String {
        const ALNUM: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        match number % 14 {
            0 => self.digits(16),
            1 => self.card(),
            2 => {
                let card = self.card();
                card.as_bytes()
                    .chunks(4)
                    .map(|part| std::str::from_utf8(part).unwrap())
                    .collect::<Vec<_>>()
                    .join("-")
            }
            3 => {
                let hex = self.hex(32);
                format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
            }
            4 => self.hex([32, 40, 64, 128][number / 14 % 4]),
            5 => format!("1{}", self.digits(18)),
            6 => format!("arn:aws:iam::{}:user/{}", self.digits(12), self.of(ALNUM, 12)),
            7 => format!(
                "arn:aws:secretsmanager:eu-west-1:{}:secret:prod/db-{}",
                self.digits(12),
                self.of(ALNUM, 6)
            ),
            8 => self.of(ALNUM, 22),
            9 => format!("AKIA{}", self.of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
            10 => format!("01{}", self.of(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24)),
            11 => format!("user-{}@example.com", self.digits(16)),
            12 => format!("https://example.com/accounts/{}?page={}", self.card(), self.digits(3)),
            _ => format!("+{}", self.digits(15)),
        }
    }
}

#[test]
fn what_only_looks_like_a_secret_stays_by_both_ways_of_writing() {
    let folder = tempfile::tempdir().unwrap();
    let trail = opened(folder.path(), MaskOptions::default());
    let (mut random, mut ids) = (Random(1), Vec::new());
    for number in 0..10_000 {
        ids.push(random.id(number));
        let json = event(&format!("e{number}"), &ids[number]);
        match number % 2 {
            0 => drop(trail.with(ONCE).record(AnyEvent::Json(json.as_bytes())).unwrap()),
            _ => drop(trail.record(&Event::from_json(json.as_bytes()).unwrap()).unwrap()),
        }
    }
    trail.close(LONG).unwrap();
    let lines = lines(folder.path());
    assert_eq!(lines.len(), 10_000);
    for (id, line) in ids.iter().zip(&lines) {
        assert!(texts(line).iter().all(|text| text == id) && line.get("masked").is_none(), "{id}: {line}");
    }
}

fn certain() -> Vec<String> {
    let hex = |number: u64| Random(number).hex(36);
    let mut secrets = vec![
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl".to_owned(),
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIyIn0.c2lnbmF0dXJl".to_owned(),
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----".to_owned(),
        "Bearer 4f8a1c0e5d7b4e2f9a6c3b8d7e1f0a2c".to_owned(),
        "Basic YWxhZGRpbjpvcGVuc2VzYW1l".to_owned(),
        "https://ada:hunter2@example.com/a".to_owned(),
        "https://ada:hunter3@example.com/a".to_owned(),
        "https://example.com/a?token=Zk9qT7wL2xYb&page=2".to_owned(),
        "https://example.com/a?token=Zk9qT7wL2xYc&page=2".to_owned(),
    ];
    secrets.extend((0..20).map(|number| format!("ghp_{}", hex(number))));
    secrets
}

#[test]
fn what_certainly_is_a_secret_becomes_its_hash_by_both_ways_of_writing() {
    for options in [
        MaskOptions::default(),
        MaskOptions { replace_with: ReplaceWith::Remove, ..MaskOptions::default() },
        MaskOptions { preset: Some(Preset::Doc003), ..MaskOptions::default() },
    ] {
        let folder = tempfile::tempdir().unwrap();
        let trail = opened(folder.path(), options);
        let secrets = certain();
        for (number, secret) in secrets.iter().enumerate() {
            let json = event(&format!("e{number}"), secret);
            trail.with(ONCE).record(AnyEvent::Json(json.as_bytes())).unwrap();
            trail.record(&Event::from_json(json.as_bytes()).unwrap()).unwrap();
            // Again: what is stored is compared with what would be.
            let sent = Event::from_json(json.as_bytes()).unwrap();
            let repeated = trail.with(ONCE).record(&sent).unwrap();
            assert_eq!(repeated.status, Status::Repeated { retired: false });
        }
        trail.close(LONG).unwrap();
        let (key, lines) = (key(folder.path()), lines(folder.path()));
        let mut hashes = BTreeSet::new();
        for (secret, pair) in secrets.iter().zip(lines.chunks(2)) {
            for line in pair {
                let hash = key.hash(secret);
                assert!(hash.starts_with("hmac:") && texts(line).iter().all(|text| *text == hash), "{line}");
                let masked: Vec<&str> = line
                    .get("masked")
                    .unwrap()
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|path| path.as_str().unwrap())
                    .collect();
                assert_eq!(masked.iter().collect::<BTreeSet<_>>(), IDENTITIES.iter().collect());
                hashes.insert(hash);
            }
        }
        assert_eq!(hashes.len(), secrets.len(), "two became one");
    }
}

#[test]
fn a_filter_finds_by_plain_value_what_was_hashed() {
    let folder = tempfile::tempdir().unwrap();
    let trail = opened(folder.path(), MaskOptions::default());
    let secrets = certain();
    for (number, secret) in secrets.iter().enumerate() {
        trail.record(&Event::from_json(event(&format!("e{number}"), secret).as_bytes()).unwrap()).unwrap();
    }
    trail.close(LONG).unwrap();
    let key = key(folder.path());
    let text = std::fs::read_to_string(folder.path().join("segments/00000000000000000000.jsonl")).unwrap();
    for secret in &secrets {
        let resource = format!("t/{secret}");
        for (name, value) in [
            ("tenant", secret),
            ("actor", secret),
            ("on_behalf_of", secret),
            ("resource", &resource),
            ("request_id", secret),
            ("correlation_id", secret),
            ("session_id", secret),
            ("trace_id", secret),
        ] {
            let filter = Filter::from_pairs([(name, value.as_str())], Default::default()).unwrap();
            let count = |filter: &Filter| text.lines().filter(|line| filter.accepts(line.as_bytes())).count();
            assert_eq!(count(&filter.as_stored(Some(&key))), 1, "{name}");
            assert_eq!(count(&filter.as_stored(None)), 0, "{name}");
        }
    }
}

#[test]
fn two_tenants_never_suppress_one_another() {
    let folder = tempfile::tempdir().unwrap();
    let trail = opened(folder.path(), MaskOptions::default());
    let long = |end: &str| "t".repeat(1_500) + end;
    let tenants = [
        "4242424242424242".to_owned(),
        "4000056655665556".to_owned(),
        long("1"),
        long("2"),
        // As long as is kept, and alike in all but the end.
        "t".repeat(1_023) + "1",
        "t".repeat(1_023) + "2",
        "ghp_Zk9q1234567890abcdefABCDEF1234567890".to_owned(),
        "ghp_Zk9q1234567890abcdefABCDEF1234567891".to_owned(),
    ];
    for times in 0..2 {
        for tenant in &tenants {
            let sent =
                Event::new("test.made").id("1").tenant(tenant.as_str()).detail("k", "x".repeat(70_000));
            let once = trail.with(ONCE).record(&sent).unwrap();
            assert_eq!(once.status == Status::Accepted, times == 0, "{times} {tenant}");
        }
    }
    trail.close(LONG).unwrap();
    let stored: BTreeSet<String> =
        lines(folder.path()).iter().map(|line| line.get("tenant").unwrap().to_string()).collect();
    assert_eq!(stored.len(), tenants.len(), "{stored:?}");
}

#[test]
fn a_tenant_that_no_event_keeps_is_told() {
    let masker = Masker::new(&MaskOptions::default()).unwrap();
    for tenant in
        ["acme", "4242424242424242", "***", "arn:aws:iam::123456789012:user/ada", &"t".repeat(1_024)]
    {
        assert_eq!(masker.check_tenant(tenant), Ok(()), "{tenant}");
    }
    assert_eq!(masker.check_tenant(&"t".repeat(1_025)), Err(TenantError::TooLong { bytes: 1_025 }));
    for tenant in certain() {
        let error = masker.check_tenant(&tenant).unwrap_err();
        assert!(
            matches!(error, TenantError::Secret { .. }) && !error.to_string().contains(&tenant),
            "{error}"
        );
    }
    let off = Masker::new(&MaskOptions { enabled: false, ..MaskOptions::default() }).unwrap();
    assert!(off.check_tenant(&certain()[0]).is_ok());
}

fn masked(mask: MaskOptions, json: &str) -> (Vec<String>, Event) {
    let mut event = Event::from_json(json.as_bytes()).unwrap();
    let paths = Masker::new(&mask).unwrap().mask(&mut event);
    (paths, event)
}

#[test]
fn named_fields_are_always_hashed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let hash =
        ["context.session_id", "details.*.card", "before.card", "after.card", "actor.roles", "actor.email"];
    let mask = MaskOptions { hash: hash.map(str::to_owned).into(), ..MaskOptions::default() };
    let trail = opened(folder.path(), mask.clone());
    let json = r#"{"id":"ID","action":"test.made","context":{"session_id":"s-1","trace_id":"t-1"},"actor":{"roles":["r-1"],"email":"e-1","name":"n"},"details":{"a":{"card":4711,"n":7},"card":"stays"},"before":{"card":"c-1","n":1},"after":{"card":"c-2","n":2}}"#;
    let json = |id: &str| json.replace("ID", id);
    trail.with(ONCE).record(AnyEvent::Json(json("1").as_bytes())).unwrap();
    trail.record(&Event::from_json(json("2").as_bytes()).unwrap()).unwrap();
    // What could not be taken is below its own path, and no less hidden.
    let number = r#"{"id":"3","action":"test.made","context":{"session_id":471147114711}}"#;
    trail.with(ONCE).record(AnyEvent::Json(number.as_bytes())).unwrap();
    trail.close(LONG).unwrap();
    let (key, lines) = (key(folder.path()), lines(folder.path()));
    for line in &lines[..2] {
        let text = |path: &str| line.get_path(path).unwrap().as_str().unwrap().to_owned();
        let at = [
            ("context.session_id", "s-1"),
            ("actor.roles.0", "r-1"),
            ("actor.email", "e-1"),
            ("details.a.card", "4711"),
            ("before.card", "c-1"),
            ("after.card", "c-2"),
            ("changes.card.before", "c-1"),
            ("changes.card.after", "c-2"),
        ];
        for (path, value) in at {
            assert_eq!(text(path), key.hash(value), "{path}");
        }
        assert_eq!((text("context.trace_id"), text("details.card")), ("t-1".into(), "stays".into()));
        let mut expected: Vec<&str> = at.iter().map(|(path, _)| *path).collect();
        let masked = line.get("masked").unwrap().as_array().unwrap();
        let mut masked: Vec<&str> = masked.iter().map(|path| path.as_str().unwrap()).collect();
        expected.sort_unstable();
        masked.sort_unstable();
        assert_eq!(masked, expected);
    }
    assert_eq!(
        lines[2].get("details").unwrap().to_string(),
        format!(r#"{{"_invalid":{{"context.session_id":"{}"}}}}"#, key.hash("471147114711"))
    );
    let (again, mut event) = masked(MaskOptions { key: Some(key), ..mask.clone() }, &json("1"));
    assert_eq!(again.len(), 8, "{again:?}");
    let masker = Masker::new(&MaskOptions { key: Some(self::key(folder.path())), ..mask }).unwrap();
    assert!(masker.mask(&mut event).is_empty(), "hashed again");
}

#[test]
fn a_named_field_is_hashed_though_its_part_has_the_wrong_form() {
    let folder = tempfile::tempdir().unwrap();
    let mask = MaskOptions { hash: vec!["context.session_id".into()], ..MaskOptions::default() };
    let trail = opened(folder.path(), mask);
    for context in [r#""plain-1""#, r#"[{"session_id":"plain-1"}]"#, r#""{\"session_id\":\"plain-1\"}""#] {
        let json = format!(r#"{{"action":"test.made","context":{context},"actor":["stays"]}}"#);
        trail.with(ONCE).record(AnyEvent::Json(json.as_bytes())).unwrap();
        trail.record(&Event::from_json(json.as_bytes()).unwrap()).unwrap();
    }
    trail.close(LONG).unwrap();
    let lines = lines(folder.path());
    assert_eq!(lines.len(), 6);
    for line in lines.iter().map(ToString::to_string) {
        assert!(!line.contains("plain-1") && line.contains("hmac:") && line.contains("stays"), "{line}");
    }
}

#[test]
fn a_changed_field_that_is_hashed_leaks_by_no_other_way() {
    // Something else makes the two states equal, so that the changes are kept from before masking.
    let mask = MaskOptions { hash: vec!["before.a".into(), "after.a".into()], ..MaskOptions::default() };
    let json = r#"{"action":"a","before":{"password":"p-1","a":{"b":"plain-1","c.d":"plain-2"}},"after":{"password":"p-2","a":{"b":"plain-3","c.d":"plain-4"}}}"#;
    let (_, event) = masked(mask, json);
    let changes = event.changes.unwrap().to_string();
    assert!(
        !changes.contains("plain") && !changes.contains("p-1") && changes.contains("password"),
        "{changes}"
    );
}

#[test]
fn a_users_key_keeps_people_apart() {
    let mask = || MaskOptions { keys: vec!["actor".into(), "tenant".into()], ..MaskOptions::default() };
    let of =
        |id: &str| masked(mask(), &format!(r#"{{"action":"a","tenant":"acme","actor":{{"id":"{id}"}}}}"#)).1;
    let (one, other) = (of("u1"), of("u2"));
    assert_eq!(one.tenant.as_deref(), Some("acme"), "it decides who may read");
    let id = |event: &Event| event.actor.clone().unwrap().id.unwrap();
    assert!(id(&one).starts_with("hmac:") && id(&one) != id(&other));
}

#[test]
fn paths_that_cannot_be_hashed_are_refused() {
    for path in ["tenant", "action", "", "*"] {
        let mask = MaskOptions { hash: vec![path.into()], ..MaskOptions::default() };
        let error = Masker::new(&mask).unwrap_err().to_string();
        assert!(error.contains("cannot be hashed") && error.contains("context.session_id"), "{error}");
    }
}

#[test]
fn the_key_is_there_from_the_first_opening_on_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    opened(folder.path(), MaskOptions::default()).close(LONG).unwrap();
    let first = key(folder.path());
    opened(folder.path(), MaskOptions::default()).close(LONG).unwrap();
    assert_eq!(first, key(folder.path()));
}

#[test]
fn slots_hash_alike() {
    let folder = tempfile::tempdir().unwrap();
    // All at once, as the workers of a server start.
    let open = |_: usize| {
        let path = folder.path().to_owned();
        std::thread::spawn(move || Trail::open_slot(path, options()).unwrap())
    };
    let opening: Vec<_> = (0..4).map(open).collect();
    let trails: Vec<Trail> = opening.into_iter().map(|one| one.join().unwrap()).collect();
    let hash_in = |trail: &Trail| key(trail.folder().root()).hash("x");
    assert_eq!(trails.iter().map(hash_in).collect::<BTreeSet<_>>().len(), 1);
    for trail in &trails {
        trail.close(LONG).unwrap();
    }
}
