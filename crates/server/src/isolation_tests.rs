//! Nobody sees or changes another tenant's events, and nobody without the scope sees personal values: every route of the
//! table is asked with the token of one tenant for what is another's, and without the scope, so a route that is added is
//! covered by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_core::{Ack, Options, RecordOptions, Trail};
use trailseal_event::policy::Policy;
use trailseal_event::{Event, Object};

use crate::access::{Caller, NewToken, Scope, Tokens};
use crate::client::Peer;
use crate::config::Config;
use crate::routes::{App, Takes, router, table};
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
        Place::with("", |event| event)
    }

    /// With a policy, and in each event what `change` adds.
    fn with(policy: &str, change: impl Fn(Event) -> Event) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.handoff.size_bytes = 1 << 20;
        options.policy = Policy::from_toml(policy).unwrap();
        let trail = Trail::open(folder.path(), options).unwrap();
        for (tenant, id) in [("own", "own-1"), (MARK, "other-1"), (MARK, "other-2")] {
            let event = Event::new("invoice.read").id(id).tenant(tenant).actor("u1").resource("invoice", "7");
            let patient = RecordOptions::from(Ack::Durable).timeout(Duration::from_secs(60));
            trail.with(patient).record(&change(event.detail("of", tenant))).unwrap();
        }
        let tokens = Tokens::load(folder.path(), None).unwrap();
        let (stop, stopping) = Stopping::new();
        let app = App::new(trail, folder.path().to_owned(), Config::default(), None, tokens, stopping);
        Place { router: router(app.clone()), app, _stop: stop, _folder: folder }
    }

    fn token(&self, name: &str, scopes: &[Scope], tenant: Option<&str>) -> String {
        let tenant = tenant.map(str::to_owned);
        let new = NewToken { name: name.into(), scopes: scopes.to_vec(), tenant, expires: None };
        self.app.tokens.create(&self.app.trail, &Caller::owner(), new, SystemClock.now()).unwrap()
    }

    async fn ask(
        &self,
        method: &Method,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> (StatusCode, String) {
        self.ask_for("*/*", method, path, token, body).await
    }

    /// The same, for an answer of this type.
    async fn ask_for(
        &self,
        accept: &str,
        method: &Method,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT, accept);
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
                // On a busy machine, even the beginning may take a while.
                let mut patience = Duration::from_secs(60);
                while let Ok(Some(Ok(frame))) = tokio::time::timeout(patience, body.frame()).await {
                    bytes.extend_from_slice(frame.data_ref().unwrap());
                    patience = Duration::from_millis(300);
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

/// Stands in every personal value, and in nothing else.
const PLAIN: &str = "plain-of-ann";

fn with_personal_values() -> Place {
    let rule = "[[personal]]\nfields = [\"actor.name\", \"resource.name\", \"context.ip\", \"details.mail\", \
                \"before.mail\", \"after.mail\"]\nsubject = \"actor.id\"\n";
    let searchable =
        "[[personal]]\nfield = \"context.session_id\"\nsubject = \"actor.id\"\nsearchable = true\n";
    let state = |state: &str| {
        let mut mail = Object::default();
        mail.insert("mail", format!("{PLAIN}-{state}"));
        mail
    };
    Place::with(&format!("{rule}{searchable}"), move |mut event| {
        event.context.session_id = Some(PLAIN.to_owned());
        let mut event = event.actor_name(PLAIN).detail("mail", PLAIN).ip(PLAIN);
        if let Some(resource) = &mut event.resource {
            resource.name = Some(PLAIN.to_owned());
        }
        event.before = Some(state("before").into());
        event.after = Some(state("after").into());
        event
    })
}

/// What is asked of each route besides: by the plain value, in other forms, at a page's end.
const BESIDES: [&str; 4] =
    ["?text=plain-of-ann", "?session_id=plain-of-ann", "?actor=plain-of-ann", "?limit=1&order=asc"];
const TYPES: [&str; 3] = ["application/json", "text/csv", "application/x-ndjson"];

#[tokio::test(flavor = "multi_thread")]
async fn no_route_shows_personal_values_without_the_scope() {
    let place = with_personal_values();
    let scopes = Scope::USUAL;
    let reader = place.token("reader", &[Scope::Read, Scope::Personal], None);
    let (status, viewer) = place.ask(&Method::POST, "/v1/viewer-tokens", Some(&reader), "{}").await;
    assert_eq!(status, StatusCode::CREATED, "{viewer}");
    let viewer: serde_json::Value = serde_json::from_str(&viewer).unwrap();
    let others = [
        place.token("all", &scopes, None),
        place.token("own", &scopes, Some("own")),
        viewer["token"].as_str().unwrap().to_owned(),
    ];
    let (mut answered, mut masked, mut seen) = (0, 0, Vec::new());
    for route in table().into_iter().map(|row| row.route) {
        let id = if route.path.contains("{type}") { "7" } else { "own-1" };
        let own = attempts(&route.path.replace("{id}", id));
        let besides = BESIDES.map(|query| format!("{}{query}", own[0]));
        // What follows a stream is waited for.
        let (paths, types) = if route.takes == Takes::Stream { (2, 1) } else { (4, TYPES.len()) };
        for path in own[..paths].iter().chain(&besides[..paths]) {
            for accept in TYPES.into_iter().take(types) {
                let body = r#"{"event":"own-1","action":"x","decision":"approved"}"#;
                for token in &others {
                    let (status, text) = place.ask_for(accept, &route.method, path, Some(token), body).await;
                    let text = text.replace(path, "");
                    assert!(!text.contains(PLAIN), "{} {path}: {status} {text}", route.method);
                    answered += 1;
                    masked += u32::from(text.contains("erasable"));
                }
                if route.method == Method::GET {
                    let (_, text) = place.ask_for(accept, &route.method, path, Some(&reader), body).await;
                    if text.contains(PLAIN) {
                        seen.push(format!("{} {accept}", route.path));
                    }
                }
            }
        }
    }
    seen.sort();
    seen.dedup();
    assert!(answered > 1_000 && masked > 20, "{answered} answers, {masked} with something to see");
    // With the scope they are shown wherever events are, and in no count.
    let expected = ["/v1/events", "/v1/resources/{type}/{id}/history"]
        .map(|path| TYPES.map(|accept| format!("{path} {accept}")));
    for expected in expected.iter().flatten() {
        assert!(seen.contains(expected), "{expected} is not among {seen:?}");
    }
    for shown in &seen {
        let is_shown = ["/v1/events ", "/v1/events/{id} ", "/v1/events/stream ", "/v1/resources/"];
        assert!(is_shown.iter().any(|path| shown.starts_with(path)), "{shown} shows a personal value");
    }
    // Once erased, nobody sees them.
    let trail = place.app.trail.clone();
    tokio::task::spawn_blocking(move || trail.erase("u1")).await.unwrap().unwrap();
    for path in ["/v1/events", "/v1/events/own-1", "/v1/events/stream", "/v1/resources/invoice/7/history"] {
        for accept in TYPES {
            let (_, text) = place.ask_for(accept, &Method::GET, path, Some(&reader), "").await;
            assert!(!text.contains(PLAIN), "{path}: {text}");
            assert!(text.contains("erased") || path.contains("stream"), "{path}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_personal_value_is_never_called_unchanged() {
    let place = with_personal_values();
    let reader = place.token("reader", &[Scope::Read, Scope::Personal], None);
    let other = place.token("other", &[Scope::Read], None);
    let ask = |token: String, tag: Option<String>| {
        let mut request = Request::builder().uri("/v1/events/own-1");
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        if let Some(tag) = tag {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer::Address([127, 0, 0, 1].into()));
        place.router.clone().oneshot(request)
    };
    let hidden = ask(other.clone(), None).await.unwrap();
    let tag = hidden.headers()[header::ETAG].to_str().unwrap().to_owned();
    assert_eq!(ask(other, Some(tag.clone())).await.unwrap().status(), StatusCode::NOT_MODIFIED);
    let plain = ask(reader.clone(), Some(tag)).await.unwrap();
    assert_eq!(plain.status(), StatusCode::OK);
    assert!(!plain.headers().contains_key(header::ETAG), "{:?}", plain.headers());
    assert_eq!(plain.headers()[header::CACHE_CONTROL], "no-store");
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
    place.app.tokens.revoke(&place.app.trail, &Caller::owner(), "follower").unwrap();
    let ended = async { while body.frame().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the stream goes on without its token");
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
