//! The viewer: a page and its files, in the program itself. There is no data in them, so they need no token.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use crate::app::Shared;
use crate::problem::Problem;

const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/viewer.rs"));

/// Only what this server itself sends runs, and nothing is asked of others.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'";

/// `GET /`.
pub(crate) async fn page(State(app): State<Shared>, headers: HeaderMap) -> Result<Response, Problem> {
    file(&app, "index.html", &headers)
}

/// `GET /assets/{name}`.
pub(crate) async fn asset(
    State(app): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    file(&app, &name, &headers)
}

/// `GET /docs`: the reference of the interface, for people.
pub(crate) async fn docs(State(app): State<Shared>) -> Response {
    let page = crate::openapi::page();
    let mut response = ([(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))], page)
        .into_response();
    protect(&app, &mut response);
    response
}

fn file(app: &Shared, name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let Some((_, bytes)) = FILES.iter().find(|(known, _)| *known == name) else {
        return Err(Problem::not_found("there is no such file"));
    };
    let content_type = match name.rsplit_once('.').map_or("", |(_, end)| end) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let tag: String = Sha256::digest(bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{tag}\"");
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], *bytes).into_response(),
    };
    // Asked again each time, so that a newer program's page is never run with an older one's files.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    protect(app, &mut response);
    Ok(response)
}

fn protect(app: &Shared, response: &mut Response) {
    let ancestors = match app.config.frame_ancestors.as_slice() {
        [] => "'none'".to_owned(),
        sites => sites.join(" "),
    };
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(format!("{POLICY}; frame-ancestors {ancestors}")) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers
        .insert("permissions-policy", HeaderValue::from_static("camera=(), geolocation=(), microphone=()"));
}
