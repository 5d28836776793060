//! Several writers: each process takes a slot, a separate trail in a folder of trails.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trailseal_tlog::{Checkpoint, SignedNote};

use super::error::OpenError;
use super::open_trail::Trail;
use crate::file::{Files, StdFiles};
use crate::folder::Folder;
use crate::handoff::HandoffPlace;
use crate::lock;
use crate::notice::Notice;
use crate::segment::parse_segment_name;
use crate::trail::opening::options::Options;

/// A checkpoint has a few lines; one for each rotation so far.
const CHECKPOINT_BYTES_MAX: u64 = 1 << 20;

/// A folder has at most this many slots.
const SLOTS_MAX: u32 = 1_024;

impl Trail {
    /// Opens the first slot of `dir` that no other process writes to: the folder `dir/0`, `dir/1`, … Its origin is the
    /// one of `options` followed by `/0`, `/1`, … A process finds the slot of an earlier one again, and recovers it. One
    /// that is missing, below others that are there, is passed over and told as [`Notice::SlotMissing`]: a new trail in
    /// its place would hide that its events are gone.
    ///
    /// # Errors
    /// As [`open`](Trail::open); [`OpenError::Locked`] when all 1,024 slots are in use.
    pub fn open_slot(dir: impl AsRef<Path>, options: Options) -> Result<Trail, OpenError> {
        let dir = dir.as_ref();
        let folder = Folder::new(dir, options.files.clone());
        if options.files.open_read(&folder.trail_toml()).is_ok() {
            let what = "it is itself a trail, not a folder of slots: choose another, or workers = \"one\"";
            return Err(OpenError::Damaged { path: dir.to_owned(), what: what.into() });
        }
        let missing = missing_in(dir, &*options.files)?;
        let mut last = None;
        for slot in (0..SLOTS_MAX).filter(|slot| !missing.contains(slot)) {
            match open_one(dir, slot, options.clone()) {
                Err(error @ OpenError::Locked { .. }) => last = Some(error),
                opened => {
                    if opened.is_ok() {
                        tell_missing(dir, &missing, &options);
                    }
                    return opened;
                }
            }
        }
        // Only reached after at least one slot was found locked.
        Err(last.unwrap_or_else(|| OpenError::Damaged { path: dir.to_owned(), what: "no slot".into() }))
    }

    /// Opens one slot of `dir` again, as the process that had it would have: it is recovered, and from then on somebody else who
    /// looks for a slot takes another one. Never makes a trail.
    ///
    /// # Errors
    /// As [`open`](Trail::open); [`OpenError::Locked`] when it is in use.
    pub fn open_slot_again(
        dir: impl AsRef<Path>,
        number: u32,
        mut options: Options,
    ) -> Result<Trail, OpenError> {
        options.create = false;
        open_one(dir.as_ref(), number, options)
    }
}

fn open_one(dir: &Path, number: u32, options: Options) -> Result<Trail, OpenError> {
    let folder = dir.join(number.to_string());
    let mut options = options.of_slot(&folder);
    options.first_slot = Some(dir.join("0"));
    Trail::open(folder, options)
}

/// The numbers of slots that are gone: a later one is there, and nothing is left of them. One whose making was
/// interrupted has something, and is made to the end.
fn missing_in(dir: &Path, files: &dyn Files) -> Result<Vec<u32>, OpenError> {
    let slots = slots_in(dir, files).map_err(OpenError::io("list", dir))?;
    let mut missing = Vec::new();
    for slot in slots.into_iter().filter(|slot| !slot.is_there) {
        let left = files.list(&slot.path).map_err(OpenError::io("list", &slot.path))?;
        if left.is_empty() && !cfg!(trailseal_fault = "slot_made_again") {
            missing.push(slot.number);
        }
    }
    Ok(missing)
}

fn tell_missing(dir: &Path, missing: &[u32], options: &Options) {
    let Some(on_notice) = &options.on_notice else { return };
    for slot in missing {
        on_notice(&Notice::SlotMissing { path: dir.join(slot.to_string()) });
    }
}

impl Options {
    /// These options for the slot in `folder`: its origin ends in the slot's number, and its files outside of that folder
    /// have the number after their names.
    #[must_use]
    pub fn of_slot(mut self, folder: &Path) -> Options {
        let number = folder.file_name().unwrap_or_default().display();
        self.origin = self.origin.map(|origin| format!("{origin}/{number}"));
        self.key_file = self.key_file.map(|path| beside_slots(&path, folder));
        self.personal.file = self.personal.file.map(|path| beside_slots(&path, folder));
        if let HandoffPlace::File(path) = &mut self.handoff.place {
            *path = beside_slots(path, folder);
        }
        self
    }
}

