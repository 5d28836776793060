//! What commands that read begin with: the trails in a folder, their lines, and what is asked of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_core::file::StdFiles;
use trailseal_core::{PersonalKeysIn, ReadError, Reader, RetiredEvent, trails_in};
use trailseal_event::filter::{Filter, IdFilter};
use trailseal_event::personal::PersonalKeys;
use trailseal_index::Search;

use crate::arguments::Filters;
use crate::failure::{Failure, Outcome, with_causes};
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

/// A view of the trail for commands that read.
pub(super) fn reader(settings: &Settings) -> Outcome<Reader> {
    Ok(Reader::open(settings.dir(), Arc::new(StdFiles))?)
}

/// All trails in the folder, for searching.
pub(super) fn search(settings: &Settings) -> Outcome<Search> {
    let mut search = Search::open(&settings.dir(), Arc::new(StdFiles))?;
    search.tell_trouble(Arc::new(|error| tell(&format!("notice: the index is not used: {error}"))));
    Ok(search)
}

/// Whether an event that was asked for by its id or index is gone.
pub(super) fn retired(search: &mut Search, filter: &Filter) -> Outcome<Option<Failure>> {
    if filter.id.is_empty() {
        return Ok(None);
    }
    let origins: Vec<String> = search.readers().map(|reader| reader.origin().to_owned()).collect();
    let tenant = filter.tenant.first().map(String::as_str);
    for origin in origins.iter().filter(|name| filter.origin.is_empty() || filter.origin.contains(name)) {
        let Some(reader) = search.reader_of(origin) else { continue };
        for id in &filter.id {
            let found = match id {
                IdFilter::Index(index) => reader.retired_at(*index)?,
                IdFilter::Id(id) => reader.retired_by_id(id, tenant)?.into_iter().next(),
            };
            if let Some(RetiredEvent { index, by }) = found {
                return Ok(Some(ReadError::Retired { index, by }.into()));
            }
        }
    }
    Ok(None)
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
