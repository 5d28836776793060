//! What was handed in, or waits for room, and is not at its level yet.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyList;
use trailseal_core::{Ack, RecordError};

use crate::failures::of_record;
use crate::receipt::Receipt;
use crate::room::{Arrival, NoRoom, Placed, Room};

/// Events that were handed in, or wait for room, and whose level is not reached yet.
#[pyclass(frozen, module = "trailseal._trailseal")]
pub(crate) struct HandedIn {
    pub(crate) origin: Arc<str>,
    state: Mutex<Option<State>>,
}

enum State {
    Placed(Placed),
    NoRoom(NoRoom, Arc<Room>),
}

/// Where it goes on in an event loop.
pub(crate) enum Goes {
    Placed(Placed),
    Arrives(Arrival),
}

/// What is waited for, or the receipts of what need not be.
pub(crate) enum Next {
    Done(Py<PyAny>),
    Waits(HandedIn),
}

/// Whether it is not at its level yet.
pub(crate) fn is_waited_for(handed_in: &trailseal_core::HandedIn) -> bool {
    handed_in.ack > Ack::Accepted && handed_in.receipt.index.is_some()
}

impl Next {
    pub(crate) fn placed(py: Python<'_>, placed: Placed, origin: &Arc<str>) -> PyResult<Next> {
        if placed.newest.as_ref().is_some_and(is_waited_for) {
            return Ok(Next::Waits(HandedIn::new(State::Placed(placed), origin)));
        }
        receipts(py, placed.newest.map(|newest| newest.receipt), placed.all, origin).map(Next::Done)
    }

    pub(crate) fn no_room(events: NoRoom, room: &Arc<Room>, origin: &Arc<str>) -> Next {
        Next::Waits(HandedIn::new(State::NoRoom(events, room.clone()), origin))
    }

    pub(crate) fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Next::Done(done) => Ok(done),
            Next::Waits(handed_in) => Ok(Bound::new(py, handed_in)?.into_any().unbind()),
        }
    }

    /// Waits until the level is reached.
    pub(crate) fn wait(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Next::Done(done) => Ok(done),
            Next::Waits(handed_in) => handed_in.wait(py),
        }
    }
}

/// The receipt of one event; of several their receipts, all at the level of the newest.
pub(crate) fn receipts(
    py: Python<'_>,
    newest: Option<trailseal_core::Receipt>,
    all: Option<Vec<trailseal_core::Receipt>>,
    origin: &Arc<str>,
) -> PyResult<Py<PyAny>> {
    let newest = newest.map(|newest| Receipt::new(newest, origin));
    match (all, newest) {
        (Some(all), newest) => {
            let all = all.into_iter().map(|one| {
                let one = Receipt::new(one, origin);
                newest.as_ref().map_or_else(|| one.at(&one), |newest| one.at(newest))
            });
            let all: Vec<Py<Receipt>> = all.map(|one| Py::new(py, one)).collect::<PyResult<_>>()?;
            Ok(PyList::new(py, all)?.into_any().unbind())
        }
        (None, Some(newest)) => Ok(Bound::new(py, newest)?.into_any().unbind()),
        (None, None) => Ok(py.None()),
    }
}

impl HandedIn {
    fn new(state: State, origin: &Arc<str>) -> HandedIn {
        HandedIn { origin: origin.clone(), state: Mutex::new(Some(state)) }
    }

    fn take(&self) -> PyResult<State> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).take();
        let twice = || pyo3::exceptions::PyRuntimeError::new_err("this event is waited for already");
        state.ok_or_else(twice)
    }

    pub(crate) fn go(&self) -> PyResult<Goes> {
        Ok(match self.take()? {
            State::Placed(placed) => Goes::Placed(placed),
            State::NoRoom(events, room) => Goes::Arrives(room.wait(events)),
        })
    }
}

#[pymethods]
impl HandedIn {
    /// Blocks until the level is reached.
    pub(crate) fn wait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let state = self.take()?;
        let done = py.detach(|| {
            let placed = match state {
                State::Placed(placed) => placed,
                State::NoRoom(events, _) => {
                    let room_wait = events.trail().room_wait();
                    events.hand_in(room_wait)?
                }
            };
            let Placed { trail, newest, all } = placed;
            let newest = newest.map(|newest| trail.finish(newest)).transpose()?;
            Ok((newest, all))
        });
        let (newest, all) = done.map_err(|error: RecordError| of_record(py, &error))?;
        receipts(py, newest, all, &self.origin)
    }

    /// For whoever cannot wait: what needs room is handed in as soon as there is some.
    fn let_go(&self) -> PyResult<()> {
        self.go().map(drop)
    }
}
