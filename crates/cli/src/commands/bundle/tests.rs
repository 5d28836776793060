//! Bundles with any piece of them changed.

use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use trailseal_core::file::StdFiles;
use trailseal_core::{Ack, Options, Trail};
use trailseal_event::Event;
use trailseal_event::filter::Filter;
use trailseal_event::personal::{Key, KeyName, PersonalKeys};
use trailseal_export::{BundleWriter, UntilItFails};
use trailseal_index::Search;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::check::check;
use super::layout::{walk, walk_from};
use super::write::{fill, write};
use crate::arguments::Filters;

const EVENTS: u64 = 7;

/// A genuine bundle of a few events, as a file and as it goes to a pipe.
fn genuine() -> [Vec<u8>; 2] {
    let folder = tempfile::tempdir().unwrap();
    let trail = Trail::open(folder.path().join("trail"), Options::default()).unwrap();
    for number in 0..EVENTS {
        trail.with(Ack::Durable).record(&Event::new(format!("a{number}"))).unwrap();
    }
    trail.close(std::time::Duration::from_secs(60)).unwrap();
    let mut search = Search::open(&folder.path().join("trail"), Arc::new(StdFiles)).unwrap();
    let (filter, flags, path) = (Filter::default(), Filters::default(), folder.path().join("e.zip"));
    write(&mut search, &filter, &flags, None, Some(&path)).unwrap();
    let mut piped = Vec::new();
    fill(BundleWriter::to_pipe(UntilItFails::new(&mut piped)), &mut search, &filter, &flags, None).unwrap();
    [std::fs::read(path).unwrap(), piped]
}

/// How many events are genuine; `None` if it is refused.
fn checked(path: &Path, bytes: &[u8]) -> Option<u64> {
    std::fs::write(path, bytes).unwrap();
    check(path, &[]).ok().map(|checked| checked.count())
}

/// What a tool reads that goes through the members one by one, and knows nothing of a directory.
fn lines_of_a_stream(bytes: &[u8]) -> Vec<u8> {
    let mut stream = Cursor::new(bytes);
    let mut all = Vec::new();
    while let Ok(Some(mut member)) = zip::read::read_zipfile_from_stream(&mut stream) {
        if member.name().is_ok_and(|name| name.ends_with("lines.jsonl")) {
            member.read_to_end(&mut all).unwrap();
        }
    }
    all
}

fn changed(bytes: &[u8], how: u8, from: usize, len: usize, to: usize, fill: &[u8]) -> Vec<u8> {
    let from = from % bytes.len();
    let end = bytes.len().min(from + len);
    let to = to % (bytes.len() + 1);
    let (before, range, after) = (&bytes[..from], &bytes[from..end], &bytes[end..]);
    match how {
        0 => [before, &fill[..range.len().min(fill.len())], &range[range.len().min(fill.len())..], after]
            .concat(),
        1 => [before, after].concat(),
        2 => [before, fill, range, after].concat(),
        _ => [&bytes[..to], range, &bytes[to..]].concat(),
    }
}

static GENUINE: LazyLock<[Vec<u8>; 2]> = LazyLock::new(genuine);

#[test]
fn what_is_written_is_genuine_as_a_file_and_from_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    for bytes in &*GENUINE {
        assert_eq!(checked(&folder.path().join("e.zip"), bytes), Some(EVENTS));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    /// One byte range changed, removed, inserted or copied elsewhere: refused, or it holds the same events.
    #[test]
    fn no_change_makes_other_events_genuine(
        which in 0..2_usize, how in 0..4_u8, from: usize, len in 1..80_usize, to: usize,
        fill in proptest::collection::vec(any::<u8>(), 1..80),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let honest = &GENUINE[which];
        let bytes = changed(honest, how, from, len, to, &fill);
        if let Some(count) = checked(&folder.path().join("e.zip"), &bytes) {
            prop_assert_eq!(count, EVENTS);
            prop_assert!(which == 1 || lines_of_a_stream(&bytes) == lines_of_a_stream(honest));
        }
    }

    #[test]
    fn any_bytes_are_survived(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut forged = noise.clone();
        forged.extend_from_slice(b"PK\x05\x06");
        forged.extend_from_slice(&noise[..noise.len().min(18)]);
        prop_assert!(walk(&mut Cursor::new(noise)).is_err() && walk(&mut Cursor::new(forged)).is_err());
    }
}

