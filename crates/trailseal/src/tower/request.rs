//! What a request says of itself, and what is to be believed of it.

use std::net::{IpAddr, SocketAddr};

use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::complete::EventId;
use trailseal_event::trace_parent::trace_and_span;

use super::settings::Settings;
use crate::{Context, RequestContext, RequestFacts};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The address at the other end of a connection, put into a request's extensions by servers that axum does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

pub(super) fn context(parts: &Parts, settings: &Settings) -> RequestContext {
    let headers = &parts.headers;
    let address = peer(parts).map(|peer| settings.client_address(peer, headers));
    let id = text(headers, &REQUEST_ID);
    let id = id.unwrap_or_else(|| EventId::new(SystemClock.now()).as_str().to_owned());
    let parent = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).and_then(trace_and_span);
    let (trace_id, span_id) = parent.map(|(trace, span)| (trace.to_owned(), span.to_owned())).unzip();
    let mut context = Context::default();
    context.ip = address.map(|address| address.to_string());
    context.user_agent = text(headers, &header::USER_AGENT);
    // Sampling goes by it: what a request does is kept or left out as a whole.
    context.correlation_id = text(headers, &CORRELATION_ID).or_else(|| Some(id.clone()));
    context.request_id = Some(id);
    (context.trace_id, context.span_id) = (trace_id, span_id);
    context.service = settings.service.clone();
    let actor = settings.principal.as_ref().and_then(|principal| principal(parts));
    let tenant = settings.tenant.as_ref().and_then(|tenant| tenant(parts));
    RequestContext::of(RequestFacts { context, actor, tenant })
}

fn peer(parts: &Parts) -> Option<IpAddr> {
    #[cfg(feature = "axum")]
    if let Some(peer) = parts.extensions.get::<axum::extract::ConnectInfo<SocketAddr>>() {
        return Some(peer.0.ip());
    }
    parts.extensions.get::<PeerAddress>().map(|peer| peer.0.ip())
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name).filter(|value| !value.is_empty())?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}
