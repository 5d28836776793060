//! What the program says to people: help, manual pages, the true cause of an error, and what `doctor` and `stats` tell.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use support::{Answer, Place, Running, wait_until};

/// Somebody who owns nothing here.
const NOBODY: u32 = 65_534;

fn widest(text: &str) -> (usize, &str) {
    text.lines().map(|line| (line.chars().count(), line)).max().unwrap_or_default()
}

#[test]
fn what_every_command_takes_stands_apart_in_its_help() {
    let place = Place::new();
    for command in ["query", "policy set", "serve", "key show"] {
        let help = place.run(&format!("{command} --help")).ok().out;
        let (own, common) =
            help.split_once("\nOptions of every command:\n").unwrap_or_else(|| panic!("{help}"));
        for flag in ["--dir", "--config", "--json", "--server", "--token"] {
            assert!(
                common.contains(&format!("{flag} ")) || common.contains(&format!("{flag}\n")),
                "{command} {flag}"
            );
            assert!(!own.contains(&format!(" {flag} ")), "{command} {flag}: {own}");
        }
    }
}

/// Each line of the example, in a shell; only the port is another one, so that tests do not meet there.
#[test]
fn the_example_of_serve_can_be_pasted() {
    let place = Place::new();
    let help = place.run("serve --help").ok().out;
    let (_, example) = help.split_once("without a token:\n").unwrap();
    let (example, _) = example.split_once("\n\n").unwrap();
    assert_eq!(example.lines().count(), 2, "{example}");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = format!("{example}\nstatus=$?\nkill $!\nwait $!\nexit $status\n")
        .replace(":8410", &format!(":{port}"));
    let program = place.command(&[]).get_program().to_owned();
    let folder = std::path::Path::new(&program).parent().unwrap().to_owned();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).current_dir(place.path("."));
    shell.env("PATH", path).env("TRAILSEAL_SERVER__LISTEN", format!("127.0.0.1:{port}"));
    let output = shell.stdin(Stdio::null()).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && out.contains("\"accepted\":1"), "{out} {:?}", output.stderr);
    assert_eq!(place.run("query --action user.login --count").ok().out, "1\n");
}

#[test]
fn tables_and_the_demo_fit_eighty_columns() {
    let place = Place::new();
    let demo = place.run("demo").ok();
    assert!(widest(&demo.out).0 <= 80, "{:?}", widest(&demo.out));
    let long = "x".repeat(200);
    place
        .feed(
            "record --dir trailseal-demo",
            format!("{{\"action\":\"{long}\",\"actor\":\"{long}\",\"outcome\":\"success\"}}"),
        )
        .ok();
    for command in ["query", "tail", "summary", "history pods/test-pod", "stats", "doctor"] {
        let answer = place.run(&format!("{command} --dir trailseal-demo"));
        assert!(widest(&answer.out).0 <= 80, "{command}: {:?}", widest(&answer.out));
    }
}

#[test]
fn manual_pages_are_there_for_each_command() {
    let place = Place::new();
    let page = place.run("man").ok().out;
    assert!(page.contains(".TH trailseal 1") && page.contains("trailseal\\-demo(1)"), "{page}");
    let page = place.run("man policy set").ok().out;
    assert!(
        page.contains(".TH trailseal\\-policy\\-set 1") || page.contains(".TH trailseal-policy-set 1"),
        "{page}"
    );
    assert!(
        page.contains("rate") && page.contains("Options of every command")
            || page.contains("OPTIONS OF EVERY COMMAND"),
        "{page}"
    );
    place.run("man polish").could_not(&["there is no command `polish`"]);
    place.run("man --out pages").ok();
    for name in ["trailseal.1", "trailseal-query.1", "trailseal-token-create.1"] {
        assert!(place.read(&format!("pages/{name}")).contains(".SH NAME"), "{name}");
    }
    assert!(!place.path("trail").exists());
}

