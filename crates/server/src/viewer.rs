//! The viewer: a page and its files, compiled into the program. They contain no data, so they need no token.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use crate::app::Shared;
use crate::problem::Problem;

const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/viewer.rs"));

/// The same, ready to be sent.
static PAGES: LazyLock<Vec<(&str, FixedPage)>> = LazyLock::new(|| {
    let one = |(name, bytes): &(&'static str, &'static [u8])| {
        (*name, FixedPage::new(content_type(name), Bytes::from_static(bytes)))
    };
    FILES.iter().map(one).collect()
});

/// A response that never changes while the program runs. A request that needs no token must cost no more than this.
pub(crate) struct FixedPage {
    content_type: HeaderValue,
    bytes: Bytes,
    tag: HeaderValue,
}

impl FixedPage {
    pub(crate) fn new(content_type: &'static str, bytes: Bytes) -> FixedPage {
        let tag: String = Sha256::digest(&bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let tag = HeaderValue::try_from(format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        FixedPage { content_type: HeaderValue::from_static(content_type), bytes, tag }
    }

    /// 304 for a client that already has it.
    pub(crate) fn answer(&self, headers: &HeaderMap) -> Response {
        let mut response = match self.is_known(headers) {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => {
                ([(header::CONTENT_TYPE, self.content_type.clone())], self.bytes.clone()).into_response()
            }
        };
        let headers = response.headers_mut();
        // Revalidated each time, so that a newer program's page never runs with an older one's files.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::ETAG, self.tag.clone());
        response
    }

    fn is_known(&self, headers: &HeaderMap) -> bool {
        let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|known| known.to_str().ok());
        let mut tags = known.flat_map(|known| known.split(',')).map(str::trim);
        // Proxies that compress a response make its tag a weak one.
        tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == self.tag.as_bytes())
    }
}

/// Only scripts from this server run, and no other server is contacted.
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

/// `GET /docs`: the API reference, for people.
pub(crate) async fn docs(State(app): State<Shared>, headers: HeaderMap) -> Response {
    static PAGE: LazyLock<FixedPage> =
        LazyLock::new(|| FixedPage::new("text/html; charset=utf-8", crate::openapi::page().into()));
    let mut response = PAGE.answer(&headers);
    protect(&app, &mut response);
    response
}

fn file(app: &Shared, name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let Some((_, page)) = PAGES.iter().find(|(known, _)| *known == name) else {
        return Err(Problem::not_found("there is no such file"));
    };
    let mut response = page.answer(headers);
    protect(app, &mut response);
    Ok(response)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, end)| end) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
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
