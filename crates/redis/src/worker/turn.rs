//! What a worker does for one origin before it turns to the next.

use trailseal_core::deliver::{Batch, BatchLine, MustEnd, SealedCheckpoint, Sink, SinkError};
use trailseal_tlog::{Checkpoint, Hash, SignedNote, leaf_hash};

use super::lease::Lease;
use crate::connection::{Redis, RedisError, together, with_causes};
use crate::entry::{self, Entry, Read};
use crate::keys::{Keys, ORIGINS};
use crate::report::{FAILING, Report, STOPPED, STOPPED_AT};

/// A batch has so many events at most. A line has 64 KiB at most, so this bounds the memory as well.
const BATCH_EVENTS_MAX: usize = 2_000;
/// After so many batches other origins have their turn.
const BATCHES_MAX: usize = 16;
/// So many checkpoints in a turn.
const CHECKPOINTS_MAX: usize = 256;

/// What came of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// Another worker has this origin.
    Others,
    /// Something was stored.
    Moved,
    /// There was nothing to store.
    Nothing,
    /// The stream held what no trail writes, and was removed.
    Foreign,
    /// The store failed.
    Failed(String),
    /// The store holds what the trail did not write.
    Stopped(String),
}

/// Reports how far the store is, and drops from the stream what it has: the report counts from then on.
const REPORT: &str = "redis.call('DEL', KEYS[2]) redis.call('HSET', KEYS[2], unpack(ARGV, 3)) \
    redis.call('XTRIM', KEYS[3], 'MINID', '=', ARGV[2])";

/// Notes which checkpoints the store keeps, and drops those that wait.
const KEPT: &str = "for place = 2, #ARGV do redis.call('SADD', KEYS[2], ARGV[place]) redis.call('HDEL', KEYS[3], ARGV[place]) end";

/// Nothing is left to do for the origin.
const DONE: &str = "if redis.call('XLEN', KEYS[2]) == 0 and redis.call('HLEN', KEYS[3]) == 0 then \
    redis.call('SREM', KEYS[4], ARGV[2]) end";

pub(super) struct Turn<'a> {
    redis: &'a mut Redis,
    store: &'a mut dyn Sink,
    origin: &'a str,
    keys: Keys,
    must_end: &'a MustEnd,
}

/// Why a turn ended.
enum Ended {
    Redis(RedisError),
    Sink(SinkError),
    /// Another worker has the lease by now.
    LeaseLost,
    Foreign,
    /// The stream lacks this event, which the store needs next. The trail sees that, and sends again.
    Gap(u64),
}

impl From<RedisError> for Ended {
    fn from(error: RedisError) -> Self {
        Ended::Redis(error)
    }
}

