//! Connections: accepted up to a limit, each with deadlines, over TCP, TLS and the socket in the trail's folder.
//!
//! What must hold: a client that is slow, silent or greedy holds its own connection and nothing else.

mod client_address;
mod places;
mod rate;
mod socket_path;
mod tls;
mod unix;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use crate::access::Peer;
use crate::app::Shared;

pub(crate) use client_address::client_address;
pub(crate) use places::client;
use places::{Place, Places};
pub(crate) use rate::{Rates, is_within_rate};
pub use socket_path::SocketPath;
pub(crate) use tls::Acceptor;
pub use tls::TlsError;
pub(crate) use unix::Socket;

/// The head of a request, its lines and its number of headers.
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 100;
/// A client that reads nothing for so long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves connections until `stopping` says so, and then those that are open until they are done.
pub(crate) struct Serving {
    pub(crate) app: Shared,
    pub(crate) router: Router,
    pub(crate) stopping: watch::Receiver<bool>,
    connections: Arc<Semaphore>,
    places: Arc<Places>,
    graceful: GracefulShutdown,
}

impl Serving {
    pub(crate) fn new(app: Shared, router: Router, stopping: watch::Receiver<bool>) -> Serving {
        let connections = Arc::new(Semaphore::new(app.config.connections_max));
        Serving {
            app,
            router,
            stopping,
            connections,
            places: Arc::default(),
            graceful: GracefulShutdown::new(),
        }
    }

    /// Accepts until the server stops, from both listeners; then waits for what is open, at most for the time of the
    /// settings. Returns how many connections were cut.
    pub(crate) async fn run(
        self,
        listener: TcpListener,
        tls: Option<Acceptor>,
        socket: Option<Socket>,
    ) -> usize {
        let mut stopping = self.stopping.clone();
        let tls = tls.map(Arc::new);
        loop {
            let connections = self.connections.clone();
            // A place before accepting: who comes when all are taken waits in the system's queue.
            let next = async { (connections.acquire_owned().await, listener.accept().await) };
            tokio::select! {
                _ = stopping.changed() => break,
                (place, accepted) = next => match (place, accepted) {
                    (Ok(place), Ok((stream, address))) => self.tcp(stream, address, tls.clone(), place),
                    (Ok(_), Err(error)) => not_accepted(&error).await,
                    (Err(_), _) => break,
                },
                // The owner's commands take no place: strangers must not keep them out.
                accepted = unix::accept(socket.as_ref()) => match accepted {
                    Ok(stream) => _ = tokio::spawn(self.connection(stream, Peer::Owner)),
                    Err(error) => not_accepted(&error).await,
                },
            }
        }
        drop((listener, socket));
        let open = self.connections.clone();
        let most = self.app.config.connections_max;
        let _ = tokio::time::timeout(self.app.config.stop_timeout, self.graceful.shutdown()).await;
        most.saturating_sub(open.available_permits())
    }

    fn tcp(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        tls: Option<Arc<Acceptor>>,
        place: tokio::sync::OwnedSemaphorePermit,
    ) {
        let address = address.ip().to_canonical();
        let Some(place) = self.place_of(address).map(|of_client| (place, of_client)) else { return };
        let _ = stream.set_nodelay(true);
        let peer = Peer::Address(address);
        let Some(tls) = tls else {
            let serving = self.connection(stream, peer);
            tokio::spawn(async move {
                serving.await;
                drop(place);
            });
            return;
        };
        let timeout = self.app.config.request_timeout;
        let (app, router, watcher) = (self.app.clone(), self.router.clone(), self.graceful.watcher());
        tokio::spawn(async move {
            if let Ok(Ok(stream)) = tokio::time::timeout(timeout, tls.accept(stream)).await {
                serve(app, router, stream, peer, |connection| watcher.watch(connection)).await;
            }
            drop(place);
        });
    }

    /// A place among those of its client, of which a trusted proxy needs none; `None` if all are taken.
    fn place_of(&self, address: IpAddr) -> Option<Option<Place>> {
        let config = &self.app.config;
        if config.trusted_proxies.iter().any(|net| net.contains(&address)) {
            return Some(None);
        }
        let place = self.places.take(address, config.connections_per_address_max);
        if place.is_none() {
            self.app.metrics.connections_refused.inc();
            tracing::warn!(%address, "a connection was closed: its address has too many already");
        }
        place.map(Some)
    }

    fn connection<I>(&self, stream: I, peer: Peer) -> impl Future<Output = ()> + Send + 'static
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (app, router, watcher) = (self.app.clone(), self.router.clone(), self.graceful.watcher());
        async move { serve(app, router, stream, peer, |connection| watcher.watch(connection)).await }
    }
}

/// Too many files, or a client that was gone at once: no reason to stop, and none to try again without a pause.
async fn not_accepted(error: &std::io::Error) {
    tracing::warn!(error = %error, "a connection could not be accepted");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

async fn serve<I, W, F>(app: Shared, router: Router, stream: I, peer: Peer, watch: W)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    W: FnOnce(Connection<I>) -> F,
    F: Future<Output = Result<(), hyper::Error>>,
{
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let service = RouterService { router, peer };
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(app.config.request_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .half_close(false);
    // What goes wrong with one connection is the client's matter.
    let _ = watch(http.serve_connection(TokioIo::new(Box::pin(stream)), service)).await;
}

type Connection<I> =
    hyper::server::conn::http1::Connection<TokioIo<std::pin::Pin<Box<TimeoutStream<I>>>>, RouterService>;

/// The router, with where the connection came from in each request.
#[derive(Clone)]
struct RouterService {
    router: Router,
    peer: Peer,
}

impl hyper::service::Service<hyper::Request<Incoming>> for RouterService {
    type Response = axum::response::Response;
    type Error = std::convert::Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let (router, peer) = (self.router.clone(), self.peer);
        Box::pin(async move {
            let mut request: Request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(peer);
            router.oneshot(request).await
        })
    }
}
