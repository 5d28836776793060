//! The URL of a store. It may hold a password, so no error shows any piece of it, and what is shown of a good one has been
//! told apart from the password first.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

use crate::error::StoreError;

/// How far the server's certificate is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Whatever it says: only listeners are kept out.
    Anyone,
    /// It must come from a known authority.
    Authority,
    /// And be for that host.
    Host,
}

/// Where a store is. Its text, also that for debugging, never shows the password.
#[derive(Clone)]
pub struct StoreUrl {
    pub(crate) config: Config,
    pub(crate) trust: Trust,
    pub(crate) root_certificate: Option<PathBuf>,
    shown: String,
}

impl StoreUrl {
    /// Parses `postgres://USER:PASSWORD@HOST:PORT/DATABASE?OPTIONS`. Several hosts may be given, separated by commas; a host
    /// that begins with a slash is the folder of a Unix socket. The options are those of libpq: `sslmode`, `sslrootcert`,
    /// `host`, `port`, `user`, `password`, `dbname`, `connect_timeout`, `application_name`, `target_session_attrs`, `options`.
    ///
    /// Without `sslmode`, a server on another machine must show a certificate for its name (`verify-full`), and one on this
    /// machine is spoken to without TLS.
    ///
    /// # Errors
    /// When it is no such URL. Nothing of it is in the error.
    pub fn parse(text: &str) -> Result<StoreUrl, StoreError> {
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        let rest = rest.ok_or_else(|| wrong("write postgres://USER:PASSWORD@HOST:PORT/DATABASE"))?;
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        if database.contains(['@', '/', '#']) || authority.contains('#') {
            return Err(wrong(
                "in user, password and database, write '@', '/', '?', '#' and ':' as %40, %2F, %3F, %23 and %3A",
            ));
        }
        let mut parts = Parts::default();
        let hosts = match authority.rsplit_once('@') {
            Some((login, hosts)) => {
                let (user, password) =
                    login.split_once(':').map_or((login, None), |(user, it)| (user, Some(it)));
                parts.user = not_empty(decoded(user)?);
                parts.password = password.map(decoded).transpose()?;
                hosts
            }
            None => authority,
        };
        parts.database = not_empty(decoded(database)?);
        for host in hosts.split(',').filter(|host| !host.is_empty()) {
            parts.add_host(host)?;
        }
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').ok_or_else(unknown_option)?;
            parts.set(&decoded(name)?, decoded(value)?)?;
        }
        parts.finish()
    }

    /// Takes this password, unless the URL has one.
    pub fn set_password(&mut self, password: &str) {
        if self.config.get_password().is_none() {
            self.config.password(password);
        }
    }

    /// The store as it may be shown: no password, no options.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.shown)
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.shown)
    }
}

/// A URL without its password, and the password. `None` if it has none, or is no usable URL.
pub fn split_password(text: &str) -> Option<(String, String)> {
    let parsed = StoreUrl::parse(text).ok()?;
    let password = String::from_utf8(parsed.config.get_password()?.to_vec()).ok()?;
    let (scheme, rest) = text.split_once("://")?;
    let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) =
        rest.split_once('/').map_or((rest, None), |(authority, it)| (authority, Some(it)));
    let (login, hosts) =
        authority.rsplit_once('@').map_or((None, authority), |(login, it)| (Some(login), it));
    let mut bare = format!("{scheme}://");
    if let Some(login) = login {
        bare.push_str(login.split_once(':').map_or(login, |(user, _)| user));
        bare.push('@');
    }
    bare.push_str(hosts);
    if let Some(database) = database {
        bare.push('/');
        bare.push_str(database);
    }
    let is_other = |option: &&str| {
        let name = option.split_once('=').map_or(*option, |(name, _)| name);
        decoded(name).is_ok_and(|name| name != "password")
    };
    let others: Vec<&str> = options.split('&').filter(is_other).collect();
    if !options.is_empty() {
        bare.push('?');
        bare.push_str(&others.join("&"));
    }
    Some((bare, password))
}

#[derive(Default)]
struct Parts {
    user: Option<String>,
    password: Option<String>,
    hosts: Vec<(String, Option<u16>)>,
    /// Of hosts without one of their own.
    port: Option<u16>,
    database: Option<String>,
    ssl_mode: Option<String>,
    root_certificate: Option<PathBuf>,
    connect_timeout: Option<Duration>,
    application_name: Option<String>,
    session: Option<TargetSessionAttrs>,
    options: Option<String>,
}

