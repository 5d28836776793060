//! The buffer that `record()` puts a line into and the writer thread takes lines out of.
//!
//! In: the rest of a line, serialised and checksummed before the lock. Under the lock: the index is given, the front
//! written, the bytes copied. Out: lines in order of their indexes. *gapless*: an index is given under the mutex, and n
//! + 1 only after n. Bytes are free again only after [`Drain::release`], which follows the sync that covers them.

use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use trailseal_event::Timestamp;
use trailseal_event::line::{self, FRONT_BYTES_MAX, RunningFront};

use super::drain::Drain;
use super::frame::{FRAME_HEADER_LEN, FrameHeader, frame_len};
use super::map::Producer;
use super::ring_memory::Ring;
use crate::file::StdFiles;

/// With more than this pending, callers wait for the disk instead of using the remaining room: otherwise everything
/// accepted would wait until the whole ring was written. The rest is for a stalled disk.
const HELD_BACK_FROM: u64 = 16 << 20;
/// The disk counts as stalled if nothing was released for this long.
const STALLED_AFTER: Duration = Duration::from_millis(200);
/// More would push other things out of the nearest cache.
const PREFETCH_BYTES_MAX: usize = 2048;

/// Lines that are ready except for their fronts.
pub(crate) struct Rests<'a> {
    /// The rest of each line with its newline, one after the other.
    pub(crate) bytes: &'a [u8],
    /// Where each ends in `bytes`.
    pub(crate) ends: &'a [usize],
    /// CRC-32C of `bytes`.
    pub(crate) crc: u32,
    /// The trail's clock when they were created.
    pub(crate) now: Timestamp,
}

/// Why the buffer did not take lines. None of them was given an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It stayed full until the deadline.
    Full,
    /// It has been closed.
    Closed,
    /// The lines together exceed a quarter of the buffer.
    TooLarge,
}

/// What lines that were taken were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// Index of the first.
    pub(crate) first: u64,
    /// Whether the buffer is so full now that the writer should be woken.
    pub(crate) wake_writer: bool,
}

/// The callers' side of the buffer.
pub(crate) struct Handoff {
    state: Mutex<State>,
    /// Signalled when bytes were freed while somebody waited for room.
    room: Condvar,
    payload_max: u64,
}

/// Guarded by the mutex; held only for the copy.
struct State {
    producer: Producer,
    generation: u64,
    next: u64,
    /// `recorded` never goes back, whatever the clock does.
    recorded: Timestamp,
    /// Of the next line.
    front: RunningFront,
    closed: bool,
    waiting_for_room: u32,
    released_at: Option<Instant>,
}

impl Handoff {
    pub(super) fn new(producer: Producer, generation: u64, next: u64, recorded: Timestamp) -> Self {
        let payload_max = producer.capacity() / 4;
        let state = State {
            producer,
            generation,
            next,
            recorded,
            front: RunningFront::new(next, &recorded.to_text()),
            closed: false,
            waiting_for_room: 0,
            released_at: None,
        };
        Handoff { state: Mutex::new(state), room: Condvar::new(), payload_max }
    }

    // A panic under the lock could only come from an assertion in `map.rs` before anything was published, so the state
    // is still consistent.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The maximum size of the lines of one call.
    pub(crate) fn payload_max(&self) -> u64 {
        self.payload_max
    }

    /// Puts lines into the buffer as one frame; waits up to `wait` for room, and as long again if it is slowed down.
    ///
    /// `wake` is called, without the lock, before waiting, so that the writer makes room.
    pub(crate) fn push(&self, rests: &Rests<'_>, wait: Duration, wake: impl Fn()) -> Result<Given, Refused> {
        let mut state = self.lock();
        if wait.is_zero() || !state.is_held_back() {
            match state.push(rests, self.payload_max) {
                Err(Refused::Full) if !wait.is_zero() => {}
                done => return done,
            }
        }
        let deadline = crate::deadline::after(wait);
        loop {
            state.waiting_for_room += 1;
            drop(state);
            wake();
            state = self.lock();
            let left = deadline.saturating_duration_since(Instant::now());
            // Checked again before sleeping: room may have become free while the lock was free.
            let is_held_back = state.is_held_back();
            let may_push = state.has_room_for(rests) && !is_held_back;
            if !may_push && !state.closed && !left.is_zero() {
                // Nobody signals that the disk has begun to stall.
                let nap = if is_held_back { left.min(STALLED_AFTER) } else { left };
                state = self.room.wait_timeout(state, nap).unwrap_or_else(PoisonError::into_inner).0;
            }
            state.waiting_for_room -= 1;
            if state.is_held_back() && !state.closed && Instant::now() < deadline {
                continue;
            }
            match state.push(rests, self.payload_max) {
                Err(Refused::Full) if Instant::now() < deadline => {}
                done => return done,
            }
        }
    }

