//! Work that may block or take long, away from the threads that serve connections.
//!
//! It has threads of its own, of lower priority: on few cores, one long search or unpacking beside a request that is
//! ready to be answered would otherwise keep that waiting for a time slice, some milliseconds. Nothing that such a thread
//! holds for long is waited for by those that serve connections.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

#[cfg(target_os = "linux")]
use super::time_slice;
use super::turns::Asker;
use crate::problem::Problem;

/// How much nicer such work is: it gets about a third of a core that others want, and all of one that nobody does.
#[cfg(target_os = "linux")]
const NICER: i32 = 5;
/// Its turns are longer than those of the threads that serve connections, which therefore go first when they wake up.
#[cfg(target_os = "linux")]
const TURN_NANOSECONDS: u64 = 20_000_000;

/// Does work that may block outside the threads that serve connections, in a turn if the request takes turns.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let turn = match Asker::here() {
        Some(asker) => Some(asker.turn().await),
        None => None,
    };
    let work = move || {
        // Released when the work is done, even if nobody waits for it any more.
        let _turn = turn;
        work()
    };
    aside(work).await.unwrap_or_else(|error| Err(Problem::internal(&error)))
}

/// Begins work on a thread of lower priority. Turns limit how many there are.
pub(crate) fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    // Only its threads for blocking work are ever used.
    static THREADS: OnceLock<Option<Runtime>> = OnceLock::new();
    let make = || {
        let mut builder = Builder::new_current_thread();
        builder.thread_name("trailseal-aside").on_thread_start(step_back).build().ok()
    };
    match THREADS.get_or_init(make) {
        Some(threads) => threads.spawn_blocking(work),
        // Short of files, which a runtime needs.
        None => tokio::task::spawn_blocking(work),
    }
}

/// Elsewhere than on Linux, this would be about the whole process.
fn step_back() {
    #[cfg(target_os = "linux")]
    if !cfg!(trailseal_fault = "asides_at_full_priority") {
        // Some sandbox may forbid it: then the work is merely not as polite.
        if let Ok(nice) = rustix::process::nice(NICER) {
            time_slice::set(TURN_NANOSECONDS, nice);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn priority() -> i32 {
        rustix::process::nice(0).unwrap()
    }

    #[tokio::test]
    async fn such_work_steps_back_and_nothing_else_does() {
        let ours = priority();
        let most = 19;
        let of_work = blocking(|| Ok(priority())).await.unwrap_or_default();
        assert_eq!(of_work, (ours + NICER).min(most));
        assert_eq!(tokio::task::spawn_blocking(priority).await.unwrap(), ours);
        assert_eq!(priority(), ours);
    }
}
