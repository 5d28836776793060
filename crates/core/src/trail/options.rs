//! How a trail is opened.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use trailseal_event::mask::MaskOptions;
use trailseal_event::policy::Policy;

use super::witness::FindWitnesses;
use crate::clock::{Clock, SystemClock};
use crate::file::{Files, StdFiles};

/// Called with each notice.
pub type OnNotice = Arc<dyn Fn(&Notice) + Send + Sync>;

/// How a trail is opened. `Options::default()` suits a long-running service.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// The trail's name, for example `example.com/billing/node-1`. Fixed when the trail is made;
    /// `None`: `trailseal.local/` and 16 hex digits of the public key's SHA-256.
    pub origin: Option<String>,
    /// Whether a trail is made where there is none. With `false` an empty folder is refused: a volume that is mounted
    /// late looks like one.
    pub create: bool,
    /// Where the signing key is kept, if not in the trail's folder.
    pub key_file: Option<PathBuf>,
    /// What happens to each event, unless the trail's folder keeps a policy that was set while it ran.
    pub policy: Policy,
    /// Whether events from JSON are read strictly: names that no event has and wrong JSON types refuse them, a value
    /// never does. Otherwise they are told of. See [`Event::from_json_told`](trailseal_event::Event::from_json_told).
    pub strict: bool,
    /// What is masked before anything is written.
    pub mask: MaskOptions,
    /// The buffer that `record` puts lines into.
    pub handoff: HandoffOptions,
    /// The files of lines.
    pub segment: SegmentOptions,
    /// How long events that nobody waits for may lie in the handoff before they are written, for company: at most 100 ms.
    /// It widens only what power loss may take of them.
    pub linger: Duration,
    /// How often a checkpoint is signed while there are events.
    pub seal_every: Duration,
    /// Free bytes that are left alone: below, new events are refused. `None`: 256 MiB, or 5 % of the file
    /// system if that is less.
    pub disk_reserve_bytes: Option<u64>,
    /// Open on a network file system although its locks and syncs cannot be relied on.
    pub allow_network_file_system: bool,
    /// A short-lived process: the handoff file is removed at a clean close.
    pub one_shot: bool,
    /// Places outside the trail that are given each new checkpoint.
    pub anchors: Vec<Anchor>,
    /// The trail that a new one takes over from: its first line says so.
    pub succeeds: Option<Succeeded>,
    /// Finds what else says how many events the trail had, before it is opened.
    pub witnesses: Option<FindWitnesses>,
    /// The first slot of a folder of slots, whose masking key the others take over.
    pub(super) first_slot: Option<PathBuf>,
    /// The file system; tests put a faulty one here.
    pub files: Arc<dyn Files>,
    /// The clock; tests stop it and turn it back.
    pub clock: Arc<dyn Clock>,
    /// Called with what an operator should know of. Called by the trail's own threads: it must return soon.
    pub on_notice: Option<OnNotice>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            origin: None,
            create: true,
            key_file: None,
            policy: Policy::default(),
            strict: false,
            mask: MaskOptions::default(),
            handoff: HandoffOptions::default(),
            segment: SegmentOptions::default(),
            linger: Duration::from_millis(5),
            seal_every: Duration::from_secs(1),
            disk_reserve_bytes: None,
            allow_network_file_system: false,
            one_shot: false,
            anchors: Vec::new(),
            succeeds: None,
            witnesses: None,
            first_slot: None,
            files: Arc::new(StdFiles),
            clock: Arc::new(SystemClock),
            on_notice: None,
        }
    }
}

/// The good end of a trail that cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succeeded {
    /// Its name.
    pub origin: String,
    /// How many events its newest good checkpoint covers, and the root hash in base64; `None` if none is good.
    pub good: Option<(u64, String)>,
    /// Why it cannot go on.
    pub reason: String,
}

impl Succeeded {
    pub(super) fn to_details(&self) -> trailseal_event::Object {
        let mut details = trailseal_event::Object::default();
        details.insert("origin", self.origin.as_str());
        if let Some((size, root)) = &self.good {
            details.insert("tree_size", *size);
            details.insert("root", root.as_str());
        }
        details.insert("reason", self.reason.as_str());
        details
    }
}

/// The handoff buffer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HandoffOptions {
    /// Where its file is, if not in the trail's folder. A tmpfs is fine: it guards against a killed process.
    pub place: HandoffPlace,
    /// Its size in bytes; rounded up to a multiple of 4,096, at least 1 MiB.
    ///
    /// What lies in it beyond 16 MiB is for a disk that stalls: while the disk takes lines and they come faster, callers
    /// that may wait are held back there, so that no event is far from being durable.
    pub size_bytes: u64,
    /// What happens when it is full.
    pub full: Full,
    /// How long [`Full::Block`] waits for room, or is held back.
    pub timeout: Duration,
}

