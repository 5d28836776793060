//! Between a trail and tracing.
#![allow(clippy::unwrap_used)]

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use trailseal::tracing::{RecordLayer, TARGET, TraceIds, mirror};
use trailseal::{Event, Outcome, Query, RequestContext, Severity, Trail, assert_audited};

const SOON: Duration = Duration::from_secs(60);

/// Fails, rather than hangs, when the work does not end.
fn in_time(work: impl FnOnce() + Send + 'static) {
    let (sender, done) = channel();
    let worker = std::thread::spawn(move || {
        work();
        let _ = sender.send(());
    });
    assert_ne!(done.recv_timeout(SOON), Err(RecvTimeoutError::Timeout), "it hangs");
    worker.join().unwrap();
}

#[test]
fn only_what_is_marked_is_recorded_with_what_the_spans_around_it_say() {
    let trail = Trail::temporary().unwrap();
    let subscriber = tracing_subscriber::registry().with(RecordLayer::new(trail.clone()));
    tracing::subscriber::with_default(subscriber, || {
        let request = tracing::info_span!(
            "request",
            request_id = "r1",
            ip = "203.0.113.7",
            audit.tenant = "acme",
            audit.actor = tracing::field::Empty
        );
        let _request = request.enter();
        tracing::info!("nothing to see");
        request.record("audit.actor", "u1");
        {
            let work = tracing::info_span!(
                "work",
                audit.action = "report.make",
                audit.outcome = tracing::field::Empty,
                pages = 3
            );
            let _work = work.enter();
            tracing::warn!(
                audit.action = "invoice.approve",
                audit.resource = "invoice/42",
                audit.context.ip = "198.51.100.1",
                audit.outcome = "denied",
                amount = 7,
                password = "hunter2",
                "over the limit"
            );
            work.record("audit.outcome", "success");
        }
    });
    assert_eq!(trail.count(Query::new()).unwrap(), 2);
    let event = assert_audited!(
        trail,
        action = "invoice.approve",
        resource = "invoice/42",
        actor = "u1",
        tenant = "acme",
        outcome = Outcome::Denied,
        severity = Severity::Warning,
        context.request_id = "r1",
        context.ip = "198.51.100.1",
        details.amount = 7,
        details.password = "***",
        description = "over the limit"
    );
    assert!(event.event.extra.is_empty() && event.event.invalid.is_empty(), "{event:?}");
    let span = assert_audited!(
        trail,
        action = "report.make",
        outcome = Outcome::Success,
        actor = "u1",
        context.request_id = "r1",
        details.pages = 3,
        details.span = "work"
    );
    assert!(span.event.duration_ms.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_at_once_keep_their_spans_apart() {
    let trail = Trail::temporary().unwrap();
    let subscriber = tracing_subscriber::registry().with(RecordLayer::new(trail.clone()));
    let dispatch = tracing::Dispatch::new(subscriber);
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let dispatch = dispatch.clone();
            let span = tracing::dispatcher::with_default(&dispatch, || {
                tracing::info_span!("request", audit.actor = format!("u{number}"))
            });
            let work = async move {
                for _ in 0..5 {
                    tokio::task::yield_now().await;
                    tracing::dispatcher::with_default(&dispatch, || {
                        tracing::info!(audit.action = "step", number);
                    });
                }
            };
            tokio::spawn(work.instrument(span))
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let found = trail.query(Query::new().limit(usize::MAX)).unwrap().events;
    assert_eq!(found.len(), 250);
    for event in found {
        let number = event.get("details.number").unwrap().as_i64().unwrap();
        assert_eq!(event.get("actor.id").unwrap().as_str(), Some(format!("u{number}").as_str()));
    }
}

#[test]
fn the_ids_of_opentelemetry_are_carried() {
    let trail = Trail::temporary().unwrap();
    let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
    let ids = || {
        let span = opentelemetry::Context::current().span().span_context().clone();
        span.is_valid()
            .then(|| TraceIds { trace_id: span.trace_id().to_string(), span_id: span.span_id().to_string() })
    };
    let subscriber = tracing_subscriber::registry()
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")))
        .with(RecordLayer::new(trail.clone()).trace_ids(ids));
    let told = tracing::subscriber::with_default(subscriber, || {
        let span = tracing::info_span!("request", audit.action = "request.handle");
        let _entered = span.enter();
        tracing::info!(audit.action = "invoice.approve");
        ids().unwrap()
    });
    for action in ["invoice.approve", "request.handle"] {
        let trace_id = told.trace_id.as_str();
        assert_audited!(
            trail,
            action = action,
            context.trace_id = trace_id,
            context.span_id = told.span_id.as_str()
        );
    }
}

#[test]
fn the_ids_may_be_asked_of_the_current_span() {
    in_time(|| {
        let trail = Trail::temporary().unwrap();
        let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
        let ids = || {
            let span = tracing::Span::current().context().span().span_context().clone();
            span.is_valid().then(|| TraceIds {
                trace_id: span.trace_id().to_string(),
                span_id: span.span_id().to_string(),
            })
        };
        let subscriber = tracing_subscriber::registry()
            .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")))
            .with(RecordLayer::new(trail.clone()).trace_ids(ids));
        let told = tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("request", audit.action = "request.handle");
            let _entered = span.enter();
            ids().unwrap()
        });
        let (trace_id, span_id) = (told.trace_id.as_str(), told.span_id.as_str());
        assert_audited!(
            trail,
            action = "request.handle",
            context.trace_id = trace_id,
            context.span_id = span_id
        );
    });
}

