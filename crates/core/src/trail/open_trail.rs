//! An open trail: its handle, and what its callers share.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use trailseal_event::mask::{Masker, TenantError};
use trailseal_event::{Index, fork};

use super::counts::Counts;
use super::error::RecordError;
use crate::deliver::Delivery;
use crate::folder::Folder;
use crate::lock::Lock;
use crate::log_state::Log;
use crate::personal::PersonalKeysOptions;
use crate::seal::{Anchors, Compressor, SealKeys, Sealing};
use crate::trail::opening::recover::Found;
use crate::trail::policy::current::Current;
use crate::trail::reading::reader::{ReadError, Reader};
use crate::trail::recording::ids::Ids;

/// One writer's ordered, sealed record on disk: a folder. Cheap to clone; every clone is the same trail.
///
/// ```
/// use trailseal_core::{Ack, Options, Trail};
/// use trailseal_event::Event;
/// # let folder = tempfile::tempdir()?;
/// # let dir = folder.path();
/// let trail = Trail::open(dir, Options::default())?;
/// let receipt = trail.with(Ack::Durable).record(&Event::new("invoice.approve"))?;
/// assert_eq!(receipt.index.map(|index| index.get()), Some(1)); // index 0 is the trail's own `trail.opened`
/// trail.close(std::time::Duration::from_secs(10))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Close it with [`close`](Trail::close). Dropping the last clone closes it too, as a safety net; what a
/// process that is killed had accepted is in the handoff, and recovered at the next opening.
#[derive(Clone)]
pub struct Trail {
    pub(super) inner: Arc<Inner>,
}

/// What all clones of a handle share.
pub(super) struct Inner {
    pub(super) log: Arc<Log>,
    /// Replaced as a whole while the trail runs; read by every `record`.
    pub(super) policy: Arc<Current>,
    /// Created at the opening, and never changed.
    pub(super) masker: Masker,
    /// Whether events from JSON are read strictly.
    pub(super) strict: bool,
    /// How long a full buffer is waited for.
    pub(super) room_wait: Duration,
    pub(super) counts: Arc<Counts>,
    pub(super) sealing: Arc<Sealing>,
    pub(super) keys: Arc<Mutex<SealKeys>>,
    pub(super) key_file: PathBuf,
    /// Held while a key is rotated.
    pub(super) rotating: Mutex<()>,
    /// Held while a policy is put in force, so that events and policies have one order.
    pub(super) switching: Mutex<()>,
    /// The index of this opening's `trail.opened`.
    pub(super) opened: OnceLock<u64>,
    /// The fork generation of this handle; a forked child has another.
    pub(super) fork: u32,
    pub(super) handoff_file: Option<PathBuf>,
    /// Taken by the first `close`.
    pub(super) running: Mutex<Option<Running>>,
    /// Ids that were given, for events that are recorded once; read when first needed.
    pub(super) ids: Mutex<Ids>,
    pub(super) found: Found,
    pub(super) deliveries: Mutex<Vec<Delivery>>,
    /// Held while the file of known sinks is changed.
    pub(super) sinks: Mutex<()>,
    /// How many events a retirement has announced and not removed yet. Held while holds change, and while it announces.
    pub(super) announced: Mutex<u64>,
    /// Held by the one retirement that runs.
    pub(super) retiring: Mutex<()>,
    /// Where the keys of people are, or will be.
    pub(super) personal_keys: PersonalKeysOptions,
    /// Held by the one erasure that runs.
    pub(super) erasing: Mutex<()>,
    /// The names of what there is only one of.
    pub(super) only_ones: Mutex<BTreeSet<String>>,
}

/// The threads of a trail.
pub(super) struct Running {
    pub(super) writer: JoinHandle<()>,
    pub(super) sealer: JoinHandle<Anchors>,
    pub(super) compressor: Option<Compressor>,
    /// Held from open to close, and by each writing thread until it ends.
    pub(super) lock: Arc<Lock>,
}

impl Trail {
    /// The trail's name.
    pub fn origin(&self) -> &str {
        self.inner.log.origin.as_str()
    }

    /// Its folder.
    pub fn folder(&self) -> &Folder {
        &self.inner.log.folder
    }

    /// A view of what is on disk now.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn reader(&self) -> Result<Reader, ReadError> {
        Reader::open(self.folder().root(), self.folder().files().clone())
    }

    /// What this opening found.
    pub fn found(&self) -> &Found {
        &self.inner.found
    }

    /// Everything below is on disk, and may be shown. Cheaper than [`stats`](Trail::stats).
    pub fn durable(&self) -> Index {
        Index::new(self.inner.log.progress.durable())
    }

    /// Why no event would be accepted now; `None` if one would.
    pub fn why_shut(&self) -> Option<RecordError> {
        self.inner.log.gate.shut().map(|shut| RecordError::of_shut(shut, &self.inner.log))
    }

    /// Whether there is a store that [`Ack::Store`](crate::Ack::Store) waits for.
    pub fn has_store(&self) -> bool {
        self.inner.log.has_store()
    }

    /// How long to wait for a full buffer, according to the options.
    pub fn room_wait(&self) -> Duration {
        self.inner.room_wait
    }

    /// Whether events of this trail keep a tenant unchanged. Check this before giving somebody a tenant to read or
    /// write for.
    ///
    /// # Errors
    /// When it is too long, or certainly a secret.
    pub fn check_tenant(&self, tenant: &str) -> Result<(), TenantError> {
        self.inner.masker.check_tenant(tenant)
    }

    /// How a filter's value may be recorded: as events have it, so a value that masking hashes, or that is personal, is its
    /// hash. While anything is personal, so is what is searched for in texts.
    pub fn shown<'a>(&self, filter: &str, value: &'a str) -> Cow<'a, str> {
        let (policy, masker) = (self.inner.policy.load(), &self.inner.masker);
        match &policy.personal {
            None => masker.shown(filter, value),
            Some(_) if filter == "text" => Cow::Owned(masker.hash(value)),
            Some(personal) => masker.shown_if(filter, value, |path| personal.names(path)),
        }
    }
}

impl Inner {
    /// Whether this process is a forked child of the one that opened the trail. Check this before taking any lock: a
    /// thread of the parent may have held it at the fork, and in the child nobody releases it.
    pub(super) fn is_forked(&self) -> bool {
        self.fork != fork::generation() && !cfg!(trailseal_fault = "fork_not_noticed")
    }

    /// The folder's lock, which stays held until this goes, also if the trail is closed meanwhile. Whoever changes a file
    /// that no thread of the trail guards holds it: after the close another writer may have the folder.
    pub(super) fn hold_lock(&self) -> Result<Arc<Lock>, RecordError> {
        self.refuse_forked()?;
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map(|running| running.lock.clone()).ok_or(RecordError::Closed)
    }

    pub(super) fn refuse_forked(&self) -> Result<(), RecordError> {
        if self.is_forked() { Err(RecordError::Forked) } else { Ok(()) }
    }
}
