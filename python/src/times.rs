//! Moments of Python as timestamps.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;
use trailseal_event::Timestamp;

/// A moment, and whether its time zone is a guess.
pub(crate) fn timestamp(time: &Bound<'_, PyAny>) -> PyResult<(Timestamp, bool)> {
    let py = time.py();
    let is_naive = time.getattr(intern!(py, "tzinfo"))?.is_none();
    let epochs = epochs(py)?;
    let epoch = if is_naive { &epochs.naive } else { &epochs.utc };
    let since = time.sub(epoch.bind(py))?;
    let part = |name: &Bound<'_, PyString>| since.getattr(name)?.extract::<i64>();
    let days = part(intern!(py, "days"))?;
    let seconds = part(intern!(py, "seconds"))?;
    let micros = part(intern!(py, "microseconds"))?;
    Ok((Timestamp::from_micros((days * 86_400 + seconds) * 1_000_000 + micros), is_naive))
}

struct Epochs {
    naive: Py<PyAny>,
    utc: Py<PyAny>,
}

fn epochs(py: Python<'_>) -> PyResult<&'static Epochs> {
    static EPOCHS: pyo3::sync::PyOnceLock<Epochs> = pyo3::sync::PyOnceLock::new();
    EPOCHS.get_or_try_init(py, || {
        let module = py.import("datetime")?;
        let class = module.getattr("datetime")?;
        let utc = module.getattr("timezone")?.getattr("utc")?;
        let naive = class.call1((1970, 1, 1))?.unbind();
        let utc = class.call1((1970, 1, 1, 0, 0, 0, 0, utc))?.unbind();
        Ok(Epochs { naive, utc })
    })
}
