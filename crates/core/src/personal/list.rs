//! Which keys were destroyed: the list `erased`, the event `trail.erased` that vouches for its beginning, and the journal
//! `erasing` of an erasure that has begun and not ended.

use std::io;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use trailseal_event::personal::KeyName;
use trailseal_event::{Index, Object, Value};
use trailseal_tlog::{KeyRing, SigningKey};

use crate::folder::Folder;
use crate::signed_events;

const FILE_BYTES_MAX: u64 = 1 << 30;
const ACTION: &str = "trail.erased";
const STATEMENT: &str = "trailseal-erased@v1";

/// The names of destroyed keys, one a line, in the order of their erasures. It only grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ErasedList(Vec<u8>);

impl ErasedList {
    pub(crate) fn path(folder: &Folder) -> PathBuf {
        folder.root().join("erased")
    }

    pub(crate) fn read(folder: &Folder) -> io::Result<ErasedList> {
        match folder.files().read(&Self::path(folder), FILE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ErasedList::default()),
            read => read.map(ErasedList),
        }
    }

    pub(crate) fn write(&self, folder: &Folder) -> io::Result<()> {
        match self.0.is_empty() {
            true => match folder.files().remove_durably(&Self::path(folder)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            },
            false => folder.files().replace(&Self::path(folder), &self.0, false),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// The names up to the first line that is none.
    pub(crate) fn names(&self) -> impl Iterator<Item = KeyName> {
        let lines = self.0.split_inclusive(|byte| *byte == b'\n');
        lines.map_while(|line| std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?.parse().ok())
    }

    pub(crate) fn add(&mut self, names: impl IntoIterator<Item = KeyName>) {
        names.into_iter().for_each(|name| self.0.extend(format!("{name}\n").into_bytes()));
    }

    /// Its beginning, as it was before something was added.
    pub(crate) fn cut(&mut self, len: u64) {
        self.0.truncate(usize::try_from(len).unwrap_or(usize::MAX));
    }

    fn sha256(&self, len: u64) -> Option<String> {
        let part = self.0.get(..usize::try_from(len).ok()?)?;
        Some(Sha256::digest(part).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// An erasure that has begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Erasing {
    /// Its events have this index or a later one.
    pub(crate) from: u64,
    /// How many bytes the list had before.
    pub(crate) list: u64,
    /// The keys that it destroys.
    pub(crate) keys: Vec<KeyName>,
}

impl Erasing {
    pub(crate) fn path(folder: &Folder) -> PathBuf {
        folder.root().join("erasing")
    }

    /// The erasure that has begun in this folder and has not ended.
    pub(crate) fn read(folder: &Folder) -> io::Result<Option<Erasing>> {
        match folder.files().read(&Self::path(folder), FILE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // A damaged one cannot say what was before: then everything is looked at.
            read => Ok(Some(Self::parse(&String::from_utf8_lossy(&read?)).unwrap_or_default())),
        }
    }

    fn parse(text: &str) -> Option<Erasing> {
        let mut lines = text.lines();
        let (from, list) = lines.next()?.split_once(' ')?;
        let keys = lines.map(|line| line.parse().ok()).collect::<Option<_>>()?;
        Some(Erasing { from: from.parse().ok()?, list: list.parse().ok()?, keys })
    }

    pub(crate) fn write(&self, folder: &Folder) -> io::Result<()> {
        let keys: String = self.keys.iter().map(|key| format!("{key}\n")).collect();
        let text = format!("{} {}\n{keys}", self.from, self.list);
        folder.files().replace(&Self::path(folder), text.as_bytes(), false)
    }

    pub(crate) fn remove(folder: &Folder) -> io::Result<()> {
        folder.files().remove_durably(&Self::path(folder))
    }
}

/// What an event `trail.erased` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErasedEvent {
    pub(crate) index: Index,
    pub(crate) keys: Vec<KeyName>,
    /// How many bytes of the list it vouches for.
    pub(crate) bytes: u64,
    sha256: String,
}

impl ErasedEvent {
    /// Whether the list begins with what the event vouches for.
    pub(crate) fn vouches_for(&self, list: &ErasedList) -> bool {
        list.sha256(self.bytes).is_some_and(|sha256| sha256 == self.sha256)
    }
}

/// The details of the event: the keys, how much of the list they end, and the signature over both.
pub(crate) fn details(keys: &[KeyName], list: &ErasedList, origin: &str, key: &SigningKey) -> Object {
    let mut details = Object::default();
    details.insert("keys", Value::Array(keys.iter().map(|key| Value::from(key.to_string())).collect()));
    details.insert("count", keys.len());
    details.insert("bytes", list.len());
    details.insert("sha256", list.sha256(list.len()).unwrap_or_default());
    signed_events::sign(details, STATEMENT, origin, key)
}

/// Whether a line may be such an event: a cheap look at one that begins as line `index` must.
pub(crate) fn may_be_erased(index: u64, line: &[u8]) -> bool {
    signed_events::may_be(index, line, ACTION)
}

/// What a line says, if it is such an event and counts.
pub(crate) fn read_erased(line: &[u8], ring: &KeyRing) -> Option<ErasedEvent> {
    let (index, details) = signed_events::read(line, ACTION, STATEMENT, ring)?;
    let keys = details.get("keys")?.as_array()?.iter().map(|key| key.as_str()?.parse().ok());
    Some(ErasedEvent {
        index,
        keys: keys.collect::<Option<_>>()?,
        bytes: details.get("bytes")?.as_u64()?,
        sha256: details.get("sha256")?.as_str()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::file::StdFiles;

    #[test]
    fn the_list_only_grows_and_is_read_up_to_its_first_odd_line() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), Arc::new(StdFiles));
        let name = |slot| KeyName { file: 7, slot };
        let mut list = ErasedList::read(&folder).unwrap();
        list.add([name(1), name(2)]);
        list.write(&folder).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("erased")).unwrap(), "00000007-1\n00000007-2\n");
        let mut again = ErasedList::read(&folder).unwrap();
        assert_eq!(again, list);
        again.0.extend_from_slice(b"odd\n00000007-3\n00000007-4");
        assert_eq!(again.names().collect::<Vec<_>>(), [name(1), name(2)]);
        again.cut(0);
        again.write(&folder).unwrap();
        assert_eq!(ErasedList::read(&folder).unwrap(), ErasedList::default());
        again.write(&folder).unwrap();
    }

    #[test]
    fn a_journal_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), Arc::new(StdFiles));
        assert_eq!(Erasing::read(&folder).unwrap(), None);
        let erasing = Erasing { from: 7, list: 30, keys: vec![KeyName { file: 7, slot: 1 }] };
        erasing.write(&folder).unwrap();
        assert_eq!(Erasing::read(&folder).unwrap(), Some(erasing));
        std::fs::write(dir.path().join("erasing"), "odd").unwrap();
        assert_eq!(Erasing::read(&folder).unwrap(), Some(Erasing::default()));
        Erasing::remove(&folder).unwrap();
        assert_eq!(Erasing::read(&folder).unwrap(), None);
    }
}
