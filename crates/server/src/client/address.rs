//! The client's address, as the server's settings say.

use std::net::IpAddr;

use axum::http::HeaderMap;

use crate::config::Config;

/// The client's address: that of the connection, or the one that a trusted proxy names.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, config: &Config) -> IpAddr {
    let values = headers.get_all(config.proxy_header.name()).iter();
    config.proxy_header.client_address(
        peer,
        values.map(|value| value.to_str().unwrap_or_default()),
        |address| config.trusted_proxies.iter().any(|net| net.contains(address)),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_header_and_the_proxies_of_the_settings_count() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "198.51.100.7".parse().unwrap());
        headers.append("x-forwarded-for", "10.0.0.2".parse().unwrap());
        headers.append("forwarded", "for=1.2.3.4".parse().unwrap());
        let found = |peer: &str, header: &str| {
            let proxy_header = trailseal_event::client_address::ProxyHeader::parse(header).unwrap();
            let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
            let config = Config { trusted_proxies, proxy_header, ..Config::default() };
            client_address(peer.parse().unwrap(), &headers, &config).to_string()
        };
        assert_eq!(found("10.0.0.1", "X-Forwarded-For"), "198.51.100.7");
        assert_eq!(found("10.0.0.1", "Forwarded"), "1.2.3.4");
        assert_eq!(found("203.0.113.9", "X-Forwarded-For"), "203.0.113.9");
        headers.append("x-forwarded-for", axum::http::HeaderValue::from_bytes(b"\xff").unwrap());
        let config = Config { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..Config::default() };
        let address = client_address("10.0.0.1".parse().unwrap(), &headers, &config);
        assert_eq!(address.to_string(), "10.0.0.1", "a value that is no text ends the walk");
    }
}
