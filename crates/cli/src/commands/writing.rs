//! What commands that write begin and end with: a trail that is opened, and closed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use trailseal_core::{Closed, Notice, Options, Trail};
use trailseal_index::{IndexOptions, IndexedIds, Indexer};

use crate::failure::{Failure, Outcome};
use crate::output::{tell, thousands};
use crate::settings::Settings;
use crate::store::Store;

/// How long a command waits for the disk before it gives up.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(60);

/// The trail for commands that write; created if there is none. Its events also go into the index, and into the shared store
/// at the next start of what delivers to it.
pub(super) fn open_trail(settings: &Settings) -> Outcome<Trail> {
    let trail = opened(settings, settings.one_shot_options()?)?;
    attach(settings, &trail, None)?;
    Ok(trail)
}

/// The same; its events are also delivered to this shared store, and through the streams of the settings.
pub(super) fn open_trail_with(
    settings: &Settings,
    options: Options,
    store: Option<&Store>,
) -> Outcome<Trail> {
    let trail = opened(settings, options)?;
    deliver(settings, &trail, store)?;
    Ok(trail)
}

fn opened(settings: &Settings, mut options: Options) -> Outcome<Trail> {
    options.on_notice = Some(Arc::new(|notice: &Notice| tell(&format!("notice: {notice}"))));
    refuse_trail_as_slots(settings)?;
    let trail = match settings.uses_slots()? {
        true => Trail::open_slot(settings.dir(), options)?,
        false => Trail::open(settings.dir(), options)?,
    };
    Ok(trail)
}

/// Refuses a folder that is itself a trail where the settings say that it has slots.
pub(super) fn refuse_trail_as_slots(settings: &Settings) -> Outcome {
    let dir = settings.dir();
    if settings.uses_slots()? && dir.join("trail.toml").exists() {
        return Err(Failure::could_not(format!(
            "{} is itself a trail, and `workers = \"slots\"` needs a folder of trails: set workers to one, or dir to another folder",
            dir.display()
        )));
    }
    Ok(())
}

/// One of the trails in the folder, by its own folder.
pub(super) fn open_trail_in(settings: &Settings, folder: &Path) -> Outcome<Trail> {
    let mut options = settings.one_shot_options()?;
    options.on_notice = Some(Arc::new(|notice: &Notice| tell(&format!("notice: {notice}"))));
    let options = options_in(settings, options, folder)?;
    let trail = Trail::open(folder, options)?;
    attach(settings, &trail, None)?;
    Ok(trail)
}

/// The options of the trail in this folder: those of a slot have its number after their names. A slot may also be named by itself.
pub(super) fn options_in(settings: &Settings, options: Options, folder: &Path) -> Outcome<Options> {
    let number = folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let is_slot = settings.uses_slots()? && number.is_some();
    if folder == settings.dir() && !is_slot {
        return Ok(options);
    }
    Ok(options.of_slot(folder))
}

/// With several slots, a command concerns one of them: says which.
pub(super) fn tell_slot(settings: &Settings, folder: &Path, own: &str) {
    if folder != settings.dir() {
        tell(&format!("this concerns only {}: each slot has its own {own}", folder.display()));
    }
}

/// Lets events go into the index, unless the settings say not to, and into the shared store if there is one. Level store
/// waits for that rather than for the index.
pub(super) fn attach(settings: &Settings, trail: &Trail, store: Option<&Store>) -> Outcome {
    if settings.uses_index()? {
        attach_index(trail)?;
    }
    store.map_or(Ok(()), |store| store.attach(trail))
}

/// The same, and lets them go through the streams of the settings. Without a store of its own, the first of these is the way
/// to one.
pub(crate) fn deliver(settings: &Settings, trail: &Trail, store: Option<&Store>) -> Outcome {
    attach(settings, trail, store)?;
    for (place, stream) in settings.streams().iter().enumerate() {
        stream.attach(trail, place == 0 && store.is_none())?;
    }
    Ok(())
}

/// With slots, those that no process holds are delivered to the shared store, too, for as long as this is kept.
#[cfg(feature = "postgres")]
pub(crate) fn deliver_abandoned(
    settings: &Settings,
    store: Option<&Store>,
    on_notice: Option<trailseal_core::OnNotice>,
) -> Outcome<Option<trailseal_postgres::AbandonedSlots>> {
    let Some(store) = store.filter(|_| settings.uses_slots().unwrap_or(false)) else { return Ok(None) };
    let mut options = settings.options()?;
    options.on_notice = on_notice;
    let times = trailseal_postgres::AbandonedTimes::default();
    let started =
        trailseal_postgres::AbandonedSlots::start(settings.dir(), options, store.url().clone(), times);
    started.map(Some).map_err(|error| Failure::could_not(format!("could not watch the slots: {error}")))
}

/// The index is derived: a failure to write it is reported and stops nothing.
fn attach_index(trail: &Trail) -> Outcome {
    let folder = trail.folder().root().join(trailseal_index::FOLDER);
    let options = IndexOptions::new(trail.origin());
    match Indexer::open(&folder, options.clone()) {
        Ok(indexer) => {
            trail.look_ids_up_in(Box::new(IndexedIds::new(&folder, &options)));
            trail
                .deliver_to_store(Box::new(indexer))
                .map_err(|error| Failure::could_not(format!("could not start to index: {error}")))
        }
        Err(error) => {
            tell(&format!("notice: events are recorded but not indexed: {error}"));
            Ok(())
        }
    }
}

pub(super) fn close_trail(trail: &Trail) -> Outcome {
    let closed = trail.close(CLOSE_TIMEOUT)?;
    if let Some(behind) = Store::behind(&closed) {
        tell(&format!("notice: {behind}"));
    }
    all_sealed(&closed)
}

/// A close that could not seal loses nothing, but scripts that check the exit code must know.
pub(super) fn all_sealed(closed: &Closed) -> Outcome {
    let left = closed.events.saturating_sub(closed.sealed);
    if left == 0 || cfg!(trailseal_fault = "unsealed_end_is_good") {
        return Ok(());
    }
    let trouble = closed.seal_trouble.as_ref().map(|trouble| format!(": {}", trouble.reason));
    Err(Failure::no(format!(
        "{} events are on disk but could not be sealed; the next opening seals them{}",
        thousands(left),
        trouble.unwrap_or_default()
    )))
}
