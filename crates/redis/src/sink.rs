//! The sink of a trail: puts its lines into the stream of its origin, and learns from the workers' report what of them is stored.
//!
//! It begins where the store is, not where the stream ends: so the trail compares itself with the store each time. Lines that are in
//! the stream already are passed over, if the last of them is the trail's own.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use trailseal_core::deliver::{
    Batch, BatchLine, KeptCheckpoints, MustEnd, Position, SealedCheckpoint, Sink, SinkError, Stored,
};
use trailseal_event::Index;
use trailseal_tlog::{Hash, leaf_hash};

use crate::connection::{Redis, RedisError, together};
use crate::entry::{self, FROM, LINE, Read};
use crate::keys::{Keys, ORIGINS};
use crate::report::Report;
use crate::url::RedisUrl;

/// What the sink is called in messages and metrics, unless the settings give it another name.
pub const SINK_NAME: &str = "redis";

/// So much of a trail is in a stream at most; the rest waits in the trail until workers have stored that.
const EVENTS_AHEAD_MAX: u64 = 100_000;
const BYTES_AHEAD_MAX: u64 = 128 << 20;

/// A worker has so long to take a trail on that it does not know.
const REPORTED_WITHIN: Duration = Duration::from_secs(1);
/// If nothing of what is in the stream was stored for so long, that is said.
const STORED_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at the report.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Delivers one trail to a stream.
pub struct RedisSink {
    name: String,
    origin: String,
    keys: Keys,
    redis: Redis,
    must_end: MustEnd,
    /// The last line that was in the stream when it was last asked for.
    last_there: Option<(u64, Hash)>,
    /// Where the batches end that were put into the stream since, and how many bytes each has.
    sent: VecDeque<(u64, u64)>,
    /// How far the store was when that last changed, or when there was nothing to store.
    last_stored: (u64, Instant),
}

/// What is in a stream, and what workers report.
struct Seen {
    report: Option<Report>,
    first: Option<Read>,
}

