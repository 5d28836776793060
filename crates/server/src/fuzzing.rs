//! Entry points for the fuzzer to the code that parses foreign bytes. Ordinary builds do not have them.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

pub use crate::record::events_of;

/// The client's address from these headers; headers that no request can have are left out.
pub fn client_address(peer: IpAddr, headers: &[(&str, &[u8])], trusted: &[IpNet]) -> IpAddr {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    crate::listen::client_address(peer, &map, trusted)
}
