//! The fields of an event as JSON, in their fixed order. This is the hot path: constant key fragments, and no
//! allocation besides the output's own.

use super::front::SYSTEM;
use super::objects::Objects;
use crate::complete::Stamp;
use crate::event::{
    Actor, Category, Context, Event, Object, OnBehalfOf, Out, Outcome, Piece, Resource, Severity, Truncation,
    Value, end_object, piece, write_changes, write_escaped, write_list, write_members, write_number,
    write_object, write_text, write_u64, write_value,
};

/// Writes everything after the front. `None` if the derived changes are not complete.
pub(super) fn write<'a>(
    event: &Event,
    stamp: &Stamp,
    truncated: &[Truncation],
    mut out: Out<'a>,
) -> (Out<'a>, Option<Objects>) {
    let start = out.mark();
    if stamp.system {
        out = out.piece(piece!(SYSTEM));
    }
    out = head(event, stamp, out);
    let actor = out.bytes_since(start) + ",\"actor\":".len();
    out = parties(event, out);
    let (mut out, is_complete) = states(event, out);
    out = details(&event.details, out);
    let context = out.bytes_since(start) + ",\"context\":".len();
    out = self::context(&event.context, out);
    out = tail(event, stamp, truncated, out);
    (out, is_complete.then_some(Objects { actor, context }))
}

/// Writes an event as a client would send it: without anything that the trail fills in or derives.
pub(super) fn write_sent<'a>(event: &Event, mut out: Out<'a>) -> Out<'a> {
    let start = out.mark();
    out = text(piece!(",\"id\":\""), event.id.as_deref(), out);
    if let Some(time) = event.time {
        out = out.fixed(piece!(",\"time\":\""), &time.to_text(), piece!("\""));
    }
    out = kind(event, out);
    out = parties(event, out);
    out = value(piece!(",\"before\":"), event.before.as_ref(), out);
    out = value(piece!(",\"after\":"), event.after.as_ref(), out);
    out = value(piece!(",\"changes\":"), event.changes.as_ref(), out);
    out = details(&event.details, out);
    out = context(&event.context, out);
    out = measures(event, out);
    end_object(start, write_members(&event.extra, out))
}

/// From `id` to `error`.
#[inline(always)]
fn head<'a>(event: &Event, stamp: &Stamp, mut out: Out<'a>) -> Out<'a> {
    let (before, between) = (piece!("\"id\":\""), piece!("\",\"time\":\""));
    out = match stamp.id.made() {
        Some(id) => out.fixed(before, id, between),
        None => out.text(before, stamp.id.as_str().as_bytes(), between),
    };
    out = out.fixed(piece!(""), &event.time.unwrap_or(stamp.now).to_text(), piece!("\""));
    kind(event, out)
}

/// From `tenant` to `error`.
#[inline(always)]
fn kind<'a>(event: &Event, mut out: Out<'a>) -> Out<'a> {
    out = text(piece!(",\"tenant\":\""), event.tenant.as_deref(), out);
    out = out.text(piece!(",\"category\":\""), event.category.prefix().as_bytes(), piece!(""));
    if let Category::Custom(custom) = &event.category {
        out = write_escaped(custom.as_bytes(), out);
    }
    out = out.text(piece!("\",\"action\":\""), event.action.as_bytes(), piece!("\""));
    out = text(piece!(",\"description\":\""), event.description.as_deref(), out);
    out = out.piece(severity(event.severity)).piece(outcome(event.outcome));
    text(piece!(",\"error\":\""), event.error.as_deref(), out)
}

#[inline(always)]
fn severity(severity: Severity) -> &'static Piece {
    match severity {
        Severity::Debug => piece!(",\"severity\":\"debug\""),
        Severity::Info => piece!(",\"severity\":\"info\""),
        Severity::Notice => piece!(",\"severity\":\"notice\""),
        Severity::Warning => piece!(",\"severity\":\"warning\""),
        Severity::Error => piece!(",\"severity\":\"error\""),
        Severity::Critical => piece!(",\"severity\":\"critical\""),
    }
}

