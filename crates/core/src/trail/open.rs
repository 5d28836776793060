//! From a folder to a running trail: lock, manifest, key, recovery, handoff, threads.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use trailseal_event::mask::{MaskKey, Masker};
use trailseal_tlog::{Checkpoint, SigningKey, empty_root};

use super::circumstances::circumstances;
use super::current::Current;
use super::error::OpenError;
use super::folder::Folder;
use super::in_force::InForce;
use super::lock::{self, Attempt, Lock};
use super::making::{check_may_make, make, note_made};
use super::manifest::Manifest;
use super::options::{HandoffPlace, Notice, Options};
use super::recover::{Found, Recovered, read_handoffs, recover};
use super::rotate::key_file;
use super::secrets::{
    SecretError, load_mask_key, load_or_make_mask_key, load_or_make_sampler, take_over_mask_key,
};
use super::shared::{Gate, Shared};
use super::trusted::{Trusted, trusted};
use super::witness::{check_anchors, witnesses};
use super::{Running, Trail};
use crate::anchor::Anchors;
use crate::commit::Writer;
use crate::counters::Counters;
use crate::file::Files;
use crate::handoff::{self, Drain, Handoff, HandoffHeader, Lies, Place};
use crate::histogram::CountedCommits;
use crate::progress::Progress;
use crate::seal::{SealKeys, Sealer};
use crate::segment::Compressor;
use crate::watch::Watch;

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
    trailseal_event::fork::watch();
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
            let candidates = handoff_candidates(&folder, &options, &lock)?;
            let (manifest, signing) = make(&folder, &options, &candidates)?;
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
    let key_path = key_file(&folder, options.key_file.as_deref());
    let trusted = trusted(&folder, &key_path, manifest)?;
    note_made(&**folder.files(), &key_path, trusted.manifest.origin.as_str())?;
    go_on(folder, lock, trusted, options)
}

/// Recovers what lies in the folder, and starts.
fn go_on(folder: Folder, lock: Lock, trusted: Trusted, options: Options) -> Result<Trail, OpenError> {
    let files = options.files.clone();
    let Trusted { manifest, signing, newest, kept_ahead } = trusted;
    hold_guard(&lock, &folder)?;
    let places = handoff_places(&folder, &options, &lock, &manifest)?;
    let handoffs = read_handoffs(&*files, &places.own)?;
    let (ring, _) = manifest.key_ring();
    check_anchors(&options, &folder, &newest, &ring)?;
    let witnesses = witnesses(&folder, &options, &newest, &handoffs);
    let mut recovered = recover(&folder, &files, &newest, &handoffs, &witnesses)?;
    if options.succeeds.is_some() && !recovered.found.is_new() {
        let what =
            "it holds a trail already: a trail that takes over from another is a new one, in another folder";
        return Err(damaged(folder.root(), what));
    }
    recovered.found.handoff_missing = places.missing.clone();
    drop(handoffs);
    if let Some(note) = kept_ahead {
        let path = folder.checkpoint();
        files.replace(&path, note.as_bytes(), false).map_err(OpenError::io("write", path))?;
    }
    start(Opened { folder, lock, manifest, signing, recovered }, options, &places)
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
    match lock::take(folder).map_err(OpenError::io("lock", folder.lock()))? {
        Attempt::Taken(lock) => Ok(lock),
        Attempt::HeldBy(holder) => Err(OpenError::Locked { path: folder.root().to_owned(), holder }),
    }
}

