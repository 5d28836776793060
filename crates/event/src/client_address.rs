//! The client's address: that of the connection, or the one that a trusted proxy names.
//!
//! What must hold: nothing that a client sends makes a request fail here, or gives it an address that no trusted proxy
//! has seen. A proxy writes one header and passes the others on as the client sent them, so only that one is read.

use std::net::{IpAddr, SocketAddr};

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
    /// The header with this name, case-insensitively.
    pub fn parse(name: &str) -> Option<ProxyHeader> {
        [ProxyHeader::XForwardedFor, ProxyHeader::Forwarded]
            .into_iter()
            .find(|header| header.name().eq_ignore_ascii_case(name))
    }

    /// The header's name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            ProxyHeader::XForwardedFor => "x-forwarded-for",
            ProxyHeader::Forwarded => "forwarded",
        }
    }

    /// The client's address, by the connection's and by the values of this header in the order in which they came; a value
    /// that is no text is an empty one. Walks from the nearest proxy outwards and stops at the first address that is not a
    /// trusted proxy's, or at the first text that is not an address.
    pub fn client_address<'a>(
        self,
        peer: IpAddr,
        values: impl Iterator<Item = &'a str>,
        is_trusted: impl Fn(&IpAddr) -> bool,
    ) -> IpAddr {
        let mut address = peer.to_canonical();
        if !is_trusted(&address) {
            return address;
        }
        let elements = values.flat_map(|value| value.split(','));
        let hops: Vec<Option<IpAddr>> = match self {
            ProxyHeader::XForwardedFor => elements.map(|hop| address_of(hop.trim())).collect(),
            ProxyHeader::Forwarded => elements.map(|element| node(element).and_then(address_of)).collect(),
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
}

/// RFC 7239: `for` of an element.
fn node(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
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

    fn check(written: ProxyHeader, peer: &str, headers: &[(&str, &str)], expected: &str) {
        let values = headers.iter().filter(|(name, _)| *name == written.name()).map(|(_, value)| *value);
        let is_trusted = |address: &IpAddr| match address {
            IpAddr::V4(address) => address.octets()[0] == 10,
            IpAddr::V6(address) => address.is_loopback(),
        };
        let found = written.client_address(peer.parse().unwrap(), values, is_trusted);
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
        check("10.0.0.1", &[("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "")], "10.0.0.1");
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

    #[test]
    fn names_are_parsed_in_any_case() {
        assert_eq!(ProxyHeader::parse("X-Forwarded-For"), Some(ProxyHeader::XForwardedFor));
        assert_eq!(ProxyHeader::parse("forwarded"), Some(ProxyHeader::Forwarded));
        assert_eq!(ProxyHeader::parse("via"), None);
    }
}
