//! What comes back: events page by page, counts, summaries.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple};
use trailseal_core::FlushError;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::filter::{Filter, parse_span};
use trailseal_event::personal::PersonalKeys;
use trailseal_event::{Object, Timestamp, Value};
use trailseal_index::{By, Cursor, First, Hit, Order, Search, SearchError};

use crate::context::{self, Facts};
use crate::failures;
use crate::head_fields::{Head, found_by, plain_text};
use crate::json_values;
use crate::shared::Shared;
use crate::times::timestamp;
use crate::value_kinds::{Kind, class_name, is_collection, kind_of, says_what_it_is};
use crate::values::written;

/// How long a read waits for what was recorded before it.
pub(crate) const WITHIN: Duration = Duration::from_secs(10);
/// Events that are read at a time.
const PAGE: usize = 256;
/// In a tail, fewer if their lines are long.
const PAGE_BYTES: usize = 1 << 20;
/// A signal is answered this soon.
const SLICE: Duration = Duration::from_millis(100);

/// Among the filters, though it is none: whether personal values are shown in plain.
pub(crate) const PERSONAL: &str = "personal";

/// The order of an answer, by its names.
pub(crate) fn order(order: &str, by: &str) -> PyResult<Order> {
    let first = match order {
        "desc" => First::Newest,
        "asc" => First::Oldest,
        other => return Err(PyValueError::new_err(format!("order cannot be {other:?}: use asc or desc"))),
    };
    let by = match by {
        "time" => By::Time,
        "recorded" => By::Recorded,
        other => {
            return Err(PyValueError::new_err(format!("order_by cannot be {other:?}: use time or recorded")));
        }
    };
    Ok(Order { by, first })
}

/// `TYPE/ID` of a resource.
pub(crate) fn resource(resource: &Bound<'_, PyAny>) -> PyResult<String> {
    if matches!(kind_of(resource), Kind::Str | Kind::Enum) {
        return plain_text(resource);
    }
    if let Ok((kind, id)) = resource.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() {
        return Ok(format!("{}/{}", plain_text(&kind)?, plain_text(&id)?));
    }
    found_by(Head::Resource, resource)?.map_or_else(|| plain_text(resource), Ok)
}

/// One filter, and whether personal values are shown in plain.
pub(crate) fn with_personal(name: &str, value: String, is_personal: bool) -> Vec<(String, String)> {
    let personal = is_personal.then(|| (PERSONAL.to_owned(), "true".to_owned()));
    std::iter::once((name.to_owned(), value)).chain(personal).collect()
}

/// Filters as names and values, in the form of the command line.
pub(crate) fn pairs(given: Option<&Bound<'_, PyDict>>) -> PyResult<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for (name, value) in given.into_iter().flat_map(|given| given.iter()) {
        let name: String = name.extract()?;
        if value.is_none() {
            continue;
        }
        if name == "system" || name == PERSONAL {
            if value.is_truthy()? {
                pairs.push((name, "true".to_owned()));
            }
            continue;
        }
        let texts = filter_texts(&name, &value)?;
        if texts.is_empty() {
            // Any of none would be nothing, and no filter would be everything: a mistake in either.
            let text = format!("{name} is an empty list: leave it out, or give None, for events with any");
            return Err(PyValueError::new_err(text));
        }
        pairs.extend(texts.into_iter().map(|text| (name.clone(), text)));
    }
    Ok(pairs)
}

/// The texts of a filter's value, or values.
fn filter_texts(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if let Some(text) = filter_text(name, value)? {
        return Ok(vec![text]);
    }
    if !is_collection(value) {
        return Err(no_filter(name, value));
    }
    let values = value.try_iter().map_err(|_| no_filter(name, value))?;
    values
        .map(|one| {
            let one = one?;
            filter_text(name, &one)?.ok_or_else(|| no_filter(name, &one))
        })
        .collect()
}

/// The text of one value; `None` if it is none.
fn filter_text(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let is_time = matches!(name, "since" | "until" | "recorded_since" | "recorded_until");
    match kind_of(value) {
        Kind::Datetime if is_time => Ok(Some(timestamp(value)?.0.to_string())),
        Kind::Timedelta if is_time => {
            let micros = SystemClock.now().as_micros() - span_micros(value)?;
            Ok(Some(Timestamp::from_micros(micros).to_string()))
        }
        Kind::Iso if is_time => plain_text(&value.call_method0(intern!(value.py(), "isoformat"))?).map(Some),
        Kind::Int if name == "outcome" && value.is_instance_of::<PyBool>() => {
            Ok(Some(if value.is_truthy()? { "success" } else { "failure" }.to_owned()))
        }
        // A number of seconds since when, or for how long? It would be read as a year.
        Kind::Int if is_time => Ok(None),
        Kind::Str | Kind::Enum | Kind::Text | Kind::Int => plain_text(value).map(Some),
        Kind::Sequence | Kind::Named if name == "resource" && is_pair(value) => resource(value).map(Some),
        Kind::Sequence | Kind::Set => Ok(None),
        _ => match name {
            "actor" | "on_behalf_of" => found_by(Head::Actor, value),
            "resource" => found_by(Head::Resource, value),
            _ => told(name, value),
        },
    }
}

