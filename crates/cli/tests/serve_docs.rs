//! What docs/server.md shows is what the server and curl do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;
use std::process::Command;

use support::Place;
use support::server::Server;

fn blocks(kind: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/server.md");
    let text = std::fs::read_to_string(path).unwrap();
    let begin = format!("```{kind}\n");
    text.split(&begin).skip(1).map(|rest| rest.split_once("```").unwrap().0.to_owned()).collect()
}

#[test]
fn every_command_of_the_page_works() {
    let place = Place::new();
    // Only where something is personal, somebody can be erased.
    place.write("trailseal.toml", "[[personal]]\npreset = \"usual\"\n");
    let mut server = Server::start(&place);
    server.admin().record(r#"{"action":"user.login","actor":{"id":"u-10432","email":"ann@example.com"}}"#);
    let program = Path::new(env!("CARGO_BIN_EXE_trailseal")).parent().unwrap().display().to_string();
    let paths = format!("{program}:{}", std::env::var("PATH").unwrap_or_default());
    // A request that the server refuses is a command that fails.
    std::fs::create_dir(place.path("curlrc")).unwrap();
    place.write("curlrc/.curlrc", "fail-with-body\nshow-error\n");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../import/sample/aws-cloudtrail.jsonl");
    let packed = Command::new("gzip").arg("--stdout").arg(sample).output().expect("gzip can be started");
    std::fs::write(place.path("2024-01-01.json.gz"), packed.stdout).unwrap();
    let commands = blocks("sh");
    assert!(commands.len() >= 14, "{}", commands.len());
    let mut said = String::new();
    for block in commands {
        let output = Command::new("bash")
            .args(["-euxo", "pipefail", "-c", &block])
            .current_dir(place.path(""))
            .env_clear()
            .env("PATH", &paths)
            .env("CURL_HOME", place.path("curlrc"))
            .env("URL", format!("http://{}", server.address))
            .env("TOKEN", &server.token)
            .output()
            .expect("bash can be started");
        let told = String::from_utf8_lossy(&output.stderr);
        let answered = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{block}\nanswered: {answered}\n{told}\n{}", server.log());
        said.push_str(&answered);
    }
    for text in
        ["\"repeated\":true", "\"count\":2", "\"state\":\"approved\"", "\"verified\":true", "cron.done"]
    {
        assert!(said.contains(text), "{text} is nowhere in\n{said}");
    }
    let rows = place.read("events.csv").lines().count();
    assert_eq!(rows, place.read("all.jsonl").lines().count() + 1);
    server.stop();
    place.run("verify").ok();
}

#[test]
fn settings_of_the_page_are_settings() {
    let settings = blocks("toml");
    assert!(settings.len() >= 3, "{settings:?}");
    for block in settings {
        let place = Place::new();
        place.write("trailseal.toml", block);
        place.run("policy show --dir trail").ok();
    }
}
