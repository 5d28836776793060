//! Bundles in a folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use trailseal_core::file::{Files as _, StdFiles};
use trailseal_core::{Archive, ArchiveError, Archived, RetentionRule, Retiring};

use super::fill::{fill, name};
use crate::bundle::BundleWriter;

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

    fn write(&self, part: &Path, retiring: &mut Retiring<'_>) -> Result<(), ArchiveError> {
        // Left by a run that was killed. A link under this name is not followed.
        let _ = fs::remove_file(part);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(part)?;
        let buffered = BufWriter::with_capacity(BUFFER_BYTES, file);
        let mut buffered = fill(BundleWriter::new(buffered), retiring, &self.rule)?;
        buffered.flush()?;
        Ok(buffered.get_ref().sync_all()?)
    }
}

impl Archive for FolderArchive {
    fn keep(&mut self, retiring: &mut Retiring<'_>) -> Result<Archived, ArchiveError> {
        let at = |error: io::Error| -> ArchiveError {
            io::Error::new(error.kind(), format!("{}: {error}", self.folder.display())).into()
        };
        StdFiles.create_folder(&self.folder).map_err(at)?;
        let folder = self.folder.canonicalize().map_err(at)?;
        let name = name(retiring)?;
        let (path, part) = (folder.join(&name), folder.join(format!("{name}.part")));
        if let Err(error) = self.write(&part, retiring) {
            let _ = fs::remove_file(&part);
            return Err(format!("{}: {error}", path.display()).into());
        }
        fs::rename(&part, &path).map_err(at)?;
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(at)?;
        Ok(Archived { location: path.display().to_string() })
    }
}
