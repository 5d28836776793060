//! JSON text as plain Python values, and back.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::values::Writer;

/// The value of a JSON text.
pub(crate) fn loads<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import(intern!(py, "json"))?.call_method1(intern!(py, "loads"), (text,))
}

/// An event's line as a dict that begins with the name of its trail.
pub(crate) fn event<'py>(py: Python<'py>, origin: &str, line: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let mut text = Vec::with_capacity(line.len() + origin.len() + 16);
    text.extend_from_slice(b"{\"origin\":\"");
    crate::json_strings::escape(origin.as_bytes(), &mut text);
    text.extend_from_slice(b"\",");
    text.extend_from_slice(line.strip_prefix(b"{").unwrap_or(line));
    py.import(intern!(py, "json"))?.call_method1(intern!(py, "loads"), (PyBytes::new(py, &text),))
}

/// A value as JSON.
pub(crate) fn json_of(value: &Bound<'_, PyAny>) -> PyResult<serde_json::Value> {
    let mut text = Vec::new();
    let mut writer = Writer::new(value.py(), &mut text);
    writer.value("value", value);
    writer.finish()?;
    serde_json::from_slice(&text).map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))
}
