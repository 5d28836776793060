//! Whether an open file is still where it was left.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// A name must lead elsewhere in two looks this far apart before that counts.
const BELIEVED_AFTER: Duration = Duration::from_secs(1);

/// The result of one look at an open file and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The name leads to the file, and the file has what was written.
    InPlace,
    /// The file has fewer bytes than were written.
    Shorter,
    /// Its name leads to nothing, or nothing leads to it.
    Removed,
    /// The name leads to a file with another device or inode number.
    Elsewhere,
}

/// Looks at an open file of at least `len_min` bytes, and at its name.
pub(crate) fn standing(file: &File, path: &Path, len_min: u64) -> io::Result<Standing> {
    let ours = file.metadata()?;
    let named = match fs::symlink_metadata(path) {
        Ok(named) => named,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Standing::Removed);
        }
        Err(error) => return Err(error),
    };
    Ok(if ours.nlink() == 0 {
        Standing::Removed
    } else if number(&ours) != number(&named) {
        Standing::Elsewhere
    } else if ours.len() < len_min {
        Standing::Shorter
    } else {
        Standing::InPlace
    })
}

/// A folder that is held open, so that it is noticed when its name leads elsewhere.
#[derive(Debug)]
pub(crate) struct OpenFolder(File);

impl OpenFolder {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(OpenFolder)
    }

    /// Whether this name still leads to it.
    pub(crate) fn standing(&self, path: &Path) -> io::Result<Standing> {
        standing(&self.0, path, 0)
    }
}

/// Device and inode of a folder; zeros if there is none, as on the file systems of tests.
pub(crate) fn folder_numbers(path: &Path) -> (u64, u64) {
    fs::metadata(path).map_or((0, 0), |data| number(&data))
}

/// Whether files of `folder` keep their inode numbers: the same one by name and by descriptor, each time.
pub(super) fn inode_numbers_hold(folder: &Path, file: &Path) -> io::Result<bool> {
    for path in [folder, file] {
        let known = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => number(&other?),
        };
        for _ in 0..2 {
            let opened = number(&File::open(path)?.metadata()?);
            if opened != known || number(&fs::metadata(path)?) != known {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn number(data: &Metadata) -> (u64, u64) {
    (data.dev(), data.ino())
}

/// Turns looks at one file into a reliable answer.
#[derive(Debug)]
pub(crate) struct Doubt {
    /// Whether inode numbers mean anything here.
    inodes_hold: bool,
    since: Option<Instant>,
}

impl Doubt {
    pub(crate) fn new(inodes_hold: bool) -> Self {
        Doubt { inodes_hold, since: None }
    }

    /// Starts over with another file.
    pub(crate) fn forget(&mut self) {
        self.since = None;
    }

    /// Whether another file in its place can be told from it at all.
    pub(crate) fn is_possible(&self) -> bool {
        self.inodes_hold
    }

    /// Whether the file is not what or where it was left, judging by this look and the earlier ones.
    pub(crate) fn is_lost(&mut self, look: io::Result<Standing>) -> bool {
        match look {
            Ok(Standing::Shorter | Standing::Removed) => return true,
            Ok(Standing::Elsewhere) if self.inodes_hold => {
                return self.since.get_or_insert_with(Instant::now).elapsed() >= BELIEVED_AFTER;
            }
            // A failed look says nothing.
            Ok(Standing::InPlace | Standing::Elsewhere) => self.since = None,
            Err(_) => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_removed_cut_or_replaced_is_told_from_one_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "four").unwrap();
        let file = File::open(&path).unwrap();
        let look = |len_min| standing(&file, &path, len_min).unwrap();
        assert_eq!((look(4), look(5)), (Standing::InPlace, Standing::Shorter));
        fs::rename(&path, folder.path().join("aside")).unwrap();
        assert_eq!(look(4), Standing::Removed);
        fs::write(&path, "other").unwrap();
        assert_eq!(look(4), Standing::Elsewhere);
        fs::remove_file(folder.path().join("aside")).unwrap();
        assert_eq!(look(4), Standing::Removed);
    }

    #[test]
    fn another_number_counts_only_twice_and_only_where_numbers_hold() {
        let mut doubt = Doubt::new(true);
        assert!(!doubt.is_lost(Ok(Standing::Elsewhere)));
        assert!(doubt.since.is_some());
        doubt.since = Some(Instant::now() + BELIEVED_AFTER * 60);
        assert!(!doubt.is_lost(Ok(Standing::Elsewhere)), "a second has not passed");
        doubt.since = Instant::now().checked_sub(BELIEVED_AFTER);
        assert!(!doubt.is_lost(Ok(Standing::InPlace)), "what was seen once does not come back");
        assert!(!doubt.is_lost(Ok(Standing::Elsewhere)));
        doubt.since = Instant::now().checked_sub(BELIEVED_AFTER);
        assert!(doubt.is_lost(Ok(Standing::Elsewhere)));

        let mut doubt = Doubt::new(false);
        doubt.since = Instant::now().checked_sub(BELIEVED_AFTER);
        assert!(!doubt.is_lost(Ok(Standing::Elsewhere)));
        assert!(doubt.is_lost(Ok(Standing::Removed)) && doubt.is_lost(Ok(Standing::Shorter)));
    }

    #[test]
    fn numbers_of_an_ordinary_folder_hold() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert!(inode_numbers_hold(folder.path(), &path).unwrap());
        fs::write(&path, "").unwrap();
        assert!(inode_numbers_hold(folder.path(), &path).unwrap());
    }
}
