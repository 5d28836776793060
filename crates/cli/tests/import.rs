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
        let defaulted = match format {
            "cloudtrail" => "{\"time\":16}",
            "kubernetes" => "{\"action\":23,\"time\":245}",
            _ => "{\"time\":29}",
        };
        assert_eq!(
            summary.to_string(),
            format!(
                "{{\"read\":{lines},\"recorded\":{lines},\"repeated\":0,\"left_out\":0,\"unconfirmed\":0,\
                 \"defaulted\":{defaulted},\"failed\":[]}}"
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

/// A record that only the mapping `own.toml` understands, which the place has.
const OWN: &str = "{\"do\":\"buy\",\"who\":\"chen\",\"at\":\"2024-01-15T10:30:00Z\"}\n";

fn place_with_mapping() -> Place {
    let place = Place::new();
    place.write("own.toml", "format = 'own'\n[event]\naction = 'do'\ntime = 'at'\n'actor.id' = 'who'\n");
    place
}

#[test]
fn an_input_that_is_not_understood_stops_the_import_after_a_sample() {
    let place = place_with_mapping();
    place.write("log", OWN.repeat(30));
    let github = sample("github-audit.jsonl");
    place.run("import --from github log").could_not(&["log: ", "no actor and no time", "--anyway"]);
    place
        .run_all(&["import", "--from", "cloudtrail", github.to_str().unwrap()])
        .could_not(&["it looks like github, not like cloudtrail"]);
    place.write("odd", "{\"stuff\":[{\"a\":1},{\"a\":2}]}\n");
    place.run("import --map own.toml odd").could_not(&["odd: ", "no action and no actor and no time"]);
    assert!(!place.path("trail").exists(), "nothing was recorded");
    let summary = place.run("import --json --anyway --from github log").ok().json();
    assert_eq!(
        (&summary["recorded"], &summary["defaulted"]["time"]),
        (&30.into(), &30.into()),
        "{summary:#}"
    );
    // A good file before it stays in.
    place.write("good", OWN);
    let answer = place.run("import --map own.toml good odd");
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    assert!(answer.err.contains("1 read, 1 recorded") && answer.err.contains("error: odd: "), "{answer:#?}");
    assert_eq!(place.run("query --action buy --count").ok().out, "1\n");
}

#[test]
fn containers_and_other_forms_become_one_event_per_record() {
    let place = place_with_mapping();
    let record = OWN.trim_end();
    place.write("container", format!("{{\"status\":\"ok\",\"entries\":[{}]}}", vec![record; 300].join(",")));
    assert_eq!(place.run("import --json --map own.toml container").ok().json()["recorded"], 300);
    let rows: String = (0..5).map(|n| format!("sell,\"Wei, {n}\",2024-01-15T10:30:00Z\n")).collect();
    place.write("table.csv", format!("do,who,at\n{rows}"));
    assert_eq!(place.run("import --json --map own.toml table.csv").ok().json()["recorded"], 5);
    assert_eq!(place.run_all(&["query", "--actor", "Wei, 3", "--count"]).ok().out, "1\n");
}

#[test]
fn auto_says_what_it_took_a_file_for_and_why() {
    let place = place_with_mapping();
    let (github, trail) = (sample("github-audit.jsonl"), sample("aws-cloudtrail.jsonl"));
    let answer =
        place.run_all(&["import", "--from", "auto", github.to_str().unwrap(), trail.to_str().unwrap()]).ok();
    assert!(answer.err.contains("taken for github: JSON lines; "), "{answer:#?}");
    assert!(
        answer.err.contains("taken for cloudtrail: JSON lines; 20 of the first 20 records have"),
        "{answer:#?}"
    );
    assert_eq!(place.run("query --count").ok().out, "534\n");
    place.write("log", OWN);
    place.run("import --from auto log").could_not(&["none of the known formats", "do, who, at", "--map"]);
}

#[test]
fn auto_stops_where_nothing_is_a_record_and_says_what_it_may_be() {
    let place = Place::new();
    place
        .write("web.log", "192.0.2.7 - - [15/Jan/2024:10:30:00 +0100] \"GET / HTTP/1.1\" 200 5\n".repeat(30));
    place.write("packed.zst", b"\x28\xb5\x2f\xfd\x04\x00\n\n");
    let inner = r#"{"action":"repo.create","actor":"cat","org":"acme","created_at":1705314600000}"#;
    place.write("found", format!("{{\"_index\":\"a\",\"_source\":{inner}}}\n").repeat(7));
    place.write("pod.log", format!("2024-01-15T10:30:00.123456789Z stdout F {inner}\n").repeat(7));
    let expected = [
        ("pod.log", "looks like github: take it out first, such as with sed 's/^[^{]*//'"),
        ("web.log", "line 1: not a JSON object"),
        ("packed.zst", "compressed with zstd"),
        ("found", "looks like github: take it out first, such as with jq -c '._source'"),
    ];
    for (file, what) in expected {
        for how in ["", "--dry-run", "--dry-run --json"] {
            place.run(&format!("import --from auto {how} {file}")).could_not(&[
                "none of the known formats",
                what,
                "nothing of it was recorded",
            ]);
        }
    }
    place.run("import --from github found").could_not(&["jq -c '._source'"]);
    place.write("empty", "\n");
    assert!(place.run("import --from auto empty").ok().err.contains("0 read"));
    assert!(!place.path("trail").exists(), "nothing was recorded");
}

#[test]
fn a_dry_run_shows_the_first_events_and_records_nothing() {
    let place = place_with_mapping();
    place.write("log", OWN.replace("chen", "chen\",\"password\":\"hunter2").repeat(7));
    let answer = place.run("import --dry-run --map own.toml log").ok();
    assert_eq!(answer.out.matches("\"buy\"").count(), 5, "{answer:#?}");
    assert!(answer.out.contains("nothing was missing"), "{answer:#?}");
    let shown = place.run("import --dry-run --json --map own.toml log").ok();
    assert!(!shown.out.contains("hunter2"), "{shown:#?}");
    let shown = shown.json();
    assert_eq!(shown["events"][0]["actor"]["id"], "chen");
    let other = place.run("import --dry-run --from github log").no();
    assert!(other.out.contains("the import would stop here"), "{other:#?}");
    let anyway = place.run("import --dry-run --anyway --from github log").ok();
    assert!(anyway.out.contains("would go on only because of --anyway"), "{anyway:#?}");
    assert!(other.out.contains("time") && other.out.contains("looked at @timestamp"), "{other:#?}");
    assert!(!place.path("trail").exists(), "nothing was recorded");
}

#[test]
fn a_file_that_breaks_off_is_in_the_failures() {
    let place = place_with_mapping();
    place.write("log", OWN.repeat(500));
    let packed = std::process::Command::new("gzip").arg("-c").arg(place.path("log")).output().unwrap().stdout;
    place.write("cut.gz", &packed[..packed.len() - 9]);
    let summary = place.run("import --json --map own.toml cut.gz").no().json();
    assert!(summary["failed"][0]["reason"].as_str().unwrap().contains("could not continue"), "{summary:#}");
    place.write("padded.gz", [&packed[..], &[0; 4096]].concat());
    assert_eq!(place.run("import --json --map own.toml padded.gz").ok().json()["read"], 500);
}

#[test]
fn types_with_slashes_untyped_ids_and_addresses_are_found_with_an_index_and_without() {
    let place = Place::new();
    place.write(
        "own.toml",
        "format = 'own'\n[event]\naction = 'do'\n'context.ip' = 'ip'\n'resource.type' = 'type'\n'resource.id' = 'id'\n",
    );
    place.write(
        "log",
        "{\"do\":\"stop\",\"ip\":\"::ffff:192.0.2.7\",\"type\":\"Microsoft.Compute/virtualMachines\",\"id\":\"g/vm1\"}\n\
         {\"do\":\"view\",\"ip\":\"[2001:DB8:0::1]:443\",\"id\":\"d/7\"}\n",
    );
    place.run("import --map own.toml log").ok();
    for without_index in [false, true] {
        if without_index {
            std::fs::remove_dir_all(place.path("trail/index")).unwrap();
        }
        let count = |filter: &[&str]| place.run_all(&[&["query", "--count"], filter].concat()).ok().out;
        for resource in
            ["Microsoft.Compute/virtualMachines/g/vm1", "Microsoft.Compute/virtualMachines", "/d/7"]
        {
            assert_eq!(count(&["--resource", resource]), "1\n", "{resource}");
        }
        for resource in ["Microsoft.Compute", "virtualMachines/g/vm1", "d/7"] {
            assert_eq!(count(&["--resource", resource]), "0\n", "{resource}");
        }
        for ip in ["192.0.2.7", "192.0.2.7:443", "::ffff:c000:207"] {
            assert_eq!(count(&["--ip", ip]), "1\n", "{ip}");
        }
        assert_eq!(count(&["--ip", "2001:db8::1"]), "1\n");
        assert_eq!(count(&["--ip", "192.0.2.70"]), "0\n");
        let history = place.run("history --json Microsoft.Compute/virtualMachines/g/vm1").ok();
        assert_eq!(history.json()["action"], "stop", "{history:#?}");
        // What an event holds stays as it was sent.
        assert_eq!(history.json()["context"]["ip"], "::ffff:192.0.2.7");
    }
}

#[test]
fn a_changed_mapping_gives_conflicts_and_no_second_copy() {
    let place = place_with_mapping();
    place.write("log", OWN);
    place.run("import --map own.toml log").ok();
    place.write("own.toml", "format = 'own'\n[event]\naction = 'who'\n'actor.id' = 'do'\n");
    let answer = place.run("import --json --map own.toml log").no();
    let reason = answer.json()["failed"][0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("has other content") && reason.contains("new format name"), "{reason}");
    assert_eq!(place.run("query --count").ok().out, "1\n");
}

/// As with `record`: the last value counts, and the earlier one is kept.
#[test]
fn of_doubled_keys_both_values_are_kept() {
    let place = Place::new();
    let begin =
        r#"{"eventVersion":"1.08","eventTime":"2024-01-01T00:00:00Z","eventName":"A","eventSource":"s""#;
    let doubled = r#""userIdentity":{"arn":"first","arn":"last"},"sourceIPAddress":"192.0.2.1","sourceIPAddress":"192.0.2.2"}"#;
    place.write("one.jsonl", format!("{begin},{doubled}\n"));
    place.write("two.json", format!("{{\"Records\":[{begin},\n  \"n\":2,{doubled}]}}"));
    place.run("import --from cloudtrail one.jsonl two.json").ok();
    place.run("import --from cloudtrail one.jsonl two.json").ok();
    let events = place.run("query --format jsonl").ok().json_lines();
    assert_eq!(events.len(), 2);
    for event in events {
        assert_eq!((&event["actor"]["id"], &event["context"]["ip"]), (&"last".into(), &"192.0.2.2".into()));
        let kept = &event["details"]["_invalid"];
        assert_eq!(kept["details.record.userIdentity.arn"], "first", "{event}");
        assert_eq!(kept["details.record.sourceIPAddress"], "192.0.2.1", "{event}");
    }
}
