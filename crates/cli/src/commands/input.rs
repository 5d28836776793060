//! Standard input that ends early if the trail can no longer take its events.

use std::io::{self, Read, Stdin};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use trailseal_core::{RecordError, Trail};

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
