//! `trailseal tiles`: the tree as files in the layout of C2SP tlog-tiles, for a static host. Its files are slices of
//! `tree/`, are what the server answers, and are gone on with whatever a run before left.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use support::server::Server;
use support::{Lines, Place, Running};

type Tree = BTreeMap<String, Vec<u8>>;

fn events(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        writeln!(text, "{{\"action\":\"test.tiles\",\"actor\":{{\"id\":\"u{}\"}}}}", number % 7).unwrap();
        text
    })
}

/// A path as C2SP spells it: the number in groups of three digits.
fn path_of(level: u32, number: u64, width: u64) -> String {
    let digits = number.to_string();
    let padded = format!("{digits:0>width$}", width = digits.len().div_ceil(3) * 3);
    let groups: Vec<&str> = (0..padded.len()).step_by(3).map(|at| &padded[at..at + 3]).collect();
    let (last, before) = groups.split_last().unwrap();
    let before: String = before.iter().map(|group| format!("x{group}/")).collect();
    let partial = if width == 256 { String::new() } else { format!(".p/{width}") };
    format!("tile/{level}/{before}{last}{partial}")
}

fn size_of(checkpoint: &[u8]) -> u64 {
    String::from_utf8_lossy(checkpoint).lines().nth(1).unwrap().parse().unwrap()
}

/// What must be in the folder: slices of the trail's tree up to the checkpoint's size, and the checkpoint.
fn wanted(trail: &Path) -> Tree {
    let checkpoint = std::fs::read(trail.join("checkpoint")).unwrap();
    let size = size_of(&checkpoint);
    let mut tree = Tree::from([("checkpoint".to_owned(), checkpoint)]);
    for level in 0..8 {
        let count = size >> (8 * level);
        let hashes = std::fs::read(trail.join("tree").join(level.to_string())).unwrap_or_default();
        for number in 0..count.div_ceil(256) {
            let width = (count - number * 256).min(256);
            let at = number as usize * 8_192;
            tree.insert(path_of(level, number, width), hashes[at..at + 32 * width as usize].to_vec());
        }
    }
    tree
}

fn found(folder: &Path) -> Tree {
    fn walk(folder: &Path, name: &str, tree: &mut Tree) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap();
            let name = if name.is_empty() { file.to_owned() } else { format!("{name}/{file}") };
            match path.is_dir() {
                true => walk(&path, &name, tree),
                false => drop(tree.insert(name, std::fs::read(&path).unwrap())),
            }
        }
    }
    let mut tree = Tree::new();
    walk(folder, "", &mut tree);
    tree
}

/// Compares names first: a difference in bytes would print the whole tree.
#[track_caller]
fn same(found: &Tree, wanted: &Tree) {
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    let other: Vec<&String> = wanted.keys().filter(|name| found[*name] != wanted[*name]).collect();
    assert!(other.is_empty(), "{other:?} have other bytes");
}

#[track_caller]
fn written(place: &Place) -> u64 {
    place.run("tiles out --json").ok().json()["tiles_written"].as_u64().unwrap()
}

/// The partial tiles of an earlier size may lie beside the right ones until the tile is full.
fn without_older_partials(mut tree: Tree, wanted: &Tree) -> Tree {
    tree.retain(|name, _| !name.contains(".p/") || wanted.contains_key(name));
    tree
}

#[test]
fn tiles_are_slices_of_the_tree_with_a_full_one_of_the_second_level() {
    let place = Place::with(&events(66_000));
    let trail = place.path("trail");
    let (wanted, count) = (wanted(&trail), written(&place));
    assert!(wanted.contains_key("tile/1/000") && wanted.contains_key("tile/2/000.p/1"));
    same(&found(&place.path("out")), &wanted);
    assert_eq!(count + 1, wanted.len() as u64);
    assert_eq!(written(&place), 0, "all was there");

    // After more events every full tile of before is left as it is, and only the edge is new.
    let full = place.path("out/tile/0/000");
    let before = std::fs::metadata(&full).unwrap().modified().unwrap();
    place.feed("record", events(700)).ok();
    let (wanted, count) = (self::wanted(&trail), written(&place));
    same(&without_older_partials(found(&place.path("out")), &wanted), &wanted);
    assert!((4..=8).contains(&count), "{count}");
    assert_eq!(std::fs::metadata(&full).unwrap().modified().unwrap(), before);
    assert!(!place.path("out/tile/0/257.p").exists(), "partial tiles go when the tile is full");
}

