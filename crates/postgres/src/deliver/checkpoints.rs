//! The trail's checkpoints, kept per origin: with them the store can be verified without the trail.

use std::time::Instant;

use tokio_postgres::types::{ToSql, Type};
use trailseal_core::deliver::{KeptCheckpoints, SealedCheckpoint, SinkError};
use trailseal_event::Index;
use trailseal_tlog::{Checkpoint, Hash, SignedNote};

use super::{ASK_WITHIN, StoreSink};
use crate::error::StoreError;

const SIZES: &str = "SELECT size FROM trailseal.checkpoints WHERE origin = $1 ORDER BY size";

const NOTE: &str = "SELECT note FROM trailseal.checkpoints WHERE origin = $1 AND size = $2";

/// Nothing is ever replaced: of two of one size, the first stays.
const KEEP: &str = "INSERT INTO trailseal.checkpoints (origin, size, note) VALUES ($1, $2, $3) \
    ON CONFLICT DO NOTHING RETURNING size";

/// Which checkpoint the store has of a size, after this one was given.
enum Kept {
    This,
    /// One that was there before: this note.
    Other(Vec<u8>),
    /// None, although PostgreSQL reported no error.
    Nothing,
}

impl StoreSink {
    /// The checkpoints that the store keeps of this trail.
    pub(super) fn kept_checkpoints(&mut self) -> Result<KeptCheckpoints, SinkError> {
        let origin = self.origin.clone();
        let (sizes, newest) =
            self.connected()?.run("ask for the checkpoints in", ASK_WITHIN, async |client| {
                let mut sizes: Vec<i64> = Vec::new();
                for row in client.query_typed(SIZES, &[(&origin, Type::TEXT)]).await? {
                    sizes.push(row.try_get(0)?);
                }
                let Some(newest) = sizes.last().copied() else { return Ok((sizes, None)) };
                let rows = client.query_typed(NOTE, &[(&origin, Type::TEXT), (&newest, Type::INT8)]).await?;
                let note = rows.first().map(|row| row.try_get::<_, Vec<u8>>(0)).transpose()?;
                Ok((sizes, note.map(|note| (newest, note))))
            })?;
        self.answered = Instant::now();
        let newest = newest.map(|(size, note)| self.root_of(size, &note)).transpose()?;
        Ok(KeptCheckpoints {
            sizes: sizes.into_iter().filter_map(|size| u64::try_from(size).ok()).collect(),
            newest,
        })
    }

    /// Keeps a checkpoint, unless the store has another one of its size.
    pub(super) fn keep(&mut self, checkpoint: &SealedCheckpoint<'_>) -> Result<(), SinkError> {
        let SealedCheckpoint { size, root, note } = *checkpoint;
        let (origin, note, key) = (self.origin.clone(), note.as_bytes().to_vec(), size.cast_signed());
        let there = self.connected()?.run("add a checkpoint to", ASK_WITHIN, async |client| {
            let wanted: [(&(dyn ToSql + Sync), Type); 2] = [(&origin, Type::TEXT), (&key, Type::INT8)];
            let [(origin, text), (key, int)] = &wanted;
            let row =
                [(*origin, text.clone()), (*key, int.clone()), (&note as &(dyn ToSql + Sync), Type::BYTEA)];
            if !client.query_typed(KEEP, &row).await?.is_empty() {
                return Ok(Kept::This);
            }
            let rows = client.query_typed(NOTE, &wanted).await?;
            rows.first().map_or(Ok(Kept::Nothing), |row| row.try_get(0).map(Kept::Other))
        })?;
        self.answered = Instant::now();
        match there {
            Kept::Nothing => {
                let (store, table) = (self.url.shown().to_owned(), "checkpoints".to_owned());
                Err(StoreError::Swallowed { store, table, given: 1, kept: 0 }.into())
            }
            Kept::Other(there) if !cfg!(trailseal_fault = "store_fork_not_refused") => {
                let (_, kept) = self.root_of(key, &there)?;
                if kept == root {
                    return Ok(());
                }
                let what = format!(
                    "the store has another checkpoint of {size} events of {origin}: the trail was forked"
                );
                Err(SinkError::Differs { at: Index::new(size.saturating_sub(1)), what })
            }
            _ => Ok(()),
        }
    }

    /// Size and root of a kept checkpoint. Who signed it, `verify` asks.
    fn root_of(&self, size: i64, note: &[u8]) -> Result<(u64, Hash), SinkError> {
        let text = std::str::from_utf8(note).ok().and_then(|text| SignedNote::parse(text).ok());
        let checkpoint = text.and_then(|note| Checkpoint::parse(note.text()).ok());
        let is_ours = |checkpoint: &Checkpoint| {
            checkpoint.origin.as_str() == self.origin && u64::try_from(size) == Ok(checkpoint.size)
        };
        match checkpoint.filter(is_ours) {
            Some(checkpoint) => Ok((checkpoint.size, checkpoint.root)),
            None => {
                let at = Index::new(u64::try_from(size).unwrap_or(0).saturating_sub(1));
                let what = format!(
                    "what the store keeps as the checkpoint of size {size} of {} is none of this trail: somebody changed the \
                     store; run `trailseal verify --store`",
                    self.origin
                );
                Err(SinkError::Differs { at, what })
            }
        }
    }
}
