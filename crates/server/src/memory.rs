//! What the allocator keeps of freed memory.
//!
//! glibc assumes that a block as large as the largest ever freed will be needed again, and keeps blocks up to that
//! size, in as many arenas as threads were used: a few seconds of large bodies would stay in the process forever. What
//! must hold: this changes only what is returned to the system, and when.

#![allow(unsafe_code)]

/// Blocks of at least this size are returned as soon as they are freed. A request of a thousand events is smaller.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_BYTES: libc::c_int = 1 << 20;

/// From now on, large blocks are returned at once.
pub(crate) fn give_large_blocks_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: an allocator setting that may be changed at any time; one that it does not accept changes nothing.
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES) };
}

/// Returns what is free now.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes the allocator's own locks, and returns only pages without a block in use.
    let _ = unsafe { libc::malloc_trim(0) };
}
