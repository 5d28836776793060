//! Work that may block, for callers that must not.

use tokio::runtime::Handle;

/// Does `work` on a thread of the Tokio runtime that may block. Without such a runtime it is done here. `None` if it
/// panicked, or the runtime stops.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(crate::context::carried(work)).await.ok(),
        Err(_) => Some(work()),
    }
}
