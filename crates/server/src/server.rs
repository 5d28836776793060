//! A server from its start to its stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::watch;
use trailseal_core::Trail;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::Event;

use crate::access::{TokenError, Tokens, is_host};
use crate::config::Config;
use crate::health::LOOK_EVERY;
use crate::listen::{Acceptor, Serving, Socket, TlsError};
use crate::memory;
use crate::owner::Owner;
use crate::policies::waits_for_store;
use crate::retention::daily;
use crate::reviews::finish_approved;
use crate::routes::{App, router};
use crate::shared::{self, SharedStore};
use crate::stopping::Stopping;

/// How often the last use of tokens is saved.
const USES_KEPT_EVERY: Duration = Duration::from_secs(60);
/// How often free memory is returned to the system, if there was memory-intensive work.
const MEMORY_GIVEN_BACK_EVERY: Duration = Duration::from_secs(5);
/// How often a server looks what others have decided. Documented: docs/store.md.
const LOOK_INTO_STORE_EVERY: Duration = Duration::from_secs(1);
/// The name of the token that a first start makes.
const FIRST_TOKEN: &str = "admin";
/// A server that has recorded nothing for so long records a heartbeat.
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
    /// No request could name it.
    #[error(
        "server.hosts cannot have {host:?}: it takes names and addresses without scheme, port or path, such as audit.example.com"
    )]
    Host {
        /// The entry.
        host: String,
    },
    /// What waits for the store would never be confirmed.
    #[error(
        "the policy lets {which} wait for a store (mode = \"sync\", acknowledge = \"store\"), and there is none: set \
         index.enabled = true or store.url, or acknowledge = \"durable\"; one that was set while running is given up by \
         `trailseal policy set settings`"
    )]
    NoStore {
        /// Which events.
        which: String,
    },
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
    /// The store that it is to share with other servers will not let it.
    #[error(
        "tokens, legal holds, reviews and the policy are decided in the shared store, and this server cannot: {what}"
    )]
    Store {
        /// Why, and what to do.
        what: String,
    },
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
    /// When it cannot listen, or should not: where others could reach it without TLS, or where it could not do what its
    /// settings say.
    pub async fn bind(trail: Trail, dir: PathBuf, config: Config) -> Result<Server, ServerError> {
        check(&trail, &config)?;
        let listen = config.listen;
        memory::give_large_blocks_back();
        let tls = config.tls.clone().map(Acceptor::new).transpose()?;
        let failed = |source| ServerError::Listen { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let folder = trail.folder().root().to_owned();
        let shared = shared::of(&config, &trail);
        let tokens = Tokens::load(&folder, shared.as_ref())?;
        let socket = config.socket.then(|| Socket::bind(&folder)).transpose().unwrap_or_else(|error| {
            tracing::warn!(error = %error, "no socket for commands beside this server");
            None
        });
        let (stop, stopping) = Stopping::new();
        let is_open = config.open;
        let app = App::new(trail, dir, config, shared, tokens, stopping);
        app.reviews.read_on().map_err(|_| ServerError::Reviews)?;
        finish_approved(&app.reviews);
        let beginning = app.clone();
        let begin = move || begin(&beginning, is_open);
        let first_token = tokio::task::spawn_blocking(begin).await.unwrap_or(Ok(None))?;
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

    /// Who decides by signals to this server, or by other ways than a request.
    pub fn owner(&self) -> Owner {
        let app = &self.app;
        Owner::of(app.trail.clone(), app.shared.clone(), app.policies.clone(), app.holds.clone())
    }

    /// Responds until `stop` is ready; then accepts no more connections and ends the open ones, at most as long as the
    /// configuration allows. The trail stays open: its owner closes it.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Stopped {
        let Server { app, listener, tls, socket, stop: stopper, .. } = self;
        let router = router(app.clone());
        let serving = Serving::new(app.config.clone(), app.metrics.clone(), router, app.stopping.clone());
        let chores = tokio::spawn(chores(app.clone()));
        let daily = tokio::spawn(daily(app.retention.clone()));
        let following = tokio::spawn(follow_others(app.clone()));
        let flags = tokio::spawn(follow_flags(app.clone()));
        let serving = tokio::spawn(serving.run(listener, tls, socket));
        stop.await;
        let _ = stopper.send(true);
        let cut = serving.await.unwrap_or_default();
        chores.abort();
        daily.abort();
        following.abort();
        flags.abort();
        let tokens = app.tokens.clone();
        let _ = tokio::task::spawn_blocking(move || keep_uses(&tokens)).await;
        Stopped { cut }
    }
}

