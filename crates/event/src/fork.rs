//! Noticing that this process is a forked child.
//!
//! A child has none of its parent's threads, and would make the same ids as its parent from the same seed. One relaxed
//! load tells; asking the system for the pid each time would be a call.
#![allow(unsafe_code)]

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// How often this process, or one it descends from since [`watch`], was the child of a fork.
static FORK_GENERATION: AtomicU32 = AtomicU32::new(0);

extern "C" fn in_child() {
    FORK_GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// Begins to notice forks. Calling it again does nothing.
pub fn watch() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        // SAFETY: `in_child` only changes an atomic, which is allowed in a forked child of a process with many threads
        // (it is async-signal-safe). A failure (no memory) leaves forks unnoticed, which a trail's lock still catches
        // by its pid at the next opening.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

/// The present generation; a handle remembers the one in which it was made.
#[inline]
pub fn generation() -> u32 {
    FORK_GENERATION.load(Ordering::Relaxed)
}
