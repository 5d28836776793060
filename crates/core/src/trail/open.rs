//! From a folder to a running trail: lock, manifest, key, recovery, handoff, threads.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

use trailseal_tlog::{Checkpoint, SigningKey, empty_root};

use super::circumstances::circumstances;
use super::error::OpenError;
use super::folder::Folder;
use super::lock::{self, Attempt, Lock};
use super::making::{check_may_make, make, note_made};
use super::manifest::Manifest;
use super::options::{HandoffPlace, Notice, Options};
use super::reader::handoff_header;
use super::recover::{Found, Recovered, read_handoffs, recover};
use super::rotate::key_file;
use super::shared::{Gate, Shared};
use super::trusted::{Trusted, trusted};
use super::witness::{check_anchors, witnesses};
use super::{Running, Trail};
use crate::anchor::Anchors;
use crate::commit::Writer;
use crate::counters::Counters;
use crate::file::Files;
use crate::handoff::{self, Drain, Handoff, HandoffHeader, Place};
use crate::histogram::CountedCommits;
use crate::mask::{MaskKey, Masker, ReplaceWith};
use crate::policy::{Current, InForce, Sampler, SamplerError};
use crate::progress::Progress;
use crate::seal::{SealKeys, Sealer};
use crate::segment::Compressor;

const HANDOFF_BYTES_MIN: u64 = 1 << 20;
/// A batch may have a quarter of it, and a frame tells its length in 32 bits.
const HANDOFF_BYTES_MAX: u64 = 8 << 30;
const DISK_RESERVE_BYTES: u64 = 256 << 20;
const SMALL_FILE_BYTES_MAX: u64 = 1 << 20;
const SECRET_UNREADABLE: &str = "holds no sampling secret: remove it, and another one is made";

/// Everything that an opening found or made, before threads are started.
struct Opened {
    folder: Folder,
    lock: Lock,
    manifest: Manifest,
    signing: SigningKey,
    recovered: Recovered,
}

pub(super) fn open(dir: &Path, options: Options) -> Result<Trail, OpenError> {
    crate::fork::watch();
    let files = options.files.clone();
    let folder = Folder::new(dir, files.clone());
    check_may_make(&folder, &options)?;
    files.create_folder(dir).map_err(OpenError::io("make", dir))?;
    refuse_network(dir, &options)?;
    let lock = take_lock(&folder)?;
    match Manifest::read(&folder).map_err(|error| damaged(&folder.trail_toml(), error)) {
        Ok(Some(manifest)) => {
            open_existing(folder, lock, manifest, options).map_err(|error| error.with_way_on(dir))
        }
        Ok(None) => {
            let handoffs = handoff_paths(&folder, &options, &lock);
            let (manifest, signing) = make(&folder, &options, &handoffs)?;
            let newest = Checkpoint::new(manifest.origin.clone(), 0, empty_root());
            go_on(folder, lock, Trusted { manifest, signing, newest, kept_ahead: None }, options)
        }
        Err(error) => Err(error.with_way_on(dir)),
    }
}

fn open_existing(
    folder: Folder,
    lock: Lock,
    manifest: Manifest,
    options: Options,
) -> Result<Trail, OpenError> {
    if let Some(origin) = options.origin.as_deref().filter(|origin| *origin != manifest.origin.as_str()) {
        return Err(OpenError::Origin(format!(
            "{} is the trail {}, not {origin}: an origin never changes; choose another folder, or leave the origin out",
            folder.root().display(),
            manifest.origin.as_str(),
        )));
    }
    if options.succeeds.is_some() {
        let what =
            "it holds a trail already: a trail that takes over from another is a new one, in another folder";
        return Err(damaged(folder.root(), what));
    }
    let key_path = key_file(&folder, options.key_file.as_deref());
    let trusted = trusted(&folder, &key_path, manifest)?;
    note_made(&**folder.files(), &key_path, trusted.manifest.origin.as_str())?;
    go_on(folder, lock, trusted, options)
}

/// Recovers what lies in the folder, and starts.
fn go_on(folder: Folder, lock: Lock, trusted: Trusted, options: Options) -> Result<Trail, OpenError> {
    let files = options.files.clone();
    let Trusted { manifest, signing, newest, kept_ahead } = trusted;
    let paths = own_handoffs(handoff_paths(&folder, &options, &lock), &*files, &manifest)?;
    let handoffs = read_handoffs(&*files, &paths)?;
    let (ring, _) = manifest.key_ring();
    check_anchors(&options, &folder, &newest, &ring)?;
    let witnesses = witnesses(&folder, &options, &newest, &handoffs);
    let recovered = recover(&folder, &files, &newest, &handoffs, &witnesses)?;
    drop(handoffs);
    if let Some(note) = kept_ahead {
        let path = folder.checkpoint();
        files.replace(&path, note.as_bytes(), false).map_err(OpenError::io("write", path))?;
    }
    start(Opened { folder, lock, manifest, signing, recovered }, options, &paths)
}

