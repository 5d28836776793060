//! Whether the server stops.

use tokio::sync::watch;

/// Tells that the server stops, to whoever would go on without an end.
#[derive(Clone)]
pub(crate) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// One, and what says so.
    pub(crate) fn new() -> (watch::Sender<bool>, Stopping) {
        let (stop, stopping) = watch::channel(false);
        (stop, Stopping(stopping))
    }

    /// Whether the server stops already.
    pub(crate) fn has_begun(&mut self) -> bool {
        *self.0.borrow_and_update()
    }

    /// Ready when the server stops, unless that was seen before.
    pub(crate) async fn begins(&mut self) {
        let _ = self.0.changed().await;
    }
}
