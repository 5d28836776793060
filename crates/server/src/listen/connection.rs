//! One connection: requests one after the other, each with its peer, and HTTP's rules for a head.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt as _;

use super::standing::{Phase, Standing};
use super::stream::ClientStream;
use crate::access::Peer;
use crate::app::Shared;
use crate::problem::Problem;

/// Limits on the head of a request: its bytes, and its lines after the first.
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 100;

/// What serves a connection.
pub(super) struct Connection {
    pub(super) app: Shared,
    pub(super) router: Router,
    pub(super) peer: Peer,
    pub(super) standing: Arc<Standing>,
    pub(super) watcher: Watcher,
}

impl Connection {
    /// Responds until the client or the server ends the connection.
    pub(super) async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + 'static) {
        let Connection { app, router, peer, standing, watcher } = self;
        let timeout = app.config.request_timeout;
        let stream = ClientStream::new(stream, standing.clone(), timeout);
        let service = Requests { app, router, peer, standing };
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(timeout)
            // Bytes that a read brings after the head do not count towards it.
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            // The stream itself distinguishes a client that has gone from one that waits for a response.
            .half_close(false);
        // An error on one connection is the client's problem.
        let _ = watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await;
    }
}

/// The router, with the connection's peer in each request.
struct Requests {
    app: Shared,
    router: Router,
    peer: Peer,
    standing: Arc<Standing>,
}

impl hyper::service::Service<hyper::Request<Incoming>> for Requests {
    type Response = hyper::Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let standing = self.standing.clone();
        let is_whole = request.body().is_end_stream();
        standing.enter(if is_whole { Phase::Answering } else { Phase::Sending });
        let answer = |response: Response| response.map(|inner| Answer { inner, standing });
        if !has_one_host(&request) {
            self.app.metrics.request("none", StatusCode::BAD_REQUEST.as_u16(), 0.0);
            let response = wrong_host();
            return Box::pin(std::future::ready(Ok(answer(response))));
        }
        let (router, standing) = (self.router.clone(), self.standing.clone());
        let mut request: Request = request.map(|inner| Body::new(Sent { inner, standing }));
        request.extensions_mut().insert(self.peer);
        request.extensions_mut().insert(self.standing.clone());
        Box::pin(async move { router.oneshot(request).await.map(answer) })
    }
}

/// Two would let a proxy and this server interpret a request differently (RFC 9112, section 3.2).
fn has_one_host(request: &hyper::Request<Incoming>) -> bool {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    match request.version() {
        _ if cfg!(trailseal_fault = "hosts_not_counted") => true,
        Version::HTTP_11 => hosts == 1,
        _ => hosts <= 1,
    }
}

fn wrong_host() -> Response {
    let mut response =
        Problem::bad_request("host", "a request needs exactly one Host header").into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A request's body that reports when it is complete.
struct Sent {
    inner: Incoming,
    standing: Arc<Standing>,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || frame.is_ready() && self.inner.is_end_stream() {
            self.standing.enter(Phase::Answering);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A response's body that reports when all of it was taken for sending.
pub(super) struct Answer {
    inner: Body,
    standing: Arc<Standing>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // The rest of it is in buffers.
        self.standing.enter(Phase::Leaving);
    }
}
