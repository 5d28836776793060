//! Connections to a store: each wait has a deadline, and ends when nobody waits any more.
//!
//! Nothing here or above relies on the state of a session, so a pooler may hand each transaction to another connection:
//! no `SET` but `SET LOCAL`, no session lock, and no named statement that is not looked for first, in the same transaction.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls};
use trailseal_core::deliver::MustEnd;

use crate::error::{Refusal, StoreError};
use crate::tls::Tls;
use crate::url::StoreUrl;

/// How often a wait looks whether it must end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long all of connecting takes at most, with however many hosts.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);

/// How many times in a row to look whether a connection has ended: to see that something came, to read it, and to end.
const LOOKS: usize = 4;

/// How long a server that is told to give up has to hear it.
const CANCEL_WITHIN: Duration = Duration::from_secs(1);

/// The oldest PostgreSQL that has what the schema needs.
const OLDEST_SERVER: u32 = 14;

/// Begins a transaction that a vanished writer cannot keep open for long, and whose commit is on the server's disk. A
/// server that waits for its standbys as well goes on to.
pub(crate) const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '60s'; \
    SET LOCAL tcp_keepalives_idle = 30; SET LOCAL tcp_keepalives_interval = 10; SET LOCAL tcp_keepalives_count = 3; \
    SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'";

/// One connection, for threads that may block. Once anything on it failed it is broken, and only good for being dropped:
/// then the server rolls back what was begun.
pub struct Connection {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    client: Client,
    tls: Option<Tls>,
    store: String,
    must_end: MustEnd,
    is_broken: bool,
    /// Why the connection ended.
    ended: Arc<Mutex<Option<tokio_postgres::Error>>>,
}

impl StoreUrl {
    /// Connects. All waits on the connection end when `must_end` is set.
    ///
    /// # Errors
    /// When the server cannot be reached, lets nobody in, or cannot hold a store.
    pub fn connect(&self, must_end: &MustEnd) -> Result<Connection, StoreError> {
        self.connect_within(CONNECT_WITHIN, must_end)
    }

    /// The same, in this time at most.
    pub(crate) fn connect_within(
        &self,
        within: Duration,
        must_end: &MustEnd,
    ) -> Result<Connection, StoreError> {
        let store = self.shown().to_owned();
        let system = |source| StoreError::System { store: store.clone(), source };
        let runtime = Builder::new_current_thread().enable_io().enable_time().build().map_err(system)?;
        let ended = Arc::default();
        let tls = match self.config.get_ssl_mode() {
            tokio_postgres::config::SslMode::Disable => None,
            _ => Some(Tls::new(self)?),
        };
        let connecting = open(&self.config, tls.clone(), &ended);
        let connected = runtime.block_on(until(within, must_end, connecting));
        let doing = "connect to";
        let (client, server) = match connected {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => {
                runtime.shutdown_background();
                return Err(StoreError::Postgres { doing, store, source: Refusal::new(error, None) });
            }
            Err(cut) => {
                runtime.shutdown_background();
                return Err(cut.told(doing, store));
            }
        };
        let connection = Connection {
            runtime: Some(runtime),
            client,
            tls,
            store,
            must_end: must_end.clone(),
            is_broken: false,
            ended,
        };
        connection.fits(&server)?;
        Ok(connection)
    }
}

/// What the server said of itself.
struct Server {
    encoding: String,
    version: String,
}

type Ended = Arc<Mutex<Option<tokio_postgres::Error>>>;

async fn open(
    config: &tokio_postgres::Config,
    tls: Option<Tls>,
    ended: &Ended,
) -> Result<(Client, Server), tokio_postgres::Error> {
    match tls {
        Some(tls) => {
            let (client, connection) = config.connect(tls).await?;
            let server = Server::of(|name| connection.parameter(name));
            serve(connection, ended.clone());
            Ok((client, server))
        }
        None => {
            let (client, connection) = config.connect(NoTls).await?;
            let server = Server::of(|name| connection.parameter(name));
            serve(connection, ended.clone());
            Ok((client, server))
        }
    }
}

/// Lets the connection's own side run whenever something is waited for.
fn serve(connection: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static, ended: Ended) {
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            *ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    });
}

impl Server {
    fn of<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Server {
        let text = |name| parameter(name).unwrap_or_default().to_owned();
        Server { encoding: text("server_encoding"), version: text("server_version") }
    }
}

