//! What a request says of itself in its headers. Neutral to frameworks.

use std::borrow::Cow;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::complete::EventId;
use trailseal_event::trace_parent::trace_and_span;

/// A header is cut by the core; what is longer than any event is not even decoded.
const TEXT_BYTES_MAX: usize = 65_536;

/// What is read of a request's headers: of each the first value.
#[derive(Default)]
struct Sent {
    user_agent: Option<String>,
    request_id: Option<String>,
    correlation_id: Option<String>,
    traceparent: Option<String>,
}

impl Sent {
    fn read(headers: &Bound<'_, PyAny>) -> PyResult<Sent> {
        let mut sent = Sent::default();
        for pair in headers.try_iter()? {
            let pair = pair?;
            let (name, value) = (pair.get_item(0)?, pair.get_item(1)?);
            let Ok(name) = name.cast::<PyBytes>() else { continue };
            let place = match name.as_bytes() {
                b"user-agent" => &mut sent.user_agent,
                b"x-request-id" => &mut sent.request_id,
                b"x-correlation-id" => &mut sent.correlation_id,
                b"traceparent" => &mut sent.traceparent,
                _ => continue,
            };
            if place.is_none() {
                let value = value.cast::<PyBytes>()?.as_bytes();
                let value = &value[..value.len().min(TEXT_BYTES_MAX)];
                *place = Some(String::from_utf8_lossy(value).into_owned());
            }
        }
        Ok(sent)
    }
}

/// The fields of the context of a request with these headers, whose names are in lower case.
pub(crate) fn context_fields(
    headers: &Bound<'_, PyAny>,
    ip: Option<&str>,
    service: Option<&str>,
    mut add: impl FnMut(&'static str, Cow<'_, str>),
) -> PyResult<()> {
    let sent = Sent::read(headers)?;
    let told = |text: Option<String>| text.filter(|text| !text.is_empty());
    let id = told(sent.request_id).unwrap_or_else(|| EventId::new(SystemClock.now()).as_str().to_owned());
    if let Some(service) = service {
        add("service", service.into());
    }
    if let Some(ip) = ip {
        add("ip", ip.into());
    }
    if let Some(agent) = told(sent.user_agent) {
        add("user_agent", agent.into());
    }
    // Sampling goes by it: what a request does is kept or left out as a whole.
    let correlation = told(sent.correlation_id).unwrap_or_else(|| id.clone());
    add("request_id", id.into());
    add("correlation_id", correlation.into());
    if let Some((trace, span)) = sent.traceparent.as_deref().and_then(trace_and_span) {
        add("trace_id", trace.into());
        add("span_id", span.into());
    }
    Ok(())
}
