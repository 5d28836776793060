//! One change to a trail, at random.

use std::fs;
use std::path::{Path, PathBuf};

use trailseal_attacks::{Checkpoint, Folder, Key, ManifestKey, Random, manifest, rotation_line};

use crate::base::Base;

/// A change that was made.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    /// Its kind, for the counts.
    pub(crate) kind: String,
    /// What exactly.
    pub(crate) what: String,
    /// All was signed anew by the retired key, as if it had never been retired. Whoever keeps only that key cannot
    /// know better.
    pub(crate) is_history_of_retired_key: bool,
    /// It took or changed bytes where they lay, and put no other line there.
    pub(crate) is_damage: bool,
    /// A file, and bytes that are put back at its start once the trail was opened: an attacker who hides what was done.
    pub(crate) put_back: Option<(PathBuf, Vec<u8>)>,
}

fn done(kind: impl Into<String>, what: impl Into<String>) -> Done {
    Done {
        kind: kind.into(),
        what: what.into(),
        is_history_of_retired_key: false,
        is_damage: false,
        put_back: None,
    }
}

/// Makes one.
pub(crate) fn at_random(base: &Base, trail: &Folder, random: &mut Random) -> Done {
    // A change may find nothing to change, such as a handoff of a trail that was closed.
    for _ in 0..100 {
        let made = match random.below(9) {
            0..=3 => of_a_file(base, trail, random),
            4 => of_lines(trail, random),
            5 => forgery(base, trail, random),
            6 => of_a_note(base, trail, random),
            7 => splice(trail, random),
            _ => of_the_manifest(base, trail, random),
        };
        if let Some(made) = made {
            return made;
        }
    }
    panic!("nothing to change in {}", trail.0.display());
}

const CLASSES: [&str; 11] = [
    "segment",
    "offsets",
    "tree",
    "checkpoint",
    "kept",
    "trail.toml",
    "key",
    "lock",
    "handoff",
    "index",
    "other",
];

fn class(name: &Path) -> &'static str {
    let text = name.to_string_lossy();
    let is = |start: &str| text.starts_with(start);
    match &*text {
        "checkpoint" => "checkpoint",
        "trail.toml" => "trail.toml",
        "lock" => "lock",
        "handoff" => "handoff",
        _ if is("segments") && text.ends_with(".offsets") => "offsets",
        _ if is("segments") => "segment",
        _ if is("tree") => "tree",
        _ if is("checkpoints") => "kept",
        _ if is("keys/signing.key") => "key",
        _ if is("index") => "index",
        _ => "other",
    }
}

/// Every file, by its name in the folder, in a fixed order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = fs::read_dir(next) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                found.push(path.strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn of_class(folder: &Folder, wanted: &str) -> Vec<PathBuf> {
    files(&folder.0).into_iter().filter(|name| class(name) == wanted).collect()
}

fn of_a_file(base: &Base, trail: &Folder, random: &mut Random) -> Option<Done> {
    let class = *random.of(&CLASSES);
    let names = of_class(trail, class);
    if names.is_empty() {
        return None;
    }
    let name = random.of(&names).clone();
    let path = trail.0.join(&name);
    let mut bytes = fs::read(&path).unwrap();
    let shown = name.display();
    // Only the beginning of a handoff says anything.
    let len = bytes.len().min(if class == "handoff" { 16_384 } else { usize::MAX });
    let (kind, what, is_damage) = match random.below(7) {
        0 | 1 if len > 0 => {
            let (at, bit) = (random.below(len), random.below(8));
            bytes[at] ^= 1 << bit;
            fs::write(&path, bytes).unwrap();
            ("flip", format!("bit {bit} of byte {at} of {shown}"), true)
        }
        2 if len > 0 => {
            let at = random.below(len);
            bytes.truncate(at);
            fs::write(&path, bytes).unwrap();
            ("cut", format!("{shown} at {at} of {len}"), true)
        }
        3 => {
            fs::remove_file(&path).unwrap();
            ("remove", format!("{shown}"), true)
        }
        4 => {
            let other = trail.0.join(random.of(&names));
            let other = if other == path { trail.0.join(random.of(&files(&trail.0))) } else { other };
            if other == path {
                return None;
            }
            fs::write(&path, fs::read(&other).unwrap()).unwrap();
            fs::write(&other, &bytes).unwrap();
            ("swap files", format!("{shown} and {}", other.strip_prefix(&trail.0).unwrap().display()), false)
        }
        5 | 6 => {
            let (donor, whose) = if random.once_in(2) {
                (&base.stranger, "a stranger's")
            } else {
                (&base.earlier, "its earlier")
            };
            let theirs = of_class(&donor.trail(), class);
            let same = theirs.iter().find(|theirs| **theirs == name);
            let chosen = match same {
                Some(same) if !random.once_in(4) => same,
                _ if theirs.is_empty() => return None,
                _ => random.of(&theirs),
            };
            fs::copy(donor.trail().0.join(chosen), &path).unwrap();
            ("exchange", format!("{shown} by {whose} {}", chosen.display()), false)
        }
        _ => return None,
    };
    Some(Done { is_damage, ..done(format!("{kind}: {class}"), what) })
}