#[test]
fn who_looks_for_the_ids_may_use_tracing() {
    in_time(|| {
        let trail = Trail::temporary().unwrap();
        let ids = || {
            tracing::info!(audit.action = "ids.find", "looking for the ids");
            Some(TraceIds { trace_id: "1".repeat(32), span_id: "2".repeat(16) })
        };
        let layer = RecordLayer::new(trail.clone()).trace_ids(ids);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span = tracing::info_span!("request", audit.action = "request.handle", audit.actor = "u1");
            let _entered = span.enter();
        });
        assert_audited!(trail, action = "ids.find", actor = "u1");
        let trace_id = "1".repeat(32);
        assert_audited!(trail, action = "request.handle", context.trace_id = trace_id.as_str());
        assert_eq!(trail.count(Query::new()).unwrap(), 2);
    });
}

#[test]
fn a_value_that_is_told_to_a_span_may_use_tracing() {
    struct Chatty;
    impl std::fmt::Debug for Chatty {
        fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            tracing::info!(audit.action = "value.write");
            out.write_str("u1")
        }
    }
    in_time(|| {
        let trail = Trail::temporary().unwrap();
        let layer = RecordLayer::new(trail.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span = tracing::info_span!(
                "request",
                audit.action = "request.handle",
                audit.tenant = "acme",
                audit.actor = tracing::field::Empty
            );
            let _entered = span.enter();
            span.record("audit.actor", tracing::field::debug(Chatty));
        });
        assert_audited!(trail, action = "value.write", tenant = "acme");
        assert_audited!(trail, action = "request.handle", tenant = "acme", actor = "u1");
    });
}

#[test]
fn a_span_is_recorded_in_the_context_that_it_was_made_in() {
    let trail = Trail::temporary().unwrap();
    let (first, second) = (RequestContext::new(), RequestContext::new());
    first.change(|facts| facts.context.request_id = Some("r1".into()));
    second.change(|facts| {
        facts.context.request_id = Some("r2".into());
        facts.context.ip = Some("203.0.113.2".into());
    });
    let layer = RecordLayer::new(trail.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        let of_first = first.enter(|| tracing::info_span!("work", audit.action = "of.first"));
        let of_none = tracing::info_span!("work", audit.action = "of.none");
        // Their last handles go while another request is being handled.
        second.enter(|| drop((of_first, of_none)));
        second.enter(|| tracing::info!(audit.action = "of.second"));
    });
    let context = |action: &str| {
        let found = trail.query(Query::new().action(action)).unwrap().events.remove(0).event.context;
        (found.request_id, found.ip)
    };
    assert_eq!(context("of.first"), (Some("r1".into()), None));
    assert_eq!(context("of.none"), (None, None));
    assert_eq!(context("of.second"), (Some("r2".into()), Some("203.0.113.2".into())));
}

#[test]
fn numbers_are_taken_where_an_event_has_texts() {
    let trail = Trail::temporary().unwrap();
    let layer = RecordLayer::new(trail.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        tracing::info!(
            audit.action = "invoice.approve",
            audit.actor = 7,
            audit.resource = 42_u64,
            audit.resource.type = "invoice",
            audit.tenant = -3,
            audit.id = 99,
            audit.error = false,
            audit.context.session_id = 1.5,
            audit.context.shard = 4,
            request_id = 12,
            amount = 1200
        );
        tracing::info!(audit.action = 5, audit.actor.id = 8, audit.actor.name = true);
    });
    let found = assert_audited!(
        trail,
        action = "invoice.approve",
        actor = "7",
        resource = "invoice/42",
        tenant = "-3",
        context.session_id = "1.5",
        context.request_id = "12",
        context.shard = 4,
        details.amount = 1200
    );
    assert_eq!((found.event.id.as_deref(), found.event.error.as_deref()), (Some("99"), Some("false")));
    assert!(found.event.extra.is_empty() && found.event.invalid.is_empty(), "{found:?}");
    let found = assert_audited!(trail, action = "5", actor = "8");
    assert_eq!(found.event.actor.as_ref().unwrap().name.as_deref(), Some("true"));
    assert!(found.event.invalid.is_empty(), "{found:?}");
}

#[test]
fn a_mark_without_an_action_is_counted_as_refused() {
    let trail = Trail::temporary().unwrap();
    let layer = RecordLayer::new(trail.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        tracing::info!(audit.action = "");
        drop(tracing::info_span!("work", audit.action = ""));
        tracing::info!(audit.action = "invoice.approve");
    });
    assert_eq!(trail.count(Query::new()).unwrap(), 1);
    assert_eq!(trail.stats().counted.refused, 2);
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl<S: tracing::Subscriber> Layer<S> for Seen {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        if event.metadata().target() == TARGET {
            let mut text = Text(event.metadata().level().to_string());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
    }
}

#[test]
fn what_is_recorded_is_seen_masked_and_not_recorded_again() {
    let trail = Trail::temporary().unwrap();
    trail.record(Event::new("before")).unwrap();
    let seen = Seen::default();
    let subscriber = tracing_subscriber::registry().with(RecordLayer::new(trail.clone())).with(seen.clone());
    tracing::subscriber::with_default(subscriber, || mirror(&trail)).unwrap();
    let event =
        Event::new("user.login").actor("u1").severity(Severity::Warning).detail("password", "hunter2");
    trail.record(event).unwrap();
    let deadline = Instant::now() + SOON;
    while seen.0.lock().unwrap().is_empty() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
    trail.close(SOON).unwrap();
    let seen = seen.0.lock().unwrap();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].starts_with("WARN") && seen[0].contains("action=\"user.login\""), "{seen:?}");
    assert!(!seen[0].contains("hunter2"), "{seen:?}");
    assert_eq!(trail.count(Query::new()).unwrap(), 2);
}
