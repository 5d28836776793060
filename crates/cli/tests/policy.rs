//! The policy as its users meet it: a rule in the file changes what reaches the disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::{Place, wait_until};

const RULES: &str = r#"
[[rule]]
when = { action = "noise.*" }
mode = "off"

[[rule]]
when = { action = "page.view" }
mode = "sampled"
rate = 0

[[rule]]
when = { category = "authentication" }
mode = "sync"
"#;

const EVENTS: &str = "{\"action\":\"noise.tick\"}\n{\"action\":\"page.view\"}\n\
    {\"action\":\"page.view\",\"outcome\":\"failure\"}\n{\"action\":\"invoice.pay\"}\n\
    {\"action\":\"user.login\",\"category\":\"authentication\"}\n";

#[test]
fn a_rule_in_the_file_changes_what_reaches_the_disk() {
    let place = Place::new();
    place.write("trailseal.toml", RULES);
    let receipts = place.feed("record --json", EVENTS).ok().json_lines();
    let kept: Vec<bool> = receipts.iter().map(|receipt| receipt["index"].is_u64()).collect();
    assert_eq!(kept, [false, false, true, true, true], "{receipts:?}");
    assert!(receipts[0]["sampled_out"] == true && receipts[1]["sampled_out"] == true);
    let segment = place.lines().join("\n");
    assert!(!segment.contains("noise.tick"), "{segment}");
    assert_eq!(segment.matches("\"page.view\"").count(), 1, "a failure is never sampled out");
    assert!(segment.contains("\"trail.counts\"") && segment.contains("\"sampled_out\":1"), "{segment}");

    let without = Place::new();
    without.feed("record", EVENTS).ok();
    assert_eq!(without.run("query --count").ok().out.trim(), "5");
}

#[test]
fn a_mode_that_was_set_wins_over_the_file_until_it_is_taken_back() {
    let place = Place::with_events(&["a"]);
    place.write("trailseal.toml", "mode = \"async\"\n");
    place.run("policy set off").ok();
    place.feed("record", "{\"action\":\"left.out\"}\n").ok();
    let shown = place.run("policy show").ok().out;
    assert!(shown.contains("policy.toml") && shown.contains("mode = \"off\""), "{shown}");
    place.run("policy set settings").ok();
    place.feed("record", "{\"action\":\"kept\"}\n").ok();
    assert!(place.run("policy show").ok().out.contains("mode = \"async\""));
    assert_eq!(place.run("query --count").ok().out.trim(), "2");
    let changes = place.run("query --system --action trail.policy_changed --format jsonl").ok().json_lines();
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[1]["details"]["to"], "mode = \"off\"\n");
    place.run("verify").ok();
}

#[test]
fn sampling_needs_a_share_and_errors_say_so() {
    let place = Place::new();
    place.run("policy set sampled").could_not(&["--rate"]);
    place.run("policy set sampled --rate 2").could_not(&["0 to 1"]);
    place.run("policy set sync --rate 0.5").could_not(&["sampled"]);
    place.run("policy set fast").could_not(&["sync, async, sampled or off"]);
    assert!(!place.path("trail").exists(), "nothing was made");
    place.run("policy set sampled --rate 0.25").ok();
    assert!(place.run("policy show").ok().out.contains("rate = 0.25"));
    assert_eq!(place.run("policy show --json").ok().json()["mode"], "sampled");
}

#[test]
fn a_policy_file_is_checked_with_line_and_column() {
    let place = Place::new();
    place.write("good.toml", RULES);
    assert_eq!(place.run("policy check good.toml").ok().out, "ok: mode async, 3 rules\n");
    place.write("bad.toml", "mode = \"sync\"\n[[rule]]\nwhen = { acton = \"x\" }\n");
    let answer = place.run("policy check bad.toml").no();
    assert!(answer.err.contains("bad.toml:3:10: there is no setting `when.acton`"), "{}", answer.err);
    let answer = place.run("policy check bad.toml --json").no().json();
    assert_eq!((answer["line"].as_u64(), answer["column"].as_u64()), (Some(3), Some(10)));
    // A file of all settings.
    place.write("trailseal.toml", format!("dir = \"elsewhere\"\n{RULES}"));
    assert!(place.run("policy check trailseal.toml").ok().out.contains("3 rules"));
    place.write("broken.toml", "dir = \"elsewhere\"\nmode = \"fast\"\n");
    assert!(place.run("policy check broken.toml").no().err.contains("broken.toml:2:8"));
}

#[test]
fn the_environment_of_other_audit_logs_is_understood() {
    let place = Place::new();
    let run = |mode: &str| {
        let mut command = place.command(&["record", "--json"]);
        command.env("AUDIT_MODE", mode).env("AUDIT_SAMPLE_RATE", "0");
        support::Answer::of(command, b"{\"action\":\"a\"}\n").ok().json()
    };
    assert_eq!(run("sampled")["sampled_out"], true);
    assert!(run("sync")["index"].is_u64(), "the rate is for mode sampled alone");
}

