//! Compressing a closed segment: frames of about one MiB of lines, then the seek table.
//!
//! The plain file goes only when the compressed one was read back, is the same, is synced and has its
//! name. Killed at any moment, one of them is whole; while both are there, the plain one counts.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use zstd::bulk::Compressor;

use super::blocks::{BLOCK_BYTES, Block, BlockError, Cursor};
use super::frames::{FrameLen, Frames, encode_seek_table};
use super::source::Source;
use super::{Form, segment_name};
use crate::file::{AppendFile, Files};
use crate::trail::SegmentFile;

const LEVEL: i32 = 1;

/// Replaces the plain file of a closed segment by a compressed one. Only lines that count go into it.
/// Returns the new file's length in bytes.
///
/// # Errors
/// When a file operation fails, or what was read back is not what was written. The trail is whole then,
/// and trying again is safe.
pub fn compress(files: &Arc<dyn Files>, segment: &SegmentFile) -> io::Result<u64> {
    let files = &**files;
    if segment.end.is_none() {
        return Err(io::Error::other("the last segment is still being written"));
    }
    let path = segment.path.with_file_name(segment_name(segment.first, Form::Compressed));
    let mut temporary = path.clone().into_os_string();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    match files.remove(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let len_bytes = write(files, segment, &mut *files.create_append(&temporary)?)?;
    let reread = files.open_read(&temporary)?;
    let compressed_bytes = reread.len_bytes()?;
    let written = Frames::open(reread)?;
    compare(Source::Plain(files.open_read(&segment.path)?), Source::Compressed(Box::new(written)), len_bytes)?;
    files.rename(&temporary, &path)?;
    files.remove(&segment.path)?;
    Ok(compressed_bytes)
}

fn write(files: &dyn Files, segment: &SegmentFile, out: &mut dyn AppendFile) -> io::Result<u64> {
    let mut source = Source::Plain(files.open_read(&segment.path)?);
    let mut cursor = Cursor { offset: 0, next: segment.first, bound: segment.end };
    let mut compressor = Compressor::new(LEVEL)?;
    let mut block = Block::default();
    let mut frames = Vec::new();
    while cursor.read(&mut source, &mut block, BLOCK_BYTES).map_err(too_long)? {
        let frame = compressor.compress(block.bytes())?;
        out.append(&frame)?;
        frames.push(FrameLen { compressed: frame.len() as u32, plain: block.bytes().len() as u32 });
    }
    if segment.end.is_some_and(|end| cursor.next != end) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("line {} is missing", cursor.next)));
    }
    out.append(&encode_seek_table(&frames))?;
    out.sync_data()?;
    Ok(cursor.offset)
}

fn too_long(error: BlockError) -> io::Error {
    match error {
        BlockError::Io(error) => error,
        BlockError::TooLong => io::Error::new(io::ErrorKind::InvalidData, "a line is too long"),
    }
}

fn compare(mut plain: Source, mut compressed: Source, len_bytes: u64) -> io::Result<()> {
    let (mut left, mut right) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    let mut at = 0;
    let mut same = compressed.len_bytes()? == len_bytes;
    while same && at < len_bytes {
        let want = (len_bytes - at).min(BLOCK_BYTES as u64) as usize;
        let count = plain.read_at(at, &mut left[..want])?;
        same = count == want
            && compressed.read_at(at, &mut right[..want])? == want
            && left[..want] == right[..want];
        at += want as u64;
    }
    if same { Ok(()) } else { Err(io::Error::other("a compressed segment read back is not what was written")) }
}
