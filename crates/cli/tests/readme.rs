//! What README.md shows of the command line is what the program takes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;
use std::process::Command;

use support::Place;

#[test]
fn every_command_of_the_readme_works() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = std::fs::read_to_string(readme).unwrap();
    let section = text.split_once("## The command line").expect("the section is there").1;
    let block = section.split("```").nth(1).expect("it has a block");
    let place = Place::new();
    let packed = Command::new("gzip").arg("--stdout").arg(support::sample("aws-cloudtrail.jsonl")).output();
    std::fs::write(place.path("cloudtrail.json.gz"), packed.expect("gzip can be started").stdout).unwrap();
    place.write("events.jsonl", "{\"action\":\"a\",\"details\":{\"password\":\"x\"}}\n");
    // Only where something is personal, somebody can be erased.
    place.write("trailseal.toml", "[[personal]]\npreset = \"usual\"\n");
    place.record(r#"{"action":"user.login","actor":{"id":"u1","email":"ann@example.com"}}"#);
    let program = Path::new(env!("CARGO_BIN_EXE_trailseal")).parent().unwrap().display().to_string();
    let mut ran = 0;
    for line in block.lines().filter(|line| !line.trim().is_empty()) {
        // What follows is a comment of the shell.
        let command = line.split_once("  #").map_or(line, |(command, _)| command).trim_end();
        let command = match command {
            // This one goes on until it is interrupted.
            _ if command.contains("tail -f") => format!("timeout 1 {command} || test $? = 124"),
            // This one may find something to say about the machine that the test runs on.
            "trailseal doctor" => "trailseal doctor || test $? = 1".to_owned(),
            _ => command.to_owned(),
        };
        let key = match line.contains("$KEY") {
            true => place.run("key show").ok().first_line().to_owned(),
            false => String::new(),
        };
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &command])
            .current_dir(place.path(""))
            .env_clear()
            .env("PATH", format!("{program}:{}", std::env::var("PATH").unwrap_or_default()))
            .env("KEY", key)
            .output()
            .expect("bash can be started");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}\n{told}");
        ran += 1;
    }
    assert!(ran >= 15, "{ran}");
}
