//! What the layer was told.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::request::Parts;
use ipnet::IpNet;
use trailseal_event::client_address::ProxyHeader;

use crate::{Actor, Trail};

/// What finds something in a request, if it is there.
pub(super) type Extractor<T> = dyn Fn(&Parts) -> Option<T> + Send + Sync;

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) trail: Trail,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) proxy_header: ProxyHeader,
    pub(super) principal: Option<Arc<Extractor<Actor>>>,
    pub(super) tenant: Option<Arc<Extractor<String>>>,
    pub(super) service: Option<String>,
    pub(super) records_mutations: bool,
}

impl Settings {
    /// The client's address: that of the connection, or the one that a trusted proxy names.
    pub(super) fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let values = headers.get_all(self.proxy_header.name()).iter();
        self.proxy_header.client_address(
            peer,
            values.map(|value| value.to_str().unwrap_or_default()),
            |address| self.trusted_proxies.iter().any(|net| net.contains(address)),
        )
    }
}