impl Connection {
    /// Does `work` on the connection. `doing` says what for, in words that fit between "could not" and the store.
    ///
    /// # Errors
    /// When PostgreSQL refuses, gives no answer in time, or nobody waits any more. Then the connection is broken.
    pub fn run<T>(
        &mut self,
        doing: &'static str,
        within: Duration,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        let store = self.store.clone();
        let Some(runtime) = &self.runtime else { return Err(StoreError::Ended { doing, store }) };
        // Whatever ends this early, a panic too, leaves it broken.
        let was_broken = std::mem::replace(&mut self.is_broken, true);
        match runtime.block_on(until(within, &self.must_end, work(&mut self.client))) {
            Ok(Ok(done)) => {
                self.is_broken = was_broken;
                Ok(done)
            }
            Ok(Err(error)) => {
                // A connection that was ended says only that it is closed; why, its own side knows.
                let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
                let ended = ended.filter(|_| error.as_db_error().is_none());
                Err(StoreError::Postgres { doing, store, source: Refusal::new(error, ended) })
            }
            Err(cut) => Err(cut.told(doing, store)),
        }
    }

    /// Asks the server to give up what it does for this connection, which would otherwise go on until it sees that nobody listens.
    /// If it cannot be reached, it will see that.
    fn cancel(&self) {
        let Some(runtime) = &self.runtime else { return };
        let token = self.client.cancel_token();
        let cancelling = async {
            match &self.tls {
                Some(tls) => token.cancel_query(tls.clone()).await,
                None => token.cancel_query(NoTls).await,
            }
        };
        let _ = runtime.block_on(async { tokio::time::timeout(CANCEL_WITHIN, cancelling).await });
    }