impl Default for HandoffOptions {
    fn default() -> Self {
        HandoffOptions {
            place: HandoffPlace::InTrail,
            size_bytes: 64 << 20,
            full: Full::Block,
            timeout: Duration::from_millis(50),
        }
    }
}

/// Where the handoff buffer lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HandoffPlace {
    /// In the file `handoff` of the trail's folder.
    #[default]
    InTrail,
    /// In this file.
    File(PathBuf),
    /// In plain memory: a killed process loses what was not yet written.
    Memory,
}

/// What `record` does when the buffer is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Full {
    /// Waits for room, up to the deadline; then refuses.
    #[default]
    Block,
    /// Refuses at once.
    Refuse,
}

/// The files of lines.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SegmentOptions {
    /// When a new one is begun.
    pub roll: Roll,
    /// Whether closed ones are compressed.
    pub compress: bool,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        SegmentOptions { roll: Roll::Bytes(256 << 20), compress: false }
    }
}

/// When a new segment is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roll {
    /// Before it would exceed this many bytes.
    Bytes(u64),
    /// With the first line of another hour (UTC).
    Hour,
    /// With the first line of another day (UTC).
    Day,
    /// Never.
    Never,
}

/// A place outside the trail that keeps its checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Each new checkpoint is appended to this file.
    File(PathBuf),
    /// Each new checkpoint is given to this shell command on its standard input.
    Command(String),
}

