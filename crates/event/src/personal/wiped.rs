//! A key in memory that leaves nothing behind.
//!
//! This module uses `unsafe`. It is sound because a value without a destructor may be overwritten once nobody can reach it
//! any more, which is so when its owner is dropped.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{Ordering, compiler_fence};

/// Overwrites its value with zeros when it is dropped. What was copied before, such as to a stack, it does not reach.
pub struct Wiped<T>(MaybeUninit<T>);

impl<T> Wiped<T> {
    /// A value with a destructor does not compile: that would not run.
    pub fn new(value: T) -> Wiped<T> {
        const { assert!(!std::mem::needs_drop::<T>()) };
        Wiped(MaybeUninit::new(value))
    }

    fn wipe(&mut self) {
        let at = self.0.as_mut_ptr().cast::<u8>();
        for byte in 0..size_of::<T>() {
            // SAFETY: `at` points to as many bytes as `T` has, all of which are this value's alone. `MaybeUninit` takes any
            // bytes. A volatile write is made though nobody reads it.
            unsafe { at.add(byte).write_volatile(0) };
        }
        compiler_fence(Ordering::SeqCst);
    }
}

impl<T> Deref for Wiped<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: it was initialised when it was made, and is wiped only when it is dropped.
        unsafe { self.0.assume_init_ref() }
    }
}

impl<T> DerefMut for Wiped<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`.
        unsafe { self.0.assume_init_mut() }
    }
}

impl<T> Drop for Wiped<T> {
    fn drop(&mut self) {
        if !cfg!(trailseal_fault = "personal_key_not_wiped") {
            self.wipe();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_what_was_dropped() {
        let mut place = MaybeUninit::new(Wiped::new([0xA5u8; 544]));
        // SAFETY: it is initialised, and dropped once.
        unsafe { place.assume_init_drop() };
        // SAFETY: the memory is still this test's, and bytes take any value.
        let left = unsafe { std::slice::from_raw_parts(place.as_ptr().cast::<u8>(), 544) };
        assert!(left.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn it_is_its_value_until_then() {
        let mut value = Wiped::new([7u8; 3]);
        value[1] = 8;
        assert_eq!(*value, [7, 8, 7]);
    }
}
