//! The segment being written: append, sync once, roll.
//!
//! *sticky failure*: after an append or a sync failed, this writer is dropped, and nothing more is acknowledged from
//! its file; the caller continues in a new segment named by the first index that is not durable. A sync is never
//! retried as if nothing had happened.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use trailseal_event::{Index, Timestamp, line};

use super::{Form, offsets_name, segment_name};
use crate::file::{AppendFile, Files, Standing};
use crate::segment::offsets::{OFFSETS_EVERY, Offsets};

/// Blocks are reserved ahead in steps of this many bytes: a sync into reserved blocks is cheaper.
const RESERVE_STEP: u64 = 8 << 20;

/// The open segment. Owned by the writer thread.
pub(crate) struct SegmentWriter {
    files: Arc<dyn Files>,
    folder: PathBuf,
    file: Box<dyn AppendFile>,
    first: u64,
    /// Everything below this index is durable in the segments.
    durable: u64,
    /// Bytes of durable lines.
    len_bytes: u64,
    reserved: u64,
    /// Where every 256th line begins.
    offsets: Vec<u64>,
    /// `recorded` of the first line, once that is known.
    first_recorded: Option<Timestamp>,
}

/// Lines to append, in order.
pub(crate) struct Batch<'a> {
    /// The lines, each with its newline.
    pub(crate) bytes: &'a [u8],
    /// Index of the first.
    pub(crate) first: u64,
    /// How many.
    pub(crate) lines: u64,
}

impl SegmentWriter {
    /// Creates the segment that begins with index `first`. An existing file of that name in which no line became
    /// durable is set aside first, so that names cannot collide. If it fails because of a shortage of files, there is
    /// none of that name: lines may continue where they went.
    pub(crate) fn create(files: Arc<dyn Files>, folder: &Path, first: u64) -> io::Result<Self> {
        let path = folder.join(segment_name(Index::new(first), Form::Plain));
        let file = match files.create_append(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let renamed = set_aside(&*files, folder, first).and_then(|()| files.create_append(&path));
                // Whatever the error: the name is taken, or was.
                renamed.map_err(io::Error::other)?
            }
            other => other?,
        };
        Ok(SegmentWriter {
            files,
            folder: folder.to_owned(),
            file,
            first,
            durable: first,
            len_bytes: 0,
            reserved: 0,
            offsets: Vec::new(),
            first_recorded: None,
        })
    }

    /// Continues an existing segment whose first `len_bytes` bytes are the lines `first..next`, all of them durable;
    /// `offsets` are those of its lines 0, 256, 512, …
    pub(crate) fn resume(
        files: Arc<dyn Files>,
        folder: &Path,
        first: u64,
        next: u64,
        len_bytes: u64,
        offsets: Vec<u64>,
    ) -> io::Result<Self> {
        let path = folder.join(segment_name(Index::new(first), Form::Plain));
        let mut front = [0; 128];
        let count = files.open_read(&path)?.read_at(0, &mut front)?;
        let first_recorded = line::parse_front(&front[..count]).map(|front| front.recorded);
        let file = files.open_append(&path, len_bytes)?;
        Ok(SegmentWriter {
            files,
            folder: folder.to_owned(),
            file,
            first,
            durable: next,
            len_bytes,
            reserved: len_bytes,
            offsets,
            first_recorded,
        })
    }

    /// `recorded` of the first line; `None` while there is none.
    pub(crate) fn first_recorded(&self) -> Option<Timestamp> {
        self.first_recorded
    }

    /// Index of the first line.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Bytes of durable lines.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// The nearest line at or before line `index` with a known place: the segment's first index, the line's index, and
    /// where it begins. `None` if the segment does not hold line `index`.
    pub(crate) fn line_before(&self, index: u64) -> Option<(u64, u64, u64)> {
        let group = index.checked_sub(self.first).filter(|_| index < self.durable)? / OFFSETS_EVERY;
        let offset = *self.offsets.get(group as usize)?;
        Some((self.first, self.first + group * OFFSETS_EVERY, offset))
    }

    /// Appends `batch` and returns when it is on disk, with how long the sync took.
    pub(crate) fn append_durably(&mut self, batch: &Batch<'_>) -> io::Result<Duration> {
        debug_assert_eq!(batch.first, self.durable, "a batch continues the segment");
        let end = self.len_bytes + batch.bytes.len() as u64;
        if end > self.reserved {
            self.reserved = end.next_multiple_of(RESERVE_STEP);
            match self.file.reserve(self.reserved) {
                // Less room than a step may still be enough for the lines: the write itself will tell.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => self.reserved = end,
                done => done?,
            }
        }
        self.file.append(batch.bytes)?;
        let begun = Instant::now();
        if !cfg!(trailseal_fault = "no_sync_before_answer") {
            self.file.sync_data()?;
        }
        let took = begun.elapsed();
        if self.is_unlinked() {
            // Nobody can read what was synced.
            return Err(io::Error::other("somebody removed the file"));
        }
        if self.first_recorded.is_none() {
            self.first_recorded = line::parse_front(batch.bytes).map(|front| front.recorded);
        }
        self.note_offsets(batch);
        self.durable += batch.lines;
        self.len_bytes = end;
        Ok(took)
    }

    /// Abandons the segment after a failure. A file in which no line became durable is removed: its lines are written
    /// again under the same name, and repeated attempts on a failing disk would fill it.
    pub(crate) fn give_up(self) {
        if self.durable == self.first && matches!(self.file.standing(), Ok(Standing::InPlace)) {
            // If that also fails, the next segment of this name sets the file aside.
            let name = segment_name(Index::new(self.first), Form::Plain);
            let _ = self.files.remove(&self.folder.join(name));
        }
    }

    /// Whether the segment's name still leads to the file being written, and the file has all its lines.
    pub(crate) fn standing(&self) -> io::Result<Standing> {
        self.file.standing()
    }

    /// Whether no name leads to the file any more, in whatever folder.
    pub(crate) fn is_unlinked(&self) -> bool {
        matches!(self.file.is_unlinked(), Ok(true))
    }

    /// Ends the segment: frees reserved blocks and writes the derived offset file next to it.
    ///
    /// All lines are already durable, so a failure here loses nothing; a missing offset file is rebuilt.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.file.truncate(self.len_bytes)?;
        let offsets = Offsets {
            first: Index::new(self.first),
            lines: self.durable - self.first,
            len_bytes: self.len_bytes,
            offsets: self.offsets,
            ..Offsets::default()
        };
        self.files.replace(&self.folder.join(offsets_name(Index::new(self.first))), &offsets.encode(), false)
    }

    fn note_offsets(&mut self, batch: &Batch<'_>) {
        let already = self.durable - self.first;
        let mut wanted = already.next_multiple_of(OFFSETS_EVERY) - already;
        let mut line = 0;
        let mut at = 0;
        while wanted < batch.lines {
            while line < wanted {
                // Each line of a batch ends with a newline, so there is always one to find.
                at += memchr::memchr(b'\n', &batch.bytes[at..]).map_or(batch.bytes.len() - at, |end| end + 1);
                line += 1;
            }
            self.offsets.push(self.len_bytes + at as u64);
            wanted += OFFSETS_EVERY;
        }
    }
}

fn set_aside(files: &dyn Files, folder: &Path, first: u64) -> io::Result<()> {
    let taken = files.list(folder)?;
    let name = segment_name(Index::new(first), Form::Plain);
    let aside = (0u32..)
        .map(|number| format!("{:020}.void-{number}", first))
        .find(|name| !taken.contains(name))
        .unwrap_or_default();
    files.rename(&folder.join(name), &folder.join(aside))
}
