//! The futures of receipts.

use std::pin::Pin;
use std::task::{Context, Poll};

use trailseal_core::{PendingReceipt, PendingReceipts};

use crate::{Receipt, RecordError};

/// The future of an event's receipt; see [`Trail::record_async`](crate::Trail::record_async).
#[must_use = "the event is already recorded; await this to learn what became of it"]
pub struct ReceiptFuture(Recorded<PendingReceipt>);

/// The future of the receipts of several events; see [`Trail::record_all_async`](crate::Trail::record_all_async).
#[must_use = "the events are already recorded; await this to learn what became of them"]
pub struct ReceiptsFuture(Recorded<PendingReceipts>);

/// What is recorded, or why it is not. The error is taken when the future is ready.
type Recorded<P> = Result<P, Option<RecordError>>;

impl ReceiptFuture {
    pub(crate) fn of(recorded: Result<PendingReceipt, RecordError>) -> ReceiptFuture {
        ReceiptFuture(recorded.map_err(Some))
    }
}

impl ReceiptsFuture {
    pub(crate) fn of(recorded: Result<PendingReceipts, RecordError>) -> ReceiptsFuture {
        ReceiptsFuture(recorded.map_err(Some))
    }
}

impl Future for ReceiptFuture {
    type Output = Result<Receipt, RecordError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        poll(&mut self.0, context)
    }
}

impl Future for ReceiptsFuture {
    type Output = Result<Vec<Receipt>, RecordError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        poll(&mut self.0, context)
    }
}

fn poll<T, P: Future<Output = Result<T, RecordError>> + Unpin>(
    recorded: &mut Recorded<P>,
    context: &mut Context<'_>,
) -> Poll<Result<T, RecordError>> {
    match recorded {
        Ok(pending) => Pin::new(pending).poll(context),
        Err(error) => error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
    }
}
