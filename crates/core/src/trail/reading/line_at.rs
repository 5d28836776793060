//! Single lines by their places, as an index remembers them. A place is a hint: the line found there must have the
//! right index, otherwise it is searched for in the ordinary way.

use std::io;
use std::sync::Arc;

use trailseal_event::Index;
use trailseal_event::line::parse_front;

use super::reader::ReadError;
use crate::file::Files;
use crate::segment::SegmentFile;
use crate::segment::source::Source;
use crate::trail::Reader;

/// Lines this close to each other are read together.
const BLOCK: u64 = 64 << 10;

/// Where a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Index of the first line of its segment.
    pub segment: Index,
    /// Where it begins in the segment's uncompressed bytes.
    pub offset: u64,
}

/// Keeps the last segment and block that were read.
#[derive(Default)]
pub struct LineAt {
    open: Option<(SegmentFile, Source)>,
    block_offset: u64,
    block: Vec<u8>,
}

impl LineAt {
    /// The line at `index`, which should be at `place`; `None` if `reader`'s view has no such line, or it was retired.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn get(
        &mut self,
        reader: &mut Reader,
        index: Index,
        place: Place,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        if index >= reader.end() {
            return Ok(None);
        }
        if self.seek(reader, place) && self.fill(place.offset).is_ok() {
            let from = (place.offset - self.block_offset) as usize;
            let line = self.block.get(from..).and_then(|rest| {
                let len = memchr::memchr(b'\n', rest)?;
                rest.get(..len)
            });
            if let Some(line) = line
                && parse_front(line).is_some_and(|front| front.index == index.get())
            {
                return Ok(Some(line.to_vec()));
            }
        }
        match reader.line(index) {
            // An index that is not up to date yet still names it.
            Err(ReadError::Retired { .. }) => Ok(None),
            line => line,
        }
    }

    /// Opens the segment of `place` unless it is already open; false if the view has none.
    fn seek(&mut self, reader: &Reader, place: Place) -> bool {
        if self.open.as_ref().is_some_and(|(segment, _)| segment.first == place.segment) {
            return true;
        }
        self.block.clear();
        let segments = reader.segments();
        let found = segments.binary_search_by_key(&place.segment, |segment| segment.first);
        let Some(segment) = found.ok().and_then(|at| segments.get(at)) else { return false };
        let files: &Arc<dyn Files> = reader.folder().files();
        self.open = Source::open(&**files, segment).ok().map(|(source, _, _)| (segment.clone(), source));
        self.open.is_some()
    }

    /// Reads the block around `offset` unless the current one has a whole line from there on.
    fn fill(&mut self, offset: u64) -> io::Result<()> {
        let end = self.block_offset + self.block.len() as u64;
        if self.block_offset <= offset && offset < end {
            let rest = &self.block[(offset - self.block_offset) as usize..];
            if memchr::memchr(b'\n', rest).is_some() {
                return Ok(());
            }
        }
        let Some((_, source)) = &mut self.open else { return Err(io::ErrorKind::NotFound.into()) };
        // Including the lines before it: a reader that goes backwards asks for them next.
        self.block_offset = offset / BLOCK * BLOCK;
        self.block.resize(2 * BLOCK as usize, 0);
        let count = source.read_at(self.block_offset, &mut self.block);
        self.block.truncate(*count.as_ref().unwrap_or(&0));
        count.map(|_| ())
    }
}
