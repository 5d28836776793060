//! How far a delivery has come, in a file of the trail's folder.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use trailseal_core::deliver::Position;
use trailseal_event::Index;
use trailseal_tlog::Hash;

/// In this folder of the trail each delivery has a file.
const FOLDER: &str = "delivered";

/// A file that holds a position, and one more text.
pub(super) struct CursorFile(PathBuf);

impl CursorFile {
    /// That of the delivery `name`. Nothing of a name can lead out of the folder.
    pub(super) fn of(trail: &Path, name: &str) -> CursorFile {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let plain: String =
            name.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).take(100).collect();
        CursorFile(trail.join(FOLDER).join(format!("{plain}.cursor")))
    }

    /// What was kept; the beginning, if nothing was.
    pub(super) fn read(&self) -> io::Result<(Position, String)> {
        let text = match fs::read_to_string(&self.0) {
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
        let mut file = fs::File::create(&new)?;
        file.write_all(format!("{} {leaf} {note}\n", position.cursor).as_bytes())?;
        file.sync_data()?;
        fs::rename(&new, &self.0)
    }
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
        let file = CursorFile::of(folder.path(), "../of me");
        assert_eq!(file.read().unwrap(), Default::default());
        let position = Position { cursor: Index::new(7), last_leaf: Some(Hash([0xab; 32])) };
        file.write(&position, "12 2026-11-29").unwrap();
        assert_eq!(file.read().unwrap(), (position, "12 2026-11-29".to_owned()));
        assert!(folder.path().join("delivered/.._of_me.cursor").is_file());
        fs::write(folder.path().join("delivered/.._of_me.cursor"), "7 zz \n").unwrap();
        assert!(file.read().unwrap_err().to_string().contains("remove it"));
    }
}
