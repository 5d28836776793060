//! How long a thread runs on Linux before others that are ready get their turn.

#![allow(unsafe_code)]

use std::mem;

/// Lets the calling thread's turns be `nanoseconds` long, at a nice value of `nice`. Since Linux 6.12, a thread that wakes up
/// and has shorter turns goes first at once; without this, it waits until the turn is over, some milliseconds. Older
/// kernels ignore the length. Whether the system refused is not said: then turns are as long as before.
pub(super) fn set(nanoseconds: u64, nice: i32) {
    // SAFETY: all bytes zero is a valid value of this plain structure.
    let mut attributes: libc::sched_attr = unsafe { mem::zeroed() };
    attributes.size = mem::size_of::<libc::sched_attr>() as u32;
    attributes.sched_policy = libc::SCHED_OTHER as u32;
    attributes.sched_nice = nice;
    attributes.sched_runtime = nanoseconds;
    // SAFETY: the kernel reads `size` bytes of the structure, which outlives the call. 0 is the calling thread, and 0 means
    // no flags.
    let _ = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// What the kernel says of the calling thread: the length of its turns, and its nice value.
    fn told() -> (u64, i32) {
        // SAFETY: all bytes zero is a valid value of this plain structure.
        let mut attributes: libc::sched_attr = unsafe { mem::zeroed() };
        let size = mem::size_of::<libc::sched_attr>() as u32;
        // SAFETY: the kernel writes at most `size` bytes of the structure, which outlives the call.
        let done = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
        assert_eq!(done, 0);
        (attributes.sched_runtime, attributes.sched_nice)
    }

    #[test]
    fn a_thread_has_the_turns_that_were_set() {
        std::thread::spawn(|| {
            let nice = rustix::process::nice(0).unwrap() + 1;
            set(7_000_000, nice);
            let (runtime, told_nice) = told();
            assert_eq!(told_nice, nice);
            let release = rustix::system::uname().release().to_string_lossy().into_owned();
            let mut numbers = release.split('.').map_while(|number| number.parse::<u32>().ok());
            if (numbers.next(), numbers.next()) >= (Some(6), Some(12)) {
                assert_eq!(runtime, 7_000_000);
            }
        })
        .join()
        .unwrap();
    }
}