#[test]
fn a_run_that_was_stopped_is_gone_on_with() {
    let place = Place::with(&events(1_500));
    place.run("tiles out").ok();
    let wanted = found(&place.path("out"));
    assert!(wanted.len() > 7, "{:?}", wanted.keys());
    // Whatever one tile and the checkpoint are, gone or cut short: an ordinary stop leaves a part of the tiles whole.
    for name in wanted.keys() {
        for is_cut in [false, true] {
            let path = place.path("out").join(name);
            match is_cut {
                true => std::fs::write(&path, &wanted[name][..wanted[name].len() / 2]).unwrap(),
                false => std::fs::remove_file(&path).unwrap(),
            }
            place.run("tiles out").ok();
            same(&found(&place.path("out")), &wanted);
        }
    }
    std::fs::remove_dir_all(place.path("out/tile/0")).unwrap();
    std::fs::remove_file(place.path("out/checkpoint")).unwrap();
    place.run("tiles out").ok();
    same(&found(&place.path("out")), &wanted);
}

#[test]
fn nothing_above_the_checkpoint_is_written_whatever_lies_in_the_tree() {
    let place = Place::with(&events(600));
    let trail = place.path("trail");
    let wanted = wanted(&trail);
    // As a writer that was killed between the tree and the checkpoint leaves it, to the middle of a hash.
    for (level, bytes) in [(0, 32 * 900 + 7), (1, 32 * 3), (2, 32)] {
        let path = trail.join("tree").join(level.to_string());
        let mut hashes = std::fs::read(&path).unwrap_or_default();
        hashes.truncate((size_of(&wanted["checkpoint"]) >> (8 * level)) as usize * 32);
        hashes.resize(hashes.len() + bytes, 0xA5);
        std::fs::write(&path, hashes).unwrap();
    }
    place.run("tiles out").ok();
    same(&found(&place.path("out")), &wanted);
}

#[test]
fn a_server_answers_the_same_tiles() {
    let place = Place::with(&events(66_000));
    let server = Server::start(&place);
    let admin = server.admin();
    place.run("tiles out").ok();
    let tiles = found(&place.path("out"));
    assert!(tiles.contains_key("tile/1/000") && size_of(&tiles["checkpoint"]) > 65_536);
    // Every tile above the leaves; of the leaves some, and the edge.
    let is_asked = |name: &str| !name.starts_with("tile/0/") || name.ends_with('7') || name.contains(".p/");
    let mut asked = 0;
    for (name, bytes) in tiles.iter().filter(|(name, _)| name.starts_with("tile/") && is_asked(name)) {
        assert_eq!(admin.get(&format!("/{name}")).is(200).body, *bytes, "{name}");
        asked += 1;
    }
    assert!(asked > 25, "{asked}");
}

#[test]
fn each_slot_is_a_log_in_a_folder_of_its_own() {
    let place = Place::new();
    place.write("trailseal.toml", "origin = \"example.org/app\"\nworkers = \"slots\"\n");
    // A second writer beside the first takes the second slot.
    let mut command = place.command(&["record", "--json"]);
    let mut first = command.stdin(Stdio::piped()).spawn().unwrap();
    first.stdin.as_mut().unwrap().write_all(events(300).as_bytes()).unwrap();
    let receipts = Lines::of(first.stdout.take().unwrap());
    assert!(receipts.wait().contains("example.org/app/0"));
    place.feed("record", events(600)).ok();
    drop(first.stdin.take());
    let mut first = Running(first);
    assert!(first.0.wait().unwrap().success());

    let answer = place.run("tiles out --json").ok().json_lines();
    assert_eq!(answer.len(), 2, "{answer:?}");
    for (number, told) in answer.iter().enumerate() {
        let wanted = wanted(&place.path("trail").join(number.to_string()));
        same(&found(&place.path("out").join(number.to_string())), &wanted);
        assert_eq!(told["origin"], format!("example.org/app/{number}"));
        assert_eq!(told["tree_size"], size_of(&wanted["checkpoint"]));
    }
    assert!(!place.path("out/checkpoint").exists());
}
