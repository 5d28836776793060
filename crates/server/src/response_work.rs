//! Work for one response: done in turns, and ended when nobody waits for it or its time is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::fairness::blocking;
use crate::metrics::Metrics;
use crate::problem::{Kind, Problem};

/// How long one request for a page may search.
const BUDGET: Duration = Duration::from_secs(2);

/// How long the work for one response may take.
pub(crate) struct Patience {
    /// The most that one may take.
    timeout: Duration,
    metrics: Arc<Metrics>,
}

impl Patience {
    pub(crate) fn new(timeout: Duration, metrics: Arc<Metrics>) -> Patience {
        Patience { timeout, metrics }
    }

    /// How long one search for events may take: it ends before it would be cancelled.
    pub(crate) fn budget(&self) -> Duration {
        BUDGET.min(self.timeout / 2)
    }

    /// Counts a search that was not finished and that nobody waits for.
    pub(crate) fn count(&self, is_done: bool, given_up: &AtomicBool) {
        self.metrics.searched(is_done, given_up);
    }

    /// Does `work` in a turn and outside the threads that serve connections. If the client goes away, which drops this
    /// future, or time runs out, what `work` is given is set, and it must end soon.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<AtomicBool>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (patience, waiting) = (self.clone(), Waiting::default());
        let (given_up, late) = (waiting.given_up(), Arc::new(AtomicBool::new(false)));
        let (stop, is_late) = (given_up.clone(), late.clone());
        let (begun, begins) = tokio::sync::oneshot::channel();
        let mut done = std::pin::pin!(blocking(move || {
            let _ = begun.send(());
            let result = work(&given_up);
            if !is_late.load(Ordering::Relaxed) {
                patience.count(result.is_ok(), &given_up);
            }
            result
        }));
        let most = self.timeout;
        let over = async {
            let _ = begins.await;
            tokio::time::sleep(most).await;
        };
        tokio::select! {
            done = &mut done => return done,
            () = over => {}
        }
        late.store(true, Ordering::Relaxed);
        stop.store(true, Ordering::Relaxed);
        done.await.map_err(|problem| if problem.is_of_the_store() { problem } else { too_much_work(most) })
    }
}

/// Held by whoever waits for a search; dropped with the response that nobody reads.
#[derive(Default)]
pub(crate) struct Waiting(Arc<AtomicBool>);

impl Waiting {
    /// Set when nobody waits any more.
    pub(crate) fn given_up(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Checks that a page has everything up to its limit, from what it says of how far it got: what was not found in time may
/// exist.
pub(crate) fn whole(scanned: Option<u64>) -> Result<(), Problem> {
    match scanned {
        None => Ok(()),
        Some(_) => {
            Err(Problem::unavailable("not everything could be searched in time: try again in a moment"))
        }
    }
}

/// A partial result is not returned: it would be taken for the whole.
fn too_much_work(most: Duration) -> Problem {
    let seconds = most.as_secs_f64();
    let detail = format!(
        "the answer takes more than the {seconds} s allowed for one request: narrow it, for example by time, or ask for pages"
    );
    Problem::new(Kind::WorkLimit, detail)
}
