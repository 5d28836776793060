//! `trailseal import`: real records go in once, whatever they look like.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Write as _;

use support::{Answer, Place, SAMPLES, sample};

fn import(place: &Place, format: &str, path: &std::path::Path) -> Answer {
    place.run_all(&["import", "--json", "--from", format, path.to_str().unwrap()])
}

#[test]
fn every_line_of_the_samples_goes_in_once_and_again_adds_nothing() {
    let place = Place::new();
    for (format, name, lines) in SAMPLES {
        let summary = import(&place, format, &sample(name)).ok().json();
        assert_eq!(
            summary.to_string(),
            format!(
                "{{\"read\":{lines},\"recorded\":{lines},\"repeated\":0,\"left_out\":0,\"unconfirmed\":0,\"failed\":[]}}"
            )
        );
    }
    assert_eq!(place.run("query --count").ok().out, "801\n");
    for (format, name, lines) in SAMPLES {
        let summary = import(&place, format, &sample(name)).ok().json();
        assert_eq!((&summary["recorded"], &summary["repeated"]), (&0.into(), &lines.into()));
    }
    assert_eq!(place.run("query --count").ok().out, "801\n");
    place.run("verify").ok();
}

#[test]
fn the_summary_is_on_stderr_without_json() {
    let place = Place::new();
    let path = sample("github-audit.jsonl");
    let answer = place.run_all(&["import", "--from", "github", path.to_str().unwrap()]).ok();
    assert_eq!(answer.out, "");
    assert!(answer.err.contains("92 read, 92 recorded"), "{answer:#?}");
}

