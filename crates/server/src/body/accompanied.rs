//! A body that something goes along with.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

/// A body, and what is kept until it is dropped.
pub(crate) struct Accompanied<B, W> {
    body: B,
    with: W,
    at_end: fn(&W),
}

impl<B, W> Accompanied<B, W> {
    /// Keeps `with` as long as the body.
    pub(crate) fn new(body: B, with: W) -> Accompanied<B, W> {
        Accompanied { body, with, at_end: |_| {} }
    }

    /// Tells `with`, too, when all of the body has passed; perhaps more than once.
    pub(crate) fn telling(body: B, with: W, at_end: fn(&W)) -> Accompanied<B, W> {
        Accompanied { body, with, at_end }
    }
}

impl<B: Body + Unpin, W: Unpin> Body for Accompanied<B, W> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || frame.is_ready() && self.body.is_end_stream() {
            (self.at_end)(&self.with);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
