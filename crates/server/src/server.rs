//! A server from its start to its stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use trailseal_core::Trail;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::Event;

use crate::access::{Caller, NewToken, Scope, TokenError, TokenInfo, Tokens};
use crate::config::Config;
use crate::health::LOOK_EVERY;
use crate::listen::{Acceptor, Serving, Socket, TlsError};
use crate::memory;
use crate::own_events::{details, note};
use crate::retention::daily;
use crate::reviews::finish_approved;
use crate::routes::{App, router};
use crate::stopping::Stopping;

/// How often the last use of tokens is saved.
const USES_KEPT_EVERY: Duration = Duration::from_secs(60);
/// How often free memory is returned to the system, if there was memory-intensive work.
const MEMORY_GIVEN_BACK_EVERY: Duration = Duration::from_secs(5);
/// The name of the token that a first start makes.
const FIRST_TOKEN: &str = "admin";
/// How often an idle server records a heartbeat.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(300);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Others could reach it and eavesdrop.
    #[error(
        "{listen} can be reached from elsewhere and would serve plain text: set server.tls_cert and server.tls_key, \
         or server.allow_plain_http = true behind a proxy that terminates TLS"
    )]
    PlainHttp {
        /// The address to listen on.
        listen: SocketAddr,
    },
    /// Others could reach it and do anything.
    #[error(
        "an open server needs no token, so it listens only on loopback, not on {listen}: leave out --open"
    )]
    OpenToAll {
        /// The address to listen on.
        listen: SocketAddr,
    },
    /// Nobody would be a second person.
    #[error(
        "an open server cannot tell one person from another: leave out --open, or set no review.second_person"
    )]
    OpenAlone,
    /// It cannot listen there.
    #[error(
        "could not listen on {listen}: another program may be using it, or the address is not this machine's"
    )]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Its certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The tokens cannot be read or made.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The trail cannot be read.
    #[error("could not read the review queue from the trail: the line before says why")]
    Reviews,
}

/// What a stop left behind.
#[derive(Clone, Debug)]
pub struct Stopped {
    /// Connections that were cut because they did not end in time.
    pub cut: usize,
}

/// A server that listens.
pub struct Server {
    app: App,
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Acceptor>,
    socket: Option<Socket>,
    stop: watch::Sender<bool>,
    first_token: Option<String>,
}