/// The text that `record` makes of a value in a field that is no actor and no resource.
fn told(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let kind = kind_of(value);
    let is_time = matches!(name, "since" | "until" | "recorded_since" | "recorded_until");
    match kind {
        // As the values of an event are written, since any of them is searched.
        Kind::Float | Kind::Scalar | Kind::Datetime | Kind::Iso | Kind::Timedelta if name == "text" => {
            written(value)
        }
        Kind::Float | Kind::Scalar | Kind::Datetime | Kind::Iso | Kind::Timedelta if !is_time => {
            plain_text(value).map(Some)
        }
        Kind::Other if !is_collection(value) && says_what_it_is(value) => plain_text(value).map(Some),
        _ => Ok(None),
    }
}

/// Whether it is `(type, id)`.
fn is_pair(value: &Bound<'_, PyAny>) -> bool {
    value.cast::<PyTuple>().is_ok_and(|pair| pair.len() == 2)
}

fn no_filter(name: &str, value: &Bound<'_, PyAny>) -> PyErr {
    let class = class_name(value);
    PyTypeError::new_err(match name {
        "since" | "until" | "recorded_since" | "recorded_until" => format!(
            "{name} cannot be of type {class}: give a datetime, a timedelta, or text such as \"24h\" or \"2026-03\""
        ),
        _ => format!("{name} cannot be of type {class}: give text, or a list of texts"),
    })
}

/// A number of events.
pub(crate) fn number(name: &str, number: i64) -> PyResult<usize> {
    usize::try_from(number)
        .map_err(|_| PyValueError::new_err(format!("{name} cannot be {number}: use 0 or more")))
}

fn span_micros(span: &Bound<'_, PyAny>) -> PyResult<i64> {
    let seconds: f64 = span.call_method0(intern!(span.py(), "total_seconds"))?.extract()?;
    Ok((seconds * 1e6) as i64)
}

/// The width of a histogram's bars: a timedelta, or text such as `15m`.
pub(crate) fn span(span: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let span = match kind_of(span) {
        Kind::Timedelta => u64::try_from(span_micros(span)?).ok().map(Duration::from_micros),
        _ => parse_span(&plain_text(span)?),
    };
    span.filter(|span| *span >= Duration::from_secs(1)).ok_or_else(|| {
        PyValueError::new_err("bucket is at least a second, such as \"15m\" or timedelta(hours=1)")
    })
}

/// A question to all trails of a folder, that was noted and may be answered.
pub(crate) struct Asked {
    shared: Arc<Shared>,
    search: Search,
    filter: Filter,
    /// Opens personal values, if they are asked for in plain.
    keys: Option<Arc<dyn PersonalKeys>>,
}

impl Asked {
    /// Waits until what was recorded before is on disk, and records that it is read.
    pub(crate) fn new(
        py: Python<'_>,
        shared: &Arc<Shared>,
        what: &'static str,
        pairs: Vec<(String, String)>,
    ) -> PyResult<Asked> {
        let (mut filter, mut is_personal) = (Filter::default(), false);
        for (name, value) in &pairs {
            if name == "system" {
                filter.system = true;
                continue;
            }
            // What only counts shows none.
            if name == PERSONAL && !matches!(what, "count" | "summary") {
                is_personal = true;
                continue;
            }
            let set = filter.set(name, value, SystemClock.now());
            set.map_err(|error| PyValueError::new_err(error.to_string()))?;
        }
        if !shared.is_closed() {
            // With slots it may be the first use of the trail in this process.
            shared.opened(py)?;
        }
        let trail = shared.if_open();
        let begun = Instant::now();
        while let Some(trail) = &trail
            && let Err(error) = py.detach(|| trail.flush(SLICE))
        {
            py.check_signals()?;
            let is_slow = matches!(error, FlushError::TimedOut { .. });
            if !is_slow || begun.elapsed() > WITHIN {
                let why = failures::with_causes(&error);
                let text =
                    format!("what was recorded before is not on disk, so it cannot be read yet: {why}");
                return Err(failures::exception(py, "ReadError", text));
            }
        }
        let reader = context::current(py)?;
        let opened = py.detach(|| {
            if let Some(trail) = trail.filter(|_| !shared.is_closed()) {
                note(&trail, what, &pairs, reader.as_deref());
            }
            let keys = if is_personal { Some(shared.application().personal_keys()?) } else { None };
            trailseal_cli::application::search(shared.dir()).map(|search| (search, keys))
        });
        let (search, keys) = opened.map_err(|trouble| failures::of_reading(py, &trouble))?;
        Ok(Asked { shared: shared.clone(), search, filter, keys })
    }

