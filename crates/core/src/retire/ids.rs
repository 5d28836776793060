//! The ids of retired events, as hashes: `segments/<first index>.ids-<bytes of the list>`, one file for each retirement
//! of a segment, never changed.
//!
//! Sorted entries of 28 bytes: half of SHA-256(id), 8 bytes that also depend on the tenant, and the index less that of
//! the segment's first line. So an id is found without or with its tenant, and tells nothing to whoever does not know it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use trailseal_event::Index;

use crate::file::{AppendFile, Files, ReadFile};

const ENTRY: usize = 28;

/// The hashes of one event's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RetiredId {
    id: [u8; 16],
    with_tenant: [u8; 8],
}

impl RetiredId {
    /// `key` is what the id and its tenant are looked up by elsewhere.
    pub(crate) fn new(id: &str, key: u128) -> Self {
        let (mut hash, mut with_tenant) = ([0; 16], [0; 8]);
        hash.copy_from_slice(&Sha256::digest(id.as_bytes())[..16]);
        with_tenant.copy_from_slice(&key.to_le_bytes()[..8]);
        RetiredId { id: hash, with_tenant }
    }

    /// What the entries of events with this id begin with, of whichever tenant.
    pub fn prefix(&self) -> [u8; 16] {
        self.id
    }

    /// The places of the events with this id among some entries: their indexes, less that of their segment's first line.
    pub fn places_in(&self, entries: &[u8], of_any_tenant: bool) -> Vec<u64> {
        let entries = entries.as_chunks::<ENTRY>().0.iter();
        let is_it =
            |entry: &&Entry| entry[..16] == self.id && (of_any_tenant || entry[16..24] == self.with_tenant);
        entries.filter(is_it).map(place_of).collect()
    }
}

fn place_of(entry: &Entry) -> u64 {
    entry[24..].first_chunk().map_or(0, |place| u32::from_be_bytes(*place)).into()
}

/// Where the ids are that went with the part of a list that is `bytes` long.
pub(crate) fn ids_path(segments: &Path, first: Index, bytes: u64) -> PathBuf {
    segments.join(format!("{:020}.ids-{bytes}", first.get()))
}

/// The first index and the list's bytes in the name of such a file; `None` for every other file.
pub(crate) fn parse_ids_name(name: &str) -> Option<(Index, u64)> {
    let (digits, bytes) = name.split_once(".ids-")?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let bytes: u64 = bytes.parse().ok().filter(|number: &u64| number.to_string() == bytes)?;
    is_number.then(|| Some((Index::new(digits.parse().ok()?), bytes)))?
}

/// How many are sorted in memory at once; more are sorted in parts, which lie in a file until they are merged.
const SORTED_MAX: usize = 1 << 19;
const BUFFER_ENTRIES: usize = 1 << 10;

const MERGED: &str = ".merged.tmp";

type Entry = [u8; ENTRY];

fn unsorted_path(segments: &Path, first: Index) -> PathBuf {
    segments.join(format!("{:020}.ids-unsorted", first.get()))
}

/// Whether this is what a killed process has left while it sorted.
pub(super) fn is_unsorted_ids(name: &str) -> bool {
    name.ends_with(".ids-unsorted") || name.ends_with(MERGED)
}

/// The ids that go with one segment, as they are found.
pub(crate) struct RetiredIds<'a> {
    files: &'a dyn Files,
    segments: &'a Path,
    first: Index,
    sorted_max: usize,
    entries: Vec<Entry>,
    /// The parts that are sorted, one behind the other, and how many entries each has.
    parts: Option<(Box<dyn AppendFile>, Vec<u64>)>,
}

impl<'a> RetiredIds<'a> {
    pub(crate) fn new(files: &'a dyn Files, segments: &'a Path, first: Index) -> Self {
        RetiredIds { files, segments, first, sorted_max: SORTED_MAX, entries: Vec::new(), parts: None }
    }

