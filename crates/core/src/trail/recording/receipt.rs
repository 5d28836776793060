//! What a caller gets.

use std::time::Duration;

use trailseal_event::complete::EventId;
use trailseal_event::policy::{Acknowledge, Mode, OnFailure, Treatment};
use trailseal_event::{Index, Warnings};

use super::record_options::{Ack, How};
use crate::trail::error::RecordError;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// In the handoff.
    Accepted,
    /// On disk.
    Durable,
    /// In the store.
    Stored,
    /// It has an index and is kept, but did not reach the requested level in time; or it repeats such an event.
    Unconfirmed,
    /// An event with its id and content was already there, and nothing was added: the receipt has its index. Only when
    /// [recorded once](crate::RecordOptions::once).
    Repeated {
        /// Whether that event was retired: then only its id was compared, since its content is gone.
        retired: bool,
    },
    /// It has no index and will never be recorded; the policy lets the caller continue.
    Refused,
    /// It was sampled out.
    SampledOut,
    /// The policy does not record such events.
    Off,
}

impl Status {
    /// The status when a wait has ended like this: a repeat stays one, unless its first event was not seen at its level.
    pub(super) fn after(self, reached: Status) -> Status {
        match (self, reached) {
            (Status::Repeated { .. }, Status::Unconfirmed) => Status::Unconfirmed,
            (Status::Repeated { retired }, _) => Status::Repeated { retired },
            (_, reached) => reached,
        }
    }
}

/// What a caller gets for an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Its position; `None` if it is not kept. Provisional until the event is durable: a power loss may take it back.
    pub index: Option<Index>,
    /// Its id, which is never provisional.
    pub id: EventId,
    /// What became of it.
    pub status: Status,
    /// Few events have any, so they are kept out of the way of all others.
    pub(in crate::trail) warnings: Option<Box<Warnings>>,
}

impl Receipt {
    pub(in crate::trail) fn new(index: Option<Index>, id: EventId, status: Status) -> Receipt {
        Receipt { index, id, status, warnings: None }
    }

    /// Warnings for the author of the program that made the event, if it came as JSON.
    pub fn warnings(&self) -> Option<&Warnings> {
        self.warnings.as_deref()
    }

    pub(super) fn with_warnings(mut self, warnings: Warnings) -> Receipt {
        self.warnings = (!warnings.is_empty()).then(|| Box::new(warnings));
        self
    }
}

/// An event in the handoff, or one that is not kept, before anybody waited for the level that it must reach.
#[derive(Clone, Debug)]
#[must_use = "nobody has waited yet for the level that the event must reach"]
pub(super) struct HandedIn {
    /// The receipt so far.
    pub(in crate::trail) receipt: Receipt,
    /// The level to reach.
    pub(super) ack: Ack,
    /// How long that may take.
    pub(in crate::trail) timeout: Duration,
    /// What the caller gets if it takes longer.
    pub(super) on_failure: OnFailure,
    /// How many events wait with this one, including itself: it is the newest of a request.
    pub(in crate::trail) events: u64,
}

impl HandedIn {
    #[inline(always)]
    pub(in crate::trail) fn new(receipt: Receipt, then: &Treatment, how: How) -> HandedIn {
        let timeout = how.timeout.unwrap_or(then.timeout);
        HandedIn { receipt, ack: level(then, how.ack), timeout, on_failure: then.on_failure, events: 1 }
    }

    /// Whether there is nothing to wait for.
    pub(super) fn is_done(&self) -> bool {
        self.ack == Ack::Accepted || self.receipt.index.is_none()
    }

    /// What the caller gets when the wait has ended like this.
    pub(in crate::trail) fn confirmed(self, reached: Status) -> Result<Receipt, RecordError> {
        let HandedIn { mut receipt, on_failure, .. } = self;
        if let (Status::Unconfirmed, OnFailure::Deny, Some(index)) = (reached, on_failure, receipt.index) {
            return Err(RecordError::Unconfirmed { index, id: receipt.id });
        }
        receipt.status = receipt.status.after(reached);
        Ok(receipt)
    }
}

/// The level that a treatment asks for, raised to the caller's.
pub(in crate::trail) fn level(then: &Treatment, ack: Ack) -> Ack {
    ack.max(match (then.mode, then.acknowledge) {
        (Mode::Sync, Acknowledge::Durable) => Ack::Durable,
        (Mode::Sync, Acknowledge::Store) => Ack::Store,
        (Mode::Async | Mode::Sampled | Mode::Off, _) => Ack::Accepted,
    })
}
