//! The memory under the handoff buffer: a ring of bytes between one producer side and one consumer.
//!
//! This module uses `unsafe`. It is sound because positions only grow; the bytes in `tail..head` belong to the
//! [`Consumer`], the others to the [`Producer`]; each side moves only its own position, and publishes it with `Release`
//! after it is done with the bytes that change owner; the other side reads it with `Acquire`. There is exactly one
//! value of each side; [`rewind`] moves both positions, and so needs both values.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(target_os = "linux")]
use rustix::mm::Advice;
use rustix::mm::{MapFlags, ProtFlags};

/// Bytes before the ring, for the header of `docs/format.md`.
pub(super) const HEADER_LEN: usize = 4096;
/// Where the header keeps the tail.
pub(super) const TAIL_AT: usize = 64;
/// Where the header keeps the number of durable events.
pub(super) const DURABLE_AT: usize = 128;

enum Backing {
    /// A file's pages: what was stored there outlives the process. Owned: mapped by `map`, unmapped in `drop`.
    Mapped(*mut [u8]),
    /// Plain memory, for when a file cannot be mapped safely. Owned: allocated by `heap`, freed in `drop`.
    Heap(*mut [u64]),
}

impl Drop for Backing {
    fn drop(&mut self) {
        match self {
            Backing::Mapped(pages) => {
                // SAFETY: the pages came from `mmap` in `map`, with this length, and are unmapped only here. An error
                // would mean that they are none of ours, and leaves them as they are.
                let _ = unsafe { rustix::mm::munmap(pages.cast(), pages.len()) };
            }
            // SAFETY: the pointer came from `Box::into_raw` in `heap`, and is freed only here.
            Backing::Heap(words) => drop(unsafe { Box::from_raw(*words) }),
        }
    }
}

struct Region {
    backing: Backing,
    capacity: u64,
    /// Everything below is published to the consumer. Only the producer moves it.
    head: AtomicU64,
    /// Everything below is free again. Only the consumer moves it.
    tail: AtomicU64,
}

// SAFETY: the bytes are only reached through `Producer` and `Consumer`, which never hold slices that
// overlap (see the module header); everything else in here is atomic or never changes.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    fn base(&self) -> *mut u8 {
        match &self.backing {
            Backing::Mapped(pages) => pages.cast(),
            Backing::Heap(words) => words.cast(),
        }
    }

    fn ring_at(&self, position: u64, len: usize) -> *mut u8 {
        let offset = position % self.capacity;
        assert!(offset + len as u64 <= self.capacity, "a slice never crosses the end of the ring");
        // SAFETY: the backing is HEADER_LEN + capacity bytes long, and offset + len stays within it.
        unsafe { self.base().add(HEADER_LEN + offset as usize) }
    }

    fn mark(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at.is_multiple_of(8) && at + 8 <= HEADER_LEN);
        // SAFETY: in bounds, aligned to 8 (the base is aligned to a page or by `heap`), and these words
        // are only ever reached as atomics.
        unsafe { AtomicU64::from_ptr(self.base().add(at).cast()) }
    }
}

/// The appending side. Its owner keeps it behind a mutex.
pub(super) struct Producer {
    region: Arc<Region>,
    head: u64,
    /// The last tail seen; the true one may be further.
    tail: u64,
}

/// The side that takes bytes out, in the same order, and frees them.
pub(super) struct Consumer {
    region: Arc<Region>,
    tail: u64,
}

/// A ring over the first `HEADER_LEN + capacity` bytes of `file`, all of which must be allocated.
pub(super) fn map(file: &File, capacity: u64) -> io::Result<(Producer, Consumer)> {
    let len = HEADER_LEN + capacity as usize;
    let (access, shared) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
    // SAFETY: a new mapping, at a place that the kernel chooses, touches no memory that anything else uses.
    let base = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, access, shared, file, 0) }?.cast::<u8>();
    let mapped = Backing::Mapped(std::ptr::slice_from_raw_parts_mut(base, len));
    // Page faults happen here and not in callers of record(). Old kernels do not know this advice; then the first lap
    // of the ring is slower.
    #[cfg(target_os = "linux")]
    // SAFETY: the advice concerns this mapping alone, and keeps the bytes as they are.
    if unsafe { rustix::mm::madvise(base.cast(), len, Advice::LinuxPopulateWrite) }.is_err() {
        for page in (HEADER_LEN..len).step_by(4096) {
            // SAFETY: in bounds of the mapping; nobody else has it yet, and the ring is still empty.
            unsafe { base.add(page).write_volatile(0) };
        }
    }
    Ok(sides(mapped, capacity))
}

/// A ring in plain memory.
pub(super) fn heap(capacity: u64) -> (Producer, Consumer) {
    let words = vec![0u64; (HEADER_LEN + capacity as usize) / 8].into_boxed_slice();
    sides(Backing::Heap(Box::into_raw(words)), capacity)
}

fn sides(backing: Backing, capacity: u64) -> (Producer, Consumer) {
    assert!(capacity >= 4096 && capacity.is_multiple_of(4096));
    let region = Arc::new(Region { backing, capacity, head: AtomicU64::new(0), tail: AtomicU64::new(0) });
    (Producer { region: region.clone(), head: 0, tail: 0 }, Consumer { region, tail: 0 })
}

