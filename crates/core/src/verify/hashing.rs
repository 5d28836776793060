//! Leaf hashes of all lines, in order, with several threads, in constant memory.
//!
//! One thread reads; block number n goes to worker n mod workers and comes back in the same rotation, so nothing needs
//! sorting. All channels are bounded, and buffers are reused.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use trailseal_event::line::{self, Fronts, LINE_BYTES_MAX};
use trailseal_tlog::{Hash, leaf_hash};

use super::feed::{Fed, feed};
use crate::file::Files;
use crate::retire::may_be;
use crate::segment::SegmentFile;
use crate::segment::blocks::Block;

/// Blocks that may wait for one worker, and results that may wait after it.
const WAITING_MAX: usize = 2;

/// The result for one block of lines.
#[derive(Debug, Default)]
pub(super) struct Hashed {
    /// Index of the first line.
    pub(super) first: u64,
    pub(super) leaves: Vec<Hash>,
    /// Where indexes are left out: the number of a line, and its index.
    pub(super) jumps: Vec<(u64, u64)>,
    /// Lines that may be announcements of a retirement.
    pub(super) announcing: Vec<Vec<u8>>,
    pub(super) bytes: u64,
    /// The first line that cannot be at its position, whatever its hash.
    pub(super) misfit: Option<Misfit>,
    /// `recorded` of the first and the last line, in microseconds.
    pub(super) recorded: Option<(i64, i64)>,
    /// The longest time between two lines of this block.
    pub(super) silence: i64,
    /// The lines recorded before the one before each, within this block.
    pub(super) went_back: Vec<u64>,
}

/// A line whose front does not match its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    pub(super) index: u64,
    /// The index that the line itself names, if it can be read.
    pub(super) named: Option<u64>,
    pub(super) is_too_long: bool,
}

impl Hashed {
    fn new(block: &Block) -> Self {
        let mut hashed =
            Hashed { first: block.first.get(), bytes: block.bytes().len() as u64, ..Hashed::default() };
        hashed.leaves.reserve(block.lines as usize);
        hashed.jumps.clone_from(&block.jumps);
        let mut fronts = Fronts::new(hashed.first);
        let mut next = hashed.first;
        for (index, text) in block.lines() {
            hashed.leaves.push(leaf_hash(text));
            if index != next {
                fronts = Fronts::new(index);
            }
            next = index + 1;
            if may_be(index, text) {
                hashed.announcing.push(text.to_vec());
            }
            let recorded = match fronts.next(text) {
                Some(recorded) => Some(recorded),
                None => hashed.read_misfit(index, text),
            };
            if text.len() > LINE_BYTES_MAX {
                hashed.misfit.get_or_insert(Misfit { index, named: Some(index), is_too_long: true });
            }
            hashed.add_time(index, recorded);
        }
        hashed
    }

    /// A line that does not begin as line `index` must. Returns when it says that it was recorded.
    fn read_misfit(&mut self, index: u64, text: &[u8]) -> Option<i64> {
        let front = line::parse_front(text);
        let named = front.as_ref().map(|front| front.index);
        self.misfit.get_or_insert(Misfit { index, named, is_too_long: false });
        front.map(|front| front.recorded.as_micros())
    }

    fn add_time(&mut self, index: u64, recorded: Option<i64>) {
        let Some(recorded) = recorded else { return };
        match &mut self.recorded {
            None => self.recorded = Some((recorded, recorded)),
            Some((_, last)) => {
                self.silence = self.silence.max(recorded.saturating_sub(*last));
                if recorded < *last {
                    self.went_back.push(index);
                }
                *last = recorded;
            }
        }
    }
}

/// Hashes all lines and passes each block's result to `each`, in order, on the calling thread.
pub(super) fn hash_all(
    files: &Arc<dyn Files>,
    segments: &[SegmentFile],
    threads: usize,
    mut each: impl FnMut(Hashed),
) -> Fed {
    if threads <= 1 {
        return feed(files, segments, Block::default(), |block| {
            each(Hashed::new(&block));
            Some(block)
        });
    }
    std::thread::scope(|scope| {
        let (mut to_workers, mut from_workers) = (Vec::new(), Vec::new());
        // Room for every buffer there is, so returning one never waits.
        let (give_back, empty) = sync_channel(threads * (WAITING_MAX + 1) + 2);
        for _ in 0..threads {
            let (to_worker, blocks) = sync_channel::<Block>(WAITING_MAX);
            let (done, from_worker) = sync_channel(WAITING_MAX);
            let give_back = give_back.clone();
            scope.spawn(move || work(&blocks, &done, &give_back));
            to_workers.push(to_worker);
            from_workers.push(from_worker);
        }
        let reader = scope.spawn(move || read(files, segments, &to_workers, &empty));
        for number in 0.. {
            // A worker ends when the reader has, and then nothing comes after this number.
            let Ok(hashed) = from_workers[number % threads].recv() else { break };
            each(hashed);
        }
        match reader.join() {
            Ok(end) => end,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn read(
    files: &Arc<dyn Files>,
    segments: &[SegmentFile],
    to_workers: &[SyncSender<Block>],
    empty: &Receiver<Block>,
) -> Fed {
    let mut number = 0;
    feed(files, segments, Block::default(), |block| {
        to_workers[number % to_workers.len()].send(block).ok()?;
        number += 1;
        Some(empty.try_recv().unwrap_or_default())
    })
}

fn work(blocks: &Receiver<Block>, done: &SyncSender<Hashed>, give_back: &SyncSender<Block>) {
    for block in blocks {
        let hashed = Hashed::new(&block);
        // When the reader is gone, nobody needs the buffer.
        let _ = give_back.try_send(block);
        if done.send(hashed).is_err() {
            return;
        }
    }
}
