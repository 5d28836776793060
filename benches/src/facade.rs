//! What the crate `trailseal` adds to an application: its layer to an axum endpoint, its logger to a call.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::serve::ListenerExt;
use hdrhistogram::Histogram;
use trailseal::tower::AuditLayer;
use trailseal::{
    Actor, AuditEvent, AuditEventType, AuditLogger, AuditResult, Event, Options, Outcome, ResourceType, Trail,
};
use trailseal_benches_report::names;

use crate::load;
use crate::server::{endpoint_flat_out, endpoint_paced};

/// Bare and with the layer, one after the other, so many times.
const PAIRS: usize = 9;
const TIME: Duration = Duration::from_secs(3);

/// Requests a second and their p99 at half of the bare endpoint's rate: pairs, of which the medians count.
pub fn layer(dir: &Path) {
    let (mut rates, mut p99s) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let bare = endpoint_flat_out(dir, names::ENDPOINT_BARE, TIME);
        let layered = endpoint_flat_out(dir, names::ENDPOINT_LAYERED, TIME);
        rates.push((layered / bare, bare, layered));
        let half = (bare / 2.0) as u64;
        let bare = endpoint_paced(dir, names::ENDPOINT_BARE, half, TIME);
        let layered = endpoint_paced(dir, names::ENDPOINT_LAYERED, half, TIME);
        p99s.push((layered / bare, bare, layered));
    }
    let (share, bare, layered) = median(rates);
    let (p99_of_bare, bare_p99, layered_p99) = median(p99s);
    load::print(
        names::LAYER,
        &[
            ("pairs", PAIRS as f64),
            ("bare_requests_per_second", bare),
            ("requests_per_second", layered),
            ("share", share),
            ("bare_p99_ns", bare_p99),
            ("p99_ns", layered_p99),
            ("p99_of_bare", p99_of_bare),
        ],
    );
}

/// The pair in the middle, by its ratio.
fn median(mut pairs: Vec<(f64, f64, f64)>) -> (f64, f64, f64) {
    pairs.sort_by(|one, other| one.0.total_cmp(&other.0));
    pairs[pairs.len() / 2]
}

/// The endpoint of both: it parses what it is sent. Answers until it is killed.
pub fn serve(dir: &Path, kind: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let router = match kind {
        names::ENDPOINT_BARE => Router::new().route("/v1/events", post(approve)),
        _ => layered(dir),
    };
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("listening on http://{}\ntsl_none", listener.local_addr().expect("an address"));
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let service = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
        axum::serve(listener, service).await.expect("serves");
    });
}

fn layered(dir: &Path) -> Router {
    let folder = dir.join("layered");
    let _ = std::fs::remove_dir_all(&folder);
    let trail = Trail::open(&folder).expect("the folder is new");
    let layer = AuditLayer::new(trail.clone())
        .trusted_proxies(["127.0.0.1"])
        .expect("an address")
        // As what authenticates would say it.
        .principal(|request| {
            let token = request.headers.get("authorization")?.to_str().ok()?.to_owned();
            Some(Actor::new(token))
        });
    Router::new().route("/v1/events", post(approve_recorded)).layer(layer).with_state(trail)
}

const ANSWER: &str = r#"{"accepted":1}"#;

fn invoice(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(value["resource"]["id"].as_str()?.to_owned())
}

async fn approve(body: Bytes) -> Result<&'static str, StatusCode> {
    let invoice = invoice(&body).ok_or(StatusCode::BAD_REQUEST)?;
    std::hint::black_box(invoice);
    Ok(ANSWER)
}

async fn approve_recorded(State(trail): State<Trail>, body: Bytes) -> Result<&'static str, StatusCode> {
    let invoice = invoice(&body).ok_or(StatusCode::BAD_REQUEST)?;
    let event = Event::new("invoice.approve").resource("invoice", invoice).outcome(Outcome::Success);
    trail.record_async(event).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(ANSWER)
}

const LOG_RATE: u64 = 20_000;
const LOG_BLOCK: Duration = Duration::from_secs(1);

/// `AuditLogger::log_event` beside `Trail::record` of the same event, in turns.
pub fn log_event(dir: &Path) {
    let folder = dir.join("log-event");
    let _ = std::fs::remove_dir_all(&folder);
    let trail = Trail::open_with(&folder, Options::default()).expect("the folder is new");
    let logger = AuditLogger::over(trail.clone());
    let (mut logged, mut recorded) = (load::histogram(), load::histogram());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for _ in 0..PAIRS {
        runtime.block_on(logging(&logger, &mut logged));
        recording(&trail, &mut recorded);
    }
    trail.close(Duration::from_secs(60)).expect("it closes");
    let p50 = |histogram: &Histogram<u64>| histogram.value_at_quantile(0.5) as f64;
    load::print(
        names::LOG_EVENT,
        &[
            ("p50_ns", p50(&logged)),
            ("record_p50_ns", p50(&recorded)),
            ("of_record", p50(&logged) / p50(&recorded)),
            ("p99_ns", logged.value_at_quantile(0.99) as f64),
            ("record_p99_ns", recorded.value_at_quantile(0.99) as f64),
        ],
    );
}

async fn logging(logger: &AuditLogger, histogram: &mut Histogram<u64>) {
    let mut pace = Pace::new();
    while let Some(number) = pace.next() {
        let event = audit_event(number);
        let at = Instant::now();
        logger.log_event(event).await.expect("it is recorded");
        let _ = histogram.record(at.elapsed().as_nanos() as u64);
    }
}

fn recording(trail: &Trail, histogram: &mut Histogram<u64>) {
    let mut pace = Pace::new();
    while let Some(number) = pace.next() {
        let event = Event::from(audit_event(number));
        let at = Instant::now();
        trail.record(event).expect("it is recorded");
        let _ = histogram.record(at.elapsed().as_nanos() as u64);
    }
}

/// Waits for the time of each call; calls that are late are not made up for.
struct Pace {
    begun: Instant,
    due: Instant,
    number: u64,
}

impl Pace {
    fn new() -> Pace {
        let now = Instant::now();
        Pace { begun: now, due: now, number: 0 }
    }

    fn next(&mut self) -> Option<u64> {
        while Instant::now() < self.due {
            std::hint::spin_loop();
        }
        self.due = (self.due + Duration::from_nanos(1_000_000_000 / LOG_RATE)).max(Instant::now());
        self.number += 1;
        (self.begun.elapsed() < LOG_BLOCK).then_some(self.number)
    }
}

fn audit_event(number: u64) -> AuditEvent {
    let mut event = AuditEvent::new(
        AuditEventType::WorkflowExecution,
        "Workflow executed",
        ResourceType::Workflow,
        format!("workflow-{number}"),
        AuditResult::Success,
    )
    .with_user_id(format!("user-{}", number % 5000))
    .with_tenant("tenant-42")
    .with_ip_address("203.0.113.17")
    .with_user_agent("billing-web/4.2")
    .with_request_id("req-7f3a9c2e11d04b55")
    .with_details(serde_json::json!({"channel": "web", "attempt": 1, "steps": 12}))
    .with_duration(Duration::from_millis(12));
    event.timestamp = SystemTime::now();
    event
}
