//! How far a delivery has come, in a file of the trail's folder.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use trailseal_core::deliver::Position;
use trailseal_core::file::open_ordinary;
use trailseal_event::Index;
use trailseal_tlog::Hash;

/// In this folder of the trail each delivery has a file.
const FOLDER: &str = "delivered";
/// A storage's name is at most so long.
pub(super) const NAME_BYTES_MAX: usize = 100;

/// A file that holds a position, and one more text.
pub(super) struct CursorFile(PathBuf);

impl CursorFile {
    /// That of the plain copy.
    pub(super) fn of_copy(trail: &Path) -> CursorFile {
        CursorFile(trail.join(FOLDER).join("copy.cursor"))
    }

    /// That of the storage `name`, which is a [plain name](is_plain_name). No other storage, and nothing of ours, has it.
    pub(super) fn of_storage(trail: &Path, name: &str) -> CursorFile {
        CursorFile(trail.join(FOLDER).join(format!("storage-{name}.cursor")))
    }

    /// What was kept; the beginning, if nothing was.
    pub(super) fn read(&self) -> io::Result<(Position, String)> {
        let text = match open_ordinary(&self.0).and_then(io::read_to_string) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
            other => other?,
        };
        parse(&text).ok_or_else(|| {
            let what =
                format!("{} is no cursor: remove it to have everything delivered again", self.0.display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        })
    }

    /// Keeps a position: the whole of it or the one before.
    pub(super) fn write(&self, position: &Position, note: &str) -> io::Result<()> {
        let folder = self.0.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let leaf = position.last_leaf.map_or_else(|| "-".to_owned(), |leaf| leaf.to_base64());
        let new = self.0.with_extension("new");
        // Left by a killed process, or somebody else's.
        let _ = fs::remove_file(&new);
        let mut file = fs::File::create_new(&new)?;
        file.write_all(format!("{} {leaf} {note}\n", position.cursor).as_bytes())?;
        file.sync_data()?;
        fs::rename(&new, &self.0)
    }
}

/// Whether a storage can have this name: two names are then two files, and none leads out of the folder.
pub(super) fn is_plain_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

fn parse(text: &str) -> Option<(Position, String)> {
    let mut parts = text.strip_suffix('\n')?.splitn(3, ' ');
    let cursor = Index::new(parts.next()?.parse().ok()?);
    let last_leaf = match parts.next()? {
        "-" => None,
        leaf => Some(Hash::from_base64(leaf).ok()?),
    };
    Some((Position { cursor, last_leaf }, parts.next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = CursorFile::of_storage(folder.path(), "copy");
        assert_eq!(file.read().unwrap(), Default::default());
        let position = Position { cursor: Index::new(7), last_leaf: Some(Hash([0xab; 32])) };
        file.write(&position, "12 2026-11-29").unwrap();
        assert_eq!(file.read().unwrap(), (position, "12 2026-11-29".to_owned()));
        assert_eq!(CursorFile::of_copy(folder.path()).read().unwrap(), Default::default());
        fs::write(folder.path().join("delivered/storage-copy.cursor"), "7 zz \n").unwrap();
        assert!(file.read().unwrap_err().to_string().contains("remove it"));
    }

    #[test]
    fn a_name_that_could_be_that_of_two_is_none() {
        let longest = "n".repeat(NAME_BYTES_MAX);
        for name in ["storage", "orders.eu-1_b", "..", &longest] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in ["", "a b", "a/b", "größe", "a\0", &format!("{longest}n")] {
            assert!(!is_plain_name(name), "{name}");
        }
    }
}
