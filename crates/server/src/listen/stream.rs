//! A connection's bytes, so that a client may shut down its sending side before it gets the response.
//!
//! A client that sends its request and shuts down its side waits for the response. The system reports a client that has
//! gone away in the same way. So the response continues for a while: as long as the client takes bytes, and a little
//! longer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_io_timeout::TimeoutStream;

use super::connection_states::{Phase, Standing};

/// A client that reads nothing for this long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// After the client has shut down its sending side, a response is given up if the client takes no byte for this long.
const ANSWER_GRACE: Duration = Duration::from_secs(5);
/// A body that is incomplete by then has been cut off.
const BODY_GRACE: Duration = Duration::from_secs(1);

pub(super) struct ClientStream<I> {
    inner: Pin<Box<TimeoutStream<I>>>,
    standing: Arc<Standing>,
    answer_grace: Duration,
    ended: Option<Ended>,
}

/// The client sends nothing more.
struct Ended {
    /// When that was seen, or when it last took a byte.
    since: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl<I: AsyncRead + AsyncWrite> ClientStream<I> {
    pub(super) fn new(inner: I, standing: Arc<Standing>, request_timeout: Duration) -> ClientStream<I> {
        let mut inner = TimeoutStream::new(inner);
        inner.set_write_timeout(Some(WRITE_TIMEOUT));
        let answer_grace = ANSWER_GRACE.min(request_timeout);
        ClientStream { inner: Box::pin(inner), standing, answer_grace, ended: None }
    }

    /// Ready when the server should learn that the client has ended.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let grace = match self.standing.phase() {
            Phase::Waiting => return Poll::Ready(()),
            _ if cfg!(trailseal_fault = "half_close_cuts") => return Poll::Ready(()),
            Phase::Sending => BODY_GRACE.min(self.answer_grace),
            Phase::Answering | Phase::Leaving => self.answer_grace,
        };
        let now = Instant::now();
        let ended = self
            .ended
            .get_or_insert_with(|| Ended { since: now, sleep: Box::pin(tokio::time::sleep_until(now)) });
        let until = ended.since + grace;
        if now >= until {
            return Poll::Ready(());
        }
        ended.sleep.as_mut().reset(until);
        // It polls again when it is woken.
        ended.sleep.as_mut().poll(context)
    }

    fn took(&mut self, written: &Poll<io::Result<usize>>) {
        if let (Some(ended), Poll::Ready(Ok(1..))) = (&mut self.ended, written) {
            ended.since = Instant::now();
        }
    }
}

impl<I: AsyncRead + AsyncWrite> AsyncRead for ClientStream<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ended.is_none() {
            let before = buffer.filled().len();
            std::task::ready!(self.inner.as_mut().poll_read(context, buffer))?;
            if buffer.filled().len() > before || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_end(context).map(Ok)
    }
}

impl<I: AsyncRead + AsyncWrite> AsyncWrite for ClientStream<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.inner.as_mut().poll_write(context, bytes);
        self.took(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.inner.as_mut().poll_write_vectored(context, slices);
        self.took(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.inner.as_mut().poll_flush(context);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.standing.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.as_mut().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn an_answer_that_still_stands_in_buffers_is_not_over() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(1024);
            let standing = Standing::apart();
            let mut stream = ClientStream::new(server, standing.clone(), Duration::from_secs(60));
            client.shutdown().await.unwrap();
            standing.enter(Phase::Answering);
            standing.enter(Phase::Leaving);
            let mut byte = [0];
            let ended = tokio::time::timeout(Duration::from_millis(20), stream.read(&mut byte)).await;
            assert!(ended.is_err(), "the client is said to have gone before its answer has left");
            stream.flush().await.unwrap();
            assert_eq!(standing.phase(), Phase::Waiting);
            assert_eq!(stream.read(&mut byte).await.unwrap(), 0);
        });
    }
}
