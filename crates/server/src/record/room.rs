//! How many bytes of bodies are held at a time, all requests together.
//!
//! What must hold: large bodies, however slowly they come, take a bounded part of the memory, and never keep small ones
//! out. So the first bytes of each body are free: connections bound those.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::problem::Problem;

/// Bytes of each body that take no room.
pub(super) const FREE_BYTES: usize = 64 << 10;

/// The room for bodies.
pub(crate) struct BodyRoom {
    most: usize,
    taken: AtomicUsize,
}

/// What one body takes of the room; given back when it is dropped.
pub(crate) struct Held {
    room: Arc<BodyRoom>,
    /// Bytes of the body so far, and how many of them were taken.
    bytes: usize,
    taken: usize,
}

impl BodyRoom {
    pub(crate) fn new(most: usize) -> BodyRoom {
        BodyRoom { most, taken: AtomicUsize::new(0) }
    }

    /// Bytes that are held now.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub(super) fn begin(self: &Arc<Self>) -> Held {
        Held { room: self.clone(), bytes: 0, taken: 0 }
    }
}

impl Held {
    /// Takes room for more bytes.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        self.bytes += bytes;
        let more = self.bytes.saturating_sub(FREE_BYTES) - self.taken;
        if more == 0 {
            return Ok(());
        }
        self.taken += more;
        match self.room.taken.fetch_add(more, Ordering::Relaxed) + more <= self.room.most {
            true => Ok(()),
            false => {
                Err(Problem::unavailable("too many large bodies come at once: send this again in a moment"))
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn small_bodies_always_have_room_and_large_ones_give_theirs_back() {
        let room = Arc::new(BodyRoom::new(1_000));
        let mut large = room.begin();
        large.grow(FREE_BYTES + 600).unwrap();
        let mut second = room.begin();
        second.grow(FREE_BYTES).unwrap();
        second.grow(401).unwrap_err();
        drop(second);
        assert_eq!(room.taken(), 600);
        room.begin().grow(FREE_BYTES + 400).unwrap();
        large.grow(400).unwrap();
        room.begin().grow(FREE_BYTES).unwrap();
        drop(large);
        assert_eq!(room.taken(), 0);
    }
}