/// A file outside the slots' folders, with the number of the slot in `folder` after its name.
pub(super) fn beside_slots(path: &Path, folder: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(folder.file_name().unwrap_or_default());
    path.with_file_name(name)
}

/// A slot in a folder of slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its number, which is the name of its folder.
    pub number: u32,
    /// Its folder.
    pub path: PathBuf,
    /// Whether it contains anything of a trail, even only lines without a `trail.toml`. If not, it is a gap: a slot
    /// with a higher number exists, and slots are numbered from 0.
    pub is_there: bool,
}

/// The slots in `dir`, in order, including gaps. None if `dir` is itself a trail, or holds none. A slot that is being
/// created, of which nothing was ever sealed, is left out.
///
/// # Errors
/// When a folder cannot be listed.
pub fn slots_in(dir: &Path, files: &dyn Files) -> io::Result<Vec<Slot>> {
    if is_there(files, &dir.join("trail.toml")) {
        return Ok(Vec::new());
    }
    let mut numbers = BTreeMap::new();
    for name in files.list(dir)? {
        let Some(number) = name.parse().ok().filter(|number: &u32| number.to_string() == name) else {
            continue;
        };
        numbers.insert(number, look(files, &dir.join(name))?);
    }
    let Some(last) = numbers.iter().rev().find(|(_, look)| **look == Look::Trail).map(|(number, _)| *number)
    else {
        return Ok(Vec::new());
    };
    let is_trail = |number: &u32| numbers.get(number) == Some(&Look::Trail);
    let counted =
        (0..last.min(SLOTS_MAX)).chain(numbers.keys().copied().filter(|number| *number >= SLOTS_MAX));
    let mut counted: Vec<u32> = counted.chain([last]).collect();
    counted.dedup();
    let slot = |number: u32| Slot { number, path: dir.join(number.to_string()), is_there: is_trail(&number) };
    let is_gap = |slot: &Slot| {
        slot.number < SLOTS_MAX
            && numbers.get(&slot.number) != Some(&Look::BeingMade)
            && !cfg!(trailseal_fault = "slot_forgotten")
    };
    Ok(counted.into_iter().map(slot).filter(|slot| slot.is_there || is_gap(slot)).collect())
}

/// What is in a folder with a slot's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// A trail, or what is left of one.
    Trail,
    /// Somebody holds the lock, and nothing is recorded yet.
    BeingMade,
    Nothing,
}

fn look(files: &dyn Files, path: &Path) -> io::Result<Look> {
    let list = |name: &str| match files.list(&path.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(Vec::new()),
        other => other,
    };
    if is_there(files, &path.join("trail.toml")) {
        return Ok(Look::Trail);
    }
    let has_lines = list("segments")?.iter().any(|name| parse_segment_name(name).is_some());
    // One that is being created has a checkpoint of size 0, and its `trail.toml` comes last.
    let is_kept = |name: &String| name != "0" && name.parse::<u64>().is_ok();
    // An empty level is what locks a trail from its creation on.
    let has_bytes = |name: &String| {
        let level = files.open_read(&path.join("tree").join(name));
        level.and_then(|file| file.len_bytes()).map_or_else(|error| !is_absent(&error), |len| len > 0)
    };
    let has_tree = list("tree")?.iter().any(has_bytes) || !list("tile")?.is_empty();
    if has_lines || has_tree || list("checkpoints")?.iter().any(is_kept) || has_sealed(files, path) {
        return Ok(Look::Trail);
    }
    let is_held = lock::held_by(&Folder::new(path, Arc::new(StdFiles))).is_ok_and(|holder| holder.is_some());
    Ok(if is_held { Look::BeingMade } else { Look::Nothing })
}

/// Whether there is a newest checkpoint that covers any events.
fn has_sealed(files: &dyn Files, path: &Path) -> bool {
    let size_of = |note: &[u8]| {
        let note = SignedNote::parse(std::str::from_utf8(note).ok()?).ok()?;
        Some(Checkpoint::parse(note.text()).ok()?.size)
    };
    match files.read(&path.join("checkpoint"), CHECKPOINT_BYTES_MAX) {
        Ok(note) => size_of(&note) != Some(0),
        Err(error) => !is_absent(&error),
    }
}

/// Whether there is anything at `path`.
fn is_there(files: &dyn Files, path: &Path) -> bool {
    files.open_read(path).map_or_else(|error| !is_absent(&error), |_| true)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The folders of the trails in `dir`: itself, or its slots in order, including incomplete ones. Empty if there is
/// none.
///
/// # Errors
/// When a folder cannot be listed.
pub fn trails_in(dir: &Path, files: &dyn Files) -> io::Result<Vec<PathBuf>> {
    if is_there(files, &dir.join("trail.toml")) {
        return Ok(vec![dir.to_owned()]);
    }
    Ok(slots_in(dir, files)?.into_iter().map(|slot| slot.path).collect())
}
