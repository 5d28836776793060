//! The end of a process, and its forks.
//!
//! At Python's `atexit` everything is flushed, with a time limit, and what is not on disk is said. Trails are closed by
//! the C `atexit`, after Python has ended: so what is recorded by handlers that run later, or by destructors, is still
//! taken.
#![allow(unsafe_code)]

use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::{failures, notices, registry};

/// How long the end of a process may take, for all trails together.
const WITHIN: Duration = Duration::from_secs(10);

/// Registers what runs at the end, and after a fork.
pub(crate) fn prepare(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    notices::prepare();
    drop(registry::all());
    let at_exit = wrap_pyfunction!(at_exit, module)?;
    py.import("atexit")?.call_method1("register", (at_exit,))?;
    let after_fork = PyDict::new(py);
    after_fork.set_item("after_in_child", wrap_pyfunction!(after_fork_in_child, module)?)?;
    py.import("os")?.call_method("register_at_fork", (), Some(&after_fork))?;
    // SAFETY: a function without arguments that does not unwind: panics abort there.
    let registered = unsafe { libc::atexit(at_c_exit) };
    if registered != 0 {
        notices::log(
            py,
            "warning",
            "trails must be closed by the application: no exit handler could be registered",
        )?;
    }
    Ok(())
}

/// Python's `atexit`: everything that was accepted goes on disk.
#[pyfunction]
fn at_exit(py: Python<'_>) {
    let trails = registry::all();
    let late: Vec<String> = py.detach(|| {
        let deadline = Instant::now() + WITHIN;
        trails
            .iter()
            .for_each(|shared| shared.empty_room(deadline.saturating_duration_since(Instant::now())));
        let open = trails.iter().filter_map(|shared| shared.if_open());
        open.filter_map(|trail| {
            let left = deadline.saturating_duration_since(Instant::now());
            let why = failures::with_causes(&trail.flush(left).err()?);
            Some(format!("{}: {why}; the next opening recovers what is in the handoff", trail.origin()))
        })
        .collect()
    });
    notices::log_waiting(py);
    for text in late {
        if notices::log(py, "error", &text).is_err() {
            notices::tell_at_end(&text);
        }
    }
    notices::end();
}

/// Only forks that Python makes come here: it warms up, and nothing depends on it.
#[pyfunction]
fn after_fork_in_child(py: Python<'_>) {
    notices::begin_again();
    py.detach(|| registry::all().iter().for_each(|shared| shared.after_fork()));
}

/// After Python has ended.
extern "C" fn at_c_exit() {
    notices::end();
    let deadline = Instant::now() + WITHIN;
    for shared in registry::all() {
        if let Err(error) = shared.close(deadline.saturating_duration_since(Instant::now())) {
            notices::tell_at_end(&format!("{}: {error}", shared.dir().display()));
        }
    }
}