fn of_lines(trail: &Folder, random: &mut Random) -> Option<Done> {
    let segments = trail.segments();
    if segments.is_empty() {
        return None;
    }
    let segment = random.of(&segments);
    let mut lines = segment.lines();
    if lines.is_empty() {
        return None;
    }
    let (at, other) = (random.below(lines.len()), random.below(lines.len()));
    let name = segment.path.file_name().unwrap().to_string_lossy().into_owned();
    let (kind, is_damage) = match random.below(6) {
        0 | 1 => {
            lines[at] = edited(&lines[at], random);
            ("edit", false)
        }
        2 if at != other => {
            lines.swap(at, other);
            ("swap lines", false)
        }
        3 => {
            lines.remove(at);
            ("remove line", true)
        }
        4 => {
            let doubled = lines[at].clone();
            lines.insert(other, doubled);
            ("double line", false)
        }
        5 => {
            lines.truncate(at);
            ("cut lines", true)
        }
        _ => return None,
    };
    segment.set_lines(&lines);
    Some(Done { is_damage, ..done(format!("{kind}: lines"), format!("line {at} ({other}) of {name}")) })
}

/// Bytes of a segment are exchanged for as many others while the trail is opened, so that its lines seem to be more, fewer
/// or others.
fn splice(trail: &Folder, random: &mut Random) -> Option<Done> {
    let segments: Vec<_> = trail.segments().into_iter().filter(|segment| !segment.is_compressed()).collect();
    if segments.is_empty() {
        return None;
    }
    let path = random.of(&segments).path.clone();
    let before = fs::read(&path).unwrap();
    if before.len() < 2 {
        return None;
    }
    let mut bytes = before.clone();
    let begin = random.below(bytes.len() - 1);
    let len = 1 + random.below((bytes.len() - begin).min(400));
    let kind = match random.below(4) {
        0 => {
            bytes[begin..begin + len].fill(b'\n');
            "newlines"
        }
        1 => {
            bytes[begin..].iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
            "no newlines"
        }
        2 => {
            bytes[begin..begin + len].reverse();
            "reversed"
        }
        _ => {
            let from = random.below(bytes.len() - len + 1);
            bytes.copy_within(from..from + len, begin);
            "others"
        }
    };
    if bytes == before {
        return None;
    }
    fs::write(&path, &bytes).unwrap();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let what = format!("{len} bytes at {begin} of {name}");
    Some(Done { put_back: Some((path, before)), ..done(format!("splice: {kind}"), what) })
}

/// The line with another content, still well-formed.
fn edited(line: &[u8], random: &mut Random) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    let changed = match random.below(4) {
        0 => text.replacen("\"action\":\"", "\"action\":\"x", 1),
        1 => text.replacen("\"outcome\":\"success\"", "\"outcome\":\"failure\"", 1),
        2 => text.replacen("\"id\":\"0", "\"id\":\"1", 1),
        _ => text.replacen(",\"category\"", ", \"category\"", 1),
    };
    if changed == text { format!("{text} ").into_bytes() } else { changed.into_bytes() }
}

/// Own keys of the attacker, and the retired ones.
fn attackers_keys(base: &Base) -> Vec<Key> {
    let mut keys = vec![Key::of_seed(&base.place.origin(), 11), base.stranger.trail().key()];
    keys.extend_from_slice(&base.keys[..base.keys.len() - 1]);
    keys
}

fn rotations(base: &Base) -> Vec<String> {
    let note = fs::read_to_string(base.place.path("kept")).unwrap();
    Checkpoint::parse(&note).unwrap().rotation_lines()
}

