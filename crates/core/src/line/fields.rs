//! The fields of an event as JSON, in their fixed order. This is the hot path: constant key fragments, no
//! allocation but the output's own.

use super::SYSTEM;
use crate::complete::Stamp;
use crate::event::{
    Actor, Category, Context, Event, Object, OnBehalfOf, Out, Outcome, Resource, Severity, Truncation, Value,
    write_changes, write_escaped, write_key, write_number, write_text, write_value,
};

/// Writes everything after the front. False if the derived changes are not complete.
pub(super) fn write(event: &Event, stamp: &Stamp, truncated: &[Truncation], out: &mut Out) -> bool {
    if stamp.system {
        out.extend_from_slice(SYSTEM);
    }
    head(event, stamp, out);
    parties(event, out);
    let complete = states(event, out);
    details(&event.details, out);
    context(&event.context, out);
    tail(event, stamp, truncated, out);
    complete
}

/// Writes an event as a client would send it: without anything that the trail fills in or derives.
pub(crate) fn write_sent(event: &Event, out: &mut Out) {
    let start = out.len();
    text(b",\"id\":\"", event.id.as_deref(), out);
    if let Some(time) = event.time {
        out.extend_from_slice(b",\"time\":\"");
        out.extend_from_slice(&time.to_text());
        out.push(b'"');
    }
    kind(event, out);
    parties(event, out);
    value(b",\"before\":", event.before.as_ref(), out);
    value(b",\"after\":", event.after.as_ref(), out);
    value(b",\"changes\":", event.changes.as_ref(), out);
    details(&event.details, out);
    context(&event.context, out);
    measures(event, out);
    end_object(start, &event.extra, out);
}

/// From `id` to `error`.
fn head(event: &Event, stamp: &Stamp, out: &mut Out) {
    out.extend_from_slice(b"\"id\":\"");
    match stamp.id.made() {
        Some(id) => out.extend_from_slice(id),
        None => write_escaped(stamp.id.as_str().as_bytes(), out),
    }
    out.extend_from_slice(b"\",\"time\":\"");
    out.extend_from_slice(&event.time.unwrap_or(stamp.now).to_text());
    out.push(b'"');
    kind(event, out);
}

/// From `tenant` to `error`.
#[inline(always)]
fn kind(event: &Event, out: &mut Out) {
    text(b",\"tenant\":\"", event.tenant.as_deref(), out);
    out.extend_from_slice(b",\"category\":\"");
    out.extend_from_slice(event.category.prefix().as_bytes());
    if let Category::Custom(custom) = &event.category {
        write_escaped(custom.as_bytes(), out);
    }
    out.text_between(b"\",\"action\":\"", event.action.as_bytes(), b"\"");
    text(b",\"description\":\"", event.description.as_deref(), out);
    severity(event.severity, out);
    outcome(event.outcome, out);
    text(b",\"error\":\"", event.error.as_deref(), out);
}

fn severity(severity: Severity, out: &mut Out) {
    out.extend_from_slice(match severity {
        Severity::Debug => b",\"severity\":\"debug\"".as_slice(),
        Severity::Info => b",\"severity\":\"info\"",
        Severity::Notice => b",\"severity\":\"notice\"",
        Severity::Warning => b",\"severity\":\"warning\"",
        Severity::Error => b",\"severity\":\"error\"",
        Severity::Critical => b",\"severity\":\"critical\"",
    });
}

fn outcome(outcome: Outcome, out: &mut Out) {
    out.extend_from_slice(match outcome {
        Outcome::Success => b",\"outcome\":\"success\"".as_slice(),
        Outcome::Failure => b",\"outcome\":\"failure\"",
        Outcome::Denied => b",\"outcome\":\"denied\"",
        Outcome::Partial => b",\"outcome\":\"partial\"",
        Outcome::Unknown => b",\"outcome\":\"unknown\"",
    });
}

/// From `actor` to `related`.
#[inline(always)]
fn parties(event: &Event, out: &mut Out) {
    if let Some(actor) = &event.actor {
        out.extend_from_slice(b",\"actor\":");
        write_actor(actor, out);
    }
    if let Some(other) = &event.on_behalf_of {
        out.extend_from_slice(b",\"on_behalf_of\":");
        write_on_behalf_of(other, out);
    }
    if let Some(resource) = &event.resource {
        out.extend_from_slice(b",\"resource\":");
        write_resource(resource, out);
    }
    if !event.related.is_empty() {
        out.extend_from_slice(b",\"related\":");
        list(&event.related, out, write_resource);
    }
}

/// `before`, `after` and `changes`. False if the derived changes are not complete.
fn states(event: &Event, out: &mut Out) -> bool {
    value(b",\"before\":", event.before.as_ref(), out);
    value(b",\"after\":", event.after.as_ref(), out);
    match (&event.changes, &event.before, &event.after) {
        (Some(changes), _, _) => value(b",\"changes\":", Some(changes), out),
        (None, Some(Value::Object(before)), Some(Value::Object(after))) => {
            out.extend_from_slice(b",\"changes\":");
            return write_changes(before, after, out);
        }
        _ => {}
    }
    true
}

#[inline(always)]
fn details(details: &Object, out: &mut Out) {
    if !details.is_empty() {
        out.extend_from_slice(b",\"details\":{");
        members(details, false, out);
        out.push(b'}');
    }
}