    /// `place` is the event's index less that of the segment's first line.
    pub(crate) fn add(&mut self, id: RetiredId, place: u64) -> io::Result<()> {
        // A segment has less than 2^32 lines: each takes at least 60 bytes of a file.
        let Ok(place) = u32::try_from(place) else { return Ok(()) };
        let mut entry = [0; ENTRY];
        entry[..16].copy_from_slice(&id.id);
        entry[16..24].copy_from_slice(&id.with_tenant);
        entry[24..].copy_from_slice(&place.to_be_bytes());
        self.entries.push(entry);
        if self.entries.len() < self.sorted_max { Ok(()) } else { self.put_aside() }
    }

    fn put_aside(&mut self) -> io::Result<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        let (file, parts) = match &mut self.parts {
            Some(parts) => parts,
            none => {
                let path = unsorted_path(self.segments, self.first);
                remove(self.files, &path)?;
                none.insert((self.files.create_append(&path)?, Vec::new()))
            }
        };
        self.entries.sort_unstable();
        file.append(self.entries.as_flattened())?;
        parts.push(self.entries.len() as u64);
        self.entries.clear();
        Ok(())
    }

    /// Writes the file that goes with the part of the list that is `bytes` long; returns its SHA-256, or `None` if there
    /// are no ids.
    pub(crate) fn write(mut self, bytes: u64) -> io::Result<Option<[u8; 32]>> {
        let path = ids_path(self.segments, self.first, bytes);
        if self.parts.is_none() {
            self.entries.sort_unstable();
            let entries = self.entries.as_flattened();
            if entries.is_empty() {
                return Ok(None);
            }
            self.files.replace(&path, entries, true)?;
            return Ok(Some(Sha256::digest(entries).into()));
        }
        self.put_aside()?;
        let RetiredIds { files, segments, first, entries, parts, .. } = self;
        // Their memory is not needed any more.
        drop(entries);
        let lens = parts.map(|(_, lens)| lens).unwrap_or_default();
        let unsorted = unsorted_path(segments, first);
        let sha256 = merge(files, &unsorted, &lens, &path)?;
        remove(files, &unsorted)?;
        Ok(Some(sha256))
    }
}