impl Producer {
    /// Bytes of the ring.
    pub(super) fn capacity(&self) -> u64 {
        self.region.capacity
    }

    /// Bytes from the head to the end of the ring: the longest slice that can follow.
    pub(super) fn to_ring_end(&self) -> u64 {
        self.region.capacity - self.head % self.region.capacity
    }

    /// Bytes in the ring that are not free.
    pub(super) fn used(&self) -> u64 {
        self.head - self.region.tail.load(Ordering::Acquire)
    }

    /// Whether `len` bytes are free.
    pub(super) fn has_room(&mut self, len: u64) -> bool {
        if self.head + len > self.tail + self.region.capacity {
            self.tail = self.region.tail.load(Ordering::Acquire);
        }
        self.head + len <= self.tail + self.region.capacity
    }

    /// The next `len` bytes for filling; they must be free and not cross the end of the ring.
    pub(super) fn slice(&mut self, len: usize) -> &mut [u8] {
        assert!(self.has_room(len as u64), "room is checked before a slice is taken");
        let start = self.region.ring_at(self.head, len);
        // SAFETY: `ring_at` checked the bounds; the bytes head..head+len are below tail + capacity, so
        // they are the producer's; `&mut self` makes this the only slice of the producer.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }

    /// Prefetches the next `len` bytes, which will be written soon. The consumer's core read them a lap ago; fetching
    /// them only at the write would delay the caller's unlock.
    pub(super) fn prefetch(&self, len: usize) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
            let len = len.min(self.to_ring_end() as usize);
            let start = self.region.ring_at(self.head, len);
            for offset in (0..len).step_by(64) {
                // SAFETY: in bounds, as `ring_at` checked; a prefetch reads and writes nothing.
                unsafe { _mm_prefetch::<_MM_HINT_ET0>(start.add(offset).cast()) };
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = len;
    }

    /// Passes the next `len` bytes to the consumer.
    pub(super) fn publish(&mut self, len: u64) {
        self.head += len;
        self.region.head.store(self.head, Ordering::Release);
    }
}

impl Consumer {
    /// Everything below this position has been published.
    pub(super) fn head(&self) -> u64 {
        self.region.head.load(Ordering::Acquire)
    }

    /// Bytes of the ring.
    pub(super) fn capacity(&self) -> u64 {
        self.region.capacity
    }

    /// Everything below was released.
    pub(super) fn tail(&self) -> u64 {
        self.tail
    }

    /// Published bytes `from..to` that have not been released; they must not cross the end of the ring.
    pub(super) fn slice(&self, from: u64, to: u64) -> &[u8] {
        assert!(self.tail <= from && from <= to && to <= self.head(), "only published bytes can be read");
        let start = self.region.ring_at(from, (to - from) as usize);
        // SAFETY: `ring_at` checked the bounds; the bytes tail..head are the consumer's, which only reads
        // them, and the producer does not write there until `release`, which needs `&mut self`.
        unsafe { std::slice::from_raw_parts(start, (to - from) as usize) }
    }

    /// Stores in the header that everything below `position` is durable as the first `durable` events, then returns
    /// those bytes to the producer.
    pub(super) fn release(&mut self, position: u64, durable: u64) {
        assert!(self.tail <= position && position <= self.head());
        // Durable first: a reader that sees the new tail must not see an older durable index.
        self.region.mark(DURABLE_AT).store(durable, Ordering::Release);
        self.region.mark(TAIL_AT).store(position, Ordering::Release);
        self.tail = position;
        self.region.tail.store(position, Ordering::Release);
    }
}

/// Continues at the start of the ring, which must be empty. Returns the new position of both sides.
pub(super) fn rewind(producer: &mut Producer, consumer: &mut Consumer) -> u64 {
    assert!(Arc::ptr_eq(&producer.region, &consumer.region), "both are sides of one ring");
    assert!(consumer.tail == producer.head, "nothing is passed over");
    let region = &producer.region;
    let position = producer.head.next_multiple_of(region.capacity);
    if !cfg!(trailseal_fault = "header_not_rewound") {
        region.mark(TAIL_AT).store(position, Ordering::Release);
    }
    region.tail.store(position, Ordering::Release);
    region.head.store(position, Ordering::Release);
    (producer.head, producer.tail, consumer.tail) = (position, position, position);
    position
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_order_across_many_laps_and_threads() {
        let (mut producer, mut consumer) = heap(4096);
        let laps = if cfg!(miri) { 3_000u64 } else { 200_000 };
        let reader = std::thread::spawn(move || {
            let (mut position, mut expected) = (0, 0u64);
            while expected < laps {
                let head = consumer.head();
                while position < head {
                    let bytes = consumer.slice(position, position + 8);
                    assert_eq!(bytes, expected.to_le_bytes());
                    position += 8;
                    expected += 1;
                }
                consumer.release(position, expected);
                std::thread::yield_now();
            }
        });
        for number in 0..laps {
            while !producer.has_room(8) {
                std::thread::yield_now();
            }
            producer.slice(8).copy_from_slice(&number.to_le_bytes());
            producer.publish(8);
        }
        reader.join().unwrap();
    }

    #[test]
    #[should_panic(expected = "room is checked")]
    fn a_slice_without_room_is_refused() {
        let (mut producer, _consumer) = heap(4096);
        producer.slice(4096);
        producer.publish(4096);
        producer.slice(1);
    }
}
