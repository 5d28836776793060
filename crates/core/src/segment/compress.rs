//! Compresses a closed segment: frames of about one MiB of lines, then the seek table.
//!
//! The plain file is removed only when the compressed one was read back, is identical, is synced and has its name.
//! After a kill at any moment, one of them is complete; while both exist, the plain one counts.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use zstd::bulk::Compressor;

use super::SegmentFile;
use super::blocks::{BLOCK_BYTES, Block, BlockError, Cursor};
use super::frames::{FrameLen, Frames, encode_seek_table};
use super::source::Source;
use super::{Form, segment_name};
use crate::file::{AppendFile, Files};

/// How hard segments are compressed.
pub(crate) const LEVEL: i32 = 1;

/// Replaces the plain file of a closed segment by a compressed one. Only lines that count go into it. Returns the new
/// file's length in bytes.
///
/// # Errors
/// When a file operation fails, or what was read back is not what was written. The trail is complete then, and retrying
/// is safe.
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
    let compressed = Source::Compressed(Box::new(written));
    if !cfg!(trailseal_fault = "compressed_not_read_back") {
        compare(Source::Plain(files.open_read(&segment.path)?), compressed, len_bytes)?;
    }
    files.rename(&temporary, &path)?;
    files.remove(&segment.path)?;
    Ok(compressed_bytes)
}

fn write(files: &dyn Files, segment: &SegmentFile, out: &mut dyn AppendFile) -> io::Result<u64> {
    let mut source = Source::Plain(files.open_read(&segment.path)?);
    let mut cursor = Cursor::begin(files, segment)?;
    let mut compressor = Compressor::new(LEVEL)?;
    let mut block = Block::default();
    let mut frames = Vec::new();
    while cursor.read(&mut source, &mut block, BLOCK_BYTES).map_err(too_long)? {
        let frame = compressor.compress(block.bytes())?;
        out.append(&frame)?;
        frames.push(FrameLen { compressed: frame.len() as u32, plain: block.bytes().len() as u32 });
    }
    if let Some(end) = segment.end {
        cursor.pass_retired(end);
    }
    if segment.end.is_some_and(|end| cursor.next < end) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("line {} is missing", cursor.next)));
    }
    out.append(&encode_seek_table(&frames))?;
    if !cfg!(trailseal_fault = "compressed_not_synced") {
        out.sync_data()?;
    }
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
    if same {
        Ok(())
    } else {
        Err(io::Error::other("a compressed segment read back is not what was written"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::file::StdFiles;
    use trailseal_event::Index;

    const LINES: u64 = 30_000;

    /// A closed segment with void lines behind it, compressed; with the bytes that count.
    fn compressed() -> (tempfile::TempDir, SegmentFile, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(segment_name(Index::new(5), Form::Plain));
        let counts: String =
            (0..LINES).map(|n| format!("{n} {}\n", "z".repeat(n as usize * 31 % 251))).collect();
        assert!(counts.len() > 3 * BLOCK_BYTES);
        fs::write(&path, format!("{counts}void\nvoid\n")).unwrap();
        let segment =
            SegmentFile { first: Index::new(5), end: Some(Index::new(5 + LINES)), form: Form::Plain, path };
        let left_over = folder.path().join("00000000000000000005.jsonl.zst.tmp");
        fs::write(&left_over, "what a killed process left").unwrap();
        let files: Arc<dyn Files> = Arc::new(StdFiles);
        let len = compress(&files, &segment).unwrap();
        assert!(!segment.path.exists() && !left_over.exists());
        let path = segment.path.with_file_name(segment_name(Index::new(5), Form::Compressed));
        assert_eq!(fs::metadata(&path).unwrap().len(), len);
        (folder, SegmentFile { form: Form::Compressed, path, ..segment }, counts.into_bytes())
    }

    fn read_all(segment: &SegmentFile) -> io::Result<Vec<u8>> {
        let (mut source, ..) = Source::open(&StdFiles, segment)?;
        let mut bytes = vec![0; source.len_bytes()? as usize + 1];
        let count = source.read_at(0, &mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    #[test]
    fn lines_that_count_come_back_and_any_zstd_reads_them() {
        let (_folder, segment, counts) = compressed();
        assert_eq!(read_all(&segment).unwrap(), counts);
        assert_eq!(zstd::decode_all(&*fs::read(&segment.path).unwrap()).unwrap(), counts);
        let (mut source, ..) = Source::open(&StdFiles, &segment).unwrap();
        for offset in
            [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 2 * BLOCK_BYTES + 77, counts.len() - 1, counts.len()]
        {
            let mut out = [0; 300];
            let count = source.read_at(offset as u64, &mut out).unwrap();
            assert_eq!(&out[..count], &counts[offset..counts.len().min(offset + 300)], "{offset}");
        }
    }

    #[test]
    fn a_damaged_seek_table_changes_nothing() {
        let (_folder, segment, counts) = compressed();
        let whole = fs::read(&segment.path).unwrap();
        let count = whole[whole.len() - 9..].first_chunk().map(|count| u32::from_le_bytes(*count));
        let frames = count.unwrap() as usize;
        let table = whole.len() - 17 - 8 * frames;
        for at in table..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            fs::write(&segment.path, &damaged).unwrap();
            // Its own frame header is not the table's content: damage there hides what follows, and no line.
            assert_eq!(read_all(&segment).map_or(0, |bytes| bytes.len()), counts.len(), "byte {at}");
        }
        fs::write(&segment.path, &whole[..table]).unwrap();
        let cut = read_all(&segment).unwrap();
        assert!(counts.starts_with(&cut));
    }

    #[test]
    fn a_segment_that_lacks_lines_is_left_as_it_is() {
        let (folder, segment, _) = compressed();
        let path = folder.path().join(segment_name(Index::new(5), Form::Plain));
        fs::write(&path, "one\ntwo\nthree").unwrap();
        let files: Arc<dyn Files> = Arc::new(StdFiles);
        let plain = SegmentFile { form: Form::Plain, path: path.clone(), ..segment };
        assert!(compress(&files, &plain).is_err());
        assert!(path.exists());
        assert!(compress(&files, &SegmentFile { end: None, ..plain }).is_err());
    }
}
