//! Whether a request to a server that needs no token comes from its own page, or from no page at all.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Uri, header};

use crate::problem::{Kind, Problem};

/// An open server answers everybody who can reach it, so it must not be reachable through a browser that shows another
/// site's page: neither under another name, nor by another site's form or script.
pub(super) fn check(
    hosts: &[String],
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    // A target that names a host takes precedence over the header (RFC 9112, section 3.2.2).
    let host = uri.authority().map(Authority::as_str);
    let host = host.or_else(|| headers.get(header::HOST)?.to_str().ok()).unwrap_or_default();
    let name = host_name(host);
    let is_loopback = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if !is_loopback && !hosts.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Err(Problem::new(
            Kind::OtherHost,
            "an open server answers only to loopback names: add this one to server.hosts",
        ));
    }
    // Other sites may link to pages. But no other site's page may read or record: it could not see the response, but
    // the request costs time and appears in the trail.
    let is_page = method.is_safe() && !["/v1/", "/admin/"].iter().any(|data| uri.path().starts_with(data));
    match is_page || is_own_page(host, headers) {
        true => Ok(()),
        false => Err(Problem::forbidden("an open server refuses requests from pages of other sites")),
    }
}

/// Whether a request comes from a page of this server, according to the browser; or from no page at all: programs do
/// not send these headers.
fn is_own_page(host: &str, headers: &HeaderMap) -> bool {
    let is_own_fetch =
        headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none");
    let is_own_origin = headers.get(header::ORIGIN).is_none_or(|origin| {
        origin.to_str().is_ok_and(|origin| {
            origin.split_once("://").is_some_and(|(_, site)| site.eq_ignore_ascii_case(host))
        })
    });
    (is_own_fetch || cfg!(trailseal_fault = "cross_site_taken")) && is_own_origin
}

/// Whether a `Host` header could name it: a name, or an address.
pub(crate) fn is_host(name: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    name.parse::<IpAddr>().is_ok() || !name.is_empty() && name.bytes().all(is_of_name)
}

/// The name in a `Host` header, without its port.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}
