//! What a relay counts, and what lay in its outbox when it last looked.
//!
//! A look is bounded, and never decides anything: one that fails leaves only its own figures unknown.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::Client;
use trailseal_core::{Notice, Trail};

use crate::connect::Connection;
use crate::error::StoreError;

/// A relay looks this often, and with pauses of at least so many times what a look takes.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const PAUSE_PER_LOOK: u32 = 20;
/// Rows are counted up to here, so that a look is short however many there are.
const COUNTED_MAX: i64 = 1_000_000;
const WITHIN: Duration = Duration::from_secs(10);
const BEGIN: &str = "BEGIN READ ONLY; SET LOCAL statement_timeout = '3s'";

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
    /// What lay in the outbox when it last looked; `None` if it has not looked yet, or could not.
    pub seen: Option<OutboxSeen>,
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
    /// The age of the oldest of them all. While the outbox cannot be asked it grows.
    pub waits: Duration,
    /// Events that cannot be recorded as they are, and that somebody has to look at.
    pub put_aside: u64,
}

/// How a relay is, for whoever shows it: it neither holds the relay nor keeps it going.
#[derive(Clone, Debug, Default)]
pub struct RelayWatch(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    /// Without the two ages, which go on growing.
    stats: RelayStats,
    fails_since: Option<Instant>,
    seen_at: Option<Instant>,
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
        if let (Some(seen), Some(at)) = (&mut stats.seen, counted.seen_at)
            && seen.waiting + seen.claimed > 0
        {
            seen.waits += at.elapsed();
        }
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
        let at = Instant::now();
        let seen = look(connection).ok();
        let mut counted = self.lock();
        (counted.stats.seen, counted.seen_at) = (seen, Some(Instant::now()));
        LOOK_EVERY.max(at.elapsed() * PAUSE_PER_LOOK)
    }
}

fn look(connection: &mut Connection) -> Result<OutboxSeen, StoreError> {
    connection.run("look into the outbox of", WITHIN, async |client| {
        client.batch_execute(BEGIN).await?;
        let seen = count(client).await;
        // Also where it was refused, or nothing more could be asked on this connection.
        client.batch_execute("ROLLBACK").await?;
        seen
    })
}

async fn count(client: &Client) -> Result<OutboxSeen, tokio_postgres::Error> {
    // The first in order may lie beyond what is counted.
    let sql = format!(
        "SELECT count(*) FILTER (WHERE origin IS NULL), count(*) FILTER (WHERE origin IS NOT NULL), \
         coalesce(greatest(0, extract(epoch FROM clock_timestamp() - least(min(written), \
             (SELECT written FROM trailseal_outbox.events ORDER BY place LIMIT 1)))), 0)::float8, \
         (SELECT count(*) FROM (SELECT FROM trailseal_outbox.refused LIMIT {COUNTED_MAX}) AS aside) \
         FROM (SELECT origin, written FROM trailseal_outbox.events LIMIT {COUNTED_MAX}) AS counted"
    );
    let mut seen = OutboxSeen::default();
    for row in client.query_typed(&sql, &[]).await? {
        let number = |column: usize| row.try_get::<_, i64>(column).map(i64::unsigned_abs);
        let waits = Duration::try_from_secs_f64(row.try_get(2)?).unwrap_or_default();
        seen = OutboxSeen { waiting: number(0)?, claimed: number(1)?, waits, put_aside: number(3)? };
    }
    Ok(seen)
}