impl Server {
    /// Listens, but does not respond yet. `dir` is the folder that is searched: the trail's, or that of all slots.
    ///
    /// If there is no token yet, one that allows everything but to see personal values is made.
    ///
    /// # Errors
    /// When it cannot listen, or should not: where others could reach it without TLS.
    pub async fn bind(trail: Trail, dir: PathBuf, config: Config) -> Result<Server, ServerError> {
        let listen = config.listen;
        if !listen.ip().is_loopback() {
            if config.open {
                return Err(ServerError::OpenToAll { listen });
            }
            if config.tls.is_none() && !config.allow_plain_http {
                return Err(ServerError::PlainHttp { listen });
            }
        }
        if config.open && config.second_person.is_needed() {
            return Err(ServerError::OpenAlone);
        }
        memory::give_large_blocks_back();
        let tls = config.tls.clone().map(Acceptor::new).transpose()?;
        let failed = |source| ServerError::Listen { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let folder = trail.folder().root().to_owned();
        let tokens = Tokens::load(&folder)?;
        let socket = config.socket.then(|| Socket::bind(&folder)).transpose().unwrap_or_else(|error| {
            tracing::warn!(error = %error, "no socket for commands beside this server");
            None
        });
        let (stop, stopping) = Stopping::new();
        let is_open = config.open;
        let app = App::new(trail, dir, config, tokens, stopping);
        app.reviews.refresh().map_err(|_| ServerError::Reviews)?;
        finish_approved(&app.reviews);
        let first_token = match app.tokens.is_empty() && !is_open {
            true => Some(first_token(&app)?),
            false => None,
        };
        Ok(Server { app, listener, address, tls, socket, stop, first_token })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The token that was made because there was none. It cannot be shown again.
    pub fn first_token(&self) -> Option<&str> {
        self.first_token.as_deref()
    }

    /// Responds until `stop` is ready; then accepts no more connections and ends the open ones, at most as long as the
    /// configuration allows. The trail stays open: its owner closes it.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Stopped {
        let Server { app, listener, tls, socket, stop: stopper, .. } = self;
        let router = router(app.clone());
        let serving = Serving::new(app.config.clone(), app.metrics.clone(), router, app.stopping.clone());
        let chores = tokio::spawn(chores(app.clone()));
        let daily = tokio::spawn(daily(app.retention.clone()));
        let serving = tokio::spawn(serving.run(listener, tls, socket));
        stop.await;
        let _ = stopper.send(true);
        let cut = serving.await.unwrap_or_default();
        chores.abort();
        daily.abort();
        keep_uses(&app.tokens);
        Stopped { cut }
    }
}

fn first_token(app: &App) -> Result<String, TokenError> {
    let new =
        NewToken { name: FIRST_TOKEN.into(), scopes: Scope::USUAL.to_vec(), tenant: None, expires: None };
    let token = app.tokens.create(new, SystemClock.now(), |tenant| app.trail.check_tenant(tenant))?;
    let scopes = Scope::USUAL.map(Scope::name).join(",");
    note(
        &app.trail,
        "token_created",
        &Caller::owner(),
        details([("name", Some(FIRST_TOKEN.into())), ("scopes", Some(scopes))]),
    );
    Ok(token)
}

/// Periodic work.
async fn chores(app: App) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let per = |time: Duration| (time.as_millis() / LOOK_EVERY.as_millis()).max(1) as u64;
    let (mut last, mut turns_before) = (app.trail.durable(), 0);
    for tick in 1_u64.. {
        ticks.tick().await;
        app.durable_watch.look(&app.trail);
        if tick.is_multiple_of(per(USES_KEPT_EVERY)) {
            let tokens = app.tokens.clone();
            let _ = tokio::task::spawn_blocking(move || keep_uses(&tokens)).await;
        }
        if tick.is_multiple_of(per(MEMORY_GIVEN_BACK_EVERY)) {
            let turns = app.places.turns.given() + app.bodies.turns_given();
            if turns != turns_before {
                turns_before = turns;
                let _ = tokio::task::spawn_blocking(memory::give_back).await;
            }
        }
        if tick.is_multiple_of(per(HEARTBEAT_EVERY)) {
            // It distinguishes silence from loss.
            let now = app.trail.durable();
            if now == last {
                let _ = app.trail.record_own("heartbeat", Event::default());
            }
            last = app.trail.durable();
        }
    }
}

fn keep_uses(tokens: &Tokens) {
    if let Err(error) = tokens.keep_uses() {
        tracing::warn!(error = %error, "the last use of tokens could not be saved");
    }
}

/// The tokens of a trail, for a command while no server runs.
pub struct TokenFile {
    tokens: Tokens,
}

impl TokenFile {
    /// The tokens in the trail's folder.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open(folder: &Path) -> Result<TokenFile, TokenError> {
        Ok(TokenFile { tokens: Tokens::load(folder)? })
    }

    /// Makes a token and returns it; it cannot be shown again later.
    ///
    /// # Errors
    /// When the name is taken or cannot be used, or the file cannot be written.
    pub fn create(&self, new: NewToken, trail: &Trail) -> Result<String, TokenError> {
        self.tokens.create(new, SystemClock.now(), |tenant| trail.check_tenant(tenant))
    }

    /// All tokens, without their secrets.
    pub fn list(&self) -> Vec<TokenInfo> {
        self.tokens.list()
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// When there is none with this name, or the file cannot be written.
    pub fn revoke(&self, name: &str) -> Result<(), TokenError> {
        self.tokens.revoke(name)
    }
}
