//! The sink of a trail: puts its lines into the stream of its origin, and learns from the workers' report what of them is stored.
//!
//! It begins where the store is, not where the stream ends: so the trail compares itself with the store each time. Lines that are in
//! the stream already are passed over, after a look at the last of each batch.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use redis::Pipeline;
use trailseal_core::deliver::{
    Batch, BatchLine, KeptCheckpoints, MustEnd, Position, SealedCheckpoint, Sink, SinkError, Stored,
};
use trailseal_event::Index;
use trailseal_tlog::{Hash, leaf_hash};

use crate::bounded;
use crate::connection::{Redis, RedisError};
use crate::entry::{self, Read};
use crate::keys::{Keys, ORIGINS};
use crate::report::{Fields, Report};
use crate::url::RedisUrl;

/// What the sink is called in messages and metrics, unless the settings give it another name.
pub const SINK_NAME: &str = "redis";

/// So much of a trail is in a stream at most, and a batch more; the rest waits in the trail until workers have stored that.
const EVENTS_AHEAD_MAX: u64 = 100_000;
const BYTES_AHEAD_MAX: u64 = 128 << 20;

/// A worker has so long to take a trail on that it does not know.
const REPORTED_WITHIN: Duration = Duration::from_secs(1);
/// If nothing of what is in the stream was stored for so many seconds, something is wrong.
pub const STORED_WITHIN_SECONDS: u64 = 30;
/// Between two looks at the report.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Workers are asked so often for a new report: the store may have been restored from a backup.
const REFRESH_EVERY: Duration = Duration::from_secs(15);

/// Adds lines: all, or those before the first that the stream refuses, as one that it has had.
const ADD: &str = "if redis.call('XLEN', KEYS[1]) == 0 then redis.call('SET', KEYS[3], redis.call('TIME')[1]) end \
    redis.call('SADD', KEYS[2], ARGV[1]) \
    local after = ARGV[2] \
    for place = 3, #ARGV, 3 do \
    local add = {'XADD', KEYS[1], ARGV[place]} \
    if after ~= '' then add[#add + 1] = 'after' add[#add + 1] = after after = '' end \
    if ARGV[place + 1] ~= '' then add[#add + 1] = 'from' add[#add + 1] = ARGV[place + 1] end \
    add[#add + 1] = 'line' add[#add + 1] = ARGV[place + 2] \
    redis.call(unpack(add)) end";

/// Delivers one trail to a stream.
pub struct RedisSink {
    name: String,
    origin: String,
    keys: Keys,
    redis: Redis,
    must_end: MustEnd,
    /// Whether the next position must be one that a worker reports from now on.
    needs_new_report: bool,
    /// The cursor that was last reported.
    cursor: u64,
    /// The last line that was in the stream at the connecting, as long as it has not been passed over.
    there: Option<u64>,
    /// The leaf hash of the line before the next batch.
    last_leaf: Option<Hash>,
    /// What is in the stream and not stored.
    sent: VecDeque<Sent>,
    /// Checkpoints up to this size were passed on before the connecting, or others that cover what they cover.
    kept_below: u64,
    refreshed: Instant,
}

struct Sent {
    index: u64,
    leaf: Hash,
    bytes: u64,
}

/// What is in a stream, and what workers report.
struct Seen {
    first: Option<Read>,
    last: Option<Read>,
    report: Report,
}

/// Something is not in the stream, or not reported, as it was.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(
        "no worker has reported how far the store is: start `trailseal worker`; until then events wait in the trail"
    )]
    NoReport,
    #[error("the workers cannot store events: {0}")]
    NeverStored(String),
    #[error("Redis has lost a part of the stream, or holds what this trail did not write: it is sent again")]
    Lost,
    #[error("{events} events are in the stream, and for {seconds} s none was stored: {why}")]
    NotStored { events: u64, seconds: u64, why: String },
}

impl From<RedisError> for SinkError {
    fn from(error: RedisError) -> Self {
        SinkError::Store(Box::new(error))
    }
}

impl From<Trouble> for SinkError {
    fn from(trouble: Trouble) -> Self {
        SinkError::Store(Box::new(trouble))
    }
}

