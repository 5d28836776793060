//! `trailseal verify` and the verifier that was written from `docs/format.md` alone come to the same verdict on good
//! trails and bad ones: whether all is well, what is wrong, and where.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod beside;
mod chance;
mod checkpoints;
mod lines;
mod rotations;
#[path = "../support/mod.rs"]
mod support;
mod tree;
mod unsealed;

use std::fmt::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::Place;

const ORIGIN: &str = "example.org/agree";

fn events(from: usize, count: usize) -> String {
    (from..from + count).fold(String::new(), |mut text, number| {
        let filling = "x".repeat(number * 37 % 400);
        writeln!(text, "{{\"action\":\"test.agree\",\"description\":\"{number} {filling}\"}}").unwrap();
        text
    })
}

/// A trail of about ten segments of sixty lines, most of them compressed; and one of its checkpoints, `given`.
fn trail() -> Place {
    let place = Place::new();
    let settings = format!("origin = \"{ORIGIN}\"\n[segment]\nroll = \"40KiB\"\ncompress = true\n");
    place.write("trailseal.toml", settings);
    for run in 0..10 {
        place.feed("record", events(run * 60, 60)).ok();
        if run == 3 {
            place.write("given", place.run("checkpoint").ok().out);
            place.write("key", place.public_key());
        }
    }
    place
}

/// What both say, side by side: `None` where there is no verdict but an error.
fn product(place: &Place, arguments: &[&str]) -> Vec<Option<Value>> {
    let answer = place.run_all(&[&["verify", "--json"], arguments].concat());
    if answer.code == Some(2) {
        return vec![None];
    }
    let verdict = answer.json();
    match verdict["trails"].as_array() {
        Some(trails) => trails.iter().map(|trail| Some(told(trail))).collect(),
        None => vec![Some(told(&verdict))],
    }
}

fn stranger(place: &Place, arguments: &[&str]) -> Vec<Option<Value>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../strangers/python/verify_trail.py");
    let output = Command::new("python3")
        .arg("-B")
        .arg(script)
        .arg("--json")
        .args(arguments)
        .current_dir(place.path("."))
        .output()
        .unwrap_or_else(|error| panic!("python3 cannot be started; `cargo xtask test` installs it: {error}"));
    match output.status.code() {
        Some(0 | 1) => {}
        Some(2) => return vec![None],
        _ => panic!("{}", String::from_utf8_lossy(&output.stderr)),
    }
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| Some(told(&serde_json::from_str(line).unwrap()))).collect()
}

/// What must be the same in both.
fn told(verdict: &Value) -> Value {
    let mut told = json!({});
    for field in ["ok", "problem", "first_bad", "range"] {
        told[field] = verdict[field].clone();
    }
    if verdict["ok"] == true {
        told["sealed"] = verdict["sealed"].clone();
        told["unsealed"] = verdict["unsealed"].clone();
    }
    told
}

/// How a verification may be asked for.
#[derive(Clone, Copy, Debug)]
enum Pins {
    None,
    Key,
    KeyAndCheckpoint,
}

const PINS: [Pins; 3] = [Pins::None, Pins::Key, Pins::KeyAndCheckpoint];

/// Both verdicts on the folder `dir` are the same; returns it.
#[track_caller]
fn agreed(place: &Place, dir: &str, pins: Pins, what: &str) -> Option<Value> {
    let mut pinned = Vec::new();
    if !matches!(pins, Pins::None) {
        pinned.extend(["--public-key", "key"]);
    }
    if matches!(pins, Pins::KeyAndCheckpoint) {
        pinned.extend(["--checkpoint", "given"]);
    }
    let ours = product(place, &[&["--dir", dir], &*pinned].concat());
    let theirs = stranger(place, &[&[dir], &*pinned].concat());
    if ours != theirs {
        panic!("{what}, {pins:?}:\n  trailseal verify: {ours:?}\n  the stranger:     {theirs:?}");
    }
    ours.into_iter().next().unwrap()
}

/// A copy of the trail in which something was changed.
struct Copy<'a> {
    place: &'a Place,
}

impl Copy<'_> {
    fn of<'a>(place: &'a Place) -> Copy<'a> {
        drop(std::fs::remove_dir_all(place.path("copy")));
        place.copy("trail", "copy");
        // It is another answer's business, and much work for each of many copies.
        drop(std::fs::remove_dir_all(place.path("copy/index")));
        Copy { place }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path("copy").join(name)
    }

    fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::fs::read(self.path(name)).unwrap();
        change(&mut bytes);
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn segments(&self) -> Vec<String> {
        let is_segment = |name: &String| name.ends_with(".jsonl") || name.ends_with(".zst");
        self.names("segments").into_iter().filter(is_segment).map(|name| format!("segments/{name}")).collect()
    }

    fn kept(&self) -> Vec<u64> {
        let mut sizes: Vec<u64> =
            self.names("checkpoints").iter().map(|name| name.parse().unwrap()).collect();
        sizes.sort_unstable();
        sizes
    }

    /// Unpacks a compressed segment.
    fn unpack(&self, name: &str) -> String {
        let Some(plain) = name.strip_suffix(".zst") else { return name.to_owned() };
        let bytes = zstd::decode_all(&*std::fs::read(self.path(name)).unwrap()).unwrap();
        std::fs::write(self.path(plain), bytes).unwrap();
        std::fs::remove_file(self.path(name)).unwrap();
        plain.to_owned()
    }

    /// Does to the lines of a segment what somebody with root could do.
    fn tamper(&self, segment: usize, change: impl FnOnce(&mut Vec<String>)) {
        let name = self.unpack(&self.segments()[segment]);
        self.edit(&name, |bytes| {
            let mut lines: Vec<String> =
                std::str::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect();
            change(&mut lines);
            *bytes = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
        });
    }

    /// Sets the newest checkpoint back to a kept one: what follows is not sealed then.
    fn set_back(&self, kept: usize) -> u64 {
        let size = self.kept()[kept];
        std::fs::copy(self.path(&format!("checkpoints/{size}")), self.path("checkpoint")).unwrap();
        size
    }

    fn flip(&self, name: &str, at: u64) {
        let file = std::fs::File::options().read(true).write(true).open(self.path(name)).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    }
}

type Change = Box<dyn Fn(&Copy<'_>)>;

type Changes = Vec<(&'static str, Option<&'static str>, Change)>;

/// Changes the trail in each way and compares, under these pins; each has the code that it must have.
#[track_caller]
fn compare(place: &Place, pins: &[Pins], changes: Changes) {
    for (number, (what, code, change)) in changes.into_iter().enumerate() {
        let copy = Copy::of(place);
        change(&copy);
        let pins = pins[number % pins.len()];
        let verdict = agreed(place, "copy", pins, what).unwrap_or_else(|| panic!("no verdict: {what}"));
        assert_eq!(verdict["problem"].as_str(), code, "{what}, {pins:?}: {verdict}");
    }
}

fn change(change: impl Fn(&Copy<'_>) + 'static) -> Change {
    Box::new(change)
}
