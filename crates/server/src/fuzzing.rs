//! Doors for the fuzzer to what reads bytes from outside. Ordinary builds do not have them.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

pub use crate::record::events_of;

/// The client's address by these headers, of which those are left out that no request can have.
pub fn client_address(peer: IpAddr, headers: &[(&str, &[u8])], trusted: &[IpNet]) -> IpAddr {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    crate::listen::client_address(peer, &map, trusted)
}