    /// Sees what came while it was not used, such as the server's end.
    fn look(&self) {
        let Some(runtime) = &self.runtime else { return };
        runtime.block_on(async {
            // Each lets the runtime look for what has come, and then whoever waits for that run.
            for _ in 0..LOOKS {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Whether it must be dropped.
    pub fn is_broken(&self) -> bool {
        self.is_broken || self.client.is_closed()
    }

    /// The store as it may be shown.
    pub fn store(&self) -> &str {
        &self.store
    }

    fn fits(&self, server: &Server) -> Result<(), StoreError> {
        let unfit = |what: String| Err(StoreError::Unfit { store: self.store.clone(), what });
        // A pooler may say nothing of either.
        if !matches!(server.encoding.as_str(), "UTF8" | "") {
            return unfit(format!(
                "the database is in {}: make one with ENCODING 'UTF8' TEMPLATE template0",
                server.encoding
            ));
        }
        let digits = server.version.split(|letter: char| !letter.is_ascii_digit()).next();
        match digits.and_then(|digits| digits.parse::<u32>().ok()) {
            Some(version) if version < OLDEST_SERVER => unfit(format!(
                "it is PostgreSQL {}, and {OLDEST_SERVER} is the oldest that can",
                server.version
            )),
            _ => Ok(()),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Without waiting for a look-up of a name that hangs.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Why a wait was given up.
enum Cut {
    TimedOut(Duration),
    Ended,
}

impl Cut {
    fn told(self, doing: &'static str, store: String) -> StoreError {
        match self {
            Cut::TimedOut(within) => StoreError::TimedOut { doing, store, within },
            Cut::Ended => StoreError::Ended { doing, store },
        }
    }
}

async fn until<T>(within: Duration, must_end: &MustEnd, work: impl Future<Output = T>) -> Result<T, Cut> {
    let mut work = pin!(work);
    let end = Instant::now() + within;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left.min(LOOK_EVERY), work.as_mut()).await {
            Ok(done) => return Ok(done),
            Err(_) if must_end.is_set() => return Err(Cut::Ended),
            Err(_) if left.is_zero() => return Err(Cut::TimedOut(within)),
            Err(_) => {}
        }
    }
}

/// A connection that a pool need not keep is closed when it was not used for this long.
const IDLE_WITHIN: Duration = Duration::from_secs(300);

/// What is waited for if all connections are in use.
const GET: &str = "get a free connection to";

/// A few connections for many threads that read.
pub struct Pool {
    url: StoreUrl,
    /// How many stay open, however long nobody uses them.
    kept: usize,
    max: usize,
    state: Mutex<PoolState>,
    returned: Condvar,
}

#[derive(Default)]
struct PoolState {
    /// With the time when each was given back; the last one is lent first.
    idle: VecDeque<(Connection, Instant)>,
    /// Idle or lent.
    open: usize,
}

impl PoolState {
    fn trim(&mut self, kept: usize) {
        while self.open > kept && self.idle.front().is_some_and(|(_, since)| since.elapsed() >= IDLE_WITHIN) {
            self.idle.pop_front();
            self.open -= 1;
        }
    }
}

impl Pool {
    /// At most `max` connections, made when they are needed.
    pub fn new(url: StoreUrl, max: usize) -> Pool {
        Pool::keeping(url, max, max)
    }

    /// The same; those beyond `kept` are closed when they were idle for five minutes.
    pub fn keeping(url: StoreUrl, kept: usize, max: usize) -> Pool {
        Pool { url, kept, max: max.max(1), state: Mutex::default(), returned: Condvar::new() }
    }

    /// Opens the connections that it keeps, rather than when they are needed.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn fill(&self) -> Result<(), StoreError> {
        // Held together, or each would be the same one.
        let mut lent = Vec::new();
        while lent.len() < self.kept.min(self.max) && !self.is_in_use() {
            match self.get(CONNECT_WITHIN, &MustEnd::default()) {
                Err(StoreError::TimedOut { doing: GET, .. }) => break,
                other => lent.push(other?),
            }
        }
        Ok(())
    }

    /// Whether all connections that it may have are open and lent.
    fn is_in_use(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.idle.is_empty() && state.open >= self.max
    }

    /// Closes the connections that nobody uses: they may have ended without anybody seeing it, as after a restart of the server.
    pub fn forget_idle(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = std::mem::take(&mut state.idle);
        state.open -= idle.len();
        drop(state);
        self.returned.notify_all();
    }

    /// The store that it leads to.
    pub fn url(&self) -> &StoreUrl {
        &self.url
    }

    /// Lends a connection; dropping the loan gives it back. All waits for it, and on it, end when `must_end` is set.
    ///
    /// # Errors
    /// When none gets free in time, or none can be made.
    pub fn get(&self, within: Duration, must_end: &MustEnd) -> Result<Lent<'_>, StoreError> {
        let end = Instant::now() + within;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            while let Some((mut connection, _)) = state.idle.pop_back() {
                connection.look();
                if !connection.is_broken() {
                    connection.must_end = must_end.clone();
                    return Ok(Lent { pool: self, connection: Some(connection) });
                }
                state.open -= 1;
            }
            if state.open < self.max {
                state.open += 1;
                break;
            }
            let left = end.saturating_duration_since(Instant::now());
            let store = || self.url.shown().to_owned();
            if must_end.is_set() {
                return Err(StoreError::Ended { doing: GET, store: store() });
            }
            if left.is_zero() {
                return Err(StoreError::TimedOut { doing: GET, store: store(), within });
            }
            let wait = left.min(LOOK_EVERY);
            (state, _) = self.returned.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        // Takes its place in the pool back, if no connection comes of it.
        let mut lent = Lent { pool: self, connection: None };
        let left = end.saturating_duration_since(Instant::now()).min(CONNECT_WITHIN);
        lent.connection = Some(self.url.connect_within(left, must_end)?);
        Ok(lent)
    }
}

/// A connection lent by a [`Pool`].
pub struct Lent<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Lent<'_> {
    /// As [`Connection::run`].
    ///
    /// # Errors
    /// As [`Connection::run`].
    pub fn run<T>(
        &mut self,
        doing: &'static str,
        within: Duration,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        match &mut self.connection {
            Some(connection) => {
                let done = connection.run(doing, within, work);
                if matches!(done, Err(StoreError::Ended { .. } | StoreError::TimedOut { .. }))
                    && !cfg!(trailseal_fault = "store_search_not_cancelled")
                {
                    connection.cancel();
                }
                done
            }
            None => Err(StoreError::Ended { doing, store: self.pool.url.shown().to_owned() }),
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let connection = self.connection.take().filter(|connection| !connection.is_broken());
        let mut state = self.pool.state.lock().unwrap_or_else(PoisonError::into_inner);
        match connection {
            Some(connection) => state.idle.push_back((connection, Instant::now())),
            None => state.open -= 1,
        }
        state.trim(self.pool.kept);
        drop(state);
        self.pool.returned.notify_one();
    }
}
