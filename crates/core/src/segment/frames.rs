//! A compressed segment as a sequence of frames, each of which ends at a line end.
//!
//! The seek table at the end is derived and never trusted: each frame's own header must agree with it, or the frames
//! are walked one by one. Anything that cannot be read as a frame ends the readable part.

use std::io;

use zstd::bulk::Decompressor;
use zstd::zstd_safe;

use crate::file::ReadFile;

/// The maximum uncompressed size of a frame: a reader keeps one frame in memory.
pub(crate) const FRAME_BYTES_MAX: usize = 8 << 20;
/// The maximum compressed size of such a frame, whatever it holds.
const FRAME_COMPRESSED_MAX: usize = FRAME_BYTES_MAX + (FRAME_BYTES_MAX >> 8) + 1024;
/// The maximum size of a frame's header.
const FRAME_HEADER_MAX: usize = 18;
const SKIPPABLE: std::ops::RangeInclusive<u32> = 0x184D_2A50..=0x184D_2A5F;
const SEEK_TABLE_FRAME: u32 = 0x184D_2A5E;
const SEEK_TABLE_MAGIC: u32 = 0x8F92_EAB1;
const SEEK_TABLE_FOOTER: usize = 9;
/// The maximum number of frames in a segment: at one MiB each, far more than a file system stores in one file.
const FRAMES_MAX: u32 = 1 << 27;

/// Lengths of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameLen {
    pub(crate) compressed: u32,
    pub(crate) plain: u32,
}

/// The skippable frame with the seek table of the zstd seekable format, checksums off.
pub(crate) fn encode_seek_table(frames: &[FrameLen]) -> Vec<u8> {
    let body = frames.len() * 8 + SEEK_TABLE_FOOTER;
    let mut out = Vec::with_capacity(8 + body);
    out.extend_from_slice(&SEEK_TABLE_FRAME.to_le_bytes());
    out.extend_from_slice(&(body as u32).to_le_bytes());
    for frame in frames {
        out.extend_from_slice(&frame.compressed.to_le_bytes());
        out.extend_from_slice(&frame.plain.to_le_bytes());
    }
    out.extend_from_slice(&(frames.len() as u32).to_le_bytes());
    out.push(0);
    out.extend_from_slice(&SEEK_TABLE_MAGIC.to_le_bytes());
    out
}

/// Reads the uncompressed bytes of a file of frames at any place, one frame in memory at a time.
pub(crate) struct Frames {
    file: Box<dyn ReadFile>,
    /// Where each frame begins: in the file, and in the uncompressed bytes. One more for the end.
    starts: Vec<(u64, u64)>,
    /// Whether bytes that are not a frame follow the last one.
    damaged: bool,
    decompressor: Decompressor<'static>,
    compressed: Vec<u8>,
    /// The frame that `plain` holds.
    held: Option<usize>,
    plain: Vec<u8>,
}

impl Frames {
    pub(crate) fn open(file: Box<dyn ReadFile>) -> io::Result<Self> {
        let (starts, damaged) = match read_seek_table(&*file)? {
            Some(starts) => (starts, false),
            None => walk(&*file)?,
        };
        Ok(Frames {
            file,
            starts,
            damaged,
            decompressor: Decompressor::new()?,
            compressed: Vec::new(),
            held: None,
            plain: Vec::new(),
        })
    }

