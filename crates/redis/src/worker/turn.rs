//! What a worker does for one origin before it turns to the next.

use trailseal_core::deliver::{Batch, BatchLine, MustEnd, SealedCheckpoint, Sink, SinkError};
use trailseal_core::with_causes;
use trailseal_tlog::{Checkpoint, Hash, SignedNote, leaf_hash};

use super::lease::Lease;
use crate::bounded;
use crate::connection::{Redis, RedisError};
use crate::entry::{self, Entry, Read};
use crate::keys::{Keys, ORIGINS};
use crate::report::{FAILING, Fields, Report, STOPPED, STOPPED_AT};

/// A batch has so many events at most. What is longer than a line is not read, so this bounds the memory as well.
const BATCH_EVENTS_MAX: usize = 500;
/// After so many batches other origins have their turn.
const BATCHES_MAX: usize = 32;
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
const REPORT: &str = "local before = redis.call('HGET', KEYS[2], 'next') \
    redis.call('DEL', KEYS[2]) redis.call('HSET', KEYS[2], unpack(ARGV, 3)) \
    redis.call('XTRIM', KEYS[3], 'MINID', '=', ARGV[2]) \
    if redis.call('XLEN', KEYS[3]) == 0 then redis.call('DEL', KEYS[4]) \
    elseif before ~= redis.call('HGET', KEYS[2], 'next') then \
    redis.call('SET', KEYS[4], redis.call('TIME')[1]) end";