#[test]
fn a_line_that_is_not_json_is_named_and_the_rest_goes_in() {
    let place = Place::new();
    place.write(
        "log",
        "{\"action\":\"a.b\",\"created_at\":1}\nbroken {\n\n{\"action\":\"c.d\",\"created_at\":2}\n",
    );
    let answer = place.run("import --json --from github log").no();
    let summary = answer.json();
    assert_eq!((&summary["read"], &summary["recorded"]), (&3.into(), &2.into()), "{summary:#}");
    let failed = summary["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!((&failed[0]["file"], &failed[0]["line"]), (&"log".into(), &2.into()));
    assert!(failed[0]["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    assert!(answer.err.contains("log, line 2: "), "{answer:#?}");
}

#[test]
fn lines_with_equal_bytes_are_each_an_event() {
    let place = Place::new();
    let line = "{\"action\":\"repo.create\",\"created_at\":1621305118553,\"actor\":\"cat\"}\n";
    place.write("log", line.repeat(3));
    assert_eq!(place.run("import --json --from github log").ok().json()["recorded"], 3);
    assert_eq!(place.run("import --json --from github log").ok().json()["repeated"], 3);
    // One more of them in the file is one more event.
    place.write("log", line.repeat(4));
    let summary = place.run("import --json --from github log").ok().json();
    assert_eq!((&summary["recorded"], &summary["repeated"]), (&1.into(), &3.into()));
}

#[test]
fn wrapped_and_compressed_files_are_read() {
    let place = Place::new();
    let record = |name: &str| {
        format!(
            "{{\"eventTime\":\"2024-05-01T10:00:00Z\",\"eventName\":\"{name}\",\
             \"eventSource\":\"s3.amazonaws.com\",\"eventID\":\"{name}-id\"}}"
        )
    };
    place.write(
        "wrapped.json",
        format!("{{\"Records\":[{},\n{}]}}", record("GetObject"), record("PutObject")),
    );
    assert_eq!(place.run("import --json --from cloudtrail wrapped.json").ok().json()["recorded"], 2);
    let mut gzip = std::process::Command::new("gzip")
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::fs::File::create(place.path("one.json.gz")).unwrap())
        .spawn()
        .unwrap();
    gzip.stdin.take().unwrap().write_all(record("DeleteObject").as_bytes()).unwrap();
    assert!(gzip.wait().unwrap().success());
    assert_eq!(place.run("import --json --from cloudtrail one.json.gz").ok().json()["recorded"], 1);
    let actions = place.run("query --format jsonl").ok();
    assert!(actions.out.contains("DeleteObject") && actions.out.contains("PutObject"), "{actions:#?}");
    // The source's own id is found.
    assert_eq!(place.run("query --text GetObject-id --count").ok().out, "1\n");
}

#[test]
fn a_record_without_action_or_time_goes_in_marked() {
    let place = Place::new();
    place.write("log", "{\"actor\":\"cat\"}\n");
    place.run("import --from github log").ok();
    let event = place.run("query --format jsonl").ok().json();
    assert_eq!(event["action"], "unknown");
    assert!(event["time"].is_string());
    place.run("import --from github log").ok();
    assert_eq!(place.run("query --count").ok().out, "1\n");
}

#[test]
fn several_files_and_standard_input_are_taken_in_turn() {
    let place = Place::new();
    place.write("one", "{\"action\":\"one\",\"created_at\":1}\n");
    place.write("two", "{\"action\":\"two\",\"created_at\":2}\n");
    let answer =
        place.feed("import --json --from github one - two", "{\"action\":\"mid\",\"created_at\":3}\n").ok();
    assert_eq!(answer.json()["recorded"], 3);
    assert_eq!(
        place.run("query --order asc --order-by recorded --format jsonl").ok().field("action"),
        ["one", "mid", "two"]
    );
}

#[test]
fn a_mapping_of_ones_own_is_read_and_its_errors_name_the_line() {
    let place = Place::new();
    let mappings = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../import/mappings/github.toml");
    std::fs::copy(mappings, place.path("own.toml")).unwrap();
    place.write("log", "{\"action\":\"x.y\",\"actor\":\"cat\",\"created_at\":1}\n");
    assert_eq!(place.run("import --json --map own.toml log").ok().json()["recorded"], 1);
    place.write("own.toml", "\n\nthis is no mapping\n");
    place.run("import --map own.toml log").could_not(&["own.toml:3"]);
}

#[test]
fn what_cannot_be_imported_is_said_before_anything_is() {
    let place = Place::new();
    place.write("log", "{\"action\":\"x\"}\n");
    place.run("import --from nonsense log").could_not(&["nonsense", "cloudtrail", "kubernetes", "github"]);
    place.run("import --from github log missing").could_not(&["missing"]);
    place.run("import --map missing.toml log").could_not(&["missing.toml"]);
    assert!(!place.path("trail").exists());
}

#[test]
fn what_the_policy_lets_a_request_go_on_without_is_no_success_of_an_import() {
    let place = Place::new();
    place.write("trailseal.toml", "on_failure = \"allow\"\ndisk_reserve = \"900000GiB\"\n");
    let answer = import(&place, "github", &sample("github-audit.jsonl")).no();
    let summary = answer.json();
    assert_eq!((&summary["recorded"], &summary["left_out"]), (&0.into(), &0.into()), "{summary:#}");
    assert_eq!(summary["failed"].as_array().unwrap().len(), 92);
}

#[test]
fn what_is_kept_and_not_confirmed_is_not_called_lost() {
    let place = Place::new();
    place.write("trailseal.toml", "mode = \"sync\"\ntimeout_ms = 0\n");
    let answer = import(&place, "github", &sample("github-audit.jsonl")).no();
    let summary = answer.json();
    assert_eq!(
        (&summary["recorded"], &summary["failed"]),
        (&92.into(), &serde_json::json!([])),
        "{summary:#}"
    );
    assert!(summary["unconfirmed"].as_u64().unwrap() > 0, "{summary:#}");
    assert!(!answer.err.contains("not recorded"), "{answer:#?}");
    assert_eq!(place.run("query --count").ok().out, "92\n");
}

#[test]
fn under_sampling_to_import_again_adds_nothing() {
    let place = Place::new();
    place.write("trailseal.toml", "mode = \"sampled\"\nrate = 0.5\n");
    import(&place, "github", &sample("github-audit.jsonl")).ok();
    let once = place.run("query --count").ok().out;
    let again = import(&place, "github", &sample("github-audit.jsonl")).ok().json();
    assert_eq!(again["recorded"], 0, "{again:#}");
    assert_eq!(place.run("query --count").ok().out, once);
}
