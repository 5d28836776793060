//! A trail read by other people's code: Go's sumdb/note and sumdb/tlog, as Debian packages them, and a verifier in
//! Python that was written from `docs/format.md` alone.
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
    trailseal(dir, &["tiles", "tiles"], "");
    let key = key(dir);
    let check = |tiles: &[&str], keys: &str| {
        let arguments = [tiles, &["trail", keys, "proof"]].concat();
        let output = Command::new(&program).args(arguments).current_dir(dir).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // Tiles that are slices of the tree, and tiles that are files.
    for tiles in [&[][..], &["-tiles", "tiles"]] {
        let (is_well, said) = check(tiles, &key);
        assert!(is_well && said.starts_with("ok: 70002 events"), "{said}");
        assert!(!said.contains(" 0 kept checkpoints"), "{said}");
    }
    // What lies in the tree beyond the signed size is no part of any tile.
    let leaves = dir.join("trail/tree/0");
    let whole = std::fs::read(&leaves).unwrap();
    std::fs::write(&leaves, [&whole[..], &[7; 32 * 300 + 9]].concat()).unwrap();
    assert!(check(&[], &key).0);
    std::fs::write(&leaves, &whole[..whole.len() - 1]).unwrap();
    assert!(!check(&[], &key).0, "a hash that is not whole is not there");
    std::fs::write(&leaves, &whole).unwrap();
    let segment = dir.join("trail/segments/00000000000000000000.jsonl");
    let text = std::fs::read_to_string(&segment).unwrap();
    let begin = text.split_inclusive('\n').take(97).map(str::len).sum::<usize>();
    let at = begin + text[begin..].find("test.go").unwrap();
    let mut bytes = text.into_bytes();
    bytes[at] = b'T';
    std::fs::write(&segment, &bytes).unwrap();
    let (is_well, said) = check(&[], &key);
    assert!(!is_well && said.contains("line 97 is not leaf 97"), "{said}");

    // After a rotation either key alone reads its own checkpoints, and passes over the lines of the rotation.
    bytes[at] = b't';
    std::fs::write(&segment, &bytes).unwrap();
    trailseal(dir, &["key", "rotate"], "");
    trailseal(dir, &["record"], "{\"action\":\"test.go\"}\n");
    let keys = format!("{key},{}", self::key(dir));
    let (is_well, said) = check(&[], &keys);
    assert!(is_well, "{said}");
    let (is_well, said) = check(&[], &key);
    assert!(!is_well && said.contains("checkpoint: "), "{said}");
}

/// The key that signs now.
fn key(dir: &Path) -> String {
    let told = trailseal(dir, &["key", "show"], "").stdout;
    String::from_utf8(told).unwrap().lines().next().unwrap().to_owned()
}

fn python(dir: &Path, script: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../strangers/python").join(script);
    let output = Command::new("python3")
        .arg("-B")
        .arg(script)
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("python3 can be started: `cargo xtask test` installs it");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_vectors_of_rfc_8032_hold_in_python() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(python(dir.path(), "ed25519.py", &[]).0, Some(0));
}

