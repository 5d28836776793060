//! Old events go, by the built program: space comes back, everything that was proved before stays proved, and nothing that
//! is held goes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{Place, aged};

const OLD: usize = 1_000;
const TENANTS: usize = 4;

fn aged_place() -> Place {
    let place = Place::new();
    aged::make(&place.path("trail"), OLD, TENANTS);
    place
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    found
}

/// Whether every line of a segment that was there before is there, byte for byte, and no list of retired ones is new.
fn nothing_went(folder: &Path, before: &BTreeMap<PathBuf, Vec<u8>>) -> bool {
    let after = files(folder);
    let is_list = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "retired");
    let is_kept = |(path, bytes): (&PathBuf, &Vec<u8>)| {
        let is_segment = path.extension().is_some_and(|extension| extension == "jsonl");
        !is_segment || after.get(path).is_some_and(|now| now.starts_with(bytes))
    };
    before.iter().all(is_kept)
        && after.keys().filter(is_list).count() == before.keys().filter(is_list).count()
}

/// The kilobytes that a folder takes, as the system says.
fn du(folder: &Path) -> u64 {
    let output = std::process::Command::new("du").arg("-sk").arg(folder).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

fn stats(place: &Place) -> Value {
    place.run("stats --json").ok().json()
}

fn count(place: &Place, filters: &str) -> u64 {
    place.run(&format!("query --count {filters}")).ok().out.trim().parse().unwrap()
}

/// The one bundle in a folder.
fn bundle_in(folder: &Path) -> String {
    let names: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    names[0].to_str().unwrap().to_owned()
}

#[test]
fn space_comes_back_and_what_was_proved_before_stays_proved() {
    let place = aged_place();
    let key = place.public_key();
    place.write("kept", place.run("checkpoint").ok().out);
    place.run("export --format bundle --out old.zip").ok();
    place.run("prove id:old-7 --out old.tlog-proof").ok();
    let (segments, before, counted) = (place.path("trail/segments"), stats(&place), count(&place, ""));
    assert_eq!(before["retired"], 0);
    let du_before = du(&segments);

    // A dry run says the same, and changes nothing.
    let untouched = files(&segments);
    let would = place.run("retain --older-than 90d --dry-run --json").ok().json();
    assert!(nothing_went(&segments, &untouched));
    assert_eq!((count(&place, ""), &stats(&place)["retired"]), (counted, &json!(0)));
    let retained = place.run("retain --older-than 90d --archive archive --json").ok().json();
    let gone = retained["events"].as_u64().unwrap();
    // The last of the old ones lie in the segment of the new ones.
    assert!(gone > OLD as u64 * 9 / 10, "{retained}");
    for name in ["segments", "segments_removed"] {
        assert_eq!(would[name], retained[name], "{name}");
        assert!(retained[name].as_u64().unwrap() > 10, "{retained}");
    }
    assert!(would["dry_run"] == true && retained["dry_run"] == false);

    let after = stats(&place);
    assert_eq!(after["retired"], gone);
    let bytes = |stats: &Value| stats["segment_bytes"].as_u64().unwrap();
    assert!(bytes(&after) < bytes(&before) / 3, "{before} {after}");
    assert!(du(&segments) < du_before, "{} of {du_before} KiB", du(&segments));

    // Everything from before, with the key and the checkpoint that were kept.
    let verdict =
        place.run_all(&["verify", "--json", "--public-key", &key, "--checkpoint", "kept"]).ok().json();
    assert_eq!((&verdict["ok"], &verdict["retired"]), (&json!(true), &json!(gone)), "{verdict}");
    assert!(place.run("verify").ok().out.contains("retired"));
    place.run_all(&["verify", "--bundle", "old.zip", "--public-key", &key]).ok();
    place.run_all(&["verify", "--proof", "old.tlog-proof", "--public-key", &key]).ok();
    let archived = bundle_in(&place.path("archive"));
    assert_eq!(retained["archive"], archived.as_str());
    let checked =
        place.run_all(&["verify", "--bundle", &archived, "--public-key", &key, "--json"]).ok().json();
    assert_eq!(checked["count"], gone);

    // What is gone is told to be gone, and by which event.
    let by = retained["retired_by"][0].as_u64().unwrap();
    assert_eq!(
        place.run(&format!("query --system --id {by} --json")).ok().field("action"),
        ["trail.retired"]
    );
    for words in ["query --id old-7", "query --tenant t3 --id old-7", "prove id:old-7", "prove 8"] {
        let answer = place.run(words).no();
        assert!(answer.err.contains("retired") && answer.err.contains(&by.to_string()), "{answer:?}");
    }
    let other = place.run("query --tenant t0 --id old-7").ok();
    assert!(!other.err.contains("retired"), "another tenant's: {other:?}");
    place.run("prove id:new-3 --out new.tlog-proof").ok();
    place.run_all(&["verify", "--proof", "new.tlog-proof", "--public-key", &key]).ok();

    // Recording again what is gone records nothing anew.
    let left = count(&place, "");
    let lines: Vec<String> = (0..OLD).map(|number| aged::line(number, TENANTS)).collect();
    for receipt in place.record(&lines.join("\n")) {
        assert_eq!(receipt["repeated"], true, "{receipt}");
    }
    let again = place.record(&aged::line(7, TENANTS));
    assert_eq!((&again[0]["retired"], &again[0]["repeated"]), (&json!(true), &json!(true)), "{again:?}");
    assert_eq!(count(&place, ""), left);
    // The same without the index, which is derived.
    std::fs::remove_dir_all(place.path("trail/index")).unwrap();
    place.run("reindex").ok();
    assert_eq!(count(&place, ""), left);
    assert_eq!(place.record(&aged::line(7, TENANTS))[0]["repeated"], true);
    place.run("verify").ok();
    // There is nothing left to do.
    let none = place.run("retain --older-than 90d --json").ok().json();
    assert_eq!((&none["events"], &none["retired_by"]), (&json!(0), &json!([])), "{none}");
}

#[test]
fn a_list_of_retired_lines_that_was_changed_or_taken_away_is_found() {
    let place = aged_place();
    place.run("retain --older-than 90d --tenant t1").ok();
    place.run("verify").ok();
    let lists: Vec<PathBuf> = files(&place.path("trail/segments"))
        .into_keys()
        .filter(|path| path.extension().is_some_and(|extension| extension == "retired"))
        .collect();
    assert!(lists.len() > 3, "{lists:?}");
    let whole = std::fs::read(&lists[1]).unwrap();
    for at in [0, whole.len() / 2, whole.len() - 1] {
        let mut forged = whole.clone();
        forged[at] ^= 1;
        std::fs::write(&lists[1], forged).unwrap();
        let answer = place.run("verify").no();
        assert!(answer.out.starts_with("TAMPERED"), "byte {at}: {answer:?}");
    }
    // Moved to another segment, and taken away.
    std::fs::write(&lists[1], std::fs::read(&lists[2]).unwrap()).unwrap();
    assert!(place.run("verify").no().out.starts_with("TAMPERED"));
    std::fs::remove_file(&lists[1]).unwrap();
    assert!(place.run("verify").no().out.starts_with("TAMPERED"));
    std::fs::write(&lists[1], &whole).unwrap();
    place.run("verify").ok();
    // A line that no list covers.
    let segment = lists[1].with_extension("jsonl");
    let text = std::fs::read_to_string(&segment).unwrap();
    let fewer: Vec<&str> = text.lines().skip(1).collect();
    std::fs::write(&segment, format!("{}\n", fewer.join("\n"))).unwrap();
    assert!(place.run("verify").no().out.starts_with("TAMPERED"));
}

#[test]
fn doctor_misses_the_ids_of_retired_events() {
    let place = aged_place();
    place.run("retain --older-than 90d --tenant t1").ok();
    let found = || place.run("doctor --json").json()["findings"].to_string();
    assert!(!found().contains("retired_ids"), "{}", found());
    let is_ids = |path: &PathBuf| path.to_string_lossy().contains(".ids-");
    let ids: Vec<PathBuf> = files(&place.path("trail/segments")).into_keys().filter(is_ids).collect();
    let whole = std::fs::read(&ids[0]).unwrap();
    std::fs::write(&ids[0], &whole[28..]).unwrap();
    assert!(found().contains(r#""code":"retired_ids""#), "{}", found());
    std::fs::remove_file(&ids[0]).unwrap();
    assert!(found().contains("missing or changed in 1 retired segments"), "{}", found());
    std::fs::write(&ids[0], whole).unwrap();
    assert!(!found().contains("retired_ids"), "{}", found());
}

#[test]
fn rules_by_tenant_and_category_and_holds() {
    let place = aged_place();
    let of = |filters: &str| count(&place, filters);
    let (t1, t2) = (of("--tenant t1"), of("--tenant t2"));
    let added = place.run_all(&[
        "hold",
        "add",
        "case-7",
        "--reason",
        "Acme v. Example",
        "--action",
        "case.*",
        "--json",
    ]);
    let added = added.ok().json();
    assert_eq!((&added["name"], &added["announced"]), (&json!("case-7"), &json!(0)), "{added}");
    place.run("hold add case-7 --reason again").no();
    let listed = place.run("hold list --json").ok().json();
    assert_eq!(listed["holds"][0]["filters"], json!({"action": ["case.*"]}), "{listed}");
    assert!(place.run("hold list").ok().out.contains("Acme v. Example"));

    let held = of("--action case.* --tenant t1");
    let retained = place.run("retain --older-than 90d --tenant t1 --json").ok().json();
    let hold = &retained["kept"]["held_by"][0];
    assert_eq!(hold["hold"], "case-7", "{retained}");
    assert!(of("--tenant t1") >= held && of("--tenant t1") < t1 / 2, "{retained}");
    assert_eq!(of("--action case.* --tenant t1"), held, "nothing held went");
    assert_eq!(of("--tenant t2"), t2, "nobody else's went");

    // Every second event is of that category, and those that are held stay.
    let kept = of("--tenant t2 --category workflow");
    place.run("retain --older-than 90d --category data_access").ok();
    assert_eq!(of("--tenant t2 --category workflow"), kept);
    assert!(of("--tenant t2 --category data_access") < t2 / 2);

    place.run("hold remove case-7").ok();
    place.run("hold remove case-7").no();
    let retained = place.run("retain --older-than 90d --json").ok().json();
    assert_eq!(retained["kept"]["held"], 0, "{retained}");
    assert!(of("--action case.* --tenant t1") < held / 4);
    let told = place.run("query --system --action trail.hold_* --json --order asc").ok().field("action");
    assert_eq!(told, ["trail.hold_added", "trail.hold_removed"]);
    place.run("verify").ok();
}

#[test]
fn what_cannot_be_asked_for_is_said() {
    let place = aged_place();
    let untouched = files(&place.path("trail/segments"));
    for age in ["0d", "36501d", "24h", "90", "-1d", "d"] {
        let answer = place.run(&format!("retain --older-than={age}"));
        assert_eq!(answer.code, Some(2), "{age}: {answer:?}");
        assert!(answer.err.contains("such as 90d"), "{answer:?}");
    }
    place.run("retain --older-than 90d --category nonsense").could_not(&["--category", "data_access"]);
    place.run("retain --older-than 90d --archive s3://bucket/x").could_not(&["--archive"]);
    place.write("file", "in the way");
    place.run("retain --older-than 90d --archive file/folder").could_not(&["nothing was retired", "archive"]);
    place.run("hold add x --reason y --since never").could_not(&["--since"]);
    assert_eq!(place.run("hold add x").code, Some(2), "without a reason");
    place.run("sink forget postgres").no();
    place.run("--dir elsewhere retain --older-than 90d").could_not(&["elsewhere"]);
    assert!(!place.path("elsewhere").exists(), "nothing was made");
    assert!(place.run("sink list").ok().err.contains("no sink"));
    assert!(nothing_went(&place.path("trail/segments"), &untouched));
}

#[test]
fn an_archive_is_whole_or_not_there_and_says_what_it_holds() {
    let place = aged_place();
    let first = place.run("retain --older-than 90d --tenant t0 --archive deep/er/archive --json").ok().json();
    let bundle = bundle_in(&place.path("deep/er/archive"));
    let name = Path::new(&bundle).file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with("example.com-aged.") && name.ends_with(".zip"), "{name}");
    place.run_all(&["verify", "--bundle", &bundle]).ok();
    // The members that the manifest names, with its lines compressed, and what was asked for.
    let listing = std::process::Command::new("python3")
        .args(["-c", "import sys,zipfile,json; z=zipfile.ZipFile(sys.argv[1]); print(json.dumps([z.namelist(), json.loads(z.read('manifest.json'))]))", &bundle])
        .output()
        .unwrap();
    let listing: Value = serde_json::from_slice(&listing.stdout).unwrap();
    let members = ["0/lines.jsonl.zst", "0/proofs.jsonl", "0/checkpoint", "0/public-key", "manifest.json"];
    assert_eq!(listing[0], json!(members));
    assert_eq!(listing[1]["count"], first["events"]);
    assert_eq!(listing[1]["filters"]["tenant"], json!(["t0"]));
    assert_eq!(
        support::in_browser(Path::new(&bundle), &place.public_key()),
        "unchecked",
        "it cannot unpack it"
    );
    // Any byte changed is found.
    let whole = std::fs::read(&bundle).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 23) {
        let mut forged = whole.clone();
        forged[at] ^= 4;
        place.write("forged.zip", forged);
        let answer = place.run("verify --bundle forged.zip");
        assert_ne!(answer.code, Some(0), "byte {at} of {}: {answer:?}", whole.len());
    }
}

/// Another tool, which shares no code with us, agrees.
#[test]
fn an_archive_is_checked_by_the_independent_verifier() {
    let place = aged_place();
    let key = place.public_key();
    let retained = place.run("retain --older-than 90d --archive archive --json").ok().json();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../strangers/python/verify_bundle.py");
    let check = |bundle: &str| {
        let output = std::process::Command::new("python3")
            .arg("-B")
            .arg(&script)
            .args([bundle, "--public-key", &key])
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let bundle = bundle_in(&place.path("archive"));
    assert_eq!(check(&bundle), (Some(0), format!("ok lines={}\n", retained["events"])));
    let mut forged = std::fs::read(&bundle).unwrap();
    let at = forged.len() / 5;
    forged[at] ^= 1;
    place.write("forged.zip", forged);
    assert_eq!(check(place.path("forged.zip").to_str().unwrap()).0, Some(1));
}
