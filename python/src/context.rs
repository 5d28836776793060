//! Whose request is being handled: what events get that do not say it themselves.
//!
//! Everything is kept as JSON text, written once a request.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};
use trailseal_event::{Event, EventText};

use crate::head_fields::{Head, head_text, plain_text};
use crate::request::context_fields;
use crate::values::Writer;

/// What a request knows.
#[derive(Clone, Default)]
pub(crate) struct Facts {
    pub(crate) actor: Option<String>,
    pub(crate) on_behalf_of: Option<String>,
    pub(crate) tenant: Option<String>,
    /// Fields of `context`: a name, and its value as JSON text.
    pub(crate) context: Vec<(String, String)>,
    /// All of them as one object.
    pub(crate) whole: Option<String>,
}

impl Facts {
    /// An event that has nothing else yet.
    pub(crate) fn event(&self) -> Event {
        let text = EventText {
            action: "trail.read",
            actor: self.actor.as_deref(),
            on_behalf_of: self.on_behalf_of.as_deref(),
            tenant: self.tenant.as_deref(),
            context: self.whole.as_deref(),
            ..EventText::default()
        };
        Event::from_json(&text.to_json()).unwrap_or_default()
    }
}

/// Whose request is being handled, and where it came from. Safe for use by several threads.
#[pyclass(frozen, weakref, module = "trailseal")]
pub(crate) struct RequestContext {
    /// Replaced as a whole, so that nobody holds the lock while Python runs.
    facts: Mutex<Arc<Facts>>,
}

/// The variable that holds the context of the request that is being handled.
pub(crate) fn variable(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static VARIABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let variable = VARIABLE.get_or_try_init(py, || {
        let class = py.import("contextvars")?.getattr("ContextVar")?;
        let given = PyDict::new(py);
        given.set_item("default", py.None())?;
        Ok::<_, PyErr>(class.call(("trailseal.request_context",), Some(&given))?.unbind())
    })?;
    Ok(variable.bind(py))
}

/// The facts of the request that is being handled, if there is one.
pub(crate) fn current(py: Python<'_>) -> PyResult<Option<Arc<Facts>>> {
    let context = variable(py)?.call_method0(intern!(py, "get"))?;
    if context.is_none() {
        return Ok(None);
    }
    Ok(context.cast::<RequestContext>().ok().map(|context| context.get().facts()))
}

impl RequestContext {
    fn facts(&self) -> Arc<Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, given: &Bound<'_, PyDict>) -> PyResult<()> {
        // What converts the values runs Python, so it does so before the lock.
        let mut changes: Vec<(String, Option<String>)> = Vec::new();
        let mut context = Vec::new();
        for (name, value) in given {
            let name = name.extract::<String>()?;
            match name.as_str() {
                "actor" | "on_behalf_of" => changes.push((name, text_of(&value, Head::Actor)?)),
                "tenant" => changes.push((name, (!value.is_none()).then(|| plain_text(&value)).transpose()?)),
                "context" if value.is_none() => {}
                "context" => {
                    let fields = value.call_method0(intern!(value.py(), "items"))?;
                    for pair in fields.try_iter()? {
                        let (name, value) = pair?.extract::<(String, Bound<'_, PyAny>)>()?;
                        context.push((name, text_of(&value, Head::Context)?));
                    }
                }
                _ => context.push((name, text_of(&value, Head::Context)?)),
            }
        }
        let mut place = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut facts = Facts::clone(&place);
        for (name, text) in changes {
            match name.as_str() {
                "actor" => facts.actor = text,
                "on_behalf_of" => facts.on_behalf_of = text,
                _ => facts.tenant = text,
            }
        }
        for (name, text) in context {
            facts.context.retain(|(known, _)| *known != name);
            facts.context.extend(text.map(|text| (name, text)));
        }
        facts.whole = whole(&facts.context);
        *place = Arc::new(facts);
        Ok(())
    }
}

fn text_of(value: &Bound<'_, PyAny>, head: Head) -> PyResult<Option<String>> {
    if value.is_none() {
        return Ok(None);
    }
    let mut text = Vec::new();
    let mut writer = Writer::new(value.py(), &mut text);
    head_text(&mut writer, head, value)?;
    writer.finish()?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

fn whole(fields: &[(String, String)]) -> Option<String> {
    if fields.is_empty() {
        return None;
    }
    let mut text = Vec::new();
    for (name, value) in fields {
        text.push(if text.is_empty() { b'{' } else { b',' });
        text.push(b'"');
        crate::json_strings::escape(name.as_bytes(), &mut text);
        text.extend_from_slice(b"\":");
        text.extend_from_slice(value.as_bytes());
    }
    text.push(b'}');
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[pymethods]
impl RequestContext {
    #[new]
    #[pyo3(signature = (*arguments, **given))]
    fn new(arguments: &Bound<'_, PyTuple>, given: Option<&Bound<'_, PyDict>>) -> PyResult<RequestContext> {
        let context = RequestContext { facts: Mutex::default() };
        if !arguments.is_empty() {
            let text = "RequestContext takes keywords: actor, tenant, on_behalf_of, context";
            return Err(pyo3::exceptions::PyTypeError::new_err(text));
        }
        given.map_or(Ok(()), |given| context.change(given))?;
        Ok(context)
    }

    #[staticmethod]
    #[pyo3(signature = (headers, *, ip=None, service=None))]
    fn of_headers(
        headers: &Bound<'_, PyAny>,
        ip: Option<&str>,
        service: Option<&str>,
    ) -> PyResult<RequestContext> {
        let mut context = Vec::with_capacity(8);
        context_fields(headers, ip, service, |name, value| {
            let mut text = vec![b'"'];
            crate::json_strings::escape(value.as_bytes(), &mut text);
            text.push(b'"');
            context.push((name.to_owned(), String::from_utf8_lossy(&text).into_owned()));
        })?;
        let facts = Facts { whole: whole(&context), context, ..Facts::default() };
        Ok(RequestContext { facts: Mutex::new(Arc::new(facts)) })
    }

    #[pyo3(signature = (**given))]
    fn set(&self, given: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        given.map_or(Ok(()), |given| self.change(given))
    }

    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (facts, known) = (self.facts(), PyDict::new(py));
        let loads = py.import("json")?.getattr("loads")?;
        let texts =
            [("actor", &facts.actor), ("on_behalf_of", &facts.on_behalf_of), ("context", &facts.whole)];
        for (name, text) in texts {
            if let Some(text) = text {
                known.set_item(name, loads.call1((text.as_str(),))?)?;
            }
        }
        if let Some(tenant) = &facts.tenant {
            known.set_item("tenant", tenant.as_str())?;
        }
        Ok(known)
    }

    fn __repr__(&self) -> String {
        let facts = self.facts();
        let actor = facts.actor.as_deref().unwrap_or("None");
        format!("RequestContext(actor={actor}, tenant={:?})", facts.tenant.as_deref().unwrap_or_default())
    }
}