#[inline(always)]
fn outcome(outcome: Option<Outcome>) -> &'static Piece {
    match outcome {
        None if cfg!(trailseal_fault = "outcome_invented") => piece!(",\"outcome\":\"success\""),
        None => piece!(""),
        Some(Outcome::Success) => piece!(",\"outcome\":\"success\""),
        Some(Outcome::Failure) => piece!(",\"outcome\":\"failure\""),
        Some(Outcome::Denied) => piece!(",\"outcome\":\"denied\""),
        Some(Outcome::Partial) => piece!(",\"outcome\":\"partial\""),
        Some(Outcome::Unknown) => piece!(",\"outcome\":\"unknown\""),
    }
}

/// From `actor` to `related`.
#[inline(always)]
fn parties<'a>(event: &Event, mut out: Out<'a>) -> Out<'a> {
    if let Some(actor) = &event.actor {
        out = write_actor(actor, out.piece(piece!(",\"actor\":")));
    }
    if let Some(other) = &event.on_behalf_of {
        out = write_on_behalf_of(other, out.piece(piece!(",\"on_behalf_of\":")));
    }
    if let Some(resource) = &event.resource {
        out = write_resource(resource, out.piece(piece!(",\"resource\":")));
    }
    if !event.related.is_empty() {
        out = write_list(&event.related, out.piece(piece!(",\"related\":")), write_resource);
    }
    out
}

/// `before`, `after` and `changes`. False if the derived changes are not complete.
#[inline(always)]
fn states<'a>(event: &Event, mut out: Out<'a>) -> (Out<'a>, bool) {
    out = value(piece!(",\"before\":"), event.before.as_ref(), out);
    out = value(piece!(",\"after\":"), event.after.as_ref(), out);
    match (&event.changes, &event.before, &event.after) {
        (None, Some(Value::Object(before)), Some(Value::Object(after))) => {
            write_changes(before, after, out.piece(piece!(",\"changes\":")))
        }
        (changes, _, _) => (value(piece!(",\"changes\":"), changes.as_ref(), out), true),
    }
}

#[inline(always)]
fn details<'a>(details: &Object, out: Out<'a>) -> Out<'a> {
    if details.is_empty() { out } else { write_object(details, out.piece(piece!(",\"details\":"))) }
}

/// `duration_ms` and `approval`.
#[inline(always)]
fn measures<'a>(event: &Event, mut out: Out<'a>) -> Out<'a> {
    if let Some(duration) = &event.duration_ms {
        out = write_number(duration, out.piece(piece!(",\"duration_ms\":")));
    }
    value(piece!(",\"approval\":"), event.approval.as_ref(), out)
}

/// From `duration_ms` to the end.
#[inline(always)]
fn tail<'a>(event: &Event, stamp: &Stamp, truncated: &[Truncation], mut out: Out<'a>) -> Out<'a> {
    out = measures(event, out);
    if event.time.is_some_and(|time| time > stamp.now) {
        out = out.piece(piece!(",\"time_ahead\":true"));
    }
    out = text(piece!(",\"recorded_by\":\""), stamp.recorded_by.as_deref(), out);
    out = texts(piece!(",\"masked\":"), &stamp.masked, out);
    if !truncated.is_empty() {
        out = write_list(truncated, out.piece(piece!(",\"truncated\":")), write_truncation);
    }
    if let Some(rate) = stamp.sample_rate {
        out = write_sample_rate(rate, out);
    }
    out = texts(piece!(",\"invalid\":"), &event.invalid, out);
    write_members(&event.extra, out).piece(piece!("}"))
}

/// The field `recorded_by` as [`write_rest`](super::write_rest) would write it, with a comma before it.
pub fn recorded_by_field(name: &str) -> Vec<u8> {
    Out::collect(|out| text(piece!(",\"recorded_by\":\""), Some(name), out))
}

/// The field `sample_rate` as [`write_rest`](super::write_rest) would write it, with a comma before it.
pub fn sample_rate_field(rate: f64) -> Vec<u8> {
    Out::collect(|out| write_sample_rate(rate, out))
}

