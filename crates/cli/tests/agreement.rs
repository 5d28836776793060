//! `trailseal verify` and the verifier that was written from `docs/format.md` alone come to the same verdict on good
//! trails and bad ones: whether all is well, what is wrong, and where.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

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

type Change = Box<dyn Fn(&Copy)>;

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

fn change(change: impl Fn(&Copy) + 'static) -> Change {
    Box::new(change)
}

#[test]
fn on_lines_that_were_signed() {
    let place = trail();
    for pins in PINS {
        assert_eq!(agreed(&place, "trail", pins, "as it is").unwrap()["ok"], true);
    }
    let edit = |segment: usize, line: usize| {
        change(move |copy| {
            copy.tamper(segment, |lines| {
                let end = lines[line].len() - 1;
                lines[line].insert(end, ' ');
            })
        })
    };
    let other_hour = |lines: &mut Vec<String>| lines[9] = lines[9].replacen("T", "U", 1);
    compare(
        &place,
        &PINS,
        vec![
            ("the first line", Some("edited"), edit(0, 0)),
            ("a line", Some("edited"), edit(1, 17)),
            ("the last line", Some("edited"), edit(2, 0)),
            ("a front", Some("edited"), change(move |copy| copy.tamper(1, other_hour))),
            ("a line is gone", Some("missing"), change(|copy| copy.tamper(1, |lines| drop(lines.remove(5))))),
            (
                "a line stands there twice",
                Some("duplicated"),
                change(|copy| copy.tamper(1, |lines| lines[6] = lines[5].clone())),
            ),
            (
                "two lines changed places",
                Some("reordered"),
                change(|copy| copy.tamper(1, |lines| lines.swap(3, 4))),
            ),
            (
                "a line was put between",
                Some("inserted"),
                change(|copy| copy.tamper(1, |lines| lines.insert(3, lines[3].replace("agree", "more")))),
            ),
            (
                "a line of 70,000 bytes",
                Some("edited"),
                change(|copy| copy.tamper(1, |lines| lines[3].push_str(&"x".repeat(70_000)))),
            ),
            (
                "a segment is gone",
                Some("segment_missing"),
                change(|copy| std::fs::remove_file(copy.path(&copy.segments()[1])).unwrap()),
            ),
            (
                "the first segment is gone",
                Some("segment_missing"),
                change(|copy| std::fs::remove_file(copy.path(&copy.segments()[0])).unwrap()),
            ),
            (
                "the end is cut off",
                Some("missing"),
                change(|copy| {
                    let last = copy.segments().pop().unwrap();
                    copy.edit(&last, |bytes| bytes.truncate(bytes.len() * 2 / 3));
                }),
            ),
            (
                "a compressed segment is damaged",
                Some("edited"),
                change(|copy| {
                    let name = copy.segments()[1].clone();
                    let middle = std::fs::metadata(copy.path(&name)).unwrap().len() / 2;
                    copy.flip(&name, middle);
                }),
            ),
            (
                "a compressed segment is cut off",
                Some("edited"),
                change(|copy| {
                    let name = copy.segments()[1].clone();
                    copy.edit(&name, |bytes| bytes.truncate(bytes.len() / 2));
                }),
            ),
            (
                "a compressed segment is other zstd of the same lines",
                None,
                change(|copy| {
                    let name = copy.segments()[0].clone();
                    copy.edit(&name, |bytes| {
                        let lines = zstd::decode_all(&**bytes).unwrap();
                        let half = lines.len() / 2;
                        *bytes = zstd::bulk::compress(&lines[..half], 3).unwrap();
                        bytes.extend(b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc");
                        bytes.extend(zstd::bulk::compress(&lines[half..], 3).unwrap());
                    });
                }),
            ),
            (
                "a frame that does not say its length",
                Some("edited"),
                change(|copy| {
                    let name = copy.segments()[1].clone();
                    copy.edit(&name, |bytes| {
                        let lines = zstd::decode_all(&**bytes).unwrap();
                        *bytes = zstd::stream::encode_all(&*lines, 3).unwrap();
                    });
                }),
            ),
            (
                "a plain segment beside the compressed one counts",
                Some("edited"),
                change(|copy| {
                    let name = copy.segments()[1].clone();
                    let packed = std::fs::read(copy.path(&name)).unwrap();
                    copy.tamper(1, |lines| lines[2] = lines[2].replace("agree", "agrees"));
                    std::fs::write(copy.path(&name), packed).unwrap();
                }),
            ),
            (
                "void lines behind a segment",
                None,
                change(|copy| copy.tamper(1, |lines| lines.extend(["void".to_owned(), "x".to_owned()]))),
            ),
        ],
    );
}

#[test]
fn on_the_tree() {
    let place = trail();
    let put = |level: u8, from: usize, byte: u8| {
        change(move |copy| {
            copy.edit(&format!("tree/{level}"), |bytes| bytes[from..].fill(byte));
        })
    };
    let cut = |level: u8, len: usize| {
        change(move |copy| copy.edit(&format!("tree/{level}"), |bytes| bytes.truncate(len)))
    };
    let remove = |name: &'static str| change(move |copy| std::fs::remove_file(copy.path(name)).unwrap());
    let beyond = |level: u8, count: usize| {
        change(move |copy| copy.edit(&format!("tree/{level}"), |bytes| bytes.extend(vec![0x5A; count])))
    };
    compare(
        &place,
        &PINS,
        vec![
            ("a leaf hash", Some("tile_forged"), change(|copy| copy.flip("tree/0", 32 * 300 + 9))),
            ("the last leaf hashes", Some("tile_forged"), put(0, 32 * 600, 0)),
            ("a hash of level 1", Some("tile_forged"), change(|copy| copy.flip("tree/1", 40))),
            ("level 0 ends before", Some("tree_missing"), cut(0, 32 * 200 + 5)),
            ("level 0 is empty", Some("tree_missing"), cut(0, 0)),
            ("level 1 is empty", Some("tree_missing"), cut(1, 0)),
            ("level 0 is not there", Some("tree_missing"), remove("tree/0")),
            ("level 1 is not there", Some("tree_missing"), remove("tree/1")),
            (
                "no tree is there",
                Some("tree_missing"),
                change(|copy| std::fs::remove_dir_all(copy.path("tree")).unwrap()),
            ),
            (
                "level 0 ends, and level 1 is wrong before",
                Some("tile_forged"),
                change(|copy| {
                    copy.edit("tree/0", |bytes| bytes.truncate(32 * 500));
                    copy.flip("tree/1", 3);
                }),
            ),
            ("void bytes", None, beyond(0, 32 * 7 + 3)),
            ("void bytes of level 1", None, beyond(1, 40)),
            (
                "a torn last block of void bytes",
                None,
                change(|copy| {
                    copy.edit("tree/0", |bytes| {
                        bytes.extend([0xEE; 32 * 40]);
                        let len = bytes.len();
                        bytes[len - 32 * 20..].fill(0);
                    });
                }),
            ),
            (
                "a level that has no hashes yet",
                None,
                change(|copy| std::fs::write(copy.path("tree/2"), [9; 33]).unwrap()),
            ),
            (
                "lines and leaf hashes both changed",
                Some("root_mismatch"),
                change(|copy| {
                    copy.tamper(1, |lines| lines[17] = lines[17].replace("agree", "agrees"));
                    let first: u64 = copy.segments()[1][9..29].parse().unwrap();
                    copy.flip("tree/0", 32 * (first + 17));
                }),
            ),
            (
                "a line behind, and the leaf hashes before it",
                Some("root_mismatch"),
                change(|copy| {
                    copy.tamper(2, |lines| lines[0] = lines[0].replace("agree", "agrees"));
                    copy.flip("tree/0", 32 * 3);
                }),
            ),
            (
                "a line before, and the leaf hashes behind it",
                None.or(Some("edited")),
                change(|copy| {
                    copy.tamper(0, |lines| lines[3] = lines[3].replace("agree", "agrees"));
                    copy.flip("tree/0", 32 * 600);
                }),
            ),
            (
                "lines are gone, and the tree with them",
                Some("segment_missing"),
                change(|copy| {
                    std::fs::remove_file(copy.path(&copy.segments()[1])).unwrap();
                    copy.edit("tree/0", |bytes| bytes.clear());
                }),
            ),
        ],
    );
}

#[test]
fn on_checkpoints_and_trail_toml() {
    let place = trail();
    // Another trail of the same size, to exchange files with.
    let other = trail();
    let put = move |name: &'static str, bytes: Vec<u8>| {
        change(move |copy| std::fs::write(copy.path(name), &bytes).unwrap())
    };
    let text = |name: &str| std::fs::read_to_string(place.path("trail").join(name)).unwrap();
    let (newest, toml) = (text("checkpoint"), text("trail.toml"));
    let foreign = newest.replace(ORIGIN, "example.org/other");
    let at = newest.find("\n\n").unwrap() + 30;
    let mut bad_signature = newest.clone().into_bytes();
    bad_signature[at + 30] = if bad_signature[at + 30] == b'A' { b'B' } else { b'A' };
    let stranger = format!("— example.org/stranger {}\n", "AAAAAAAA");
    let kept_other = change(|copy| {
        let sizes = copy.kept();
        std::fs::copy(copy.path(&format!("checkpoints/{}", sizes[0])), copy.path("checkpoints/77")).unwrap();
    });
    let kept_damaged = change(|copy| {
        let size = copy.kept()[0];
        std::fs::write(copy.path(&format!("checkpoints/{size}")), "no note").unwrap();
    });
    let unknown = "a key that signs other trails";
    let theirs = std::fs::read_to_string(other.path("trail/checkpoint")).unwrap();
    compare(
        &place,
        &PINS,
        vec![
            (
                "no checkpoint",
                Some("checkpoint_missing"),
                change(|copy| std::fs::remove_file(copy.path("checkpoint")).unwrap()),
            ),
            ("an empty one", Some("checkpoint_invalid"), put("checkpoint", Vec::new())),
            (
                "one of another size",
                Some("signature_invalid"),
                put("checkpoint", newest.replacen('\n', "\n1", 1).into()),
            ),
            (
                "a size with a zero in front",
                Some("checkpoint_invalid"),
                put("checkpoint", newest.replacen('\n', "\n0", 1).into()),
            ),
            ("a changed signature", Some("signature_invalid"), put("checkpoint", bad_signature)),
            ("another origin", Some("origin_mismatch"), put("checkpoint", foreign.into())),
            ("a stranger's signature beside", None, put("checkpoint", (newest.clone() + &stranger).into())),
            ("another trail's", Some("key_unknown"), put("checkpoint", theirs.into())),
            (
                "a control character",
                Some("checkpoint_invalid"),
                put("checkpoint", newest.replace("\n\n", "\n\t\n\n").into()),
            ),
            ("no line end", Some("checkpoint_invalid"), put("checkpoint", newest.trim_end().into())),
            ("a kept one under another name", Some("checkpoint_invalid"), kept_other),
            ("a kept one is damaged", Some("checkpoint_invalid"), kept_damaged),
            ("a name that is no number", None, put("checkpoints/0700", b"x".to_vec())),
            (
                "kept ones are gone",
                None,
                change(|copy| {
                    for size in copy.kept() {
                        std::fs::remove_file(copy.path(&format!("checkpoints/{size}"))).unwrap();
                    }
                }),
            ),
            (
                "another time of creation",
                None,
                put("trail.toml", toml.replacen("created = \"2", "created = \"1", 1).into()),
            ),
        ],
    );
    let wrong = [
        ("no trail.toml", None),
        ("no TOML", Some("format =".to_owned())),
        ("another format", Some(toml.replace("format = 1", "format = 2"))),
        ("an unknown field", Some(format!("more = 1\n{toml}"))),
        ("an unknown field of a key", Some(format!("{toml}more = 1\n"))),
        ("a time of creation that is none", Some(toml.replacen("created = \"", "created = \"x", 1))),
        ("a damaged key", Some(toml.replacen('+', "+0", 1))),
        ("a size below 0", Some(toml.replacen("from = 0", "from = -1", 1))),
        ("a size that is a text", Some(toml.replacen("from = 0", "from = \"0\"", 1))),
    ];
    for (what, text) in wrong {
        let copy = Copy::of(&place);
        match text {
            Some(text) => std::fs::write(copy.path("trail.toml"), text).unwrap(),
            None => std::fs::remove_file(copy.path("trail.toml")).unwrap(),
        }
        for pins in PINS {
            let verdict = agreed(&place, "copy", pins, what).unwrap();
            assert_eq!(verdict["problem"], "manifest_invalid", "{what}, {pins:?}: {verdict}");
        }
    }
    // Given from outside: another trail's key, a larger checkpoint, another history.
    for (what, key, given, code) in [
        (unknown, other.read("key"), None, "key_unknown"),
        ("a checkpoint of another trail", place.read("key"), Some(other.read("given")), "key_unknown"),
    ] {
        let kept = (place.read("key"), place.read("given"));
        place.write("key", key);
        place.write("given", given.unwrap_or_else(|| kept.1.clone()));
        let pins = if code == "key_unknown" && what == unknown { Pins::Key } else { Pins::KeyAndCheckpoint };
        assert_eq!(agreed(&place, "trail", pins, what).unwrap()["problem"], code);
        place.write("key", kept.0);
        place.write("given", kept.1);
    }
    let copy = Copy::of(&place);
    place.write("given", &newest);
    let size = copy.set_back(0);
    let verdict = agreed(&place, "copy", Pins::KeyAndCheckpoint, "set back").unwrap();
    assert_eq!((&verdict["problem"], &verdict["first_bad"]), (&json!("rollback"), &json!(size)));
    place.write("given", "no checkpoint");
    assert_eq!(agreed(&place, "trail", Pins::KeyAndCheckpoint, "given: none"), None);
}

