//! The futures of what is recorded.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::{Receipt, RecordError};

/// The future of the receipt of an event; see [`Trail::record_async`](crate::Trail::record_async).
#[must_use = "the event is recorded already; await this to learn what became of it"]
pub struct Recording(pub(crate) Result<trailseal_core::Recording, Option<RecordError>>);

impl Future for Recording {
    type Output = Result<Receipt, RecordError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(recording) => Pin::new(recording).poll(context),
            Err(error) => error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
        }
    }
}

/// The future of the receipts of several events; see [`Trail::record_all_async`](crate::Trail::record_all_async).
#[must_use = "the events are recorded already; await this to learn what became of them"]
pub struct RecordingAll(
    pub(crate) Result<(Vec<Receipt>, Option<trailseal_core::Recording>), Option<RecordError>>,
);

impl Future for RecordingAll {
    type Output = Result<Vec<Receipt>, RecordError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (receipts, newest) = match &mut self.0 {
            Ok(handed_in) => handed_in,
            Err(error) => return error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
        };
        if let Some(recording) = newest {
            match std::task::ready!(Pin::new(recording).poll(context)) {
                Ok(newest) => {
                    let kept = receipts.iter_mut().filter(|receipt| receipt.index.is_some());
                    kept.for_each(|kept| kept.status = newest.status);
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(std::mem::take(receipts)))
    }
}
