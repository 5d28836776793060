//! The layer: no event has another request's context.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::extract::connect_info::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Barrier, Semaphore};
use tower::{Layer as _, Service as _, ServiceExt as _};
use trailseal::tower::AuditLayer;
use trailseal::{Actor, Event, Order, Outcome, Query, RecordedEvent, RequestContext, Trail, in_context};

const SOON: Duration = Duration::from_secs(60);
const REQUESTS: usize = 200;

#[derive(Clone)]
struct App {
    trail: Trail,
    /// All that are under way meet here, so that they are under way at once.
    all_here: Arc<Barrier>,
    /// One permit for each that hangs, and has something to drop.
    hanging: Arc<Semaphore>,
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).unwrap().to_str().unwrap().to_owned()
}

/// An event that says itself whose it is, apart from its context.
fn event(action: &str, user: &str) -> Event {
    Event::new(action).detail("user", user)
}

async fn handle(State(app): State<App>, headers: HeaderMap) -> StatusCode {
    let user = header(&headers, "x-user");
    app.trail.record(event("handler.begin", &user)).unwrap();
    app.all_here.wait().await;
    app.trail.record_async(event("handler.middle", &user)).await.unwrap();
    let spawned = tokio::spawn(in_context({
        let (trail, user) = (app.trail.clone(), user.clone());
        async move {
            tokio::task::yield_now().await;
            trail.record_async(event("task", &user)).await.unwrap();
        }
    }));
    let here = RequestContext::current().unwrap();
    let (trail, of_thread) = (app.trail.clone(), user.clone());
    let thread = tokio::task::spawn_blocking(move || {
        here.enter(|| trail.record(event("thread", &of_thread)).unwrap());
    });
    // One that nobody asked for has no context.
    let (trail, stray) = (app.trail.clone(), user.clone());
    let bare = tokio::spawn(async move { trail.record(event("stray", &stray)).unwrap() });
    spawned.await.unwrap();
    thread.await.unwrap();
    bare.await.unwrap();
    match header(&headers, "x-do").as_str() {
        "panic" => panic!("of the test"),
        "hang" => {
            let _dropped = OnDrop(app.trail.clone(), user);
            app.hanging.add_permits(1);
            std::future::pending().await
        }
        "deny" => StatusCode::FORBIDDEN,
        _ => StatusCode::OK,
    }
}

/// Records when its request is given up.
struct OnDrop(Trail, String);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let _ = self.0.record(event("handler.dropped", &self.1));
    }
}

fn layer(trail: &Trail) -> AuditLayer {
    AuditLayer::new(trail.clone())
        .trusted_proxies(["10.0.0.0/8", "127.0.0.1"])
        .unwrap()
        .principal(|request| {
            let user = request.headers.get("x-user")?.to_str().ok()?.to_owned();
            Some(Actor::new(user))
        })
        .tenant(|request| Some(format!("tenant of {}", request.headers.get("x-user")?.to_str().ok()?)))
        .service("shop")
        .record_mutations()
}

fn ip_of(number: usize) -> String {
    format!("203.0.113.{number}")
}

fn request(number: usize, what: &str) -> Request<Body> {
    let mut request = Request::post(format!("/orders/{number}?token=abc"))
        .header("x-user", format!("u{number}"))
        .header("x-do", what)
        .header("x-request-id", format!("r{number}"))
        .header("x-forwarded-for", ip_of(number))
        .header("user-agent", format!("agent {number}"))
        .header("traceparent", format!("00-{:032x}-{:016x}-01", number + 1, number + 1))
        .body(Body::empty())
        .unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 4711))));
    request
}

