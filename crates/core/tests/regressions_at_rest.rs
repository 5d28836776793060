//! Defects that a review found in what lies on disk: views, checkpoints, keys, compressed segments, copies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unsafe_code)]

mod support;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use support::hooked::hooked;
use support::{DURABLE, SOON, event, sealing_at_once as options};
use trailseal_core::file::{Files as _, StdFiles};
use trailseal_core::{Folder, Reader, RecordError, Roll, RotateError, Trail, back_up};
use trailseal_event::Index;

#[test]
fn a_view_taken_while_a_segment_rolls_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.segment.roll = Roll::Bytes(1_000);
    let trail = Trail::open(dir.path(), options).unwrap();
    let writer = trail.clone();
    let files = hooked(move |what, path| {
        if what == "listed" && path.ends_with("segments") {
            for _ in 0..10 {
                writer.with(DURABLE).record(&event(&"x".repeat(400))).unwrap();
            }
        }
        Ok(())
    });
    let mut reader = Reader::open(dir.path(), files).unwrap();
    let mut count = 0;
    let read = reader.for_each(0..u64::MAX, &mut |_, _| {
        count += 1;
        std::ops::ControlFlow::Continue(())
    });
    read.unwrap();
    assert_eq!(count, reader.end().get());
}

#[test]
fn every_rolled_end_has_a_kept_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.segment.roll = Roll::Bytes(1_000);
    for _ in 0..2 {
        let trail = Trail::open(dir.path(), options.clone()).unwrap();
        for _ in 0..5 {
            trail.with(DURABLE).record(&event(&"x".repeat(400))).unwrap();
            // Everything is sealed before the next segment begins, as in any trail that is not busy.
            trail.seal(SOON).unwrap();
        }
        trail.close(SOON).unwrap();
    }
    let folder = Folder::new(dir.path(), Arc::new(StdFiles));
    let kept = folder.kept_checkpoints().unwrap();
    let ends: Vec<u64> =
        folder.segments().unwrap().iter().filter_map(|segment| Some(segment.end?.get())).collect();
    assert!(ends.len() > 3);
    for end in ends {
        assert!(kept.contains(&end), "no checkpoint of {end}; kept are {kept:?}");
    }
}

#[test]
fn a_forked_child_cannot_rotate_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options()).unwrap();
    // SAFETY: the child only calls into the trail, and ends without unwinding or running destructors.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = matches!(trail.rotate_key(), Err(RotateError::Refused(RecordError::Forked)));
        // SAFETY: ends this process.
        unsafe { libc::_exit(i32::from(!refused)) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child rotated the key, or wrote to the handoff of its parent");
    assert!(!dir.path().join("keys/signing.key.next").exists());
    trail.close(SOON).unwrap();
}

#[test]
fn rotations_at_the_same_time_come_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options()).unwrap();
    std::thread::scope(|scope| {
        let rotations: Vec<_> = (0..4).map(|_| scope.spawn(|| trail.rotate_key())).collect();
        for rotation in rotations {
            rotation.join().unwrap().unwrap();
        }
    });
    trail.close(SOON).unwrap();
    Trail::open(dir.path(), options()).unwrap().close(SOON).unwrap();
}

#[test]
fn failed_rotations_never_lose_the_key_that_signs() {
    let dir = tempfile::tempdir().unwrap();
    let fails: Arc<Mutex<Option<(&str, &str)>>> = Arc::default();
    let planned = fails.clone();
    let mut options = options();
    options.files = hooked(move |what, path| match *planned.lock().unwrap() {
        Some((operation, name)) if what == operation && path.ends_with(name) => {
            Err(io::ErrorKind::Other.into())
        }
        _ => Ok(()),
    });
    let trail = Trail::open(dir.path(), options.clone()).unwrap();
    *fails.lock().unwrap() = Some(("rename", "signing.key"));
    let _ = trail.rotate_key();
    *fails.lock().unwrap() = Some(("replace", "trail.toml"));
    let _ = trail.rotate_key();
    *fails.lock().unwrap() = None;
    trail.close(SOON).unwrap();
    let trail = Trail::open(dir.path(), options).unwrap();
    trail.rotate_key().unwrap();
    trail.close(SOON).unwrap();
}

#[test]
fn an_unreadable_checkpoint_is_never_replaced_by_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    Trail::open(dir.path(), options.clone()).unwrap().close(SOON).unwrap();
    fs::rename(dir.path().join("segments"), dir.path().join("elsewhere")).unwrap();
    let before = fs::read(dir.path().join("checkpoint")).unwrap();
    options.files = hooked(|what, path| {
        if what == "read" && path.ends_with("checkpoint") { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    });
    assert!(Trail::open(dir.path(), options).is_err());
    assert_eq!(fs::read(dir.path().join("checkpoint")).unwrap(), before);
}

