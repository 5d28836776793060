//! Making a handoff: one ring, for both of its sides.

use std::io;

use trailseal_event::Timestamp;

use super::buffer::Handoff;
use super::drain::Drain;
use super::ring::{Place, Ring};

/// Creates a new, empty handoff of `capacity` bytes for the trail with the mark `trail`, whose first line will have the
/// index `next`.
pub(crate) fn open(
    place: &Place,
    capacity: u64,
    trail: u64,
    next: u64,
    recorded: Timestamp,
) -> io::Result<(Handoff, Drain)> {
    let ring = Ring::new(place, capacity, trail, next)?;
    Ok((Handoff::new(ring.producer, ring.generation, next, recorded), Drain::new(ring.consumer, ring.file)))
}
