//! The newest lines stay in the system's file cache; older ones leave it.
//!
//! A log that only grows would fill all free memory with pages that are rarely read again, and push out what the
//! application has cached. And a recently freed page is faster to write to than one untouched for long: at the highest
//! rates that is a fifth of the writer's speed. So lines that are sealed and stored leave, except for the newest
//! [`KEPT_BYTES`]. This is advice to the system: nothing depends on its effect.

use std::collections::VecDeque;

/// How much of the newest lines stays cached: what people look at first.
const KEPT_BYTES: u64 = 1 << 30;
/// The system is told in pieces of about this size.
const PIECE_BYTES: u64 = 32 << 20;
/// By how many pieces sealing or delivery may lag; older ones then stay cached until the system takes them.
const PIECES_MAX: usize = 1024;

/// What the writer has put in the cache, oldest first.
#[derive(Default)]
pub(crate) struct CachedLines {
    pieces: VecDeque<Piece>,
    bytes: u64,
}

/// Consecutive lines in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// First index of the segment.
    pub(crate) segment: u64,
    pub(crate) begin: u64,
    pub(crate) end: u64,
    /// The index after the last line.
    pub(crate) next: u64,
}

impl Piece {
    fn len_bytes(&self) -> u64 {
        self.end - self.begin
    }
}

impl CachedLines {
    /// Lines were written.
    pub(crate) fn wrote(&mut self, lines: Piece) {
        self.bytes += lines.len_bytes();
        match self.pieces.back_mut() {
            Some(last) if last.segment == lines.segment && lines.end - last.begin <= PIECE_BYTES => {
                (last.end, last.next) = (lines.end, lines.next);
            }
            _ => self.pieces.push_back(lines),
        }
        if self.pieces.len() > PIECES_MAX {
            self.pop();
        }
    }

    /// The next piece that may leave. All readers that follow the log have read the lines below index `read`.
    pub(crate) fn leaving(&mut self, read: u64) -> Option<Piece> {
        let oldest = self.pieces.front()?;
        let may_leave = self.bytes - oldest.len_bytes() >= KEPT_BYTES && oldest.next <= read;
        if may_leave { self.pop() } else { None }
    }

    fn pop(&mut self) -> Option<Piece> {
        let oldest = self.pieces.pop_front()?;
        self.bytes -= oldest.len_bytes();
        Some(oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: u64 = 4 << 20;

    /// Commits of 4 MiB and 1,000 lines each, a new segment every 256 MiB.
    fn write(cached: &mut CachedLines, commits: std::ops::Range<u64>) {
        for commit in commits {
            let (segment, begin) = (commit / 64 * 64_000, commit % 64 * COMMIT);
            cached.wrote(Piece { segment, begin, end: begin + COMMIT, next: (commit + 1) * 1000 });
        }
    }

    fn leaving(cached: &mut CachedLines, read: u64) -> Vec<Piece> {
        std::iter::from_fn(|| cached.leaving(read)).collect()
    }

    #[test]
    fn the_newest_stay_and_the_rest_leaves_in_order() {
        let mut cached = CachedLines::default();
        write(&mut cached, 0..256);
        assert_eq!(leaving(&mut cached, u64::MAX), [], "no more than enough");
        write(&mut cached, 256..512);
        let left = leaving(&mut cached, u64::MAX);
        assert_eq!(left[0], Piece { segment: 0, begin: 0, end: PIECE_BYTES, next: 8000 });
        assert_eq!(left.iter().map(Piece::len_bytes).sum::<u64>(), 256 * COMMIT);
        assert!(left.is_sorted_by_key(|piece| piece.next) && left.last().unwrap().next == 256_000);
        assert_eq!(leaving(&mut cached, u64::MAX), []);
    }

    #[test]
    fn what_is_not_yet_read_stays() {
        let mut cached = CachedLines::default();
        write(&mut cached, 0..512);
        assert_eq!(leaving(&mut cached, 7999), []);
        assert_eq!(leaving(&mut cached, 8000).len(), 1);
    }

    #[test]
    fn a_lag_of_days_takes_no_memory() {
        let mut cached = CachedLines::default();
        write(&mut cached, 0..100_000);
        assert_eq!(leaving(&mut cached, 0), []);
        assert_eq!(cached.pieces.len(), PIECES_MAX);
        assert_eq!(cached.bytes, cached.pieces.iter().map(Piece::len_bytes).sum::<u64>());
    }
}
