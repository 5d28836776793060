//! Durable lines in order of their indexes, read from the segments as they grow.
//!
//! The sealer reads what is on disk rather than what passed through memory, so it does the same work after a crash as
//! on any day. The opening, which compared the preceding bytes with what was signed, knows where the first line begins;
//! newlines in bytes that nobody compared mean nothing. A line must name its own index.

use std::io;
use std::sync::Arc;

use trailseal_event::Index;
use trailseal_event::line::{self, Fronts};

use crate::file::ReadFile;
use crate::log_state::Log;
use crate::segment::{Form, segment_name};

const BLOCK: usize = 1 << 20;
const _: () = assert!(line::LINE_BYTES_MAX < BLOCK, "a block holds at least one line");

/// A position in the segments.
pub(crate) struct Source {
    log: Arc<Log>,
    at: Option<At>,
    /// Where line `begin` is: the first index of its segment, and the offset in it.
    place: (u64, u64),
    begin: u64,
    /// The index of the next line.
    next: u64,
    fronts: Fronts,
    block: Vec<u8>,
    /// Set while files are short: then the segment is closed after each read.
    is_sparing: bool,
}

/// The segment of line `next`.
struct At {
    first: u64,
    /// Where line `next` begins.
    offset: u64,
    file: Option<Box<dyn ReadFile>>,
}

impl Source {
    /// Starts at line `next`, which is, or will be, at `place`: the first index of its segment, and the offset in it.
    pub(crate) fn new(log: Arc<Log>, next: u64, place: (u64, u64)) -> Self {
        Source {
            log,
            at: None,
            place,
            begin: next,
            next,
            fronts: Fronts::new(next),
            block: Vec::new(),
            is_sparing: false,
        }
    }

    /// From now on, holds no file open between two reads, or one.
    pub(crate) fn spare_files(&mut self, is_sparing: bool) {
        self.is_sparing = is_sparing;
        if let Some(at) = self.at.as_mut().filter(|_| is_sparing) {
            at.file = None;
        }
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Whether the next line is the first of a segment.
    pub(crate) fn begins_segment(&self) -> bool {
        self.log.segment_of(self.next).is_some_and(|(first, _)| first == self.next)
    }

    /// Calls `each` with up to a block of lines (without newlines) below index `end`, which must be
    /// durable.
    pub(crate) fn read(&mut self, end: u64, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let Some((first, following)) = self.log.segment_of(self.next) else {
            return Err(io::Error::other(format!("no segment holds line {}", self.next)));
        };
        if self.at.as_ref().is_none_or(|at| at.first != first) {
            self.at = Some(At { first, offset: self.offset_in(first)?, file: None });
        }
        let path = self.log.folder.segments_folder().join(segment_name(Index::new(first), Form::Plain));
        let Some(at) = &mut self.at else { return Ok(()) };
        let file = match &mut at.file {
            Some(file) => file,
            closed => closed.insert(self.log.folder.files().open_read(&path)?),
        };
        let end = end.min(following.unwrap_or(u64::MAX));
        self.block.resize(BLOCK, 0);
        let count = file.read_at(at.offset, &mut self.block)?;
        let mut begin = 0;
        let mut misplaced = false;
        while self.next < end {
            let Some(len) = memchr::memchr(b'\n', &self.block[begin..count]) else { break };
            let line = &self.block[begin..begin + len];
            if self.fronts.next(line).is_none() {
                self.fronts = Fronts::new(self.next);
                misplaced = true;
                break;
            }
            each(line);
            begin += len + 1;
            self.next += 1;
        }
        at.offset += begin as u64;
        if self.is_sparing {
            at.file = None;
        }
        if misplaced {
            let what = format!("line {} is not at its position in segment {first}", self.next);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        if begin == 0 && self.next < end {
            return Err(io::Error::other(format!("segment {first} ends before line {}", self.next)));
        }
        Ok(())
    }

    /// Where the next line begins in a segment that is being opened.
    fn offset_in(&self, first: u64) -> io::Result<u64> {
        match (self.place, self.next) {
            (_, next) if next == first => Ok(0),
            ((segment, offset), next) if segment == first && next == self.begin => Ok(offset),
            _ => Err(io::Error::other(format!("the position of line {} is not known", self.next))),
        }
    }
}
