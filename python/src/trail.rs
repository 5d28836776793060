//! The class `Trail`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use trailseal_core::deliver::DeliveryState;
use trailseal_core::{Ack, AnyEvent, CloseError, FlushError, RecordError, RecordOptions, SealError};
use trailseal_event::{Event, EventText};

use crate::awaited::Next;
use crate::failures::{self, of_record};
use crate::fields::Fields;
use crate::head_fields::plain_text;
use crate::json_values::loads;
use crate::opening::Opening;
use crate::reading::{self, Asked, Events, Page};
use crate::receipt::Receipt;
use crate::relay::Relay;
use crate::server::Server;
use crate::shared::{Shared, Temporary};

/// A signal is answered this soon, however long a wait is.
const SLICE: Duration = Duration::from_millis(100);
/// So many seconds are for ever.
const SECONDS_MAX: f64 = 1e9;

/// An application's audit trail: a folder. Use `trailseal.Trail`, which adds the awaitable forms.
#[pyclass(frozen, subclass, weakref, module = "trailseal._trailseal")]
pub(crate) struct Trail {
    pub(crate) shared: Arc<Shared>,
}

/// An open trail on its way to the class of Python that holds it.
#[pyclass(frozen)]
struct Handle(Arc<Shared>);

fn ack_of(ack: Option<&str>) -> PyResult<Ack> {
    match ack {
        None | Some("accepted") => Ok(Ack::Accepted),
        Some("durable") => Ok(Ack::Durable),
        Some("store") => Ok(Ack::Store),
        Some(other) => {
            Err(PyValueError::new_err(format!("ack cannot be {other:?}: use accepted, durable or store")))
        }
    }
}

fn seconds(timeout: f64) -> PyResult<Duration> {
    if timeout.is_nan() || timeout < 0.0 {
        return Err(PyValueError::new_err(format!("timeout cannot be {timeout}: use a number of seconds")));
    }
    Ok(Duration::from_secs_f64(timeout.min(SECONDS_MAX)))
}

/// What comes after a slice of a wait.
enum Slice {
    /// The next one; after the last, this failure, or just that time is up.
    GoOn(Option<PyErr>),
    /// Waiting does not help.
    End(PyErr),
}

fn not_durable(py: Python<'_>, error: &FlushError) -> Slice {
    match error {
        FlushError::TimedOut { .. } => Slice::GoOn(None),
        error => Slice::End(failures::of_waiting(py, error)),
    }
}

impl Trail {
    /// Records an event, attached and without waiting.
    #[inline]
    fn begin<'py>(
        &self,
        py: Python<'py>,
        action: &Bound<'py, PyAny>,
        fields: &Fields<'py>,
        ack: Ack,
    ) -> PyResult<Next> {
        let opened = self.shared.opened(py)?;
        let tried = fields.with_event(py, action, |event| {
            opened.trail.with(ack).try_record(event).map_err(|error| of_record(py, &error))
        })?;
        Next::of_one(py, tried, &opened)
    }

    /// The same for events that are recorded as one.
    fn begin_all<'py>(
        &self,
        py: Python<'py>,
        events: &Bound<'py, PyAny>,
        ack: Option<&str>,
    ) -> PyResult<Next> {
        let mut ack = ack_of(ack)?;
        let opened = self.shared.opened(py)?;
        let (trail, origin, room) = (opened.trail.clone(), opened.origin.clone(), opened.room.clone());
        drop(opened);
        let mut all = Vec::new();
        for event in events.try_iter()? {
            let (fields, action, own_ack) = Fields::of(&event?)?;
            ack = ack.max(ack_of(own_ack.as_deref())?);
            let Some(action) = action else {
                return Err(PyTypeError::new_err("each event needs an 'action'"));
            };
            all.push(fields.with_event(py, &action, |event| event_of(py, event))?);
        }
        let tried =
            py.detach(|| trail.with(ack).try_record_all(&all)).map_err(|error| of_record(py, &error))?;
        Next::of_all(py, tried, &origin, room)
    }

    /// Waits in slices, so that signals are answered; `work` is told how long a slice is. `false` if time is up.
    fn sliced<E: Send>(
        py: Python<'_>,
        timeout: Duration,
        work: impl Fn(Duration) -> Result<(), E> + Sync,
        why: impl Fn(E) -> Slice,
    ) -> PyResult<bool> {
        let begun = std::time::Instant::now();
        loop {
            let left = timeout.saturating_sub(begun.elapsed());
            let Err(error) = py.detach(|| work(left.min(SLICE))) else { return Ok(true) };
            py.check_signals()?;
            match why(error) {
                Slice::GoOn(_) if !left.is_zero() => {}
                Slice::GoOn(None) => return Ok(false),
                Slice::GoOn(Some(failure)) | Slice::End(failure) => return Err(failure),
            }
        }
    }

    fn asked(
        &self,
        py: Python<'_>,
        what: &'static str,
        given: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Asked> {
        let pairs = reading::pairs(given)?;
        Asked::new(py, &self.shared, what, pairs)
    }

    fn wrap<'py>(class: &Bound<'py, PyType>, shared: Arc<Shared>) -> PyResult<Bound<'py, PyAny>> {
        let make = || class.call1((Handle(shared.clone()),));
        shared.handle(class, make)
    }
}

