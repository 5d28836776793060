//! A relay, which takes events over from an outbox.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use trailseal_core::fork;
use trailseal_postgres::StoreUrl;
use trailseal_postgres::outbox::{Relay as Running, RelayStats};

use crate::failures;
use crate::shared::Shared;

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What `Trail.relay_outbox` returns.
#[pyclass(frozen, module = "trailseal._trailseal")]
pub(crate) struct Relay {
    running: Mutex<Option<Running>>,
    ended: Mutex<RelayStats>,
    fork: u32,
}

impl Relay {
    pub(crate) fn start(py: Python<'_>, shared: &Shared, url: &str) -> PyResult<Relay> {
        let refused = |text: String| failures::exception(py, "SettingsError", text);
        let url = StoreUrl::parse(url).map_err(|error| refused(format!("outbox: {error}")))?;
        let trail = shared.opened(py)?.trail.clone();
        let running = Running::start(trail, url);
        let running = running.map_err(|error| refused(format!("could not start a relay: {error}")))?;
        Ok(Relay { running: Mutex::new(Some(running)), ended: Mutex::default(), fork: fork::generation() })
    }

    fn take(&self) -> Option<Running> {
        if self.fork != fork::generation() {
            return None;
        }
        self.running.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn numbers(&self) -> RelayStats {
        let ended = || self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if self.fork != fork::generation() {
            return RelayStats::default();
        }
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map_or_else(ended, Running::stats)
    }
}

#[pymethods]
impl Relay {
    /// What it has done, and why it does nothing at the moment.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.numbers();
        let numbers = PyDict::new(py);
        numbers.set_item("taken_over", stats.taken_over)?;
        numbers.set_item("refused", stats.refused)?;
        numbers.set_item("trouble", stats.trouble)?;
        Ok(numbers)
    }

    /// Waits until everything that was committed before is taken over.
    #[pyo3(signature = (timeout = 10.0))]
    fn wait_emptied(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let timeout = Duration::try_from_secs_f64(timeout)
            .map_err(|_| PyValueError::new_err("timeout is a number of seconds"))?;
        let begun = Instant::now();
        let wanted = self.numbers().emptied + 2;
        loop {
            let stats = self.numbers();
            if stats.emptied >= wanted {
                return Ok(true);
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if stats.has_ended || left.is_zero() {
                return Ok(false);
            }
            if let Some(running) = &*self.running.lock().unwrap_or_else(PoisonError::into_inner) {
                running.look_now();
            }
            py.detach(|| std::thread::sleep(LOOK_EVERY));
            py.check_signals()?;
        }
    }

    /// Ends it, and waits for that.
    fn stop(&self, py: Python<'_>) {
        let Some(running) = self.take() else { return };
        let stats = py.detach(|| running.stop());
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) {
        self.stop(py);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if self.fork != fork::generation() {
            // Its thread is the parent's.
            std::mem::forget(running);
        }
    }
}