#[test]
fn a_view_from_before_a_rotation_believes_the_new_key_when_it_looks_again() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options()).unwrap();
    trail.record(&event("before")).unwrap();
    trail.flush(SOON).unwrap();
    trail.seal(SOON).unwrap();
    let mut reader = Reader::open(dir.path(), Arc::new(StdFiles)).unwrap();
    reader.checkpoint().unwrap();
    let key = trail.rotate_key().unwrap();
    trail.record(&event("after")).unwrap();
    trail.flush(SOON).unwrap();
    trail.seal(SOON).unwrap();
    reader.refresh().unwrap();
    reader.checkpoint().unwrap();
    assert_eq!(reader.manifest().current_key(), Some(&key));
    trail.close(SOON).unwrap();
}

/// A closed segment to be compressed, in a folder of its own.
fn closed_segment(dir: &Path) -> trailseal_core::SegmentFile {
    let path = dir.join("00000000000000000000.jsonl");
    fs::write(&path, "{\"a\":1}\n".repeat(500)).unwrap();
    let form = trailseal_core::segment::Form::Plain;
    trailseal_core::SegmentFile { first: Index::new(0), end: Some(Index::new(500)), form, path }
}

#[test]
fn a_compressed_segment_that_reads_back_otherwise_does_not_replace_the_plain_one() {
    let dir = tempfile::tempdir().unwrap();
    let segment = closed_segment(dir.path());
    // The disk gives back other bytes than it took.
    let files = hooked(|what, path| {
        if what == "open" && path.extension().is_some_and(|extension| extension == "tmp") {
            let other = zstd::encode_all("{\"a\":2}\n".repeat(500).as_bytes(), 1).unwrap();
            fs::write(path, other).unwrap();
        }
        Ok(())
    });
    assert!(trailseal_core::segment::compress(&files, &segment).is_err());
    assert_eq!(fs::read_to_string(&segment.path).unwrap(), "{\"a\":1}\n".repeat(500));
    assert!(!dir.path().join("00000000000000000000.jsonl.zst").exists());
}

#[test]
fn a_compressed_segment_is_on_disk_before_it_replaces_the_plain_one() {
    let dir = tempfile::tempdir().unwrap();
    let segment = closed_segment(dir.path());
    let done = Arc::new(Mutex::new(Vec::new()));
    let noted = done.clone();
    let files = hooked(move |what, _| {
        noted.lock().unwrap().push(what.to_owned());
        Ok(())
    });
    trailseal_core::segment::compress(&files, &segment).unwrap();
    let done = done.lock().unwrap();
    let at = |wanted: &str| done.iter().position(|what| what == wanted);
    assert!(at("sync").is_some() && at("sync") < at("rename"), "{done:?}");
}

#[test]
fn a_key_that_a_rotation_renames_while_a_backup_reads_is_no_error() {
    let place = tempfile::tempdir().unwrap();
    let (dir, to) = (place.path().join("trail"), place.path().join("copy"));
    Trail::open(&dir, options()).unwrap().close(SOON).unwrap();
    let next = dir.join("keys/signing.key.next");
    fs::write(&next, "of a rotation on its way").unwrap();
    let listed = Arc::new(AtomicBool::new(false));
    let (seen, renamed) = (listed.clone(), next.clone());
    let files = hooked(move |what, path| {
        if what == "listed" && path.ends_with("trail/keys") && !seen.swap(true, Ordering::SeqCst) {
            fs::remove_file(&renamed)?;
        }
        Ok(())
    });
    back_up(&Folder::new(&dir, files), &to, true).unwrap();
    assert!(listed.load(Ordering::SeqCst));
    assert!(to.join("keys/signing.key").exists() && !to.join("keys/signing.key.next").exists());
}

#[test]
fn a_segment_that_is_compressed_during_a_backup_comes_with_its_checkpoint() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut options = options();
    options.segment.roll = Roll::Bytes(1_000);
    options.segment.compress = true;
    let trail = Trail::open(dir.path(), options.clone()).unwrap();
    let fill = |trail: &Trail| {
        for _ in 0..10 {
            trail.with(DURABLE).record(&event(&"x".repeat(400))).unwrap();
        }
        trail.seal(SOON).unwrap();
    };
    fill(&trail);
    let compressed = |dir: &Path| {
        let names = StdFiles.list(&dir.join("segments")).unwrap();
        names.iter().filter(|name| name.ends_with(".zst")).count()
    };
    let (writer, folder, is_first) = (trail.clone(), dir.path().to_owned(), AtomicBool::new(true));
    // The tree is copied after the checkpoint was read, and before the segments are listed.
    let files = hooked(move |what, path| {
        if what == "open"
            && path.starts_with(&folder)
            && path.ends_with("tree/0")
            && is_first.swap(false, Ordering::SeqCst)
        {
            let before = compressed(&folder);
            fill(&writer);
            let begun = std::time::Instant::now();
            while compressed(&folder) < before + 2 {
                assert!(begun.elapsed() < SOON, "nothing is compressed");
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        Ok(())
    });
    let backed_up = back_up(&Folder::new(dir.path(), files), copy.path(), true).unwrap();
    assert!(compressed(copy.path()) > 0);
    trail.close(SOON).unwrap();
    let copied = Trail::open(copy.path(), options).unwrap();
    copied.seal(SOON).unwrap();
    assert!(copied.stats().sealed >= backed_up.events);
    copied.close(SOON).unwrap();
}