#[test]
fn a_verifier_written_from_the_format_page_alone_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    std::fs::write(dir.join("trailseal.toml"), "[segment]\nroll = \"100KiB\"\ncompress = true\n").unwrap();
    let record = |from: u32| {
        let mut input = String::new();
        for number in from..from + 700 {
            let text = "x".repeat(number as usize % 300);
            writeln!(input, "{{\"action\":\"test.python\",\"description\":\"{number} {text}\"}}").unwrap();
        }
        let output = Command::new(env!("CARGO_BIN_EXE_trailseal"))
            .arg("record")
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .and_then(|mut child| {
                child.stdin.take().unwrap().write_all(input.as_bytes())?;
                child.wait()
            });
        assert!(output.unwrap().success());
    };
    let run = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_trailseal")).args(arguments).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    record(0);
    let first_key = run(&["key", "show"]).lines().next().unwrap().to_owned();
    std::fs::write(dir.join("kept"), run(&["checkpoint"])).unwrap();
    run(&["key", "rotate"]);
    record(700);
    run(&["prove", "800", "--out", "proof"]);
    let names: Vec<String> = std::fs::read_dir(dir.join("trail/segments"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().any(|name| name.ends_with(".zst")), "{names:?}");

    let pinned = ["trail", "--public-key", &first_key, "--checkpoint", "kept"];
    let (code, said) = python(dir, "verify_trail.py", &pinned);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("ok sealed=14"), "{said}");
    let (code, said) = python(dir, "verify_proof.py", &["proof", "--public-key", &first_key]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("ok index=800") && said.contains("test.python"), "{said}");
    run(&["consistency", "kept", "--out", "growth"]);
    let (code, said) = python(dir, "verify_proof.py", &["growth", "--public-key", &first_key]);
    assert!(code == Some(0) && said.starts_with("ok from=702 to=14"), "{said}");
    run(&["export", "--format", "bundle", "--out", "bundle.zip"]);
    let (code, said) = python(dir, "verify_bundle.py", &["bundle.zip", "--public-key", &first_key]);
    assert_eq!((code, &*said), (Some(0), "ok lines=1400\n"));
    // By the key of today alone the older checkpoint is not to be believed.
    let key = run(&["key", "show"]).lines().next().unwrap().to_owned();
    assert_eq!(python(dir, "verify_proof.py", &["growth", "--public-key", &key]).0, Some(1));
    assert_eq!(python(dir, "verify_bundle.py", &["bundle.zip", "--public-key", &key]).0, Some(0));
    let zip = std::fs::read(dir.join("bundle.zip")).unwrap();
    let mut other = zip.clone();
    other[zip.len() / 3] ^= 1;
    std::fs::write(dir.join("bundle.zip"), other).unwrap();
    assert_eq!(python(dir, "verify_bundle.py", &["bundle.zip"]).0, Some(1));

    // A byte of the last segment, which is not compressed.
    let last = names.iter().filter(|name| name.ends_with(".jsonl")).max().unwrap();
    let first_index: u64 = last.trim_end_matches(".jsonl").parse().unwrap();
    let segment = dir.join("trail/segments").join(last);
    let whole = std::fs::read(&segment).unwrap();
    let at = whole.windows(11).position(|window| window == b"test.python").unwrap();
    let mut changed = whole.clone();
    changed[at] = b'T';
    std::fs::write(&segment, changed).unwrap();
    let (code, said) = python(dir, "verify_trail.py", &["trail"]);
    assert_eq!(code, Some(1), "{said}");
    let named: Option<u64> =
        said.strip_prefix("TAMPERED at index ").and_then(|rest| rest.split(':').next()?.parse().ok());
    assert!(named.is_some_and(|named| named >= first_index && named < first_index + 3), "{said}");
    std::fs::write(&segment, &whole).unwrap();

    let checkpoint = dir.join("trail/checkpoint");
    let newest = std::fs::read(&checkpoint).unwrap();
    std::fs::write(&checkpoint, String::from_utf8_lossy(&newest).replacen("\n", "\n1", 1)).unwrap();
    assert_eq!(python(dir, "verify_trail.py", &["trail"]).0, Some(1));
    std::fs::write(&checkpoint, &newest).unwrap();
    let growth = std::fs::read_to_string(dir.join("growth")).unwrap();
    for other in [growth.replacen("\n702\n", "\n701\n", 1), growth.replacen("v1\n", "v1\n\n", 1)] {
        std::fs::write(dir.join("growth"), other).unwrap();
        let (code, said) = python(dir, "verify_proof.py", &["growth", "--public-key", &first_key]);
        assert_eq!(code, Some(1), "{said}");
    }
    let proof = std::fs::read_to_string(dir.join("proof")).unwrap();
    std::fs::write(dir.join("proof"), proof.replacen("index 800", "index 801", 1)).unwrap();
    let (code, said) = python(dir, "verify_proof.py", &["proof", "--public-key", &first_key]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(python(dir, "verify_trail.py", &["nothing"]).0, Some(2));
}
