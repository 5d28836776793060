//! Trails to be opened again, as they are and as somebody left them.

#![allow(dead_code, unreachable_pub, reason = "every test file uses its part of this one")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

pub mod aged;
pub mod hooked;
pub mod in_memory;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use trailseal_core::file::StdFiles;
use trailseal_core::verify::{Verdict, VerifyOptions, verify};
use trailseal_core::{Ack, Folder, OpenError, Options, RecordOptions, Roll, Trail};
use trailseal_event::Event;

pub const SOON: Duration = Duration::from_secs(60);
/// For what must get there, however long a busy machine takes.
pub const DURABLE: RecordOptions = RecordOptions::new().ack(Ack::Durable).timeout(SOON);

pub fn options() -> Options {
    let mut options = Options::default();
    options.origin = Some("example.com/openings".into());
    options.handoff.size_bytes = 1 << 20;
    options.disk_reserve_bytes = Some(0);
    options
}

/// What is recorded is sealed at once.
pub fn sealing_at_once() -> Options {
    let mut options = Options::default();
    options.handoff.size_bytes = 1 << 20;
    options.disk_reserve_bytes = Some(0);
    options.seal_every = Duration::from_millis(1);
    options
}

pub fn event(text: &str) -> Event {
    Event::new("test.made").description(text)
}

pub fn rolling() -> Options {
    let mut options = options();
    options.segment.roll = Roll::Bytes(2_000);
    options
}

pub fn record(trail: &Trail, count: usize) {
    for number in 0..count {
        let event = Event::new("test.made").description(format!("number {number} {}", "x".repeat(300)));
        trail.with(DURABLE).record(&event).unwrap();
    }
}

/// A closed trail, all of it sealed.
pub fn sealed(options: Options, count: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options).unwrap();
    record(&trail, count);
    trail.close(SOON).unwrap();
    dir
}

pub fn reopen(dir: &Path, options: Options) -> Result<(), OpenError> {
    let trail = Trail::open(dir, options)?;
    record(&trail, 1);
    trail.close(SOON).unwrap();
    Ok(())
}

pub fn verdict(dir: &Path) -> Verdict {
    verify(&Folder::new(dir, Arc::new(StdFiles)), &VerifyOptions::default()).unwrap()
}

#[track_caller]
pub fn goes_on(dir: &Path, options: Options) {
    reopen(dir, options).unwrap_or_else(|error| panic!("{error}"));
    let verdict = verdict(dir);
    assert!(verdict.ok, "{verdict}");
}

/// Expects a refusal, and that it changed nothing that counts.
#[track_caller]
pub fn refused(dir: &Path, options: Options) -> OpenError {
    let before = contents(dir);
    let error = reopen(dir, options).unwrap_err();
    assert_eq!(contents(dir), before, "a refusal writes nothing: {error}");
    error
}

/// The files of a folder, and what they hold. Where one goes while they are read, as in a trail in use, all are read again.
pub fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    loop {
        match read_all(dir) {
            Ok(found) => return found,
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
        }
    }
}

fn read_all(dir: &Path) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.ends_with("lock") => {}
                false => found.push((path.clone(), fs::read(&path)?)),
            }
        }
    }
    found.sort();
    Ok(found)
}

pub fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for (path, bytes) in contents(from) {
        let target = to.path().join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, bytes).unwrap();
    }
    // Empty folders count, too.
    for name in ["segments", "keys", "checkpoints", "tree"] {
        fs::create_dir_all(to.path().join(name)).unwrap();
    }
    to
}

pub fn segments(dir: &Path) -> Vec<PathBuf> {
    let folder = Folder::new(dir, Arc::new(StdFiles));
    folder.segments().unwrap().into_iter().map(|segment| segment.path).collect()
}
