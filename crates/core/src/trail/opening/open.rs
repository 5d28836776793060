//! From a folder to a running trail: lock, manifest, key, recovery, handoff, threads.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use trailseal_event::mask::{MaskKey, Masker};
use trailseal_event::{Object, fork};
use trailseal_tlog::{Checkpoint, SigningKey, empty_root};

use super::circumstances::{Circumstances, circumstances};
use super::handoffs::{
    HandoffPlaces, handoff_candidates, handoff_places, make_handoff, read_handoffs, remove_old,
};
use super::making::{check_may_make, make, note_made};
use super::network::network_file_system;
use super::options::Options;
use super::recover::{Found, Recovered, recover};
use super::trusted::{Trusted, trusted};
use super::witness::{check_anchors, witnesses};
use crate::causes::with_causes;
use crate::counters::Counters;
use crate::deadline;
use crate::folder::Folder;
use crate::gate::Gate;
use crate::handoff::{Drain, Full, Handoff, Owner};
use crate::histogram::CountedCommits;
use crate::lock::{self, Attempt, Lock};
use crate::log_state::Log;
use crate::manifest::Manifest;
use crate::notice::Notice;
use crate::personal::KeysFound;
use crate::progress::Progress;
use crate::retire::finish;
use crate::seal::{Anchors, Compressor, SealKeys, SealedTo, Sealer};
use crate::trail::counts::Counts;
use crate::trail::erase::EraseError;
use crate::trail::error::OpenError;
use crate::trail::keys::personal_keys::{load_keys, sync_keys, told_of_keys};
use crate::trail::keys::secrets::{
    SecretError, load_mask_key, load_or_make_mask_key, load_or_make_sampler, take_over_mask_key,
};
use crate::trail::keys::signing_key::key_file;
use crate::trail::open_trail::{Inner, Running, Trail};
use crate::trail::policy::current::Current;
use crate::trail::policy::in_force::InForce;
use crate::watch::Watch;
use crate::writer_thread::Writer;

const DISK_RESERVE_BYTES: u64 = 256 << 20;
/// How long `trail.opened` may take to become durable before an opening continues without it.
const OPENED_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an opening waits for the checkpoint that covers what a killed process has announced.
const SEALED_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything that an opening found or created, before threads are started.
struct Opened {
    folder: Folder,
    lock: Lock,
    manifest: Manifest,
    signing: SigningKey,
    in_force: InForce,
    /// Whether the folder keeps its policy.
    is_kept: bool,
    masker: Masker,
    recovered: Recovered,
    /// How many lines a killed process has announced as retired, by events that are still to be sealed.
    announced: u64,
}

impl Trail {
    /// Opens the trail in folder `dir` for writing; creates it if there is none.
    ///
    /// It first recovers what an earlier process had accepted. When it returns, `trail.opened` is on disk.
    ///
    /// # Errors
    /// When another process writes to it, when its events are not those that were signed, when the folder is damaged or
    /// on a network file system, or when the disk fails. A failed open loses nothing.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Trail, OpenError> {
        open(dir.as_ref(), options)
    }
}

fn open(dir: &Path, options: Options) -> Result<Trail, OpenError> {
    fork::watch();
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
            // Another process may have made the first slot meanwhile.
            check_may_make(&folder, &options)?;
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
            "{} is the trail {}, not {origin}: an origin never changes; choose another folder, or leave out the origin",
            folder.root().display(),
            manifest.origin.as_str(),
        )));
    }
    let key_path = key_file(&folder, options.key_file.as_deref());
    let trusted = trusted(&folder, &key_path, manifest)?;
    note_made(&**folder.files(), &key_path, trusted.manifest.origin.as_str())?;
    go_on(folder, lock, trusted, options)
}

