//! Writes one closed segment again without its retired lines. Those that stay keep their exact bytes.
//!
//! Every line is compared with its signed leaf hash on the way: what is not the line that was signed is neither copied
//! nor dropped, and the segment stays as it is. The new file has its name only when it is synced; until then the old
//! one counts.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use trailseal_event::Index;
use trailseal_tlog::leaf_hash;
use zstd::bulk::Compressor;

use crate::file::{AppendFile, Files};
use crate::folder::Folder;
use crate::segment::blocks::{BLOCK_BYTES, Block, BlockError, Cursor};
use crate::segment::source::Source;
use crate::segment::{
    Form, FrameLen, LEVEL, OFFSETS_EVERY, Offsets, RetiredList, SegmentFile, encode_seek_table, offsets_name,
    segment_name,
};
use crate::tree::SignedLeaves;

/// What became of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rewritten {
    /// How many lines went.
    pub(crate) lines: u64,
    /// Bytes of its file before and now.
    pub(crate) bytes_before: u64,
    pub(crate) bytes_after: u64,
    /// Whether nothing is left of it.
    pub(crate) is_gone: bool,
}

/// Why a segment was left as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RewriteError {
    #[error("event {index} in {} is not the one that was signed: run `trailseal verify`", path.display())]
    NotSigned { index: Index, path: PathBuf },
    #[error("could not write {} again", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Takes the lines of `retired` out of a closed segment that the tree of `sealed` leaves covers. Does nothing if they
/// are gone already.
pub(super) fn rewrite(
    folder: &Folder,
    segment: &SegmentFile,
    retired: &RetiredList,
    sealed: u64,
) -> Result<Rewritten, RewriteError> {
    let failed = |source| RewriteError::Io { path: segment.path.clone(), source };
    let files = &**folder.files();
    let (source, form, path) = match Source::open(files, segment) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Rewritten::default()),
        opened => opened.map_err(failed)?,
    };
    let old = files.open_read(&path).and_then(|file| file.len_bytes()).map_err(failed)?;
    let mut copy = Copy::new(files, &path, form, segment.first);
    let dropped = copy_rest(folder, segment, source, retired, sealed, &mut copy)?;
    let done = Rewritten { lines: dropped, bytes_before: old, bytes_after: old, is_gone: false };
    if dropped == 0 {
        copy.abandon().map_err(failed)?;
        return Ok(done);
    }
    remove_other_form(folder, segment, form).map_err(failed)?;
    let is_gone = copy.lines == 0;
    let bytes_after = if is_gone {
        files.remove_durably(&path).map_err(failed)?;
        match files.remove(&folder.segments_folder().join(offsets_name(segment.first))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => 0,
        }
    } else {
        let offsets = copy.finish(segment.end).map_err(failed)?;
        let name = folder.segments_folder().join(offsets_name(segment.first));
        files.replace(&name, &offsets.encode(), false).map_err(failed)?;
        files.open_read(&path).and_then(|file| file.len_bytes()).map_err(failed)?
    };
    Ok(Rewritten { bytes_after, is_gone, ..done })
}

