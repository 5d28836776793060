//! What a caller asks for, and what it gets.

use std::time::Duration;

use trailseal_event::Index;
use trailseal_event::complete::EventId;
use trailseal_event::policy::{Acknowledge, Mode, OnFailure, Treatment};

use super::error::RecordError;

/// The level that a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ack {
    /// In the handoff: survives a killed process, but not power loss.
    Accepted,
    /// On disk: survives power loss.
    Durable,
    /// In the store attached to the trail. Without one, this level is never reached in time.
    Store,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// In the handoff.
    Accepted,
    /// On disk.
    Durable,
    /// In the store.
    Stored,
    /// It has an index and is kept, but did not reach the requested level in time.
    Unconfirmed,
    /// It has no index and will never be recorded; the policy lets the caller continue.
    Refused,
    /// It was sampled out.
    SampledOut,
    /// The policy does not record such events.
    Off,
}

/// What a caller gets for an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its position; `None` if it is not kept. Provisional until the event is durable: a power loss may take it back.
    pub index: Option<Index>,
    /// Its id, which is never provisional.
    pub id: EventId,
    /// What became of it.
    pub status: Status,
}

/// An event that was handed in, before anybody waited for the level that the policy asks for.
#[derive(Clone, Debug)]
#[must_use = "nobody has waited yet for the level that the event must reach: see Trail::finish"]
pub struct HandedIn {
    /// The receipt so far.
    pub receipt: Receipt,
    /// The level to reach.
    pub ack: Ack,
    /// How long that may take.
    pub timeout: Duration,
    /// What the caller gets if it takes longer.
    pub on_failure: OnFailure,
    /// How many events wait with this one, including itself: it is the newest of a request.
    pub events: u64,
}

pub(super) fn confirmed(receipt: Receipt, on_failure: OnFailure) -> Result<Receipt, RecordError> {
    match (receipt.status, receipt.index) {
        (Status::Unconfirmed, Some(index)) if on_failure == OnFailure::Deny => {
            Err(RecordError::Unconfirmed { index, id: receipt.id })
        }
        _ => Ok(receipt),
    }
}

/// The level that a treatment asks for, raised to the caller's.
pub(super) fn level(then: &Treatment, ack: Ack) -> Ack {
    ack.max(match (then.mode, then.acknowledge) {
        (Mode::Sync, Acknowledge::Durable) => Ack::Durable,
        (Mode::Sync, Acknowledge::Store) => Ack::Store,
        (Mode::Async | Mode::Sampled | Mode::Off, _) => Ack::Accepted,
    })
}
