//! Whether the files of the anchors can be written. Commands are not run: they might send something.

use std::path::Path;

use rustix::fs::{Access, access};
use trailseal_core::Anchor;

/// What is wrong with each that is.
pub(super) fn look(anchors: &[Anchor]) -> Vec<String> {
    let files = anchors.iter().filter_map(|anchor| match anchor {
        Anchor::File(path) => Some(path),
        Anchor::Command(_) => None,
    });
    let trouble = |path: &std::path::PathBuf| {
        let why = cannot_write(path)?;
        Some(format!("no checkpoint reaches the anchor {}: {why}", path.display()))
    };
    files.filter_map(trouble).collect()
}

/// Why nothing can be appended to this file; it need not exist yet.
fn cannot_write(path: &Path) -> Option<String> {
    match std::fs::metadata(path) {
        Ok(data) if data.is_dir() => Some("it is a folder".to_owned()),
        Ok(_) => access(path, Access::WRITE_OK).err().map(|error| format!("it cannot be written: {error}")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => no_place_for(path),
        Err(error) => Some(error.to_string()),
    }
}

/// Why the file cannot be made.
fn no_place_for(path: &Path) -> Option<String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match std::fs::metadata(folder) {
        Ok(data) if data.is_dir() => access(folder, Access::WRITE_OK | Access::EXEC_OK)
            .err()
            .map(|error| format!("its folder cannot be written: {error}")),
        Ok(_) => Some(format!("{} is not a folder", folder.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Some(format!("the folder {} does not exist", folder.display()))
        }
        Err(error) => Some(error.to_string()),
    }
}
