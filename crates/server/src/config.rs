//! How a server is set up.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

/// How a server is set up. `Config::default()` listens on loopback only.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where it listens. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificate chain and key, in PEM; read again when the files change.
    pub tls: Option<TlsFiles>,
    /// Listens on an address that others can reach without TLS.
    pub allow_plain_http: bool,
    /// Needs no token. Answers only requests whose `Host` is loopback or in `hosts`.
    pub open: bool,
    /// Names under which an open server may be asked.
    pub hosts: Vec<String>,
    /// Proxies that are believed when they say whose request it is.
    pub trusted_proxies: Vec<IpNet>,
    /// Where they say it. What stands in another header is the client's own word.
    pub proxy_header: ProxyHeader,
    /// Sites that may show the viewer in a frame, such as `https://app.example.com`.
    pub frame_ancestors: Vec<String>,
    /// Whether checkpoints and hash tiles need no token.
    pub public_tiles: bool,
    /// The most bytes of a request's body, also after unpacking.
    pub body_bytes_max: usize,
    /// The most bytes of the bodies of all requests at a time, not counting the first 64 KiB of each.
    pub bodies_bytes_max: usize,
    /// The most events in one request.
    pub batch_events_max: usize,
    /// The most connections at a time; fewer where the limit of open files has no room for so many.
    pub connections_max: usize,
    /// The most connections of one client address at a time; trusted proxies are not counted.
    pub connections_per_address_max: usize,
    /// Requests a second that one client address may make, on average; 0 for any number.
    pub requests_per_second: u32,
    /// How long a client may take for the head of a request, and for its body.
    pub request_timeout: Duration,
    /// How long a stop waits for requests that are under way.
    pub stop_timeout: Duration,
    /// What needs two.
    pub second_person: SecondPerson,
    /// Whether to listen on a socket in the trail's folder, too.
    pub socket: bool,
    /// The policy of the settings, which `PUT /v1/policy` replaces and SIGHUP returns to, is told from this.
    pub health: HealthLimits,
}

/// What one person asks for and another one approves, in the review queue.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SecondPerson {
    /// To weaken the policy.
    pub policy: bool,
}

/// The header in which trusted proxies name the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded`, RFC 7239.
    Forwarded,
}

impl ProxyHeader {
    /// The header of this name, in whatever case.
    pub fn parse(name: &str) -> Option<ProxyHeader> {
        match name {
            _ if name.eq_ignore_ascii_case("x-forwarded-for") => Some(ProxyHeader::XForwardedFor),
            _ if name.eq_ignore_ascii_case("forwarded") => Some(ProxyHeader::Forwarded),
            _ => None,
        }
    }
}

/// The files of a certificate.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// From when on the server calls itself slow, by the age of the oldest event that is not yet somewhere.
#[derive(Clone, Copy, Debug)]
pub struct HealthLimits {
    /// Not yet on disk: up to here it is good, up to ten times as long a warning.
    pub durable: Duration,
    /// Not yet in a sink: up to here it is good, up to ten times as long a warning.
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
            request_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(10),
            second_person: SecondPerson::default(),
            socket: true,
            health: HealthLimits::default(),
        }
    }
}