/// Something that an operator should know of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A write or sync of a segment failed; what is accepted is kept and tried again in a new segment.
    SegmentFailed {
        /// What the system said.
        reason: String,
    },
    /// Writing and syncing a group of lines took over a second; whoever waits for the disk waited so long.
    SlowWrite {
        /// How long it took.
        took: Duration,
    },
    /// Lines are written again after a failure.
    SegmentRecovered,
    /// The segment's file was deleted, replaced or cut by somebody; a new one is begun.
    SegmentReplaced {
        /// Index of the first line of the lost file.
        first: u64,
    },
    /// Less than the disk reserve is free: new events are refused.
    DiskReserveReached {
        /// Free bytes.
        free_bytes: u64,
    },
    /// There is room again.
    DiskReserveLeft,
    /// Sealing failed and is tried again.
    SealFailed {
        /// What failed.
        reason: String,
    },
    /// Everything that was to be sealed is.
    SealRecovered,
    /// A closed segment could not be compressed; it stays as it is.
    CompressFailed {
        /// What failed.
        reason: String,
    },
    /// A checkpoint did not reach an anchor.
    AnchorFailed {
        /// What failed.
        reason: String,
    },
    /// A sink failed; what it did not take stays in the trail and is delivered later.
    DeliveryFailed {
        /// Its name.
        sink: String,
        /// What failed.
        reason: String,
    },
    /// A sink takes events again.
    DeliveryRecovered {
        /// Its name.
        sink: String,
    },
    /// A sink holds other events than the trail: nothing more is delivered to it.
    DeliveryStopped {
        /// Its name.
        sink: String,
        /// The first event in question.
        at: u64,
        /// What differs.
        reason: String,
    },
    /// The index does not answer for the ids of older events: they are read from the trail, and held in memory.
    IdsInMemory {
        /// Why.
        reason: String,
    },
    /// The lock file was removed or replaced while the trail was written; it is back, and held.
    LockPutBack {
        /// The file.
        path: PathBuf,
    },
    /// The lock file was removed or replaced, and cannot be put back. The trail is still held, by its second lock.
    LockMissing {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The handoff was removed, replaced or cut while it was in use. It was made anew, and what the old one held is on
    /// disk.
    HandoffRemade {
        /// The file.
        path: PathBuf,
    },
    /// The handoff was removed, replaced or cut while it was in use, and cannot be made anew: until it is, a killed
    /// process loses what is not yet written.
    HandoffLost {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file of the tree was removed, replaced or cut while the trail was written; all of them were made again from the
    /// lines, which give the same tree.
    TreeRemade {
        /// The file.
        path: PathBuf,
    },
    /// The trail's folder was moved or removed while it was written: new events are refused.
    FolderMoved {
        /// Where it was.
        path: PathBuf,
    },
    /// The trail's folder is where it was: new events are taken again.
    FolderBack {
        /// Where it is.
        path: PathBuf,
    },
    /// The file system gives files other inode numbers at each look: a file that is replaced while it is in use is not
    /// noticed, only one that is removed or cut.
    InodeNumbersChange {
        /// The trail's folder.
        path: PathBuf,
    },
    /// The handoff that the last writer named is not there: what was accepted and in no segment is lost.
    HandoffMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A line that a stop had torn was set aside: it was never known to be durable.
    TornLineSetAside {
        /// How many bytes.
        bytes: u64,
    },
    /// The trail was opened under other circumstances than the last time.
    OpenedElsewhere {
        /// What differs: `host`, `folder`, `policy`.
        differs: Vec<&'static str>,
    },
    /// The last line was recorded more than a day after now; new ones get its time until the clock has caught up.
    ClockBehind {
        /// How many seconds.
        seconds: i64,
    },
    /// The handoff could not be mapped from a file: a killed process would lose what is not yet written.
    HandoffInMemory {
        /// What the system said.
        reason: String,
    },
}

impl std::fmt::Display for Notice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Notice::SegmentFailed { reason } => {
                write!(
                    formatter,
                    "a write to a segment failed ({reason}); what was accepted is kept and tried again in a new one"
                )
            }
            // Whole seconds: what is told again and again should be told alike.
            Notice::SlowWrite { took } => {
                write!(formatter, "a write to a segment took over {} s: the disk is slow", took.as_secs())
            }
            Notice::SegmentRecovered => formatter.write_str("segments are written again"),
            Notice::SegmentReplaced { first } => {
                write!(
                    formatter,
                    "the segment that begins with event {first} was deleted, replaced or cut; a new one is begun, and \
                     `trailseal verify` says what is missing"
                )
            }
            Notice::DiskReserveReached { free_bytes } => {
                write!(
                    formatter,
                    "only {} MiB are free: new events are refused until there is room",
                    free_bytes >> 20
                )
            }
            Notice::DiskReserveLeft => formatter.write_str("there is room again: new events are taken"),
            Notice::SealFailed { reason } => write!(formatter, "sealing failed and is tried again: {reason}"),
            Notice::SealRecovered => formatter.write_str("events are sealed again"),
            Notice::CompressFailed { reason } => {
                write!(formatter, "a closed segment could not be compressed and stays as it is: {reason}")
            }
            Notice::AnchorFailed { reason } => {
                write!(formatter, "a checkpoint did not reach an anchor: {reason}")
            }
            Notice::DeliveryFailed { sink, reason } => {
                write!(formatter, "delivery to {sink} failed and is tried again: {reason}")
            }
            Notice::DeliveryRecovered { sink } => write!(formatter, "{sink} takes events again"),
            Notice::DeliveryStopped { sink, at, reason } => write!(
                formatter,
                "delivery to {sink} stopped at event {at}: {reason}; run `trailseal doctor`"
            ),
            Notice::IdsInMemory { reason } => write!(
                formatter,
                "the index is not asked for ids ({reason}): all are held in memory until the next opening; run \
                 `trailseal reindex` while nothing writes"
            ),
            Notice::LockPutBack { path } => write!(
                formatter,
                "{} was removed or replaced while this process writes, and is put back: stop a writer rather than \
                 remove its lock",
                path.display()
            ),
            Notice::LockMissing { path, reason } => {
                write!(
                    formatter,
                    "{} was removed or replaced, and cannot be put back ({reason}); the trail is still held",
                    path.display()
                )
            }
            Notice::HandoffRemade { path } => write!(
                formatter,
                "the handoff {} was removed, replaced or cut while it was in use; it was made anew",
                path.display()
            ),
            Notice::HandoffLost { path, reason } => write!(
                formatter,
                "the handoff {} was removed, replaced or cut while it was in use, and cannot be made anew ({reason}): \
                 until it is, a killed process loses what is not yet written",
                path.display()
            ),
            Notice::TreeRemade { path } => write!(
                formatter,
                "{} was removed, replaced or cut while it was written; the tree was made again from the lines",
                path.display()
            ),
            Notice::FolderMoved { path } => write!(
                formatter,
                "the trail's folder {} was moved or removed while it was written: new events are refused until it is \
                 back",
                path.display()
            ),
            Notice::FolderBack { path } => {
                write!(formatter, "the trail's folder {} is back: new events are taken", path.display())
            }
            Notice::InodeNumbersChange { path } => write!(
                formatter,
                "inode numbers do not hold on the file system of {}: a file that is replaced while it is written is \
                 not noticed",
                path.display()
            ),
            Notice::HandoffMissing { path } => write!(
                formatter,
                "{}, the handoff that the last writer named, is not there: what it had accepted and not yet written is \
                 lost",
                path.display()
            ),
            Notice::TornLineSetAside { bytes } => write!(
                formatter,
                "{bytes} bytes behind the last whole line were set aside in segments/: a stop tore them, and nobody was \
                 told that they are durable"
            ),
            Notice::OpenedElsewhere { differs } => write!(
                formatter,
                "other than at the last opening: {}; if you did not move the trail, or change the policy, find out who \
                 did",
                differs.join(", ")
            ),
            Notice::ClockBehind { seconds } => write!(
                formatter,
                "the trail's last event was recorded {} hours after now: the clock is wrong, or was; new events get that \
                 time until the clock has caught up",
                seconds / 3_600
            ),
            Notice::HandoffInMemory { reason } => write!(
                formatter,
                "the handoff is in plain memory ({reason}): a killed process loses what is not yet written"
            ),
        }
    }
}
