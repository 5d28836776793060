//! The ids of retired events, as hashes: `segments/<first index>.ids-<bytes of the list>`, one file for each retirement
//! of a segment, never changed.
//!
//! Sorted entries of 28 bytes: half of SHA-256(id), 8 bytes that also depend on the tenant, and the index less that of
//! the segment's first line. So an id is found without or with its tenant, and tells nothing to whoever does not know it.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use trailseal_event::Index;

use crate::file::Files;

const ENTRY: usize = 28;

/// The hashes of one event's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RetiredId {
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

/// The ids that go with one segment.
#[derive(Default)]
pub(crate) struct RetiredIds {
    entries: Vec<(RetiredId, u32)>,
}

impl RetiredIds {
    pub(crate) fn add(&mut self, id: RetiredId, place: u64) {
        // A segment has less than 2^32 lines: each takes at least 60 bytes of a file.
        if let Ok(place) = u32::try_from(place) {
            self.entries.push((id, place));
        }
    }

    /// As the bytes of the file; `None` if there are none.
    pub(crate) fn encode(mut self) -> Option<Vec<u8>> {
        self.entries.sort_unstable();
        let mut bytes = Vec::with_capacity(self.entries.len() * ENTRY);
        for (id, place) in &self.entries {
            bytes.extend_from_slice(&id.id);
            bytes.extend_from_slice(&id.with_tenant);
            bytes.extend_from_slice(&place.to_be_bytes());
        }
        (!bytes.is_empty()).then_some(bytes)
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
            let place = bytes[24..].first_chunk().map_or(0, |place| u32::from_be_bytes(*place));
            found.push(place.into());
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
        let mut ids = RetiredIds::default();
        for place in 0..1_000 {
            ids.add(RetiredId::new(&format!("id-{place}"), 1), place);
        }
        ids.add(RetiredId::new("id-5", 2), 1_000);
        std::fs::write(&path, ids.encode().unwrap()).unwrap();
        let find = |id: &str, key, any| find_in(&StdFiles, &path, &RetiredId::new(id, key), any).unwrap();
        for place in (0..1_000).filter(|place| *place != 5) {
            assert_eq!(find(&format!("id-{place}"), 1, false), [place]);
            assert_eq!(find(&format!("id-{place}"), 2, false), [], "another tenant's");
        }
        assert_eq!(find("id-5", 2, false), [1_000]);
        assert_eq!(find("id-5", 9, true).len(), 2);
        assert_eq!(find("id-1000", 1, true), []);
        assert!(RetiredIds::default().encode().is_none());
    }
}
