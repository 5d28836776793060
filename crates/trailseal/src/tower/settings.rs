//! What the layer was told.

use std::sync::Arc;

use http::request::Parts;
use ipnet::IpNet;

use super::client_address::ProxyHeader;
use crate::{Actor, RequestContext, Trail};

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
    pub(super) fn context(&self) -> RequestContext {
        let request = RequestContext::new();
        request.change(|facts| facts.context.service.clone_from(&self.service));
        request
    }
}