/// A killed compression may have left both forms. Only the plain one counts, and the other must not come back.
fn remove_other_form(folder: &Folder, segment: &SegmentFile, form: Form) -> io::Result<()> {
    if form != Form::Plain {
        return Ok(());
    }
    let other = folder.segments_folder().join(segment_name(segment.first, Form::Compressed));
    match folder.files().remove_durably(&other) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Copies the lines that stay, and returns how many do not.
fn copy_rest(
    folder: &Folder,
    segment: &SegmentFile,
    mut source: Source,
    retired: &RetiredList,
    sealed: u64,
    copy: &mut Copy<'_>,
) -> Result<u64, RewriteError> {
    let failed = |source| RewriteError::Io { path: segment.path.clone(), source };
    let not_signed = |index| RewriteError::NotSigned { index: Index::new(index), path: segment.path.clone() };
    let mut leaves = SignedLeaves::new(folder, sealed);
    let mut cursor = Cursor::begin(&**folder.files(), segment).map_err(failed)?;
    let mut block = Block::default();
    let mut dropped = 0;
    loop {
        match cursor.read(&mut source, &mut block, BLOCK_BYTES) {
            Ok(true) => {}
            Ok(false) => break,
            Err(BlockError::TooLong) => return Err(not_signed(cursor.next.get())),
            Err(BlockError::Io(error)) => return Err(failed(error)),
        }
        for (index, line) in block.lines() {
            let signed = leaves.get(index).map_err(failed)?;
            if signed != Some(leaf_hash(line)) && !cfg!(trailseal_fault = "retired_lines_not_compared") {
                return Err(not_signed(index));
            }
            match retired.has(index) {
                true => dropped += 1,
                false => copy.push(index, line).map_err(failed)?,
            }
        }
    }
    let Some(end) = segment.end else { return Err(not_signed(cursor.next.get())) };
    cursor.pass_retired(end);
    if cursor.next >= end { Ok(dropped) } else { Err(not_signed(cursor.next.get())) }
}

/// The new file of a segment, under another name until it is complete.
struct Copy<'a> {
    files: &'a dyn Files,
    path: PathBuf,
    temporary: PathBuf,
    form: Form,
    /// Made with the first line.
    out: Option<Box<dyn AppendFile>>,
    buffer: Vec<u8>,
    frames: Vec<FrameLen>,
    sha256: Sha256,
    lines: u64,
    offsets: Offsets,
}

impl<'a> Copy<'a> {
    fn new(files: &'a dyn Files, path: &Path, form: Form, first: Index) -> Self {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        Copy {
            files,
            path: path.to_owned(),
            temporary: temporary.into(),
            form,
            out: None,
            buffer: Vec::new(),
            frames: Vec::new(),
            sha256: Sha256::new(),
            lines: 0,
            offsets: Offsets { first, ..Offsets::default() },
        }
    }

    fn push(&mut self, index: u64, line: &[u8]) -> io::Result<()> {
        if self.lines.is_multiple_of(OFFSETS_EVERY) {
            self.offsets.push_group(index, self.offsets.len_bytes);
        }
        self.offsets.lines += 1;
        self.offsets.len_bytes += line.len() as u64 + 1;
        self.lines += 1;
        self.buffer.extend_from_slice(line);
        self.buffer.push(b'\n');
        if self.buffer.len() >= BLOCK_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let out = match &mut self.out {
            Some(out) => out,
            none => match self.files.remove(&self.temporary) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => none.insert(self.files.create_append(&self.temporary)?),
            },
        };
        self.sha256.update(&self.buffer);
        if self.form == Form::Compressed {
            let frame = Compressor::new(LEVEL)?.compress(&self.buffer)?;
            out.append(&frame)?;
            self.frames.push(FrameLen { compressed: frame.len() as u32, plain: self.buffer.len() as u32 });
        } else {
            out.append(&self.buffer)?;
        }
        self.buffer.clear();
        Ok(())
    }

    fn abandon(self) -> io::Result<()> {
        match self.out {
            Some(_) => self.files.remove(&self.temporary),
            None => Ok(()),
        }
    }

    /// Puts the new file in the place of the old one.
    fn finish(mut self, end: Option<Index>) -> io::Result<Offsets> {
        self.flush()?;
        if let Some(out) = &mut self.out {
            if self.form == Form::Compressed {
                out.append(&encode_seek_table(&self.frames))?;
            }
            if !cfg!(trailseal_fault = "rewritten_not_synced") {
                out.sync_data()?;
            }
        }
        self.out = None;
        self.read_back()?;
        self.files.rename(&self.temporary, &self.path)?;
        self.offsets.end = end;
        Ok(self.offsets)
    }

    /// What compression made of the lines is what they were.
    fn read_back(&self) -> io::Result<()> {
        if self.form != Form::Compressed {
            return Ok(());
        }
        let mut source = Source::compressed(self.files.open_read(&self.temporary)?)?;
        let (mut at, mut sha256, mut block) = (0, Sha256::new(), vec![0; BLOCK_BYTES]);
        loop {
            let count = source.read_at(at, &mut block)?;
            if count == 0 {
                break;
            }
            sha256.update(&block[..count]);
            at += count as u64;
        }
        match sha256.finalize() == self.sha256.clone().finalize() {
            true => Ok(()),
            false => Err(io::Error::other("a compressed segment read back is not what was written")),
        }
    }
}
