//! The read-only view of a trail, for any process, at any time, also on a read-only file system.
//!
//! While a writer lives, readers see what is durable: the handoff's header says how far that is. If no process holds
//! the trail, they also see the unbroken run in the handoff, and so everything that was accepted before a `kill -9`,
//! even if nobody has opened the trail since.

mod offsets;
mod proofs;
mod retired;

use std::collections::HashMap;
use std::io;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trailseal_event::Index;
use trailseal_event::line::parse_front;

pub use self::retired::RetiredEvent;
use crate::file::Files;
use crate::folder::Folder;
use crate::handoff::{self, Lies, Owner, handoff_header, replay};
use crate::lock::{self, Holder};
use crate::manifest::{Manifest, ManifestError};
use crate::segment::SegmentFile;
use crate::segment::source::Source;
use crate::segment::{LineReader, NumberedLines, Numbering, OFFSETS_EVERY, Offsets};

const HANDOFF_BYTES_MAX: u64 = 16 << 30;

/// Why a trail could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The folder holds none.
    #[error("{} holds no trail: give the folder that has trail.toml in it (--dir)", path.display())]
    NoTrail {
        /// The folder.
        path: PathBuf,
    },
    /// A file contains something impossible.
    #[error("{} is damaged: {what}; run `trailseal verify`", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The event is not covered by a signed checkpoint yet.
    #[error(
        "event {index} is not sealed yet: the newest checkpoint covers {tree_size} events; try again in a second"
    )]
    NotSealed {
        /// Which.
        index: Index,
        /// How many are sealed.
        tree_size: u64,
    },
    /// The line is there but is not the one that the newest checkpoint covers.
    #[error("event {index} is not the one that was signed: run `trailseal verify`")]
    NotSigned {
        /// The requested event.
        index: Index,
    },
    /// The event was retired: it is gone for good, with the trail's own signed word for it.
    #[error("event {index} was retired{}", by.map_or(String::new(), |by| format!(" by event {by}, `trail.retired`")))]
    Retired {
        /// The event.
        index: Index,
        /// The event `trail.retired` that says so; `None` if it cannot be found.
        by: Option<Index>,
    },
    /// The trail does not begin with that of the older checkpoint.
    #[error(
        "the trail does not begin with that of the given checkpoint: {what}; `trailseal verify --checkpoint` says more"
    )]
    NotContained {
        /// What is wrong.
        what: String,
    },
    /// The system could not read a file.
    #[error("could not read {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// Called with each line and its index; breaks to stop.
pub type EachLine<'a> = dyn FnMut(Index, &[u8]) -> ControlFlow<()> + 'a;

/// A view of one trail's lines. It does not change until [`refresh`](Reader::refresh).
pub struct Reader {
    folder: Folder,
    manifest: Manifest,
    segments: Vec<SegmentFile>,
    /// Index after the last line that may be read from the segments.
    segments_end: u64,
    /// Lines that only the handoff holds, from `segments_end` on.
    replayed: Vec<Vec<u8>>,
    holder: Option<Holder>,
    /// By first index; grows with the segment that is being written.
    offsets: HashMap<u64, Offsets>,
}

impl Reader {
    /// Opens a view of the trail in folder `dir`. Writes nothing.
    ///
    /// # Errors
    /// When there is no trail, or it cannot be read.
    pub fn open(dir: impl AsRef<Path>, files: Arc<dyn Files>) -> Result<Self, ReadError> {
        let folder = Folder::new(dir.as_ref(), files);
        let manifest = read_manifest(&folder)?;
        let mut reader = Reader {
            folder,
            manifest,
            segments: Vec::new(),
            segments_end: 0,
            replayed: Vec::new(),
            holder: None,
            offsets: HashMap::new(),
        };
        reader.refresh()?;
        Ok(reader)
    }

    /// The trail's name.
    pub fn origin(&self) -> &str {
        self.manifest.origin.as_str()
    }

