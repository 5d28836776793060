//! Where the lines of a segment begin: by the file that says so, if it is right, or counted.

use std::io;

use trailseal_event::Index;
use trailseal_event::line::FRONT_BYTES_MAX;

use super::{ReadError, Reader, begins_with, io_at};
use crate::file::Files;
use crate::folder::Folder;
use crate::segment::source::Source;
use crate::segment::{LineReader, Numbering, OFFSETS_EVERY, Offsets, SegmentFile, offsets_name};

const OFFSETS_BYTES_MAX: u64 = 1 << 30;

impl Reader {
    /// The index and offset of the last known start of a line at or before `index`, or of the first line after it.
    pub(super) fn group_before(&mut self, segment: &SegmentFile, index: u64) -> io::Result<(u64, u64)> {
        let first = segment.first.get();
        if index - first < OFFSETS_EVERY {
            return Ok((first, 0));
        }
        let offsets = match self.offsets_of(segment, index + 1) {
            Err(ReadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok((first, 0));
            }
            Err(ReadError::Io { source, .. }) => return Err(source),
            Err(error) => return Err(io::Error::other(error)),
            Ok(offsets) => offsets,
        };
        let group = offsets.group_of(index);
        // One that is too short is noticed by whoever reads on from its beginning.
        let known = offsets.offsets.get(group as usize).filter(|_| offsets.lines > 0);
        Ok(known.map_or((first, 0), |&offset| (offsets.index_of(group), offset)))
    }

    /// The segment's offsets, known at least up to index `to` if it has that many lines.
    pub(super) fn offsets_of(&mut self, segment: &SegmentFile, to: u64) -> Result<&Offsets, ReadError> {
        let first = segment.first.get();
        let mut offsets = match self.offsets.remove(&first) {
            Some(offsets) => offsets,
            None => self.stored_offsets(segment),
        };
        if offsets.known_end() < to.min(segment.end.map_or(u64::MAX, Index::get)) {
            extend(&mut offsets, segment, &self.folder).map_err(io_at(&segment.path))?;
        }
        Ok(self.offsets.entry(first).or_insert(offsets))
    }

    /// The derived file's offsets, if they can be correct; otherwise none.
    fn stored_offsets(&self, segment: &SegmentFile) -> Offsets {
        let path = self.folder.segments_folder().join(offsets_name(segment.first));
        let files = self.folder.files();
        files
            .read(&path, OFFSETS_BYTES_MAX)
            .ok()
            .and_then(|bytes| Offsets::decode(&bytes))
            .filter(|offsets| {
                offsets.first == segment.first && fits(offsets, segment, &**files).unwrap_or(false)
            })
            .unwrap_or_else(|| Offsets { first: segment.first, ..Offsets::default() })
    }
}

/// Whether each offset leads to the line that it should. Costs a small read per 256 lines, and a decompression of the
/// segment if it is compressed; both are cheaper than rebuilding the offsets.
fn fits(offsets: &Offsets, segment: &SegmentFile, files: &dyn Files) -> io::Result<bool> {
    let (mut source, _, _) = Source::open(files, segment)?;
    if offsets.len_bytes > source.len_bytes()? {
        return Ok(false);
    }
    for (group, &offset) in (0..).zip(&offsets.offsets) {
        let index = offsets.index_of(group);
        let mut front = [0; FRONT_BYTES_MAX];
        let count = source.read_at(offset, &mut front)?;
        if !begins_with(&front[..count], index) {
            return Ok(false);
        }
    }
    // The end is the end of a line, and of the right one.
    let last = offsets.offsets.last().copied().unwrap_or(0);
    let mut bytes = vec![0; (offsets.len_bytes - last) as usize];
    let count = source.read_at(last, &mut bytes)?;
    let lines = memchr::memchr_iter(b'\n', &bytes[..count]).count() as u64;
    let expected =
        offsets.lines.saturating_sub((offsets.offsets.len() as u64).saturating_sub(1) * OFFSETS_EVERY);
    Ok(lines == expected && bytes.last().is_none_or(|byte| *byte == b'\n'))
}

/// Continues from the end of `offsets`.
fn extend(offsets: &mut Offsets, segment: &SegmentFile, folder: &Folder) -> io::Result<()> {
    let mut reader = LineReader::open(folder.files(), segment, offsets.len_bytes)?;
    let mut numbering = Numbering::new(folder.files(), segment, offsets.known_end());
    let bound = segment.end.map_or(u64::MAX, Index::get);
    while numbering.next() < bound {
        let before = reader.consumed();
        let Some(line) = reader.next_line()? else { break };
        let index = numbering.number(line)?;
        let len = reader.consumed() - before;
        if index >= bound {
            break;
        }
        if offsets.lines.is_multiple_of(OFFSETS_EVERY) {
            offsets.push_group(index, offsets.len_bytes);
        }
        offsets.lines += 1;
        offsets.len_bytes += len;
    }
    if let Some(end) = segment.end
        && numbering.ends_at(end.get())?
        && end.get() != segment.first.get() + offsets.lines
    {
        offsets.end = Some(end);
    }
    Ok(())
}
