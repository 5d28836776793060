//! Work that may block, away from the threads that serve connections.

use super::turns::Asker;
use crate::problem::Problem;

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
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Problem::internal(&error)))
}