/// Recovers what is in the folder, and starts.
fn go_on(folder: Folder, lock: Lock, trusted: Trusted, options: Options) -> Result<Trail, OpenError> {
    let files = options.files.clone();
    let Trusted { manifest, signing, newest, kept_ahead } = trusted;
    hold_guard(&lock, &folder)?;
    let places = handoff_places(&folder, &options, &lock, &manifest)?;
    let handoffs = read_handoffs(&*files, &places.own)?;
    let (ring, _) = manifest.key_ring();
    check_anchors(&options.anchors, &folder, &newest, &ring)?;
    // Whatever refuses comes before the folder is changed, but for secrets that are not there yet.
    let (in_force, is_kept) = in_force(&folder, &options)?;
    let masker = masker(&folder, &options)?;
    sync_keys(&folder, &options.personal)?;
    let witnesses = witnesses(&folder, options.witnesses.as_ref(), &newest, &handoffs);
    let mut recovered = recover(&folder, &files, &newest, &handoffs, &witnesses)?;
    if options.succeeds.is_some() && !recovered.found.is_new() {
        let what =
            "it already holds a trail: a trail that takes over from another must be new, in another folder";
        return Err(damaged(folder.root(), what));
    }
    recovered.found.handoff_missing = places.missing.clone();
    drop(handoffs);
    if let Some(note) = kept_ahead {
        let path = folder.checkpoint();
        files.replace(&path, note.as_bytes(), false).map_err(OpenError::io("write", path))?;
    }
    // Nothing else writes segments yet. If it fails, events are recorded all the same.
    let finished = finish(&folder, &ring, newest.size, recovered.next, &|rewrite| rewrite());
    let announced = finished.unwrap_or_else(|error| {
        options
            .on_notice
            .iter()
            .for_each(|tell| tell(&Notice::RetirementFailed { reason: with_causes(&error) }));
        None
    });
    let announced = announced.map_or(0, |finished| finished.unsealed);
    let opened = Opened { folder, lock, manifest, signing, in_force, is_kept, masker, recovered, announced };
    start(opened, options, &places)
}

fn refuse_network(dir: &Path, options: &Options) -> Result<(), OpenError> {
    if options.allow_network_file_system {
        return Ok(());
    }
    match network_file_system(dir) {
        Some(kind) => Err(OpenError::NetworkFileSystem { path: dir.to_owned(), kind }),
        None => Ok(()),
    }
}

fn take_lock(folder: &Folder) -> Result<Lock, OpenError> {
    let not_locked = |source: io::Error| {
        let path = folder.root().to_owned();
        match source.kind() {
            io::ErrorKind::NotADirectory | io::ErrorKind::NotFound => OpenError::NotAFolder { path, source },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                OpenError::NotWritable { path, source }
            }
            _ => OpenError::io("lock", folder.lock())(source),
        }
    };
    match lock::take(folder).map_err(not_locked)? {
        Attempt::Taken(lock) => Ok(lock),
        Attempt::HeldBy(holder) => Err(OpenError::Locked { path: folder.root().to_owned(), holder }),
    }
}

/// The second lock, on a file that nobody removes. Without that file the tree is missing, which is refused later.
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

fn start(opened: Opened, options: Options, places: &HandoffPlaces) -> Result<Trail, OpenError> {
    let Opened { folder, lock, manifest, signing, in_force, is_kept, masker, recovered, announced } = opened;
    let owner = Owner::of(folder.root(), manifest.origin.as_str());
    let recorded = recovered.recorded.unwrap_or_default();
    let (handoff, drain, handoff_file, in_memory) =
        make_handoff(&options, &places.new, &owner, recovered.next, recorded)?;
    remove_old(&places.own, handoff_file.as_deref(), &*options.files, &owner)?;
    lock.name_handoff(handoff_file.as_deref()).map_err(OpenError::io("write", folder.lock()))?;
    let policy = (&in_force.policy, is_kept);
    let circumstances = circumstances(&folder, policy, &recovered, options.clock.now());
    let (ring, _) = manifest.key_ring();
    let origin = manifest.origin.as_str();
    let now = options.clock.now();
    let keys = load_keys(&folder, &options, (origin, &ring), &in_force.policy, &recovered, now)?;
    let log = Arc::new(log(folder, &options, &manifest, handoff, &recovered));
    if let Some(reason) = in_memory {
        log.notice(&Notice::HandoffInMemory { reason });
    }
    if recovered.found.cut_bytes > 0 {
        log.notice(&Notice::TornLineSetAside { bytes: recovered.found.cut_bytes });
    }
    if let Some(path) = &recovered.found.handoff_missing {
        log.notice(&Notice::HandoffMissing { path: path.clone() });
    }
    let policy = Arc::new(Current::new(in_force));
    let mut inner = Inner {
        policy: policy.clone(),
        masker,
        strict: options.strict,
        room_wait: match options.handoff.full {
            Full::Block => options.handoff.timeout,
            Full::Refuse => Duration::ZERO,
        },
        counts: Arc::new(Counts::new(log.clone(), policy)),
        sealing: Arc::default(),
        key_file: key_file(&log.folder, options.key_file.as_deref()),
        keys: Arc::new(Mutex::new(SealKeys::new(signing, manifest))),
        rotating: Mutex::new(()),
        switching: Mutex::new(()),
        opened: OnceLock::new(),
        fork: fork::generation(),
        handoff_file,
        running: Mutex::default(),
        ids: Mutex::default(),
        found: recovered.found.clone(),
        deliveries: Mutex::default(),
        sinks: Mutex::default(),
        announced: Mutex::new(announced),
        retiring: Mutex::default(),
        personal_keys: options.personal.clone(),
        erasing: Mutex::default(),
        only_ones: Mutex::default(),
        log,
    };
    let keys = keys.map(|(keys, found)| {
        let told = (told_of_keys(&keys, &found), found);
        let _ = inner.log.personal.set(Arc::new(keys));
        told
    });
    let running = run(&inner, &options, recovered, drain, lock)?;
    inner.running = Mutex::new(Some(running));
    let trail = tell_opened(Trail { inner: Arc::new(inner) }, &options, &circumstances, keys)?;
    if announced > 0
        && let Err(error) = trail.finish_retirement(SEALED_TIMEOUT)
    {
        trail.inner.log.notice(&Notice::RetirementFailed { reason: with_causes(&error) });
    }
    Ok(trail)
}

