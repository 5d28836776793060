//! Reads the end of a trail before it is written again: how many lines there are, and whether those that were signed
//! are still the same.
//!
//! Nothing is trusted. A line below the signed size must hash to what its tile says, or the trail does not open. A line
//! above it must be whole (its front, its end, valid JSON), or it and everything after it is cut off as torn: no caller
//! was ever told that it is durable.

use std::io;

use trailseal_event::{Value, line};
use trailseal_tlog::{Hash, leaf_hash};

use crate::file::ReadFile;
use crate::own_lines::OwnLines;
use crate::segment::OFFSETS_EVERY;

const BLOCK: usize = 1 << 20;

/// What a segment was found to hold.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// Index after the last whole line.
    pub(in crate::trail) end: u64,
    /// Bytes of whole lines.
    pub(in crate::trail) len_bytes: u64,
    /// Where lines 0, 256, … begin.
    pub(in crate::trail) offsets: Vec<u64>,
    /// `recorded` of the last line.
    pub(in crate::trail) recorded: Option<trailseal_event::Timestamp>,
    /// Where line `rewrite_from` begins; `len_bytes` if there is no such line.
    pub(super) rewrite_offset: u64,
    /// Where the first unsigned line begins; `len_bytes` if there is none.
    pub(super) unsealed_offset: u64,
}

/// Whether this can be line `index`: its front, its length, JSON.
pub(super) fn is_line(text: &[u8], index: u64) -> bool {
    line::parse_front(text).is_some_and(|front| front.index == index)
        && text.len() <= line::LINE_BYTES_MAX
        && Value::parse(text).is_ok()
}

/// What to look for.
pub(super) struct Scan<'a> {
    /// Index of the segment's first line.
    pub(in crate::trail) first: u64,
    /// Index at which the next segment begins: lines from there on are void.
    pub(in crate::trail) bound: u64,
    /// Lines below are signed: they are compared with `leaf`.
    pub(in crate::trail) sealed: u64,
    /// Lines from here on are not known to be on disk.
    pub(super) rewrite_from: u64,
    /// The signed leaf hash of an index below `sealed`.
    pub(in crate::trail) leaf: &'a mut dyn FnMut(u64) -> io::Result<Option<Hash>>,
    /// What the lines before said.
    pub(in crate::trail) own: &'a mut OwnLines,
}

/// Why a scan ended early.
pub(super) enum ScanError {
    Io(io::Error),
    /// This line is not the one that was signed.
    NotSigned(u64),
    /// This line is not signed, and no writer can have put it there.
    NotRecorded(u64),
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        ScanError::Io(error)
    }
}

impl Scan<'_> {
    /// Reads the segment from its beginning.
    pub(in crate::trail) fn run(&mut self, file: &dyn ReadFile) -> Result<Scanned, ScanError> {
        let (rewrite_offset, unsealed_offset) = (u64::MAX, u64::MAX);
        let mut found = Scanned { end: self.first, rewrite_offset, unsealed_offset, ..Scanned::default() };
        let mut block = vec![0; BLOCK];
        'blocks: while found.end < self.bound {
            let count = file.read_at(found.len_bytes, &mut block)?;
            let mut begin = 0;
            while found.end < self.bound
                && let Some(len) = memchr::memchr(b'\n', &block[begin..count])
            {
                if !self.accept(&block[begin..begin + len], &mut found)? {
                    break 'blocks;
                }
                begin += len + 1;
            }
            // Nothing more is whole, or a "line" exceeds every limit: torn either way.
            if begin == 0 {
                break;
            }
        }
        found.rewrite_offset = found.rewrite_offset.min(found.len_bytes);
        found.unsealed_offset = found.unsealed_offset.min(found.len_bytes);
        Ok(found)
    }

    fn accept(&mut self, text: &[u8], found: &mut Scanned) -> Result<bool, ScanError> {
        let index = found.end;
        let front = line::parse_front(text).filter(|front| front.index == index);
        if index < self.sealed {
            let signed = (self.leaf)(index)?;
            let is_other = signed.is_some_and(|signed| signed != leaf_hash(text));
            if is_other && !cfg!(trailseal_fault = "signed_lines_not_compared") || front.is_none() {
                return Err(ScanError::NotSigned(index));
            }
        } else if !cfg!(trailseal_fault = "torn_lines_kept")
            && (front.is_none() || text.len() > line::LINE_BYTES_MAX || Value::parse(text).is_err())
        {
            return Ok(false);
        }
        if !self.own.take(index, text)
            && index >= self.sealed
            && !cfg!(trailseal_fault = "lines_after_close_taken")
        {
            return Err(ScanError::NotRecorded(index));
        }
        if index >= self.sealed {
            found.unsealed_offset = found.unsealed_offset.min(found.len_bytes);
        }
        if index >= self.rewrite_from {
            found.rewrite_offset = found.rewrite_offset.min(found.len_bytes);
        }
        if (index - self.first).is_multiple_of(OFFSETS_EVERY) {
            found.offsets.push(found.len_bytes);
        }
        found.recorded = front.map(|front| front.recorded);
        found.len_bytes += text.len() as u64 + 1;
        found.end += 1;
        Ok(true)
    }
}
