//! What the allocator keeps of the memory that was given free.
//!
//! glibc takes the largest block that was ever given free for one that will be wanted again, and keeps blocks up to that
//! size, in as many arenas as threads came by: a few seconds of large bodies stay in the process for ever. What must hold:
//! this changes only what is given back to the system, and when.

#![allow(unsafe_code)]

/// Blocks of so many bytes are given back as soon as they are free. A request of a thousand events is below.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_BYTES: libc::c_int = 1 << 20;

/// From now on large blocks are given back at once.
pub(crate) fn give_large_blocks_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: a setting of the allocator, which it takes at any time; one that it does not take changes nothing.
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES) };
}

/// Gives back what is free now.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes the allocator's own locks, and only pages without a block in use are given back.
    let _ = unsafe { libc::malloc_trim(0) };
}