#[test]
fn a_running_command_returns_to_the_settings_at_a_hang_up() {
    use std::io::Write as _;
    let place = Place::new();
    place.write("trailseal.toml", "");
    let mut command = place.command(&["record", "--json"]);
    let mut child = support::Running(
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap(),
    );
    let receipts = support::Lines::of(child.0.stdout.take().unwrap());
    let mut input = child.0.stdin.take().unwrap();
    let mut record = |action: &str| {
        writeln!(input, "{{\"action\":\"{action}\"}}").unwrap();
        let receipt: serde_json::Value = serde_json::from_str(&receipts.wait()).unwrap();
        receipt["index"].is_u64()
    };
    let hang_up = || {
        let pid = child.0.id().to_string();
        assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    };
    assert!(record("noise.tick"));
    place.write("trailseal.toml", RULES);
    hang_up();
    assert!(!record("noise.tick"), "the rules of the file are in force");
    place.write("trailseal.toml", "mode = \"fast\"");
    hang_up();
    assert!(!record("noise.tick"), "a broken file changes nothing");
    assert!(record("invoice.pay"));
    drop(input);
    assert!(child.0.wait().unwrap().success());
    let changes = place.run("query --system --action trail.policy_changed --count");
    // The file is still broken, so it is named before anything is read.
    changes.could_not(&["trailseal.toml:1:8"]);
    place.write("trailseal.toml", "");
    assert_eq!(place.run("query --system --action trail.policy_changed --count").ok().out.trim(), "1");
}

#[test]
fn an_import_says_what_the_policy_left_out() {
    let place = Place::new();
    place.write("trailseal.toml", "mode = \"off\"\n");
    let sample = support::sample("github-audit.jsonl");
    let words = ["import", "--from", "github", sample.to_str().unwrap()];
    let summary = place.run_all(&[&words[..], &["--json"]].concat()).ok().json();
    assert_eq!((summary["read"].as_u64(), summary["recorded"].as_u64()), (Some(92), Some(0)), "{summary}");
    assert!(place.run_all(&words).ok().err.contains("92 left out by the policy"));
}

#[test]
fn each_slot_shows_the_policy_that_it_keeps() {
    let place = Place::new();
    place.write("trailseal.toml", "workers = \"slots\"\norigin = \"o.example/x\"\n");
    let set = place.run("policy set off").ok();
    assert!(set.err.contains("trail/0"), "{set:#?}");
    let shown = place.run("policy show").ok().out;
    assert!(shown.contains("trail/0/policy.toml") && shown.contains("mode = \"off\""), "{shown}");
    let shown = place.run("policy show --json").ok().json();
    assert_eq!((&shown["mode"], &shown["slot"]), (&"off".into(), &"trail/0".into()));
}

#[test]
fn a_slot_has_a_handoff_of_its_own() {
    let place = Place::new();
    let handoff = place.path("hand").display().to_string();
    let settings = format!("workers = \"slots\"\norigin = \"o.example/x\"\nhandoff.path = {handoff:?}\n");
    place.write("trailseal.toml", settings);
    let mut first = place.command(&["record"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    wait_until("the first has its slot", || place.path("hand.0").exists());
    place.feed("record", "{\"action\":\"second\"}\n").ok();
    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());
    assert_eq!(place.run("query --count").ok().out, "1\n");
}

#[test]
fn a_hang_up_before_the_end_of_the_input_is_heard() {
    let place = Place::new();
    place.write("trailseal.toml", "mode = \"async\"\n");
    place.run("policy set off").ok();
    let mut child = place.command(&["record", "--json"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    // An answer tells that it listens.
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"{\"action\":\"a\"}\n").unwrap();
    let mut answer = [0; 1];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut answer).unwrap();
    let hung_up =
        std::process::Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap();
    assert!(hung_up.success());
    std::thread::sleep(std::time::Duration::from_millis(200));
    drop(stdin);
    assert!(child.wait_with_output().unwrap().status.success());
    let shown = place.run("policy show").ok().out;
    assert!(shown.contains("mode = \"async\""), "{shown}");
}

#[test]
fn a_mistake_is_the_same_no_in_every_file_that_is_checked() {
    let place = Place::new();
    place.write("alone.toml", "mode = \"fast\"\n");
    place.write("whole.toml", "dir = \"x\"\nmode = \"fast\"\n");
    for file in ["alone.toml", "whole.toml"] {
        assert!(place.run(&format!("policy check {file}")).no().err.contains("cannot be \"fast\""));
        assert_eq!(place.run(&format!("--json policy check {file}")).no().json()["ok"], false);
    }
}

#[test]
fn a_mode_from_the_environment_comes_without_what_the_file_says_of_its_own() {
    let place = Place::new();
    for file in ["mode = \"sampled\"\nrate = 0.1\n", "mode = \"sync\"\nacknowledge = \"store\"\n"] {
        place.write("trailseal.toml", file);
        let mut command = place.command(&["policy", "show"]);
        let shown = command.env("TRAILSEAL_MODE", "async").output().unwrap();
        assert!(shown.status.success(), "{shown:?}");
        assert!(String::from_utf8(shown.stdout).unwrap().ends_with("\nmode = \"async\"\n"));
    }
}

#[test]
fn sync_waits_for_what_the_settings_say_after_a_while_without_it() {
    let place = Place::new();
    place.write("trailseal.toml", "mode = \"sync\"\nacknowledge = \"store\"\n");
    place.run("policy set async").ok();
    place.run("policy set sync").ok();
    let shown = place.run("policy show").ok().out;
    assert!(shown.contains("acknowledge = \"store\""), "{shown}");
}

#[test]
fn a_command_sees_the_disk_reserve_at_once() {
    let place = Place::new();
    place.write("trailseal.toml", "disk_reserve = \"900000GiB\"\n");
    let answer = place.feed("record --json", "{\"action\":\"a\"}\n").no();
    assert!(answer.err.contains("disk reserve"), "{answer:#?}");
}

#[test]
fn no_wait_is_longer_than_a_kept_policy_may_have() {
    let place = Place::new();
    place.write("trailseal.toml", "timeout_ms = 7200000\n");
    let answer = place.feed("record", "{\"action\":\"a\"}\n");
    assert!(answer.err.contains("at most an hour"), "{answer:#?}");
}
