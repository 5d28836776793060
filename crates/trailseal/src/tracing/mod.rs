//! Connects a trail and tracing: marked events and spans become audit events, and audit events can be shown in tracing.
//!
//! A field `audit.action` marks an event or a span; a span becomes one audit event when it closes. Fields `audit.NAME` are the
//! audit event's own: `audit.actor`, `audit.resource` (`TYPE/ID`, or a number: its id), `audit.outcome`,
//! `audit.tenant`, `audit.context.ip`, and so on. Numbers become text where an event has text. The message is its
//! description; all other fields are its details. Missing fields come from the spans around it, the innermost first: their
//! `audit.…` fields, and those named like a context's, such as `request_id` or `trace_id`. Whatever is then still missing, an
//! event takes from the request that is being handled, and a span from the request in which it was created.

mod fields;
mod mirror;
mod trace_ids;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::context::within;
use crate::{Event, RequestContext, Severity, Trail, Value};
use fields::Fields;

pub use trace_ids::TraceIds;

pub use mirror::mirror;

/// The target of a trail's events in tracing; see [`mirror`].
pub const TARGET: &str = "trailseal::audit";

type FindTraceIds = Arc<dyn Fn() -> Option<TraceIds> + Send + Sync>;

thread_local! {
    /// Whether the ids are being looked for. What is emitted by that is recorded without ids, rather than without end.
    static IS_LOOKING: Cell<bool> = const { Cell::new(false) };
}

/// A layer that records marked events and spans. It never blocks: it does not wait for the policy's level, and the trail counts
/// refused events.
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt as _;
/// use trailseal::{Trail, assert_audited, tracing::RecordLayer};
///
/// let trail = Trail::temporary()?;
/// let subscriber = tracing_subscriber::registry().with(RecordLayer::new(trail.clone()));
/// tracing::subscriber::with_default(subscriber, || {
///     let request = tracing::info_span!("request", request_id = "r1", audit.actor = "u1");
///     let _entered = request.enter();
///     tracing::info!(audit.action = "invoice.approve", audit.resource = "invoice/42", amount = 7, "looks good");
/// });
/// assert_audited!(trail, action = "invoice.approve", actor = "u1", context.request_id = "r1", details.amount = 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RecordLayer {
    trail: Trail,
    trace_ids: Option<FindTraceIds>,
}

impl RecordLayer {
    /// A layer that records into this trail.
    pub fn new(trail: Trail) -> Self {
        RecordLayer { trail, trace_ids: None }
    }

    /// How to find the ids of the current span of a distributed trace. The closure is called for each marked event or span
    /// without a field `trace_id`. It may read the current span and use tracing itself. With OpenTelemetry:
    ///
    /// ```
    /// use opentelemetry::trace::TraceContextExt as _;
    /// # let trail = trailseal::Trail::temporary().unwrap();
    ///
    /// let layer = trailseal::tracing::RecordLayer::new(trail).trace_ids(|| {
    ///     let context = opentelemetry::Context::current();
    ///     let span = context.span().span_context().clone();
    ///     span.is_valid().then(|| trailseal::tracing::TraceIds {
    ///         trace_id: span.trace_id().to_string(),
    ///         span_id: span.span_id().to_string(),
    ///     })
    /// });
    /// ```
    #[must_use]
    pub fn trace_ids(mut self, find: impl Fn() -> Option<TraceIds> + Send + Sync + 'static) -> Self {
        self.trace_ids = Some(Arc::new(find));
        self
    }

    /// The ids of here. No lock of a span may be held: the closure may want the same one.
    fn found_here(&self) -> Option<TraceIds> {
        let find = self.trace_ids.as_ref()?;
        if IS_LOOKING.replace(true) {
            return None;
        }
        let _looking = Looking;
        find()
    }

    fn record(&self, mut fields: Fields, level: &Level, ids: Option<TraceIds>) {
        if let Some(ids) = ids {
            fields.set_ids(ids);
        }
        if fields.get("severity").is_none() {
            fields.set("severity", severity(level).to_string().into());
        }
        // Without an action it is none, and the trail counts it as refused.
        let event = Event::from_value(Value::Object(fields.into_object())).unwrap_or_default();
        drop(self.trail.record_async(event));
    }
}

/// While it lives, the ids are being looked for.
struct Looking;

impl Drop for Looking {
    fn drop(&mut self) {
        IS_LOOKING.set(false);
    }
}

fn severity(level: &Level) -> Severity {
    match *level {
        Level::ERROR => Severity::Error,
        Level::WARN => Severity::Warning,
        Level::INFO => Severity::Info,
        Level::DEBUG | Level::TRACE => Severity::Debug,
    }
}

/// What is kept beside a span.
struct Kept {
    fields: Fields,
    begun: Instant,
    /// Of the distributed trace, as of when it was last entered.
    ids: Option<TraceIds>,
    /// Of the request that it was made in. Its last handle may go while another one is being handled.
    request: Option<RequestContext>,
}

impl<S> Layer<S> for RecordLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let (begun, request) = (Instant::now(), RequestContext::current());
        span.extensions_mut().insert(Kept { fields, begun, ids: None, request });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        // A value may use tracing while it is written out, so that is done before the span is locked.
        let mut said = Fields::default();
        values.record(&mut said);
        if let Some(kept) = span.extensions_mut().get_mut::<Kept>() {
            kept.fields.update(said);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if !span.extensions().get::<Kept>().is_some_and(|kept| kept.fields.is_marked()) {
            return;
        }
        let Some(ids) = self.found_here() else { return };
        if let Some(kept) = span.extensions_mut().get_mut::<Kept>() {
            kept.ids = Some(ids);
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if !fields.is_marked() {
            return;
        }
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(kept) = span.extensions().get::<Kept>() {
                fields.inherit(&kept.fields);
            }
        }
        self.record(fields, event.metadata().level(), self.found_here());
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(kept) = span.extensions_mut().remove::<Kept>().filter(|kept| kept.fields.is_marked()) else {
            return;
        };
        let Kept { mut fields, begun, ids, request } = kept;
        for outer in span.scope().skip(1) {
            if let Some(kept) = outer.extensions().get::<Kept>() {
                fields.inherit(&kept.fields);
            }
        }
        if fields.get("duration_ms").is_none() {
            let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            fields.set("duration_ms", took.into());
        }
        fields.set_detail("span", span.name().into());
        within(request, || self.record(fields, span.metadata().level(), ids));
    }
}
