//! Work that may block, for callers that must not.

use tokio::runtime::Handle;

/// Does `work` on a thread of the Tokio runtime that may block. Without such a runtime it is done here. `None` if the
/// runtime stops. A panic of the work goes on in the caller, wherever the work is done.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let Ok(runtime) = Handle::try_current() else { return Some(work()) };
    let error = match runtime.spawn_blocking(crate::context::carried(work)).await {
        Ok(done) => return Some(done),
        Err(error) => error,
    };
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_stopped) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[tokio::test]
    async fn a_panic_of_the_work_goes_on_in_the_caller() {
        let caller = tokio::spawn(aside(|| -> u64 { panic!("of the test") }));
        let panic = caller.await.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref(), Some(&"of the test"));
    }

    #[test]
    fn a_runtime_that_stops_does_nothing() {
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        let handle = runtime.handle().clone();
        runtime.shutdown_background();
        let _entered = handle.enter();
        let polled = pin!(aside(|| ())).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(None));
    }
}
