//! Whether the shared store can be delivered to, and holds this trail.

use std::ops::ControlFlow;

use trailseal_core::Reader;
use trailseal_tlog::{Hash, leaf_hash};

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
        let first = first_other(reader, store, end);
        let what = format!("the shared store has {cursor} lines of this trail, which has {end}{first}");
        return Err(Trouble { what, mend });
    }
    let (Some(last), Some(leaf)) = (cursor.checked_sub(1), position.last_leaf) else { return Ok(()) };
    // One that was retired is not there to compare.
    if leaf_of(reader, last).is_none_or(|ours| ours == leaf) {
        return Ok(());
    }
    let first = first_other(reader, store, last);
    Err(Trouble { what: format!("line {last} in the shared store differs from the trail's{first}"), mend })
}

/// Where the two histories part, in words; nothing if that cannot be told, as where the user may not read events.
fn first_other(reader: &mut Reader, store: &Store, end: u64) -> String {
    let origin = reader.origin().to_owned();
    match store.first_other(&origin, end, &mut |index| leaf_of(reader, index)) {
        Some(first) => format!("; the first line that is not the same in both is line {first}"),
        None => String::new(),
    }
}

fn leaf_of(reader: &mut Reader, index: u64) -> Option<Hash> {
    let mut leaf = None;
    let mut keep = |_, line: &[u8]| {
        leaf = Some(leaf_hash(line));
        ControlFlow::Continue(())
    };
    reader.for_each(index..index + 1, &mut keep).ok()?;
    leaf
}