#[test]
fn the_nearest_setting_is_named() {
    let place = Place::new();
    for (text, wanted) in [
        ("handoff.szie = \"1MiB\"\n", "did you mean `handoff.size`?"),
        ("[mask]\nenable = true\n", "did you mean `mask.enabled`?"),
        ("[servr]\nlisten = \"127.0.0.1:1\"\n", "did you mean `server`?"),
        ("listen = \"127.0.0.1:1\"\n", "did you mean `server.listen`?"),
    ] {
        place.write("trailseal.toml", text);
        place.run("doctor").could_not(&["trailseal.toml:", wanted]);
    }
    std::fs::remove_file(place.path("trailseal.toml")).unwrap();
    let mut command = place.command(&["doctor"]);
    command.env("TRAILSEAL_HANDOFF__SIZ", "1MiB");
    Answer::of(command, b"").could_not(&["TRAILSEAL_HANDOFF__SIZ", "did you mean `handoff.size`?"]);
    let mut command = place.command(&["doctor"]);
    command.env("TRAILSEAL_XYZ", "1");
    let answer = Answer::of(command, b"").could_not(&["there is no setting `xyz`", "trailseal doctor"]);
    assert!(answer.err.len() < 200, "{answer:#?}");
}

#[test]
fn a_value_of_the_wrong_kind_is_told_with_its_flag_and_command() {
    let place = Place::with_events(&["a"]);
    for (command, wanted) in [
        (
            "query --limit abc",
            &["--limit cannot be \"abc\": use a whole number", "`trailseal query --help`"][..],
        ),
        ("tail -n many", &["-n cannot be \"many\": use a whole number", "`trailseal tail --help`"]),
        ("query --limit -1", &["--limit cannot be \"-1\": use a whole number"]),
        (
            "policy set sampled --rate half",
            &["--rate cannot be \"half\": use a number", "`trailseal policy set --help`"],
        ),
        ("serve --listen 8410", &["--listen cannot be \"8410\": use an address with a port"]),
    ] {
        place.run(command).could_not(wanted);
    }
}

#[test]
fn what_cannot_be_read_is_named_and_makes_no_trail() {
    let place = Place::new();
    std::fs::create_dir(place.path("folder")).unwrap();
    place.write("torn.gz", b"\x1f\x8b\x08\x00torn");
    place.write("wide", b"\xff\xfe{\0}\0\n\0");
    for command in [
        "record folder",
        "record missing",
        "record torn.gz",
        "record wide",
        "import --from github folder",
        "import --from github missing",
        "import --map missing torn.gz",
        "policy check missing",
        "erase --subject - --dry-run",
    ] {
        let answer = place.run(command);
        assert_eq!(answer.code, Some(2), "{answer:#?}");
        assert!(!place.path("trail").exists(), "{command}");
    }
    place.run("record folder").could_not(&["folder: it is a folder"]);
    place.run("record torn.gz").could_not(&["nothing was recorded: the input is packed by gzip", "gzip -dc"]);
    place.feed("record", b"\x1f\x8b\x08\x00torn").could_not(&["the input is packed by gzip"]);
    std::fs::remove_dir_all(place.path("trail")).unwrap();
    place.run("record wide").could_not(&["the input is UTF-16", "iconv"]);
    let answer = place.run("import --from github torn.gz");
    assert!(answer.code != Some(0) && !place.path("trail").exists(), "{answer:#?}");
    let mut command = place.command(&["record"]);
    let folder = std::fs::File::open(place.path("folder")).unwrap();
    let output = command.stdin(folder).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), place.path("trail").exists()), (Some(2), false), "{said}");
    assert!(said.contains("standard input: it is a folder"), "{said}");
}

/// Runs a command as somebody else. Only root can; anybody else has no other user to be.
fn as_nobody(place: &Place, words: &str) -> Option<Answer> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can be another user");
        return None;
    }
    let mut command = place.command(&words.split(' ').collect::<Vec<_>>());
    command.uid(NOBODY).gid(NOBODY);
    Some(Answer::of(command, b""))
}

