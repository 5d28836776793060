//! What lies in deploy/ fits the program: alerts and dashboard name metrics that it has, and other people's programs
//! take the files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::Place;
use support::server::Server;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// The words of a text that look like our metrics; a table such as `trailseal_outbox.refused` is none.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '_' | '.'));
    let words = words.map(|word| word.trim_end_matches('.')).filter(|word| !word.contains('.'));
    let is_metric = |word: &&str| word.starts_with("trailseal_") || word.starts_with("audit_");
    words.filter(is_metric).map(str::to_owned).collect()
}

#[test]
fn every_metric_of_alerts_and_dashboard_is_one_of_the_server() {
    let place = Place::new();
    let server = Server::start(&place);
    // Counted from the first request on.
    server.admin().get("/metrics").is(200);
    let metrics = server.admin().get("/metrics").is(200).text();
    let mut given: BTreeSet<String> = metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(str::to_owned)
        .collect();
    // Those of an outbox have no number here.
    for line in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE trailseal_outbox_")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let end = if kind == "counter" { "_total" } else { "" };
        given.insert(format!("trailseal_outbox_{name}{end}"));
    }
    for file in ["prometheus/rules.yml", "prometheus/rules_test.yml", "grafana/trailseal.json"] {
        let named = metrics_in(&read(file));
        let named: Vec<_> = named.iter().filter(|name| !given.contains(*name)).collect();
        assert!(named.is_empty(), "{file} names what /metrics does not give: {named:?}");
    }
    assert!(metrics_in(&read("prometheus/rules.yml")).len() > 15);
    assert!(metrics_in(&read("grafana/trailseal.json")).len() > 15);
}

#[test]
fn every_alert_has_a_test() {
    let tests = read("prometheus/rules_test.yml");
    let rules = read("prometheus/rules.yml");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 15, "{alerts:?}");
    for alert in alerts {
        assert!(tests.contains(alert), "no test of {alert}");
    }
}

#[test]
fn promtool_takes_the_alerts_and_their_tests_pass() {
    if Command::new("promtool").arg("--version").output().is_err() {
        eprintln!("skipped: there is no promtool; `cargo xtask setup` installs Debian's prometheus");
        return;
    }
    for arguments in [["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]] {
        let output = Command::new("promtool")
            .args(arguments)
            .current_dir(folder().join("prometheus"))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn systemd_takes_the_unit() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("skipped: there is no systemd-analyze");
        return;
    }
    let place = Place::new();
    let program = env!("CARGO_BIN_EXE_trailseal");
    place
        .write("trailseal.service", read("systemd/trailseal.service").replace("/usr/bin/trailseal", program));
    let analyze = |arguments: &[&str]| {
        let output = Command::new("systemd-analyze")
            .args(arguments)
            .arg(place.path("trailseal.service"))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    };
    analyze(&["verify", "--man=no"]);
    // From 0, nothing can go wrong, to 100.
    analyze(&["security", "--no-pager", "--offline=true", "--threshold=20"]);
}

#[test]
fn the_settings_of_unit_and_container_are_settings() {
    let settings = std::fs::read_to_string(folder().join("../docs/settings.md")).unwrap();
    for name in ["Containerfile", "systemd/trailseal.service", "compose.yaml"] {
        let text = read(name);
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let variables: BTreeSet<&str> = words.filter_map(|word| word.strip_prefix("TRAILSEAL_")).collect();
        assert!(!variables.is_empty(), "{name}");
        for variable in variables {
            let setting = variable.to_ascii_lowercase().replace("__", ".");
            assert!(settings.contains(&format!("### `{setting}`")), "{name}: {variable} is no setting");
        }
    }
}

#[test]
fn the_commands_of_the_compose_file_are_commands() {
    let compose = read("compose.yaml");
    // All of its servers share the store, by a setting that none says again.
    assert_eq!(compose.matches("postgres://").count(), 1, "{compose}");
    let place = Place::new();
    // They stand in its comments.
    for line in compose.lines().filter(|line| line.starts_with('#')) {
        let Some((_, words)) = line.split_once("trailseal token ") else { continue };
        let words: Vec<&str> =
            words.split_whitespace().take_while(|word| !word.starts_with(['>', '#'])).collect();
        let token = place.run_all(&[&["token"][..], &words].concat()).ok();
        assert!(token.out.starts_with("tsl_"), "{line}: {token:?}");
    }
}

#[test]
fn the_settings_of_the_compose_file_have_values_that_the_program_takes() {
    let compose = read("compose.yaml");
    let place = Place::new();
    place.record(r#"{"action":"a"}"#);
    let mut environment: Vec<(&str, &str)> = Vec::new();
    for line in compose.lines().map(str::trim).filter(|line| line.starts_with("TRAILSEAL_")) {
        let (name, value) = line.split_once(": ").unwrap();
        environment.push((name, value.trim_matches('"')));
    }
    assert!(environment.len() >= 5, "{environment:?}");
    for (name, value) in environment {
        // Its trail has another origin, and there is no such database.
        let is_elsewhere = ["TRAILSEAL_ORIGIN", "TRAILSEAL_STORE__URL"].contains(&name);
        let told = place.command(&["doctor", "--json"]).env(name, value).output().unwrap();
        let text = String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned();
        let setting = name.trim_start_matches("TRAILSEAL_").to_ascii_lowercase().replace("__", ".");
        assert!(is_elsewhere || told.status.code() != Some(2), "{name}={value}: {text}");
        assert!(!text.contains("unknown setting") && text.contains(&setting), "{name}={value}: {text}");
    }
}

#[test]
fn promtool_takes_the_configuration_of_the_compose_file() {
    if Command::new("promtool").arg("--version").output().is_err() {
        eprintln!("skipped: there is no promtool; `cargo xtask setup` installs Debian's prometheus");
        return;
    }
    // Where the compose file mounts it, beside the rules and the token.
    let place = Place::new();
    let compose = read("compose.yaml");
    for (name, inside) in [("compose.yml", "prometheus.yml"), ("rules.yml", "rules.yml")] {
        assert!(compose.contains(&format!("./prometheus/{name}:/etc/prometheus/{inside}:ro")), "{name}");
        place.write(inside, read(&format!("prometheus/{name}")));
    }
    assert!(compose.contains(":/etc/prometheus/trailseal.token:ro"));
    place.write("trailseal.token", "tsl_x");
    let output =
        Command::new("promtool").args(["check", "config"]).arg(place.path("prometheus.yml")).output();
    let output = output.unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}