#[pymethods]
impl Trail {
    #[new]
    fn new(handle: &Bound<'_, PyAny>) -> PyResult<Trail> {
        match handle.cast::<Handle>() {
            Ok(handle) => Ok(Trail { shared: handle.get().0.clone() }),
            Err(_) => Err(PyTypeError::new_err("open a trail with Trail.open(dir)")),
        }
    }

    #[classmethod]
    #[pyo3(signature = (
        dir = None, *, config = None, environment = true, warm_up = false, rules = None, personal = None,
        anchors = None, **settings
    ))]
    #[allow(clippy::too_many_arguments, reason = "the keywords of Python")]
    fn open<'py>(
        class: &Bound<'py, PyType>,
        dir: Option<PathBuf>,
        config: Option<PathBuf>,
        environment: bool,
        warm_up: bool,
        rules: Option<Bound<'py, PyAny>>,
        personal: Option<Bound<'py, PyAny>>,
        anchors: Option<Bound<'py, PyAny>>,
        settings: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let opening =
            Opening { dir, config, environment, warms_up: warm_up, rules, personal, anchors, settings };
        Trail::wrap(class, opening.open(class.py(), None)?)
    }

    /// A trail for a test, in a folder of its own that goes away with it.
    #[classmethod]
    #[pyo3(signature = (*, config = None, warm_up = false, rules = None, personal = None, anchors = None, **settings))]
    fn temporary<'py>(
        class: &Bound<'py, PyType>,
        config: Option<PathBuf>,
        warm_up: bool,
        rules: Option<Bound<'py, PyAny>>,
        personal: Option<Bound<'py, PyAny>>,
        anchors: Option<Bound<'py, PyAny>>,
        settings: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = class.py();
        let given = PyDict::new(py);
        given.set_item("handoff_size", "4MiB")?;
        given.set_item("disk_reserve", "0")?;
        if let Some(settings) = settings {
            given.update(settings.as_mapping())?;
        }
        let temporary = Temporary::new()?;
        let opening = Opening {
            dir: Some(temporary.path().join("trail")),
            config,
            environment: false,
            warms_up: warm_up,
            rules,
            personal,
            anchors,
            settings: Some(given),
        };
        Trail::wrap(class, opening.open(py, Some(temporary))?)
    }

    #[getter]
    fn dir(&self) -> PathBuf {
        self.shared.dir().to_owned()
    }

    #[getter]
    fn origin(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.shared.opened(py)?.origin.to_string())
    }

    #[getter]
    fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    #[getter]
    fn workers(&self) -> &'static str {
        if self.shared.is_slots() { "slots" } else { "one" }
    }

    /// Opens what the first record of this process would open.
    fn warm_up(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.opened(py).map(drop)
    }

    #[pyo3(signature = (
        action, *, actor = None, tenant = None, resource = None, outcome = None, details = None, before = None,
        after = None, changes = None, context = None, category = None, severity = None, description = None,
        error = None, on_behalf_of = None, related = None, duration_ms = None, approval = None, id = None,
        time = None, extra = None, ack = None
    ))]
    #[allow(clippy::too_many_arguments, reason = "the keywords of Python")]
    fn record<'py>(
        &self,
        py: Python<'py>,
        action: Bound<'py, PyAny>,
        actor: Option<Bound<'py, PyAny>>,
        tenant: Option<Bound<'py, PyAny>>,
        resource: Option<Bound<'py, PyAny>>,
        outcome: Option<Bound<'py, PyAny>>,
        details: Option<Bound<'py, PyAny>>,
        before: Option<Bound<'py, PyAny>>,
        after: Option<Bound<'py, PyAny>>,
        changes: Option<Bound<'py, PyAny>>,
        context: Option<Bound<'py, PyAny>>,
        category: Option<Bound<'py, PyAny>>,
        severity: Option<Bound<'py, PyAny>>,
        description: Option<Bound<'py, PyAny>>,
        error: Option<Bound<'py, PyAny>>,
        on_behalf_of: Option<Bound<'py, PyAny>>,
        related: Option<Bound<'py, PyAny>>,
        duration_ms: Option<Bound<'py, PyAny>>,
        approval: Option<Bound<'py, PyAny>>,
        id: Option<Bound<'py, PyAny>>,
        time: Option<Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyAny>>,
        ack: Option<&str>,
    ) -> PyResult<Py<PyAny>> {
        let ack = ack_of(ack)?;
        let fields = Fields {
            actor,
            tenant,
            resource,
            outcome,
            details,
            before,
            after,
            changes,
            context,
            category,
            severity,
            description,
            error,
            on_behalf_of,
            related,
            duration_ms,
            approval,
            id,
            time,
            extra,
        };
        self.begin(py, &action, &fields, ack)?.wait(py)
    }

    /// As `record`, unless its tenant already has an event with this id.
    #[pyo3(signature = (action, **fields))]
    fn record_once<'py>(
        &self,
        py: Python<'py>,
        action: Bound<'py, PyAny>,
        fields: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Receipt> {
        let (given, _, ack) = match fields {
            Some(fields) => Fields::of(fields)?,
            None => Default::default(),
        };
        if given.id.is_none() {
            return Err(PyTypeError::new_err("record_once() needs the keyword argument 'id'"));
        }
        let ack = ack_of(ack.as_deref())?;
        let opened = self.shared.opened(py)?;
        let (trail, origin) = (opened.trail.clone(), opened.origin.clone());
        drop(opened);
        let text = given.with_event(py, &action, |event| Ok(event.to_json()))?;
        let once = RecordOptions::from(ack).once();
        match py.detach(|| trail.with(once).record(AnyEvent::Json(&text))) {
            Ok(receipt) => Ok(Receipt::new(receipt, &origin)),
            Err(RecordError::Conflict { index: Some(index), id }) => {
                let text = format!("event {index} has the id {id} and another content: nothing was added");
                Err(failures::exception(py, "ConflictError", (text, index.get(), id.as_str())))
            }
            Err(error) => Err(of_record(py, &error)),
        }
    }

    /// Records events as one.
    #[pyo3(signature = (events, *, ack = None))]
    fn record_all<'py>(
        &self,
        py: Python<'py>,
        events: &Bound<'py, PyAny>,
        ack: Option<&str>,
    ) -> PyResult<Py<PyAny>> {
        self.begin_all(py, events, ack)?.wait(py)
    }

    fn _begin<'py>(
        &self,
        py: Python<'py>,
        action: Bound<'py, PyAny>,
        fields: &Bound<'py, PyDict>,
    ) -> PyResult<Py<PyAny>> {
        let (fields, _, ack) = Fields::of(fields)?;
        self.begin(py, &action, &fields, ack_of(ack.as_deref())?)?.into_python(py)
    }

    /// An event for an outbox: its id, its JSON text, and what of it was masked.
    fn _prepare<'py>(
        &self,
        py: Python<'py>,
        action: Bound<'py, PyAny>,
        fields: &Bound<'py, PyDict>,
    ) -> PyResult<(String, String, Vec<String>)> {
        let (fields, _, ack) = Fields::of(fields)?;
        if ack.is_some() {
            let text = "an event in the outbox has no 'ack': it is recorded after the commit";
            return Err(PyTypeError::new_err(text));
        }
        let event = fields.with_event(py, &action, |event| event_of(py, event))?;
        let prepared = self.shared.opened(py)?.trail.prepared(&event);
        let prepared = prepared.map_err(|error| of_record(py, &error))?;
        Ok((prepared.id, prepared.json, prepared.masked))
    }

    fn relay_outbox(&self, py: Python<'_>, url: &str) -> PyResult<Relay> {
        Relay::start(py, &self.shared, url)
    }

    fn _begin_all<'py>(
        &self,
        py: Python<'py>,
        events: &Bound<'py, PyAny>,
        ack: Option<&str>,
    ) -> PyResult<Py<PyAny>> {
        self.begin_all(py, events, ack)?.into_python(py)
    }

    #[pyo3(signature = (*, limit = None, order = "desc", order_by = "time", cursor = None, **filters))]
    fn query(
        &self,
        py: Python<'_>,
        limit: Option<i64>,
        order: &str,
        order_by: &str,
        cursor: Option<&str>,
        filters: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Events> {
        let limit = limit.map(|limit| reading::number("limit", limit)).transpose()?;
        self.asked(py, "query", filters)?.events(py, reading::order(order, order_by)?, cursor, limit)
    }

    #[pyo3(signature = (*, limit = 50, order = "desc", order_by = "time", cursor = None, **filters))]
    fn page(
        &self,
        py: Python<'_>,
        limit: i64,
        order: &str,
        order_by: &str,
        cursor: Option<&str>,
        filters: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Page> {
        let limit = reading::number("limit", limit)?;
        self.asked(py, "query", filters)?.page(py, reading::order(order, order_by)?, cursor, limit)
    }

    #[pyo3(signature = (**filters))]
    fn count(&self, py: Python<'_>, filters: Option<&Bound<'_, PyDict>>) -> PyResult<u64> {
        self.asked(py, "count", filters)?.count(py)
    }

    #[pyo3(signature = (id, *, personal = false))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        id: &Bound<'py, PyAny>,
        personal: bool,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let id = format!("id:{}", plain_text(id)?);
        let asked = Asked::new(py, &self.shared, "query", reading::with_personal("id", id, personal))?;
        asked.events(py, trailseal_index::Order::NEWEST, None, Some(1))?.next_event(py)
    }

    #[pyo3(signature = (resource, *, personal = false))]
    fn history(&self, py: Python<'_>, resource: &Bound<'_, PyAny>, personal: bool) -> PyResult<Events> {
        let resource = reading::resource(resource)?;
        if !resource.contains('/') {
            let text = format!("{resource:?} is not a resource: give TYPE/ID, such as \"invoice/42\"");
            return Err(PyValueError::new_err(text));
        }
        let pairs = reading::with_personal("resource", resource, personal);
        let asked = Asked::new(py, &self.shared, "history", pairs)?;
        asked.events(py, trailseal_index::Order::OLDEST, None, None)
    }

    #[pyo3(signature = (*, top = 10, bucket = None, **filters))]
    fn summary<'py>(
        &self,
        py: Python<'py>,
        top: usize,
        bucket: Option<&Bound<'py, PyAny>>,
        filters: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let bucket = bucket.map(reading::span).transpose()?;
        let text = self.asked(py, "summary", filters)?.summary(py, top, bucket)?;
        loads(py, &text)
    }

    #[pyo3(signature = (n = 10, *, follow = false, poll_seconds = 0.1, **filters))]
    fn tail(
        &self,
        py: Python<'_>,
        n: i64,
        follow: bool,
        poll_seconds: f64,
        filters: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Events> {
        let n = reading::number("n", n)?;
        let poll = follow.then(|| seconds(poll_seconds)).transpose()?;
        self.asked(py, "tail", filters)?.tail(py, n, poll)
    }

    #[pyo3(signature = (**filters))]
    fn export(&self, py: Python<'_>, filters: Option<&Bound<'_, PyDict>>) -> PyResult<Events> {
        let order = trailseal_index::Order::OLDEST_RECORDED;
        self.asked(py, "export", filters)?.events(py, order, None, None)
    }

    #[pyo3(signature = (out, *, format, **filters))]
    fn export_to(
        &self,
        py: Python<'_>,
        out: PathBuf,
        format: String,
        filters: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<u64> {
        let pairs = reading::pairs(filters)?;
        // Also says what is wrong with the filters.
        drop(Asked::new(py, &self.shared, "export", pairs.clone())?);
        let dir = self.shared.dir().to_owned();
        let done = py.detach(|| {
            if format == "bundle"
                && let Some(trail) = self.shared.if_open()
            {
                // A bundle has what is sealed.
                let _ = trail.seal(reading::WITHIN);
            }
            let keys = match pairs.iter().any(|(name, _)| name == reading::PERSONAL) {
                true => Some(self.shared.application().personal_keys()?),
                false => None,
            };
            trailseal_cli::application::export(&dir, &out, &format, &pairs, keys)
        });
        done.map_err(|trouble| failures::of_reading(py, &trouble))
    }

    #[pyo3(signature = (*, public_keys = Vec::new(), checkpoints = Vec::new()))]
    fn verify<'py>(
        &self,
        py: Python<'py>,
        public_keys: Vec<String>,
        checkpoints: Vec<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (trail, dir) = (self.shared.if_open(), self.shared.dir().to_owned());
        let verdict = py.detach(|| {
            // Where that does not come in time, the verdict counts what is not sealed.
            let _ = trail.map(|trail| trail.seal(reading::WITHIN));
            trailseal_cli::application::verify(&dir, &public_keys, &checkpoints)
        });
        loads(py, &verdict.map_err(|trouble| failures::of_reading(py, &trouble))?)
    }

    fn checkpoint(&self, py: Python<'_>) -> PyResult<String> {
        let trail = self.shared.opened(py)?.trail.clone();
        let note = py.detach(|| {
            let _ = trail.seal(reading::WITHIN);
            trail.reader().and_then(|reader| reader.checkpoint())
        });
        note.map(|(note, _)| note).map_err(|error| failures::of_reading(py, &error))
    }

    fn prove(&self, py: Python<'_>, event: &Bound<'_, PyAny>) -> PyResult<String> {
        let wanted = match event.cast::<Receipt>() {
            Ok(receipt) => match receipt.get().place() {
                Some((origin, index)) => format!("{origin}#{index}"),
                None => return Err(PyValueError::new_err("the event of this receipt is not kept")),
            },
            Err(_) if event.is_instance_of::<pyo3::types::PyInt>() => {
                format!("{}#{}", self.shared.opened(py)?.origin, plain_text(event)?)
            }
            Err(_) => plain_text(event)?,
        };
        let (trail, dir) = (self.shared.if_open(), self.shared.dir().to_owned());
        let proof = py.detach(|| {
            let _ = trail.map(|trail| trail.seal(reading::WITHIN));
            let mut search = trailseal_cli::application::search(&dir)?;
            trailseal_cli::application::prove(&mut search, &wanted)
        });
        proof.map_err(|trouble| failures::of_reading(py, &trouble))
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let opened = self.shared.opened(py)?;
        let stats = opened.trail.stats();
        let numbers = PyDict::new(py);
        numbers.set_item("origin", &*opened.origin)?;
        for (name, number) in [
            ("accepted", stats.accepted),
            ("durable", stats.durable),
            ("sealed", stats.sealed),
            ("handoff_used_bytes", stats.handoff_used_bytes),
            ("handoff_bytes", stats.handoff_bytes),
            ("refused", stats.counted.refused),
            ("unconfirmed", stats.counted.unconfirmed),
            ("sampled_out", stats.counted.sampled_out),
            ("off", stats.counted.off),
            ("masked", stats.counted.masked),
            ("warnings", stats.counted.warnings),
        ] {
            numbers.set_item(name, number)?;
        }
        numbers.set_item("seal_trouble", stats.seal_trouble.map(|trouble| trouble.reason.to_string()))?;
        let sinks = PyDict::new(py);
        for sink in stats.deliveries {
            let numbers = PyDict::new(py);
            numbers.set_item("lag_events", sink.lag_events)?;
            let trouble = match sink.state {
                DeliveryState::Failing { reason } | DeliveryState::Stopped { reason, .. } => Some(reason),
                _ => None,
            };
            numbers.set_item("trouble", trouble)?;
            sinks.set_item(sink.name, numbers)?;
        }
        numbers.set_item("sinks", sinks)?;
        Ok(numbers)
    }

    fn policy(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.shared.opened(py)?.trail.policy().to_toml())
    }

    fn set_policy(&self, py: Python<'_>, policy: String) -> PyResult<()> {
        let trail = self.shared.opened(py)?.trail.clone();
        let set = py.detach(|| self.shared.application().set_policy(&trail, &policy));
        set.map_err(|trouble| failures::of_settings(py, &trouble))
    }

    #[pyo3(signature = (mode, *, rate = None))]
    fn set_mode(&self, py: Python<'_>, mode: String, rate: Option<f64>) -> PyResult<()> {
        // The command's own text names its options.
        let mistake = match (&*mode, rate) {
            ("sampled", None) => Some("mode sampled needs a share, such as rate=0.1".to_owned()),
            ("sampled", Some(rate)) if !(0.0..=1.0).contains(&rate) => {
                Some(format!("rate cannot be {rate}: use a number from 0 to 1"))
            }
            ("sync" | "async" | "off", Some(_)) => Some("a rate needs mode sampled".to_owned()),
            _ => None,
        };
        if let Some(mistake) = mistake {
            return Err(failures::exception(py, "SettingsError", mistake));
        }
        let trail = self.shared.opened(py)?.trail.clone();
        let set = py.detach(|| self.shared.application().set_mode(&trail, &mode, rate));
        set.map_err(|trouble| failures::of_settings(py, &trouble))
    }

    fn rotate_key(&self, py: Python<'_>) -> PyResult<String> {
        let trail = self.shared.opened(py)?.trail.clone();
        match py.detach(|| trail.rotate_key()) {
            Ok(key) => Ok(key.to_string()),
            Err(error) => Err(failures::exception(py, "TrailsealError", failures::with_causes(&error))),
        }
    }

    /// Makes one person's values unreadable, or says what would be.
    #[pyo3(signature = (subject, *, dry_run = false))]
    fn erase<'py>(
        &self,
        py: Python<'py>,
        subject: &Bound<'py, PyAny>,
        dry_run: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let subject = plain_text(subject)?;
        let trail = self.shared.opened(py)?.trail.clone();
        let done = py.detach(|| match dry_run {
            true => trail.would_erase(&subject).map(|would| trailseal_server::would_erase_json(&would)),
            false => trail.erase(&subject).map(|erased| trailseal_server::erased_json(&erased)),
        });
        match done {
            Ok(answer) => loads(py, &answer.to_string()),
            Err(error) => Err(failures::exception(py, "TrailsealError", failures::with_causes(&error))),
        }
    }

    #[pyo3(signature = (timeout = 10.0))]
    fn flush(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let timeout = seconds(timeout)?;
        let Some(trail) = self.shared.if_open() else { return Ok(true) };
        Trail::sliced(py, timeout, |slice| trail.flush(slice), |error| not_durable(py, &error))
    }

    #[pyo3(signature = (timeout = 10.0))]
    fn seal(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let timeout = seconds(timeout)?;
        let Some(trail) = self.shared.if_open() else { return Ok(true) };
        let why = |error: SealError| match &error {
            SealError::NotDurable(error) => not_durable(py, error),
            SealError::TimedOut { .. } => Slice::GoOn(None),
            // It is tried again, so this may pass.
            SealError::Failing { .. } => Slice::GoOn(Some(failures::of_waiting(py, &error))),
            _ => Slice::End(failures::of_waiting(py, &error)),
        };
        Trail::sliced(py, timeout, |slice| trail.seal(slice), why)
    }

    #[pyo3(signature = (timeout = 10.0))]
    fn close(&self, py: Python<'_>, timeout: f64) -> PyResult<()> {
        let timeout = seconds(timeout)?;
        let closed = py.detach(|| self.shared.close(timeout));
        crate::notices::log_waiting(py);
        match closed {
            Ok(_) | Err(CloseError::Forked) => Ok(()),
            Err(error) => Err(failures::of_close(py, &error)),
        }
    }

    #[pyo3(signature = (listen = "127.0.0.1:0", *, open = false, config = None, **settings))]
    fn serve(
        &self,
        py: Python<'_>,
        listen: &str,
        open: bool,
        config: Option<PathBuf>,
        settings: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Server> {
        Server::start(py, &self.shared, listen, open, config, settings)
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py, 10.0)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let shared = &slf.get().shared;
        if shared.is_temporary() {
            return Err(PyTypeError::new_err("a temporary trail belongs to the process that made it"));
        }
        let sources = shared.sources();
        let settings = PyDict::new(py);
        for (name, value) in &sources.told {
            match value {
                trailseal_cli::application::Told::Text(text) => settings.set_item(name, text)?,
                trailseal_cli::application::Told::Texts(texts) => settings.set_item(name, texts.clone())?,
            }
        }
        settings.set_item("dir", shared.dir())?;
        settings.set_item("config", sources.config.clone())?;
        settings.set_item("environment", sources.environment)?;
        if sources.rules.is_some() || !sources.anchors.is_empty() {
            for (name, tables) in [("rules", "rule"), ("personal", "personal")] {
                settings.set_item(name, rules_as_python(py, sources.rules.as_deref(), tables)?)?;
            }
            let anchors: PyResult<Vec<_>> =
                sources.anchors.iter().map(|anchor| anchor_as_python(py, anchor)).collect();
            settings.set_item("anchors", anchors?)?;
        }
        let reopen = py.import("trailseal._trail")?.getattr("_reopen")?;
        Ok((reopen, PyTuple::new(py, [slf.get_type().into_any(), settings.into_any()])?))
    }

    fn __repr__(&self) -> String {
        let state = if self.shared.is_closed() { ", closed" } else { "" };
        format!("<trailseal.Trail {:?}{state}>", self.shared.dir().display().to_string())
    }
}

fn rules_as_python<'py>(py: Python<'py>, rules: Option<&str>, tables: &str) -> PyResult<Bound<'py, PyAny>> {
    let parsed: Option<serde_json::Value> = rules.and_then(|rules| toml::from_str(rules).ok());
    let rules = parsed.and_then(|parsed| parsed.get(tables).cloned()).unwrap_or_default();
    loads(py, &rules.to_string())
}

fn anchor_as_python<'py>(py: Python<'py>, anchor: &trailseal_core::Anchor) -> PyResult<Bound<'py, PyDict>> {
    let place = PyDict::new(py);
    match anchor {
        trailseal_core::Anchor::File(path) => place.set_item("file", path)?,
        trailseal_core::Anchor::Command(command) => place.set_item("command", command)?,
    }
    Ok(place)
}

/// The event of a text, for those that are recorded together.
fn event_of(py: Python<'_>, event: &EventText<'_>) -> PyResult<Event> {
    let read = Event::from_json(&event.to_json());
    read.map_err(|error| failures::exception(py, "RefusedError", failures::with_causes(&error)))
}
