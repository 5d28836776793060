//! Copies a trail beside its writer, so that the copy can be opened.
//!
//! It reads in this order: manifest and keys → the newest checkpoint → the tree up to its size → segments up to what is
//! durable. Each covers less than what is read after it, so the copy is a state in which the trail could have been
//! stopped. Checkpoints are written after what they cover, so an interrupted copy is the previous one, with more bytes
//! after it; the next one continues from there. If manifest, keys or lists of retired lines change meanwhile, it starts
//! again.
//!
//! - `beginning`: a copy is appended to only while it is a beginning of the trail; one that continued by itself is left
//!   alone.
//! - `retired`: a segment is copied from a file of which nothing was retired since its list was read.
//! - `staging`: segments that the copy's checkpoint cannot do with get their names with the next one.

mod beginning;
mod error;
mod lists;
mod retired;
mod staging;

use std::io;
use std::path::{Path, PathBuf};

use trailseal_tlog::{Checkpoint, KeyRing, TILE_LEVELS, hashes_in_level};

pub use self::error::BackupError;

use self::beginning::remove_for_good;
use self::error::failed;
use self::lists::Lists;
use self::staging::Staging;
use crate::file::ReadFile;
use crate::folder::Folder;
use crate::handoff::{Owner, own_header};
use crate::lock::named_handoff;
use crate::manifest::{Manifest, ManifestError};
use crate::personal::{PersonalKeysOptions, key_file as personal_key_file};
use crate::segment::SegmentFile;
use crate::segment::{Form, segment_name};
use crate::trail::keys::signing_key::{key_file, next_file};
use crate::tree::{HASH_LEN, root_of};

const BLOCK: usize = 1 << 20;
const SMALL_FILE_BYTES_MAX: u64 = 64 << 20;
/// Manifest or keys change at a rotation; more changes in a row than this are no accident.
const TRIES_MAX: usize = 8;
/// The writer's and the server's own files, and whether each is only for its owner. Anything else in the folder is not
/// the trail's (notes, a handoff or a key under a name from the settings), or belongs to a process, or is derived.
const OTHERS: [(&str, bool); 8] = [
    ("opened", false),
    ("policy.toml", false),
    ("tokens.json", true),
    ("holds.toml", true),
    ("sinks.toml", false),
    ("retired", false),
    ("retiring", false),
    ("erased", false),
];

/// What a backup contains.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackedUp {
    /// The trail's name.
    pub origin: String,
    /// Events that its newest checkpoint covers.
    pub sealed: u64,
    /// Events in it; those above `sealed` are sealed when it is opened.
    pub events: u64,
    /// Bytes copied by this run.
    pub copied_bytes: u64,
}

/// Copies the trail in `from` to the folder `to`, going on from an earlier backup there. The keys of people are not copied,
/// not even with the others: see [`back_up_personal_keys`].
///
/// # Errors
/// When `from` is not a trail, `to` holds something else or was written to meanwhile, or a file cannot be read or
/// written.
pub fn back_up(from: &Folder, to: &Path, with_keys: bool) -> Result<BackedUp, BackupError> {
    let to = Folder::new(to, from.files().clone());
    let copy = Copy { from, to, with_keys, staged: Vec::new(), copied_bytes: 0 };
    let origin = copy.check_place()?;
    copy.run(origin)
}

/// Copies the keys of the people in the trail in `from`, which [`back_up`] leaves out, into the copy in `to`. Whatever is
/// erased later can still be read with this copy of them.
///
/// # Errors
/// When there is no key file, or it cannot be copied.
pub fn back_up_personal_keys(
    from: &Folder,
    options: &PersonalKeysOptions,
    to: &Path,
) -> Result<(), BackupError> {
    let path = personal_key_file(from, options);
    let file = from.files().open_read(&path).map_err(failed("open", &path))?;
    let mut bytes = vec![0; file.len_bytes().map_err(failed("look at", &path))? as usize];
    let count = file.read_at(0, &mut bytes).map_err(failed("read", &path))?;
    bytes.truncate(count);
    let to = Folder::new(to, from.files().clone()).keys_folder();
    from.files().create_folder(&to).map_err(failed("make", &to))?;
    let to = to.join("personal");
    from.files().replace(&to, &bytes, true).map_err(failed("write", &to))
}

