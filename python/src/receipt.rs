//! What a caller gets for an event.

use pyo3::prelude::*;
use std::sync::Arc;

use trailseal_core::Status;
use trailseal_event::complete::EventId;

/// What a caller gets for an event.
#[pyclass(frozen, module = "trailseal")]
pub(crate) struct Receipt {
    id: EventId,
    index: Option<u64>,
    status: Status,
    origin: Arc<str>,
}

impl Receipt {
    pub(crate) fn new(receipt: trailseal_core::Receipt, origin: &Arc<str>) -> Receipt {
        let index = receipt.index.map(trailseal_event::Index::get);
        Receipt { id: receipt.id, index, status: receipt.status, origin: origin.clone() }
    }

    pub(crate) fn place(&self) -> Option<(&str, u64)> {
        Some((&self.origin, self.index?))
    }
}

fn name(status: Status) -> &'static str {
    match status {
        Status::Accepted => "accepted",
        // What it repeats is in the trail.
        Status::Durable | Status::Repeated { .. } => "durable",
        Status::Stored => "stored",
        Status::Unconfirmed => "unconfirmed",
        Status::Refused => "refused",
        Status::SampledOut => "sampled_out",
        Status::Off => "off",
    }
}

#[pymethods]
impl Receipt {
    #[getter]
    fn id(&self) -> &str {
        self.id.as_str()
    }

    #[getter]
    fn index(&self) -> Option<u64> {
        self.index
    }

    #[getter]
    fn status(&self) -> &'static str {
        name(self.status)
    }

    #[getter]
    fn origin(&self) -> &str {
        &self.origin
    }

    #[getter]
    fn repeated(&self) -> bool {
        matches!(self.status, Status::Repeated { .. })
    }

    #[getter]
    fn retired(&self) -> bool {
        self.status == Status::Repeated { retired: true }
    }

    #[getter]
    fn is_kept(&self) -> bool {
        self.index.is_some()
    }

    fn __repr__(&self) -> String {
        let index = self.index.map_or_else(|| "None".to_owned(), |index| index.to_string());
        format!("Receipt(id={:?}, index={index}, status={:?})", self.id.as_str(), name(self.status))
    }
}
