//! What a relay counts, and what lay in its outbox when it last looked.
//!
//! A look takes the relay's own connection, so it holds the relay up: by one row for the age every few seconds, and by a
//! count at most a twentieth of the time. One that fails decides nothing. The figures before it stay, and the age grows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};
use trailseal_core::{Notice, Trail, with_causes};

use crate::connect::Connection;
use crate::error::StoreError;

/// A relay looks this often, and with pauses of at least so many times what a look takes.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const PAUSE_PER_LOOK: u32 = 20;
/// Rows are counted up to here, so that a look is short however many there are.
const COUNTED_MAX: i64 = 1_000_000;
const WITHIN: Duration = Duration::from_secs(10);
/// Begins each question, which goes to the server in one message and so is a transaction of its own: it ends with its
/// answer, also if nobody waits for that any more.
const LIMITED: &str = "SET LOCAL statement_timeout = '3s'; ";

/// What a relay has done since it began, and what it last saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayStats {
    /// Events that are durable in the trail and gone from the outbox.
    pub taken_over: u64,
    /// Events that cannot be recorded, and are kept aside.
    pub refused: u64,
    /// How often it had to begin again, since the outbox or the trail could not be used.
    pub failures: u64,
    /// Why it takes nothing over at the moment.
    pub trouble: Option<String>,
    /// For how long.
    pub trouble_lasts: Duration,
    /// The age of the oldest event of the outbox, claimed or not. It grows until it is looked at again. `None` if it was never
    /// seen.
    pub oldest: Option<Duration>,
    /// What lay in the outbox when that was last counted; `None` if it never was.
    pub seen: Option<OutboxSeen>,
    /// Why the last look failed: then `oldest` or `seen` is what was known before.
    pub look_failed: Option<String>,
    /// For how long no look has succeeded.
    pub look_fails_for: Duration,
    /// How often it has found the outbox empty.
    pub emptied: u64,
    /// It has ended, since the trail is closed.
    pub has_ended: bool,
}

/// What lay in an outbox. Each number is counted up to a million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxSeen {
    /// Events that no trail had claimed.
    pub waiting: u64,
    /// Events that trails, this one or others, had claimed and not yet taken away.
    pub claimed: u64,
    /// Events that cannot be recorded as they are, and that somebody has to look at.
    pub put_aside: u64,
}

/// How a relay is, for whoever shows it: it neither holds the relay nor keeps it going.
#[derive(Clone, Debug, Default)]
pub struct RelayWatch(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    /// Without the three ages, which go on growing.
    stats: RelayStats,
    fails_since: Option<Instant>,
    oldest: Option<Oldest>,
    look_fails_since: Option<Instant>,
    /// When to count again, and why the last count failed.
    next_count: Option<Instant>,
    count_failed: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Oldest {
    /// There was no event.
    Nothing,
    /// There was one of this age, at this time.
    Of(Duration, Instant),
}

impl RelayWatch {
    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it is.
    pub fn stats(&self) -> RelayStats {
        let counted = self.lock();
        let mut stats = counted.stats.clone();
        stats.trouble_lasts = counted.fails_since.map(|since| since.elapsed()).unwrap_or_default();
        stats.oldest = counted.oldest.map(|oldest| match oldest {
            Oldest::Nothing => Duration::ZERO,
            Oldest::Of(age, at) => age + at.elapsed(),
        });
        stats.look_fails_for = counted.look_fails_since.map(|since| since.elapsed()).unwrap_or_default();
        stats
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut RelayStats)) {
        change(&mut self.lock().stats);
    }

    /// It takes events over, or could.
    pub(super) fn works(&self, trail: &Trail) {
        let has_recovered = {
            let mut counted = self.lock();
            counted.fails_since = None;
            counted.stats.trouble.take().is_some()
        };
        if has_recovered {
            trail.notice(&Notice::OutboxRecovered);
        }
    }

    /// It takes nothing over, for this reason.
    pub(super) fn fails(&self, trail: &Trail, reason: String) {
        let is_new = {
            let mut counted = self.lock();
            counted.fails_since.get_or_insert_with(Instant::now);
            counted.stats.trouble.replace(reason.clone()).is_none()
        };
        if is_new {
            trail.notice(&Notice::OutboxFailed { reason });
        }
    }

    /// Looks what lies in the outbox. Returns how long not to look again.
    pub(super) fn look(&self, connection: &mut Connection) -> Duration {
        let begun = Instant::now();
        // By itself, so that it is known whatever becomes of the count.
        let oldest = ask(connection, oldest);
        let pause = LOOK_EVERY.max(begun.elapsed() * PAUSE_PER_LOOK);
        let is_due = self.lock().next_count.is_none_or(|at| begun >= at);
        let begun = Instant::now();
        let seen = (oldest.is_ok() && is_due).then(|| ask(connection, count));
        let mut counted = self.lock();
        if let Some(seen) = seen {
            counted.next_count = Some(Instant::now() + LOOK_EVERY.max(begun.elapsed() * PAUSE_PER_LOOK));
            counted.count_failed = match seen {
                Ok(seen) => {
                    counted.stats.seen = Some(seen);
                    None
                }
                Err(error) => Some(with_causes(&error)),
            };
        }
        let failed = match oldest {
            Ok(oldest) => {
                counted.oldest = Some(oldest);
                counted.count_failed.clone()
            }
            Err(error) => Some(with_causes(&error)),
        };
        counted.look_fails_since = failed.as_ref().map(|_| counted.look_fails_since.unwrap_or(begun));
        counted.stats.look_failed = failed;
        pause
    }
}

fn ask<T>(
    connection: &mut Connection,
    question: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
) -> Result<T, StoreError> {
    connection.run("look into the outbox of", WITHIN, async |client| question(client).await)
}

/// The answer of one question.
async fn row(client: &Client, sql: &str) -> Result<Option<SimpleQueryRow>, tokio_postgres::Error> {
    let answer = client.simple_query(&format!("{LIMITED}{sql}")).await?;
    Ok(answer.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    }))
}

/// What stands in a column; nothing else can.
fn number<T: std::str::FromStr + Default>(
    row: &SimpleQueryRow,
    column: usize,
) -> Result<T, tokio_postgres::Error> {
    Ok(row.try_get(column)?.and_then(|text| text.parse().ok()).unwrap_or_default())
}

async fn oldest(client: &Client) -> Result<Oldest, tokio_postgres::Error> {
    let sql = "SELECT greatest(0, extract(epoch FROM clock_timestamp() - written))::float8 \
         FROM trailseal_outbox.events ORDER BY place LIMIT 1";
    let Some(row) = row(client, sql).await? else { return Ok(Oldest::Nothing) };
    let age = Duration::try_from_secs_f64(number(&row, 0)?).unwrap_or_default();
    Ok(Oldest::Of(age, Instant::now()))
}

async fn count(client: &Client) -> Result<OutboxSeen, tokio_postgres::Error> {
    let sql = format!(
        "SELECT count(*) FILTER (WHERE origin IS NULL), count(*) FILTER (WHERE origin IS NOT NULL), \
         (SELECT count(*) FROM (SELECT FROM trailseal_outbox.refused LIMIT {COUNTED_MAX}) AS aside) \
         FROM (SELECT origin FROM trailseal_outbox.events LIMIT {COUNTED_MAX}) AS counted"
    );
    let Some(row) = row(client, &sql).await? else { return Ok(OutboxSeen::default()) };
    Ok(OutboxSeen { waiting: number(&row, 0)?, claimed: number(&row, 1)?, put_aside: number(&row, 2)? })
}
