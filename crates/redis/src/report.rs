//! What workers report of an origin: a hash of the fields `next` and `leaf`, and where something is wrong, `failing`, or
//! `stopped_at` and `stopped`.

use std::collections::HashMap;

use trailseal_core::deliver::Position;
use trailseal_event::Index;
use trailseal_tlog::Hash;

use crate::connection::{Redis, RedisError, together};
use crate::keys::Keys;
use crate::url::RedisUrl;

pub(crate) const NEXT: &str = "next";
pub(crate) const LEAF: &str = "leaf";
pub(crate) const KEPT: &str = "kept";
pub(crate) const FAILING: &str = "failing";
pub(crate) const STOPPED_AT: &str = "stopped_at";
pub(crate) const STOPPED: &str = "stopped";

/// How far a store has come with an origin, as a worker last reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The store's position.
    pub position: Position,
    /// The largest checkpoint that the store keeps: its size and its root hash.
    pub newest_checkpoint: Option<(u64, Hash)>,
    /// Why nothing is being stored at the moment.
    pub failing: Option<String>,
    /// From which event on the store holds what the trail did not write, and how that shows.
    pub stopped: Option<(u64, String)>,
}

impl Report {
    /// What workers have reported of an origin; `None` if none has.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub fn look(url: &RedisUrl, origin: &str) -> Result<Option<Report>, RedisError> {
        let mut asked = together();
        asked.cmd("HGETALL").arg(Keys::of(origin).stored);
        let (fields,) = Redis::new(url.clone()).ask("ask how far the store is at", &asked)?;
        Ok(Report::of(&fields))
    }

    /// What the fields of the hash say; `None` if no worker has reported.
    pub(crate) fn of(fields: &HashMap<String, Vec<u8>>) -> Option<Report> {
        let text = |name: &str| fields.get(name).and_then(|value| std::str::from_utf8(value).ok());
        let next: u64 = text(NEXT)?.parse().ok()?;
        let last_leaf = fields.get(LEAF).and_then(|leaf| hash(leaf));
        let newest_checkpoint = fields.get(KEPT).and_then(|kept| {
            let (size, root) = kept.split_first_chunk()?;
            Some((u64::from_be_bytes(*size), hash(root)?))
        });
        let stopped_at = text(STOPPED_AT).and_then(|at| at.parse().ok());
        Some(Report {
            position: Position { cursor: Index::new(next), last_leaf },
            newest_checkpoint,
            failing: text(FAILING).map(str::to_owned),
            stopped: stopped_at.zip(text(STOPPED).map(str::to_owned)),
        })
    }

    /// The fields of the hash, each after its name.
    pub(crate) fn to_fields(&self) -> Vec<Vec<u8>> {
        let Position { cursor, last_leaf } = self.position;
        let mut fields: Vec<Vec<u8>> = vec![NEXT.into(), cursor.get().to_string().into()];
        let mut add = |name: &str, value: Vec<u8>| fields.extend([name.into(), value]);
        if let Some(leaf) = last_leaf {
            add(LEAF, leaf.0.into());
        }
        if let Some((size, root)) = self.newest_checkpoint {
            add(KEPT, [size.to_be_bytes().as_slice(), &root.0].concat());
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

    fn read(fields: &[Vec<u8>]) -> Option<Report> {
        let named = |pair: &[Vec<u8>]| Some((String::from_utf8(pair[0].clone()).ok()?, pair[1].clone()));
        Report::of(&fields.chunks(2).filter_map(named).collect())
    }

    #[test]
    fn what_is_reported_is_read() {
        let position = Position { cursor: Index::new(42), last_leaf: Some(Hash([7; 32])) };
        let failing = Report { position, failing: Some("down".into()), ..Report::default() };
        let stopped = Report {
            stopped: Some((3, "event 3 differs".into())),
            newest_checkpoint: Some((9, Hash([8; 32]))),
            ..Report::default()
        };
        for report in [Report::default(), failing, stopped] {
            assert_eq!(read(&report.to_fields()), Some(report));
        }
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[NEXT.into(), b"x".into()]), None);
    }
}
