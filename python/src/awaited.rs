//! What is recorded, or waits for room, and is not at its level yet.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyList;
use trailseal_core::{Tried, TriedAll};

use crate::failures::of_record;
use crate::receipt::Receipt;
use crate::shared::Opened;
use crate::waiting_for_room::{Arrival, NoRoom, Placed, Reached, Room};

/// Events that are recorded, or wait for room, and whose level is not reached yet.
#[pyclass(frozen, module = "trailseal._trailseal")]
pub(crate) struct Awaited {
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
#[allow(
    clippy::large_enum_variant,
    reason = "it goes into an object of Python at once, without a box on its way"
)]
pub(crate) enum Next {
    Done(Py<PyAny>),
    Waits(Awaited),
}

impl Next {
    /// Where one event goes on.
    pub(crate) fn of_one(py: Python<'_>, tried: Tried, opened: &Opened) -> PyResult<Next> {
        let origin = &opened.origin;
        Ok(match tried {
            Tried::Done(receipt) => Next::Done(receipts(py, Reached::One(receipt), origin)?),
            Tried::Pending(pending) => Next::waits(State::Placed(Placed::One(pending)), origin),
            Tried::NoRoom(held) => Next::waits(State::NoRoom(NoRoom::One(held), opened.room.clone()), origin),
        })
    }

    /// Where events go on that are recorded as one.
    pub(crate) fn of_all(
        py: Python<'_>,
        tried: TriedAll,
        origin: &Arc<str>,
        room: Arc<Room>,
    ) -> PyResult<Next> {
        Ok(match tried {
            TriedAll::Done(done) => Next::Done(receipts(py, Reached::All(done), origin)?),
            TriedAll::Pending(pending) => Next::waits(State::Placed(Placed::All(pending)), origin),
            TriedAll::NoRoom(held) => Next::waits(State::NoRoom(NoRoom::All(held), room), origin),
        })
    }

    fn waits(state: State, origin: &Arc<str>) -> Next {
        Next::Waits(Awaited { origin: origin.clone(), state: Mutex::new(Some(state)) })
    }

    pub(crate) fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Next::Done(done) => Ok(done),
            Next::Waits(awaited) => Ok(Bound::new(py, awaited)?.into_any().unbind()),
        }
    }

    /// Waits until the level is reached.
    pub(crate) fn wait(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Next::Done(done) => Ok(done),
            Next::Waits(awaited) => awaited.wait(py),
        }
    }
}

/// The receipt of one event, or the list of those of several.
pub(crate) fn receipts(py: Python<'_>, reached: Reached, origin: &Arc<str>) -> PyResult<Py<PyAny>> {
    match reached {
        Reached::One(receipt) => Ok(Bound::new(py, Receipt::new(receipt, origin))?.into_any().unbind()),
        Reached::All(receipts) => {
            let receipts = receipts.into_iter().map(|receipt| Py::new(py, Receipt::new(receipt, origin)));
            let receipts: Vec<Py<Receipt>> = receipts.collect::<PyResult<_>>()?;
            Ok(PyList::new(py, receipts)?.into_any().unbind())
        }
    }
}

impl Awaited {
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
impl Awaited {
    /// Blocks until the level is reached.
    pub(crate) fn wait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let state = self.take()?;
        let done = py.detach(|| match state {
            State::Placed(placed) => placed.wait(),
            State::NoRoom(events, _) => events.record()?.wait(),
        });
        receipts(py, done.map_err(|error| of_record(py, &error))?, &self.origin)
    }

    /// For whoever cannot wait: what needs room is recorded as soon as there is some.
    fn let_go(&self) -> PyResult<()> {
        self.go().map(drop)
    }
}