fn created(trail: &Folder) -> String {
    let text = fs::read(trail.path("trail.toml")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut rest = text.split("created = \"").skip(1).flat_map(|rest| rest.split('"'));
    rest.next().unwrap_or("2026-11-21T04:00:00.000000Z").to_owned()
}

/// A sealed line is edited, the tree made anew over it, and all signed by a key that the attacker has.
fn forgery(base: &Base, trail: &Folder, random: &mut Random) -> Option<Done> {
    let keys = attackers_keys(base);
    let key = random.of(&keys).clone();
    let is_retired = base.keys.iter().any(|own| own.public() == key.public());
    let is_whole = |segment: &trailseal_attacks::Segment| !segment.lines().is_empty();
    let size = (trail.lines().len() as u64).min(base.sealed + random.below(3) as u64);
    if size == 0 || !trail.path("tree").is_dir() || !trail.segments().iter().all(is_whole) {
        return None;
    }
    let at = random.below(size as usize) as u64;
    let mut change = random.number();
    trail.edit_line(at, |line| *line = edited(line, &mut Random::of_seed(change)));
    change >>= 32;
    if trail.lines().len() < size as usize {
        return None;
    }
    let lines = if random.once_in(2) { rotations(base) } else { Vec::new() };
    let extent = match random.below(3) {
        0 => {
            trail.write_tree(size);
            "tree"
        }
        1 => {
            trail.write_tree(size);
            trail.write("checkpoint", trail.note_of_lines(size, &[&key], &lines));
            "tree and checkpoint"
        }
        _ => {
            trail.forge(size, &key, &lines);
            "all that is signed"
        }
    };
    let listed = ManifestKey { public: key.public(), from: 0, to: None, vouched: None };
    let newest = base.keys.last().unwrap();
    let real = ManifestKey { public: newest.public(), from: 0, to: None, vouched: None };
    let list = match change % 5 {
        0 => Some(vec![listed]),
        1 => Some(vec![listed, real]),
        2 => Some(vec![real, listed]),
        3 => Some(vec![
            ManifestKey { to: Some(size), ..listed },
            ManifestKey { from: size, vouched: Some(rotation_line(&key, newest, size, &key)), ..real },
        ]),
        _ => None,
    };
    let (is_listed, count) = (list.is_some(), list.as_ref().map_or(0, Vec::len));
    if let Some(list) = list {
        trail.write("trail.toml", manifest(&base.place.origin(), &created(trail), &list));
    }
    let whose = if is_retired { "retired" } else { "own" };
    let what =
        format!("line {at}, size {size}, {extent}, {} rotation lines, keys listed: {count}", lines.len());
    // Without its rotation line: with it, the history is of the new key, too.
    let is_history = is_retired && lines.is_empty();
    let kind = format!("sign anew, {whose} key{}", if is_listed { ", listed" } else { "" });
    Some(Done { is_history_of_retired_key: is_history, ..done(kind, what) })
}

/// A checkpoint signed anew as it is, or over other content.
fn of_a_note(base: &Base, trail: &Folder, random: &mut Random) -> Option<Done> {
    let mut names = of_class(trail, "kept");
    names.push("checkpoint".into());
    let name = random.of(&names).clone();
    let note = Checkpoint::parse(&String::from_utf8(fs::read(trail.0.join(&name)).ok()?).ok()?)?;
    let keys = attackers_keys(base);
    let key = random.of(&keys);
    let lines = if random.once_in(2) { rotations(base) } else { Vec::new() };
    let origin = base.place.origin();
    let size = if random.once_in(2) { note.size } else { random.below(trail.lines().len() + 4) as u64 };
    let text = format!("{origin}\n{size}\n{}\n", note.root);
    let mut signed = format!("{text}\n{}{}", key.signature_line(&text), lines.concat());
    if random.once_in(2) {
        signed += &note.signatures.concat();
    }
    fs::write(trail.0.join(&name), signed).unwrap();
    let whose = if base.keys.iter().any(|own| own.public() == key.public()) { "retired" } else { "own" };
    Some(done(format!("sign a note, {whose} key"), format!("{} at {size} for {}", name.display(), note.size)))
}

fn of_the_manifest(base: &Base, trail: &Folder, random: &mut Random) -> Option<Done> {
    let text = String::from_utf8(fs::read(trail.path("trail.toml")).ok()?).ok()?;
    let own = random.of(&attackers_keys(base)).clone();
    let key = |from: &str| format!("\n[[key]]\npublic_key = \"{}\"\nfrom = {from}\n", own.public());
    let start = text.find("\n[[key]]")?;
    let (head, keys) = text.split_at(start);
    let without = |name: &str| -> String {
        text.lines().filter(|line| !line.starts_with(name)).map(|line| format!("{line}\n")).collect()
    };
    let (what, changed) = match random.below(7) {
        0 => ("an own key first", format!("{head}{}{keys}", key("0"))),
        1 => ("an own key last", format!("{text}{}", key(&base.sealed.to_string()))),
        2 => ("an own key alone", format!("{head}{}", key("0"))),
        3 => ("no vouchers", without("vouched")),
        4 => ("no ends", without("to = ")),
        5 => ("another begin", text.replace("from = ", "from = 1")),
        _ => ("another name", text.replace("example.com/attacked", "example.com/attackee")),
    };
    if changed == text {
        return None;
    }
    trail.write("trail.toml", changed);
    Some(done("manifest", what))
}