#[test]
fn a_folder_that_is_closed_to_this_user_is_told_as_that() {
    let place = Place::with_events(&["a"]);
    std::fs::set_permissions(place.path("."), Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(place.path("trail"), Permissions::from_mode(0o700)).unwrap();
    for command in
        ["query", "stats", "verify", "record", "tail", "export --format csv", "query --dir trail/sub"]
    {
        let Some(answer) = as_nobody(&place, command) else { return };
        assert_eq!(answer.code, Some(2), "{command}: {answer:#?}");
        assert!(answer.err.contains("Permission denied"), "{command}: {answer:#?}");
        assert!(!answer.err.contains("holds no trail"), "{command}: {answer:#?}");
    }
    let doctor = as_nobody(&place, "doctor --json").unwrap().json();
    assert_eq!(doctor["findings"][0]["code"], "no_access", "{doctor}");
    assert!(doctor["findings"][0]["what"].as_str().unwrap().contains("Permission denied"), "{doctor}");
}

#[test]
fn what_is_no_folder_is_told_as_that() {
    let place = Place::new();
    place.write("file", "{\"action\":\"a\"}\n");
    std::os::unix::fs::symlink("nowhere", place.path("link")).unwrap();
    for dir in ["file", "link"] {
        let command = format!("record file --dir {dir}");
        place.run(&command).could_not(&[&format!("{dir} is not a folder: choose another place")]);
    }
}

#[test]
fn words_of_other_tools_are_known() {
    let place = Place::with_events(&["a"]);
    for (command, wanted) in [
        ("list", "there is no command list here: use query; see `trailseal --help`"),
        ("search x", "use query"),
        ("query --after 1h", "there is no flag --after here: use --since; see `trailseal query --help`"),
        ("query --reverse", "use --order asc"),
        ("query --output json", "use --format"),
        ("export --output x", "'--out'"),
        ("token show", "unrecognized subcommand"),
        ("record --user u1", "unexpected argument"),
    ] {
        place.run(command).could_not(&[wanted]);
    }
    for command in ["query --format json", "query --format ndjson", "export --format ndjson"] {
        assert_eq!(place.run(command).ok().json()["action"], "a", "{command}");
    }
    assert_eq!(place.run("query --count --since -1h").ok().out, "1\n");
    assert_eq!(place.run("query --count --until -1h").ok().out, "0\n");
    let answer = place.run("query --limit 0").ok();
    assert_eq!((answer.err.as_str(), answer.out.lines().count()), ("", 0), "{answer:#?}");
}

#[test]
fn help_that_cannot_be_written_is_no_success() {
    let place = Place::new();
    let mut command = place.command(&["--help"]);
    command.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn doctor_ends_with_its_findings_and_begins_them_with_the_worst() {
    let place = Place::with_events(&["a"]);
    // Nothing leaves this machine: only advice, so not a word that all is well, and nothing after it.
    let answer = place.run("doctor").ok();
    assert!(!answer.out.contains("nothing is wrong"), "{answer:#?}");
    assert!(answer.out.contains("\nno problem, but 1 recommendation:\nno_anchor: "), "{answer:#?}");
    let key = place.path("trail/keys/signing.key");
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    std::fs::write(place.path("trail/checkpoint"), "rubbish").unwrap();
    let answer = place.run("doctor").no();
    let (settings, findings) = answer.out.split_once("\n2 problems and 1 recommendation:\n").unwrap();
    assert!(settings.starts_with("settings\n"), "{settings}");
    let codes: Vec<&str> = findings
        .lines()
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert_eq!(codes, ["checkpoint", "key_permissions", "no_anchor"], "{findings}");
    let place = Place::new();
    place.write("trailseal.toml", "[[anchor]]\nfile = \"kept\"\n");
    place.record("{\"action\":\"a\"}");
    assert!(place.run("doctor").ok().out.ends_with("\nnothing is wrong\n"));
}

#[test]
fn each_line_of_stats_says_of_what_it_is_the_number() {
    let place = Place::with_events(&["a"]);
    let out = place.run("stats").ok().out;
    let numbers: Vec<&str> = out.lines().skip(1).filter(|line| line.starts_with(' ')).collect();
    assert!(numbers.len() >= 10, "{out}");
    for line in numbers {
        let what = line.get(37..).unwrap_or_else(|| panic!("{line}"));
        assert!(
            ["events ", "indexes ", "bytes ", "files "].iter().any(|noun| what.starts_with(noun)),
            "{line}"
        );
    }
    assert!(out.ends_with("no process writes to this trail\n"), "{out}");
    let mut command = place.command(&["record"]);
    let writer = Running(command.stdin(Stdio::piped()).spawn().unwrap());
    wait_until("the writer holds the trail", || {
        place.run("stats").ok().out.contains("a process writes to this trail: ")
    });
    drop(writer);
}