    /// Length of the readable uncompressed bytes.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.starts.last().map_or(0, |(_, plain)| *plain)
    }

    /// Fewer than requested only at the end, or before a damaged frame; at a damaged frame
    /// [`io::ErrorKind::InvalidData`].
    pub(crate) fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            if at >= self.len_bytes() {
                if self.damaged && done == 0 {
                    return Err(damaged("what follows is not a zstd frame"));
                }
                break;
            }
            let number = self.starts.partition_point(|(_, plain)| *plain <= at) - 1;
            match self.hold(number) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData && done > 0 => break,
                other => other?,
            }
            let begin = (at - self.starts[number].1) as usize;
            let count = (self.plain.len() - begin).min(out.len() - done);
            out[done..done + count].copy_from_slice(&self.plain[begin..begin + count]);
            done += count;
        }
        Ok(done)
    }

    fn hold(&mut self, number: usize) -> io::Result<()> {
        if self.held == Some(number) {
            return Ok(());
        }
        let ((at, plain_at), (end, plain_end)) = (self.starts[number], self.starts[number + 1]);
        self.held = None;
        let len = (end - at) as usize;
        if self.compressed.len() < len {
            self.compressed = vec![0; len];
        }
        let count = self.file.read_at(at, &mut self.compressed[..len])?;
        let len = (plain_end - plain_at) as usize;
        self.plain.clear();
        self.plain.reserve(len);
        let got = self.decompressor.decompress_to_buffer(&self.compressed[..count], &mut self.plain);
        if got.is_err() || self.plain.len() != len {
            return Err(damaged("a zstd frame is damaged"));
        }
        self.held = Some(number);
        Ok(())
    }
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The seek table, if there is one that every frame's header agrees with.
fn read_seek_table(file: &dyn ReadFile) -> io::Result<Option<Vec<(u64, u64)>>> {
    let len = file.len_bytes()?;
    let mut footer = [0; SEEK_TABLE_FOOTER];
    let Some(footer_at) = len.checked_sub(SEEK_TABLE_FOOTER as u64) else { return Ok(None) };
    if file.read_at(footer_at, &mut footer)? != footer.len() || word(&footer[5..]) != SEEK_TABLE_MAGIC {
        return Ok(None);
    }
    let (count, descriptor) = (word(&footer), footer[4]);
    let body = u64::from(count) * 8 + SEEK_TABLE_FOOTER as u64;
    let Some(table_at) = len.checked_sub(body + 8).filter(|_| count <= FRAMES_MAX && descriptor == 0) else {
        return Ok(None);
    };
    let mut table = vec![0; (body + 8) as usize];
    if file.read_at(table_at, &mut table)? != table.len()
        || word(&table) != SEEK_TABLE_FRAME
        || u64::from(word(&table[4..])) != body
    {
        return Ok(None);
    }
    let mut starts = vec![(0, 0)];
    let (mut at, mut plain_at) = (0, 0);
    for entry in table[8..].chunks_exact(8).take(count as usize) {
        let frame = FrameLen { compressed: word(entry), plain: word(&entry[4..]) };
        if frame.compressed as usize > FRAME_COMPRESSED_MAX || !header_agrees(file, at, frame.plain)? {
            return Ok(None);
        }
        at += u64::from(frame.compressed);
        plain_at += u64::from(frame.plain);
        starts.push((at, plain_at));
    }
    Ok((at == table_at).then_some(starts))
}

fn header_agrees(file: &dyn ReadFile, at: u64, plain: u32) -> io::Result<bool> {
    let mut header = [0; FRAME_HEADER_MAX];
    let count = file.read_at(at, &mut header)?;
    Ok(content_size(&header[..count]) == Some(plain as usize))
}

/// How many bytes a frame says it holds; `None` if it is not a frame, does not say, or holds too many.
fn content_size(frame: &[u8]) -> Option<usize> {
    let size = zstd_safe::get_frame_content_size(frame).ok()??;
    usize::try_from(size).ok().filter(|size| (1..=FRAME_BYTES_MAX).contains(size))
}

/// Finds the frames without the seek table; the flag says whether something else follows the last one.
fn walk(file: &dyn ReadFile) -> io::Result<(Vec<(u64, u64)>, bool)> {
    let len = file.len_bytes()?;
    let mut starts = vec![(0, 0)];
    let (mut at, mut plain_at) = (0, 0);
    let mut buffer = vec![0; FRAME_COMPRESSED_MAX];
    while at < len {
        let count = file.read_at(at, &mut buffer)?;
        let frame = &buffer[..count];
        if count >= 8 && SKIPPABLE.contains(&word(frame)) {
            at += 8 + u64::from(word(&frame[4..]));
            // Skipped bytes belong to no frame: the next one begins after them.
            if let Some(last) = starts.last_mut().filter(|_| at <= len) {
                last.0 = at;
                continue;
            }
            return Ok((starts, true));
        }
        let (Some(plain), Ok(compressed)) =
            (content_size(frame), zstd_safe::find_frame_compressed_size(frame))
        else {
            return Ok((starts, true));
        };
        at += compressed as u64;
        plain_at += plain as u64;
        starts.push((at, plain_at));
    }
    Ok((starts, false))
}

fn word(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |word| u32::from_le_bytes(*word))
}