/// The share of events like this one that is kept.
fn write_sample_rate(rate: f64, out: Out<'_>) -> Out<'_> {
    value(piece!(",\"sample_rate\":"), Some(&Value::from(rate)), out)
}

fn write_actor<'a>(actor: &Actor, mut out: Out<'a>) -> Out<'a> {
    let start = out.mark();
    out = text(piece!(",\"id\":\""), actor.id.as_deref(), out);
    out = text(piece!(",\"type\":\""), actor.kind.as_deref(), out);
    out = text(piece!(",\"name\":\""), actor.name.as_deref(), out);
    out = text(piece!(",\"email\":\""), actor.email.as_deref(), out);
    out = texts(piece!(",\"roles\":"), &actor.roles, out);
    end_object(start, write_members(&actor.extra, out))
}

fn write_on_behalf_of<'a>(other: &OnBehalfOf, mut out: Out<'a>) -> Out<'a> {
    let start = out.mark();
    out = text(piece!(",\"id\":\""), other.id.as_deref(), out);
    out = text(piece!(",\"reason\":\""), other.reason.as_deref(), out);
    end_object(start, write_members(&other.extra, out))
}

fn write_resource<'a>(resource: &Resource, mut out: Out<'a>) -> Out<'a> {
    let start = out.mark();
    out = text(piece!(",\"type\":\""), resource.kind.as_deref(), out);
    out = text(piece!(",\"id\":\""), resource.id.as_deref(), out);
    out = text(piece!(",\"name\":\""), resource.name.as_deref(), out);
    end_object(start, write_members(&resource.extra, out))
}

fn context<'a>(context: &Context, mut out: Out<'a>) -> Out<'a> {
    let before = out.mark();
    out = out.piece(piece!(",\"context\":"));
    let start = out.mark();
    out = text(piece!(",\"ip\":\""), context.ip.as_deref(), out);
    out = text(piece!(",\"user_agent\":\""), context.user_agent.as_deref(), out);
    out = text(piece!(",\"request_id\":\""), context.request_id.as_deref(), out);
    out = text(piece!(",\"correlation_id\":\""), context.correlation_id.as_deref(), out);
    out = text(piece!(",\"session_id\":\""), context.session_id.as_deref(), out);
    out = text(piece!(",\"trace_id\":\""), context.trace_id.as_deref(), out);
    out = text(piece!(",\"span_id\":\""), context.span_id.as_deref(), out);
    out = text(piece!(",\"component\":\""), context.component.as_deref(), out);
    out = text(piece!(",\"service\":\""), context.service.as_deref(), out);
    out = text(piece!(",\"version\":\""), context.version.as_deref(), out);
    out = text(piece!(",\"host\":\""), context.host.as_deref(), out);
    out = write_members(&context.extra, out);
    if out.mark() == start { out.back_to(before) } else { end_object(start, out) }
}

fn write_truncation<'a>(truncation: &Truncation, mut out: Out<'a>) -> Out<'a> {
    out = out.text(piece!("{\"path\":\""), truncation.path.as_bytes(), piece!("\",\"length\":"));
    out = write_u64(truncation.length, out);
    out.text(piece!(",\"sha256\":\""), truncation.sha256.as_bytes(), piece!("\"}"))
}

/// `key` is everything from the comma to the opening quote.
#[inline(always)]
fn text<'a>(key: &Piece, text: Option<&str>, out: Out<'a>) -> Out<'a> {
    match text {
        Some(text) => out.text(key, text.as_bytes(), piece!("\"")),
        None => out,
    }
}

#[inline(always)]
fn value<'a>(key: &Piece, value: Option<&Value>, out: Out<'a>) -> Out<'a> {
    match value {
        Some(value) => write_value(value, out.piece(key)),
        None => out,
    }
}

/// A list of texts, left out if it is empty.
#[inline(always)]
fn texts<'a>(key: &Piece, texts: &[String], out: Out<'a>) -> Out<'a> {
    if texts.is_empty() { out } else { write_list(texts, out.piece(key), |text, out| write_text(text, out)) }
}
