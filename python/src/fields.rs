//! The keywords of `record` as an event's fields, of which those with parts are JSON text.

use std::cell::Cell;
use std::ops::Range;

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyMapping, PyString};
use trailseal_event::{EventText, Timestamp};

use crate::context;
use crate::head_fields::{Head, head_text, plain_text};
use crate::json_strings::error_text;
use crate::times::timestamp;
use crate::value_kinds::{Kind, class_name, kind_of};
use crate::values::{Note, Writer};

/// A thread's buffer larger than this is freed after use.
const BUFFER_KEPT: usize = 1 << 18;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What `record` was given besides the action and the level.
#[derive(Default)]
pub(crate) struct Fields<'py> {
    pub(crate) actor: Option<Bound<'py, PyAny>>,
    pub(crate) tenant: Option<Bound<'py, PyAny>>,
    pub(crate) resource: Option<Bound<'py, PyAny>>,
    pub(crate) outcome: Option<Bound<'py, PyAny>>,
    pub(crate) details: Option<Bound<'py, PyAny>>,
    pub(crate) before: Option<Bound<'py, PyAny>>,
    pub(crate) after: Option<Bound<'py, PyAny>>,
    pub(crate) changes: Option<Bound<'py, PyAny>>,
    pub(crate) context: Option<Bound<'py, PyAny>>,
    pub(crate) category: Option<Bound<'py, PyAny>>,
    pub(crate) severity: Option<Bound<'py, PyAny>>,
    pub(crate) description: Option<Bound<'py, PyAny>>,
    pub(crate) error: Option<Bound<'py, PyAny>>,
    pub(crate) on_behalf_of: Option<Bound<'py, PyAny>>,
    pub(crate) related: Option<Bound<'py, PyAny>>,
    pub(crate) duration_ms: Option<Bound<'py, PyAny>>,
    pub(crate) approval: Option<Bound<'py, PyAny>>,
    pub(crate) id: Option<Bound<'py, PyAny>>,
    pub(crate) time: Option<Bound<'py, PyAny>>,
    pub(crate) extra: Option<Bound<'py, PyAny>>,
}

