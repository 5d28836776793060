//! A file of checkpoints that were kept elsewhere: one, or all that an anchor has ever got.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use trailseal_core::file::open_named;
use trailseal_tlog::{Checkpoint, SignedNote, notes_in};

use crate::commands::text::read_text;
use crate::failure::{Failure, Outcome};
use crate::output::{tell, thousands};

/// The newest part of an anchor's file: about 250,000 checkpoints.
const BYTES_MAX: u64 = 64 << 20;

/// The checkpoints in a file. Of several, those of other trails than `own` are left out, unless all of them are: slots share
/// an anchor, and so do a trail and its successor. What cannot be read there, as where a power loss tore one, is told.
pub(super) fn checkpoints(path: &Path, own: Option<&str>) -> Outcome<Vec<String>> {
    let (text, is_cut) = read(path)?;
    let notes: Vec<&str> = notes_in(&text).skip(usize::from(is_cut)).collect();
    if notes.len() < 2 {
        return Ok(vec![text]);
    }
    let readable: Vec<(&str, String)> =
        notes.iter().filter_map(|note| Some((*note, origin_of(note)?))).collect();
    if readable.is_empty() {
        return Ok(vec![text]);
    }
    let path = path.display();
    if is_cut {
        let newest = thousands(readable.len() as u64);
        tell(&format!("warning: {path} is long: only its newest {newest} checkpoints are compared"));
    }
    if readable.len() < notes.len() {
        let torn = thousands((notes.len() - readable.len()) as u64);
        tell(&format!("warning: {torn} parts of {path} are no checkpoints, and left out"));
    }
    let is_own = |origin: &str| own.is_none_or(|own| own == origin);
    let has_own = readable.iter().any(|(_, origin)| is_own(origin));
    let kept = readable.into_iter().filter(|(_, origin)| !has_own || is_own(origin));
    Ok(kept.map(|(note, _)| note.to_owned()).collect())
}

/// The text of a file, or of its end; and whether it was cut.
fn read(path: &Path) -> Outcome<(String, bool)> {
    let is_regular = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    if path == Path::new("-") || !is_regular {
        return Ok((read_text(path)?, false));
    }
    let mut file = open_named(path).map_err(Failure::io("read", path))?;
    let len = file.metadata().map_err(Failure::io("read", path))?.len();
    let from = len.saturating_sub(BYTES_MAX);
    file.seek(SeekFrom::Start(from)).map_err(Failure::io("read", path))?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(Failure::io("read", path))?;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), from > 0))
}

fn origin_of(note: &str) -> Option<String> {
    Some(Checkpoint::parse(SignedNote::parse(note).ok()?.text()).ok()?.origin.to_string())
}
