//! Making a handoff: one ring, for both of its sides.

use std::io;

use trailseal_event::Timestamp;

use super::buffer::Handoff;
use super::drain::Drain;
use super::owner::Owner;
use super::ring_memory::{Place, Ring};

/// Creates a new, empty handoff of `capacity` bytes for `owner`, whose first line will have the index `next`.
pub(crate) fn open(
    place: &Place,
    capacity: u64,
    owner: &Owner,
    next: u64,
    recorded: Timestamp,
) -> io::Result<(Handoff, Drain)> {
    let ring = Ring::new(place, capacity, owner, next)?;
    Ok((Handoff::new(ring.producer, ring.generation, next, recorded), Drain::new(ring.consumer, ring.file)))
}
