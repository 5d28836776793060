//! Standard input that is waited for only while its events can be taken.

use std::io::{self, Read, Stdin};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use trailseal_core::{RecordError, Trail};

/// How often it is asked whether the trail is still there.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Standard input for a trail. Reading it ends in an error once the trail's folder is gone: whoever writes into it would
/// else go on for nothing.
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
            // What cannot be waited for is read at once. A signal wakes too: it is for whoever reads.
            match poll(&mut polled, Some(&wait)) {
                Ok(0) => {}
                _ => return self.input.read(out),
            }
        }
    }
}

/// That the trail's folder is gone, if it is.
pub(super) fn moved(trail: &Trail) -> Option<RecordError> {
    trail.why_shut().filter(|error| matches!(error, RecordError::FolderMoved))
}
