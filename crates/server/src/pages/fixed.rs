//! Answers that never change.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

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
