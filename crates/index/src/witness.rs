//! What the index says of how many events were durable.

use trailseal_core::{Folder, Manifest, Witness};

use crate::FOLDER;
use crate::error::{IndexError, sqlite_at};
use crate::store::{Main, State, stillness};

/// How many events were durable, as the index in a trail's folder says: for
/// [`Options::witnesses`](trailseal_core::Options::witnesses). The index contains only durable events, so a cursor beyond
/// the lines means that lines are missing. Only the cursor is read. An index that cannot be read says nothing.
pub fn witnesses(trail: &Folder) -> Vec<Witness> {
    let manifest = Manifest::read(trail).ok().flatten();
    let cursor = manifest.and_then(|manifest| cursor(trail, manifest.origin.as_str()).ok().flatten());
    let witness = |events| Witness { name: "the cursor of the index (index/main.db)".to_owned(), events };
    cursor.map(witness).into_iter().collect()
}

fn cursor(trail: &Folder, origin: &str) -> Result<Option<u64>, IndexError> {
    let folder = trail.root().join(FOLDER);
    let still = stillness(&folder);
    if still.is_some() {
        let read = Main::open_still(&folder, origin).and_then(cursor_of);
        // It was read while nobody wrote, so it is what the file says.
        if stillness(&folder) == still {
            return read;
        }
    }
    Main::open_read_only(&folder, origin).and_then(cursor_of)
}

fn cursor_of(main: Option<Main>) -> Result<Option<u64>, IndexError> {
    let Some(main) = main else { return Ok(None) };
    State::cursor_of(&main.connection).map_err(sqlite_at(&main.path))
}
