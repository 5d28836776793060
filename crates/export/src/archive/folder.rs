//! Bundles in a folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use trailseal_core::file::{Files as _, StdFiles};
use trailseal_core::{Archive, ArchiveError, Archived, RetentionRule, Retiring};

use super::fill::{fill, name};
use crate::bundle::{BundleWriter, UntilItFails};

const BUFFER_BYTES: usize = 1 << 18;

/// A folder that gets a bundle for each run.
pub(super) struct FolderArchive {
    folder: PathBuf,
    rule: RetentionRule,
}

impl FolderArchive {
    pub(super) fn new(folder: &Path, rule: &RetentionRule) -> Self {
        FolderArchive { folder: folder.to_owned(), rule: rule.clone() }
    }

    /// Returns the file, whose lock keeps others from taking it for one that was left.
    fn write(
        &self,
        part: &Path,
        retiring: &mut Retiring<'_>,
    ) -> Result<UntilItFails<BufWriter<File>>, ArchiveError> {
        // A link under this name is not followed.
        let _ = fs::remove_file(part);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(part)?;
        // Where no lock can be had, what a killed run leaves stays.
        let _ = file.try_lock();
        let buffered = BufWriter::with_capacity(BUFFER_BYTES, file);
        let mut out = fill(BundleWriter::new(UntilItFails::new(buffered)), retiring, &self.rule)?;
        out.flush()?;
        out.get_ref().get_ref().sync_all()?;
        Ok(out)
    }
}

impl Archive for FolderArchive {
    fn keep(&mut self, retiring: &mut Retiring<'_>) -> Result<Archived, ArchiveError> {
        let at = |error: io::Error| -> ArchiveError {
            io::Error::new(error.kind(), format!("{}: {error}", self.folder.display())).into()
        };
        StdFiles.create_folder(&self.folder).map_err(at)?;
        let folder = self.folder.canonicalize().map_err(at)?;
        remove_left(&folder);
        let name = name(retiring)?;
        let (path, part) = (folder.join(&name), folder.join(format!("{name}.part")));
        let _locked = self.write(&part, retiring).map_err(|error| {
            let _ = fs::remove_file(&part);
            format!("{}: {error}", path.display())
        })?;
        fs::rename(&part, &path).map_err(at)?;
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(at)?;
        Ok(Archived { location: path.display().to_string() })
    }
}

/// A file that was written to so recently is left alone.
const JUST_MADE: Duration = Duration::from_secs(60);

/// Removes what killed runs have left: the next run retires other lines, so its bundle has another name. Other trails may be
/// writing theirs, and hold a lock on it.
fn remove_left(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_left = || File::open(entry.path())?.try_lock().map_err(io::Error::from);
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        // One that has just been made may not be locked yet.
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let is_new = changed.is_ok_and(|at| at.elapsed().is_ok_and(|since| since < JUST_MADE));
        if is_file && !is_new && entry.file_name().to_str().is_some_and(is_part) && is_left().is_ok() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether this is the name of an unfinished bundle: `ORIGIN.FIRST-LAST.HASH.zip.part`.
fn is_part(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_hash = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts = name.strip_suffix(".zip.part").and_then(|name| name.rsplit_once('.'));
    parts.is_some_and(|(name, hash)| {
        let range = name.rsplit_once('.').and_then(|(_, range)| range.split_once('-'));
        is_hash(hash) && range.is_some_and(|(first, last)| is_number(first) && is_number(last))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_what_a_killed_run_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            "example.com-a.0-99.00c0ffee00c0ffee.zip.part",
            "example.com-b.0-99.00c0ffee00c0ffee.zip.part",
            "example.com-a.0-99.00c0ffee00c0ffee.zip",
            "photos.zip.part",
            "photos.1-2.zip.part",
        ];
        let age = |name: &str| {
            let file = OpenOptions::new().write(true).open(folder.path().join(name)).unwrap();
            file.set_modified(std::time::SystemTime::now() - 2 * JUST_MADE).unwrap();
        };
        for name in names {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        remove_left(folder.path());
        assert!(folder.path().join(names[0]).exists(), "one that has just been made may not be locked yet");
        names.iter().for_each(|name| age(name));
        // Another trail's, that is being written.
        let writing = OpenOptions::new().write(true).open(folder.path().join(names[1])).unwrap();
        writing.try_lock().unwrap();
        remove_left(folder.path());
        let is_there = names.map(|name| folder.path().join(name).exists());
        assert_eq!(is_there, [false, true, true, true, true]);
        drop(writing);
        remove_left(folder.path());
        assert!(!folder.path().join(names[1]).exists());
    }
}