fn refuse_network(dir: &Path, options: &Options) -> Result<(), OpenError> {
    if options.allow_network_file_system {
        return Ok(());
    }
    match super::network::network_file_system(dir) {
        Some(kind) => Err(OpenError::NetworkFileSystem { path: dir.to_owned(), kind }),
        None => Ok(()),
    }
}

fn take_lock(folder: &Folder) -> Result<Lock, OpenError> {
    match lock::take(&folder.lock()).map_err(OpenError::io("lock", folder.lock()))? {
        Attempt::Taken(lock) => Ok(lock),
        Attempt::HeldBy(holder) => Err(OpenError::Locked { path: folder.root().to_owned(), holder }),
    }
}

fn damaged(path: &Path, error: impl std::fmt::Display) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), what: error.to_string() }
}

pub(super) fn read_signing_key(files: &dyn Files, path: &Path) -> Result<Option<SigningKey>, OpenError> {
    match files.read(path, SMALL_FILE_BYTES_MAX) {
        Ok(bytes) => {
            SigningKey::from_private_string(String::from_utf8_lossy(&bytes).trim()).map(Some).map_err(
                |error| OpenError::Key { path: path.to_owned(), what: format!("cannot be read: {error}") },
            )
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::io("read", path)(error)),
    }
}

/// The handoff of this opening first, then the one that the last holder named, if that is another.
fn handoff_paths(folder: &Folder, options: &Options, lock: &Lock) -> Vec<PathBuf> {
    let mut paths = vec![match &options.handoff.place {
        HandoffPlace::File(path) => path.clone(),
        HandoffPlace::InTrail | HandoffPlace::Memory => folder.handoff(),
    }];
    paths.extend(lock.previous_handoff().filter(|path| *path != paths[0]));
    if !paths.contains(&folder.handoff()) {
        paths.push(folder.handoff());
    }
    paths
}

/// Leaves out files that are another trail's handoff: they are neither replayed nor removed here.
fn own_handoffs(
    mut paths: Vec<PathBuf>,
    files: &dyn Files,
    manifest: &Manifest,
) -> Result<Vec<PathBuf>, OpenError> {
    let mark = HandoffHeader::trail_mark(manifest.origin.as_str());
    let is_own = |path: &Path| handoff_header(files, path).is_none_or(|header| header.trail == mark);
    if let Some(path) = paths.first().filter(|path| !is_own(path)) {
        return Err(damaged(path, "it is the handoff of another trail; give each trail a place of its own"));
    }
    paths.retain(|path| is_own(path));
    Ok(paths)
}

fn make_handoff(
    options: &Options,
    path: &Path,
    recovered: &Recovered,
    trail: u64,
) -> Result<(Handoff, Drain, Option<PathBuf>, Option<String>), OpenError> {
    let capacity =
        options.handoff.size_bytes.clamp(HANDOFF_BYTES_MIN, HANDOFF_BYTES_MAX).next_multiple_of(4096);
    let recorded = recovered.recorded.unwrap_or_default();
    let open = |place: &Place| handoff::open(place, capacity, trail, recovered.next, recorded);
    let mut reason = None;
    if options.handoff.place != HandoffPlace::Memory {
        match open(&Place::File(path.to_owned())) {
            Ok((handoff, drain)) => return Ok((handoff, drain, Some(path.to_owned()), None)),
            Err(error) => reason = Some(format!("{}: {error}", path.display())),
        }
    }
    let (handoff, drain) = open(&Place::Memory).map_err(OpenError::io("allocate", path))?;
    Ok((handoff, drain, None, reason))
}