struct Copy<'a> {
    from: &'a Folder,
    to: Folder,
    with_keys: bool,
    /// Segments that are written and do not have their names yet, each with where it is.
    staged: Vec<(SegmentFile, PathBuf)>,
    copied_bytes: u64,
}

/// Small files that must be from one moment, each with its path below the folder.
type Set = Vec<(PathBuf, Vec<u8>)>;

impl Copy<'_> {
    fn check_place(&self) -> Result<String, BackupError> {
        let source = |what: String| BackupError::Source { path: self.from.root().to_owned(), what };
        let place = |what: &str| BackupError::Place { path: self.to.root().to_owned(), what: what.into() };
        let manifest = |folder: &Folder| match Manifest::read(folder) {
            Err(ManifestError::Io(error)) => Err(failed("read", &folder.trail_toml())(error)),
            other => Ok(other),
        };
        let ours = manifest(self.from)?.map_err(|error| source(error.to_string()))?;
        let ours = ours.ok_or_else(|| source("trail.toml is missing".into()))?;
        let absolute = |path: &Path| std::path::absolute(path).map_err(failed("find", path));
        if absolute(self.to.root())?.starts_with(absolute(self.from.root())?) {
            return Err(place("is inside the trail itself"));
        }
        match manifest(&self.to)? {
            Ok(Some(theirs)) if theirs.origin == ours.origin && theirs.created == ours.created => {}
            Ok(Some(_)) => return Err(place("holds another trail")),
            Err(error) => return Err(place(&format!("holds a damaged trail.toml ({error})"))),
            Ok(None) => {
                let names = self.to.files().list(self.to.root()).map_err(failed("list", self.to.root()))?;
                if !names.iter().all(|name| is_before_manifest(name)) {
                    return Err(place("is not empty"));
                }
            }
        }
        Ok(ours.origin.to_string())
    }

    fn run(mut self, origin: String) -> Result<BackedUp, BackupError> {
        let mut is_compared = false;
        for _ in 0..TRIES_MAX {
            let Some(set) = self.set()? else { continue };
            let lists = lists::settled(self.from)?;
            let note = self.read(&self.from.checkpoint())?;
            let (ring, newest) = self.newest(&note)?;
            if !is_compared {
                beginning::check(self.from, &self.to, &ring, &newest)?;
                is_compared = true;
            }
            let sealed = newest.size;
            beginning::check_half_copied(self.from, &self.to, &lists)?;
            self.copy_tree(sealed)?;
            if !self.copy_lists(&lists)? {
                continue;
            }
            let Some(events) = self.copy_segments(sealed, &origin, &lists)? else { continue };
            self.copy_others()?;
            // What was retired meanwhile is vouched for by an event that this checkpoint may not cover.
            let has_retired = lists::lists(self.from)? != lists;
            if has_retired || self.set()?.as_ref() != Some(&set) {
                continue;
            }
            self.copy_next_key(&set)?;
            staging::place(&self.to, std::mem::take(&mut self.staged))?;
            self.copy_kept(sealed)?;
            self.put(Path::new("checkpoint"), &note, false)?;
            for (name, bytes) in &set {
                let is_private = name.starts_with("keys");
                self.put(name, bytes, is_private)?;
            }
            self.remove_old_keys(&set)?;
            // More may have been retired, and the copy has no list of that.
            if !self.retire_in_copy(&lists)? {
                continue;
            }
            return Ok(BackedUp { origin, sealed, events, copied_bytes: self.copied_bytes });
        }
        let what = "its keys, segments or retired events kept changing meanwhile".into();
        Err(BackupError::Source { path: self.from.root().to_owned(), what })
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, BackupError> {
        self.from.files().read(path, SMALL_FILE_BYTES_MAX).map_err(failed("read", path))
    }

    /// Manifest and, if wanted, keys; `None` if they changed while they were read.
    fn set(&self) -> Result<Option<Set>, BackupError> {
        let mut paths = vec![PathBuf::from("trail.toml")];
        if self.with_keys {
            let folder = self.from.keys_folder();
            let names = self.from.files().list(&folder).map_err(failed("list", &folder))?;
            let whole = names.iter().filter(|name| !name.ends_with(".tmp") && !is_of_people(name));
            paths.extend(whole.map(|name| Path::new("keys").join(name)));
        }
        let mut set = Vec::new();
        for name in paths {
            let path = self.from.root().join(&name);
            match self.from.files().read(&path, SMALL_FILE_BYTES_MAX) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                read => set.push((name, read.map_err(failed("read", &path))?)),
            }
        }
        Ok(Some(set))
    }

    /// Another key is first there as the next one, so that an opening of an interrupted copy can finish its rotation.
    fn copy_next_key(&mut self, set: &Set) -> Result<(), BackupError> {
        let path = key_file(&self.to, None);
        let Some((name, bytes)) = set.iter().find(|(name, _)| self.to.root().join(name) == path) else {
            return Ok(());
        };
        let is_other = self.to.files().read(&path, SMALL_FILE_BYTES_MAX).is_ok_and(|there| there != *bytes);
        if is_other { self.put(&next_file(name), bytes, true) } else { Ok(()) }
    }

    /// Removes keys that the copy has from earlier and the trail no longer has: the next key of a finished rotation.
    fn remove_old_keys(&self, set: &Set) -> Result<(), BackupError> {
        let folder = self.to.keys_folder();
        let names = if self.with_keys { self.to.files().list(&folder) } else { Ok(Vec::new()) };
        for name in names.map_err(failed("list", &folder))? {
            let is_ours = set.iter().any(|(path, _)| *path == Path::new("keys").join(&name));
            // A folder is not one of ours.
            if !is_ours && !is_of_people(&name) && self.to.files().open_read(&folder.join(&name)).is_ok() {
                remove_for_good(&**self.to.files(), &folder.join(&name))?;
            }
        }
        Ok(())
    }

    /// The keys and the newest checkpoint, which the tree must match.
    fn newest(&self, note: &[u8]) -> Result<(KeyRing, Checkpoint), BackupError> {
        let damaged = |what: String| BackupError::Source { path: self.from.root().to_owned(), what };
        let manifest = Manifest::read(self.from).map_err(|error| damaged(error.to_string()))?;
        let (ring, _) = manifest.ok_or_else(|| damaged("trail.toml is missing".into()))?.key_ring();
        let opened = ring.open(&String::from_utf8_lossy(note));
        let (newest, _) = opened.map_err(|error| damaged(error.to_string()))?;
        let root = root_of(self.from, newest.size).map_err(failed("read", &self.from.tree_folder()))?;
        // A power loss may have torn it: a hole in the copy would stay when the next writer has repaired the trail.
        if root != Some(newest.root) {
            return Err(damaged("its tree does not give the signed root hash".into()));
        }
        Ok((ring, newest))
    }

    /// Writes a small file unless it is already there unchanged.
    fn put(&mut self, name: &Path, bytes: &[u8], is_private: bool) -> Result<(), BackupError> {
        let files = self.to.files().clone();
        let path = self.to.root().join(name);
        if files.read(&path, SMALL_FILE_BYTES_MAX).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        let above = path.parent().unwrap_or(Path::new("."));
        files.create_folder(above).map_err(failed("make", above))?;
        files.replace(&path, bytes, is_private).map_err(failed("write", &path))?;
        self.copied_bytes += bytes.len() as u64;
        Ok(())
    }

    fn copy_kept(&mut self, sealed: u64) -> Result<(), BackupError> {
        let folder = self.from.kept_checkpoints_folder();
        let kept = self.from.kept_checkpoints().map_err(failed("list", &folder))?;
        for size in kept.into_iter().filter(|size| *size <= sealed) {
            let bytes = self.read(&self.from.kept_checkpoint(size))?;
            self.put(&Path::new("checkpoints").join(size.to_string()), &bytes, false)?;
        }
        let folder = self.to.kept_checkpoints_folder();
        self.to.files().create_folder(&folder).map_err(failed("make", &folder))
    }

    fn copy_tree(&mut self, sealed: u64) -> Result<(), BackupError> {
        for level in 0..TILE_LEVELS {
            let end = hashes_in_level(sealed, level) * HASH_LEN;
            if level == 0 || end > 0 {
                let path = self.from.tree_level(level);
                let source = self.from.files().open_read(&path).map_err(failed("open", &path))?;
                self.extend(&*source, &path, &self.to.tree_level(level), end)?;
            }
        }
        Ok(())
    }

    /// Appends the bytes up to `end` that the copy of a growing file does not have yet.
    fn extend(&mut self, source: &dyn ReadFile, from: &Path, to: &Path, end: u64) -> Result<(), BackupError> {
        let files = self.to.files().clone();
        let len = match files.open_read(to) {
            Ok(there) => there.len_bytes().map_err(failed("look at", to))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(failed("open", to)(error)),
        };
        let mut at = len;
        let above = to.parent().unwrap_or(Path::new("."));
        files.create_folder(above).map_err(failed("make", above))?;
        let mut file = match files.open_append(to, at) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => files.create_append(to),
            opened => opened,
        }
        .map_err(failed("open", to))?;
        // Bytes beyond `end` were compared with the trail: they are from a time when more was known to be durable.
        let mut block = vec![0; BLOCK];
        while at < end {
            let want = (end - at).min(BLOCK as u64) as usize;
            let count = source.read_at(at, &mut block[..want]).map_err(failed("read", from))?;
            if count == 0 {
                let what = format!("{} is shorter than it was", from.display());
                return Err(BackupError::Source { path: self.from.root().to_owned(), what });
            }
            file.append(&block[..count]).map_err(failed("write", to))?;
            at += count as u64;
            self.copied_bytes += count as u64;
        }
        // Even without new bytes: an interrupted backup may have left them unsynced.
        file.sync_data().map_err(failed("sync", to))
    }

    /// Returns how many events the copy has. `None` if a segment was sealed and compressed since `sealed` was read, or
    /// lines of it were retired since its list was read. A compressed segment with lines that no checkpoint covers would
    /// not open, so a newer checkpoint must be copied first.
    fn copy_segments(
        &mut self,
        sealed: u64,
        origin: &str,
        lists: &Lists,
    ) -> Result<Option<u64>, BackupError> {
        // Before the segments are listed: they hold everything below.
        let durable = durable(self.from, origin).max(sealed);
        // The last segment of a trail at rest has no end, and is covered as a whole.
        let is_covered = |segment: &SegmentFile| segment.end.map_or(durable, |end| end.get()) <= sealed;
        let folder = self.from.segments_folder();
        let segments = self.from.segments().map_err(failed("list", &folder))?;
        let to = self.to.segments_folder();
        let staging = Staging::of(&self.to, &segments, lists)?;
        self.staged.clear();
        self.to.files().create_folder(&to).map_err(failed("make", &to))?;
        for segment in segments.iter().filter(|segment| segment.first.get() < durable) {
            if segment.form == Form::Compressed && !is_covered(segment) {
                return Ok(None);
            }
            let has_retired = lists.iter().any(|(first, _)| *first == segment.first);
            if has_retired && staging.is_older() && self.has_segment(segment.first)? {
                // Its lines go from the copy at the end.
                continue;
            }
            if self.copy_segment(segment, durable, lists, &staging)? {
                continue;
            }
            // Compressed meanwhile: its other form is there now.
            let path = folder.join(segment_name(segment.first, Form::Compressed));
            let compressed = SegmentFile { form: Form::Compressed, path, ..segment.clone() };
            let may_be = segment.form == Form::Plain && is_covered(segment);
            if !may_be || !self.copy_segment(&compressed, durable, lists, &staging)? {
                return Ok(None);
            }
        }
        Ok(Some(durable))
    }

    /// Returns whether the segment was there, with the lists as they were.
    fn copy_segment(
        &mut self,
        segment: &SegmentFile,
        durable: u64,
        lists: &Lists,
        staging: &Staging,
    ) -> Result<bool, BackupError> {
        let is_staged = staging.has(segment.first);
        if !is_staged && staging.must_have(segment) {
            return Ok(false);
        }
        let Some(source) = self.open_segment(segment, lists)? else { return Ok(false) };
        let files = self.to.files().clone();
        let name = segment_name(segment.first, segment.form);
        let to = self.to.segments_folder().join(&name);
        let len = source.len_bytes().map_err(failed("look at", &segment.path))?;
        let has_retired = lists.iter().any(|(first, _)| *first == segment.first);
        if segment.form == Form::Plain && !has_retired {
            // The trail's next opening may cut off bytes after the last line that counts.
            let counting = segment.end.map_or(durable, |end| end.get().min(durable)) - segment.first.get();
            let is_copied =
                files.open_read(&to).and_then(|there| there.len_bytes()).is_ok_and(|there| there == len);
            let end = if is_copied { Ok(len) } else { bytes_of_lines(&*source, counting) };
            let end = end.map_err(failed("read", &segment.path))?;
            match is_staged {
                true => self.stage(segment, &*source, to, end)?,
                false => self.extend(&*source, &segment.path, &to, end)?,
            }
        } else if is_staged {
            self.stage(segment, &*source, to, len)?;
        } else {
            self.copy_whole(segment, &*source)?;
        }
        Ok(true)
    }

    /// Writes the first `len` bytes of a segment aside, to be put in its place with the others that are staged.
    fn stage(
        &mut self,
        segment: &SegmentFile,
        source: &dyn ReadFile,
        to: PathBuf,
        len: u64,
    ) -> Result<(), BackupError> {
        let unfinished = self.write_aside(segment, source, &to, len)?;
        self.staged.push((segment.clone(), unfinished));
        Ok(())
    }

    /// The policy, the tokens, and which line records the last opening.
    fn copy_others(&mut self) -> Result<(), BackupError> {
        for (name, is_private) in OTHERS {
            let path = self.from.root().join(name);
            match self.from.files().read(&path, SMALL_FILE_BYTES_MAX) {
                // A policy that was reset must not come back with the copy.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    remove_for_good(&**self.to.files(), &self.to.root().join(name))?;
                }
                read => self.put(Path::new(name), &read.map_err(failed("read", &path))?, is_private)?,
            }
        }
        Ok(())
    }
}

