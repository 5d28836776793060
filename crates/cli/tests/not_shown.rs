//! What a reader may not see is said, and what a terminal must not see is not sent to it.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use support::{Answer, Lines, Place};

const NOBODY: u32 = 65_534;

/// As a user who is neither owner nor root; the handoff's owner may not read it either.
fn as_another(place: &Place, words: &str) -> Answer {
    let mut command = place.command(&words.split_whitespace().collect::<Vec<_>>());
    if is_root() {
        command.uid(NOBODY);
    }
    Answer::of(command, b"")
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

fn opened_to_all(place: &Place) {
    for folder in ["", "trail", "trail/segments", "trail/tree", "trail/checkpoints", "trail/index"] {
        std::fs::set_permissions(place.path(folder), std::fs::Permissions::from_mode(0o755)).unwrap();
        for entry in std::fs::read_dir(place.path(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
            }
        }
    }
}

#[test]
fn a_handoff_that_only_its_owner_may_read_is_named() {
    let place = Place::new();
    let mut writer = place.command(&["record", "--json"]).stdin(Stdio::piped()).spawn().unwrap();
    let lines = Lines::of(writer.stdout.take().unwrap());
    writer.stdin.as_mut().unwrap().write_all(b"{\"action\":\"a\"}\n").unwrap();
    lines.wait();
    writer.kill().unwrap();
    writer.wait().unwrap();
    opened_to_all(&place);
    std::fs::set_permissions(place.path("trail/handoff"), std::fs::Permissions::from_mode(0o000)).unwrap();
    let commands =
        ["query", "query --count", "tail", "stats", "verify", "export --format jsonl", "prove 0", "summary"];
    for command in commands {
        let said = as_another(&place, command).err;
        assert!(
            said.contains("only in the handoff are not shown") && said.contains("trail/handoff"),
            "{command}: {said}"
        );
    }
    std::fs::set_permissions(place.path("trail/handoff"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!as_another(&place, "query").err.contains("handoff"));
    // Nothing is missing after a proper close.
    place.record("{\"action\":\"b\"}");
    place.write("trail/handoff", "");
    std::fs::set_permissions(place.path("trail/handoff"), std::fs::Permissions::from_mode(0o000)).unwrap();
    opened_to_all(&place);
    std::fs::set_permissions(place.path("trail/handoff"), std::fs::Permissions::from_mode(0o000)).unwrap();
    assert!(!as_another(&place, "query").err.contains("handoff"));
}

/// What a command writes to a terminal.
fn on_terminal(place: &Place, words: &str) -> String {
    let spawn = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
    let shown = place.command(&words.split_whitespace().collect::<Vec<_>>());
    let mut command = Command::new("python3");
    command.args(["-c", spawn]).arg(shown.get_program()).args(shown.get_args()).current_dir(place.path(""));
    let output = command.stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn control_characters_do_not_reach_a_terminal() {
    let place = Place::with(
        r#"{"action":"a","description":"red \u001b[31m\r\u009b2J\u0007\nnext line","tenant":"t"}"#,
    );
    place.run_all(&["hold", "add", "case", "--reason", "\u{1b}[2J why", "--tenant", "t"]).ok();
    for command in ["query --format csv", "tail --format csv", "export --format csv"] {
        let shown = on_terminal(&place, command);
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{9b}']), "{command}: {shown:?}");
        assert!(shown.contains("red  [31m") && shown.contains("\r\nnext line\""), "{command}: {shown:?}");
        let piped = place.run(command).ok().out;
        assert!(piped.contains("red \u{1b}[31m"), "data stays as it is: {piped:?}");
    }
    let holds = place.run("hold list").ok().out;
    assert!(!holds.contains('\u{1b}') && holds.contains("[2J why"), "{holds:?}");
}

#[test]
fn a_history_takes_the_flag_for_the_trails_own_events() {
    let place = Place::with_events(&["a"]);
    let own = place.run("history trail/x --system --format jsonl").ok().out;
    assert_eq!(own, "", "none of them is about a resource of this name");
    assert!(place.run("history --help").ok().out.contains("--system"));
}
