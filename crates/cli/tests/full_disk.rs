//! A disk without room: told once, counted, and with what to set.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::io::Write as _;
use std::process::Command;

use support::server::Server;
use support::{Answer, Place, wait_until};

/// More than any disk has free.
const RESERVE: &str = "disk_reserve = \"999999999GiB\"\n";

/// A sample with the records of many lines.
fn events(count: usize) -> String {
    (0..count).map(|number| format!("{{\"action\":\"a.{number}\"}}\n")).collect()
}

/// Three lines on stderr at most, one of them with this number of lines.
#[track_caller]
fn check(answer: &Answer, reason: &str, more: &str, summary: &str) {
    let lines: Vec<&str> = answer
        .err
        .lines()
        .filter(|line| !line.starts_with("notice: ") && !line.contains(" gave no "))
        .collect();
    assert_eq!(lines.len(), 3, "{answer:#?}");
    assert!(lines[0].contains("not recorded: ") && lines[0].contains(reason), "{answer:#?}");
    assert!(lines[1].starts_with(more) && lines[1].contains("for the same reason"), "{answer:#?}");
    assert_eq!(lines[2], summary, "{answer:#?}");
}

#[test]
fn a_full_disk_is_told_once_and_counted() {
    let place = Place::with_events(&["before"]);
    place.write("trailseal.toml", RESERVE);
    let answer = place.feed("record", events(5_000)).no();
    check(&answer, "line 1: ", "4,999 more, up to line 5000: ", "0 recorded, 5,000 not recorded");
    let sample = support::sample("github-audit.jsonl");
    let answer = place.run_all(&["import", "--from", "github", sample.to_str().unwrap()]).no();
    check(&answer, "line 1: ", "91 more, up to ", "92 read, 0 recorded, 0 already there, 92 failed");
    // Bad lines among them are named all the same.
    let answer = place.feed("record", format!("{}nonsense\n{}", events(10), events(10))).no();
    assert!(answer.err.contains("\nline 11: not recorded: "), "{answer:#?}");
    assert!(answer.err.contains("19 more, up to line 21: "), "{answer:#?}");
}

#[test]
fn an_accepted_event_is_never_called_unknown_while_the_disk_is_full() {
    let place = Place::new();
    place.write("trailseal.toml", "disk_reserve = \"0\"\n");
    let Some(server) = Server::on_small_disk(&place, &["--dir", "small/trail"], "24m") else { return };
    let admin = server.admin();
    let fill = format!("/proc/{}/root{}", server.id(), place.path("small/fill").display());
    let mut file = std::fs::File::create(&fill).unwrap();
    while file.write_all(&[0; 4_096]).is_ok() {}
    // More than the reserve of 5 % is left, so events are taken, but not enough for these.
    file.set_len(file.metadata().unwrap().len() - (2 << 20)).unwrap();
    let event = |id: &String| {
        format!("{{\"action\":\"a\",\"id\":\"{id}\",\"details\":{{\"text\":\"{}\"}}}}", "x".repeat(30_000))
    };
    // Some still fit into what the segment has reserved.
    let mut taken: Vec<String> = Vec::new();
    wait_until("events are refused", || {
        let ids: Vec<String> = (taken.len()..taken.len() + 200).map(|number| format!("e{number}")).collect();
        let answer = admin.post("/v1/events", ids.iter().map(event).collect::<Vec<_>>().join("\n"));
        assert!(matches!(answer.status, 202 | 503), "{}", answer.text());
        if answer.status == 202 {
            taken.extend(ids);
        }
        answer.status == 503 && !taken.is_empty()
    });
    // Each read is noted in the trail and so takes room, too: only some are asked for, the last one among them.
    let asked: Vec<String> = taken.iter().rev().step_by(50).map(|id| format!("/v1/events/{id}")).collect();
    let answers: Vec<_> = asked.iter().map(|path| admin.get(path)).collect();
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 503)), "one is unknown");
    let last = answers.into_iter().next().unwrap().is(503);
    assert_eq!(last.header("content-type"), Some("application/problem+json"));
    assert!(last.text().contains("not-durable") && last.header("retry-after").is_some(), "{}", last.text());
    file.set_len(0).unwrap();
    wait_until("the last one is on disk", || admin.get(&asked[0]).status == 200);
    assert!(asked.iter().all(|path| admin.get(path).status == 200));
    wait_until("an unknown one is called unknown", || admin.get("/v1/events/none").status == 404);
}

/// Runs a command with a file system of its own, of this size, as `small` in the place.
fn on_small_disk(place: &Place, size: &str, script: &str) -> Option<(i32, String)> {
    place.command_on_small_disk(&[], size)?;
    let program = place.command(&[]).get_program().to_owned();
    let script = format!("mount -t tmpfs -o size={size} tmpfs small && {script}");
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &script]).arg(program).current_dir(place.path("."));
    let output = command.output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Some((output.status.code().unwrap_or(-1), said))
}

#[test]
fn a_file_system_smaller_than_the_handoff_is_told_with_what_to_set_and_used() {
    let place = Place::new();
    place.write("event", "{\"action\":\"small.disk\"}\n");
    let serve = r#"timeout 300 "$0" serve --dir small/trail --listen 127.0.0.1:0 --open > out 2> log &
        until grep -q 'data in' out || ! kill -0 $!; do sleep 0.1; done
        cd small && "$0" record --dir trail ../event; ended=$?; cd ..
        "$0" doctor --dir small/trail | tail -4; kill $!; wait $!
        "$0" verify --dir small/trail; cat log; exit $ended"#;
    let Some((code, said)) = on_small_disk(&place, "16m", serve) else { return };
    assert_eq!(code, 0, "{said}");
    for wanted in
        ["the handoff is in plain memory", "its 65536 KiB do not fit", "set handoff.size to less", "\nok "]
    {
        assert!(said.contains(wanted), "{wanted:?} is not said: {said}");
    }
    // Not even a command's own small one fits.
    let record = r#""$0" record --dir small/trail event; "$0" query --dir small/trail --count"#;
    let (code, said) = on_small_disk(&place, "3m", record).unwrap();
    assert!(
        code == 0 && said.contains("set handoff.size to less") && said.ends_with("1 recorded\n"),
        "{said}"
    );
}
