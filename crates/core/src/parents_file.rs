//! Files that a forked child closes at once, so that what belongs to the open file (a lock) does not outlive the parent
//! in a child.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::sync::Once;
use std::sync::atomic::{AtomicI32, Ordering};

use trailseal_event::fork;

/// Descriptors that a forked child closes before anything else: as many as a folder has slots.
static CLOSED_IN_CHILD: [AtomicI32; 1_024] = [const { AtomicI32::new(NONE) }; 1_024];
const NONE: i32 = -1;

extern "C" fn in_child() {
    if cfg!(trailseal_fault = "guard_inherited") {
        return;
    }
    for descriptor in &CLOSED_IN_CHILD {
        let descriptor = descriptor.swap(NONE, Ordering::Relaxed);
        if descriptor != NONE {
            // SAFETY: it belongs to a `ParentsFile`, which does not touch it in a child; closing is
            // async-signal-safe.
            unsafe { libc::close(descriptor) };
        }
    }
}

fn watch() {
    static WATCHING: Once = Once::new();
    // A `ParentsFile` tells by the generation that it is in a child.
    fork::watch();
    WATCHING.call_once(|| {
        // SAFETY: `in_child` only changes atomics and closes descriptors, which is allowed in a forked child of a
        // process with many threads (it is async-signal-safe). After a failure (no memory) a child keeps the files
        // until it ends.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

/// A file that a forked child closes. With more than [`CLOSED_IN_CHILD`] has room for, or where a child is made behind
/// the C library's back and runs nothing else, the child keeps it until it ends.
#[derive(Debug)]
pub(crate) struct ParentsFile {
    file: Option<File>,
    place: Option<&'static AtomicI32>,
    generation: u32,
}

impl ParentsFile {
    pub(crate) fn new(file: File) -> Self {
        watch();
        let descriptor = file.as_raw_fd();
        let place = CLOSED_IN_CHILD.iter().find(|place| {
            place.compare_exchange(NONE, descriptor, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        });
        ParentsFile { file: Some(file), place, generation: fork::generation() }
    }

    /// The file; `None` in a forked child.
    pub(crate) fn file(&self) -> Option<&File> {
        self.file.as_ref().filter(|_| self.generation == fork::generation())
    }
}

impl Drop for ParentsFile {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        if self.generation == fork::generation() {
            self.place.inspect(|place| place.store(NONE, Ordering::Relaxed));
            drop(file);
        } else if self.place.is_some() {
            // Closed already; the number may be another file's by now.
            std::mem::forget(file);
        }
    }
}
