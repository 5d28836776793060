//! `retiring`: that a retirement has begun; and `retired`: which events have announced one.
//!
//! Both only say where to look. What they lead to is signed, or it does not count.

use std::io;
use std::path::PathBuf;

use trailseal_event::Index;

use crate::folder::Folder;

const FILE_BYTES_MAX: u64 = 64 << 20;

/// A retirement that has begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Journal {
    /// Its events have this index or a later one.
    pub(crate) from: u64,
    /// The first index of each segment, and how many bytes its list had before.
    pub(crate) lists: Vec<(Index, u64)>,
}

impl Folder {
    fn retiring_file(&self) -> PathBuf {
        self.root().join("retiring")
    }

    fn retired_file(&self) -> PathBuf {
        self.root().join("retired")
    }
}

impl Journal {
    /// The retirement that has begun in this folder and has not ended.
    pub(crate) fn read(folder: &Folder) -> io::Result<Option<Journal>> {
        match folder.files().read(&folder.retiring_file(), FILE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            // A damaged one cannot say what was before: then everything is looked at.
            Ok(bytes) => Ok(Some(Self::parse(&String::from_utf8_lossy(&bytes)).unwrap_or_default())),
        }
    }

    fn parse(text: &str) -> Option<Journal> {
        let mut lines = text.lines();
        let from = lines.next()?.parse().ok()?;
        let list = |line: &str| {
            let (first, bytes) = line.split_once(' ')?;
            Some((Index::new(first.parse().ok()?), bytes.parse().ok()?))
        };
        Some(Journal { from, lists: lines.map(list).collect::<Option<_>>()? })
    }

    pub(crate) fn write(&self, folder: &Folder) -> io::Result<()> {
        let lists = self.lists.iter().map(|(first, bytes)| format!("{first} {bytes}\n"));
        let text = format!("{}\n{}", self.from, lists.collect::<String>());
        folder.files().replace(&folder.retiring_file(), text.as_bytes(), false)
    }

    /// The retirement has ended.
    pub(crate) fn remove(folder: &Folder) -> io::Result<()> {
        folder.files().remove_durably(&folder.retiring_file())
    }
}

/// Whether a retirement has begun in this folder and has not ended: lists may then name lines that are still there.
///
/// # Errors
/// When that cannot be read.
pub fn is_retiring(folder: &Folder) -> io::Result<bool> {
    Ok(Journal::read(folder)?.is_some())
}

/// The events that have announced a retirement, oldest first, as far as they were noted.
pub(crate) fn announced_by(folder: &Folder) -> io::Result<Vec<Index>> {
    match folder.files().read(&folder.retired_file(), FILE_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            Ok(text.lines().filter_map(|line| line.parse().ok().map(Index::new)).collect())
        }
    }
}

/// Notes events that have announced a retirement.
pub(super) fn note_announced(folder: &Folder, events: &[Index]) -> io::Result<()> {
    let mut all = announced_by(folder)?;
    let before = all.len();
    all.extend(events.iter().filter(|event| !all.contains(event)).copied().collect::<Vec<_>>());
    if all.len() == before {
        return Ok(());
    }
    all.sort_unstable();
    let text: String = all.iter().map(|event| format!("{event}\n")).collect();
    folder.files().replace(&folder.retired_file(), text.as_bytes(), false)
}
