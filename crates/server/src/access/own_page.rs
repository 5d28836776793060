//! Whether a request to a server that needs no token comes from its own page, or from no page at all.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};

use crate::problem::Problem;

/// An open server answers everybody who reaches it, so it must not be reached through a browser that shows somebody
/// else's page: not under another name, and not by a form or script of another site.
pub(super) fn check(
    hosts: &[String],
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    // A target that names a host counts before the header (RFC 9112, section 3.2.2).
    let host = uri.authority().map(Authority::as_str);
    let host = host.or_else(|| headers.get(header::HOST)?.to_str().ok()).unwrap_or_default();
    let name = host_name(host);
    let is_loopback = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if !is_loopback && !hosts.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "host",
            "an open server answers to loopback names alone: add this one to server.hosts",
        ));
    }
    // Pages may be linked to from elsewhere. What reads or records is asked by nobody else's page: the answer stays hidden
    // from it, but what was asked costs time and stands in the trail.
    let is_page = method.is_safe() && !["/v1/", "/admin/"].iter().any(|data| uri.path().starts_with(data));
    match is_page || is_own_page(host, headers) {
        true => Ok(()),
        false => Err(Problem::forbidden("an open server takes nothing from pages of other sites")),
    }
}

/// Whether a request comes from a page of this server, by what browsers say of it; or from no page at all: programs say
/// nothing.
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

/// The name in a `Host` header, without its port.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}
