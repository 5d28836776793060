//! How many files this process may open, and how many of them may be connections.
//!
//! What must hold: however many connections are open, files are left for the trail, its index and readers.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use trailseal_core::file::open_files_max;

/// Listeners and what comes with them.
const FOR_LISTENING: u64 = 8;
/// The share of the limit reserved for the trail, its index and readers: a quarter, within these bounds.
const SPARE: std::ops::RangeInclusive<u64> = 16..=1_024;

/// Raises this process's limit on open files as far as possible, and returns the new limit.
///
/// # Errors
/// When the system refuses; the limit is then unchanged.
pub fn raise_limit_of_files() -> io::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(open_files_max())
}

/// How many connections are possible, of those that are wanted.
pub(super) fn connections_that_fit(wanted: usize) -> usize {
    let fit = fit(open_files_max(), open_now());
    if wanted as u64 > fit {
        tracing::warn!(
            wanted,
            fit,
            "server.connections_max is more than the limit on open files allows: raise the limit (`ulimit -n`)"
        );
    }
    wanted.min(usize::try_from(fit).unwrap_or(usize::MAX))
}

fn fit(limit: u64, open: u64) -> u64 {
    let spare = (limit / 4).clamp(*SPARE.start(), *SPARE.end());
    // One is better than none: it is the first to go when files run short.
    limit.saturating_sub(open + FOR_LISTENING + spare).max(1)
}

/// How many files are open; if the system does not say, more than there usually are.
fn open_now() -> u64 {
    std::fs::read_dir("/dev/fd").map_or(48, |open| open.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_left_at_every_limit() {
        for (limit, open, expected) in [
            (64, 24, 16),
            (256, 24, 160),
            (1_024, 24, 736),
            (65_536, 24, 64_480),
            (u64::MAX, 24, u64::MAX - 1_056),
        ] {
            assert_eq!(fit(limit, open), expected, "{limit}");
        }
        assert_eq!(fit(32, 30), 1);
    }
}
