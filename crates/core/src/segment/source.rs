//! The uncompressed bytes of a segment, whichever form its file has.

use std::io;
use std::path::PathBuf;

use super::SegmentFile;
use super::frames::Frames;
use super::{Form, segment_name};
use crate::file::{Files, ReadFile};

/// Bytes at any place of a segment, uncompressed.
pub(crate) enum Source {
    Plain(Box<dyn ReadFile>),
    Compressed(Box<Frames>),
}

impl Source {
    /// Opens the segment's file, or the one of its other form if that has replaced it meanwhile (a writer compresses
    /// closed segments). Also returns which file it is.
    pub(crate) fn open(files: &dyn Files, segment: &SegmentFile) -> io::Result<(Self, Form, PathBuf)> {
        let other = match segment.form {
            Form::Plain => Form::Compressed,
            Form::Compressed => Form::Plain,
            Form::Gone => return Err(io::ErrorKind::NotFound.into()),
        };
        let other_path = segment.path.with_file_name(segment_name(segment.first, other));
        match files.open_read(&segment.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match files.open_read(&other_path) {
                Err(second) if second.kind() == io::ErrorKind::NotFound => Err(error),
                opened => Ok((Self::new(opened?, other)?, other, other_path)),
            },
            opened => Ok((Self::new(opened?, segment.form)?, segment.form, segment.path.clone())),
        }
    }

    fn new(file: Box<dyn ReadFile>, form: Form) -> io::Result<Self> {
        Ok(match form {
            Form::Compressed => Source::Compressed(Box::new(Frames::open(file)?)),
            Form::Plain | Form::Gone => Source::Plain(file),
        })
    }

    /// A compressed file.
    pub(crate) fn compressed(file: Box<dyn ReadFile>) -> io::Result<Self> {
        Self::new(file, Form::Compressed)
    }

    pub(crate) fn len_bytes(&self) -> io::Result<u64> {
        match self {
            Source::Plain(file) => file.len_bytes(),
            Source::Compressed(frames) => Ok(frames.len_bytes()),
        }
    }

    /// Fewer bytes than requested only at the end, or before a part that cannot be decompressed; at such a part
    /// [`io::ErrorKind::InvalidData`].
    pub(crate) fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::Plain(file) => file.read_at(offset, out),
            Source::Compressed(frames) => frames.read_at(offset, out),
        }
    }
}
