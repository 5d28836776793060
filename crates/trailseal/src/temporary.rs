//! A folder that goes away.

use std::path::{Path, PathBuf};

use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::complete::EventId;

use crate::OpenError;

/// A new folder for its owner alone, removed when this is dropped.
pub(crate) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    pub(crate) fn make() -> Result<TemporaryFolder, OpenError> {
        let path = std::env::temp_dir().join(format!("trailseal-{}", EventId::new(SystemClock.now())));
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let failed = |source| OpenError::Io { action: "make", path: path.clone(), source };
        builder.create(&path).map_err(failed)?;
        Ok(TemporaryFolder(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever clears the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