impl RedisSink {
    /// Delivers the trail `origin` to the server at `url`. It connects when it is first asked for its position.
    pub fn new(url: RedisUrl, origin: &str) -> RedisSink {
        RedisSink {
            name: SINK_NAME.to_owned(),
            origin: origin.to_owned(),
            keys: Keys::of(origin),
            redis: Redis::new(url),
            must_end: MustEnd::default(),
            needs_new_report: false,
            cursor: 0,
            there: None,
            last_leaf: None,
            sent: VecDeque::new(),
            kept_below: 0,
            refreshed: Instant::now(),
        }
    }

    /// Gives it another name.
    pub fn named(self, name: &str) -> RedisSink {
        RedisSink { name: name.to_owned(), ..self }
    }

    /// Has it begin with what a worker reports from now on, not with what one has reported before.
    pub fn with_new_report(self) -> RedisSink {
        RedisSink { needs_new_report: true, ..self }
    }

    /// The stream is asked for first: what it then lacks because it is stored, the report has.
    fn look(&mut self) -> Result<Seen, RedisError> {
        let mut asked = redis::pipe();
        bounded::entries(&mut asked, "XRANGE", &self.keys.lines, ["-", "+"], 1);
        bounded::entries(&mut asked, "XREVRANGE", &self.keys.lines, ["+", "-"], 1);
        Report::ask(&mut asked, &self.keys);
        type Answer = (Vec<Read>, Vec<Read>, Vec<u8>, (u64, u64), Fields);
        let (mut first, mut last, since, now, fields): Answer =
            self.redis.ask("ask how far the store is at", &asked)?;
        Ok(Seen { first: first.pop(), last: last.pop(), report: Report::of(&fields, &since, now) })
    }

    /// Lets a worker look at this origin.
    fn announce(&mut self) -> Result<(), RedisError> {
        let mut asked = redis::pipe();
        asked.cmd("SADD").arg(ORIGINS).arg(&self.origin).ignore();
        self.refreshed = Instant::now();
        self.redis.ask("announce the trail at", &asked)
    }

