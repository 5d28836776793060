//! A person is erased, by the built program: before, only who may sees their values; after, nobody does, whatever is asked;
//! and everything that was proved stays proved.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use support::Place;
use trailseal_core::{Ack, Options, Trail};
use trailseal_event::Event;
use trailseal_event::policy::Policy;

/// Begins every personal value, and stands nowhere else.
const PLAIN: &str = "Zq7Rhubarb";

const SETTINGS: &str = r#"
[[personal]]
fields = ["actor.name", "actor.email", "details.mail", "before.mail", "after.mail"]
subject = "actor.id"

[[personal]]
field = "context.session_id"
subject = "actor.id"
searchable = true
"#;

fn event(number: u32, who: &str) -> String {
    json!({
        "action": "user.update", "id": format!("e{number}"), "resource": {"type": "user", "id": "7"},
        "actor": {"id": who, "name": format!("{PLAIN} {who}"), "email": format!("{PLAIN}-{who}@example.com")},
        "context": {"session_id": format!("{PLAIN}-session-{who}")},
        "details": {"mail": {"to": format!("{PLAIN}-{who}"), "count": 1.50}, "note": "nothing of anybody"},
        "before": {"mail": format!("{PLAIN}-old-{number}"), "plan": "free"},
        "after": {"mail": format!("{PLAIN}-new-{number}"), "plan": "paid"},
    })
    .to_string()
    .replace("\"count\":1.5", "\"count\":1.50")
}

/// A trail with events of two people.
fn place() -> Place {
    place_with(SETTINGS)
}

fn place_with(settings: &str) -> Place {
    let place = Place::new();
    place.write("trailseal.toml", settings);
    let events: Vec<String> =
        (0..6).map(|number| event(number, if number % 2 == 0 { "u-ann" } else { "u-bob" })).collect();
    place.feed("record", events.join("\n")).ok();
    place
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

/// The files below `folder` in which these bytes are.
fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    files(folder).into_iter().filter(|(_, bytes)| has(bytes)).map(|(path, _)| path).collect()
}

#[track_caller]
fn nowhere(place: &Place, text: &str) {
    assert_eq!(files_with(&place.path(""), text), Vec::<PathBuf>::new(), "{text}");
}

/// Each way to print events.
const READS: [&str; 8] = [
    "query --format table",
    "query --format jsonl",
    "query --format csv",
    "tail -n 100 --format jsonl",
    "tail -n 100",
    "history user/7 --format jsonl",
    "history user/7",
    "export --format jsonl",
];

