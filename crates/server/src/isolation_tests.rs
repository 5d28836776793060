//! Nobody sees or changes another tenant's events: every route of the table is asked with the token of one tenant for
//! what is another's, so a route that is added is covered by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_core::{Ack, Options, Trail};
use trailseal_event::Event;

use crate::access::{NewToken, Scope, Tokens};
use crate::client::Peer;
use crate::config::Config;
use crate::routes::{App, router, table};
use crate::stopping::Stopping;

/// Stands in every event of the other tenant, and in nothing else.
const MARK: &str = "of-the-other-tenant";

struct Place {
    app: App,
    router: Router,
    _stop: tokio::sync::watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.handoff.size_bytes = 1 << 20;
        let trail = Trail::open(folder.path(), options).unwrap();
        for (tenant, id) in [("own", "own-1"), (MARK, "other-1"), (MARK, "other-2")] {
            let event = Event::new("invoice.read").id(id).tenant(tenant).actor("u1").resource("invoice", "7");
            trail.with(Ack::Durable).record(&event.detail("of", tenant)).unwrap();
        }
        let tokens = Tokens::load(folder.path()).unwrap();
        let (stop, stopping) = Stopping::new();
        let app = App::new(trail, folder.path().to_owned(), Config::default(), tokens, stopping);
        Place { router: router(app.clone()), app, _stop: stop, _folder: folder }
    }

    fn token(&self, name: &str, scopes: &[Scope], tenant: Option<&str>) -> String {
        let tenant = tenant.map(str::to_owned);
        let new = NewToken { name: name.into(), scopes: scopes.to_vec(), tenant, expires: None };
        self.app.tokens.create(new, SystemClock.now(), |_| Ok(())).unwrap()
    }

    async fn ask(
        &self,
        method: &Method,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        request.extensions_mut().insert(Peer::Address([127, 0, 0, 1].into()));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        // A stream has no end; what it begins with is enough.
        let body = response.into_body();
        let bytes = match path.contains("stream") {
            true => {
                let mut body = body;
                let mut bytes = Vec::new();
                while let Ok(Some(Ok(frame))) =
                    tokio::time::timeout(Duration::from_millis(300), body.frame()).await
                {
                    bytes.extend_from_slice(frame.data_ref().unwrap());
                }
                bytes
            }
            false => body.collect().await.unwrap().to_bytes().to_vec(),
        };
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Ways to ask a route for what is another tenant's.
fn attempts(path: &str) -> Vec<String> {
    let filled = path.replace("{type}", "invoice").replace("{name}", "admin");
    let mut paths = Vec::new();
    for id in ["other-1", "2", "7"] {
        let path = filled.replace("{id}", id).replace("{*path}", "000.p/3");
        paths.extend(["", "?tenant=", "?tenant=own", "?origin=x"].map(|query| {
            let query = if query == "?tenant=" { format!("?tenant={MARK}") } else { query.to_owned() };
            format!("{path}{query}")
        }));
    }
    paths
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_shows_another_tenants_events() {
    let place = Place::new();
    let token = place.token("own", &Scope::ALL, Some("own"));
    let (mut answered, mut seen_own) = (0, 0);
    for route in table().into_iter().map(|row| row.route) {
        for path in attempts(route.path) {
            let body =
                format!(r#"{{"event":"other-1","tenant":"{MARK}","action":"x","decision":"approved"}}"#);
            let (status, text) = place.ask(&route.method, &path, Some(&token), &body).await;
            assert!(!text.contains("\"of\":\"of-the-other"), "{} {path}: {status} {text}", route.method);
            assert!(!text.contains("other-2"), "{} {path}: {status} {text}", route.method);
            assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{} {path}: {text}", route.method);
            answered += 1;
            seen_own += u32::from(text.contains("own-1"));
        }
    }
    assert!(answered > 300 && seen_own > 0, "{answered} answers, {seen_own} with events of its own");
    let (status, text) = place.ask(&Method::GET, "/v1/events?count=true", Some(&token), "").await;
    assert_eq!((status, &*text), (StatusCode::OK, r#"{"count":1}"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_with_data_answers_without_a_token() {
    let place = Place::new();
    let open = ["/", "/assets/{name}", "/docs", "/openapi.json", "/healthz", "/readyz"];
    for route in table().iter().map(|row| &row.route).filter(|route| !open.contains(&route.path)) {
        let path = route.path.replace("{id}", "own-1").replace("{*path}", "000.p/1");
        let (status, _) = place.ask(&route.method, &path, None, "{}").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{} {path}", route.method);
        let (status, _) =
            place.ask(&route.method, &path, Some("tsl_AAAAAAAAAAAAAAAAAAAAAAAAAAAA"), "{}").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{} {path}", route.method);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_scope_does_what_it_says_and_no_more() {
    let place = Place::new();
    let writer = place.token("writer", &[Scope::Write], None);
    let reader = place.token("reader", &[Scope::Read], None);
    let cases = [
        (&writer, Method::POST, "/v1/events", r#"{"action":"x"}"#, StatusCode::ACCEPTED),
        (&writer, Method::GET, "/v1/events", "", StatusCode::FORBIDDEN),
        (&writer, Method::GET, "/v1/events/own-1", "", StatusCode::FORBIDDEN),
        (&writer, Method::GET, "/metrics", "", StatusCode::FORBIDDEN),
        (&reader, Method::GET, "/v1/events", "", StatusCode::OK),
        (&reader, Method::POST, "/v1/events", r#"{"action":"x"}"#, StatusCode::FORBIDDEN),
        (&reader, Method::POST, "/v1/tokens", r#"{"name":"x","scopes":["admin"]}"#, StatusCode::FORBIDDEN),
        (&reader, Method::PUT, "/v1/policy", "mode = \"off\"", StatusCode::FORBIDDEN),
        (&reader, Method::GET, "/v1/reviews", "", StatusCode::FORBIDDEN),
    ];
    for (token, method, path, body, expected) in cases {
        let (status, text) = place.ask(&method, path, Some(token), body).await;
        assert_eq!(status, expected, "{method} {path}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_token_writes_for_its_tenant_alone() {
    let place = Place::new();
    let token = place.token("own", &[Scope::Write, Scope::Read], Some("own"));
    let post = |body: &'static str| place.ask(&Method::POST, "/v1/events?ack=durable", Some(&token), body);
    let (status, text) = post(r#"{"action":"mine","id":"m1"}"#).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{text}");
    let (status, text) =
        post(r#"[{"action":"mine"},{"action":"theirs","tenant":"of-the-other-tenant"}]"#).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{text}");
    assert!(text.contains("\"item\":1"), "{text}");
    // An id of the other tenant is not taken, and that it exists is not told.
    let (status, text) = post(r#"{"action":"mine","id":"other-1"}"#).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{text}");
    let (_, text) = place.ask(&Method::GET, "/v1/events?action=mine", Some(&token), "").await;
    assert_eq!(text.matches("\"tenant\":\"own\"").count(), 2, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token() {
    let place = Place::new();
    let token = place.token("follower", &[Scope::Read], None);
    let mut request = Request::builder()
        .uri("/v1/events/stream")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::empty())
        .unwrap();
    request.extensions_mut().insert(Peer::Address([127, 0, 0, 1].into()));
    let mut body = place.router.clone().oneshot(request).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok(), "it begins");
    place.app.tokens.revoke("follower").unwrap();
    let ended = async { while body.frame().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the stream goes on without its token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_a_reason_is_shown_to_nobody() {
    let place = Place::new();
    let token = place.token("all", &Scope::ALL, None);
    let ask = |method: Method, path: &'static str, body: String| {
        let (place, token) = (&place, &token);
        async move { place.ask(&method, path, Some(token), &body).await }
    };
    let body = r#"{"event":"own-1","reason":"password=hunter2hunter2"}"#.to_owned();
    assert_eq!(ask(Method::POST, "/v1/reviews", body).await.0, StatusCode::CREATED);
    let (_, text) = ask(Method::GET, "/v1/reviews", String::new()).await;
    assert!(text.contains("password=***") && !text.contains("hunter2"), "{text}");
    let long = format!(r#"{{"event":"own-1","reason":"{}"}}"#, "x".repeat(5_000));
    assert_eq!(ask(Method::POST, "/v1/reviews", long).await.0, StatusCode::UNPROCESSABLE_ENTITY);
}
