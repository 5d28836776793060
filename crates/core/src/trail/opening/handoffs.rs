//! The handoffs that matter to an opening: existing ones, and its own.

use std::io;
use std::path::{Path, PathBuf};

use trailseal_event::Timestamp;

use super::options::Options;
use crate::file::Files;
use crate::folder::Folder;
use crate::handoff::{self, Drain, Handoff, HandoffPlace, Lies, Owner, Place};
use crate::lock::Lock;
use crate::manifest::Manifest;
use crate::trail::error::OpenError;

/// A handoff file larger than this is not one of ours.
const FILE_BYTES_MAX: u64 = 16 << 30;
const RING_BYTES_MIN: u64 = 1 << 20;
/// A batch may have a quarter of it, and a frame's length has 32 bits.
const RING_BYTES_MAX: u64 = 8 << 30;

/// The contents of handoff files of this trail, with their paths.
pub(super) type Handoffs = Vec<(PathBuf, Vec<u8>)>;

/// Reads those of `paths` that are there.
pub(super) fn read_handoffs(files: &dyn Files, paths: &[PathBuf]) -> Result<Handoffs, OpenError> {
    let mut contents = Vec::new();
    for path in paths {
        match files.read(path, FILE_BYTES_MAX) {
            Ok(bytes) => contents.push((path.clone(), bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(OpenError::io("read", path)(error)),
        }
    }
    Ok(contents)
}

/// The handoffs that matter to an opening.
pub(super) struct HandoffPlaces {
    /// Where this opening creates its own.
    pub(in crate::trail) new: PathBuf,
    /// Those with this trail's mark: replayed, then removed or replaced.
    pub(in crate::trail) own: Vec<PathBuf>,
    /// The one that the last holder named and needed, if it is missing.
    pub(in crate::trail) missing: Option<PathBuf>,
}

/// Where this opening creates its handoff; then where another one may be: the one that the last holder named, and the
/// usual one.
pub(super) fn handoff_candidates(
    folder: &Folder,
    options: &Options,
    lock: &Lock,
) -> Result<Vec<PathBuf>, OpenError> {
    let new = match &options.handoff.place {
        // As the lock file names it.
        HandoffPlace::File(path) => std::path::absolute(path).map_err(OpenError::io("find", path))?,
        HandoffPlace::InTrail | HandoffPlace::Memory => folder.handoff(),
    };
    let mut candidates = vec![new];
    for other in lock.previous().handoff.into_iter().chain([folder.handoff()]) {
        if !candidates.contains(&other) {
            candidates.push(other);
        }
    }
    Ok(candidates)
}

/// Checks what is in those places.
///
/// Only a handoff of this trail is ever used as one: anything else with such a name is left alone, and if it is in the
/// way, the opening is refused.
pub(super) fn handoff_places(
    folder: &Folder,
    options: &Options,
    lock: &Lock,
    manifest: &Manifest,
) -> Result<HandoffPlaces, OpenError> {
    let owner = Owner::of(folder.root(), manifest.origin.as_str());
    let lies_at = |path: &Path| handoff::lies_at(&*options.files, path, &owner);
    let mut own = handoff_candidates(folder, options, lock)?;
    let new = own[0].clone();
    match lies_at(&new) {
        Lies::Nothing | Lies::Own => {}
        // Nothing is lost with it, and it has our own file's name in our own folder: somebody emptied it.
        Lies::Empty if new == folder.handoff() => {
            handoff::remove(&new).map_err(OpenError::io("remove", &new))?;
        }
        Lies::Elsewhere | Lies::Empty | Lies::Foreign if options.handoff.place == HandoffPlace::Memory => {}
        Lies::Elsewhere => {
            let home = folder.handoff();
            return Err(OpenError::HandoffElsewhere { path: new, home, is_wanted: true });
        }
        Lies::Empty | Lies::Foreign => return Err(OpenError::ForeignHandoff { path: new }),
    }
    own.retain(|path| lies_at(path) == Lies::Own);
    let previous = lock.previous();
    let missing = previous.handoff.filter(|named| !previous.closed && !own.contains(named));
    if let Some(path) = missing.as_ref().filter(|named| lies_at(named) == Lies::Elsewhere) {
        // To go on would give other events the indexes of those that it may hold.
        let (path, home) = (path.clone(), folder.handoff());
        return Err(OpenError::HandoffElsewhere { path, home, is_wanted: false });
    }
    Ok(HandoffPlaces { new, own, missing })
}

/// A new handoff for `owner`, whose next event has the index `next`; also the file that it is mapped from, or else why it
/// is not.
pub(super) fn make_handoff(
    options: &Options,
    path: &Path,
    owner: &Owner,
    next: u64,
    recorded: Timestamp,
) -> Result<(Handoff, Drain, Option<PathBuf>, Option<String>), OpenError> {
    let capacity = options.handoff.size_bytes.clamp(RING_BYTES_MIN, RING_BYTES_MAX).next_multiple_of(4096);
    let open = |place: &Place| handoff::open(place, capacity, owner, next, recorded);
    let mut reason = None;
    if options.handoff.place != HandoffPlace::Memory {
        match open(&Place::File(path.to_owned())) {
            Ok((handoff, drain)) => return Ok((handoff, drain, Some(path.to_owned()), None)),
            Err(error) => reason = Some(why_in_memory(&*options.files, path, capacity, &error)),
        }
    }
    let (handoff, drain) = open(&Place::Memory).map_err(OpenError::io("allocate", path))?;
    Ok((handoff, drain, None, reason))
}

/// Why the handoff has no file, and what to set if there is no room for one.
fn why_in_memory(files: &dyn Files, path: &Path, capacity: u64, error: &io::Error) -> String {
    let is_room = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    match path.parent().map(|folder| files.free_bytes(folder)) {
        Some(Ok((free, total))) if is_room => format!(
            "{}: {error}: its {} KiB do not fit, {} of {} KiB are free; set handoff.size to less, or handoff.path to a \
             place with room",
            path.display(),
            capacity >> 10,
            free >> 10,
            total >> 10
        ),
        _ => format!("{}: {error}", path.display()),
    }
}

/// Removes handoffs whose lines are durable in a segment by now: an old one must never be replayed again. The new one
/// may have two names.
pub(super) fn remove_old(
    own: &[PathBuf],
    new: Option<&Path>,
    files: &dyn Files,
    owner: &Owner,
) -> Result<(), OpenError> {
    let generation = |path: &Path| handoff::handoff_header(files, path).map(|header| header.generation);
    let new = new.and_then(generation);
    for old in
        own.iter().filter(|old| handoff::lies_at(files, old, owner) == Lies::Own && generation(old) != new)
    {
        handoff::remove(old).map_err(OpenError::io("remove", old))?;
    }
    Ok(())
}