    pub(crate) fn count(mut self, py: Python<'_>) -> PyResult<u64> {
        let count = py.detach(|| self.search.count(&self.filter));
        count.map_err(|error| failures::of_reading(py, &error))
    }

    pub(crate) fn summary(
        mut self,
        py: Python<'_>,
        top: usize,
        bucket: Option<Duration>,
    ) -> PyResult<String> {
        let summary = py.detach(|| self.search.summary(&self.filter, top, bucket));
        summary.map(|summary| summary.to_json().to_string()).map_err(|error| failures::of_reading(py, &error))
    }

    fn cursor(&self, order: Order, cursor: Option<&str>) -> PyResult<Option<Cursor>> {
        let Some(text) = cursor else { return Ok(None) };
        let cursor = text.parse::<Cursor>().ok().filter(|cursor| self.search.knows(cursor));
        match cursor.filter(|cursor| cursor.order() == order) {
            Some(cursor) => Ok(Some(cursor)),
            None => Err(PyValueError::new_err(
                "cursor is not one of this trail and this order: give the one that a page returned as `next`",
            )),
        }
    }

    pub(crate) fn events(
        self,
        _py: Python<'_>,
        order: Order,
        cursor: Option<&str>,
        limit: Option<usize>,
    ) -> PyResult<Events> {
        let cursor = self.cursor(order, cursor)?;
        let left = limit.unwrap_or(usize::MAX);
        let Asked { shared, search, filter, keys } = self;
        let next = Next::Page { order, cursor, left };
        Ok(Events::new(Walk {
            shared,
            search,
            filter,
            keys,
            found: VecDeque::new(),
            next,
            ends: Arc::default(),
        }))
    }

    pub(crate) fn page(
        mut self,
        py: Python<'_>,
        order: Order,
        cursor: Option<&str>,
        limit: usize,
    ) -> PyResult<Page> {
        let cursor = self.cursor(order, cursor)?;
        let page = py.detach(|| self.search.page(&self.filter, order, cursor.as_ref(), limit.max(1), None));
        let page = page.map_err(|error| failures::of_reading(py, &error))?;
        let events: PyResult<Vec<_>> =
            page.hits.iter().map(|hit| Ok(shown(py, hit, self.keys.as_deref())?.unbind())).collect();
        Ok(Page { events: events?, next: page.next.map(|next| next.to_string()) })
    }

    /// The newest events, oldest of them first, and, if `poll` says how often to look, those that come.
    pub(crate) fn tail(mut self, py: Python<'_>, n: usize, poll: Option<Duration>) -> PyResult<Events> {
        let seen = self.search.end();
        let order = Order::NEWEST_RECORDED;
        let page = py.detach(|| self.search.page(&self.filter, order, None, n, None));
        let page = page.map_err(|error| failures::of_reading(py, &error))?;
        let found = page.hits.into_iter().rev().collect();
        let next = poll.map_or(Next::End, |poll| Next::Follow { seen, poll, is_behind: false });
        let Asked { shared, search, filter, keys } = self;
        Ok(Events::new(Walk { shared, search, filter, keys, found, next, ends: Arc::default() }))
    }
}

/// An event as a dict, with its personal values as `keys` show them.
fn shown<'py>(py: Python<'py>, hit: &Hit, keys: Option<&dyn PersonalKeys>) -> PyResult<Bound<'py, PyAny>> {
    let line = py.detach(|| hit.shown(keys));
    json_values::event(py, &hit.origin, &line)
}

/// Who reads is recorded, too. That it cannot be is counted by the trail, and no reason not to answer.
fn note(trail: &trailseal_core::Trail, what: &str, pairs: &[(String, String)], reader: Option<&Facts>) {
    let mut told = Object::new();
    for (name, value) in pairs {
        let shown = Value::from(&*trail.shown(name, value));
        match told.get_mut(name) {
            Some(Value::Array(values)) => values.push(shown),
            _ => drop(told.insert(name.as_str(), Value::Array(vec![shown]))),
        }
    }
    let reader = reader.map(Facts::event).unwrap_or_default();
    let mut event = reader.detail("by", "library").detail("what", what);
    if !told.is_empty() {
        event = event.detail("query", told);
    }
    let _ = trail.record_own("read", event);
}

