//! What browsers are told to keep a page from.

use axum::http::{HeaderValue, header};
use axum::response::Response;

use crate::config::Config;

/// Only scripts from this server run, and no other server is contacted.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'";

/// The headers that protect a page.
pub(crate) struct Protection {
    policy: Option<HeaderValue>,
}

impl Protection {
    pub(crate) fn new(config: &Config) -> Protection {
        let ancestors = match config.frame_ancestors.as_slice() {
            [] => "'none'".to_owned(),
            sites => sites.join(" "),
        };
        Protection { policy: HeaderValue::try_from(format!("{POLICY}; frame-ancestors {ancestors}")).ok() }
    }

    pub(crate) fn put_on(&self, response: &mut Response) {
        let headers = response.headers_mut();
        if let Some(policy) = &self.policy {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
        }
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
        headers.insert(
            "permissions-policy",
            HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
        );
    }
}