/// What the threads share with callers.
fn log(
    folder: Folder,
    options: &Options,
    manifest: &Manifest,
    handoff: Handoff,
    recovered: &Recovered,
) -> Log {
    Log {
        folder,
        origin: manifest.origin.clone(),
        clock: options.clock.clone(),
        on_notice: options.on_notice.clone(),
        roll: options.segment.roll,
        linger: options.linger,
        seal_every: options.seal_every,
        one_shot: options.one_shot,
        personal: OnceLock::new(),
        handoff,
        room_wait: options.handoff.timeout,
        progress: Progress::new(recovered.next, recovered.edge.size()),
        write_failure: Mutex::default(),
        counters: Counters::default(),
        commits: CountedCommits::default(),
        gate: Gate::default(),
        segments: Mutex::new(recovered.segments.clone()),
        rewriting: Mutex::default(),
        retirements: 0.into(),
        segments_begun: 0.into(),
        disk_low: false.into(),
        writer_may_end: false.into(),
        sealer_may_end: false.into(),
        seal_wanted: 0.into(),
        writer: OnceLock::new(),
        sealer: OnceLock::new(),
        store: Mutex::default(),
    }
}

/// Starts the threads.
fn run(
    inner: &Inner,
    options: &Options,
    recovered: Recovered,
    drain: Drain,
    lock: Lock,
) -> Result<Running, OpenError> {
    let log = &inner.log;
    let reserve_bytes = reserve_bytes(&log.folder, options)?;
    let anchors =
        Anchors::start(options.anchors.clone(), log.folder.files().clone(), options.on_notice.clone())
            .map_err(thread_failed(log))?;
    let lock = Arc::new(lock);
    let watch = Watch::new(log.clone(), lock.clone(), inner.handoff_file.clone());
    let writer = Writer::new(log.clone(), drain, recovered.segment, recovered.next, reserve_bytes, watch);
    // A command may be over before the writer looks for the first time.
    writer.check_reserve();
    let counts = inner.counts.clone();
    let sealer = Sealer::new(
        log.clone(),
        inner.keys.clone(),
        inner.sealing.clone(),
        SealedTo { edge: recovered.edge, place: recovered.place },
        anchors,
        lock.clone(),
        Box::new(move || counts.record()),
    );
    let (held, ended) = (lock.clone(), log.clone());
    let write = move || {
        let _held = held;
        writer.run();
        // Everything is durable, also when nobody waits for the close any more.
        ended.sealer_may_end.store(true, Ordering::Release);
        ended.wake_sealer();
    };
    let held = lock.clone();
    let seal = move || {
        let _held = held;
        sealer.run()
    };
    let writer = spawn("trailseal-writer", write).map_err(thread_failed(log))?;
    let sealer = spawn("trailseal-sealer", seal).map_err(thread_failed(log))?;
    let _ = log.writer.set(writer.thread().clone());
    let _ = log.sealer.set(sealer.thread().clone());
    let compressor = match options.segment.compress {
        true => Some(Compressor::start(log.clone(), lock.clone()).map_err(thread_failed(log))?),
        false => None,
    };
    Ok(Running { writer, sealer, compressor, lock })
}