/// Events, read page by page as they are taken.
#[pyclass(frozen, weakref, module = "trailseal")]
pub(crate) struct Events {
    walk: Mutex<Walk>,
    ends: Arc<AtomicBool>,
}

struct Walk {
    shared: Arc<Shared>,
    search: Search,
    filter: Filter,
    keys: Option<Arc<dyn PersonalKeys>>,
    found: VecDeque<Hit>,
    next: Next,
    /// Whether a tail ends once it has shown what there is.
    ends: Arc<AtomicBool>,
}

/// Where the next events are.
enum Next {
    Page { order: Order, cursor: Option<Cursor>, left: usize },
    Follow { seen: Cursor, poll: Duration, is_behind: bool },
    End,
}

/// What one look gave.
enum Looked {
    Found,
    Nothing,
    End,
}

impl Walk {
    /// Looks for more events. Detached.
    fn look(&mut self) -> Result<Looked, SearchError> {
        match &mut self.next {
            Next::End => Ok(Looked::End),
            Next::Page { left: 0, .. } => Ok(Looked::End),
            Next::Page { order, cursor, left } => {
                let page =
                    self.search.page(&self.filter, *order, cursor.as_ref(), (*left).min(PAGE), None)?;
                *left -= page.hits.len();
                self.found.extend(page.hits);
                match page.next {
                    Some(next) => *cursor = Some(next),
                    None => self.next = Next::End,
                }
                Ok(if self.found.is_empty() { Looked::End } else { Looked::Found })
            }
            Next::Follow { seen, poll, is_behind } => {
                // Not as soon as it begins to close: it writes its last events then.
                let is_last = self.shared.has_closed() || self.ends.load(Ordering::Acquire);
                if !is_last && !*is_behind {
                    std::thread::sleep((*poll).min(SLICE));
                }
                self.search.refresh()?;
                // Taken before the lines are read: what arrives meanwhile is shown by the next look.
                let end = seen.or_later(&self.search.end());
                if end != *seen {
                    let (since, found) = (seen.clone(), &mut self.found);
                    let (mut bytes, mut is_whole) = (0, true);
                    self.search.each(&self.filter, Order::OLDEST_RECORDED, Some(&since), &mut |hit| {
                        seen.pass(&hit.origin, hit.index);
                        bytes += hit.exact_line().len();
                        found.push_back(hit.clone());
                        // A slow reader has the rest in its trail, not here.
                        is_whole = found.len() < PAGE && bytes < PAGE_BYTES;
                        if is_whole { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                    })?;
                    *is_behind = !is_whole;
                    if is_whole {
                        *seen = end;
                    }
                }
                Ok(match (self.found.is_empty(), is_last) {
                    (false, _) => Looked::Found,
                    (true, false) => Looked::Nothing,
                    (true, true) => Looked::End,
                })
            }
        }
    }
}

impl Events {
    fn new(walk: Walk) -> Events {
        Events { ends: walk.ends.clone(), walk: Mutex::new(walk) }
    }

    fn walk(&self) -> MutexGuard<'_, Walk> {
        self.walk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn next_event<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        loop {
            // Detached, since another thread may look meanwhile, and hold the lock for as long as that takes.
            let hit = py.detach(|| {
                let mut walk = self.walk();
                let first = |walk: &mut Walk| Some((walk.found.pop_front()?, walk.keys.clone()));
                if let Some(hit) = first(&mut walk) {
                    return Ok(Some(Some(hit)));
                }
                Ok(match walk.look()? {
                    Looked::Found => Some(first(&mut walk)),
                    Looked::Nothing => Some(None),
                    Looked::End => None,
                })
            });
            match hit.map_err(|error: SearchError| failures::of_reading(py, &error))? {
                None => return Ok(None),
                Some(Some((hit, keys))) => return shown(py, &hit, keys.as_deref()).map(Some),
                Some(None) => py.check_signals()?,
            }
        }
    }
}

#[pymethods]
impl Events {
    /// Lets a tail that follows end once it has shown what is on disk by now.
    fn _end(&self) {
        self.ends.store(true, Ordering::Release);
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.next_event(py)
    }
}

/// One page of events.
#[pyclass(frozen, module = "trailseal")]
pub(crate) struct Page {
    events: Vec<Py<PyAny>>,
    next: Option<String>,
}

#[pymethods]
impl Page {
    #[getter]
    fn events(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        self.events.iter().map(|event| event.clone_ref(py)).collect()
    }

    #[getter]
    fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    fn __repr__(&self) -> String {
        format!("<trailseal.Page of {} events, next={:?}>", self.events.len(), self.next)
    }
}
