//! A trail is verified while it is written: it rolls, is compressed and sealed.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use trailseal_core::file::StdFiles;
use trailseal_core::segment::{Form, compress};
use trailseal_core::verify::{VerifyOptions, verify};
use trailseal_core::{Folder, Options, Roll, Trail};
use trailseal_event::Event;

const EVENTS: usize = 60_000;
const VERDICTS_MIN: usize = 5;

fn options() -> Options {
    let mut options = Options::default();
    options.seal_every = Duration::from_millis(5);
    options.segment.roll = Roll::Bytes(256 << 10);
    options.handoff.size_bytes = 4 << 20;
    // It is recorded faster than a busy disk takes it.
    options.handoff.timeout = Duration::from_secs(60);
    options
}

/// Compresses what is closed and sealed, as long as `running`.
fn compress_closed(folder: &Folder, sealed: impl Fn() -> u64, running: &AtomicBool) -> usize {
    let mut done = 0;
    while running.load(Ordering::Acquire) {
        for segment in folder.segments().unwrap() {
            let is_sealed = segment.end.is_some_and(|end| end.get() < sealed());
            if segment.form == Form::Plain && is_sealed {
                compress(folder.files(), &segment).unwrap();
                done += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    done
}

#[test]
fn every_verdict_beside_a_writer_is_ok() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options()).unwrap();
    let folder = Folder::new(dir.path(), Arc::new(StdFiles));
    let running = AtomicBool::new(true);
    let (mut verdicts, mut last) = (0, 0);
    let compressed = std::thread::scope(|scope| {
        let compressor = scope.spawn(|| compress_closed(&folder, || trail.stats().sealed, &running));
        let recorder = scope.spawn(|| {
            for number in 0..EVENTS {
                trail.record(&Event::new("test.made").detail("number", number as u64)).unwrap();
            }
        });
        let deadline = Instant::now() + Duration::from_secs(300);
        while !recorder.is_finished() || verdicts < VERDICTS_MIN && Instant::now() < deadline {
            let options = VerifyOptions { threads: 1 + verdicts % 2, ..VerifyOptions::default() };
            let verdict = verify(&folder, &options).unwrap();
            assert!(verdict.ok, "{verdict}");
            assert!(verdict.tree_size >= last, "a signed tree only grows");
            last = verdict.tree_size;
            verdicts += 1;
        }
        running.store(false, Ordering::Release);
        compressor.join().unwrap()
    });
    assert!(verdicts >= VERDICTS_MIN && compressed > 0, "{verdicts} verdicts, {compressed} compressed");
    let closed = trail.close(Duration::from_secs(60)).unwrap();
    let verdict = verify(&folder, &VerifyOptions::default()).unwrap();
    assert!(verdict.ok, "{verdict}");
    assert_eq!((verdict.sealed, verdict.unsealed), (closed.events, 0));
}
