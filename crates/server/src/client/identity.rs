//! How a connection came in, and who counts as one where something is shared.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// How a connection came in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// From this address.
    Address(IpAddr),
    /// By the socket in the trail's folder, which only its owner can open.
    Owner,
}

/// Who is counted as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// Whoever owns the trail's folder.
    Owner,
    /// All who have this token.
    Token(Arc<str>),
    /// All of this address, where no token is needed.
    Address(IpAddr),
}

/// What stands for a client: its address, in version 6 its network, since a single machine there has 2^64 addresses.
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