#[test]
fn on_lines_that_no_checkpoint_covers() {
    let place = trail();
    let copy = Copy::of(&place);
    let (size, end) = (copy.set_back(1), copy.segments().len());
    let verdict = agreed(&place, "copy", Pins::Key, "set back to a kept one").unwrap();
    assert_eq!((&verdict["ok"], &verdict["sealed"]), (&json!(true), &json!(size)));
    assert!(verdict["unsealed"].as_u64().unwrap() > 100 && end > 3, "{verdict}");
    // Kept checkpoints still cover what follows, so they go: then it is really not covered.
    let bare = |copy: &Copy| {
        let size = copy.set_back(1);
        for kept in copy.kept().into_iter().filter(|kept| *kept > size) {
            std::fs::remove_file(copy.path(&format!("checkpoints/{kept}"))).unwrap();
        }
    };
    let tamper = move |segment: usize, edit: fn(&mut Vec<String>)| {
        change(move |copy| {
            bare(copy);
            copy.tamper(segment, edit);
        })
    };
    compare(
        &place,
        &PINS[..2],
        vec![
            (
                "an edit that nothing shows",
                None,
                tamper(3, |lines| lines[5] = lines[5].replace("agree", "agrees")),
            ),
            ("a line is gone", Some("missing"), tamper(3, |lines| drop(lines.remove(5)))),
            ("a line twice", Some("duplicated"), tamper(3, |lines| lines.insert(5, lines[4].clone()))),
            ("a line that is none", Some("edited"), tamper(3, |lines| lines[5] = "{}".into())),
            (
                "a day that does not exist",
                Some("edited"),
                tamper(3, |lines| {
                    let at = lines[5].find("\"recorded\":\"").unwrap() + 12;
                    lines[5].replace_range(at..at + 10, "2025-02-29");
                }),
            ),
            (
                "a time that goes back",
                Some("reordered"),
                tamper(3, |lines| {
                    let at = lines[5].find("\"recorded\":\"").unwrap() + 12;
                    lines[5].replace_range(at..at + 10, "2024-02-29");
                }),
            ),
            (
                "a line of 70,000 bytes",
                Some("line_too_long"),
                tamper(3, |lines| lines[5].push_str(&"x".repeat(70_000))),
            ),
            (
                "a segment between is gone",
                Some("missing"),
                change(move |copy| {
                    bare(copy);
                    std::fs::remove_file(copy.path(&copy.segments()[3])).unwrap();
                }),
            ),
            (
                "a torn last line",
                None,
                change(move |copy| {
                    bare(copy);
                    let last = copy.segments().pop().unwrap();
                    copy.edit(&last, |bytes| bytes.extend(b"{\"v\":1,\"index\":"));
                }),
            ),
            (
                "the end is gone, and a kept checkpoint covers it",
                Some("missing"),
                change(|copy| {
                    copy.set_back(1);
                    let last = copy.segments().pop().unwrap();
                    std::fs::remove_file(copy.path(&last)).unwrap();
                    let before = copy.segments().pop().unwrap();
                    copy.tamper(copy.segments().len() - 1, |lines| lines.truncate(lines.len() - 3));
                    drop(before);
                }),
            ),
            (
                "an edit that a larger kept checkpoint shows",
                Some("root_mismatch"),
                change(|copy| {
                    copy.set_back(1);
                    copy.tamper(3, |lines| lines[1] = lines[1].replace("agree", "agrees"));
                }),
            ),
            (
                "the end that was durable is gone",
                Some("durable_missing"),
                change(move |copy| {
                    bare(copy);
                    copy.tamper(copy.segments().len() - 1, |lines| lines.truncate(lines.len() - 3));
                }),
            ),
        ],
    );
}