impl<'py> Fields<'py> {
    /// From a mapping of keywords. Returns the action and the level too, if they are in it.
    pub(crate) fn of(
        given: &Bound<'py, PyAny>,
    ) -> PyResult<(Fields<'py>, Option<Bound<'py, PyAny>>, Option<String>)> {
        let mut fields = Fields::default();
        let (mut action, mut ack) = (None, None);
        let given = given.cast::<PyMapping>()?;
        for pair in given.items()? {
            let (name, value) = pair.extract::<(String, Bound<'py, PyAny>)>()?;
            if value.is_none() {
                continue;
            }
            let place = match name.as_str() {
                "action" => &mut action,
                "ack" => {
                    ack = Some(value.extract()?);
                    continue;
                }
                "actor" => &mut fields.actor,
                "tenant" => &mut fields.tenant,
                "resource" => &mut fields.resource,
                "outcome" => &mut fields.outcome,
                "details" => &mut fields.details,
                "before" => &mut fields.before,
                "after" => &mut fields.after,
                "changes" => &mut fields.changes,
                "context" => &mut fields.context,
                "category" => &mut fields.category,
                "severity" => &mut fields.severity,
                "description" => &mut fields.description,
                "error" => &mut fields.error,
                "on_behalf_of" => &mut fields.on_behalf_of,
                "related" => &mut fields.related,
                "duration_ms" => &mut fields.duration_ms,
                "approval" => &mut fields.approval,
                "id" => &mut fields.id,
                "time" => &mut fields.time,
                "extra" => &mut fields.extra,
                other => {
                    let text = format!("record() got an unexpected keyword argument '{other}'");
                    return Err(PyTypeError::new_err(text));
                }
            };
            *place = Some(value);
        }
        Ok((fields, action, ack))
    }

    /// Calls `work` with the event. What stopped Python while it was asked for values is raised afterwards.
    pub(crate) fn with_event<T>(
        &self,
        py: Python<'py>,
        action: &Bound<'py, PyAny>,
        work: impl FnOnce(&EventText<'_>) -> PyResult<T>,
    ) -> PyResult<T> {
        let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
        buffer.clear();
        let done = self.write_event(py, action, &mut buffer, work);
        buffer.shrink_to(BUFFER_KEPT);
        let _ = BUFFER.try_with(|kept| kept.set(buffer));
        done
    }

    fn write_event<T>(
        &self,
        py: Python<'py>,
        action: &Bound<'py, PyAny>,
        buffer: &mut Vec<u8>,
        work: impl FnOnce(&EventText<'_>) -> PyResult<T>,
    ) -> PyResult<T> {
        let facts = context::current(py)?;
        let facts = facts.as_deref();
        let mut writer = Writer::new(py, buffer);
        // Without one it is refused, as an empty one is.
        let action = if action.is_none() { 0..0 } else { plain(&mut writer, action)? };
        let plain_of = |writer: &mut Writer<'_, 'py>, field: &Option<Bound<'py, PyAny>>| {
            field.as_ref().map(|value| plain(writer, value)).transpose()
        };
        let id = plain_of(&mut writer, &self.id)?;
        let tenant = plain_of(&mut writer, &self.tenant)?;
        let category = plain_of(&mut writer, &self.category)?;
        let description = plain_of(&mut writer, &self.description)?;
        let severity = plain_of(&mut writer, &self.severity)?;
        let outcome = self.outcome.as_ref().map(|outcome| outcome_of(&mut writer, outcome)).transpose()?;
        let error = self.error.as_ref().map(|error| error_of(&mut writer, error)).transpose()?;
        let (time, time_text) = self.time_of(&mut writer)?;
        let part = |writer: &mut Writer<'_, 'py>, field: &Option<Bound<'py, PyAny>>, head: Head| {
            let Some(value) = field else { return Ok(None) };
            let from = writer.out.len();
            head_text(writer, head, value)?;
            Ok::<_, PyErr>(Some(from..writer.out.len()))
        };
        let actor = part(&mut writer, &self.actor, Head::Actor)?;
        let on_behalf_of = part(&mut writer, &self.on_behalf_of, Head::Actor)?;
        let resource = part(&mut writer, &self.resource, Head::Resource)?;
        let related = part(&mut writer, &self.related, Head::Related)?;
        let mut free = |root: &'static str, field: &Option<Bound<'py, PyAny>>| {
            let value = field.as_ref()?;
            let from = writer.out.len();
            writer.value(root, value);
            Some(from..writer.out.len())
        };
        let before = free("before", &self.before);
        let after = free("after", &self.after);
        let changes = free("changes", &self.changes);
        let details = free("details", &self.details);
        let approval = free("approval", &self.approval);
        let context = self.context_of(&mut writer, facts)?;
        let duration_ms = self.duration_of(&mut writer)?;
        let mut extra = self.extra_of(&mut writer)?;
        if writer.has_notes() {
            let from = writer.out.len();
            writer.write_notes();
            // Before one of the caller's of that name, which then gets another.
            extra.insert(0, ("_converted".to_owned(), from..writer.out.len()));
        }
        // Python is not asked for anything any more.
        let stopped = writer.finish();
        let all = std::str::from_utf8(buffer).unwrap_or_default();
        let at = |range: Range<usize>| all.get(range).unwrap_or_default();
        let extra: Vec<(&str, &str)> =
            extra.iter().map(|(name, range)| (name.as_str(), at(range.clone()))).collect();
        let of_request =
            |fact: fn(&context::Facts) -> &Option<String>| facts.and_then(|facts| fact(facts).as_deref());
        let context = match context {
            Some(range) => Some(at(range)),
            None => of_request(|facts| &facts.whole),
        };
        let event = EventText {
            action: at(action),
            id: id.map(at),
            time,
            tenant: tenant.map(at).or_else(|| of_request(|facts| &facts.tenant)),
            category: category.map(at),
            description: description.map(at),
            severity: severity.map(at),
            // Whoever says what went wrong need not say that it did.
            outcome: outcome.map(at).or(error.as_ref().map(|_| "failure")),
            error: error.map(at),
            actor: actor.map(at).or_else(|| of_request(|facts| &facts.actor)),
            on_behalf_of: on_behalf_of.map(at).or_else(|| of_request(|facts| &facts.on_behalf_of)),
            resource: resource.map(at),
            related: related.map(at),
            before: before.map(at),
            after: after.map(at),
            changes: changes.map(at),
            details: details.map(at),
            context,
            duration_ms: duration_ms.map(at),
            approval: approval.map(at),
            time_text: time_text.map(at),
            extra: &extra,
        };
        let done = work(&event)?;
        stopped.map(|()| done)
    }

    /// The time, or what was given for it as JSON text: the core says what is wrong with it.
    fn time_of(&self, writer: &mut Writer<'_, 'py>) -> PyResult<(Option<Timestamp>, Option<Range<usize>>)> {
        let Some(time) = &self.time else { return Ok((None, None)) };
        if let Ok(text) = time.cast::<PyString>()
            && let Some(time) = Timestamp::parse(&text.to_string_lossy())
        {
            return Ok((Some(time), None));
        }
        if kind_of(time) == Kind::Datetime
            && let Ok((moment, is_naive)) = timestamp(time)
        {
            if is_naive {
                writer.note_at("time", Note::Naive);
            }
            return Ok((Some(moment), None));
        }
        let from = writer.out.len();
        writer.value("time", time);
        Ok((None, Some(from..writer.out.len())))
    }

    /// The call's context, and what the request knows besides.
    fn context_of(
        &self,
        writer: &mut Writer<'_, 'py>,
        facts: Option<&context::Facts>,
    ) -> PyResult<Option<Range<usize>>> {
        let Some(own) = &self.context else { return Ok(None) };
        let from = writer.out.len();
        head_text(writer, Head::Context, own)?;
        if let (Some(facts), Ok(own)) = (facts, own.cast::<PyMapping>())
            && writer.out.last() == Some(&b'}')
        {
            writer.out.pop();
            for (name, value) in &facts.context {
                if !own.contains(name.as_str())? {
                    if writer.out.len() > from + 1 {
                        writer.out.push(b',');
                    }
                    writer.string(name.as_bytes());
                    writer.out.push(b':');
                    writer.out.extend_from_slice(value.as_bytes());
                }
            }
            writer.out.push(b'}');
        }
        Ok(Some(from..writer.out.len()))
    }

    fn duration_of(&self, writer: &mut Writer<'_, 'py>) -> PyResult<Option<Range<usize>>> {
        let Some(duration) = &self.duration_ms else { return Ok(None) };
        let from = writer.out.len();
        if kind_of(duration) == Kind::Timedelta {
            let seconds = duration.call_method0(intern!(duration.py(), "total_seconds"))?.extract::<f64>()?;
            let millis = (seconds * 1e6).round() / 1e3;
            writer.value("duration_ms", pyo3::types::PyFloat::new(duration.py(), millis).as_any());
        } else {
            writer.value("duration_ms", duration);
        }
        Ok(Some(from..writer.out.len()))
    }

    fn extra_of(&self, writer: &mut Writer<'_, 'py>) -> PyResult<Vec<(String, Range<usize>)>> {
        let Some(extra) = &self.extra else { return Ok(Vec::new()) };
        let mut fields = Vec::new();
        for pair in extra.cast::<PyMapping>()?.items()? {
            let (name, value) = pair.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>()?;
            let from = writer.out.len();
            writer.value("extra", &value);
            fields.push((plain_text(&name)?, from..writer.out.len()));
        }
        Ok(fields)
    }
}

/// Appends the text of a field that is one, and returns its place.
fn plain<'py>(writer: &mut Writer<'_, 'py>, value: &Bound<'py, PyAny>) -> PyResult<Range<usize>> {
    let from = writer.out.len();
    match value.cast_exact::<PyString>().ok().and_then(|text| text.to_str().ok()) {
        Some(text) => writer.out.extend_from_slice(text.as_bytes()),
        None => writer.out.extend_from_slice(plain_text(value)?.as_bytes()),
    }
    Ok(from..writer.out.len())
}

fn outcome_of<'py>(writer: &mut Writer<'_, 'py>, outcome: &Bound<'py, PyAny>) -> PyResult<Range<usize>> {
    match outcome.cast_exact::<PyBool>() {
        Ok(good) => {
            let from = writer.out.len();
            writer.out.extend_from_slice(if good.is_true() { b"success" } else { b"failure" });
            Ok(from..writer.out.len())
        }
        Err(_) => plain(writer, outcome),
    }
}

fn error_of<'py>(writer: &mut Writer<'_, 'py>, error: &Bound<'py, PyAny>) -> PyResult<Range<usize>> {
    if kind_of(error) != Kind::Exception {
        return plain(writer, error);
    }
    let from = writer.out.len();
    match error_text(error) {
        Ok(text) => writer.out.extend_from_slice(text.as_bytes()),
        Err(_) => writer.out.extend_from_slice(class_name(error).as_bytes()),
    }
    Ok(from..writer.out.len())
}
