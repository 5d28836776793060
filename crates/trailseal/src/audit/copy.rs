//! The plain copy: new events, a line each, appended to a file that other tools know.
//!
//! It is fed by delivery. What must hold: every event of the trail stands in it once, also after a kill; nothing that was
//! in the file before is touched. How far it is says the file itself: what lies behind the place that the cursor names is
//! read at the start. A copy is no evidence and is not waited for; that is the trail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use trailseal_core::deliver::{Batch, Position, Sink, SinkError};
use trailseal_event::Index;
use trailseal_event::line::parse_front;
use trailseal_tlog::leaf_hash;

use super::cursor::CursorFile;
use super::rotation::RotationPolicy;
use crate::Timestamp;
use crate::time::timestamp;

/// With these bytes a line of a trail begins.
const LINE_BEGINS: &[u8] = b"{\"v\":1,\"index\":";
/// The cursor is kept at least each so many bytes.
const KEPT_EVERY_BYTES: u64 = 64 << 20;

/// The sink that writes the copy.
pub(super) struct PlainCopy {
    path: PathBuf,
    policy: RotationPolicy,
    cursor_file: CursorFile,
    /// Opened when its position is asked for.
    open: Option<Open>,
}

struct Open {
    file: File,
    inode: u64,
    len: u64,
    /// The day of its newest line, as `20261129`.
    day: String,
    position: Position,
    /// Up to here the kept cursor holds.
    kept_len: u64,
    is_kept: bool,
}

impl PlainCopy {
    pub(super) fn new(path: PathBuf, policy: RotationPolicy, trail: &Path) -> PlainCopy {
        PlainCopy { path, policy, cursor_file: CursorFile::of_copy(trail), open: None }
    }

    fn open_file(&self) -> io::Result<(File, u64, u64)> {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(0o600).open(&self.path)?;
        let about = file.metadata()?;
        Ok((file, about.ino(), about.len()))
    }

    /// Opens the file and finds out how far it is.
    fn look(&self) -> io::Result<Open> {
        let (mut position, note) = self.cursor_file.read()?;
        let (file, inode, len) = self.open_file()?;
        let Some((from, day)) = note.split_once(' ') else {
            return self.begin(file, inode, len);
        };
        // One that is shorter is another file, which somebody put in the place of the old one.
        let from = from.parse().ok().filter(|from| *from <= len).unwrap_or(0);
        let mut day = day.to_owned();
        (&file).seek(SeekFrom::Start(from))?;
        let (mut end, mut line) = (from, Vec::new());
        if cfg!(trailseal_fault = "copy_tail_not_read") {
            return Ok(Open { file, inode, len, day, position, kept_len: from, is_kept: false });
        }
        let mut reader = BufReader::new(&file);
        loop {
            line.clear();
            if reader.by_ref().take(1 << 20).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let Some(whole) = line.strip_suffix(b"\n") else {
                // Our own, torn by a kill, comes again whole; of others nothing is taken away.
                let is_ours = line.starts_with(LINE_BEGINS) || LINE_BEGINS.starts_with(&line);
                if is_ours && end + line.len() as u64 == len {
                    file.set_len(end)?;
                } else {
                    end += line.len() as u64;
                    if end == len {
                        (&file).write_all(b"\n")?;
                        end += 1;
                    }
                }
                continue;
            };
            end += line.len() as u64;
            if let Some(front) = parse_front(whole).filter(|front| front.index >= position.cursor.get()) {
                let cursor = Index::new(front.index + 1);
                position = Position { cursor, last_leaf: Some(leaf_hash(whole)) };
                day = day_of(front.recorded);
            }
        }
        drop(reader);
        Ok(Open { file, inode, len: end, day, position, kept_len: from, is_kept: false })
    }

    /// The first time: what is in the file already is none of this trail's.
    fn begin(&self, mut file: File, inode: u64, mut len: u64) -> io::Result<Open> {
        let mut last = [b'\n'];
        if len > 0 {
            file.seek(SeekFrom::Start(len - 1))?;
            file.read_exact(&mut last)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n")?;
            len += 1;
        }
        let day = day_of(timestamp(file.metadata()?.modified()?));
        let position = Position::default();
        self.cursor_file.write(&position, &format!("{len} {day}"))?;
        Ok(Open { file, inode, len, day, position, kept_len: len, is_kept: true })
    }

    fn opened(&mut self) -> io::Result<&mut Open> {
        // Somebody may have moved it away, to begin another.
        let is_there = |open: &Open| fs::metadata(&self.path).is_ok_and(|about| about.ino() == open.inode);
        let open = match self.open.take() {
            Some(open) if is_there(&open) => open,
            Some(before) => {
                let (file, inode, len) = self.open_file()?;
                Open { file, inode, len, is_kept: false, kept_len: 0, ..before }
            }
            None => self.look()?,
        };
        Ok(self.open.insert(open))
    }

