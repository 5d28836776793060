//! What an operator should know of.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Called with each notice.
pub type OnNotice = Arc<dyn Fn(&Notice) + Send + Sync>;

/// Something that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A write or sync of a segment failed; what is accepted is kept and retried in a new segment.
    SegmentFailed {
        /// The system's error.
        reason: String,
    },
    /// Writing and syncing a group of lines took over a second; callers that waited for the disk waited as long.
    SlowWrite {
        /// How long it took.
        took: Duration,
    },
    /// Lines are being written again after a failure.
    SegmentRecovered,
    /// Somebody deleted, replaced or truncated the segment's file; a new one was started.
    SegmentReplaced {
        /// Index of the first line of the lost file.
        first: u64,
    },
    /// Less space than the disk reserve is free: new events are refused.
    DiskReserveReached {
        /// Free bytes.
        free_bytes: u64,
    },
    /// There is enough space again.
    DiskReserveLeft,
    /// Sealing failed and is retried.
    SealFailed {
        /// What failed.
        reason: String,
    },
    /// Everything that was to be sealed is sealed.
    SealRecovered,
    /// A closed segment could not be compressed; it stays uncompressed.
    CompressFailed {
        /// What failed.
        reason: String,
    },
    /// A retirement that had begun could not be finished or undone; the next one tries again.
    RetirementFailed {
        /// What failed.
        reason: String,
    },
    /// A person's key could not be kept, so personal values are masked.
    PersonalKeyNotKept {
        /// What failed.
        reason: String,
    },
    /// Keys of people could not be synced: nothing that names them becomes durable until they are.
    PersonalKeysFailed {
        /// What failed.
        reason: String,
    },
    /// Keys of people are being synced again.
    PersonalKeysRecovered,
    /// The key file is not the one that the trail knows: it was lost, damaged or replaced, or is older.
    PersonalKeysDiffer {
        /// The file.
        path: PathBuf,
        /// `lost`, `damaged`, `another`, `older`, or, while it was in use, `overwritten`.
        what: &'static str,
    },
    /// The key file was removed while the trail was in use, and was written again.
    PersonalKeysRemade {
        /// The file.
        path: PathBuf,
    },
    /// Another file was put in the place of the key file while the trail was in use. The key file was written again.
    PersonalKeysReplaced {
        /// The file.
        path: PathBuf,
        /// Where the other one is now.
        aside: PathBuf,
    },
    /// The key file was removed or replaced while the trail was in use, and could not be written again.
    PersonalKeysMissing {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// An erasure that had begun could not be finished or undone; the next one or the next opening tries again.
    ErasureFailed {
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
    /// A sink accepts events again.
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
    /// Events of an outbox cannot be taken over now; they wait there.
    OutboxFailed {
        /// What failed.
        reason: String,
    },
    /// Events of the outbox are taken over again.
    OutboxRecovered,
    /// An event in an outbox cannot be recorded, and was put aside there.
    OutboxRefused {
        /// Its id there.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The index does not look up the ids of older events: they are read from the trail, and held in memory.
    IdsInMemory {
        /// Why.
        reason: String,
    },
    /// The lock file was removed or replaced while the trail was in use; it was recreated and is held.
    LockPutBack {
        /// The file.
        path: PathBuf,
    },
    /// The lock file was removed or replaced, and cannot be recreated. The trail is still held, by its second lock.
    LockMissing {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The handoff was removed, replaced or truncated while in use. It was recreated, and what the old one held is on
    /// disk.
    HandoffRemade {
        /// The file.
        path: PathBuf,
    },
    /// The handoff was removed, replaced or truncated while in use, and cannot be recreated: until it is, a killed
    /// process loses what is not yet written.
    HandoffLost {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file of the tree was removed, replaced or truncated while the trail was in use; all of them were rebuilt from
    /// the lines, which give the same tree.
    TreeRemade {
        /// The file.
        path: PathBuf,
    },
    /// The trail's folder was moved or removed while in use: new events are refused.
    FolderMoved {
        /// Where it was.
        path: PathBuf,
    },
    /// The trail's folder is back: new events are accepted again.
    FolderBack {
        /// Where it is.
        path: PathBuf,
    },
    /// The file system gives files other inode numbers on each look: a replaced file goes unnoticed; only a removed or
    /// truncated one is noticed.
    InodeNumbersChange {
        /// The trail's folder.
        path: PathBuf,
    },
    /// The handoff that the last writer named is missing: what was accepted and in no segment is lost.
    HandoffMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A line torn by a stop was set aside: it was never known to be durable.
    TornLineSetAside {
        /// How many bytes.
        bytes: u64,
    },
    /// Nothing tells with which host, folder or policy the trail was opened last, so it is not known whether they differ.
    LastOpeningUnknown,
    /// The circumstances differ from those of the last opening.
    OpenedElsewhere {
        /// What differs: `host`, `folder`, `policy`.
        differs: Vec<&'static str>,
    },
    /// A slot is gone, although later ones are there: it is passed over.
    SlotMissing {
        /// Its folder.
        path: PathBuf,
    },
    /// The last line was recorded more than a day after now; new ones get its time until the clock has caught up.
    ClockBehind {
        /// How many seconds.
        seconds: i64,
    },
    /// The handoff could not be mapped from a file: a killed process would lose what is not yet written.
    HandoffInMemory {
        /// The system's error.
        reason: String,
    },
}

impl std::fmt::Display for Notice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Notice::SegmentFailed { reason } => {
                write!(
                    formatter,
                    "a write to a segment failed ({reason}); what was accepted is kept and retried in a new one"
                )
            }
            // Whole seconds, so that a repeated notice has the same text.
            Notice::SlowWrite { took } => {
                write!(formatter, "a write to a segment took over {} s: the disk is slow", took.as_secs())
            }
            Notice::SegmentRecovered => formatter.write_str("segments can be written again"),
            Notice::SegmentReplaced { first } => {
                write!(
                    formatter,
                    "the segment that begins with event {first} was deleted, replaced or truncated; a new one was \
                     started, and \
                     `trailseal verify` says what is missing"
                )
            }
            Notice::DiskReserveReached { free_bytes } => {
                write!(
                    formatter,
                    "only {} KiB are free: new events are refused until there is more space",
                    free_bytes >> 10
                )
            }
            Notice::DiskReserveLeft => {
                formatter.write_str("there is enough space again: new events are accepted")
            }
            Notice::SealFailed { reason } => write!(formatter, "sealing failed and is retried: {reason}"),
            Notice::SealRecovered => formatter.write_str("events are being sealed again"),
            Notice::CompressFailed { reason } => {
                write!(formatter, "a closed segment could not be compressed and stays uncompressed: {reason}")
            }
            Notice::RetirementFailed { reason } => write!(
                formatter,
                "a retirement that had begun is not finished, and will be by the next one or the next opening: {reason}"
            ),
            Notice::PersonalKeyNotKept { reason } => write!(
                formatter,
                "a person's key could not be kept ({reason}): personal values are masked until it can"
            ),
            Notice::PersonalKeysFailed { reason } => write!(
                formatter,
                "the keys of people could not be synced ({reason}): nothing becomes durable until they are"
            ),
            Notice::PersonalKeysRecovered => formatter.write_str("the keys of people are synced again"),
            Notice::PersonalKeysDiffer { path, what } => {
                let more = match *what {
                    "lost" => "is missing; a new one was made, and what the old one sealed is unreadable: put that back",
                    "damaged" => "is damaged and was put aside; a new one was made, and what it sealed is unreadable",
                    "another" => "is another one than the trail used last: what that one sealed is unreadable",
                    "overwritten" => {
                        "was written over while in use: what the keys sealed that it has no more is unreadable"
                    }
                    _ => "is older than the trail: what was sealed since then is unreadable",
                };
                write!(formatter, "the file of personal keys {} {more}", path.display())
            }
            Notice::PersonalKeysRemade { path } => write!(
                formatter,
                "the file of personal keys {} was removed while in use; it was written again",
                path.display()
            ),
            Notice::PersonalKeysReplaced { path, aside } => write!(
                formatter,
                "the file of personal keys {} was replaced while in use; it was written again, and the other one is {}: to \
                 put one back, close the trail first",
                path.display(),
                aside.display()
            ),
            Notice::PersonalKeysMissing { path, reason } => write!(
                formatter,
                "the file of personal keys {} was removed or replaced while in use and cannot be written again ({reason}): \
                 no event of a new person becomes durable until it can",
                path.display()
            ),
            Notice::ErasureFailed { reason } => write!(
                formatter,
                "an erasure that had begun is not finished, and will be by the next one or the next opening: {reason}"
            ),
            Notice::AnchorFailed { reason } => {
                write!(formatter, "a checkpoint did not reach an anchor: {reason}")
            }
            Notice::DeliveryFailed { sink, reason } => {
                write!(formatter, "delivery to {sink} failed and is retried: {reason}")
            }
            Notice::DeliveryRecovered { sink } => write!(formatter, "{sink} accepts events again"),
            Notice::DeliveryStopped { sink, at, reason } => write!(
                formatter,
                "delivery to {sink} stopped at event {at}: {reason}; run `trailseal doctor`"
            ),
            Notice::OutboxFailed { reason } => {
                write!(formatter, "the outbox failed, and its events wait there: {reason}")
            }
            Notice::OutboxRecovered => formatter.write_str("events of the outbox are taken over again"),
            Notice::OutboxRefused { id, reason } => write!(
                formatter,
                "event {id} of the outbox cannot be recorded ({reason}); it is kept in trailseal_outbox.refused: put right what \
                 is wrong, then `trailseal redeliver`"
            ),
            Notice::IdsInMemory { reason } => write!(
                formatter,
                "the index is not used for id look-ups ({reason}): all ids are held in memory until the next opening; \
                 run \
                 `trailseal reindex` while nothing writes"
            ),
            Notice::LockPutBack { path } => write!(
                formatter,
                "{} was removed or replaced while this process is writing, and was recreated: stop a writer instead \
                 of removing its lock",
                path.display()
            ),
            Notice::LockMissing { path, reason } => {
                write!(
                    formatter,
                    "{} was removed or replaced, and cannot be recreated ({reason}); the trail is still locked",
                    path.display()
                )
            }
            Notice::HandoffRemade { path } => write!(
                formatter,
                "the handoff {} was removed, replaced or truncated while in use; it was recreated",
                path.display()
            ),
            Notice::HandoffLost { path, reason } => write!(
                formatter,
                "the handoff {} was removed, replaced or truncated while in use, and cannot be recreated ({reason}): \
                 until it is, a killed process loses what is not yet written",
                path.display()
            ),
            Notice::TreeRemade { path } => write!(
                formatter,
                "{} was removed, replaced or truncated while in use; the tree was rebuilt from the lines",
                path.display()
            ),
            Notice::FolderMoved { path } => write!(
                formatter,
                "the trail's folder {} was moved or removed while in use: new events are refused until it is \
                 back",
                path.display()
            ),
            Notice::FolderBack { path } => {
                write!(formatter, "the trail's folder {} is back: new events are accepted", path.display())
            }
            Notice::InodeNumbersChange { path } => write!(
                formatter,
                "inode numbers do not hold on the file system of {}: a file replaced under the writer goes unnoticed",
                path.display()
            ),
            Notice::HandoffMissing { path } => write!(
                formatter,
                "{}, the handoff that the last writer named, is not there: what was accepted but not yet written is \
                 lost",
                path.display()
            ),
            Notice::TornLineSetAside { bytes } => write!(
                formatter,
                "{bytes} bytes after the last whole line were set aside in segments/: a stop tore them, and they were \
                 never acknowledged as durable"
            ),
            Notice::LastOpeningUnknown => formatter.write_str(
                "nothing tells with which host, folder or policy this trail was opened last, so what differs is not \
                 known: look at the policy in force",
            ),
            Notice::OpenedElsewhere { differs } => write!(
                formatter,
                "different from the last opening: {}; if you did not move the trail or change the policy, find out \
                 who did",
                differs.join(", ")
            ),
            Notice::SlotMissing { path } => write!(
                formatter,
                "{} is gone, although later slots are there, and stays empty: put its folder back if you have it; \
                 `trailseal verify` names it",
                path.display()
            ),
            Notice::ClockBehind { seconds } => write!(
                formatter,
                "the trail's last event was recorded {} hours in the future: the clock is or was wrong; new events \
                 get that time until the clock has caught up",
                seconds / 3_600
            ),
            Notice::HandoffInMemory { reason } => write!(
                formatter,
                "the handoff is in plain memory ({reason}): a killed process loses what is not yet written"
            ),
        }
    }
}
