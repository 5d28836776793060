//! Lines of one segment, in order, in constant memory; for plain and compressed ones alike.

use std::io;
use std::sync::Arc;

use trailseal_event::line::LINE_BYTES_MAX;

use super::SegmentFile;
use super::source::Source;
use crate::file::Files;

/// How much is read at once, and how much if only a few lines are wanted.
const BLOCK: usize = 1 << 20;
const SMALL_BLOCK: usize = 2 * (LINE_BYTES_MAX + 1);

/// Reads a segment line by line from some offset on. It does not know the bound that the next segment's name sets: the
/// caller counts.
pub struct LineReader {
    source: Source,
    offset: u64,
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
    /// Set while the rest of a line that exceeds the limit is skipped.
    skipping: bool,
}

impl LineReader {
    /// Starts at `offset`, counted in uncompressed bytes, which must be the beginning of a line.
    ///
    /// # Errors
    /// When the file cannot be opened, or its compressed frames cannot be read.
    pub fn open(files: &Arc<dyn Files>, segment: &SegmentFile, offset: u64) -> io::Result<Self> {
        Self::with_block(files, segment, offset, BLOCK)
    }

    /// Like [`open`](LineReader::open), for a few lines.
    pub(crate) fn open_for_few(
        files: &Arc<dyn Files>,
        segment: &SegmentFile,
        offset: u64,
    ) -> io::Result<Self> {
        Self::with_block(files, segment, offset, SMALL_BLOCK)
    }

    fn with_block(
        files: &Arc<dyn Files>,
        segment: &SegmentFile,
        offset: u64,
        block: usize,
    ) -> io::Result<Self> {
        let (source, _, _) = Source::open(&**files, segment)?;
        Ok(LineReader { source, offset, buffer: vec![0; block], begin: 0, end: 0, skipping: false })
    }

    /// The next line without its newline; `None` at the end, even if bytes without a newline follow there. For a line
    /// over the limit, only its first 65,536 bytes are returned.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        let mut searched = 0;
        loop {
            if let Some(len) = memchr::memchr(b'\n', &self.buffer[self.begin + searched..self.end]) {
                let begin = self.begin;
                self.begin += searched + len + 1;
                if std::mem::take(&mut self.skipping) {
                    searched = 0;
                    continue;
                }
                let end = (self.begin - 1).min(begin + LINE_BYTES_MAX + 1);
                return Ok(Some(&self.buffer[begin..end]));
            }
            searched = self.end - self.begin;
            if searched > LINE_BYTES_MAX {
                let begin = self.begin;
                self.begin = self.end;
                if !std::mem::replace(&mut self.skipping, true) {
                    return Ok(Some(&self.buffer[begin..=begin + LINE_BYTES_MAX]));
                }
                searched = 0;
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// The beginning of the next line, as far as it is read at once; `None` at the end.
    pub(crate) fn peek(&mut self) -> io::Result<Option<&[u8]>> {
        if self.begin == self.end && !self.fill()? {
            return Ok(None);
        }
        Ok(Some(&self.buffer[self.begin..self.end]))
    }

    /// The next whole line, which the next call returns again; `None` at the end, and for a line over the limit.
    pub(crate) fn peek_line(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            let rest = &self.buffer[self.begin..self.end];
            match memchr::memchr(b'\n', rest) {
                Some(len) => return Ok(Some(&self.buffer[self.begin..self.begin + len])),
                None if rest.len() > LINE_BYTES_MAX || !self.fill()? => return Ok(None),
                None => {}
            }
        }
    }

    /// The offset of the next byte that was not yet returned.
    pub(crate) fn consumed(&self) -> u64 {
        self.offset - (self.end - self.begin) as u64
    }

    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
        let count = self.source.read_at(self.offset, &mut self.buffer[self.end..])?;
        self.offset += count as u64;
        self.end += count;
        Ok(count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::StdFiles;
    use crate::segment::Form;
    use trailseal_event::Index;

    fn lines_of(bytes: &[u8], offset: u64) -> Vec<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("00000000000000000000.jsonl");
        std::fs::write(&path, bytes).unwrap();
        let segment = SegmentFile { first: Index::new(0), end: None, form: Form::Plain, path };
        let files: Arc<dyn Files> = Arc::new(StdFiles);
        let mut reader = LineReader::open(&files, &segment, offset).unwrap();
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            lines.push(line.to_vec());
        }
        lines
    }

    #[test]
    fn whole_lines_are_given_and_a_torn_one_is_not() {
        assert_eq!(lines_of(b"", 0), Vec::<Vec<u8>>::new());
        assert_eq!(lines_of(b"one\ntwo\ntor", 0), [b"one".to_vec(), b"two".to_vec()]);
        assert_eq!(lines_of(b"one\ntwo\n", 4), [b"two".to_vec()]);
        assert_eq!(lines_of(b"\n\n", 0), [b"".to_vec(), b"".to_vec()]);
    }

    #[test]
    fn lines_longer_than_a_block_are_cut_and_the_next_one_is_whole() {
        for len in [LINE_BYTES_MAX, LINE_BYTES_MAX + 1, BLOCK - 1, BLOCK, 3 * BLOCK + 5] {
            let mut bytes = vec![b'x'; len];
            bytes.extend_from_slice(b"\nnext\n");
            let lines = lines_of(&bytes, 0);
            assert_eq!(lines.len(), 2, "{len}");
            assert_eq!(lines[0].len(), len.min(LINE_BYTES_MAX + 1), "{len}");
            assert_eq!(lines[1], b"next");
        }
    }

    #[test]
    fn many_blocks_come_out_as_they_went_in() {
        let wanted: Vec<Vec<u8>> =
            (0..40_000).map(|n: u32| format!("{n}{}", "y".repeat(n as usize % 97)).into_bytes()).collect();
        let mut bytes = Vec::new();
        for line in &wanted {
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        }
        assert!(bytes.len() > 2 * BLOCK);
        assert_eq!(lines_of(&bytes, 0), wanted);
    }
}