/// A file of which the first five gigabytes are not there.
struct Far(Cursor<Vec<u8>>);

const FAR: u64 = 5 << 30;

impl Read for Far {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(out)
    }
}

impl Write for Far {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Seek for Far {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => SeekFrom::Start(at.saturating_sub(FAR)),
            other => other,
        };
        Ok(self.0.seek(to)? + FAR)
    }
}

/// Where places have no room in their fields any more, the layout is still the one that is written.
#[test]
fn a_bundle_may_be_larger_than_four_gigabytes() {
    let mut zip = ZipWriter::new(Far(Cursor::new(Vec::new())));
    for name in ["0/lines.jsonl", "manifest.json"] {
        zip.start_file(name, SimpleFileOptions::default().large_file(true)).unwrap();
        zip.write_all(b"some lines").unwrap();
    }
    let mut far = zip.finish().unwrap();
    let places = walk_from(&mut far, FAR).unwrap();
    assert_eq!(places.iter().map(|place| place.size).collect::<Vec<_>>(), [10, 10]);
    assert!(places[0].packed.start > FAR);
    let bytes = far.0.into_inner();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        let is_content = places.iter().any(|place| place.packed.contains(&(at as u64 + FAR)));
        assert_eq!(walk_from(&mut Far(Cursor::new(changed)), FAR).is_ok(), is_content, "{at}");
    }
}

/// Opens nothing: then a reader sees another word than without any.
struct NoKeys;

impl PersonalKeys for NoKeys {
    fn key(&self, _: KeyName) -> Key {
        Key::Missing
    }
}

/// Writes the members of a bundle again, in their order, each as `change` gives it.
fn remade(bytes: &[u8], change: impl Fn(&str, String) -> String) -> Vec<u8> {
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut bundle = BundleWriter::new(Cursor::new(Vec::new()));
    let mut about = serde_json::Map::new();
    for at in 0..zip.len() {
        let mut member = zip.by_index(at).unwrap();
        let mut text = String::new();
        member.read_to_string(&mut text).unwrap();
        match member.name().unwrap() {
            name if name == "manifest.json" => about = serde_json::from_str(&text).unwrap(),
            name => bundle.whole_member(name.to_string(), &change(&name, text)).unwrap(),
        }
    }
    bundle.finish(about).unwrap().into_inner()
}

#[test]
fn lines_in_plain_are_those_that_are_proved_and_nothing_else_is_said_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let trail = Trail::open(folder.path().join("trail"), Options::default()).unwrap();
    let token = format!("erasable:3fa91c02-1f:{}", "A".repeat(40));
    for number in 0..EVENTS {
        trail.with(Ack::Durable).record(&Event::new(format!("a{number}")).detail("mail", &*token)).unwrap();
    }
    trail.close(std::time::Duration::from_secs(60)).unwrap();
    let mut search = Search::open(&folder.path().join("trail"), Arc::new(StdFiles)).unwrap();
    let (filter, flags, path) = (Filter::default(), Filters::default(), folder.path().join("e.zip"));
    write(&mut search, &filter, &flags, Some(&NoKeys), Some(&path)).unwrap();
    let genuine = std::fs::read(&path).unwrap();
    assert_eq!(checked(&path, &remade(&genuine, |_, text| text)), Some(EVENTS));
    let told = check(&path, &[]).ok().unwrap().to_json();
    assert!(told.contains("\"personal_values\""), "{told}");
    for (from, to) in
        [("a3", "b3"), ("unreadable", "unreadable\",\"x\":\"y"), ("\"unreadable\"", ""), ("\n", "")]
    {
        let changed = |name: &str, text: String| match name {
            "0/personal.jsonl" => text.replacen(from, to, 1),
            _ => text,
        };
        assert_eq!(checked(&path, &remade(&genuine, changed)), None, "{from:?} became {to:?}");
    }
    let more = |name: &str, text: String| match name {
        "0/personal.jsonl" => text.clone() + text.lines().next().unwrap() + "\n",
        _ => text,
    };
    assert_eq!(checked(&path, &remade(&genuine, more)), None, "one line more");
    let other = |_: &str, text: String| text.replace("unreadable", "somebody@example.com");
    assert_eq!(checked(&path, &remade(&genuine, other)), Some(EVENTS), "what a value is, nothing proves");
    // One member more or less than those is refused.
    assert_eq!(checked(&path, &remade(&GENUINE[0], |_, text| text)), Some(EVENTS));
}