    /// Its folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// What its `trail.toml` says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Who writes to it, as of the last refresh.
    pub fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }

    /// The index after the last line in this view.
    pub fn end(&self) -> Index {
        Index::new(self.segments_end + self.replayed.len() as u64)
    }

    /// How many lines of this view only the handoff holds.
    pub fn only_in_handoff(&self) -> u64 {
        self.replayed.len() as u64
    }

    /// The segments of this view.
    pub fn segments(&self) -> &[SegmentFile] {
        &self.segments
    }

    /// Picks up what has become readable since.
    ///
    /// # Errors
    /// When the folder or the handoff cannot be read.
    pub fn refresh(&mut self) -> Result<(), ReadError> {
        // The key may have been rotated since.
        self.manifest = read_manifest(&self.folder)?;
        let files = self.folder.files().clone();
        self.holder = lock::held_by(&self.folder).map_err(io_at(&self.folder.lock()))?;
        let handoffs = self.handoffs();
        // Before the listing: a segment that starts meanwhile is then after the end of this view, and every line before
        // that end has its segment in the list.
        let durable = match self.holder {
            Some(_) => {
                handoffs.iter().find_map(|path| handoff_header(&*files, path)).map(|header| header.durable)
            }
            None => None,
        };
        let listed = self.folder.segments_folder();
        self.segments = self.folder.segments().map_err(io_at(&listed))?;
        self.replayed.clear();
        if let Some(durable) = durable {
            self.segments_end = durable;
            return Ok(());
        }
        self.segments_end = self.count_lines()?;
        if self.holder.is_none() {
            self.replay(&*files, &handoffs)?;
        }
        Ok(())
    }

    fn handoffs(&self) -> Vec<PathBuf> {
        let named = lock::named_handoff(&self.folder);
        let usual = self.folder.handoff();
        let mut paths: Vec<PathBuf> = named.into_iter().collect();
        if !paths.contains(&usual) {
            paths.push(usual);
        }
        let owner = Owner::of(self.folder.root(), self.manifest.origin.as_str());
        let files = &**self.folder.files();
        paths.retain(|path| handoff::lies_at(files, path, &owner) == Lies::Own);
        paths
    }

    fn replay(&mut self, files: &dyn Files, handoffs: &[PathBuf]) -> Result<(), ReadError> {
        for path in handoffs {
            let bytes = match files.read(path, HANDOFF_BYTES_MAX) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                // Only readable by the owner: other users see what is in the segments.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
                other => other.map_err(io_at(path))?,
            };
            let next = self.end().get();
            let replayed = &mut self.replayed;
            replay(&bytes, next, |_, line| replayed.push(line.strip_suffix(b"\n").unwrap_or(line).to_vec()));
        }
        Ok(())
    }

    /// The index after the last whole line in the segments.
    fn count_lines(&mut self) -> Result<u64, ReadError> {
        let Some(last) = self.segments.last().cloned() else { return Ok(0) };
        let offsets = self.offsets_of(&last, u64::MAX)?;
        Ok(last.first.get() + offsets.lines)
    }

    /// Calls `each` with the lines in `range`, oldest first.
    ///
    /// # Errors
    /// When a segment cannot be read, or ends before its lines do.
    pub fn for_each(&mut self, range: Range<u64>, each: &mut EachLine<'_>) -> Result<(), ReadError> {
        let range = range.start..range.end.min(self.end().get());
        for segment in self.segments.clone() {
            let first = segment.first.get();
            let from = range.start.max(first);
            let to = range.end.min(segment.end.map_or(self.segments_end, Index::get)).min(self.segments_end);
            if from < to && self.lines_of(&segment, from..to, each)?.is_break() {
                return Ok(());
            }
        }
        for (index, line) in (self.segments_end..).zip(&self.replayed) {
            if range.contains(&index) && each(Index::new(index), line).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn lines_of(
        &mut self,
        segment: &SegmentFile,
        range: Range<u64>,
        each: &mut EachLine<'_>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let failed = io_at(&segment.path);
        let Some(mut lines) = self.lines_from(segment, &range).map_err(&failed)? else {
            return self.all_retired(segment, range);
        };
        while lines.index() < range.end {
            let Some((index, line)) = lines.next().map_err(&failed)? else {
                return match lines.ends_at(range.end).map_err(&failed)? {
                    true => Ok(ControlFlow::Continue(())),
                    false => Err(self.too_short(segment, lines.index())),
                };
            };
            if range.contains(&index) && each(Index::new(index), line).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The lines of a segment from the last known place before `range` on; `None` if its file is gone.
    fn lines_from(&mut self, segment: &SegmentFile, range: &Range<u64>) -> io::Result<Option<NumberedLines>> {
        let is_few = range.end - range.start < OFFSETS_EVERY;
        let open = if is_few { LineReader::open_for_few } else { LineReader::open };
        let files = self.folder.files().clone();
        // Twice: a retirement may have replaced the segment since its offsets were read.
        for _ in 0..2 {
            let (index, offset) = self.group_before(segment, range.start)?;
            let mut lines = match open(&files, segment, offset) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                opened => opened?,
            };
            if offset == 0 || lines.peek()?.is_none_or(|line| begins_with(line, index)) {
                return Ok(Some(NumberedLines::from(lines, &files, segment, index)));
            }
            self.offsets.remove(&segment.first.get());
        }
        // Not where its offsets say: counted from the beginning.
        let lines = open(&files, segment, 0)?;
        Ok(Some(NumberedLines::from(lines, &files, segment, segment.first.get())))
    }

    /// For a segment whose file is not there: fine if everything wanted of it is retired.
    fn all_retired(&self, segment: &SegmentFile, range: Range<u64>) -> Result<ControlFlow<()>, ReadError> {
        let mut numbering = Numbering::new(self.folder.files(), segment, range.start);
        match numbering.ends_at(range.end).map_err(io_at(&segment.path))? {
            true => Ok(ControlFlow::Continue(())),
            false => Err(io_at(&segment.path)(io::ErrorKind::NotFound.into())),
        }
    }

    /// Calls `each` with the lines in `range`, newest first.
    ///
    /// # Errors
    /// As [`for_each`](Reader::for_each).
    pub fn for_each_newest_first(
        &mut self,
        range: Range<u64>,
        each: &mut EachLine<'_>,
    ) -> Result<(), ReadError> {
        let range = range.start..range.end.min(self.end().get());
        for (place, line) in self.replayed.iter().enumerate().rev() {
            let index = self.segments_end + place as u64;
            if range.contains(&index) && each(Index::new(index), line).is_break() {
                return Ok(());
            }
        }
        for segment in self.segments.clone().into_iter().rev() {
            let from = range.start.max(segment.first.get());
            let to = range.end.min(segment.end.map_or(self.segments_end, Index::get)).min(self.segments_end);
            if from < to && self.lines_of_newest_first(&segment, from..to, each)?.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn lines_of_newest_first(
        &mut self,
        segment: &SegmentFile,
        range: Range<u64>,
        each: &mut EachLine<'_>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let mut range = range;
        // A retirement may replace the segment meanwhile: then once more with what is left of it.
        for is_last in [false, true] {
            let failed = io_at(&segment.path);
            let mut source = match Source::open(&**self.folder.files(), segment) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return self.all_retired(segment, range);
                }
                opened => opened.map_err(&failed)?.0,
            };
            let offsets = match self.offsets_of(segment, range.end) {
                Err(ReadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
                offsets => offsets?.clone(),
            };
            match self.groups_newest_first(segment, &mut source, &offsets, &mut range, each) {
                Err(ReadError::Damaged { .. } | ReadError::Io { .. }) if !is_last => {
                    self.offsets.remove(&segment.first.get());
                }
                done => return done,
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What was passed to `each` is taken off the end of `range`.
    fn groups_newest_first(
        &self,
        segment: &SegmentFile,
        source: &mut Source,
        offsets: &Offsets,
        range: &mut Range<u64>,
        each: &mut EachLine<'_>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let failed = io_at(&segment.path);
        if offsets.known_end() < range.end {
            return Err(self.too_short(segment, offsets.known_end()));
        }
        if offsets.offsets.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let last_group = offsets.group_of(range.end - 1);
        for group in (0..=last_group).rev() {
            let group_first = offsets.index_of(group);
            let next_first = match (group as usize + 1) < offsets.offsets.len() {
                true => offsets.index_of(group + 1),
                false => offsets.known_end(),
            };
            if next_first <= range.start {
                break;
            }
            let Some(&begin) = offsets.offsets.get(group as usize) else {
                return Err(self.too_short(segment, group_first));
            };
            let end = offsets.offsets.get(group as usize + 1).copied().unwrap_or(offsets.len_bytes);
            let mut bytes = vec![0; (end - begin) as usize];
            read_exact_at(source, begin, &mut bytes).map_err(&failed)?;
            if !begins_with(&bytes, group_first) {
                return Err(self.misplaced(segment, group_first));
            }
            let mut numbering = Numbering::new(self.folder.files(), segment, group_first);
            let mut lines = Vec::with_capacity(OFFSETS_EVERY as usize);
            for line in bytes.split_inclusive(|&byte| byte == b'\n') {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                lines.push((numbering.number(line).map_err(&failed)?, line));
            }
            for (index, line) in lines.into_iter().rev() {
                if !range.contains(&index) {
                    continue;
                }
                range.end = index;
                if each(Index::new(index), line).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The line at `index`; `None` if this view has none.
    ///
    /// # Errors
    /// [`ReadError::Retired`]; otherwise as [`for_each`](Reader::for_each).
    pub fn line(&mut self, index: Index) -> Result<Option<Vec<u8>>, ReadError> {
        let mut found = None;
        self.for_each(index.get()..index.get().saturating_add(1), &mut |_, line| {
            found = Some(line.to_vec());
            ControlFlow::Break(())
        })?;
        if found.is_none()
            && let Some(retired) = self.retired_at(index)?
        {
            return Err(ReadError::Retired { index, by: retired.by });
        }
        Ok(found)
    }

    /// The line at `index`, or, if that was retired, the next one that is left; `None` if this view has none.
    ///
    /// # Errors
    /// As [`for_each`](Reader::for_each).
    pub fn line_from(&mut self, index: Index) -> Result<Option<Vec<u8>>, ReadError> {
        let mut found = None;
        let (mut from, mut count) = (index.get(), 1);
        // In growing steps: a few lines are read faster than many.
        while found.is_none() && from < self.end().get() {
            let to = from.saturating_add(count);
            self.for_each(from..to, &mut |_, line| {
                found = Some(line.to_vec());
                ControlFlow::Break(())
            })?;
            (from, count) = (to, count.saturating_mul(64));
        }
        Ok(found)
    }

    fn misplaced(&self, segment: &SegmentFile, index: u64) -> ReadError {
        ReadError::Damaged {
            path: segment.path.clone(),
            what: format!("line {index} is not at its position"),
        }
    }

    fn too_short(&self, segment: &SegmentFile, index: u64) -> ReadError {
        ReadError::Damaged { path: segment.path.clone(), what: format!("it ends before line {index}") }
    }
}

fn read_manifest(folder: &Folder) -> Result<Manifest, ReadError> {
    let path = folder.trail_toml();
    match Manifest::read(folder) {
        Ok(Some(manifest)) => Ok(manifest),
        Ok(None) => Err(ReadError::NoTrail { path: folder.root().to_owned() }),
        Err(ManifestError::Io(source)) => Err(ReadError::Io { path, source }),
        Err(error) => Err(ReadError::Damaged { path, what: error.to_string() }),
    }
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> ReadError {
    let path = path.to_owned();
    move |source| ReadError::Io { path: path.clone(), source }
}

fn read_exact_at(source: &mut Source, offset: u64, out: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < out.len() {
        match source.read_at(offset + done as u64, &mut out[done..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => done += count,
        }
    }
    Ok(())
}

fn begins_with(bytes: &[u8], index: u64) -> bool {
    parse_front(bytes).is_some_and(|front| front.index == index)
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
