//! The native part of the Python package `trailseal`.
//!
//! In the order of an event's way: `fields` and `heads` (the keywords of `record`), `values` (anything as JSON text; with `kinds`),
//! `context` (what the request adds; `request` reads its headers), `trail` (records it), `awaited` (what is waited for), `room` (where the buffer has none),
//! `waits` (asyncio), `reading` (what comes back). `shared` is
//! the open trail, through forks; `ends` is the end of the process; `notices` is what an operator should know.
//!
//! What must hold: nothing waits while it is attached to the interpreter, and nothing attaches while it holds a lock.
//! The threads of the trail never attach.

mod awaited;
mod context;
mod event_loop_waits;
mod failures;
mod fields;
mod head_fields;
mod json_strings;
mod json_values;
mod notices;
mod opening;
mod process_end;
mod reading;
mod receipt;
mod registry;
mod relay;
mod request;
mod server;
mod shared;
mod times;
mod trail;
mod value_kinds;
mod values;
mod waiting_for_room;

use std::ffi::OsString;

use pyo3::prelude::*;

/// The module `trailseal._trailseal`.
#[pymodule(gil_used = false)]
fn _trailseal(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    trailseal_core::fork::watch();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("request_context", context::variable(py)?)?;
    module.add_class::<trail::Trail>()?;
    module.add_class::<receipt::Receipt>()?;
    module.add_class::<context::RequestContext>()?;
    module.add_class::<awaited::Awaited>()?;
    module.add_class::<event_loop_waits::LoopWaits>()?;
    module.add_class::<reading::Events>()?;
    module.add_class::<reading::Page>()?;
    module.add_class::<server::Server>()?;
    module.add_class::<relay::Relay>()?;
    module.add_function(wrap_pyfunction!(run_command, module)?)?;
    module.add_function(wrap_pyfunction!(to_json, module)?)?;
    module.add_function(wrap_pyfunction!(outbox_schema, module)?)?;
    module.add_function(wrap_pyfunction!(fork_generation, module)?)?;
    process_end::prepare(module)
}

/// The command `trailseal`; returns its exit code.
#[pyfunction]
fn run_command(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| trailseal_cli::run(arguments))
}

/// A value as `record` would write it, without masking.
#[pyfunction]
fn to_json(value: &Bound<'_, PyAny>) -> PyResult<String> {
    let mut text = Vec::new();
    let mut writer = values::Writer::new(value.py(), &mut text);
    writer.value("value", value);
    writer.finish()?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The SQL that makes an outbox.
#[pyfunction]
fn outbox_schema() -> &'static str {
    trailseal_outbox::SCHEMA_SQL
}

/// How often this process was forked, as far as the core has seen.
#[pyfunction]
fn fork_generation() -> u32 {
    trailseal_core::fork::generation()
}