/// Records in the trail that it was opened, and tells an operator what differs.
fn tell_opened(
    trail: Trail,
    options: &Options,
    circumstances: &Circumstances,
    keys: Option<(Object, KeysFound)>,
) -> Result<Trail, OpenError> {
    let (log, found) = (&trail.inner.log, &trail.inner.found);
    let failed = |what: String| OpenError::Damaged { path: log.folder.root().to_owned(), what };
    if let Some(succeeded) = options.succeeds.as_ref().filter(|_| found.is_new()) {
        trail
            .record_system("trail.succeeded", succeeded.to_details())
            .map_err(|error| failed(format!("the event trail.succeeded was refused: {error}")))?;
    }
    let mut details = found.to_details();
    circumstances.add_to(&mut details);
    if let Some((told, _)) = &keys {
        details.insert("personal", told.clone());
    }
    let index = trail
        .record_system("trail.opened", details)
        .map_err(|error| failed(format!("the event trail.opened was refused: {error}")))?;
    let _ = trail.inner.opened.set(index);
    log.wake_writer();
    if log.progress.wait_durable(index, deadline::after(OPENED_TIMEOUT)) {
        // If that fails, the next opening says that it does not know about this one.
        let _ = log.folder.note_opened(index);
    }
    let first_slot = options.first_slot.as_deref();
    let taken_over = first_slot.map_or(Ok(()), |first| trail.take_over_holds(first));
    if let Err(error) = taken_over.and_then(|()| trail.tell_holds()) {
        log.notice(&Notice::RetirementFailed { reason: with_causes(&error) });
    }
    if let Err(error) = finish_erasure(&trail) {
        log.notice(&Notice::ErasureFailed { reason: with_causes(&error) });
    }
    if let Some((_, KeysFound { trouble: Some(what), .. })) = keys
        && let Some(keys) = log.personal.get()
    {
        log.notice(&Notice::PersonalKeysDiffer { path: keys.path().to_owned(), what });
    }
    if !circumstances.differs.is_empty() {
        log.notice(&Notice::OpenedElsewhere { differs: circumstances.differs.clone() });
    }
    if circumstances.is_last_unknown {
        log.notice(&Notice::LastOpeningUnknown);
    }
    if let Some(seconds) = circumstances.ahead_seconds {
        log.notice(&Notice::ClockBehind { seconds });
    }
    Ok(trail)
}

/// Ends an erasure that a killed process has begun.
fn finish_erasure(trail: &Trail) -> Result<(), EraseError> {
    trail.inner.log.personal.get().map_or(Ok(()), |_| trail.finish_erasure().map(|_| ()))
}

/// The masker of the options, with the key that the folder keeps. It is created at once, since no event can wait for
/// it.
fn masker(folder: &Folder, options: &Options) -> Result<Masker, OpenError> {
    let mut mask = options.mask.clone();
    // Personal values are hashed with it, too.
    if mask.key.is_none() {
        mask.key = Some(mask_key(folder, options)?);
    }
    Ok(Masker::new(&mask)?)
}

/// How long a slot waits for the first one, which is being opened at the same time, to have a masking key.
const FIRST_KEY_WAIT: Duration = Duration::from_secs(2);

/// The masking key. Slots share that of the first, so that equal values stay equal among them.
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
            // If one is never created, that is no reason not to record.
            None if begun.elapsed() >= FIRST_KEY_WAIT => return load_or_make_mask_key(folder),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// The policy that the folder keeps, or else that of the options; and whether the folder keeps it.
fn in_force(folder: &Folder, options: &Options) -> Result<(InForce, bool), OpenError> {
    let kept = folder
        .kept_policy()
        .map_err(|error| OpenError::Policy { path: folder.kept_policy_file(), what: with_causes(&error) })?;
    let sampler = load_or_make_sampler(folder)?;
    let is_kept = kept.is_some();
    let policy = kept.unwrap_or_else(|| options.policy.clone());
    Ok((InForce::new(policy, Arc::new(sampler)), is_kept))
}

fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<std::thread::JoinHandle<T>> {
    std::thread::Builder::new().name(name.into()).spawn(run)
}

fn thread_failed(log: &Log) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let path = log.folder.root().to_owned();
    OpenError::io("start a thread for", path)
}

/// At least the handoff's size, since its content must always fit.
fn reserve_bytes(folder: &Folder, options: &Options) -> Result<u64, OpenError> {
    let (_, total) =
        options.files.free_bytes(folder.root()).map_err(OpenError::io("look at", folder.root()))?;
    let wanted = options.disk_reserve_bytes.unwrap_or_else(|| DISK_RESERVE_BYTES.min(total / 20));
    Ok(wanted.max(options.handoff.size_bytes.min(total / 20)))
}

impl Found {
    /// As the details of the event `trail.opened`.
    pub(in crate::trail) fn to_details(&self) -> Object {
        let mut details = Object::default();
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