    /// What workers report of this trail, for which one that does not know it yet gets a moment.
    fn reported(&mut self) -> Result<(Seen, Position), SinkError> {
        if std::mem::take(&mut self.needs_new_report) {
            let mut asked = redis::pipe();
            asked.cmd("DEL").arg(&self.keys.stored).ignore();
            self.redis.ask::<()>("ask for a new report at", &asked)?;
        }
        let end = Instant::now() + REPORTED_WITHIN;
        self.announce()?;
        loop {
            let seen = self.look()?;
            if let Some(position) = seen.report.position {
                return Ok((seen, position));
            }
            if Instant::now() >= end || self.must_end.is_set() {
                return Err(seen.report.failing.map_or(Trouble::NoReport, Trouble::NeverStored).into());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Goes on with the stream if it goes on from where the store is; otherwise removes it.
    fn take_up(&mut self, cursor: u64, seen: &Seen) -> Result<(), SinkError> {
        let index = |read: &Option<Read>| read.as_ref()?.0.as_ref().map(|entry| (entry.from, entry.index));
        match (index(&seen.first), index(&seen.last)) {
            // All of it is stored.
            (_, Some((_, last))) if last + 1 == cursor => Ok(()),
            (Some((from, _)), Some((_, last))) if from <= cursor && cursor <= last => {
                is_stored_in_time(last + 1 - cursor, &seen.report)?;
                self.there = Some(last);
                Ok(())
            }
            // Also an empty one remembers its last id, and takes only larger ones.
            _ => Ok(self.remove()?),
        }
    }

    /// With the checkpoints that wait: they may be of a life of this trail that was rolled back. Those that are needed come again.
    fn remove(&mut self) -> Result<(), RedisError> {
        let mut asked = redis::pipe();
        asked.cmd("DEL").arg(&self.keys.lines).arg(&self.keys.checkpoints).ignore();
        self.redis.ask("remove the stream at", &asked)
    }

    /// How many lines of the batch are in the stream already.
    fn passed_over(&mut self, lines: &[BatchLine<'_>]) -> Result<usize, SinkError> {
        let Some(there) = self.there else { return Ok(0) };
        let count = lines.partition_point(|line| line.index.get() <= there);
        if count < lines.len() || lines.last().is_some_and(|line| line.index.get() == there) {
            self.there = None;
        }
        let Some(last) = count.checked_sub(1).and_then(|last| lines.get(last)) else { return Ok(0) };
        let mut asked: Pipeline = redis::pipe();
        let id = entry::id(last.index.get());
        bounded::entries(&mut asked, "XRANGE", &self.keys.lines, [&id, &id], 1);
        let (found,): (Vec<Read>,) = self.redis.ask("look into the stream at", &asked)?;
        let mut asked = redis::pipe();
        Report::ask_fields(&mut asked, &self.keys);
        let (fields,): (Fields,) = self.redis.ask("ask how far the store is at", &asked)?;
        let position = Report::of(&fields, b"", (0, 0)).position;
        let is_stored = position.is_some_and(|position| position.cursor > last.index);
        match found.first() {
            Some(Read(Some(found))) if found.line == last.bytes => Ok(count),
            // A worker was faster; its report is compared with what was sent.
            None if is_stored => Ok(count),
            _ => {
                self.remove()?;
                Err(Trouble::Lost.into())
            }
        }
    }

    fn add(&mut self, next: u64, lines: &[BatchLine<'_>]) -> Result<(), RedisError> {
        let mut asked = redis::pipe();
        let add = asked.cmd("EVAL").arg(ADD).arg(3).arg(&self.keys.lines).arg(ORIGINS).arg(&self.keys.since);
        add.arg(&self.origin).arg(self.last_leaf.as_ref().map_or(&[][..], |leaf| &leaf.0));
        let mut next = next;
        for line in lines {
            let index = line.index.get();
            let from = if index == next { String::new() } else { next.to_string() };
            add.arg(entry::id(index)).arg(from).arg(line.bytes);
            next = index + 1;
        }
        add.ignore();
        self.redis.ask("add events at", &asked)
    }

    /// Takes what is stored out of what was sent, and compares the last of it with the store's.
    fn compare(&mut self, position: Position) -> Result<(), SinkError> {
        let cursor = position.cursor.get();
        let mut last = None;
        while self.sent.front().is_some_and(|sent| sent.index < cursor) {
            last = self.sent.pop_front();
        }
        let Some(Sent { index, leaf, .. }) = last.filter(|last| last.index + 1 == cursor) else {
            return Ok(());
        };
        if position.last_leaf != Some(leaf) {
            let what = format!("event {index} in the store behind {} differs from the trail's", self.name);
            return Err(SinkError::Differs { at: Index::new(index), what });
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        let bytes: u64 = self.sent.iter().map(|sent| sent.bytes).sum();
        (self.sent.len() as u64) < EVENTS_AHEAD_MAX && bytes < BYTES_AHEAD_MAX
    }
}

/// Says if nothing has been stored for long of what is in the stream.
fn is_stored_in_time(events: u64, report: &Report) -> Result<(), Trouble> {
    let seconds = report.waits_seconds;
    if events == 0 || seconds < STORED_WITHIN_SECONDS {
        return Ok(());
    }
    let none = "no worker seems to run: start `trailseal worker`";
    let why = report.failing.clone().unwrap_or_else(|| none.to_owned());
    Err(Trouble::NotStored { events, seconds, why })
}

fn stopped(report: &Report) -> Result<(), SinkError> {
    match &report.stopped {
        Some((at, what)) => Err(SinkError::Differs { at: Index::new(*at), what: what.clone() }),
        None => Ok(()),
    }
}

impl Sink for RedisSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn begin(&mut self, must_end: &MustEnd) {
        self.must_end = must_end.clone();
    }

    fn position(&mut self) -> Result<Position, SinkError> {
        self.redis.disconnect();
        self.sent.clear();
        self.there = None;
        let (seen, position) = self.reported()?;
        stopped(&seen.report)?;
        self.take_up(position.cursor.get(), &seen)?;
        (self.cursor, self.last_leaf) = (position.cursor.get(), position.last_leaf);
        Ok(position)
    }

    fn deliver(&mut self, batch: &Batch<'_>) -> Result<(), SinkError> {
        let passed = self.passed_over(batch.lines)?;
        let (there, lacking) = batch.lines.split_at(passed);
        let next = there.last().map_or(batch.first.get(), |last| last.index.get() + 1);
        let sent = |line: &BatchLine<'_>| Sent {
            index: line.index.get(),
            leaf: leaf_hash(line.bytes),
            bytes: line.bytes.len() as u64,
        };
        self.sent.extend(there.iter().map(sent));
        self.last_leaf = self.sent.back().map(|sent| sent.leaf).or(self.last_leaf);
        if !lacking.is_empty() {
            self.add(next, lacking)?;
        }
        self.sent.extend(lacking.iter().map(sent));
        self.last_leaf = self.sent.back().map(|sent| sent.leaf).or(self.last_leaf);
        Ok(())
    }

    fn stored(&mut self, delivered: Index) -> Result<Stored, SinkError> {
        if cfg!(trailseal_fault = "stream_sent_is_stored") {
            return Ok(Stored { cursor: delivered, has_room: true });
        }
        let Seen { first, report, .. } = self.look()?;
        let position = report.position.ok_or(Trouble::Lost)?;
        stopped(&report)?;
        let cursor = position.cursor.get();
        if cursor < self.cursor {
            // The store was put back. What it lacks counts as not stored from now on, and the next look finds the stream without it.
            self.cursor = cursor;
            self.sent.clear();
            return Ok(Stored { cursor: position.cursor, has_room: false });
        }
        self.cursor = cursor;
        self.compare(position)?;
        let ahead = delivered.get().saturating_sub(cursor);
        // What is not stored must be there.
        let goes_on = first.is_some_and(|first| first.0.is_some_and(|first| first.from <= cursor));
        if ahead > 0 && !goes_on {
            return Err(Trouble::Lost.into());
        }
        is_stored_in_time(ahead, &report)?;
        Ok(Stored { cursor: position.cursor, has_room: self.has_room() })
    }

    fn checkpoints(&mut self) -> Result<Option<KeptCheckpoints>, SinkError> {
        let mut asked = redis::pipe();
        bounded::checkpoint_sizes(&mut asked, &self.keys.checkpoints);
        Report::ask(&mut asked, &self.keys);
        let (waiting, since, now, fields): (Vec<Vec<u8>>, Vec<u8>, (u64, u64), Fields) =
            self.redis.ask("ask for the checkpoints at", &asked)?;
        let size = |size: &Vec<u8>| std::str::from_utf8(size).ok()?.parse().ok();
        let newest = Report::of(&fields, &since, now).newest_checkpoint;
        let mut sizes: Vec<u64> = waiting.iter().filter_map(size).collect();
        sizes.extend(newest.map(|(size, _)| size));
        self.kept_below = sizes.iter().copied().max().unwrap_or(0);
        Ok(Some(KeptCheckpoints { sizes, newest }))
    }

    fn keep_checkpoint(&mut self, checkpoint: &SealedCheckpoint<'_>) -> Result<(), SinkError> {
        if checkpoint.size <= self.kept_below {
            return Ok(());
        }
        let mut asked = redis::pipe();
        asked.cmd("HSET").arg(&self.keys.checkpoints).arg(checkpoint.size).arg(checkpoint.note).ignore();
        asked.cmd("SADD").arg(ORIGINS).arg(&self.origin).ignore();
        Ok(self.redis.ask("add a checkpoint at", &asked)?)
    }

    fn idle(&mut self) -> Result<(), SinkError> {
        if self.refreshed.elapsed() < REFRESH_EVERY {
            return Ok(());
        }
        let before = self.cursor;
        let position = self.look()?.report.position.ok_or(Trouble::Lost)?;
        self.announce()?;
        match position.cursor.get() < before {
            true => Err(Trouble::Lost.into()),
            false => Ok(()),
        }
    }
}
