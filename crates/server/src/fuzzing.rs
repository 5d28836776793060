//! Entry points for the fuzzer to the code that parses foreign bytes. Ordinary builds do not have them.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use trailseal_event::client_address::ProxyHeader;

use crate::config::Config;
pub use crate::record::events_of;

/// The client's address by these headers, of which those are left out that no request can have. The proxies write the
/// header that stands first.
pub fn client_address(peer: IpAddr, headers: &[(&str, &[u8])], trusted: &[IpNet]) -> IpAddr {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    let is_forwarded = headers.first().is_some_and(|(name, _)| *name == "forwarded");
    let proxy_header = if is_forwarded { ProxyHeader::Forwarded } else { ProxyHeader::XForwardedFor };
    let config = Config { trusted_proxies: trusted.to_vec(), proxy_header, ..Config::default() };
    crate::client::client_address(peer, &map, &config)
}
