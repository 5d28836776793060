//! Whether the shared store can be delivered to, and holds this trail.

use std::ops::ControlFlow;

use trailseal_core::Reader;
use trailseal_tlog::leaf_hash;

use crate::settings::Settings;
use crate::store::{Store, Trouble};

/// What is wrong; `None` if nothing is, or there is no store.
pub(super) fn look(reader: &mut Reader, settings: &Settings) -> Option<Trouble> {
    // A URL that cannot be used stops the start.
    let store = settings.own_store().ok()??;
    differs(reader, &store).err()
}

fn differs(reader: &mut Reader, store: &Store) -> Result<(), Trouble> {
    let position = store.position_of(reader.origin())?;
    let (cursor, end) = (position.cursor.get(), reader.end().get());
    let mend = "keep both as they are: this trail was rolled back, or the store has another one of this name; `trailseal \
        succeed` begins a new one";
    if cursor > end {
        let what = format!("the shared store has {cursor} lines of this trail, which has {end}");
        return Err(Trouble { what, mend });
    }
    let (Some(last), Some(leaf)) = (cursor.checked_sub(1), position.last_leaf) else { return Ok(()) };
    let mut is_other = false;
    let mut compare = |_, line: &[u8]| {
        is_other = leaf_hash(line) != leaf;
        ControlFlow::Continue(())
    };
    // One that was retired is not there to compare.
    if reader.for_each(last..cursor, &mut compare).is_err() || !is_other {
        return Ok(());
    }
    Err(Trouble { what: format!("line {last} in the shared store differs from the trail's"), mend })
}