#[test]
fn every_way_to_read_shows_a_value_to_whoever_asks_for_it_and_to_nobody_else() {
    let place = place();
    nowhere(&place, PLAIN);
    for words in READS.into_iter().chain([
        "export --format csv",
        "summary",
        "summary --json",
        "stats --json",
        "verify",
        "doctor --json",
    ]) {
        let answer = place.run(words);
        assert!(!answer.out.contains(PLAIN) && !answer.err.contains(PLAIN), "{words}: {answer:#?}");
        if words.starts_with("query") || words.starts_with("export") {
            assert!(
                answer.out.contains("erasable") && !answer.out.contains("erasable:"),
                "{words}: {answer:#?}"
            );
        }
    }
    for words in READS {
        let answer = place.run(&format!("{words} --personal")).ok();
        // A table has no room for all of it.
        let is_whole = words.contains("jsonl") || words.contains("csv");
        let shown = format!("{PLAIN} {}", if is_whole { "u-ann" } else { "u-" });
        assert!(answer.out.contains(&shown), "{words}: {answer:#?}");
    }
    // As it was sent, with numbers as they were written.
    let read = place.run("query --format jsonl --id e2 --personal").ok();
    assert!(
        read.out.contains(&format!(r#""details":{{"mail":{{"to":"{PLAIN}-u-ann","count":1.50}},"#)),
        "{read:#?}"
    );
    assert!(
        read.out.contains(&format!(r#""mail":{{"before":"{PLAIN}-old-2","after":"{PLAIN}-new-2"}}"#)),
        "{read:#?}"
    );
    for (flags, is_shown) in [("", false), (" --personal", true)] {
        place.run(&format!("export --format sqlite --out e.db{flags}")).ok();
        place.run(&format!("export --format parquet --out e.parquet{flags}")).ok();
        assert_eq!(files_with(&place.path(""), PLAIN).contains(&place.path("e.db")), is_shown);
        std::fs::remove_file(place.path("e.db")).unwrap();
        std::fs::remove_file(place.path("e.parquet")).unwrap();
    }
    // What is searchable is found by its value; what is not, by nothing.
    let session = format!("{PLAIN}-session-u-bob");
    assert_eq!(place.run(&format!("query --count --session-id {session}")).ok().out.trim(), "3");
    for filter in [format!("--text {PLAIN}"), format!("--text {session}"), "--actor erasable:".to_owned()] {
        assert_eq!(place.run(&format!("query --count {filter}")).ok().out.trim(), "0", "{filter}");
    }
    place.run("reindex").ok();
    assert_eq!(place.run(&format!("query --count --session-id {session}")).ok().out.trim(), "3");
    nowhere(&place, PLAIN);
}

/// A line with the word in place of each token, by nothing but the form that docs/format.md gives tokens.
fn with_word(line: &str) -> String {
    let (mut out, mut rest) = (String::new(), line);
    while let Some((before, token)) = rest.split_once("\"erasable:") {
        out += before;
        out += "\"erasable\"";
        rest = token.split_once('"').unwrap().1;
    }
    out + rest
}

#[test]
fn without_the_scope_a_line_is_its_bytes_but_for_one_word_and_what_proves_has_them_all() {
    let place = place();
    place.feed("record", r#"{"action":"plain","id":"e9","details":{"n":1.50,"t":"erasable"}}"#).ok();
    let stored: Vec<String> =
        place.lines().into_iter().filter(|line| !line.contains("\"system\":true")).collect();
    assert!(stored.len() == 7 && stored[..6].iter().all(|line| line.contains("\"erasable:")), "{stored:#?}");
    let shown: Vec<String> = stored.iter().map(|line| with_word(line)).collect();
    assert_eq!(shown[6], stored[6], "a line without personal values is all its bytes");
    for words in [
        "query --format jsonl --order asc --order-by recorded",
        "tail -n 100 --format jsonl",
        "export --format jsonl",
    ] {
        assert_eq!(place.run(words).ok().out.lines().collect::<Vec<_>>(), shown, "{words}");
    }
    // Whatever proves something has the line that was hashed, whoever made it and with --personal, too.
    place.run("prove e2 --out e2.tlog-proof").ok();
    let proved =
        place.run_all(&["verify", "--proof", "e2.tlog-proof", "--public-key", &place.public_key()]).ok();
    assert!(proved.out.contains(&stored[2]), "{proved:#?}");
    for flag in ["", " --personal"] {
        place.run(&format!("export --format bundle --out all.zip{flag}")).ok();
        let mut zip = zip::ZipArchive::new(fs::File::open(place.path("all.zip")).unwrap()).unwrap();
        let mut lines = String::new();
        zip.by_name("0/lines.jsonl").unwrap().read_to_string(&mut lines).unwrap();
        assert_eq!(lines.lines().collect::<Vec<_>>(), stored, "{flag}");
        fs::remove_file(place.path("all.zip")).unwrap();
    }
}

#[test]
fn after_an_erasure_nobody_reads_the_values_and_every_proof_holds() {
    let place = place();
    place.run("export --format bundle --out before.zip").ok();
    place.run("prove e2 --out before.tlog-proof").ok();
    place.write("kept", place.run("checkpoint").ok().out);
    let key = place.public_key();
    let verdict = place.run("verify --json").ok().json();
    let lines = place.lines();
    let (bob, ann) =
        ("query --format jsonl --personal --actor u-bob", "query --format jsonl --personal --actor u-ann");
    let of_bob = place.run(bob).ok().out;

    let would = place.run("erase --subject u-ann --dry-run --json").ok().json();
    let values = |field: &str| {
        let fields = would["fields"].as_array().unwrap();
        fields.iter().find(|one| one["field"] == field).map_or(0, |one| one["values"].as_u64().unwrap())
    };
    for field in ["actor.name", "actor.email", "context.session_id"] {
        assert_eq!(values(field), 3, "{field}: {would}");
    }
    assert!(would["not_reached"]["plain"].to_string().contains("actor.id"), "{would}");
    assert_eq!((would["dry_run"].clone(), would["keys"].as_array().unwrap().len()), (json!(true), 1));
    assert!(place.run(ann).ok().out.contains(PLAIN), "a dry run changes nothing");

    let erased = place.run("erase --subject u-ann --json").ok().json();
    assert_eq!((&erased["keys"], &erased["already"]), (&would["keys"], &json!(null)), "{erased}");
    let after = place.run(ann).ok().out;
    assert!(after.contains("\"name\":\"erased\"") && !after.contains(PLAIN), "{after}");
    assert_eq!(place.run(bob).ok().out, of_bob, "the other's stay");
    for words in READS {
        let of_ann = if words.starts_with("history") { "" } else { " --actor u-ann" };
        let answer = place.run(&format!("{words} --personal{of_ann}")).ok();
        assert!(
            !answer.out.contains(&format!("{PLAIN} u-ann")) && !answer.out.contains("session-u-ann"),
            "{words}: {answer:#?}"
        );
    }

    // No line changed, and whatever was proved before is proved in the same words.
    assert_eq!(place.lines()[..lines.len()], lines);
    let now = place.run("verify --json").ok().json();
    assert_eq!((&now["ok"], &now["public_key"]), (&verdict["ok"], &verdict["public_key"]));
    place.run_all(&["verify", "--checkpoint", "kept", "--public-key", &key]).ok();
    let bundle =
        place.run_all(&["verify", "--bundle", "before.zip", "--public-key", &key, "--json"]).ok().json();
    assert_eq!((&bundle["ok"], &bundle["count"]), (&json!(true), &json!(6)), "{bundle}");
    place.run_all(&["verify", "--proof", "before.tlog-proof", "--public-key", &key]).ok();

    // The event names the key, and nothing names the person but what was in plain.
    let told = place.run("query --system --action trail.erased --format jsonl").ok().json_lines();
    assert_eq!(erased["erased_by"], json!([told[0]["index"]]), "{told:?}");
    assert!(told[0]["details"].to_string().contains(erased["keys"][0].as_str().unwrap()), "{told:?}");
    assert!(!told[0].to_string().contains("u-ann"), "{told:?}");

    let again = place.run("erase --subject u-ann").ok();
    assert!(again.out.contains("before") && again.out.contains(&told[0]["index"].to_string()), "{again:#?}");
    assert_eq!(place.run("erase --subject u-ann --json").ok().json()["already"]["index"], told[0]["index"]);
    place.run("erase --subject u-nobody").no();

    // What comes afterwards has a new key.
    place.feed("record", event(8, "u-ann")).ok();
    assert!(place.run(ann).ok().out.contains(&format!("{PLAIN}-new-8")));
    assert_eq!(place.run("erase --subject u-ann --json").ok().json()["already"], json!(null));
    assert!(!place.run(ann).ok().out.contains(PLAIN));
    nowhere(&place, &format!("{PLAIN}-u-ann"));
    nowhere(&place, PLAIN);
    place.run("verify").ok();
}

#[test]
fn a_person_is_read_from_standard_input() {
    let place = place();
    place.feed("erase --subject - --json", "u-ann\n").ok();
    assert!(!place.run("query --personal --format jsonl --actor u-ann").ok().out.contains(PLAIN));
    assert!(place.run("query --personal --format jsonl --actor u-bob").ok().out.contains(PLAIN));
}

#[test]
fn an_empty_standard_input_names_nobody() {
    let place = place();
    let nobody = "{\"action\":\"user.update\",\"details\":{\"mail\":\"Zq7Rhubarb of nobody\"}}\n";
    place.feed("record", nobody).ok();
    for input in ["", "\n"] {
        place.feed("erase --subject -", input).could_not(&["standard input names nobody", "--subject ''"]);
    }
    assert!(place.run("query --personal --format jsonl").ok().out.contains("of nobody"));
    // Whoever means it says so.
    place.run_all(&["erase", "--subject", ""]).ok();
    assert!(!place.run("query --personal --format jsonl").ok().out.contains("of nobody"));
}

#[test]
fn a_hold_refuses_and_names_itself() {
    let place = place();
    place.run_all(&["hold", "add", "case-7", "--reason", "Acme", "--id", "e2"]).ok();
    let would = place.run("erase --subject u-ann --dry-run --json").ok().json();
    assert_eq!(would["held_by"][0]["hold"], "case-7", "{would}");
    assert!(place.run("erase --subject u-ann").no().err.contains("case-7"));
    assert!(
        place.run("query --personal --format jsonl --id e2").ok().out.contains(PLAIN),
        "nothing was erased"
    );
    place.run("erase --subject u-bob").ok();
    place.run("hold remove case-7").ok();
    place.run("erase --subject u-ann").ok();
    assert!(!place.run("query --personal --format jsonl").ok().out.contains(PLAIN));
}

#[test]
fn a_bundle_with_values_in_plain_says_that_nothing_proves_them() {
    let place = place();
    place.run("export --format bundle --out plain.zip --personal").ok();
    place.run("export --format bundle --out sealed.zip").ok();
    let told = |file: &str| place.run_all(&["verify", "--bundle", file, "--json"]).ok().json();
    assert!(told("plain.zip")["cannot_rule_out"].to_string().contains("personal_values"));
    assert!(!told("sealed.zip")["cannot_rule_out"].to_string().contains("personal_values"));
    let text = |file: &str, member: &str| {
        let mut zip = zip::ZipArchive::new(std::fs::File::open(place.path(file)).unwrap()).unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut zip.by_name(member).unwrap(), &mut text).unwrap();
        text
    };
    assert_eq!(text("plain.zip", "0/lines.jsonl"), text("sealed.zip", "0/lines.jsonl"));
    assert!(!text("sealed.zip", "0/lines.jsonl").contains(PLAIN));
    assert!(text("plain.zip", "0/personal.jsonl").contains(PLAIN));
}

#[test]
fn the_settings_say_what_cannot_be() {
    for (settings, said) in [
        ("[[personal]]\nfield = \"tenant\"\nsubject = \"actor.id\"\n", "tenant cannot be personal"),
        ("[[personal]]\nfield = \"actor.id\"\nsubject = \"actor.id\"\n", "searchable = true"),
        ("[[personal]]\nfield = \"actor.name\"\n", "no `subject`"),
        ("personal = \"usual\"\n", "[[personal]]"),
        ("[personal_keys]\nmaster_key = \"a\"\nmaster_command = \"b\"\n", "two master keys"),
        ("[personal_keys]\nfile = \"\"\n", "personal_keys.file"),
    ] {
        let place = Place::new();
        place.write("trailseal.toml", settings);
        place.run("stats").could_not(&[said]);
    }
    let place = place_with("[[personal]]\npreset = \"usual\"\n");
    assert!(!place.run("query --format jsonl --id e2").ok().out.contains("u-ann@"));
    let doctor: Value = place.run("doctor --json").json();
    assert!(doctor["settings"].to_string().contains("actor.email"), "{doctor}");
}

#[test]
fn a_master_key_elsewhere_opens_what_the_folder_alone_does_not() {
    let settings = |more: &str| format!("{SETTINGS}\n[personal_keys]\nfile = \"elsewhere/personal\"\n{more}");
    let place = Place::new();
    std::fs::create_dir(place.path("elsewhere")).unwrap();
    place.write("master", "07".repeat(32));
    place.write("trailseal.toml", settings("master_key = \"master\"\n"));
    place.feed("record", event(1, "u-ann")).ok();
    assert!(place.path("elsewhere/personal").exists() && !place.path("trail/keys/personal").exists());
    let shown = |place: &Place| place.run("query --personal --format jsonl");
    assert!(shown(&place).ok().out.contains(PLAIN));
    // By a command, too; and not by another key, or by none.
    place.write("trailseal.toml", settings("master_command = \"cat master\"\n"));
    assert!(shown(&place).ok().out.contains(PLAIN));
    for more in ["", "master_command = \"exit 3\"\n", "master_command = \"echo 00\"\n"] {
        place.write("trailseal.toml", settings(more));
        let answer = shown(&place);
        assert_eq!(answer.code, Some(2), "{answer:#?}");
        assert!(!answer.out.contains(PLAIN) && !answer.err.contains("0707"), "{answer:#?}");
        assert!(place.run("query --format jsonl").ok().out.contains("erasable"));
    }
    place.write("trailseal.toml", settings("master_key = \"master\"\n"));
    place.run("erase --subject u-ann").ok();
    assert!(!shown(&place).ok().out.contains(PLAIN));
}

#[test]
fn each_slot_erases_its_own() {
    let place = Place::new();
    place.write("trailseal.toml", format!("workers = \"slots\"\n{SETTINGS}"));
    let open = || {
        let mut options = Options::default();
        options.policy = Policy::from_toml(SETTINGS).unwrap();
        options.handoff.size_bytes = 1 << 20;
        Trail::open_slot(place.path("trail"), options).unwrap()
    };
    let slots = [open(), open()];
    for (number, slot) in (0..).zip(&slots) {
        let read = Event::from_json(event(number, "u-ann").as_bytes()).unwrap();
        slot.with(Ack::Durable).record(&read).unwrap();
    }
    for slot in slots {
        slot.close(Duration::from_secs(60)).unwrap();
    }
    let shown = || place.run("query --personal --format jsonl").ok().out;
    assert_eq!(shown().matches(&format!("\"name\":\"{PLAIN} u-ann\"")).count(), 2, "{}", shown());
    let erased = place.run("erase --subject u-ann --json").ok().json_lines();
    assert_eq!(erased.len(), 2, "{erased:?}");
    assert_ne!(erased[0]["keys"], erased[1]["keys"]);
    assert!(!shown().contains(PLAIN));
    place.run("verify").ok();
}

#[test]
fn a_backup_has_the_keys_of_personal_values_only_if_that_was_said() {
    let place = place();
    assert!(place.run("backup sealed --with-keys").ok().err.contains("left out"));
    assert!(
        place.run("backup open --with-keys --personal-keys").ok().err.contains("does not reach this copy")
    );
    assert!(!place.path("sealed/keys/personal").exists() && place.path("open/keys/personal").exists());
    let shown = |dir: &str| place.run(&format!("query --personal --format jsonl --dir {dir}")).ok().out;
    assert!(shown("sealed").contains("\"name\":\"unreadable\"") && !shown("sealed").contains(PLAIN));
    assert!(shown("open").contains(PLAIN));
    place.run("erase --subject u-ann").ok();
    for dir in ["sealed", "open"] {
        place.run(&format!("verify --dir {dir}")).ok();
    }
    // What was told of the copy holds; the trail itself gives nothing away, and its next backup neither.
    assert!(shown("open").contains(&format!("{PLAIN} u-ann")));
    assert!(!shown("trail").contains(&format!("{PLAIN} u-ann")));
    place.run("backup open --with-keys --personal-keys").ok();
    assert!(!shown("open").contains(&format!("{PLAIN} u-ann")));
}
