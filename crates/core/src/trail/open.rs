//! From a folder to a running trail: lock, manifest, key, recovery, handoff, threads.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

use sha2::Digest as _;
use trailseal_tlog::{Checkpoint, Origin, SigningKey, empty_root};

use super::error::OpenError;
use super::folder::{Folder, Manifest};
use super::lock::{self, Attempt, Lock};
use super::options::{HandoffPlace, Notice, Options};
use super::reader::handoff_header;
use super::recover::{Found, Recovered, recover};
use super::rotate::{finish_rotation, key_file};
use super::shared::{Gate, Shared};
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
    files.create_folder(dir).map_err(OpenError::io("make", dir))?;
    refuse_network(dir, &options)?;
    let folder = Folder::new(dir, files.clone());
    let lock = take_lock(&folder)?;
    let (manifest, signing) =
        match Manifest::read(&folder).map_err(|error| damaged(&folder.trail_toml(), error))? {
            Some(manifest) => existing(&folder, &*files, &options, manifest)?,
            None => create(&folder, &*files, &options)?,
        };
    let checkpoint = newest_checkpoint(&folder, &*files, &manifest)?;
    let handoffs = own_handoffs(handoff_paths(&folder, &options, &lock), &*files, &manifest)?;
    let recovered = recover(&folder, &files, &checkpoint, &handoffs)?;
    start(Opened { folder, lock, manifest, signing, recovered }, options, &handoffs)
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

/// A new trail: key, manifest, and a signed checkpoint of size 0, in this order. From then on a missing
/// checkpoint is damage.
fn create(
    folder: &Folder,
    files: &dyn Files,
    options: &Options,
) -> Result<(Manifest, SigningKey), OpenError> {
    let segments = folder.segments().map_err(OpenError::io("list", folder.segments_folder()))?;
    if !segments.is_empty() {
        return Err(damaged(folder.root(), "it holds segments, but trail.toml is missing"));
    }
    let path = key_file(folder, options.key_file.as_deref());
    let seed = match read_key(files, &path)? {
        Some(seed) => seed,
        None => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed)
                .map_err(|error| OpenError::Key { path: path.clone(), what: error.to_string() })?;
            seed
        }
    };
    let origin = match &options.origin {
        Some(origin) => origin.clone(),
        None => default_origin(&seed),
    };
    let origin = Origin::new(&origin).map_err(|error| OpenError::Origin(error.to_string()))?;
    let signing = SigningKey::from_seed(origin.as_str(), &seed);
    for needed in [
        folder.segments_folder(),
        folder.keys_folder(),
        folder.kept_checkpoints_folder(),
        folder.tree_folder(),
    ] {
        files.create_folder(&needed).map_err(OpenError::io("make", &needed))?;
    }
    let leaves = folder.tree_level(0);
    match files.create_append(&leaves) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(OpenError::io("make", leaves)(error));
        }
        _ => {}
    }
    files
        .replace(&path, signing.to_private_string().as_bytes(), true)
        .map_err(OpenError::io("write", &path))?;
    let manifest = Manifest::new(origin, options.clock.now(), signing.verifying_key());
    let text = manifest.to_toml();
    files
        .replace(&folder.trail_toml(), text.as_bytes(), false)
        .map_err(OpenError::io("write", folder.trail_toml()))?;
    sign_empty(folder, files, &manifest, &signing)?;
    Ok((manifest, signing))
}

/// `trailseal.local/` and the first 16 hex digits of the public key's SHA-256.
fn default_origin(seed: &[u8; 32]) -> String {
    let public = SigningKey::from_seed("trailseal.local", seed).verifying_key();
    let digest = sha2::Sha256::digest(public.as_bytes());
    let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("trailseal.local/{digits}")
}

fn sign_empty(
    folder: &Folder,
    files: &dyn Files,
    manifest: &Manifest,
    key: &SigningKey,
) -> Result<(), OpenError> {
    let note = Checkpoint::new(manifest.origin.clone(), 0, empty_root()).sign(key);
    let path = folder.checkpoint();
    files.replace(&path, note.as_bytes(), false).map_err(OpenError::io("write", &path))
}

fn existing(
    folder: &Folder,
    files: &dyn Files,
    options: &Options,
    manifest: Manifest,
) -> Result<(Manifest, SigningKey), OpenError> {
    if let Some(origin) = &options.origin
        && origin != manifest.origin.as_str()
    {
        return Err(OpenError::Origin(format!(
            "{} is the trail {}, not {origin}: an origin never changes; choose another folder, or leave the origin out",
            folder.root().display(),
            manifest.origin.as_str(),
        )));
    }
    let path = key_file(folder, options.key_file.as_deref());
    finish_rotation(files, &path, &manifest)?;
    let missing = || OpenError::Key {
        path: path.clone(),
        what: "is missing: put it back, or set key_file to where it is".into(),
    };
    let signing = read_signing_key(files, &path)?.ok_or_else(missing)?;
    if manifest.current_key() != Some(&signing.verifying_key()) {
        let what = "is not the key that signs this trail: set key_file to the right one".into();
        return Err(OpenError::Key { path, what });
    }
    let checkpoint = files.read(&folder.checkpoint(), SMALL_FILE_BYTES_MAX);
    let is_missing = checkpoint.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let segments = folder.segments().map_err(OpenError::io("list", folder.segments_folder()))?;
    if is_missing && segments.is_empty() {
        // The making of this trail was interrupted just before its first checkpoint.
        sign_empty(folder, files, &manifest, &signing)?;
    }
    Ok((manifest, signing))
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

/// The seed of a key that an interrupted making of this trail left, or that the operator put there.
fn read_key(files: &dyn Files, path: &Path) -> Result<Option<[u8; 32]>, OpenError> {
    Ok(read_signing_key(files, path)?.map(|key| key.seed()))
}

fn newest_checkpoint(
    folder: &Folder,
    files: &dyn Files,
    manifest: &Manifest,
) -> Result<Checkpoint, OpenError> {
    let path = folder.checkpoint();
    let bytes = match files.read(&path, SMALL_FILE_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(&path, "it is missing beside segments"));
        }
        other => other.map_err(OpenError::io("read", &path))?,
    };
    let text = String::from_utf8_lossy(&bytes);
    match Checkpoint::open(&text, &manifest.origin, &manifest.public_keys()) {
        Ok((checkpoint, _)) => Ok(checkpoint),
        Err(error) => Err(damaged(&path, error)),
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
    let keys = Arc::new(Mutex::new(SealKeys { signing, manifest }));
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
    Trail::started(shared, keys, handoff_file, running, &recovered.found)
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
