//! The writer thread's side of the buffer: takes lines out of the ring and frees the room.
//!
//! If a handoff was removed, callers fill another ring before this one is drained. This one is drained first, since its
//! indexes are lower, and until then nothing of the other is taken.
//!
//! # Back to the start
//!
//! An empty ring restarts at its beginning: an empty lap, without a frame and without using capacity. Head, tail, the
//! drain's position and the header's tail move forward together to the next multiple of the capacity. This neither
//! loses nor invents an accepted line:
//!
//! - The drain's owner does it under the callers' mutex, so it holds both sides, and no frame is written meanwhile.
//!   Whatever follows is written after the header's tail was moved.
//! - Head equals tail, so every accepted line is durable. Before and after each of the stores there is nothing to
//!   replay, wherever the header's tail says that the walk begins.
//! - The ring contains frames of earlier laps. An index is given once, and durable ones are below the index of the next
//!   frame. So replay skips such a frame if it comes to it first, and stops there if it comes to it after a newer one,
//!   since its index does not follow. Padding of an earlier lap leads to the ring's start, where the walk ends or meets
//!   such frames.

use std::fs::File;
use std::io;
use std::path::Path;

use super::frame::{FRAME_HEADER_LEN, FrameHeader};
use super::map::{self, Consumer, HEADER_LEN, Producer};
use crate::file::{Standing, standing};

/// From this position on, or from a quarter of the ring, an empty ring restarts: the pages fit into the nearest caches,
/// and there are so many events between two restarts that positions last for centuries.
const REWIND_FROM: u64 = 256 << 10;
/// Beyond this position, should it ever be reached, the ring is used without restarting.
const REWIND_BELOW: u64 = 1 << 62;

/// The writer thread's side of the buffer.
pub(crate) struct Drain {
    consumer: Consumer,
    /// What the ring is mapped from; `None` in plain memory.
    file: Option<File>,
    /// Everything below was taken; what is at or above `tail` is not yet durable.
    position: u64,
    /// How many events were durable at the last release.
    durable: u64,
    /// The ring that callers fill by now: used once everything in this one is durable.
    following: Option<(Consumer, Option<File>)>,
}

/// Lines that one [`Drain::take`] took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Index of the first.
    pub(crate) first: u64,
    /// How many.
    pub(crate) lines: u64,
    /// The position after them, for [`Drain::release`].
    pub(crate) position: u64,
}

impl Drain {
    pub(super) fn new(consumer: Consumer, file: Option<File>) -> Self {
        Drain { consumer, file, position: 0, durable: 0, following: None }
    }

    /// Whether the handoff's name still leads to the complete file that callers fill. Always true in plain memory.
    pub(crate) fn standing(&self, path: &Path) -> io::Result<Standing> {
        let file = self.following.as_ref().map_or(&self.file, |(_, file)| file);
        let len = HEADER_LEN as u64 + self.consumer.capacity();
        file.as_ref().map_or(Ok(Standing::InPlace), |file| standing(file, path, len))
    }

    /// Bytes of the ring.
    pub(crate) fn capacity(&self) -> u64 {
        self.consumer.capacity()
    }

    /// Callers fill another ring from now on.
    pub(super) fn go_on_in(&mut self, consumer: Consumer, file: Option<File>) {
        self.following = Some((consumer, file));
    }

    /// Whether callers fill a ring other than the one being drained.
    pub(crate) fn is_moving(&self) -> bool {
        self.following.is_some()
    }

    /// Switches to the ring that callers fill, once everything in this one is durable.
    fn follow(&mut self) {
        let is_done = self.position == self.consumer.head() && self.consumer.tail() == self.position
            || cfg!(trailseal_fault = "ring_left_undrained");
        if let Some((consumer, file)) = self.following.take_if(|_| is_done) {
            (self.consumer, self.file, self.position) = (consumer, file, 0);
            // Readers use its header from now on.
            self.consumer.release(0, self.durable);
        }
    }

    /// Appends lines to `out` until it holds at least `len_max` bytes or the buffer is empty, and calls `each` with the
    /// index of a frame's first line, the number of its lines, and where they are in `out`.
    pub(crate) fn take(
        &mut self,
        out: &mut Vec<u8>,
        len_max: usize,
        mut each: impl FnMut(u64, u32, std::ops::Range<usize>),
    ) -> Taken {
        self.follow();
        let head = self.consumer.head();
        let mut taken = Taken::default();
        while self.position < head && out.len() < len_max {
            let to_end = self.consumer.capacity() - self.position % self.consumer.capacity();
            if to_end < FRAME_HEADER_LEN as u64 {
                self.position += to_end;
                continue;
            }
            let header_end = self.position + FRAME_HEADER_LEN as u64;
            let Some(header) = FrameHeader::decode(self.consumer.slice(self.position, header_end)) else {
                break;
            };
            if !header.is_padding() {
                let payload = self.consumer.slice(header_end, header_end + u64::from(header.payload_len));
                let begin = out.len();
                out.extend_from_slice(payload);
                if taken.lines == 0 {
                    taken.first = header.first;
                }
                taken.lines += u64::from(header.lines);
                each(header.first, header.lines, begin..out.len());
            }
            self.position += header.frame_len();
        }
        taken.position = self.position;
        taken
    }

    /// Restarts an empty ring at its beginning, so that a slow trickle of events stays on few pages: those are in the
    /// caches, and can be written without asking the file system first, as a page that was written back requires.
    pub(super) fn rewind(&mut self, producer: &mut Producer) {
        let capacity = self.consumer.capacity();
        let is_released =
            self.consumer.tail() == self.position || cfg!(trailseal_fault = "rewound_unreleased");
        let is_empty = self.is_empty() && is_released && !self.is_moving();
        let is_far = self.position % capacity >= REWIND_FROM.min(capacity / 4);
        if is_empty && is_far && self.position < REWIND_BELOW {
            self.position = map::rewind(producer, &mut self.consumer);
        }
    }

    /// Whether everything that was published has been taken.
    pub(crate) fn is_empty(&self) -> bool {
        let follows = self.following.as_ref().is_some_and(|(consumer, _)| consumer.head() > 0);
        self.position == self.consumer.head() && !follows
    }

    /// Bytes that callers have added since the last [`take`](Drain::take); the maximum while they switch to another
    /// ring, which should not take long.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        match self.following {
            Some(_) => u64::MAX,
            None => self.consumer.head() - self.position,
        }
    }

    /// Frees everything below `position`: it is durable, as the first `durable` events.
    pub(crate) fn release(&mut self, position: u64, durable: u64) {
        self.durable = durable;
        self.consumer.release(position, durable);
    }
}