impl Parts {
    fn add_host(&mut self, text: &str) -> Result<(), StoreError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) =
                    rest.split_once(']').ok_or_else(|| wrong("an IPv6 address ends with ']'"))?;
                (host, rest.strip_prefix(':'))
            }
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(port_of).transpose()?;
        self.hosts.push((decoded(host)?, port));
        Ok(())
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), StoreError> {
        match name {
            "user" => self.user = not_empty(value),
            "password" => self.password = Some(value),
            "dbname" => self.database = not_empty(value),
            "host" => self.hosts.extend(value.split(',').map(|host| (host.to_owned(), None))),
            "port" => self.port = Some(port_of(&value)?),
            "sslmode" => self.ssl_mode = Some(value),
            "sslrootcert" => self.root_certificate = Some(value.into()),
            "connect_timeout" => {
                let seconds = value.parse().map_err(|_| wrong("connect_timeout takes whole seconds"))?;
                self.connect_timeout = Some(Duration::from_secs(seconds));
            }
            "application_name" => self.application_name = not_empty(value),
            "options" => self.options = not_empty(value),
            "target_session_attrs" => {
                self.session = Some(match value.as_str() {
                    "any" => TargetSessionAttrs::Any,
                    "read-write" => TargetSessionAttrs::ReadWrite,
                    "read-only" => TargetSessionAttrs::ReadOnly,
                    _ => return Err(wrong("target_session_attrs is any, read-write or read-only")),
                });
            }
            _ => return Err(unknown_option()),
        }
        Ok(())
    }

    fn finish(self) -> Result<StoreUrl, StoreError> {
        if self.hosts.is_empty() {
            return Err(wrong("it names no host"));
        }
        let user = self.user.ok_or_else(|| wrong("it names no user"))?;
        let database = self.database.unwrap_or_else(|| user.clone());
        let mut config = Config::new();
        config.user(&user).dbname(&database);
        let mut places = Vec::new();
        for (host, port) in &self.hosts {
            let port = port.or(self.port);
            config.host(host).port(port.unwrap_or(5432));
            let is_plain = !host.contains(':');
            let host = if is_plain { host.clone() } else { format!("[{host}]") };
            places.push(port.map_or(host.clone(), |port| format!("{host}:{port}")));
        }
        if let Some(password) = &self.password {
            config.password(password);
        }
        let is_local = self.hosts.iter().all(|(host, _)| is_local(host));
        let (ssl, trust) = tls_of(self.ssl_mode.as_deref(), is_local, self.root_certificate.is_some())?;
        config.ssl_mode(ssl);
        config.application_name(self.application_name.as_deref().unwrap_or("trailseal"));
        config.connect_timeout(self.connect_timeout.unwrap_or(CONNECT_WITHIN));
        let several =
            if self.hosts.len() > 1 { TargetSessionAttrs::ReadWrite } else { TargetSessionAttrs::Any };
        config.target_session_attrs(self.session.unwrap_or(several));
        if let Some(options) = &self.options {
            config.options(options);
        }
        config.tcp_user_timeout(DEAD_WITHIN).keepalives_idle(DEAD_WITHIN / 3);
        config.keepalives_interval(DEAD_WITHIN / 9).keepalives_retries(3);
        let shown = format!("postgres://{user}@{}/{database}", places.join(","));
        Ok(StoreUrl { config, trust, root_certificate: self.root_certificate, shown })
    }
}

/// How long connecting to one host may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// After so long without a sign, the other side counts as gone.
const DEAD_WITHIN: Duration = Duration::from_secs(90);

fn tls_of(mode: Option<&str>, is_local: bool, has_root: bool) -> Result<(SslMode, Trust), StoreError> {
    let mode = mode.unwrap_or(if is_local && !has_root { "disable" } else { "verify-full" });
    Ok(match mode {
        "disable" => (SslMode::Disable, Trust::Anyone),
        "prefer" | "allow" => (SslMode::Prefer, Trust::Anyone),
        // As libpq has it.
        "require" if has_root => (SslMode::Require, Trust::Authority),
        "require" => (SslMode::Require, Trust::Anyone),
        "verify-ca" => (SslMode::Require, Trust::Authority),
        "verify-full" => (SslMode::Require, Trust::Host),
        _ => return Err(wrong("sslmode is disable, prefer, require, verify-ca or verify-full")),
    })
}

fn is_local(host: &str) -> bool {
    host.starts_with('/')
        || host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn port_of(text: &str) -> Result<u16, StoreError> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| {
        wrong("a port is a number up to 65535; in a password, write ':' and '/' as %3A and %2F")
    })
}

fn decoded(text: &str) -> Result<String, StoreError> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| wrong("what it writes with '%' is no UTF-8"))?;
    match decoded.contains('\0') {
        true => Err(wrong("it contains %00")),
        false => Ok(decoded.into_owned()),
    }
}

