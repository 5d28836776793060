//! What commands that read begin with: the trails in a folder, their lines, and what is asked of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_core::file::StdFiles;
use trailseal_core::with_causes;
use trailseal_core::{Folder, PersonalKeysIn, ReadError, Reader, closed_handoff, trails_in};
use trailseal_event::filter::Filter;
use trailseal_event::personal::PersonalKeys;
use trailseal_index::Search;

use super::source::Source;
use crate::arguments::{Filters, StoreFlag};
use crate::failure::{Failure, Outcome};
use crate::output::tell;
use crate::settings::Settings;

/// The folders of all trails in `dir`.
pub(super) fn trails_to_read(dir: &Path) -> Outcome<Vec<PathBuf>> {
    let folders = trails_in(dir, &StdFiles).map_err(Failure::io("read", dir))?;
    if folders.is_empty() {
        return Err(ReadError::NoTrail { path: dir.to_owned() }.into());
    }
    Ok(folders)
}

/// A view of the trail, for commands that concern one alone.
pub(super) fn reader(settings: &Settings) -> Outcome<Reader> {
    let dir = settings.dir();
    refuse_slots(&dir, "--dir ")?;
    Ok(Reader::open(dir, Arc::new(StdFiles))?)
}

/// Refuses a folder of slots where one trail is meant, and names them. `flag` stands before the folder of one.
pub(super) fn refuse_slots(dir: &Path, flag: &str) -> Outcome {
    /// More of them are not named one by one.
    const NAMED_MAX: usize = 8;
    let folders = trails_in(dir, &StdFiles).map_err(Failure::io("read", dir))?;
    let [first, ..] = &folders[..] else { return Ok(()) };
    if first == dir {
        return Ok(());
    }
    let names = folders.iter().filter_map(|folder| folder.file_name()).take(NAMED_MAX);
    let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
    let more = if folders.len() > NAMED_MAX { ", …" } else { "" };
    Err(Failure::could_not(format!(
        "{} is a folder of slots, and each is a trail of its own: name one, such as {flag}{} (there are {}{more})",
        dir.display(),
        first.display(),
        names.join(", ")
    )))
}

/// A view of each trail in the folder.
pub(super) fn readers(settings: &Settings) -> Outcome<Vec<Reader>> {
    let open = |folder| Ok(Reader::open(folder, Arc::new(StdFiles))?);
    trails_to_read(&settings.dir())?.into_iter().map(open).collect()
}

/// All trails in the folder, for searching.
pub(super) fn search(settings: &Settings) -> Outcome<Search> {
    tell_closed_handoffs(&settings.dir());
    let mut search = Search::open(&settings.dir(), Arc::new(StdFiles))?;
    search.tell_trouble(Arc::new(|error| tell(&format!("notice: the index is not used: {error}"))));
    Ok(search)
}

/// Says which handoffs this user may not read: what is only in them is missing from every answer.
pub(super) fn tell_closed_handoffs(dir: &Path) {
    // A folder that cannot be listed is what the command itself reports.
    for folder in trails_in(dir, &StdFiles).unwrap_or_default() {
        if let Some(path) = closed_handoff(&Folder::new(folder, Arc::new(StdFiles))) {
            tell(&format!(
                "notice: events that are only in the handoff are not shown: only its owner may read {}; run this as that user, or \
                 let the process that writes start again",
                path.display()
            ));
        }
    }
}

/// The shared store that the flag names, or without the flag the folder.
pub(super) fn source(settings: &Settings, flag: &StoreFlag) -> Outcome<Box<dyn Source>> {
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

/// The filter that the flags describe.
pub(super) fn filter(flags: &Filters) -> Outcome<Filter> {
    let mut filter = Filter { system: flags.system, ..Filter::default() };
    for (name, value) in flags.pairs() {
        filter.set(name, value, SystemClock.now()).map_err(|error| {
            Failure::could_not(error.to_string().replacen(name, &format!("--{}", name.replace('_', "-")), 1))
        })?;
    }
    Ok(filter)
}

/// What opens the personal values of all trails in the folder.
pub(crate) fn personal_keys(settings: &Settings) -> Outcome<PersonalKeysIn> {
    let keys = PersonalKeysIn::open(&settings.dir(), Arc::new(StdFiles), settings.personal_keys()?);
    keys.map_err(|error| Failure::could_not(with_causes(&error)))
}

/// The same, if personal values are asked for in plain.
pub(super) fn keys_if(settings: &Settings, is_asked_for: bool) -> Outcome<Option<Arc<dyn PersonalKeys>>> {
    if !is_asked_for {
        return Ok(None);
    }
    let keys = personal_keys(settings)?;
    if keys.is_empty() {
        tell("there is no key file of personal values here: those that there are cannot be read");
    }
    Ok(Some(Arc::new(keys)))
}
