//! SQLite across a fork.
//!
//! SQLite guards what all its connections share, such as its memory statistics, with mutexes of the process. If another
//! thread holds one at a fork, it is never released in the child, and the child waits forever at its first query. So
//! whoever forks takes them all first.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, Ordering};

use rusqlite::ffi;

/// The mutexes in an order in which SQLite itself may nest them: whoever holds one waits only for later ones. Memory is
/// asked for under any of them.
const IDS: [c_int; 12] = [
    ffi::SQLITE_MUTEX_STATIC_MAIN,
    ffi::SQLITE_MUTEX_STATIC_OPEN,
    ffi::SQLITE_MUTEX_STATIC_VFS1,
    ffi::SQLITE_MUTEX_STATIC_VFS2,
    ffi::SQLITE_MUTEX_STATIC_VFS3,
    ffi::SQLITE_MUTEX_STATIC_APP1,
    ffi::SQLITE_MUTEX_STATIC_APP2,
    ffi::SQLITE_MUTEX_STATIC_APP3,
    ffi::SQLITE_MUTEX_STATIC_LRU,
    ffi::SQLITE_MUTEX_STATIC_PMEM,
    ffi::SQLITE_MUTEX_STATIC_PRNG,
    ffi::SQLITE_MUTEX_STATIC_MEM,
];

static MUTEXES: [AtomicPtr<ffi::sqlite3_mutex>; IDS.len()] =
    [const { AtomicPtr::new(ptr::null_mut()) }; IDS.len()];

extern "C" fn before() {
    for mutex in &MUTEXES {
        // SAFETY: a static mutex of SQLite, which lives as long as the process; null is allowed. No code of SQLite runs in
        // this thread, since none calls fork, so this thread holds none yet.
        unsafe { ffi::sqlite3_mutex_enter(mutex.load(Ordering::Relaxed)) };
    }
}

extern "C" fn after() {
    for mutex in MUTEXES.iter().rev() {
        // SAFETY: as in `before`, which took it in this thread. A child's only thread is the one that forked.
        unsafe { ffi::sqlite3_mutex_leave(mutex.load(Ordering::Relaxed)) };
    }
}

/// Makes forks wait until no thread is inside of what SQLite's connections share. Called before the first connection;
/// calling it again does nothing.
pub(crate) fn watch() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        // SAFETY: SQLite may be initialised any number of times. Should it fail, the first connection fails as well.
        unsafe { ffi::sqlite3_initialize() };
        for (mutex, id) in MUTEXES.iter().zip(IDS) {
            // SAFETY: an id of a static mutex, for which SQLite returns the same pointer each time; null without threads.
            mutex.store(unsafe { ffi::sqlite3_mutex_alloc(id) }, Ordering::Relaxed);
        }
        if cfg!(trailseal_fault = "fork_inside_sqlite") {
            return;
        }
        // SAFETY: the handlers only take and release mutexes, in the thread that forks. After a failure (no memory) a fork
        // is as without them.
        unsafe { libc::pthread_atfork(Some(before), Some(after), Some(after)) };
    });
}
