//! Steps of work, counted only in tests: code that client bytes reach must take a number of steps that grows with the
//! bytes, whatever the bytes are. Counting steps instead of time makes such a test independent of the machine.

/// Counts bytes or elements that were examined. Does nothing outside of tests.
#[inline(always)]
pub(crate) fn count(steps: usize) {
    #[cfg(test)]
    COUNTED.with(|counted| counted.set(counted.get() + steps as u64));
    #[cfg(not(test))]
    let _ = steps;
}

#[cfg(test)]
thread_local! {
    static COUNTED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// How many steps some work takes on this thread.
#[cfg(test)]
pub(crate) fn of(work: impl FnOnce()) -> u64 {
    let before = COUNTED.with(std::cell::Cell::get);
    work();
    COUNTED.with(std::cell::Cell::get) - before
}
