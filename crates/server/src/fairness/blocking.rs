//! Work that may block, away from the threads that serve connections.

use super::turns::Asker;
use crate::problem::Problem;

/// Does what may block away from the threads that serve connections, in a turn where the request takes turns.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let turn = match Asker::here() {
        Some(asker) => Some(asker.turn().await),
        None => None,
    };
    let work = move || {
        // Given back when the work is done, also if nobody waits for it any more.
        let _turn = turn;
        work()
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Problem::internal(&error)))
}