/// The second lock, on a file that nobody removes. Without it the tree is missing, which is refused later.
fn hold_guard(lock: &Lock, folder: &Folder) -> Result<(), OpenError> {
    let guard = folder.tree_level(0);
    match lock.hold_guard(&guard).map_err(OpenError::io("lock", &guard))? {
        Attempt::Taken(()) => Ok(()),
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

/// Where handoffs lie that an opening has to do with.
struct HandoffPlaces {
    /// Where this opening makes its own.
    new: PathBuf,
    /// Those that bear this trail's mark: replayed, then removed or replaced.
    own: Vec<PathBuf>,
    /// The one that the last holder named and needed, if it is not there.
    missing: Option<PathBuf>,
}

/// Where this opening makes its handoff; then where another one may lie: the one that the last holder named, and the
/// usual one.
fn handoff_candidates(folder: &Folder, options: &Options, lock: &Lock) -> Result<Vec<PathBuf>, OpenError> {
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

/// Looks at what lies in those places.
///
/// Only a handoff of this trail is ever taken for one: whatever else has such a name is left alone, and where it is in
/// the way it is refused.
fn handoff_places(
    folder: &Folder,
    options: &Options,
    lock: &Lock,
    manifest: &Manifest,
) -> Result<HandoffPlaces, OpenError> {
    let mark = HandoffHeader::trail_mark(manifest.origin.as_str());
    let mut own = handoff_candidates(folder, options, lock)?;
    let new = own[0].clone();
    match handoff::lies_at(&*options.files, &new, mark) {
        Lies::Nothing | Lies::Own => {}
        // Nothing is lost with it, and it has the name of our own file in our own folder: somebody emptied that.
        Lies::Empty if new == folder.handoff() => {
            fs::remove_file(&new).map_err(OpenError::io("remove", &new))?;
        }
        Lies::Empty | Lies::Foreign if options.handoff.place == HandoffPlace::Memory => {}
        Lies::Empty | Lies::Foreign => return Err(OpenError::ForeignHandoff { path: new }),
    }
    own.retain(|path| handoff::lies_at(&*options.files, path, mark) == Lies::Own);
    let previous = lock.previous();
    let missing = previous.handoff.filter(|named| !previous.closed && !own.contains(named));
    Ok(HandoffPlaces { new, own, missing })
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

/// Removes handoffs whose lines are durable in a segment by now: an old one must never be replayed again. The new one
/// may have two names.
fn remove_old(own: &[PathBuf], new: Option<&Path>, files: &dyn Files, mark: u64) -> Result<(), OpenError> {
    let generation = |path: &Path| handoff::handoff_header(files, path).map(|header| header.generation);
    let new = new.and_then(generation);
    for old in
        own.iter().filter(|old| handoff::lies_at(files, old, mark) == Lies::Own && generation(old) != new)
    {
        fs::remove_file(old).map_err(OpenError::io("remove", old))?;
    }
    Ok(())
}

fn start(opened: Opened, options: Options, places: &HandoffPlaces) -> Result<Trail, OpenError> {
    let Opened { folder, lock, manifest, signing, recovered } = opened;
    let trail = HandoffHeader::trail_mark(manifest.origin.as_str());
    let (handoff, drain, handoff_file, in_memory) = make_handoff(&options, &places.new, &recovered, trail)?;
    remove_old(&places.own, handoff_file.as_deref(), &*options.files, trail)?;
    lock.name_handoff(handoff_file.as_deref()).map_err(OpenError::io("write", folder.lock()))?;
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
        sealing: Default::default(),
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
    if recovered.found.cut_bytes > 0 {
        shared.notice(&Notice::TornLineSetAside { bytes: recovered.found.cut_bytes });
    }
    if let Some(path) = &recovered.found.handoff_missing {
        shared.notice(&Notice::HandoffMissing { path: path.clone() });
    }
    let keys = Arc::new(Mutex::new(SealKeys::new(signing, manifest)));
    let anchors = Anchors::start(shared.options.anchors.clone(), shared.options.on_notice.clone())
        .map_err(thread_failed(&shared))?;
    let lock = Arc::new(lock);
    let watch = Watch::new(shared.clone(), lock.clone(), handoff_file.clone());
    let writer = Writer::new(shared.clone(), drain, recovered.segment, recovered.next, reserve_bytes, watch);
    // A command may be over before the writer looks for the first time.
    writer.check_reserve();
    let sealer =
        Sealer::new(shared.clone(), keys.clone(), recovered.edge, recovered.place, anchors, lock.clone());
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

/// The masker of the options, with the key that the folder keeps. It is made at once, since no event can wait for it.
fn masker(folder: &Folder, options: &Options) -> Result<Masker, OpenError> {
    let mut mask = options.mask.clone();
    if mask.enabled && mask.key.is_none() {
        mask.key = Some(mask_key(folder, options)?);
    }
    Ok(Masker::new(&mask)?)
}

/// How long a slot waits for the first one, which is opened beside it, to have a masking key.
const FIRST_KEY_WAIT: Duration = Duration::from_secs(2);

/// The masking key. Slots share that of the first, so that what is equal stays equal among them.
fn mask_key(folder: &Folder, options: &Options) -> Result<MaskKey, SecretError> {
    let first = options.first_slot.as_ref().filter(|first| *first != folder.root());
    let Some(first) = first.filter(|_| !cfg!(trailseal_fault = "slots_hash_apart")) else {
        return load_or_make_mask_key(folder);
    };
    if let Some(own) = load_mask_key(folder)? {
        return Ok(own);
    }
    let first = Folder::new(first, options.files.clone());
    let begun = Instant::now();
    loop {
        match take_over_mask_key(folder, &first)? {
            Some(key) => return Ok(key),
            // One that is never made is no reason not to record.
            None if begun.elapsed() >= FIRST_KEY_WAIT => return load_or_make_mask_key(folder),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// The policy that the folder keeps, or else that of the options.
fn in_force(folder: &Folder, options: &Options) -> Result<InForce, OpenError> {
    let kept = folder.kept_policy().map_err(|error| damaged(&folder.kept_policy_file(), error))?;
    let sampler = load_or_make_sampler(folder).map_err(|error| match error {
        SecretError::Io { path, source, .. } => OpenError::Io { action: "read or make", path, source },
        SecretError::Unreadable { path, .. } => OpenError::Key { path, what: SECRET_UNREADABLE.into() },
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
    pub(super) fn to_details(&self) -> trailseal_event::Object {
        let mut details = trailseal_event::Object::default();
        details.insert("clean", self.is_clean());
        details.insert("unsealed_from", self.sealed);
        details.insert("unsealed_to", self.in_segments + self.from_handoff);
        details.insert("from_handoff", self.from_handoff);
        details.insert("cut_bytes", self.cut_bytes);
        if let Some(path) = &self.handoff_missing {
            details.insert("handoff_missing", path.display().to_string());
        }
        details
    }
}