    /// The index that the next line will get.
    pub(crate) fn next(&self) -> u64 {
        self.lock().next
    }

    /// Refuses every later [`push`](Handoff::push). Returns the number of lines ever accepted.
    pub(crate) fn close(&self) -> u64 {
        let mut state = self.lock();
        state.closed = true;
        self.room.notify_all();
        state.next
    }

    /// Like [`close`](Handoff::close), after these lines, which are the last. If there is no room for them within
    /// `wait`, it closes without them.
    pub(crate) fn close_with(&self, rests: &Rests<'_>, wait: Duration, wake: impl Fn()) -> u64 {
        let deadline = crate::deadline::after(wait);
        let mut state = self.lock();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match state.push(rests, self.payload_max) {
                Err(Refused::Full) if !left.is_zero() => {}
                _ => {
                    state.closed = true;
                    self.room.notify_all();
                    return state.next;
                }
            }
            state.waiting_for_room += 1;
            drop(state);
            wake();
            state = self.lock();
            if !state.has_room_for(rests) && !state.closed {
                state = self.room.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
            state.waiting_for_room -= 1;
        }
    }

    /// Bytes in the buffer that are not yet durable, and its size.
    pub(crate) fn fill(&self) -> (u64, u64) {
        let state = self.lock();
        (state.producer.used(), state.producer.capacity())
    }

    /// Whether the handoff file at `path` is the one that callers fill, or a copy of it.
    pub(crate) fn is_own_generation(&self, path: &Path) -> bool {
        let header = super::handoff_header(&StdFiles, path);
        header.is_some_and(|header| header.generation == self.lock().generation)
    }

    /// Makes callers fill another ring from now on. This one's lines are taken first: their indexes are lower.
    ///
    /// Not while an earlier one is still being drained ([`Drain::is_moving`]).
    pub(crate) fn go_on_in(&self, drain: &mut Drain, ring: Ring) {
        assert!(!drain.is_moving(), "one ring after the other");
        let mut state = self.lock();
        state.producer = ring.producer;
        state.generation = ring.generation;
        drain.go_on_in(ring.consumer, ring.file);
        self.room.notify_all();
    }

    /// Call it after [`Drain::release`]: wakes callers that wait for room, and lets an empty ring restart.
    pub(crate) fn released(&self, drain: &mut Drain) {
        let mut state = self.lock();
        state.released_at = Some(Instant::now());
        if state.waiting_for_room > 0 {
            self.room.notify_all();
        }
        drain.rewind(&mut state.producer);
    }
}

impl State {
    fn payload_len(&self, rests: &Rests<'_>) -> u64 {
        // An upper bound: every front as long as the last one.
        let front_len = line::front_len(self.next + rests.ends.len() as u64) as u64;
        rests.bytes.len() as u64 + front_len * rests.ends.len() as u64
    }

    /// Bytes up to the ring's end that the frame cannot use, and those that it takes.
    fn placement(&self, rests: &Rests<'_>) -> (u64, u64) {
        let needed = frame_len(self.payload_len(rests));
        let to_end = self.producer.to_ring_end();
        (if needed > to_end { to_end } else { 0 }, needed)
    }

    /// Whether callers should wait although there may be room: the disk is writing, but they are faster.
    fn is_held_back(&self) -> bool {
        self.producer.used() > HELD_BACK_FROM
            && self.released_at.is_some_and(|released_at| released_at.elapsed() < STALLED_AFTER)
    }

    fn has_room_for(&mut self, rests: &Rests<'_>) -> bool {
        let (skipped, needed) = self.placement(rests);
        self.producer.has_room(skipped + needed)
    }

