//! The settings `[server]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use trailseal_server::{Config, ProxyHeader, SecondPerson, TlsFiles};

use super::given::{Given, Settings, a_path, milliseconds, size};
use crate::failure::{Failure, Outcome};

impl Settings {
    /// The server's configuration.
    pub(crate) fn server_config(&self) -> Outcome<Config> {
        let mut config = Config::default();
        self.set("server.listen", &mut config.listen, |value| value.parse::<SocketAddr>().ok())?;
        config.tls = self.tls_files()?;
        self.set("server.allow_plain_http", &mut config.allow_plain_http, |value| value.parse().ok())?;
        self.set("server.public_tiles", &mut config.public_tiles, |value| value.parse().ok())?;
        self.set("server.body_bytes_max", &mut config.body_bytes_max, |value| {
            size(value).filter(|bytes| *bytes > 0)?.try_into().ok()
        })?;
        self.set("server.bodies_bytes_max", &mut config.bodies_bytes_max, |value| {
            size(value)?.try_into().ok()
        })?;
        // A body may need room both compressed and decompressed; otherwise it would always be refused.
        if config.bodies_bytes_max / 2 < config.body_bytes_max {
            let least = "server.bodies_bytes_max must be at least twice server.body_bytes_max";
            return Err(Failure::could_not(least));
        }
        self.set("server.batch_events_max", &mut config.batch_events_max, a_count)?;
        self.set("server.connections_max", &mut config.connections_max, a_count)?;
        let per_address = &mut config.connections_per_address_max;
        self.set("server.connections_per_address_max", per_address, a_count)?;
        self.set("server.requests_per_second", &mut config.requests_per_second, |value| value.parse().ok())?;
        self.set("server.searches_max", &mut config.searches_max, a_count)?;
        self.set("server.search_timeout_ms", &mut config.search_timeout, milliseconds)?;
        self.set("server.streams_max", &mut config.streams_max, a_count)?;
        self.set("server.request_timeout_ms", &mut config.request_timeout, milliseconds)?;
        self.set("server.stop_timeout_ms", &mut config.stop_timeout, milliseconds)?;
        let texts = |name: &str| self.lists.get(name).map_or(&[][..], Vec::as_slice);
        for given in texts("server.trusted_proxies") {
            let address = given.value.parse::<std::net::IpAddr>().map(Into::into);
            let net = given.value.parse().or(address).map_err(|_| {
                let (source, value) = (&given.source, &given.value);
                Failure::could_not(format!(
                    "{source}: `server.trusted_proxies`: {value:?} is not a network: use one such as 10.0.0.0/8"
                ))
            })?;
            config.trusted_proxies.push(net);
        }
        for given in texts("server.frame_ancestors") {
            // It becomes part of a header.
            let is_site = given.value.bytes().all(|byte| byte.is_ascii_graphic() && !b";,\"".contains(&byte));
            if !is_site {
                let (source, value) = (&given.source, &given.value);
                return Err(Failure::could_not(format!(
                    "{source}: `server.frame_ancestors`: {value:?} is not a site: use one such as \
                     https://app.example.com"
                )));
            }
            config.frame_ancestors.push(given.value.clone());
        }
        self.set("server.proxy_header", &mut config.proxy_header, ProxyHeader::parse)?;
        config.second_person = self.second_person()?;
        config.retention = self.retention()?;
        config.personal_keys = self.personal_keys()?;
        config.hosts = texts("server.hosts").iter().map(|given| given.value.clone()).collect();
        if let Some(store) = self.own_store()? {
            store.share(&mut config);
        }
        Ok(config)
    }

    /// What needs a second person.
    pub(crate) fn second_person(&self) -> Outcome<SecondPerson> {
        let mut second_person = SecondPerson::default();
        for Given { value, source } in self.lists.get("review.second_person").into_iter().flatten() {
            match value.as_str() {
                "policy" => second_person.policy = true,
                "retention" => second_person.retention = true,
                "erasure" => second_person.erasure = true,
                _ => {
                    return Err(Failure::could_not(format!(
                        "{source}: `review.second_person` cannot be {value:?}: use \"policy\", \"retention\" and \
                         \"erasure\""
                    )));
                }
            }
        }
        Ok(second_person)
    }

    fn tls_files(&self) -> Outcome<Option<TlsFiles>> {
        let path = |name| -> Outcome<Option<PathBuf>> { self.parsed(name, a_path) };
        match (path("server.tls_cert")?, path("server.tls_key")?) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
            (Some(_), None) => Err(Failure::could_not("server.tls_cert also needs server.tls_key")),
            (None, Some(_)) => Err(Failure::could_not("server.tls_key also needs server.tls_cert")),
        }
    }
}

fn a_count(text: &str) -> Option<usize> {
    text.parse().ok().filter(|count| *count > 0)
}
