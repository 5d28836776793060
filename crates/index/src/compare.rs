//! Compares a trail's index with its lines.

use std::ops::Range;

use trailseal_core::deliver::{Follower, Lines};
use trailseal_core::{Folder, retired_in};
use trailseal_event::Index;

use crate::{FOLDER, IndexError, IndexView};

const BATCH_LINES: usize = 4_096;
const BATCH_BYTES: usize = 4 << 20;

/// Why index and lines could not be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The index could not be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The lines could not be read.
    #[error("could not read the segments")]
    Lines(#[from] std::io::Error),
}

/// Compares the columns of a trail's index with its lines. Returns the indexes of events for which they differ; none if
/// there is no index yet. Unindexed events are not a difference.
///
/// # Errors
/// When the index or the segments cannot be read.
pub fn compare(trail: &Folder, origin: &str) -> Result<Vec<Range<u64>>, CompareError> {
    let Some(mut view) = IndexView::open(trail.root().join(FOLDER), origin)? else { return Ok(Vec::new()) };
    let end = view.cursor();
    let mut follower = Follower::new(trail.clone(), Index::new(0))?;
    let mut check = view.check();
    let mut lines = Lines::default();
    while follower.next() < end {
        lines.clear();
        follower.read(end, BATCH_LINES, BATCH_BYTES, &mut lines)?;
        for line in lines.as_batch_lines() {
            check.line(&line)?;
        }
    }
    let mut differing = check.finish()?;
    // Lines that were retired since a range was made: it lags behind, and that is no difference.
    let lagging = view.lagging(&retired_in(trail)?)?;
    let lags =
        |range: &Range<u64>| lagging.iter().any(|other| other.start < range.end && range.start < other.end);
    differing.retain(|range| !lags(range));
    Ok(differing)
}
