//! Where a run of the tests keeps what it writes. Many of them kill programs, which then remove nothing; runs would fill
//! the disk within a day.

use std::path::{Path, PathBuf};

const PREFIX: &str = "trailseal-tests-";

/// A folder for temporary files, removed with all that is in it when this is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes the folder of this process, and removes those of runs that were killed.
    pub(crate) fn new() -> Result<Scratch, String> {
        let parent = std::env::temp_dir();
        remove_abandoned(&parent);
        let folder = parent.join(format!("{PREFIX}{}", std::process::id()));
        // The number may have belonged to a run in another container that shares this folder.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Scratch(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("xtask: {} stays: {error}", self.0.display());
        }
    }
}

fn remove_abandoned(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn nothing_stays_of_a_run_that_ended_or_was_killed() {
        let abandoned = std::env::temp_dir().join(format!("{PREFIX}4194305"));
        std::fs::create_dir_all(abandoned.join("trail")).unwrap();
        let scratch = Scratch::new().unwrap();
        assert!(!abandoned.exists(), "no process has so high a number");
        let folder = scratch.path().to_owned();
        std::fs::write(folder.join("events"), "left").unwrap();
        drop(scratch);
        assert!(!folder.exists());
    }
}