    /// Writes what is for this file down for good, and how far it is.
    fn keep(&mut self) -> io::Result<()> {
        let Some(open) = self.open.as_mut().filter(|open| !open.is_kept) else { return Ok(()) };
        open.file.sync_data()?;
        self.cursor_file.write(&open.position, &format!("{} {}", open.len, open.day))?;
        (open.is_kept, open.kept_len) = (true, open.len);
        Ok(())
    }

    /// Begins another file; the old one gets the time behind its name.
    fn rotate(&mut self, at: Timestamp) -> io::Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        open.file.sync_data()?;
        // Before it has another name: lines in a file of this name that are not new are passed over at the start.
        self.cursor_file.write(&open.position, &format!("0 {}", open.day))?;
        fs::rename(&self.path, free_name(&self.path, at))?;
        let (file, inode, len) = self.open_file()?;
        self.open = Some(Open { file, inode, len, is_kept: true, kept_len: 0, ..open });
        Ok(())
    }

    fn append(&mut self, line: &[u8], bytes: &mut Vec<u8>) -> io::Result<()> {
        let Some(front) = parse_front(line) else { return Ok(()) };
        let day = day_of(front.recorded);
        let open = self.opened_already()?;
        let len = open.len + bytes.len() as u64;
        let is_due = match self.policy {
            RotationPolicy::Never => false,
            RotationPolicy::Daily => self.open.as_ref().is_some_and(|open| open.day < day),
            RotationPolicy::SizeBased(max) => len + line.len() as u64 + 1 > max,
        };
        if is_due && len > 0 {
            self.write(bytes)?;
            self.rotate(front.recorded)?;
        }
        if !front.system {
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        }
        let open = self.opened_already()?;
        open.day = day;
        open.position = Position { cursor: Index::new(front.index + 1), last_leaf: Some(leaf_hash(line)) };
        open.is_kept = false;
        Ok(())
    }

    fn opened_already(&mut self) -> io::Result<&mut Open> {
        self.open.as_mut().ok_or_else(|| io::Error::other("the copy is not open"))
    }

    fn write(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let open = self.opened_already()?;
        open.file.write_all(bytes)?;
        open.len += bytes.len() as u64;
        bytes.clear();
        Ok(())
    }

    fn deliver_lines(&mut self, batch: &Batch<'_>) -> Result<(), SinkError> {
        let cursor = self.opened()?.position.cursor;
        if batch.first != cursor {
            return Err(SinkError::Gap { first: batch.first, cursor });
        }
        let mut bytes = Vec::new();
        for line in batch.lines {
            self.append(line.bytes, &mut bytes)?;
        }
        self.write(&mut bytes)?;
        let far = self.open.as_ref().is_some_and(|open| open.len - open.kept_len >= KEPT_EVERY_BYTES);
        if far { Ok(self.keep()?) } else { Ok(()) }
    }
}

impl Sink for PlainCopy {
    fn name(&self) -> &str {
        "copy"
    }

    fn position(&mut self) -> Result<Position, SinkError> {
        Ok(self.opened()?.position)
    }

    fn deliver(&mut self, batch: &Batch<'_>) -> Result<(), SinkError> {
        let delivered = self.deliver_lines(batch);
        if delivered.is_err() {
            // Whatever of it is in the file is found there.
            self.open = None;
        }
        delivered
    }

    fn uses_trail_disk(&self) -> bool {
        true
    }

    fn idle(&mut self) -> Result<(), SinkError> {
        Ok(self.keep()?)
    }
}

impl Drop for PlainCopy {
    fn drop(&mut self) {
        // What is not kept is read again at the next start.
        let _ = self.keep();
    }
}

/// A name that no file has yet: `audit.log.20261129-040000`, and a number behind it if there are several a second.
fn free_name(path: &Path, at: Timestamp) -> PathBuf {
    let digits: String = at.to_string().chars().filter(char::is_ascii_digit).take(14).collect();
    let (day, time) = digits.split_at(8.min(digits.len()));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{day}-{time}"));
    let first = path.with_file_name(&name);
    let numbered = (1_u32..).map(|number| {
        let mut name = name.clone();
        name.push(format!(".{number}"));
        path.with_file_name(name)
    });
    std::iter::once(first)
        .chain(numbered)
        .find(|name| fs::symlink_metadata(name).is_err())
        .unwrap_or_default()
}

fn day_of(time: Timestamp) -> String {
    time.to_string().chars().filter(char::is_ascii_digit).take(8).collect()
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