fn check(found: &RecordedEvent) {
    let of_event = || found.get("details.user")?.as_str()?.strip_prefix('u')?.parse().ok();
    let of_path = || found.get("details.path")?.as_str()?.strip_prefix("/orders/")?.parse().ok();
    let number: usize = of_event().or_else(of_path).unwrap();
    let context = &found.event.context;
    if found.event.action == "stray" {
        assert_eq!((context, &found.event.actor), (&Default::default(), &None), "a context got out");
        return;
    }
    assert_eq!(found.event.actor.as_ref().unwrap().id.as_deref(), Some(format!("u{number}").as_str()));
    assert_eq!(found.event.tenant, Some(format!("tenant of u{number}")));
    assert_eq!(context.ip, Some(ip_of(number)));
    assert_eq!(context.user_agent, Some(format!("agent {number}")));
    assert_eq!(context.request_id, Some(format!("r{number}")));
    assert_eq!(context.correlation_id, Some(format!("r{number}")));
    assert_eq!(context.trace_id, Some(format!("{:032x}", number + 1)));
    assert_eq!(context.span_id, Some(format!("{:016x}", number + 1)));
    assert_eq!(context.service.as_deref(), Some("shop"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_event_has_another_requests_context() {
    let trail = Trail::temporary().unwrap();
    let hanging = Arc::new(Semaphore::new(0));
    let all_here = Arc::new(Barrier::new(REQUESTS));
    let app = App { trail: trail.clone(), all_here, hanging: hanging.clone() };
    let router = Router::new().route("/orders/{id}", post(handle)).layer(layer(&trail)).with_state(app);
    let what = |number: usize| ["ok", "deny", "panic", "hang"][number % 4];
    let tasks: Vec<_> = (0..REQUESTS)
        .map(|number| tokio::spawn(router.clone().oneshot(request(number, what(number)))))
        .collect();
    // Those that hang are given up when all have come to where they hang.
    let all_hang = hanging.acquire_many(REQUESTS as u32 / 4);
    drop(tokio::time::timeout(SOON, all_hang).await.unwrap().unwrap());
    for (number, task) in tasks.into_iter().enumerate() {
        match what(number) {
            "panic" => assert!(task.await.unwrap_err().is_panic()),
            "hang" => {
                task.abort();
                assert!(task.await.unwrap_err().is_cancelled());
            }
            "deny" => assert_eq!(task.await.unwrap().unwrap().status(), StatusCode::FORBIDDEN),
            _ => assert_eq!(task.await.unwrap().unwrap().status(), StatusCode::OK),
        }
    }
    assert!(RequestContext::current().is_none());

    let all = trail.query(Query::new().limit(usize::MAX)).unwrap().events;
    all.iter().for_each(check);
    let count = |action: &str| all.iter().filter(|found| found.event.action == action).count();
    for action in ["handler.begin", "handler.middle", "task", "thread", "stray", "http.post"] {
        assert_eq!(count(action), REQUESTS, "{action}");
    }
    let mutations = |outcome| {
        let query = Query::new().action("http.post").outcome(outcome).limit(usize::MAX);
        trail.query(query).unwrap().events
    };
    for (outcome, error, status) in [
        (Outcome::Success, None, Some(200)),
        (Outcome::Denied, None, Some(403)),
        (Outcome::Failure, Some("the handler panicked"), None),
        (Outcome::Unknown, Some("the request was given up before it was answered"), None),
    ] {
        let found = mutations(outcome);
        assert_eq!(found.len(), REQUESTS / 4, "{outcome:?}");
        for found in found {
            assert_eq!(found.event.error.as_deref(), error);
            assert_eq!(found.get("details.status").and_then(|status| status.as_u64()), status);
            assert_eq!(found.get("resource.id").unwrap().as_str(), Some("/orders/{id}"));
            assert!(!String::from_utf8_lossy(&found.line).contains("token=abc"));
        }
    }
    // What a handler that never got to its end dropped.
    assert_eq!(count("handler.dropped"), REQUESTS / 4);
}

fn mutations(trail: &Trail) -> Vec<(Option<Outcome>, Option<String>)> {
    let found = trail.query(Query::new().action("http.post")).unwrap().events;
    found.into_iter().map(|found| (found.event.outcome, found.event.error)).collect()
}

#[tokio::test]
async fn a_panic_that_is_caught_outside_the_layer_is_a_failure() {
    let trail = Trail::temporary().unwrap();
    let handler = async || -> StatusCode {
        tokio::task::yield_now().await;
        panic!("of the test")
    };
    let router = Router::new().route("/orders/{id}", post(handler)).layer(layer(&trail));
    let mut handling = Box::pin(router.oneshot(request(1, "")));
    // As CatchPanicLayer does: what panicked is dropped later, when nothing unwinds any more.
    let has_panicked = std::future::poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| handling.as_mut().poll(context))) {
            Ok(polled) => polled.map(|_| false),
            Err(_) => Poll::Ready(true),
        }
    });
    assert!(has_panicked.await);
    let failure = [(Some(Outcome::Failure), Some("the handler panicked".to_owned()))];
    assert_eq!(mutations(&trail), failure);
    drop(handling);
    assert_eq!(mutations(&trail), failure);
}

#[tokio::test]
async fn a_panic_is_a_failure_of_the_request_that_panicked_alone() {
    let trail = Trail::temporary().unwrap();
    let panicking =
        tower::service_fn(|_: Request<Body>| -> std::future::Pending<Result<axum::response::Response, ()>> {
            panic!("of the test")
        });
    let mut service = layer(&trail).layer(panicking);
    catch_unwind(AssertUnwindSafe(|| drop(service.call(request(1, ""))))).unwrap_err();
    assert_eq!(mutations(&trail), [(Some(Outcome::Failure), Some("the handler panicked".to_owned()))]);

    let trail = Trail::temporary().unwrap();
    let waiting =
        tower::service_fn(|_: Request<Body>| std::future::pending::<Result<axum::response::Response, ()>>());
    let handling = layer(&trail).layer(waiting).call(request(1, ""));
    catch_unwind(AssertUnwindSafe(move || {
        let _handling = handling;
        panic!("of somebody else")
    }))
    .unwrap_err();
    let given_up = "the request was given up before it was answered";
    assert_eq!(mutations(&trail), [(Some(Outcome::Unknown), Some(given_up.to_owned()))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_socket_the_peer_is_known_and_reading_is_no_mutation() {
    let trail = Trail::temporary().unwrap();
    let recording = trail.clone();
    let handler = async move || {
        // An authentication behind the layer says who it is.
        let actor = Actor::new("late");
        RequestContext::current().unwrap().change(|facts| facts.actor = Some(actor));
        recording.record(Event::new("report.read")).unwrap();
    };
    let router =
        Router::new().route("/", get(handler)).layer(AuditLayer::new(trail.clone()).record_mutations());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, service).await });
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let sent = b"GET / HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 1.2.3.4\r\nconnection: close\r\n\r\n";
    stream.write_all(sent).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.abort();

    let all = trail.query(Query::new().order(Order::OldestRecorded)).unwrap().events;
    assert_eq!(all.len(), 1);
    let found = &all[0].event;
    assert_eq!(found.context.ip.as_deref(), Some("127.0.0.1"), "a proxy that nobody trusts was believed");
    assert_eq!(found.actor.as_ref().unwrap().id.as_deref(), Some("late"));
    assert_eq!(
        found.context.request_id.as_deref().map(str::len),
        Some(36),
        "an id is made where none was sent"
    );
}
