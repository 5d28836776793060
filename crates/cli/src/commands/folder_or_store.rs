//! Whether a command reads the trails in its folder or the shared store.

use super::reading::search;
use super::source::Source;
use crate::arguments::StoreFlag;
use crate::failure::Outcome;
use crate::settings::Settings;

/// The shared store that the flag names, or without the flag the folder.
pub(super) fn open_source(settings: &Settings, flag: &StoreFlag) -> Outcome<Box<dyn Source>> {
    // The settings say where events go, not where they are read.
    match flag.url.as_ref().map(|_| settings.store(flag)).transpose()?.flatten() {
        Some(store) => stored(&store, settings),
        None => Ok(Box::new(search(settings)?)),
    }
}

#[cfg(feature = "postgres")]
fn stored(store: &crate::store::Store, settings: &Settings) -> Outcome<Box<dyn Source>> {
    Ok(Box::new(super::stored::Stored::open(store, settings)?))
}

#[cfg(not(feature = "postgres"))]
fn stored(store: &crate::store::Store, _: &Settings) -> Outcome<Box<dyn Source>> {
    match *store {}
}
