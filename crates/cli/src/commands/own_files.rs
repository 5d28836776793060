//! What belongs to the trail itself, so that no command writes a file for its user there.

use std::path::{Path, PathBuf};

use trailseal_core::file::StdFiles;
use trailseal_core::trails_in;

use crate::failure::{Failure, Outcome};

/// What a trail and its server keep in their folder.
const OWN: [&str; 20] = [
    "checkpoint",
    "checkpoints",
    "erased",
    "erasing",
    "handoff",
    "holds.toml",
    "index",
    "keys",
    "lock",
    "opened",
    "policy.toml",
    "retired",
    "retiring",
    "segments",
    "sinks.toml",
    "socket",
    "tile",
    "tokens.json",
    "trail.toml",
    "tree",
];

/// Refuses a file that is one of the trail's own, in the folder `dir` or one of its slots.
pub(super) fn refuse_own_file(dir: &Path, path: &Path) -> Outcome {
    let Some(name) = within_trail(dir, path).filter(|inside| is_own(inside)) else { return Ok(()) };
    Err(Failure::could_not(format!(
        "{} belongs to the trail ({}): write to another place",
        path.display(),
        name.display()
    )))
}

/// Refuses a folder for files that would lie among the trail's own.
pub(super) fn refuse_own_folder(dir: &Path, path: &Path) -> Outcome {
    match within_trail(dir, path) {
        Some(inside) if inside.as_os_str().is_empty() || is_own(&inside) => {
            Err(Failure::could_not(format!("{} is the trail's own folder: give another one", path.display())))
        }
        _ => Ok(()),
    }
}

fn is_own(inside: &Path) -> bool {
    inside.iter().next().is_some_and(|first| OWN.iter().any(|name| first == *name))
}

/// Where in a trail's folder the path leads; `None` if it leads elsewhere.
fn within_trail(dir: &Path, path: &Path) -> Option<PathBuf> {
    let path = resolved(path)?;
    let folders = trails_in(dir, &StdFiles).unwrap_or_default();
    folders.iter().filter_map(|folder| resolved(folder)).find_map(|folder| {
        let inside = path.strip_prefix(folder).ok()?;
        Some(inside.to_owned())
    })
}

/// The path without links, as far as it exists.
fn resolved(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let there = path.ancestors().find_map(|above| Some((std::fs::canonicalize(above).ok()?, above)));
    let (found, above) = there?;
    let rest = path.strip_prefix(above).ok()?;
    Some(if rest.as_os_str().is_empty() { found } else { found.join(rest) })
}