fn not_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn unknown_option() -> StoreError {
    wrong(
        "an option after '?' is unknown: use sslmode, sslrootcert, connect_timeout, target_session_attrs, application_name, \
         host, port, user, password, dbname or options; in a password, write '?' as %3F",
    )
}

fn wrong(what: &str) -> StoreError {
    StoreError::Url { what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        StoreUrl::parse(text).unwrap().shown().to_owned()
    }

    #[test]
    fn a_good_url_is_shown_without_its_password() {
        for (text, wanted) in [
            ("postgres://me:s3cret@db.example/audit", "postgres://me@db.example/audit"),
            ("postgresql://me:s3cret@[::1]:6432/audit?sslmode=disable", "postgres://me@[::1]:6432/audit"),
            ("postgres://me:s3%2Fcr%40et@one:1,two:2/audit", "postgres://me@one:1,two:2/audit"),
            ("postgres://me:s3c@ret@db.example/audit", "postgres://me@db.example/audit"),
            ("postgres:///audit?host=/run/x&user=me&password=s3cret", "postgres://me@/run/x/audit"),
            ("postgres://me@db", "postgres://me@db/me"),
        ] {
            assert_eq!(shown(text), wanted);
            let url = StoreUrl::parse(text).unwrap();
            assert_eq!(format!("{url:?} {url}"), format!("{wanted} {wanted}"));
        }
    }

    #[test]
    fn a_password_is_told_apart_from_the_rest() {
        let tail = "db:1,two/audit?sslmode=disable&options=-c%20a%3Db";
        for (text, wanted) in [
            (format!("postgres://me:s3%20c@ret@{tail}"), format!("postgres://me@{tail}")),
            (format!("postgres://me@{tail}&password=s3%20c%40ret"), format!("postgres://me@{tail}")),
            (
                format!("postgresql://me:other@{tail}&pass%77ord=s3%20c%40ret"),
                format!("postgresql://me@{tail}"),
            ),
            ("postgres://me:s3%20c%40ret@db".to_owned(), "postgres://me@db".to_owned()),
        ] {
            assert_eq!(split_password(&text), Some((wanted.clone(), "s3 c@ret".to_owned())), "{text}");
            let mut bare = StoreUrl::parse(&wanted).unwrap();
            assert_eq!(bare.config.get_password(), None);
            bare.set_password("s3 c@ret");
            assert_eq!(bare.config, StoreUrl::parse(&text).unwrap().config, "{text}");
        }
        assert_eq!(split_password("postgres://me@db/audit"), None);
        assert_eq!(split_password("nothing of the kind"), None);
    }

    #[test]
    fn no_error_shows_a_piece_of_a_url() {
        for text in [
            "postgres://me:s3cr/et@db/audit",
            "postgres://me:s3cr?et@db/audit",
            "postgres://me:s3cr?et=1@db/audit",
            "postgres://me:12/s3cret@db/audit",
            "postgres://me:s3cr#et@db/audit",
            "postgres://me:s3cret@db:x/audit",
            "postgres://me:s3cret@/audit",
            "postgres://me:s3cret%ff@db/audit",
            "postgres://me:s3cret%00@db/audit",
            "postgres://me:s3cret@db/audit?sslmode=s3cret",
            "postgres://me:s3cret@db/audit?s3cret",
            "postgres://me:s3cret@db/audit?connect_timeout=s3cret",
            "postgres://:s3cret@db/audit",
            "mysql://me:s3cret@db/audit",
            "host=db password=s3cret",
            "s3cret",
        ] {
            let error = StoreUrl::parse(text).unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(!told.contains("s3cr") && !told.contains("et@"), "{text} gave {told}");
        }
    }

    #[test]
    fn another_machine_needs_a_certificate_unless_told_otherwise() {
        for (text, wanted) in [
            ("postgres://me@db", (SslMode::Require, Trust::Host)),
            ("postgres://me@127.0.0.1", (SslMode::Disable, Trust::Anyone)),
            ("postgres://me@127.0.0.1?sslrootcert=/x", (SslMode::Require, Trust::Host)),
            ("postgres://me@127.0.0.1,db", (SslMode::Require, Trust::Host)),
            ("postgres:///?host=/run&user=me", (SslMode::Disable, Trust::Anyone)),
            ("postgres://me@db?sslmode=require", (SslMode::Require, Trust::Anyone)),
            ("postgres://me@db?sslmode=require&sslrootcert=/x", (SslMode::Require, Trust::Authority)),
            ("postgres://me@db?sslmode=disable", (SslMode::Disable, Trust::Anyone)),
        ] {
            let url = StoreUrl::parse(text).unwrap();
            assert_eq!((url.config.get_ssl_mode(), url.trust), wanted, "{text}");
        }
    }
}