fn remove(files: &dyn Files, path: &Path) -> io::Result<()> {
    match files.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Merges the sorted parts of `from` into the file `to`, which has its name when it is complete.
fn merge(files: &dyn Files, from: &Path, lens: &[u64], to: &Path) -> io::Result<[u8; 32]> {
    let file = files.open_read(from)?;
    let mut temporary = to.as_os_str().to_owned();
    temporary.push(MERGED);
    let temporary = PathBuf::from(temporary);
    // Only their owner may read hashes of ids.
    files.replace(&temporary, &[], true)?;
    let mut out = files.open_append(&temporary, 0)?;
    let mut parts = Vec::new();
    let mut at = 0;
    for len in lens {
        let end = at + len * ENTRY as u64;
        parts.push(Part { at, end, buffer: Vec::new(), used: 0 });
        at = end;
    }
    let mut heads = BinaryHeap::new();
    for (number, part) in parts.iter_mut().enumerate() {
        heads.extend(part.next(&*file)?.map(|entry| Reverse((entry, number))));
    }
    let (mut sha256, mut buffer) = (Sha256::new(), Vec::new());
    let mut flush = |buffer: &mut Vec<u8>| {
        sha256.update(&buffer);
        let done = out.append(buffer);
        buffer.clear();
        done
    };
    while let Some(Reverse((entry, number))) = heads.pop() {
        buffer.extend_from_slice(&entry);
        if buffer.len() >= BUFFER_ENTRIES * ENTRY {
            flush(&mut buffer)?;
        }
        heads.extend(parts[number].next(&*file)?.map(|entry| Reverse((entry, number))));
    }
    flush(&mut buffer)?;
    out.sync_data()?;
    drop(out);
    files.rename(&temporary, to)?;
    Ok(sha256.finalize().into())
}

/// A sorted part of a file.
struct Part {
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    used: usize,
}

impl Part {
    fn next(&mut self, file: &dyn ReadFile) -> io::Result<Option<Entry>> {
        if self.used == self.buffer.len() {
            let want = (self.end - self.at).min((BUFFER_ENTRIES * ENTRY) as u64) as usize;
            self.buffer.resize(want, 0);
            if file.read_at(self.at, &mut self.buffer)? != want {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            (self.at, self.used) = (self.at + want as u64, 0);
        }
        let entry = self.buffer[self.used..].first_chunk().copied();
        self.used += entry.map_or(0, |entry: Entry| entry.len());
        Ok(entry)
    }
}

/// The places of the events with this id, in one file.
pub(crate) fn find_in(
    files: &dyn Files,
    path: &Path,
    wanted: &RetiredId,
    of_any_tenant: bool,
) -> io::Result<Vec<u64>> {
    let file = files.open_read(path)?;
    let count = file.len_bytes()? / ENTRY as u64;
    let entry = |at: u64| {
        let mut bytes = [0; ENTRY];
        match file.read_at(at * ENTRY as u64, &mut bytes)? {
            ENTRY => Ok(bytes),
            _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    };
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if entry(middle)?[..16] < wanted.id[..] { low = middle + 1 } else { high = middle }
    }
    let mut found = Vec::new();
    while low < count {
        let bytes = entry(low)?;
        if bytes[..16] != wanted.id {
            break;
        }
        if of_any_tenant || bytes[16..24] == wanted.with_tenant {
            found.push(place_of(&bytes));
        }
        low += 1;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::StdFiles;

    #[test]
    fn ids_are_found_with_and_without_their_tenant() {
        let folder = tempfile::tempdir().unwrap();
        let path = ids_path(folder.path(), Index::new(7), 120);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(parse_ids_name(name), Some((Index::new(7), 120)));
        assert_eq!(parse_ids_name("00000000000000000007.ids-0120"), None);
        let mut ids = RetiredIds::new(&StdFiles, folder.path(), Index::new(7));
        for place in 0..1_000 {
            ids.add(RetiredId::new(&format!("id-{place}"), 1), place).unwrap();
        }
        ids.add(RetiredId::new("id-5", 2), 1_000).unwrap();
        assert!(ids.write(120).unwrap().is_some());
        let find = |id: &str, key, any| find_in(&StdFiles, &path, &RetiredId::new(id, key), any).unwrap();
        for place in (0..1_000).filter(|place| *place != 5) {
            assert_eq!(find(&format!("id-{place}"), 1, false), [place]);
            assert_eq!(find(&format!("id-{place}"), 2, false), [], "another tenant's");
        }
        assert_eq!(find("id-5", 2, false), [1_000]);
        assert_eq!(find("id-5", 9, true).len(), 2);
        assert_eq!(find("id-1000", 1, true), []);
        let none = RetiredIds::new(&StdFiles, folder.path(), Index::new(8));
        assert_eq!(none.write(120).unwrap(), None);
    }

    #[test]
    fn ids_that_are_sorted_in_parts_are_those_that_are_sorted_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let made = |first: u64, sorted_max: usize, count: u64| {
            let ids = RetiredIds::new(&StdFiles, folder.path(), Index::new(first));
            let mut ids = RetiredIds { sorted_max, ..ids };
            for place in 0..count {
                // Some several times.
                ids.add(RetiredId::new(&format!("id-{}", place % 4_000), 1), place).unwrap();
            }
            let sha256 = ids.write(9).unwrap().unwrap();
            let bytes = std::fs::read(ids_path(folder.path(), Index::new(first), 9)).unwrap();
            assert_eq!(sha256, *Sha256::digest(&bytes));
            bytes
        };
        let whole = made(1, SORTED_MAX, 5_000);
        assert_eq!(whole.len(), 5_000 * ENTRY);
        for (number, sorted_max) in [1, 3, 1_000, 1_024, 4_999, 5_000].into_iter().enumerate() {
            let count = if sorted_max == 1 { 300 } else { 5_000 };
            let parts = made(10 + number as u64, sorted_max, count);
            assert!(count == 300 || parts == whole, "{sorted_max}");
            assert!(parts.as_chunks::<ENTRY>().0.is_sorted(), "{sorted_max}");
        }
        let names = StdFiles.list(folder.path()).unwrap();
        assert!(names.iter().all(|name| parse_ids_name(name).is_some()), "{names:?}");
    }
}
