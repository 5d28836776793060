//! Drops what trails have retired, for whoever may and delivers nothing itself.
//!
//! Whoever can add rows could add a forged event `trail.retired`, and the database cannot check a signature. So only what a given
//! key has signed goes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio_postgres::types::Type;
use trailseal_core::deliver::{Dropped, SinkError};
use trailseal_core::retired::{AnnouncedList, Announcement};
use trailseal_event::{Object, Value};
use trailseal_tlog::{KeyRing, Origin, SignedNote, VerifyingKey};

use super::drop::Dropping;
use super::keep::ASK_WITHIN;
use crate::connect::Connection;
use crate::error::StoreError;

/// A partition that somebody reads is waited for this long in all.
const WAIT_WITHIN: Duration = Duration::from_secs(30);
const TRY_EVERY: Duration = Duration::from_millis(500);

const ORIGINS: &str = "SELECT DISTINCT origin FROM trailseal.retiring ORDER BY 1";

const EVENTS: &str = "SELECT DISTINCT event FROM trailseal.retiring JOIN trailseal.retired_lists USING (origin, segment, bytes) \
    WHERE origin = $1 ORDER BY 1";

const LINE: &str = "SELECT trailseal.retiring_line($1, $2)";

const NOTES: &str = "SELECT note FROM trailseal.checkpoints WHERE origin = $1 ORDER BY size";

/// What became of the retired events of one trail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetiredOrigin {
    /// The trail.
    pub origin: String,
    /// How many rows went; of those in partitions that went as a whole, as many as the extents said.
    pub events: u64,
    /// Why others did not go, if there are any.
    pub left: Option<String>,
}

/// Drops the rows that trails have retired, as far as events announce it that one of these keys has signed.
///
/// # Errors
/// When the store cannot be used, or the role may not drop.
pub fn retire(connection: &mut Connection, keys: &[VerifyingKey]) -> Result<Vec<RetiredOrigin>, StoreError> {
    let origins: Vec<String> = connection.run("ask for retired events in", ASK_WITHIN, async |client| {
        let rows = client.query_typed(ORIGINS, &[]).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    })?;
    // A partition may hold events of several trails.
    let (mut trusted, mut unsigned) = (Object::default(), Vec::new());
    for origin in &origins {
        let (lists, others) = announced(connection, origin, keys)?;
        trusted.insert(origin.as_str(), Value::Array(lists.into_iter().map(Value::from).collect()));
        unsigned.push(others.first().copied());
    }
    let trusted = trusted.to_string();
    let (mut retired, mut gone) = (Vec::new(), BTreeMap::new());
    for (origin, unsigned) in origins.into_iter().zip(unsigned) {
        let left = of_origin(connection, &origin, &trusted, unsigned, &mut gone)?;
        retired.push(RetiredOrigin { origin, events: 0, left });
    }
    for origin in &mut retired {
        origin.events = gone.remove(&origin.origin).unwrap_or(0);
    }
    Ok(retired)
}

/// Returns why something did not go, and adds what went to `gone`, by origins.
fn of_origin(
    connection: &mut Connection,
    origin: &str,
    trusted: &str,
    unsigned: Option<i64>,
    gone: &mut BTreeMap<String, u64>,
) -> Result<Option<String>, StoreError> {
    let mut left = unsigned.map(|event| {
        format!(
            "no given key has signed what event {event} says is retired: give --public-key of this trail, and if it is not \
             signed by it, run `trailseal verify --store`"
        )
    });
    let mut dropping = Dropping::new(origin, Some(trusted.to_owned()));
    let end = Instant::now() + WAIT_WITHIN;
    loop {
        match dropping.step(connection) {
            Ok(Dropped::All) => break,
            Ok(Dropped::Waits) if Instant::now() > end => {
                left = Some("partitions are being read all the time: try again later".to_owned());
                break;
            }
            Ok(Dropped::Waits) => std::thread::sleep(TRY_EVERY),
            Ok(Dropped::Some) => {}
            Err(SinkError::Differs { what, .. }) => {
                left = Some(what);
                break;
            }
            Err(SinkError::Store(error)) => match error.downcast::<StoreError>() {
                Ok(error) => return Err(*error),
                Err(error) => {
                    left = Some(error.to_string());
                    break;
                }
            },
            Err(error) => {
                left = Some(error.to_string());
                break;
            }
        }
    }
    for (origin, rows) in dropping.gone {
        *gone.entry(origin).or_default() += rows;
    }
    Ok(left)
}

/// What is still to go of an origin: the lists that events announce which a given key has signed, as the functions of the schema
/// name them, and the events that none has.
fn announced(
    connection: &mut Connection,
    origin: &str,
    keys: &[VerifyingKey],
) -> Result<(Vec<String>, Vec<i64>), StoreError> {
    let (notes, events) = connection.run("read what retires events in", ASK_WITHIN, async |client| {
        let of_origin = [(&origin as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT)];
        let rows = client.query_typed(NOTES, &of_origin).await?;
        let notes = rows.iter().map(|row| row.try_get::<_, Vec<u8>>(0)).collect::<Result<Vec<_>, _>>()?;
        let mut events: Vec<(i64, Vec<Vec<u8>>)> = Vec::new();
        for row in client.query_typed(EVENTS, &of_origin).await? {
            let event: i64 = row.try_get(0)?;
            let rows = client.query_typed(LINE, &[(&origin, Type::TEXT), (&event, Type::INT8)]).await?;
            let lines = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<_>, _>>()?;
            events.push((event, lines));
        }
        Ok((notes, events))
    })?;
    let Ok(name) = Origin::new(origin) else { return Ok((Vec::new(), Vec::new())) };
    let mut ring = KeyRing::new(name, keys);
    for note in &notes {
        if let Some(note) = std::str::from_utf8(note).ok().and_then(|text| SignedNote::parse(text).ok()) {
            // Two that contradict each other vouch for no key that is not known.
            let _ = ring.learn(&note);
        }
    }
    let ring = Some(&ring).filter(|_| !cfg!(trailseal_fault = "store_retires_unsigned"));
    let (mut lists, mut unsigned) = (Vec::new(), Vec::new());
    for (event, lines) in events {
        let signed = lines.iter().find_map(|line| {
            Announcement::read(line, ring).filter(|it| it.index.get().cast_signed() == event)
        });
        match signed {
            Some(announcement) => lists.extend(announcement.lists.iter().map(named)),
            None => unsigned.push(event),
        }
    }
    Ok((lists, unsigned))
}

/// As `is_trusted` of the schema has it.
fn named(list: &AnnouncedList) -> String {
    let sha256: String = list.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}:{}:{sha256}", list.first, list.bytes)
}