/// Whether this file in the folder of keys has keys of people: a copy of them would keep what an erasure destroys.
fn is_of_people(name: &str) -> bool {
    name == "personal" || name.starts_with("personal.")
}

/// Whether a backup interrupted before it wrote `trail.toml` can have left this name.
fn is_before_manifest(name: &str) -> bool {
    let whole = name.strip_suffix(".tmp").unwrap_or(name);
    ["segments", "tree", "checkpoints"].contains(&name)
        || OTHERS.iter().any(|(other, _)| *other == whole)
        || name == "trail.toml.tmp"
}

/// How many events the handoff says are durable; 0 if there is none of this trail.
fn durable(folder: &Folder, origin: &str) -> u64 {
    let owner = Owner::of(folder.root(), origin);
    let places = named_handoff(folder).into_iter().chain([folder.handoff()]);
    places
        .filter_map(|path| own_header(&**folder.files(), &path, &owner))
        .map(|header| header.durable)
        .max()
        .unwrap_or(0)
}

/// The size of the first `lines` lines, as far as they are there.
fn bytes_of_lines(file: &dyn ReadFile, lines: u64) -> io::Result<u64> {
    let mut block = vec![0; BLOCK];
    let (mut offset, mut seen, mut end) = (0, 0, 0);
    while seen < lines {
        let count = file.read_at(offset, &mut block)?;
        if count == 0 {
            break;
        }
        for at in memchr::memchr_iter(b'\n', &block[..count]).take((lines - seen) as usize) {
            seen += 1;
            end = offset + at as u64 + 1;
        }
        offset += count as u64;
    }
    Ok(end)
}
