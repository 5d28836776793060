//! One connection: requests one after the other, each with its peer, and HTTP's rules for a head.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Body as _, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt as _;

use super::connection_states::{Phase, Standing};
use super::stream::ClientStream;
use crate::body::Accompanied;
use crate::client::Peer;
use crate::metrics::Metrics;
use crate::problem::{Kind, Problem};

/// Limits on the head of a request: its bytes, and its lines after the first.
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 100;

/// What serves a connection.
pub(super) struct Connection {
    pub(super) timeout: Duration,
    pub(super) metrics: Arc<Metrics>,
    pub(super) router: Router,
    pub(super) peer: Peer,
    pub(super) standing: Arc<Standing>,
    pub(super) watcher: Watcher,
}

impl Connection {
    /// Responds until the client or the server ends the connection.
    pub(super) async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + 'static) {
        let Connection { timeout, metrics, router, peer, standing, watcher } = self;
        let stream = ClientStream::new(stream, standing.clone(), timeout);
        let service = Requests { metrics, router, peer, standing };
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
    metrics: Arc<Metrics>,
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
        let answer = |response: Response| response.map(|body| Answer::new(body, UntilTaken(standing)));
        if !has_one_host(&request) {
            self.metrics.request("none", StatusCode::BAD_REQUEST.as_u16(), 0.0);
            let response = wrong_host();
            return Box::pin(std::future::ready(Ok(answer(response))));
        }
        let (router, standing) = (self.router.clone(), self.standing.clone());
        let mut request: Request = request.map(|body| {
            // Tells when all of it is here.
            let all_here = |standing: &Arc<Standing>| standing.enter(Phase::Answering);
            Body::new(Accompanied::telling(body, standing, all_here))
        });
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
    let mut response = Problem::new(Kind::Host, "a request needs exactly one Host header").into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A response's body that reports when all of it was taken for sending.
type Answer = Accompanied<Body, UntilTaken>;

/// Kept as long as an answer's body.
struct UntilTaken(Arc<Standing>);

impl Drop for UntilTaken {
    fn drop(&mut self) {
        // The rest of it is in buffers.
        self.0.enter(Phase::Leaving);
    }
}
