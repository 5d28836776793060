//! Connections: accepted up to a limit, each with deadlines, over TCP, TLS and the socket in the trail's folder.
//!
//! What must hold: a slow, silent or greedy client holds only its own connection.

mod connection;
mod connection_places;
mod connection_states;
mod files;
mod socket_path;
mod stream;
mod tls;
mod unix;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use trailseal_core::file::is_shortage;

use crate::client::Peer;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::stopping::Stopping;

use connection::Connection;
use connection_places::{Place, Places};
pub(crate) use connection_states::Standing;
use connection_states::Standings;
pub use files::raise_limit_of_files;
pub use socket_path::SocketPath;
pub(crate) use tls::Acceptor;
pub use tls::TlsError;
pub(crate) use unix::Socket;

/// How often a client that waits for a place checks whether a connection may be closed now.
const LOOK_FOR_ROOM_EVERY: Duration = Duration::from_millis(5);

/// Serves connections until `stopping` is set, and then the open ones until they are done.
pub(crate) struct Serving {
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    router: Router,
    stopping: Stopping,
    connections_max: usize,
    connections: Arc<Semaphore>,
    places: Arc<Places>,
    standings: Arc<Standings>,
    graceful: GracefulShutdown,
}

/// A client that was let in but has no place among all connections yet.
struct Guest {
    stream: TcpStream,
    address: IpAddr,
    /// Its place among those of its address; a trusted proxy needs none.
    place: Option<Place>,
}

impl Serving {
    pub(crate) fn new(
        config: Arc<Config>,
        metrics: Arc<Metrics>,
        router: Router,
        stopping: Stopping,
    ) -> Serving {
        let connections_max = files::connections_that_fit(config.connections_max);
        Serving {
            config,
            metrics,
            router,
            stopping,
            connections_max,
            connections: Arc::new(Semaphore::new(connections_max)),
            places: Arc::default(),
            standings: Arc::default(),
            graceful: GracefulShutdown::new(),
        }
    }

    /// Accepts from both listeners until the server stops; then waits for open connections, at most as long as the
    /// settings allow. Returns how many connections were cut.
    pub(crate) async fn run(
        self,
        listener: TcpListener,
        tls: Option<Acceptor>,
        socket: Option<Socket>,
    ) -> usize {
        let mut stopping = self.stopping.clone();
        let tls = tls.map(Arc::new);
        let mut guest: Option<Guest> = None;
        loop {
            let connections = self.connections.clone();
            if guest.is_some() && connections.available_permits() == 0 {
                self.standings.make_room();
            }
            tokio::select! {
                () = stopping.begins() => break,
                accepted = listener.accept(), if guest.is_none() => match accepted {
                    Ok((stream, address)) => guest = self.guest(stream, address),
                    Err(error) => self.not_accepted(&error).await,
                },
                place = connections.acquire_owned(), if guest.is_some() => match (place, guest.take()) {
                    (Ok(place), Some(guest)) => self.serve(guest, tls.clone(), place),
                    _ => break,
                },
                () = tokio::time::sleep(LOOK_FOR_ROOM_EVERY), if guest.is_some() => {}
                // The owner's commands take no place, so strangers cannot keep them out.
                accepted = unix::accept(socket.as_ref()) => match accepted {
                    Ok(stream) => {
                        tokio::spawn(self.connection(Peer::Owner, Standing::apart()).serve(stream));
                    }
                    Err(error) => self.not_accepted(&error).await,
                },
            }
        }
        drop((guest, listener, socket));
        let open = self.connections.clone();
        let _ = tokio::time::timeout(self.config.stop_timeout, self.graceful.shutdown()).await;
        self.connections_max.saturating_sub(open.available_permits())
    }

    /// The next client, unless its address already has too many connections.
    fn guest(&self, stream: TcpStream, address: SocketAddr) -> Option<Guest> {
        let address = address.ip().to_canonical();
        let config = &self.config;
        if config.trusted_proxies.iter().any(|net| net.contains(&address)) {
            return Some(Guest { stream, address, place: None });
        }
        let place = self.places.take(address, config.connections_per_address_max);
        if place.is_none() {
            self.metrics.connections_refused.inc();
            tracing::warn!(%address, "a connection was closed: its address already has too many");
        }
        place.map(|place| Guest { stream, address, place: Some(place) })
    }

    fn serve(&self, guest: Guest, tls: Option<Arc<Acceptor>>, place: OwnedSemaphorePermit) {
        let Guest { stream, address, place: of_address } = guest;
        let _ = stream.set_nodelay(true);
        let entered = self.standings.enter();
        let standing = entered.standing.clone();
        let connection = self.connection(Peer::Address(address), standing.clone());
        let (metrics, timeout) = (self.metrics.clone(), self.config.request_timeout);
        tokio::spawn(async move {
            let served = async {
                match tls {
                    None => connection.serve(stream).await,
                    Some(tls) => {
                        if let Ok(Ok(stream)) = tokio::time::timeout(timeout, tls.accept(stream)).await {
                            connection.serve(stream).await;
                        }
                    }
                }
            };
            tokio::select! {
                () = standing.told_to_go() => {
                    metrics.connections_evicted.inc();
                }
                () = served => {}
            }
            drop((entered, of_address, place));
        });
    }

    fn connection(&self, peer: Peer, standing: Arc<Standing>) -> Connection {
        let (metrics, router, watcher) = (self.metrics.clone(), self.router.clone(), self.graceful.watcher());
        Connection { timeout: self.config.request_timeout, metrics, router, peer, standing, watcher }
    }

    /// There are too many files, or the client went away at once: no reason to stop, but a reason to pause before
    /// retrying.
    async fn not_accepted(&self, error: &std::io::Error) {
        tracing::warn!(error = %error, "a connection could not be accepted");
        if is_shortage(error) {
            // A closed connection frees a file.
            self.standings.make_room();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