/// Draws numbers; the same ones in each run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn on_damage_that_was_drawn_by_lot() {
    let place = trail();
    let mut draw = Draw(0x7261_696C);
    for round in 0..80 {
        let copy = Copy::of(&place);
        let folder = ["", "segments", "tree", "checkpoints"][draw.below(4)];
        let mut names = copy.names(folder);
        names.retain(|name| {
            copy.path(folder).join(name).is_file()
                && !["lock", "handoff"].contains(&name.as_str())
                && !name.ends_with(".offsets")
        });
        let name = Path::new(folder).join(&names[draw.below(names.len())]).display().to_string();
        let other = Path::new(folder).join(&names[draw.below(names.len())]).display().to_string();
        let kind = draw.below(5);
        let at = draw.below(std::fs::metadata(copy.path(&name)).unwrap().len().max(1) as usize);
        match kind {
            0 => copy.flip(&name, at as u64),
            1 => copy.edit(&name, |bytes| bytes.truncate(at)),
            2 => copy.edit(&name, |bytes| drop(bytes.drain(at..(at + 40).min(bytes.len())))),
            3 => drop(std::fs::copy(copy.path(&other), copy.path(&name)).unwrap()),
            _ => std::fs::remove_file(copy.path(&name)).unwrap(),
        }
        let what = format!("round {round}: {name}, kind {kind} at {at}, {other}");
        agreed(&place, "copy", PINS[round % 3], &what);
    }
}
