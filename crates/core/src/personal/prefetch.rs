//! Asks the processor for memory that is needed soon.
//!
//! This module uses `unsafe`. It is sound because a prefetch is a hint: it reads nothing, and cannot fail at any address.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::Arc;

/// Brings a value near; the caller does something else meanwhile.
#[inline]
pub(super) fn prefetch<T>(value: &T) {
    prefetch_bytes(ptr::from_ref(value).cast(), size_of::<T>());
}

/// The same for a shared value, and its counts, which stand before it.
#[inline]
pub(super) fn prefetch_shared<T>(value: &Arc<T>) {
    const COUNTS_BYTES: usize = 2 * size_of::<usize>();
    let from = Arc::as_ptr(value).cast::<i8>().wrapping_sub(COUNTS_BYTES);
    prefetch_bytes(from, COUNTS_BYTES + size_of::<T>());
}

#[inline]
fn prefetch_bytes(from: *const i8, len: usize) {
    const LINE_BYTES: usize = 64;
    for line in (0..len).step_by(LINE_BYTES) {
        let at = from.wrapping_add(line);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE is part of x86-64.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(at);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }
}