    fn push(&mut self, rests: &Rests<'_>, payload_max: u64) -> Result<Given, Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        if rests.ends.is_empty() {
            // The checksum of a frame covers its first line's front.
            return Ok(Given { first: self.next, wake_writer: false });
        }
        if rests.ends.len() > 1 && self.payload_len(rests) > payload_max {
            return Err(Refused::TooLarge);
        }
        if !self.has_room_for(rests) {
            if cfg!(trailseal_fault = "index_for_refused") {
                self.next += 1;
            }
            return Err(Refused::Full);
        }
        self.pad(self.placement(rests).0);
        if rests.now > self.recorded || cfg!(trailseal_fault = "recorded_goes_back") {
            self.recorded = rests.now;
            self.front.set_recorded(&rests.now.to_text());
        }
        let used_before = self.producer.used();
        let first = self.next;
        self.write_frame(rests);
        self.next += rests.ends.len() as u64;
        let quarter = self.producer.capacity() / 4;
        let wake_writer = used_before < quarter && self.producer.used() >= quarter;
        Ok(Given { first, wake_writer })
    }

    fn pad(&mut self, skipped: u64) {
        if skipped == 0 {
            return;
        }
        if skipped >= FRAME_HEADER_LEN as u64 {
            let header = FrameHeader::of_padding(skipped as usize, self.generation).encode();
            self.producer.slice(skipped as usize)[..FRAME_HEADER_LEN].copy_from_slice(&header);
        }
        self.producer.publish(skipped);
    }

    fn write_frame(&mut self, rests: &Rests<'_>) {
        let fronts: usize = (0..rests.ends.len() as u64).map(|n| line::front_len(self.next + n)).sum();
        let payload_len = rests.bytes.len() + fronts;
        let header =
            FrameHeader::of_lines(payload_len as u32, rests.ends.len() as u32, self.next, self.generation);
        let mut crc = header.crc_with_front(rests.crc, self.front.block(), self.front.len());
        let frame_len = header.frame_len();
        let frame = self.producer.slice(frame_len as usize);
        let (header_place, mut place) = frame.split_at_mut(FRAME_HEADER_LEN);
        let mut begin = 0;
        for &end in rests.ends {
            let (front, front_len) = (self.front.block(), self.front.len());
            if begin > 0 {
                crc = crc32c::crc32c_append(crc, &front[..front_len]);
            }
            let rest = &rests.bytes[begin..end];
            match place.first_chunk_mut::<FRONT_BYTES_MAX>() {
                // As one block; the excess is overwritten.
                Some(block) if rest.len() >= FRONT_BYTES_MAX => *block = *front,
                _ => place[..front_len].copy_from_slice(&front[..front_len]),
            }
            place[front_len..front_len + rest.len()].copy_from_slice(rest);
            place = &mut place[front_len + rest.len()..];
            begin = end;
            self.front.advance();
        }
        header_place.copy_from_slice(&header.with_crc(crc).encode());
        self.producer.publish(frame_len);
        // The next event is probably as large as this one.
        self.producer.prefetch((frame_len as usize).min(PREFETCH_BYTES_MAX));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::handoff::{Owner, Place, checksum, open};

    const HOUR: Duration = Duration::from_secs(3600);

    /// A buffer with more in it than callers may use while the disk takes lines.
    fn filled() -> (Handoff, Drain) {
        let owner = Owner::of(std::path::Path::new("/trail"), "trail");
        let (handoff, drain) = open(&Place::Memory, 32 << 20, &owner, 0, Timestamp::from_micros(0)).unwrap();
        while handoff.fill().0 <= HELD_BACK_FROM {
            assert_eq!(woken_while_pushing(&handoff, HOUR), 0, "nobody waits before anything was released");
        }
        (handoff, drain)
    }

    fn woken_while_pushing(handoff: &Handoff, wait: Duration) -> u32 {
        let woken = Cell::new(0);
        push(handoff, wait, || woken.set(woken.get() + 1));
        woken.get()
    }

    fn push(handoff: &Handoff, wait: Duration, wake: impl Fn()) {
        let bytes = [b"\"a\":1}".repeat(10_000), b"\n".to_vec()].concat();
        let now = Timestamp::from_micros(1);
        let rests = Rests { bytes: &bytes, ends: &[bytes.len()], crc: checksum(&bytes), now };
        handoff.push(&rests, wait, wake).unwrap();
    }

    #[test]
    fn callers_are_held_back_while_the_disk_takes_lines_and_not_while_it_stalls() {
        let (handoff, _drain) = filled();
        let now = Instant::now();
        handoff.lock().released_at = Some(now + HOUR);
        assert_eq!(woken_while_pushing(&handoff, Duration::ZERO), 0, "who cannot wait takes the room");
        assert!(woken_while_pushing(&handoff, Duration::from_millis(1)) > 0);
        handoff.lock().released_at = now.checked_sub(STALLED_AFTER);
        assert_eq!(woken_while_pushing(&handoff, HOUR), 0);
    }

    #[test]
    fn who_is_held_back_goes_on_when_the_disk_stalls_meanwhile() {
        let (handoff, _drain) = filled();
        let handoff = std::sync::Arc::new(handoff);
        // Later than the other thread begins, however busy the machine is.
        handoff.lock().released_at = Some(Instant::now() + Duration::from_secs(3));
        let (done, is_done) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            assert!(woken_while_pushing(&handoff, HOUR) > 0);
            done.send(()).unwrap();
        });
        is_done.recv_timeout(Duration::from_secs(60)).unwrap();
    }

    #[test]
    fn who_is_held_back_goes_on_when_lines_were_released() {
        let (handoff, mut drain) = filled();
        handoff.lock().released_at = Some(Instant::now() + HOUR);
        let (waits, is_waiting) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| push(&handoff, 24 * HOUR, || waits.send(()).unwrap()));
            is_waiting.recv().unwrap();
            let taken = drain.take(&mut Vec::new(), 1 << 20, |_, _, _| {});
            drain.release(taken.position, taken.lines);
            handoff.released(&mut drain);
        });
        assert!(handoff.fill().0 < HELD_BACK_FROM);
    }
}
