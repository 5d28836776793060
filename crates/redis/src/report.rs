//! What workers report of an origin: a hash of the fields `next` and `leaf`, `checkpoint`, and where something is wrong, `failing`, or
//! `stopped_at` and `stopped`.

use redis::Pipeline;
use trailseal_core::deliver::Position;
use trailseal_event::Index;
use trailseal_tlog::Hash;

use crate::bounded;
use crate::connection::{Redis, RedisError};
use crate::keys::Keys;
use crate::url::RedisUrl;

const NEXT: &str = "next";
const LEAF: &str = "leaf";
const CHECKPOINT: &str = "checkpoint";
pub(crate) const FAILING: &str = "failing";
pub(crate) const STOPPED_AT: &str = "stopped_at";
pub(crate) const STOPPED: &str = "stopped";

/// The fields of a hash.
pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// How far a store has come with an origin, as workers last reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The store's position; `None` if no worker has reported it.
    pub position: Option<Position>,
    /// The largest checkpoint that the store keeps: its size and its root hash.
    pub newest_checkpoint: Option<(u64, Hash)>,
    /// Why nothing is being stored at the moment.
    pub failing: Option<String>,
    /// From which event on the store holds what the trail did not write, and how that shows.
    pub stopped: Option<(u64, String)>,
    /// For how many seconds something has been in the stream of which nothing was stored.
    pub waits_seconds: u64,
}

impl Report {
    /// What workers have reported of an origin.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub fn look(url: &RedisUrl, origin: &str) -> Result<Report, RedisError> {
        let mut asked = redis::pipe();
        Report::ask(&mut asked, &Keys::of(origin));
        let (since, now, fields): (Vec<u8>, (u64, u64), Fields) =
            Redis::new(url.clone()).ask("ask how far the store is at", &asked)?;
        Ok(Report::of(&fields, &since, now))
    }

    /// Asks for what [`of`](Report::of) takes.
    pub(crate) fn ask(asked: &mut Pipeline, keys: &Keys) {
        asked.cmd("GETRANGE").arg(&keys.since).arg(0).arg(19);
        asked.cmd("TIME");
        Report::ask_fields(asked, keys);
    }

    /// Asks for the fields of the hash only.
    pub(crate) fn ask_fields(asked: &mut Pipeline, keys: &Keys) {
        bounded::fields(asked, &keys.stored, &[NEXT, LEAF, CHECKPOINT, FAILING, STOPPED_AT, STOPPED]);
    }

    /// What the fields of the hash say. `since` says when something was first in the stream of which nothing has been stored yet,
    /// `now` the server's time.
    pub(crate) fn of(fields: &Fields, since: &[u8], now: (u64, u64)) -> Report {
        let value = |name: &str| {
            let field = fields.iter().find(|(field, _)| field == name.as_bytes());
            field.map(|(_, value)| value.as_slice())
        };
        let text = |name: &str| value(name).and_then(|value| std::str::from_utf8(value).ok());
        let next = text(NEXT).and_then(|next| next.parse().ok());
        let last_leaf = value(LEAF).and_then(hash);
        let newest_checkpoint = value(CHECKPOINT).and_then(|kept| {
            let (size, root) = kept.split_first_chunk()?;
            Some((u64::from_be_bytes(*size), hash(root)?))
        });
        let stopped_at = text(STOPPED_AT).and_then(|at| at.parse().ok());
        let since = std::str::from_utf8(since).ok().and_then(|since| since.parse::<u64>().ok());
        Report {
            position: next.map(|next| Position { cursor: Index::new(next), last_leaf }),
            newest_checkpoint,
            failing: text(FAILING).map(str::to_owned),
            stopped: stopped_at.zip(text(STOPPED).map(str::to_owned)),
            waits_seconds: since.map_or(0, |since| now.0.saturating_sub(since)),
        }
    }

    /// The fields of the hash, each after its name.
    pub(crate) fn to_fields(&self) -> Vec<Vec<u8>> {
        let mut fields: Vec<Vec<u8>> = Vec::new();
        let mut add = |name: &str, value: Vec<u8>| fields.extend([name.into(), value]);
        if let Some(Position { cursor, last_leaf }) = self.position {
            add(NEXT, cursor.get().to_string().into());
            if let Some(leaf) = last_leaf {
                add(LEAF, leaf.0.into());
            }
        }
        if let Some((size, root)) = self.newest_checkpoint {
            add(CHECKPOINT, [size.to_be_bytes().as_slice(), &root.0].concat());
        }
        if let Some(failing) = &self.failing {
            add(FAILING, failing.clone().into());
        }
        if let Some((at, what)) = &self.stopped {
            add(STOPPED_AT, at.to_string().into());
            add(STOPPED, what.clone().into());
        }
        fields
    }
}

fn hash(bytes: &[u8]) -> Option<Hash> {
    bytes.try_into().ok().map(Hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[Vec<u8>]) -> Report {
        let pairs = fields.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone()));
        Report::of(&pairs.collect(), b"", (0, 0))
    }

    #[test]
    fn what_is_reported_is_read() {
        let position = Some(Position { cursor: Index::new(42), last_leaf: Some(Hash([7; 32])) });
        let failing = Report { position, failing: Some("down".into()), ..Report::default() };
        let stopped = Report {
            stopped: Some((3, "event 3 differs".into())),
            newest_checkpoint: Some((9, Hash([8; 32]))),
            ..Report::default()
        };
        for report in [Report::default(), failing, stopped] {
            assert_eq!(read(&report.to_fields()), report);
        }
        assert_eq!(read(&[NEXT.into(), b"x".into(), vec![0xff], vec![0xff]]), Report::default());
    }

    #[test]
    fn nothing_waits_before_it_came() {
        let waits = |since: &[u8], now| Report::of(&Vec::new(), since, (now, 0)).waits_seconds;
        assert_eq!((waits(b"", 9), waits(b"4", 9), waits(b"9", 4), waits(b"x", 9)), (0, 5, 0, 0));
    }
}
