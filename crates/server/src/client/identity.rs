//! How a connection came in, and who counts as one where something is shared.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// How a connection came in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// From this address.
    Address(IpAddr),
    /// Through the socket in the trail's folder, which only its owner can open.
    Owner,
}

/// Who counts as one client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// The owner of the trail's folder.
    Owner,
    /// Everybody with this token.
    Token(Arc<str>),
    /// Everybody at this address, if no token is needed.
    Address(IpAddr),
}

/// What identifies a client: its address, or in IPv6 its network, since a single machine there has 2^64 addresses.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, expected: &str) {
        let parse = |text: &str| text.parse::<IpAddr>().ok();
        assert_eq!(parse(address).map(network_of), parse(expected), "{address}");
    }

    #[test]
    fn a_client_of_version_6_is_its_network() {
        check("192.0.2.7", "192.0.2.7");
        check("::ffff:192.0.2.7", "192.0.2.7");
        check("2001:db8:0:1:ffff::7", "2001:db8:0:1::");
    }
}