/// Refuses what should not be served, or could not be as it is set.
fn check(trail: &Trail, config: &Config) -> Result<(), ServerError> {
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
    if let Some(host) = config.hosts.iter().find(|host| !is_host(host)) {
        return Err(ServerError::Host { host: host.clone() });
    }
    match waits_for_store(&trail.policy()).filter(|_| !trail.has_store()) {
        Some(which) => Err(ServerError::NoStore { which }),
        None => Ok(()),
    }
}

/// What comes before the first response: what others decided is followed, and the first token made.
fn begin(app: &App, is_open: bool) -> Result<Option<String>, ServerError> {
    if let Some(shared) = &app.shared {
        if !shared.check().map_err(|what| ServerError::Store { what })? {
            if !is_open {
                // Whoever starts it for the first time waits for one.
                tracing::warn!(
                    "no admin token was made: tokens are in the shared store, which cannot be reached. If there is none yet, start \
                     the server again, or run `trailseal token create`, when it can be"
                );
            }
            return Ok(None);
        }
        follow(app, shared);
    }
    if is_open {
        return Ok(None);
    }
    match app.tokens.create_first(&app.trail, FIRST_TOKEN, SystemClock.now()) {
        Err(TokenError::Store(reason)) => {
            tracing::warn!(reason, "whether a first token is to be made could not be asked");
            Ok(None)
        }
        made => Ok(made?),
    }
}

/// Follows what other servers decide in the shared store, if there is one.
async fn follow_others(app: App) {
    let Some(shared) = app.shared.clone() else { return };
    let mut ticks = tokio::time::interval(LOOK_INTO_STORE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (app, shared) = (app.clone(), shared.clone());
        let _ = tokio::task::spawn_blocking(move || follow(&app, &shared)).await;
    }
}

/// One look into the shared store.
fn follow(app: &App, shared: &SharedStore) {
    // Why it could not look was logged where it occurred.
    let Ok(looked) = shared.look() else { return };
    if let Err(error) = app.tokens.follow(&looked) {
        tracing::warn!(error = %error, "what others decided on tokens could not be read");
    }
    let _ = app.policies.follow(&looked);
    let _ = app.holds.follow(&looked);
    let _ = app.reviews.refresh();
}

/// Makes reviews of what rules flag in trails without a server. Nothing that others decided waits for it.
async fn follow_flags(app: App) {
    let Some(shared) = app.shared.clone() else { return };
    let mut ticks = tokio::time::interval(LOOK_INTO_STORE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let shared = shared.clone();
        let _ = tokio::task::spawn_blocking(move || shared.take_in_flags()).await;
    }
}

/// Periodic work.
async fn chores(app: App) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let per = |time: Duration| (time.as_millis() / LOOK_EVERY.as_millis()).max(1) as u64;
    let (mut last, mut silent_since, mut turns_before) = (app.trail.durable(), Instant::now(), 0);
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
        let durable = app.trail.durable();
        if durable != last {
            (last, silent_since) = (durable, Instant::now());
        } else if silent_since.elapsed() >= HEARTBEAT_EVERY {
            // It distinguishes silence from loss.
            let _ = app.trail.record_own("heartbeat", Event::default());
            silent_since = Instant::now();
        }
    }
}

fn keep_uses(tokens: &Tokens) {
    if let Err(error) = tokens.keep_uses() {
        tracing::warn!(error = %error, "the last use of tokens could not be saved");
    }
}
