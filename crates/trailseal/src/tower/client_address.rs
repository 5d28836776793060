//! The client's address: that of the connection, or the one that a trusted proxy names.
//!
//! What must hold: nothing that a client sends makes a request fail here, or gives it an address that no trusted proxy
//! has seen. A proxy writes one header and passes the others on as the client sent them, so only that one is read.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, header};
use ipnet::IpNet;

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

/// The client's address. Walks from the nearest proxy outwards and stops at the first address that is not a trusted
/// proxy's, or at the first text that is not an address.
pub(super) fn client_address(
    peer: IpAddr,
    headers: &HeaderMap,
    trusted: &[IpNet],
    written: ProxyHeader,
) -> IpAddr {
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

    #[test]
    fn only_the_header_that_a_trusted_proxy_writes_is_believed() {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let found = |written, peer: &str, sent: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                headers.append(*name, value.parse().unwrap());
            }
            client_address(peer.parse().unwrap(), &headers, &trusted, written).to_string()
        };
        let (usual, other) = (ProxyHeader::XForwardedFor, ProxyHeader::Forwarded);
        let sent = "x-forwarded-for";
        assert_eq!(found(usual, "203.0.113.9", &[(sent, "198.51.100.1")]), "203.0.113.9");
        assert_eq!(found(usual, "10.0.0.1", &[(sent, "1.1.1.1, 198.51.100.1, 10.0.0.2")]), "198.51.100.1");
        assert_eq!(found(usual, "::ffff:10.0.0.1", &[(sent, "198.51.100.1:80")]), "198.51.100.1");
        assert_eq!(found(usual, "10.0.0.1", &[(sent, "198.51.100.1, <script>")]), "10.0.0.1");
        let both = [("forwarded", "for=\"[2001:db8::1]:80\""), (sent, "198.51.100.7")];
        assert_eq!(found(usual, "10.0.0.1", &both), "198.51.100.7");
        assert_eq!(found(other, "::1", &both), "2001:db8::1");
    }
}