/// Drops checkpoints that do not wait any more.
const DROP: &str = "for place = 2, #ARGV do redis.call('HDEL', KEYS[2], ARGV[place]) end";

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
        let turned = match self.work(&lease) {
            Ok(true) => Turned::Moved,
            Ok(false) => Turned::Nothing,
            // Somebody has put something else there; other origins can be used.
            Err(Ended::Redis(error)) if error.is_of_a_key() => {
                let reason = with_causes(&error);
                // It may be the report itself that cannot be used; then whoever reads it sees that.
                let _ = self.report_trouble(&lease, &[(FAILING, reason.clone())]);
                Turned::Failed(reason)
            }
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
    fn work(&mut self, lease: &Lease) -> Result<bool, Ended> {
        let position = self.store.position()?;
        let before = self.reported_before()?;
        // The largest checkpoint is known, unless this store was moved by somebody else.
        let newest_checkpoint = match before.position == Some(position) {
            true => before.newest_checkpoint,
            false => self.store.checkpoints()?.unwrap_or_default().newest,
        };
        let (mut at, mut leaf) = (position.cursor, position.last_leaf);
        let mut report = Report { position: Some(position), newest_checkpoint, ..Report::default() };
        self.report(lease, &report)?;
        let mut has_moved = false;
        for _ in 0..BATCHES_MAX {
            let entries = self.read(at.get(), leaf)?;
            if entries.is_empty() || self.must_end.is_set() {
                break;
            }
            let lines: Vec<BatchLine<'_>> = entries.iter().map(Entry::as_batch_line).collect();
            let batch = Batch { first: at, lines: &lines };
            self.store.deliver(&batch)?;
            (at, leaf) = (batch.end(), lines.last().map(|line| leaf_hash(line.bytes)));
            report.position = Some(trailseal_core::deliver::Position { cursor: at, last_leaf: leaf });
            self.report(lease, &report)?;
            has_moved = true;
        }
        has_moved |= self.keep_checkpoints(lease, at.get(), &mut report, has_moved)?;
        let keys = [&*self.keys.lines, &*self.keys.checkpoints, ORIGINS];
        let origin = [self.origin.into()];
        held(lease.if_held(self.redis, "note that an origin is done at", DONE, &keys, &origin)?)?;
        Ok(has_moved)
    }

    fn reported_before(&mut self) -> Result<Report, RedisError> {
        let mut asked = redis::pipe();
        Report::ask_fields(&mut asked, &self.keys);
        let (fields,): (Fields,) = self.redis.ask("read the report at", &asked)?;
        Ok(Report::of(&fields, b"", (0, 0)))
    }

    /// The entries from here on, as far as they follow each other without a gap. `leaf` is that of the line before.
    fn read(&mut self, cursor: u64, leaf: Option<Hash>) -> Result<Vec<Entry>, Ended> {
        let mut asked = redis::pipe();
        let from = entry::id(cursor);
        bounded::entries(&mut asked, "XRANGE", &self.keys.lines, [&from, "+"], BATCH_EVENTS_MAX);
        let (read,): (Vec<Read>,) = self.redis.ask("read events at", &asked)?;
        let (mut entries, mut next, mut leaf) = (Vec::new(), cursor, leaf);
        for read in read {
            let Some(entry) = read.0 else { return Err(Ended::Foreign) };
            if entry.from > next && !cfg!(trailseal_fault = "stream_gap_passed_over") {
                if entries.is_empty() {
                    return Err(Ended::Gap(next));
                }
                break;
            }
            // Two trails of one origin write into one stream.
            let is_other = entry.after.zip(leaf).is_some_and(|(after, leaf)| after != leaf);
            if is_other && !cfg!(trailseal_fault = "stream_of_two_trails_stored") {
                return Err(Ended::Foreign);
            }
            (next, leaf) = (entry.index + 1, Some(leaf_hash(&entry.line)));
            entries.push(entry);
        }
        Ok(entries)
    }

    fn report(&mut self, lease: &Lease, report: &Report) -> Result<(), Ended> {
        let next = report.position.map_or(0, |position| position.cursor.get());
        let mut arguments = vec![entry::id(next).into_bytes()];
        arguments.extend(report.to_fields());
        let keys = [&*self.keys.stored, &*self.keys.lines, &*self.keys.since];
        held(lease.if_held(self.redis, "report at", REPORT, &keys, &arguments)?)
    }

    /// Adds to the report what is wrong.
    fn report_trouble(&mut self, lease: &Lease, fields: &[(&str, String)]) -> Result<(), RedisError> {
        let arguments: Vec<Vec<u8>> =
            fields.iter().flat_map(|(name, value)| [(*name).into(), value.clone().into()]).collect();
        let script = "redis.call('HSET', KEYS[2], unpack(ARGV, 2))";
        lease.if_held(self.redis, "report at", script, &[&*self.keys.stored], &arguments).map(drop)
    }

    /// Passes on the checkpoints whose events are stored. Returns whether there were any.
    fn keep_checkpoints(
        &mut self,
        lease: &Lease,
        cursor: u64,
        report: &mut Report,
        has_moved: bool,
    ) -> Result<bool, Ended> {
        let mut asked = redis::pipe();
        bounded::checkpoints(&mut asked, &self.keys.checkpoints, CHECKPOINTS_MAX);
        let (waiting,): (Fields,) = self.redis.ask("read checkpoints at", &asked)?;
        let (mut due, mut dropped, mut is_early) = (Vec::new(), Vec::new(), false);
        for (field, note) in waiting {
            match self.checkpoint(&field, &note) {
                Some((size, ..)) if size > cursor => is_early = true,
                Some(checkpoint) => due.push((checkpoint, field)),
                // It is none of this trail.
                None => dropped.push(field),
            }
        }
        due.sort_unstable_by_key(|((size, ..), _)| *size);
        let has_any = !due.is_empty();
        for ((size, root, note), field) in due {
            self.store.keep_checkpoint(&SealedCheckpoint { size, root, note: &note })?;
            if report.newest_checkpoint.is_none_or(|(newest, _)| newest <= size) {
                report.newest_checkpoint = Some((size, root));
            }
            dropped.push(field);
        }
        if has_any {
            self.report(lease, report)?;
        }
        if !dropped.is_empty() {
            let keys = [&*self.keys.checkpoints];
            held(lease.if_held(self.redis, "drop checkpoints at", DROP, &keys, &dropped)?)?;
        }
        // Its events were in the stream before it.
        if is_early && !has_moved && !has_any {
            return Err(Ended::Gap(cursor));
        }
        Ok(has_any)
    }

    /// Size, root hash and note of a checkpoint of this trail. Who signed it, `verify` asks.
    fn checkpoint(&self, size: &[u8], note: &[u8]) -> Option<(u64, Hash, String)> {
        let size = std::str::from_utf8(size).ok()?.parse().ok()?;
        let note = std::str::from_utf8(note).ok()?;
        let signed = SignedNote::parse(note).ok()?;
        let checkpoint = Checkpoint::parse(signed.text()).ok()?;
        let is_it = checkpoint.origin.as_str() == self.origin && checkpoint.size == size;
        is_it.then(|| (size, checkpoint.root, note.to_owned()))
    }
}

fn held(is_held: bool) -> Result<(), Ended> {
    if is_held { Ok(()) } else { Err(Ended::LeaseLost) }
}
