//! What events are read from: files and pipes, and standard input, which ends early if the trail can no longer take its
//! events.

use std::fs::{File, Metadata};
use std::io::{self, IsTerminal as _, Read, Stdin};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use trailseal_core::{RecordError, Trail};

use crate::failure::{Failure, Outcome};

/// Longer lines are not read into memory.
pub(super) const LINE_BYTES_MAX: usize = 16 << 20;

/// How often to check that the trail is still there.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Standard input for a trail. Reading it fails once the trail's folder is gone; otherwise the writer on the other end
/// would continue in vain.
pub(super) struct InputFor {
    input: Stdin,
    trail: Trail,
}

impl InputFor {
    pub(super) fn new(trail: &Trail) -> Self {
        InputFor { input: io::stdin(), trail: trail.clone() }
    }
}

impl Read for InputFor {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let wait = Timespec::try_from(LOOK_EVERY).map_err(io::Error::other)?;
        loop {
            if let Some(error) = moved(&self.trail) {
                return Err(io::Error::other(error));
            }
            let mut polled = [PollFd::new(&self.input, PollFlags::IN)];
            // Input that cannot be polled is read at once. A signal also wakes: it is for the reader.
            match poll(&mut polled, Some(&wait)) {
                Ok(0) => {}
                _ => return self.input.read(out),
            }
        }
    }
}

/// The error that the trail's folder is gone, if it is.
pub(super) fn moved(trail: &Trail) -> Option<RecordError> {
    trail.why_shut().filter(|error| matches!(error, RecordError::FolderMoved))
}

/// Opens what the user named as the source of events.
///
/// A FIFO is read like a pipe, and its writer is waited for: shells pass on the output of commands like that. So this
/// comes before the trail is opened, and whoever waits keeps nobody else from it.
pub(super) fn open(path: &Path) -> Outcome<File> {
    let file = File::open(path).map_err(Failure::io("read", path))?;
    let found = file.metadata().map_err(Failure::io("read", path))?;
    match has_no_events(&file, &found) {
        Some(what) => Err(Failure::could_not(format!(
            "could not read {}: it is {what}: give a file, a pipe, or - for standard input",
            path.display()
        ))),
        None => Ok(file),
    }
}

/// What the user named as the source of events, or standard input if that is a file and no pipe or terminal: what is
/// there already, and can be looked at before the trail is opened.
pub(super) fn of_events(path: Option<&Path>) -> Outcome<Option<File>> {
    if let Some(path) = path.filter(|path| *path != Path::new("-")) {
        return open(path).map(Some);
    }
    let failed = |error| Failure::could_not(format!("could not read standard input: {error}"));
    let file = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
    let found = file.metadata().map_err(failed)?;
    match has_no_events(&file, &found) {
        Some(what) => Err(Failure::could_not(format!(
            "could not read standard input: it is {what}: give a file or a pipe"
        ))),
        None => Ok(found.is_file().then_some(file)),
    }
}

/// What it is, if no events come from there. A terminal may have some, and /dev/null ends at once; other devices may never
/// end.
fn has_no_events(file: &File, found: &Metadata) -> Option<&'static str> {
    let kind = found.file_type();
    let is_null = || std::fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == found.rdev());
    let is_endless = kind.is_char_device() && !file.is_terminal() && !is_null();
    match kind.is_dir() {
        true => Some("a folder"),
        false => (is_endless || kind.is_block_device()).then_some("a device"),
    }
}
