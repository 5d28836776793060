//! The client's address: that of the connection, or the one that a trusted proxy names.
//!
//! What must hold: nothing that a client sends makes a request fail here, or gives it an address that no trusted proxy
//! has seen. A proxy writes one header and passes the others on as the client sent them, so only that one is read.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, header};
use ipnet::IpNet;

use crate::config::{Config, ProxyHeader};

/// The client's address. Walks from the nearest proxy outwards and stops at the first address that is not a trusted
/// proxy's, or at the first text that is not an address.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, config: &Config) -> IpAddr {
    walk(peer, headers, &config.trusted_proxies, config.proxy_header)
}

fn walk(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet], written: ProxyHeader) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut address = peer.to_canonical();
    if !is_trusted(&address) {
        return address;
    }
    let hops = match written {
        ProxyHeader::XForwardedFor => x_forwarded_for(headers),
        ProxyHeader::Forwarded => forwarded(headers),
    };
    for hop in hops.into_iter().rev() {
        let Some(hop) = hop else { break };
        address = hop.to_canonical();
        if !is_trusted(&address) {
            break;
        }
    }
    address
}

/// RFC 7239: `for` of each element.
fn forwarded(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let texts = headers.get_all(header::FORWARDED).iter().map(|value| value.to_str().unwrap_or_default());
    let mut hops = Vec::new();
    for element in texts.flat_map(|text| text.split(',')) {
        let node = element.split(';').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
        });
        hops.push(node.and_then(address_of));
    }
    hops
}

fn x_forwarded_for(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let texts = headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or_default());
    texts.flat_map(|text| text.split(',')).map(|hop| address_of(hop.trim())).collect()
}

/// An address with or without a port. IPv6 with a port, and in `Forwarded` always, is in brackets.
fn address_of(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn check(written: ProxyHeader, peer: &str, headers: &[(&'static str, &str)], expected: &str) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let found = walk(peer.parse().unwrap(), &map, &trusted, written);
        assert_eq!(found.to_string(), expected, "{headers:?}");
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let check =
            |peer, headers: &[_], expected| check(ProxyHeader::XForwardedFor, peer, headers, expected);
        check("203.0.113.9", &[("x-forwarded-for", "198.51.100.1")], "203.0.113.9");
        check("10.0.0.1", &[("x-forwarded-for", "198.51.100.1")], "198.51.100.1");
        check("10.0.0.1", &[("x-forwarded-for", "1.1.1.1, 198.51.100.1, 10.0.0.2")], "198.51.100.1");
        check("10.0.0.1", &[("x-forwarded-for", "198.51.100.1:4711")], "198.51.100.1");
        check("::ffff:10.0.0.1", &[("x-forwarded-for", "198.51.100.1")], "198.51.100.1");
        check("10.0.0.1", &[("x-forwarded-for", "198.51.100.1, <script>")], "10.0.0.1");
        check("10.0.0.1", &[("x-forwarded-for", "")], "10.0.0.1");
        check("10.0.0.1", &[], "10.0.0.1");
    }

    #[test]
    fn the_header_that_the_proxy_does_not_write_is_the_clients_word() {
        let both = [("forwarded", "for=1.2.3.4"), ("x-forwarded-for", "198.51.100.7")];
        check(ProxyHeader::XForwardedFor, "10.0.0.1", &both, "198.51.100.7");
        check(ProxyHeader::Forwarded, "10.0.0.1", &both, "1.2.3.4");
        check(ProxyHeader::XForwardedFor, "10.0.0.1", &both[..1], "10.0.0.1");
        check(ProxyHeader::XForwardedFor, "10.0.0.1", &[("forwarded", "x"), both[1]], "198.51.100.7");
        check(ProxyHeader::Forwarded, "10.0.0.1", &both[1..], "10.0.0.1");
        let port = [("forwarded", "for=\"[2001:db8::1]:80\";proto=https")];
        check(ProxyHeader::Forwarded, "::1", &port, "2001:db8::1");
        check(ProxyHeader::Forwarded, "10.0.0.1", &[("forwarded", "for=unknown")], "10.0.0.1");
    }
}
