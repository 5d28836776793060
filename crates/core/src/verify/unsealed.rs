//! The lines that no checkpoint covers yet: what can be said about them without a signature.

use std::io;

use trailseal_event::Value;

use super::VerifyError;
use crate::folder::Folder;
use crate::own_lines::may_follow;
use crate::segment::NumberedLines;
use crate::segment::SegmentFile;

/// What is wrong with a line that nothing signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unrecorded {
    /// It is not JSON: torn, or damaged.
    Torn(u64),
    /// It follows `trail.closed`, and is not an opening.
    AfterClose(u64),
}

/// Checks the lines `from..to`; the line before says what may follow it.
pub(super) fn look(
    folder: &Folder,
    segments: &[SegmentFile],
    from: u64,
    to: u64,
) -> Result<Option<Unrecorded>, VerifyError> {
    let before = from.saturating_sub(1);
    let mut after_close = false;
    let wanted = segments.iter().filter(|segment| segment.end.is_none_or(|end| end.get() > before));
    for segment in wanted {
        let failed = |source: io::Error| VerifyError::Io { path: segment.path.clone(), source };
        let mut lines = NumberedLines::open(folder.files(), segment).map_err(failed)?;
        let end = segment.end.map_or(to, |end| end.get().min(to));
        while lines.index() < end {
            let Some((index, line)) = lines.next().map_err(failed)? else { return Ok(None) };
            if index < before {
                continue;
            }
            let may = may_follow(line, &mut after_close);
            if index >= from && !may {
                return Ok(Some(Unrecorded::AfterClose(index)));
            }
            if index >= from && Value::parse(line).is_err() {
                return Ok(Some(Unrecorded::Torn(index)));
            }
        }
    }
    Ok(None)
}
