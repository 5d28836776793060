//! The server's configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use trailseal_core::{PersonalKeysOptions, RetentionRule};
use trailseal_event::client_address::ProxyHeader;

/// The server's configuration. `Config::default()` listens only on loopback.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The address to listen on. Port 0 picks a free port.
    pub listen: SocketAddr,
    /// Certificate chain and key, in PEM; reloaded when the files change.
    pub tls: Option<TlsFiles>,
    /// Listen without TLS on an address that others can reach.
    pub allow_plain_http: bool,
    /// Require no token. Answers only requests whose `Host` is loopback or in `hosts`.
    pub open: bool,
    /// Names that an open server answers to.
    pub hosts: Vec<String>,
    /// Proxies that are trusted to name the client.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which they name it. Another header is the client's own claim.
    pub proxy_header: ProxyHeader,
    /// Sites that may embed the viewer in a frame, such as `https://app.example.com`.
    pub frame_ancestors: Vec<String>,
    /// Whether checkpoints and hash tiles need no token.
    pub public_tiles: bool,
    /// The maximum size of a request's body, also after decompression.
    pub body_bytes_max: usize,
    /// The maximum size of all request bodies at a time, not counting the first 64 KiB of each.
    pub bodies_bytes_max: usize,
    /// The maximum number of events in one request.
    pub batch_events_max: usize,
    /// The maximum number of connections; fewer if the limit on open files requires.
    pub connections_max: usize,
    /// The maximum number of connections from one client address; trusted proxies are not counted.
    pub connections_per_address_max: usize,
    /// Requests per second that one client address may make, on average; 0 means unlimited.
    pub requests_per_second: u32,
    /// The maximum number of searches, proofs and reviews, and of large bodies, processed at once; one client may have
    /// half of them.
    pub searches_max: usize,
    /// How long the search for one response may take; a page ends before, and says how far it got.
    pub search_timeout: Duration,
    /// The maximum number of event streams; one client may have a quarter of them.
    pub streams_max: usize,
    /// How long a client may take to send the head of a request, and its body.
    pub request_timeout: Duration,
    /// How long a stop waits for requests in progress.
    pub stop_timeout: Duration,
    /// What needs a second person.
    pub second_person: SecondPerson,
    /// Where the keys of personal values are, for trails that other processes write beside this one.
    pub personal_keys: PersonalKeysOptions,
    /// What is retired each day, and where it goes first.
    pub retention: RetentionConfig,
    /// Whether to listen on a socket in the trail's folder too.
    pub socket: bool,
    /// Limits for health.
    pub health: HealthLimits,
    /// The store that it shares with other servers: events are searched there, rather than in the folder, and tokens, legal
    /// holds, reviews and the policy that was set at run time are decided there. Its owner delivers the trail to it.
    #[cfg(feature = "postgres")]
    pub store: Option<trailseal_postgres::StoreUrl>,
    /// The relay of an outbox into the trail, to be shown: its owner runs it.
    #[cfg(feature = "postgres")]
    pub outbox: Option<trailseal_postgres::outbox::RelayWatch>,
}

/// What one person requests and another approves, in the review queue.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SecondPerson {
    /// To weaken the policy.
    pub policy: bool,
    /// To retire events on request. What the settings retire each day needs nobody: who writes them decides.
    pub retention: bool,
    /// To erase somebody.
    pub erasure: bool,
}

impl SecondPerson {
    /// Whether anything needs one.
    pub(crate) fn is_needed(self) -> bool {
        self.policy || self.retention || self.erasure
    }
}

/// Retirement by the server.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RetentionConfig {
    /// When the rules are applied: the time since midnight, UTC. `None`: never.
    pub at: Option<Duration>,
    /// What goes. Each rule is applied by itself: an event goes if one of them selects it.
    pub rules: Vec<RetentionRule>,
    /// Where lines go before they are retired, also on request: a folder, or the address of an object store.
    pub archive: Option<String>,
}

/// The files of a certificate.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Limits for health, by the age of the oldest event that has not arrived yet.
#[derive(Clone, Copy, Debug)]
pub struct HealthLimits {
    /// Not yet on disk: good up to here, a warning up to ten times that.
    pub durable: Duration,
    /// Not yet in a sink: good up to here, a warning up to ten times that.
    pub delivered: Duration,
}

impl Default for HealthLimits {
    fn default() -> Self {
        HealthLimits { durable: Duration::from_secs(1), delivered: Duration::from_secs(60) }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8410)),
            tls: None,
            allow_plain_http: false,
            open: false,
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            proxy_header: ProxyHeader::default(),
            frame_ancestors: Vec::new(),
            public_tiles: false,
            body_bytes_max: 16 << 20,
            bodies_bytes_max: 256 << 20,
            batch_events_max: 10_000,
            connections_max: 1_024,
            connections_per_address_max: 256,
            requests_per_second: 0,
            searches_max: std::thread::available_parallelism().map_or(2, usize::from).max(2),
            search_timeout: Duration::from_secs(10),
            streams_max: 256,
            request_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(10),
            second_person: SecondPerson::default(),
            personal_keys: PersonalKeysOptions::default(),
            retention: RetentionConfig::default(),
            socket: true,
            health: HealthLimits::default(),
            #[cfg(feature = "postgres")]
            store: None,
            #[cfg(feature = "postgres")]
            outbox: None,
        }
    }
}
