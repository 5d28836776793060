//! From the core's errors to Python's.

use pyo3::prelude::*;
use trailseal_cli::application::Trouble;
pub(crate) use trailseal_cli::application::with_causes;
use trailseal_core::{CloseError, OpenError, RecordError};

/// An exception of `trailseal`, by name.
pub(crate) fn exception(py: Python<'_>, name: &str, arguments: impl IntoPyArguments) -> PyErr {
    let class = py.import("trailseal._errors").and_then(|module| module.getattr(name));
    match class.and_then(|class| arguments.call(&class)) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// What an exception is made of.
pub(crate) trait IntoPyArguments {
    fn call<'py>(self, class: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>;
}

impl IntoPyArguments for String {
    fn call<'py>(self, class: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        class.call1((self,))
    }
}

impl IntoPyArguments for (String, u64, &str) {
    fn call<'py>(self, class: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        class.call1(self)
    }
}

pub(crate) fn of_record(py: Python<'_>, error: &RecordError) -> PyErr {
    let text = with_causes(error);
    match error {
        RecordError::Unconfirmed { index, id } => {
            exception(py, "UnconfirmedError", (text, index.get(), id.as_str()))
        }
        RecordError::Closed => exception(py, "ClosedError", text),
        RecordError::Forked => exception(
            py,
            "ForkedError",
            "the trail was opened before a fork, so this process cannot record in it: open it with \
             workers=\"slots\", or in each process by itself"
                .to_owned(),
        ),
        RecordError::Full => exception(py, "FullError", text),
        _ => exception(py, "RefusedError", text),
    }
}

pub(crate) fn of_open(py: Python<'_>, error: &OpenError) -> PyErr {
    let text = with_causes(error);
    match error.reason() {
        OpenError::Locked { .. } => exception(
            py,
            "LockedError",
            format!("{text}; for an application of several processes open it with workers=\"slots\""),
        ),
        _ => exception(py, "OpenError", text),
    }
}

/// Why not everything is on disk, or sealed.
pub(crate) fn of_waiting(py: Python<'_>, error: &dyn std::error::Error) -> PyErr {
    exception(py, "TrailsealError", with_causes(error))
}

pub(crate) fn of_close(py: Python<'_>, error: &CloseError) -> PyErr {
    exception(py, "CloseError", with_causes(error))
}

pub(crate) fn of_settings(py: Python<'_>, trouble: &Trouble) -> PyErr {
    exception(py, "SettingsError", trouble.to_string())
}

pub(crate) fn of_reading(py: Python<'_>, error: &dyn std::error::Error) -> PyErr {
    exception(py, "ReadError", with_causes(error))
}