fn start(opened: Opened, options: Options, handoffs: &[PathBuf]) -> Result<Trail, OpenError> {
    let Opened { folder, mut lock, manifest, signing, recovered } = opened;
    let trail = HandoffHeader::trail_mark(manifest.origin.as_str());
    let (handoff, drain, handoff_file, in_memory) = make_handoff(&options, &handoffs[0], &recovered, trail)?;
    // Their lines are durable in a segment now; an old one must never be replayed again.
    for old in handoffs.iter().filter(|path| Some(*path) != handoff_file.as_ref()) {
        match fs::remove_file(old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(OpenError::io("remove", old)(error));
            }
            _ => {}
        }
    }
    // Only one elsewhere is named: a copy of this folder must never lead to the handoff of the original.
    let elsewhere = handoff_file.as_deref().filter(|path| *path != folder.handoff());
    lock.name_handoff(elsewhere).map_err(OpenError::io("write", folder.lock()))?;
    let reserve_bytes = reserve_bytes(&folder, &options)?;
    let sealed = recovered.edge.size();
    let in_force = in_force(&folder, &options)?;
    let circumstances = circumstances(&folder, &in_force.policy, &recovered, options.clock.now());
    let masker = masker(&folder, &options)?;
    let shared = Arc::new(Shared {
        origin: manifest.origin.clone(),
        handoff,
        progress: Progress::new(recovered.next, sealed),
        counters: Counters::default(),
        commits: CountedCommits::default(),
        gate: Gate::default(),
        policy: Current::new(in_force),
        masker,
        counts_told: Mutex::default(),
        segments: Mutex::new(recovered.segments),
        segments_begun: 0.into(),
        disk_low: false.into(),
        writer_may_end: false.into(),
        sealer_may_end: false.into(),
        seal_wanted: 0.into(),
        writer: OnceLock::new(),
        sealer: OnceLock::new(),
        store: Mutex::default(),
        folder,
        options,
    });
    if let Some(reason) = in_memory {
        shared.notice(&Notice::HandoffInMemory { reason });
    }
    let keys = Arc::new(Mutex::new(SealKeys::new(signing, manifest)));
    let anchors = Anchors::start(shared.options.anchors.clone(), shared.options.on_notice.clone())
        .map_err(thread_failed(&shared))?;
    let writer = Writer::new(shared.clone(), drain, recovered.segment, recovered.next, reserve_bytes);
    // A command may be over before the writer looks for the first time.
    writer.check_reserve();
    let sealer = Sealer::new(shared.clone(), keys.clone(), recovered.edge, anchors);
    let lock = Arc::new(lock);
    let (held, ended) = (lock.clone(), shared.clone());
    let write = move || {
        let _held = held;
        writer.run();
        // All is durable, also when nobody waits for the close any more.
        ended.sealer_may_end.store(true, Ordering::Release);
        ended.wake_sealer();
    };
    let held = lock.clone();
    let seal = move || {
        let _held = held;
        sealer.run()
    };
    let writer = spawn("trailseal-writer", write).map_err(thread_failed(&shared))?;
    let sealer = spawn("trailseal-sealer", seal).map_err(thread_failed(&shared))?;
    let _ = shared.writer.set(writer.thread().clone());
    let _ = shared.sealer.set(sealer.thread().clone());
    let compressor = match shared.options.segment.compress {
        true => Some(Compressor::start(shared.clone(), lock.clone()).map_err(thread_failed(&shared))?),
        false => None,
    };
    let running = Running { writer, sealer, compressor, lock };
    Trail::started(shared, keys, handoff_file, running, &recovered.found, &circumstances)
}

/// The masker of the options, with the key that the folder keeps. The key is made where hashes are written.
fn masker(folder: &Folder, options: &Options) -> Result<Masker, OpenError> {
    let mut mask = options.mask.clone();
    if mask.enabled && mask.key.is_none() {
        mask.key = match mask.replace_with {
            ReplaceWith::Hmac => Some(MaskKey::load_or_make(folder)?),
            _ => MaskKey::load(folder)?,
        };
    }
    Ok(Masker::new(&mask)?)
}

/// The policy that the folder keeps, or else that of the options.
fn in_force(folder: &Folder, options: &Options) -> Result<InForce, OpenError> {
    let kept = folder.kept_policy().map_err(|error| damaged(&folder.kept_policy_file(), error))?;
    let sampler = Sampler::load_or_make(folder).map_err(|error| match error {
        SamplerError::Io { path, source } => OpenError::Io { action: "read or make", path, source },
        SamplerError::Unreadable { path } => OpenError::Key { path, what: SECRET_UNREADABLE.into() },
    })?;
    Ok(InForce::new(kept.unwrap_or_else(|| options.policy.clone()), Arc::new(sampler)))
}

fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<std::thread::JoinHandle<T>> {
    std::thread::Builder::new().name(name.into()).spawn(run)
}

fn thread_failed(shared: &Shared) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let path = shared.folder.root().to_owned();
    OpenError::io("start a thread for", path)
}

/// At least the handoff's size, since what is in there must always fit.
fn reserve_bytes(folder: &Folder, options: &Options) -> Result<u64, OpenError> {
    let (_, total) =
        options.files.free_bytes(folder.root()).map_err(OpenError::io("look at", folder.root()))?;
    let wanted = options.disk_reserve_bytes.unwrap_or_else(|| DISK_RESERVE_BYTES.min(total / 20));
    Ok(wanted.max(options.handoff.size_bytes.min(total / 20)))
}

impl Found {
    /// As the details of the event `trail.opened`.
    pub(super) fn to_details(&self) -> crate::event::Object {
        let mut details = crate::event::Object::default();
        details.insert("clean", self.is_clean());
        details.insert("unsealed_from", self.sealed);
        details.insert("unsealed_to", self.in_segments + self.from_handoff);
        details.insert("from_handoff", self.from_handoff);
        details.insert("cut_bytes", self.cut_bytes);
        details
    }
}