impl From<SinkError> for Ended {
    fn from(error: SinkError) -> Self {
        Ended::Sink(error)
    }
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        redis: &'a mut Redis,
        store: &'a mut dyn Sink,
        origin: &'a str,
        must_end: &'a MustEnd,
    ) -> Turn<'a> {
        Turn { redis, store, origin, keys: Keys::of(origin), must_end }
    }

    pub(super) fn run(mut self) -> Result<Turned, RedisError> {
        let Some(lease) = Lease::take(self.redis, &self.keys)? else { return Ok(Turned::Others) };
        let mut report = Report::default();
        let turned = match self.work(&lease, &mut report) {
            Ok(true) => Turned::Moved,
            Ok(false) => Turned::Nothing,
            Err(Ended::Redis(error)) => return Err(error),
            Err(Ended::LeaseLost) => return Ok(Turned::Others),
            Err(Ended::Foreign) => {
                let keys = [&*self.keys.lines];
                lease.if_held(self.redis, "remove a stream at", "redis.call('DEL', KEYS[2])", &keys, &[])?;
                Turned::Foreign
            }
            Err(Ended::Gap(index)) => {
                let reason = format!("event {index} is not in the stream: its trail sends it again");
                self.report_trouble(&lease, &[(FAILING, reason.clone())])?;
                Turned::Failed(reason)
            }
            // Somebody else has stored meanwhile; the next turn begins after that.
            Err(Ended::Sink(SinkError::Gap { .. })) => Turned::Moved,
            Err(Ended::Sink(SinkError::Differs { at, what })) => {
                self.report_trouble(&lease, &[(STOPPED_AT, at.get().to_string()), (STOPPED, what.clone())])?;
                Turned::Stopped(what)
            }
            Err(Ended::Sink(error)) => {
                let reason = with_causes(&error);
                self.report_trouble(&lease, &[(FAILING, reason.clone())])?;
                Turned::Failed(reason)
            }
        };
        lease.give_back(self.redis)?;
        Ok(turned)
    }

    /// Stores what there is, and returns whether that was something.
    fn work(&mut self, lease: &Lease, report: &mut Report) -> Result<bool, Ended> {
        report.position = self.store.position()?;
        let kept = self.store.checkpoints()?.unwrap_or_default();
        report.newest_checkpoint = kept.newest;
        self.report(lease, report)?;
        if !kept.sizes.is_empty() {
            self.note_kept(lease, &kept.sizes)?;
        }
        let mut has_moved = false;
        for _ in 0..BATCHES_MAX {
            let entries = self.read(report.position.cursor.get())?;
            if entries.is_empty() || self.must_end.is_set() {
                break;
            }
            self.store_batch(&entries, report)?;
            self.report(lease, report)?;
            has_moved = true;
        }
        has_moved |= self.keep_checkpoints(lease, report)?;
        let keys = [&*self.keys.lines, &*self.keys.checkpoints, ORIGINS];
        let origin = [self.origin.into()];
        held(lease.if_held(self.redis, "note that an origin is done at", DONE, &keys, &origin)?)?;
        Ok(has_moved)
    }

    /// The entries from here on, as far as they follow each other without a gap.
    fn read(&mut self, cursor: u64) -> Result<Vec<Entry>, Ended> {
        let mut asked = together();
        let from = entry::id(cursor);
        asked.cmd("XRANGE").arg(&self.keys.lines).arg(from).arg("+").arg("COUNT").arg(BATCH_EVENTS_MAX);
        let (read,): (Vec<Read>,) = self.redis.ask("read events at", &asked)?;
        let (mut entries, mut next) = (Vec::new(), cursor);
        for read in read {
            let Some(entry) = read.0 else {
                if cfg!(trailseal_fault = "stream_foreign_kept") {
                    break;
                }
                return Err(Ended::Foreign);
            };
            if entry.from > next && !cfg!(trailseal_fault = "stream_gap_passed_over") {
                if entries.is_empty() {
                    return Err(Ended::Gap(next));
                }
                break;
            }
            next = entry.index + 1;
            entries.push(entry);
        }
        Ok(entries)
    }

    fn store_batch(&mut self, entries: &[Entry], report: &mut Report) -> Result<(), SinkError> {
        let lines: Vec<BatchLine<'_>> = entries.iter().map(Entry::as_batch_line).collect();
        let batch = Batch { first: report.position.cursor, lines: &lines };
        self.store.deliver(&batch)?;
        report.position.cursor = batch.end();
        report.position.last_leaf = lines.last().map(|line| leaf_hash(line.bytes));
        Ok(())
    }

    fn report(&mut self, lease: &Lease, report: &Report) -> Result<(), Ended> {
        let mut arguments = vec![entry::id(report.position.cursor.get()).into_bytes()];
        arguments.extend(report.to_fields());
        let keys = [&*self.keys.stored, &*self.keys.lines];
        held(lease.if_held(self.redis, "report at", REPORT, &keys, &arguments)?)
    }

    /// Adds to the report what is wrong.
    fn report_trouble(&mut self, lease: &Lease, fields: &[(&str, String)]) -> Result<(), RedisError> {
        let arguments: Vec<Vec<u8>> =
            fields.iter().flat_map(|(name, value)| [(*name).into(), value.clone().into()]).collect();
        let script =
            "if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('HSET', KEYS[2], unpack(ARGV, 2)) end";
        lease.if_held(self.redis, "report at", script, &[&*self.keys.stored], &arguments).map(drop)
    }

    /// Passes on the checkpoints whose events are stored. Returns whether there were any.
    fn keep_checkpoints(&mut self, lease: &Lease, report: &mut Report) -> Result<bool, Ended> {
        let mut asked = together();
        asked.cmd("HGETALL").arg(&self.keys.checkpoints);
        let (mut waiting,): (Vec<(u64, String)>,) = self.redis.ask("read checkpoints at", &asked)?;
        waiting.retain(|(size, _)| *size <= report.position.cursor.get());
        waiting.sort_unstable();
        waiting.truncate(CHECKPOINTS_MAX);
        for (size, note) in &waiting {
            // What is none of this trail is dropped.
            let Some(root) = self.root_of(*size, note) else { continue };
            self.store.keep_checkpoint(&SealedCheckpoint { size: *size, root, note })?;
            if report.newest_checkpoint.is_none_or(|(newest, _)| newest <= *size) {
                report.newest_checkpoint = Some((*size, root));
            }
        }
        if waiting.is_empty() {
            return Ok(false);
        }
        self.report(lease, report)?;
        let sizes: Vec<u64> = waiting.iter().map(|(size, _)| *size).collect();
        self.note_kept(lease, &sizes)?;
        Ok(true)
    }

    /// The root hash of a checkpoint of this trail. Who signed it, `verify` asks.
    fn root_of(&self, size: u64, note: &str) -> Option<Hash> {
        let note = SignedNote::parse(note).ok()?;
        let checkpoint = Checkpoint::parse(note.text()).ok()?;
        let is_it = checkpoint.origin.as_str() == self.origin && checkpoint.size == size;
        is_it.then_some(checkpoint.root)
    }

    fn note_kept(&mut self, lease: &Lease, sizes: &[u64]) -> Result<(), Ended> {
        let keys = [&*self.keys.kept, &*self.keys.checkpoints];
        for sizes in sizes.chunks(CHECKPOINTS_MAX) {
            let sizes: Vec<Vec<u8>> = sizes.iter().map(|size| size.to_string().into()).collect();
            held(lease.if_held(self.redis, "note the checkpoints at", KEPT, &keys, &sizes)?)?;
        }
        Ok(())
    }
}

fn held(is_held: bool) -> Result<(), Ended> {
    if is_held { Ok(()) } else { Err(Ended::LeaseLost) }
}
