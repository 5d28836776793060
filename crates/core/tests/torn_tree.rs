//! The last block of a level holds signed hashes and void ones: whatever a power loss leaves of it, the trail opens
//! with the tree that was signed. Blocks that were signed as a whole are never written, so damage there is refused.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use trailseal_core::file::StdFiles;
use trailseal_core::verify::{VerifyOptions, verify};
use trailseal_core::{Folder, HandoffPlace, OpenError, Options, Trail};
use trailseal_event::Event;

const SOON: Duration = Duration::from_secs(60);
const BLOCK: usize = 4_096;
const SECTOR: usize = 512;
const HASH: usize = 32;

fn options() -> Options {
    let mut options = Options::default();
    options.handoff.place = HandoffPlace::Memory;
    options.handoff.size_bytes = 1 << 20;
    options.disk_reserve_bytes = Some(0);
    options
}

/// A trail of `events` sealed events, its own included, as bytes of its files.
fn trail_of(events: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options()).unwrap();
    for number in 0..events - 2 {
        trail.record(&Event::new("test.made").detail("number", number)).unwrap();
    }
    let closed = trail.close(SOON).unwrap();
    assert_eq!((closed.events, closed.sealed), (events, events));
    dir
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else if entry.file_name() != "lock" {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What a torn write may have left of a block of which the first `signed` bytes are signed.
fn torn(block: &[u8], from: usize, to: usize, filling: u8) -> Vec<u8> {
    let mut torn = block.to_vec();
    torn[from..to].fill(filling);
    torn
}

fn opens_whole(original: &Path, level: u8, bytes: &[u8], context: &str) {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(original, copy.path());
    fs::write(copy.path().join(format!("tree/{level}")), bytes).unwrap();
    let trail = Trail::open(copy.path(), options()).unwrap_or_else(|error| panic!("{context}: {error}"));
    trail.record(&Event::new("test.after")).unwrap();
    trail.close(SOON).unwrap();
    let verdict = verify(&Folder::new(copy.path(), Arc::new(StdFiles)), &VerifyOptions::default()).unwrap();
    assert!(verdict.ok, "{context}: {verdict}");
    let signed = fs::read(original.join(format!("tree/{level}"))).unwrap();
    let now = fs::read(copy.path().join(format!("tree/{level}"))).unwrap();
    assert_eq!(now[..signed.len()], signed, "{context}: signed hashes stay");
}

fn tear_everywhere(original: &Path, level: u8, signed: &[u8]) {
    let last = signed.len() - signed.len() % BLOCK;
    for is_grown in [false, true] {
        let mut block = signed[last..].to_vec();
        if is_grown {
            block.resize(BLOCK, 0x55);
        }
        for at in (0..block.len()).step_by(SECTOR).chain([block.len()]) {
            for filling in [0, 0xa5] {
                let len = block.len();
                for (from, to) in [(0, at), (at, len), (at, (at + SECTOR).min(len))] {
                    let bytes = [&signed[..last], &torn(&block, from, to, filling)].concat();
                    let context = format!("level {level}, {from}..{to} of {len} filled with {filling:#x}");
                    opens_whole(original, level, &bytes, &context);
                }
            }
        }
    }
}

#[test]
fn a_torn_last_block_is_made_again_from_the_lines() {
    for events in [5, 130, 300] {
        let original = trail_of(events);
        let signed = fs::read(original.path().join("tree/0")).unwrap();
        assert_eq!(signed.len(), events as usize * HASH);
        tear_everywhere(original.path(), 0, &signed);
    }
}

#[test]
fn a_torn_last_block_of_an_upper_level_is_made_again_from_the_level_below() {
    let original = trail_of(1_000);
    let signed = fs::read(original.path().join("tree/1")).unwrap();
    assert_eq!(signed.len(), 3 * HASH);
    tear_everywhere(original.path(), 1, &signed);
}

#[test]
fn damage_before_the_last_block_is_refused_and_nothing_is_written() {
    let original = trail_of(400);
    let path = original.path().join("tree/0");
    let signed = fs::read(&path).unwrap();
    for damaged in [
        // In the partial tile, but in a block that is signed as a whole.
        [&signed[..260 * HASH], &[0; HASH], &signed[261 * HASH..]].concat(),
        signed[..260 * HASH].to_vec(),
        Vec::new(),
    ] {
        fs::write(&path, &damaged).unwrap();
        let error = Trail::open(original.path(), options()).err().unwrap();
        assert!(matches!(error.reason(), OpenError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("reindex --tree"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), damaged);
    }
}

#[test]
fn a_torn_block_is_not_made_again_from_lines_that_were_not_signed() {
    let original = trail_of(300);
    let segment = original.path().join("segments/00000000000000000000.jsonl");
    let text = fs::read_to_string(&segment).unwrap();
    fs::write(&segment, text.replace("\"number\":290}", "\"number\":666}")).unwrap();
    let path = original.path().join("tree/0");
    let mut torn = fs::read(&path).unwrap();
    let len = torn.len();
    torn[len - 100..].fill(0);
    fs::write(&path, &torn).unwrap();
    assert!(Trail::open(original.path(), options()).is_err());
    assert_eq!(fs::read(&path).unwrap(), torn);
}
