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
    is_repeated: bool,
    is_retired: bool,
    origin: Arc<str>,
}

impl Receipt {
    pub(crate) fn new(receipt: trailseal_core::Receipt, origin: &Arc<str>) -> Receipt {
        let index = receipt.index.map(trailseal_event::Index::get);
        Receipt {
            id: receipt.id,
            index,
            status: receipt.status,
            is_repeated: false,
            is_retired: false,
            origin: origin.clone(),
        }
    }

    pub(crate) fn of_repeated(index: u64, id: &str, is_retired: bool, origin: &Arc<str>) -> Receipt {
        let (id, status) = (EventId::given(id), Status::Durable);
        Receipt { id, index: Some(index), status, is_repeated: true, is_retired, origin: origin.clone() }
    }

    pub(crate) fn place(&self) -> Option<(&str, u64)> {
        Some((&self.origin, self.index?))
    }
}

fn name(status: Status) -> &'static str {
    match status {
        Status::Accepted => "accepted",
        Status::Durable => "durable",
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
        self.is_repeated
    }

    #[getter]
    fn retired(&self) -> bool {
        self.is_retired
    }

    #[getter]
    fn is_kept(&self) -> bool {
        self.index.is_some()
    }

    /// The same event with the status that the last of its batch has reached.
    pub(crate) fn at(&self, last: &Receipt) -> Receipt {
        Receipt {
            id: self.id.clone(),
            index: self.index,
            status: if self.index.is_some() { last.status } else { self.status },
            is_repeated: self.is_repeated,
            is_retired: self.is_retired,
            origin: self.origin.clone(),
        }
    }

    fn __repr__(&self) -> String {
        let index = self.index.map_or_else(|| "None".to_owned(), |index| index.to_string());
        format!("Receipt(id={:?}, index={index}, status={:?})", self.id.as_str(), name(self.status))
    }
}