/// `duration_ms` and `approval`.
#[inline(always)]
fn measures(event: &Event, out: &mut Out) {
    if let Some(duration) = &event.duration_ms {
        out.extend_from_slice(b",\"duration_ms\":");
        write_number(duration, out);
    }
    value(b",\"approval\":", event.approval.as_ref(), out);
}

/// From `duration_ms` to the end.
fn tail(event: &Event, stamp: &Stamp, truncated: &[Truncation], out: &mut Out) {
    measures(event, out);
    text(b",\"recorded_by\":\"", stamp.recorded_by.as_deref(), out);
    paths(b",\"masked\":", &stamp.masked, out);
    if !truncated.is_empty() {
        out.extend_from_slice(b",\"truncated\":");
        list(truncated, out, write_truncation);
    }
    if let Some(rate) = stamp.sample_rate {
        write_sample_rate(rate, out);
    }
    paths(b",\"invalid\":", &event.invalid, out);
    if !event.extra.is_empty() {
        members(&event.extra, true, out);
    }
    out.push(b'}');
}

/// The share of events like this one that is kept.
pub(crate) fn write_sample_rate(rate: f64, out: &mut Out) {
    value(b",\"sample_rate\":", Some(&Value::from(rate)), out);
}

fn write_actor(actor: &Actor, out: &mut Out) {
    let start = out.len();
    text(b",\"id\":\"", actor.id.as_deref(), out);
    text(b",\"type\":\"", actor.kind.as_deref(), out);
    text(b",\"name\":\"", actor.name.as_deref(), out);
    text(b",\"email\":\"", actor.email.as_deref(), out);
    if !actor.roles.is_empty() {
        out.extend_from_slice(b",\"roles\":");
        list(&actor.roles, out, |role, out| write_text(role, out));
    }
    end_object(start, &actor.extra, out);
}

fn write_on_behalf_of(other: &OnBehalfOf, out: &mut Out) {
    let start = out.len();
    text(b",\"id\":\"", other.id.as_deref(), out);
    text(b",\"reason\":\"", other.reason.as_deref(), out);
    end_object(start, &other.extra, out);
}

fn write_resource(resource: &Resource, out: &mut Out) {
    let start = out.len();
    text(b",\"type\":\"", resource.kind.as_deref(), out);
    text(b",\"id\":\"", resource.id.as_deref(), out);
    text(b",\"name\":\"", resource.name.as_deref(), out);
    end_object(start, &resource.extra, out);
}

fn context(context: &Context, out: &mut Out) {
    const KEY: &[u8] = b",\"context\":";
    let key = out.len();
    out.extend_from_slice(KEY);
    let start = out.len();
    text(b",\"ip\":\"", context.ip.as_deref(), out);
    text(b",\"user_agent\":\"", context.user_agent.as_deref(), out);
    text(b",\"request_id\":\"", context.request_id.as_deref(), out);
    text(b",\"correlation_id\":\"", context.correlation_id.as_deref(), out);
    text(b",\"session_id\":\"", context.session_id.as_deref(), out);
    text(b",\"trace_id\":\"", context.trace_id.as_deref(), out);
    text(b",\"span_id\":\"", context.span_id.as_deref(), out);
    text(b",\"component\":\"", context.component.as_deref(), out);
    text(b",\"service\":\"", context.service.as_deref(), out);
    text(b",\"version\":\"", context.version.as_deref(), out);
    text(b",\"host\":\"", context.host.as_deref(), out);
    if out.len() == start && context.extra.is_empty() {
        out.truncate(key);
    } else {
        end_object(start, &context.extra, out);
    }
}

fn write_truncation(truncation: &Truncation, out: &mut Out) {
    let start = out.len();
    text(b",\"path\":\"", Some(&truncation.path), out);
    out.extend_from_slice(b",\"length\":");
    crate::event::write_u64(truncation.length, out);
    text(b",\"sha256\":\"", Some(&truncation.sha256), out);
    end_object(start, &Object::new(), out);
}

/// Closes an object whose members were written from `start` with a comma before each: the first comma
/// becomes the opening brace.
fn end_object(start: usize, extra: &Object, out: &mut Out) {
    if !extra.is_empty() {
        members(extra, true, out);
    }
    if out.len() > start {
        out.replace(start, b'{');
    } else {
        out.push(b'{');
    }
    out.push(b'}');
}

/// `key` is everything from the comma to the opening quote.
#[inline(always)]
fn text<const N: usize>(key: &[u8; N], text: Option<&str>, out: &mut Out) {
    if let Some(text) = text {
        out.text_between(key, text.as_bytes(), b"\"");
    }
}

#[inline(always)]
fn value<const N: usize>(key: &[u8; N], value: Option<&Value>, out: &mut Out) {
    if let Some(value) = value {
        out.extend_from_slice(key);
        write_value(value, out);
    }
}

fn members(object: &Object, comma_first: bool, out: &mut Out) {
    for (place, (key, value)) in object.iter().enumerate() {
        if comma_first || place > 0 {
            out.push(b',');
        }
        write_key(key, out);
        write_value(value, out);
    }
}

fn list<T>(elements: &[T], out: &mut Out, write: impl Fn(&T, &mut Out)) {
    out.push(b'[');
    for (place, element) in elements.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(element, out);
    }
    out.push(b']');
}

fn paths(key: &[u8], paths: &[String], out: &mut Out) {
    if !paths.is_empty() {
        out.extend_from_slice(key);
        list(paths, out, |path, out| write_text(path, out));
    }
}