/// Something is not in the stream, or not reported, as it was.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(
        "no worker has reported how far the store is: start `trailseal worker`; until then events wait in the trail"
    )]
    NoReport,
    #[error("Redis has lost a part of the stream, or holds what this trail did not write: it is sent again")]
    Lost,
    #[error("{} events are in the stream, and none was stored for {} s: {why}", .events, .since.as_secs())]
    NotStored { events: u64, since: Duration, why: String },
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
            last_there: None,
            sent: VecDeque::new(),
            last_stored: (0, Instant::now()),
        }
    }

    /// Gives it another name.
    pub fn named(self, name: &str) -> RedisSink {
        RedisSink { name: name.to_owned(), ..self }
    }

    fn look(&mut self) -> Result<Seen, RedisError> {
        let mut asked = together();
        asked.cmd("HGETALL").arg(&self.keys.stored);
        asked.cmd("XRANGE").arg(&self.keys.lines).arg("-").arg("+").arg("COUNT").arg(1);
        let (fields, mut entries): (HashMap<String, Vec<u8>>, Vec<Read>) =
            self.redis.ask("ask how far the store is at", &asked)?;
        Ok(Seen { report: Report::of(&fields), first: entries.pop() })
    }

    /// What workers report of this trail, for which one that does not know it yet gets a moment.
    fn reported(&mut self) -> Result<Seen, SinkError> {
        let end = Instant::now() + REPORTED_WITHIN;
        loop {
            let seen = self.look()?;
            if seen.report.is_some() {
                return Ok(seen);
            }
            let mut asked = together();
            asked.cmd("SADD").arg(ORIGINS).arg(&self.origin).ignore();
            self.redis.ask::<()>("announce the trail at", &asked)?;
            if Instant::now() >= end || self.must_end.is_set() {
                return Err(Trouble::NoReport.into());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The last line in the stream, if the stream goes on from where the store is. Otherwise the stream is removed.
    fn last_there(&mut self, cursor: u64, first: Option<&Read>) -> Result<Option<(u64, Hash)>, RedisError> {
        let mut asked = together();
        asked.cmd("XREVRANGE").arg(&self.keys.lines).arg("+").arg("-").arg("COUNT").arg(1);
        let (mut entries,): (Vec<Read>,) = self.redis.ask("look into the stream at", &asked)?;
        let first = first.and_then(|read| read.0.as_ref());
        if let (Some(first), Some(Read(Some(last)))) = (first, entries.pop())
            && first.from <= cursor
            && cursor <= last.index + 1
        {
            return Ok(Some((last.index, leaf_hash(&last.line))));
        }
        // Also an empty one remembers its last id, and takes only larger ones.
        self.remove()?;
        Ok(None)
    }

    fn remove(&mut self) -> Result<(), RedisError> {
        let mut asked = together();
        asked.cmd("DEL").arg(&self.keys.lines).ignore();
        self.redis.ask("remove the stream at", &asked)
    }

    /// The lines that are not in the stream yet.
    fn lacking<'a>(&mut self, batch: &'a Batch<'a>) -> Result<&'a [BatchLine<'a>], SinkError> {
        let Some((last, leaf)) = self.last_there else { return Ok(batch.lines) };
        let there = batch.lines.partition_point(|line| line.index.get() <= last);
        let (there, lacking) = batch.lines.split_at(there);
        if let Some(line) = there.last().filter(|line| line.index.get() == last) {
            self.last_there = None;
            if leaf_hash(line.bytes) != leaf {
                self.remove()?;
                return Err(Trouble::Lost.into());
            }
        } else if !lacking.is_empty() {
            // The trail has no such line.
            self.remove()?;
            return Err(Trouble::Lost.into());
        }
        Ok(lacking)
    }

    fn has_room(&self, ahead: u64) -> bool {
        let bytes: u64 = self.sent.iter().map(|(_, bytes)| bytes).sum();
        ahead < EVENTS_AHEAD_MAX && bytes < BYTES_AHEAD_MAX
    }

    /// Says if nothing has been stored for long of what is in the stream.
    fn is_stored_in_time(&mut self, stored: u64, delivered: u64, report: &Report) -> Result<(), Trouble> {
        if stored >= delivered || stored != self.last_stored.0 {
            self.last_stored = (stored, Instant::now());
        }
        let (events, since) = (delivered.saturating_sub(stored), self.last_stored.1.elapsed());
        if events == 0 || since < STORED_WITHIN {
            return Ok(());
        }
        let none = "no worker seems to run: start `trailseal worker`";
        let why = report.failing.clone().unwrap_or_else(|| none.to_owned());
        Err(Trouble::NotStored { events, since, why })
    }
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
        let Seen { report, first } = self.reported()?;
        let report = report.ok_or(Trouble::NoReport)?;
        stopped(&report)?;
        self.last_there = self.last_there(report.position.cursor.get(), first.as_ref())?;
        Ok(report.position)
    }

    fn deliver(&mut self, batch: &Batch<'_>) -> Result<(), SinkError> {
        let lines = self.lacking(batch)?;
        let mut asked = together();
        asked.cmd("SADD").arg(ORIGINS).arg(&self.origin).ignore();
        let mut next = match lines.first() {
            Some(first) if lines.len() < batch.lines.len() => first.index,
            _ => batch.first,
        };
        let mut bytes = 0;
        for line in lines {
            let add = asked.cmd("XADD").arg(&self.keys.lines).arg(entry::id(line.index.get()));
            if line.index != next {
                add.arg(FROM).arg(next.get());
            }
            add.arg(LINE).arg(line.bytes).ignore();
            next = Index::new(line.index.get() + 1);
            bytes += line.bytes.len() as u64;
        }
        self.redis.ask::<()>("add events at", &asked)?;
        self.sent.push_back((batch.end().get(), bytes));
        Ok(())
    }

    fn stored(&mut self, delivered: Index) -> Result<Stored, SinkError> {
        let Seen { report, first } = self.look()?;
        let report = report.ok_or(Trouble::Lost)?;
        stopped(&report)?;
        let stored = report.position.cursor.get();
        let ahead = delivered.get().saturating_sub(stored);
        // What is not stored must be there, and nothing else.
        let goes_on = match first {
            Some(Read(Some(first))) => first.from <= stored,
            Some(Read(None)) => false,
            None => ahead == 0,
        };
        if !goes_on && !cfg!(trailseal_fault = "stream_loss_not_seen") {
            return Err(Trouble::Lost.into());
        }
        while self.sent.front().is_some_and(|(end, _)| *end <= stored) {
            self.sent.pop_front();
        }
        self.is_stored_in_time(stored, delivered.get(), &report)?;
        let cursor = match cfg!(trailseal_fault = "stream_sent_is_stored") {
            true => delivered,
            false => report.position.cursor,
        };
        Ok(Stored { cursor, has_room: self.has_room(ahead) })
    }

    fn checkpoints(&mut self) -> Result<Option<KeptCheckpoints>, SinkError> {
        let mut asked = together();
        asked.cmd("SMEMBERS").arg(&self.keys.kept);
        asked.cmd("HGETALL").arg(&self.keys.stored);
        let (sizes, fields): (Vec<u64>, HashMap<String, Vec<u8>>) =
            self.redis.ask("ask for the checkpoints at", &asked)?;
        let newest = Report::of(&fields).and_then(|report| report.newest_checkpoint);
        Ok(Some(KeptCheckpoints { sizes, newest }))
    }

    fn keep_checkpoint(&mut self, checkpoint: &SealedCheckpoint<'_>) -> Result<(), SinkError> {
        let mut asked = together();
        asked.cmd("SADD").arg(ORIGINS).arg(&self.origin).ignore();
        asked.cmd("HSET").arg(&self.keys.checkpoints).arg(checkpoint.size).arg(checkpoint.note).ignore();
        Ok(self.redis.ask("add a checkpoint at", &asked)?)
    }
}
