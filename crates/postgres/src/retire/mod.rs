//! Retirement: what a trail has retired goes from the store too, and what proves that stays.
//!
//! In: a trail's folder, whose sealed events `trail.retired` name lists of ranges. What must hold: a row goes only when its list
//! and its leaf hash are kept here, and the event that names the list, and a checkpoint that covers the event, are in the store.
//! Each step is one transaction, so a process or server that dies has done it or not, and the next connecting goes on.
//!
//! 1. `keep`: lists, and leaf hashes out of the trail's own tree, go into the store
//! 2. `drop`: whole partitions of which nothing stays, then the other rows, some at a time
//!
//! The functions of the schema do both, and look at every row. A role that may not drop keeps only; whoever may then drops.

mod drop;
mod keep;
mod others;

pub use others::{RetiredOrigin, retire};

use std::io;

use trailseal_core::Folder;
use trailseal_core::deliver::{Dropped, SinkError};
use trailseal_core::retired::newest_announced;
use trailseal_event::Index;

use crate::connect::Connection;
use crate::error::StoreError;
use drop::Dropping;
use keep::Keeping;

/// How far a trail's retirement has come in a store, on one connection.
pub(crate) struct Retirement {
    /// The newest event that announced anything when it began.
    newest: Index,
    keeping: Keeping,
    /// `None` if the role may not.
    dropping: Option<Dropping>,
}

impl Retirement {
    /// What is left to do; `None` if there is nothing, or the role may do nothing.
    pub(crate) fn begin(
        connection: &mut Connection,
        origin: &str,
        trail: &Folder,
    ) -> Result<Option<Retirement>, SinkError> {
        let newest = newest_announced(trail)?.filter(|_| !cfg!(trailseal_fault = "store_keeps_retired"));
        let Some(newest) = newest else { return Ok(None) };
        let may = Rights::of(connection)?;
        if !may.keep {
            return Ok(None);
        }
        let keeping = Keeping::begin(connection, origin, trail)?;
        Ok(Some(Retirement { newest, keeping, dropping: may.drop.then(|| Dropping::new(origin, None)) }))
    }

    /// Does one step.
    pub(crate) fn step(&mut self, connection: &mut Connection, trail: &Folder) -> Result<Dropped, SinkError> {
        match self.keeping.step(connection, trail)? {
            Dropped::All => {}
            some => return Ok(some),
        }
        match &mut self.dropping {
            Some(dropping) => dropping.step(connection),
            None => Ok(Dropped::All),
        }
    }

    /// Whether the trail has retired more since it began.
    pub(crate) fn is_outdated(&self, trail: &Folder) -> io::Result<bool> {
        Ok(newest_announced(trail)? != Some(self.newest))
    }
}

/// What the role of a connection may do. One that was made before the functions may do neither.
struct Rights {
    keep: bool,
    drop: bool,
}

impl Rights {
    fn of(connection: &mut Connection) -> Result<Rights, StoreError> {
        const MAY: &str = "SELECT coalesce(bool_and(has_function_privilege(oid, 'EXECUTE')) FILTER (WHERE proname = 'keep_retired'), false), \
            coalesce(bool_and(has_function_privilege(oid, 'EXECUTE')) FILTER (WHERE proname <> 'keep_retired'), false) \
            FROM pg_proc WHERE pronamespace = 'trailseal'::regnamespace \
            AND proname IN ('keep_retired', 'drop_retired', 'retiring_partitions', 'drop_retired_partition')";
        connection.run("ask for the rights in", keep::ASK_WITHIN, async |client| {
            let rows = client.query_typed(MAY, &[]).await?;
            let (mut keep, mut drop) = (false, false);
            if let Some(row) = rows.first() {
                (keep, drop) = (row.try_get(0)?, row.try_get(1)?);
            }
            Ok(Rights { keep, drop })
        })
    }
}
