//! A trail read by other people's code: Go's sumdb/note and sumdb/tlog, as Debian packages them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn trailseal(dir: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_trailseal"))
        .args(arguments)
        .env("TRAILSEAL_SEGMENT__ROLL", "4MiB")
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn build_go(dir: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../strangers/go/main.go");
    let program = dir.join("check");
    let output = Command::new("go")
        .args(["build", "-o"])
        .args([&program, &source])
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOCACHE", dir.join("go-cache"))
        .output()
        .expect("go can be started: `cargo xtask test` installs golang-go and golang-golang-x-mod-dev");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

#[test]
fn go_reads_checkpoints_tiles_and_a_proof_and_sees_a_changed_byte() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let program = build_go(dir);
    // More than 65,536 events, so that there is a full tile of the second level.
    let mut input = String::new();
    for number in 0..70_000 {
        writeln!(input, "{{\"action\":\"test.go\",\"actor\":{{\"id\":\"u{}\"}}}}", number % 7).unwrap();
    }
    trailseal(dir, &["record"], &input);
    trailseal(dir, &["prove", "65536", "--out", "proof"], "");
    let key = trailseal(dir, &["key", "show"], "").stdout;
    let key = String::from_utf8(key).unwrap();
    let check = || {
        let key = key.lines().next().unwrap();
        let output = Command::new(&program).args(["trail", key, "proof"]).current_dir(dir).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (is_well, said) = check();
    assert!(is_well && said.starts_with("ok: 70002 events"), "{said}");
    assert!(!said.contains(" 0 kept checkpoints"), "{said}");
    let segment = dir.join("trail/segments/00000000000000000000.jsonl");
    let text = std::fs::read_to_string(&segment).unwrap();
    let begin = text.split_inclusive('\n').take(97).map(str::len).sum::<usize>();
    let at = begin + text[begin..].find("test.go").unwrap();
    let mut bytes = text.into_bytes();
    bytes[at] = b'T';
    std::fs::write(&segment, bytes).unwrap();
    let (is_well, said) = check();
    assert!(!is_well && said.contains("line 97 is not leaf 97"), "{said}");
}
