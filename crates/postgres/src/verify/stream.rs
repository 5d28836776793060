//! What a store holds, read out in order, in one snapshot.
//!
//! The rows come through a cursor of SQL, which lives as long as its transaction: so a pooler that lends connections by the
//! transaction is no hindrance.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use sha2::{Digest as _, Sha256};
use tokio_postgres::Row as PgRow;
use tokio_postgres::types::{FromSql, Type};

use super::error::StoreVerifyError;
use super::extents::{Extent, Extents};
use super::judge::{Cursor, Held};
use super::pass::{Item, Row};
use super::retired::{KeptIds, KeptWith, Lists, RetiredSegment, StoredLeaves, StoredPart};
use crate::connect::Connection;
use crate::deliver::{ROW_COLUMNS as COLUMNS, put_row};
use crate::error::StoreError;

const ASK_WITHIN: Duration = Duration::from_secs(60);

/// The first rows of a large origin may take the server some time.
const FETCH_WITHIN: Duration = Duration::from_secs(600);

/// So many rows come at once; each may have a line of 64 KiB.
const FETCH_ROWS: usize = 500;

/// Of the hash of one retired id.
const ID_BYTES: usize = 28;

/// Every name that a row, a cursor, an extent or a checkpoint has; those of rows one after the other, by the key.
const ORIGINS: &str = "
    WITH RECURSIVE named AS (
        (SELECT origin FROM trailseal.events ORDER BY origin LIMIT 1)
        UNION ALL
        SELECT (SELECT e.origin FROM trailseal.events e WHERE e.origin > named.origin ORDER BY e.origin LIMIT 1)
        FROM named WHERE named.origin IS NOT NULL
    )
    SELECT origin FROM named WHERE origin IS NOT NULL
    UNION SELECT origin FROM trailseal.cursors
    UNION SELECT origin FROM trailseal.extents
    UNION SELECT origin FROM trailseal.checkpoints
    ORDER BY 1";

/// Whether the role sees every row of the table that rows are added to.
const SEES_ALL: &str = "
    SELECT relkind = 'p',
           NOT row_security_active('trailseal.events') OR EXISTS (
               SELECT FROM pg_policy, unnest(polroles) AS granted
               WHERE polrelid = c.oid AND polpermissive AND polcmd IN ('r', '*')
                 AND pg_get_expr(polqual, polrelid) = 'true'
                 AND CASE granted WHEN 0 THEN true ELSE pg_has_role(current_user, granted, 'USAGE') END)
    FROM pg_class c WHERE c.oid = 'trailseal.events'::regclass";

/// One moment of the store.
pub(super) struct Snapshot<'a> {
    connection: &'a mut Connection,
    partitions: BTreeMap<u32, String>,
    columns: Vec<&'static str>,
}

impl<'a> Snapshot<'a> {
    /// # Errors
    /// When the store cannot be read, or the role may not see all of it.
    pub(super) fn begin(connection: &'a mut Connection) -> Result<Self, StoreError> {
        let (is_whole, partitions) = connection.run("read", ASK_WITHIN, async |client| {
            client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
            // The rows are wanted in the order of the key, from the first on, without sorting all of them before.
            client
                .batch_execute(
                    "SET LOCAL standard_conforming_strings = on; SET LOCAL cursor_tuple_fraction = 0.01",
                )
                .await?;
            let rows = client.query_typed(SEES_ALL, &[]).await?;
            let (mut is_table, mut sees_all) = (false, false);
            if let Some(row) = rows.first() {
                (is_table, sees_all) = (row.try_get(0)?, row.try_get(1)?);
            }
            let mut partitions = BTreeMap::new();
            let list = "SELECT oid, relname::text FROM pg_class WHERE oid IN \
                (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'trailseal.events'::regclass)";
            for row in client.query_typed(list, &[]).await? {
                partitions.insert(row.try_get(0)?, row.try_get(1)?);
            }
            Ok(((is_table, sees_all), partitions))
        })?;
        let what = match is_whole {
            (true, true) => None,
            (false, _) => {
                Some("trailseal.events is not the table that the schema makes: find out who replaced it")
            }
            (true, false) => Some(
                "row-level security shows this role only some tenants: use the owner's, or one of the role for auditors that \
                 `trailseal store roles` makes",
            ),
        };
        if let Some(what) = what {
            return Err(StoreError::Unfit { store: connection.store().to_owned(), what: what.to_owned() });
        }
        Ok(Snapshot { connection, partitions, columns: COLUMNS.split(',').map(str::trim).collect() })
    }

    /// Every origin, with its cursor and checkpoints.
    pub(super) fn origins(&mut self) -> Result<Vec<Held>, StoreError> {
        self.connection.run("read the origins in", FETCH_WITHIN, async |client| {
            let mut all = Vec::new();
            for row in client.query_typed(ORIGINS, &[]).await? {
                all.push(Held { origin: row.try_get(0)?, ..Held::default() });
            }
            for held in &mut all {
                let origin = [(&held.origin as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT)];
                let cursor = "SELECT next, leaf FROM trailseal.cursors WHERE origin = $1";
                for row in client.query_typed(cursor, &origin).await? {
                    held.cursor = Some(Cursor { next: row.try_get(0)?, leaf: row.try_get(1)? });
                }
                let mut notes = Vec::new();
                let kept = "SELECT size, note FROM trailseal.checkpoints WHERE origin = $1 ORDER BY size";
                for row in client.query_typed(kept, &origin).await? {
                    notes.push((row.try_get(0)?, row.try_get(1)?));
                }
                held.notes = notes;
            }
            Ok(all)
        })
    }

    /// What each partition is said to hold of an origin.
    pub(super) fn extents(&mut self, origin: &str) -> Result<Extents, StoreError> {
        let stored = self.connection.run("read the extents in", ASK_WITHIN, async |client| {
            let mut stored = BTreeMap::new();
            let select = "SELECT partition, first_idx, last_idx, min_time, rows FROM trailseal.extents WHERE origin = $1";
            for row in client.query_typed(select, &[(&origin, Type::TEXT)]).await? {
                let extent = Extent {
                    first: row.try_get(1)?,
                    last: row.try_get(2)?,
                    time_min: int(row.try_get::<_, Raw<'_>>(3)?.0).unwrap_or(i64::MIN),
                    rows: row.try_get(4)?,
                };
                stored.insert(row.try_get(0)?, extent);
            }
            Ok(stored)
        })?;
        Ok(Extents::new(stored, self.partitions.clone()))
    }

    /// Hands out the rows of an origin in the order of (index, recorded), and what lists name where rows are missing below
    /// `end`.
    pub(super) fn items(
        &mut self,
        origin: &str,
        lists: &Lists,
        end: u64,
        take: &mut dyn FnMut(&Item<'_>) -> io::Result<()>,
    ) -> Result<(), StoreVerifyError> {
        let mut missing = Missing { segments: lists.segments(), open: None, next: 0 };
        // A cursor of SQL takes no parameters where it is declared.
        let name = origin.replace('\'', "''");
        let declare = format!(
            "DECLARE trailseal_rows NO SCROLL CURSOR FOR \
             SELECT {COLUMNS}, tableoid FROM trailseal.events WHERE origin = '{name}' ORDER BY idx, recorded"
        );
        self.connection.run("read", FETCH_WITHIN, async |client| client.batch_execute(&declare).await)?;
        let mut expected = BytesMut::new();
        loop {
            let fetch = format!("FETCH FORWARD {FETCH_ROWS} FROM trailseal_rows");
            let rows = self.connection.run("read the events in", FETCH_WITHIN, async |client| {
                client.query_typed(&fetch, &[]).await
            })?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let index =
                    row.try_get::<_, Raw<'_>>("idx").ok().and_then(|raw| int(raw.0)).unwrap_or(i64::MIN);
                let index = u64::try_from(index).unwrap_or(0);
                missing.hand_out(self, origin, lists, index, take)?;
                self.hand_out(origin, row, &mut expected, take)?;
                missing.next = missing.next.max(index.saturating_add(1));
            }
        }
        missing.hand_out(self, origin, lists, end, take)?;
        let close =
            async |client: &mut tokio_postgres::Client| client.batch_execute("CLOSE trailseal_rows").await;
        Ok(self.connection.run("read", ASK_WITHIN, close)?)
    }

    fn hand_out(
        &self,
        origin: &str,
        row: &PgRow,
        expected: &mut BytesMut,
        take: &mut dyn FnMut(&Item<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let column = |at: usize| row.try_get::<_, Raw<'_>>(at).map(|raw| raw.0).map_err(io::Error::other);
        let named = |name: &str| match self.columns.iter().position(|column| *column == name) {
            Some(at) => column(at),
            None => Ok(None),
        };
        let (line, leaf) = (named("line")?, named("leaf")?);
        let index = int(named("idx")?).unwrap_or(i64::MIN);
        expected.clear();
        put_row(expected, origin, index.cast_unsigned(), line.unwrap_or_default());
        let mut fields = &expected[..];
        // The number of columns.
        fields.advance(size_of::<i16>());
        let mut differing = None;
        for (at, name) in self.columns.iter().enumerate() {
            let wanted = next_field(&mut fields);
            if cfg!(trailseal_fault = "store_columns_believed") {
                continue;
            }
            // The pass itself judges these two.
            if differing.is_none() && !matches!(*name, "line" | "leaf") && column(at)? != wanted {
                differing = Some(*name);
            }
        }
        let time = int(named("time")?).unwrap_or(i64::MIN);
        let partition =
            column(self.columns.len())?.and_then(|oid| oid.try_into().ok()).map_or(0, u32::from_be_bytes);
        take(&Item::Row(Row { index, line, leaf, differing, partition, time }))
    }

    /// The lists of retired ranges of an origin. A store that is older than retirement has none.
    pub(super) fn retired_lists(&mut self, origin: &str) -> Result<Lists, StoreError> {
        let mut lists = Lists::default();
        let segments = self.connection.run("read the retired ranges in", ASK_WITHIN, async |client| {
            let is_there =
                client.query_typed("SELECT to_regclass('trailseal.retired_lists') IS NOT NULL", &[]).await?;
            if !is_there.first().map_or(Ok(false), |row| row.try_get(0))? {
                return Ok(Vec::new());
            }
            let select = "SELECT DISTINCT segment FROM trailseal.retired_lists WHERE origin = $1";
            let rows = client.query_typed(select, &[(&origin, Type::TEXT)]).await?;
            rows.iter().map(|row| row.try_get::<_, i64>(0)).collect()
        })?;
        for segment in segments {
            let Ok(first) = u64::try_from(segment) else {
                lists.add_odd(segment);
                continue;
            };
            let (parts, kept) = (self.parts(origin, segment)?, self.kept_with(origin, segment)?);
            lists.add(first, &parts, &kept);
        }
        Ok(lists)
    }

    fn parts(&mut self, origin: &str, segment: i64) -> Result<Vec<StoredPart>, StoreError> {
        self.connection.run("read the retired ranges in", FETCH_WITHIN, async |client| {
            let select = "SELECT bytes, event, list FROM trailseal.retired_lists \
                WHERE origin = $1 AND segment = $2 ORDER BY bytes";
            let rows = client.query_typed(select, &[(&origin, Type::TEXT), (&segment, Type::INT8)]).await?;
            let part = |row: &PgRow| {
                Ok(StoredPart { bytes: row.try_get(0)?, event: row.try_get(1)?, list: row.try_get(2)? })
            };
            rows.iter().map(part).collect()
        })
    }

    /// What is kept with each part of a list.
    fn kept_with(&mut self, origin: &str, segment: i64) -> Result<BTreeMap<i64, KeptWith>, StoreError> {
        self.connection.run("read the retired ids in", FETCH_WITHIN, async |client| {
            let select = "SELECT bytes, entries, head FROM trailseal.retired_ids WHERE origin = $1 AND segment = $2 ORDER BY bytes, head";
            let mut ids: BTreeMap<i64, (Sha256, bool)> = BTreeMap::new();
            for row in client.query_typed(select, &[(&origin, Type::TEXT), (&segment, Type::INT8)]).await? {
                let (hash, are_found) = ids.entry(row.try_get(0)?).or_insert_with(|| (Sha256::new(), true));
                let (entries, head) = (row.try_get::<_, &[u8]>(1)?, row.try_get::<_, &[u8]>(2)?);
                hash.update(entries);
                *are_found &= entries.len().is_multiple_of(ID_BYTES) && entries.get(..ID_BYTES) == Some(head);
            }
            let mut kept: BTreeMap<i64, KeptWith> = BTreeMap::new();
            for (bytes, (hash, are_found)) in ids {
                kept.entry(bytes).or_default().ids = Some(KeptIds { sha256: hash.finalize().into(), are_found });
            }
            let select = "SELECT bytes, max(to_idx) FROM trailseal.retired_leaves WHERE origin = $1 AND segment = $2 GROUP BY bytes";
            for row in client.query_typed(select, &[(&origin, Type::TEXT), (&segment, Type::INT8)]).await? {
                kept.entry(row.try_get(0)?).or_default().leaves_to = row.try_get::<_, i64>(1)?.max(0).cast_unsigned();
            }
            Ok(kept)
        })
    }

    /// What the store keeps of the retired events of one segment.
    fn retired_segment(&mut self, origin: &str, first: u64) -> Result<RetiredSegment, StoreError> {
        let segment = first.cast_signed();
        let parts = self.parts(origin, segment)?;
        let leaves = self.connection.run("read the leaf hashes in", FETCH_WITHIN, async |client| {
            let select = "SELECT bytes, from_idx, to_idx, leaves FROM trailseal.retired_leaves \
                WHERE origin = $1 AND segment = $2 ORDER BY bytes, from_idx";
            let mut stored = Vec::new();
            for row in client.query_typed(select, &[(&origin, Type::TEXT), (&segment, Type::INT8)]).await? {
                let (bytes, from, to, leaves) =
                    (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
                stored.push(StoredLeaves { bytes, from, to, leaves });
            }
            Ok(stored)
        })?;
        Ok(RetiredSegment::new(first, &parts, &leaves))
    }

    /// Ends the snapshot.
    pub(super) fn end(self) -> Result<(), StoreError> {
        self.connection.run("read", ASK_WITHIN, async |client| client.batch_execute("COMMIT").await)
    }
}

/// Where rows are missing, what the lists of their segments say.
struct Missing {
    /// Those that have a list.
    segments: Vec<u64>,
    open: Option<RetiredSegment>,
    /// The index after the last row.
    next: u64,
}

impl Missing {
    /// Hands out what is missing before `index`, as far as lists name it without a gap.
    fn hand_out(
        &mut self,
        snapshot: &mut Snapshot<'_>,
        origin: &str,
        lists: &Lists,
        index: u64,
        take: &mut dyn FnMut(&Item<'_>) -> io::Result<()>,
    ) -> Result<(), StoreVerifyError> {
        while self.next < index {
            let after = self.segments.partition_point(|first| *first <= self.next);
            let Some(first) = after.checked_sub(1).and_then(|at| self.segments.get(at)).copied() else {
                return Ok(());
            };
            let end = self.segments.get(after).map_or(index, |next| index.min(*next));
            let open = match self.open.take().filter(|open| open.first == first) {
                Some(open) => open,
                None => snapshot.retired_segment(origin, first)?,
            };
            let open = self.open.insert(open);
            // Only what was looked at as a whole, and is compared with events, explains anything.
            if !lists.has_same(open) && !cfg!(trailseal_fault = "store_lists_read_twice") {
                return Ok(());
            }
            for at in self.next..end {
                let Some(gone) = open.at(at) else { return Ok(()) };
                let has_leaf = gone.leaf.is_some();
                take(&Item::Gone(gone))?;
                self.next = at + 1;
                // Without a hash nothing after it can be compared, and a list alone may claim any number.
                if !has_leaf {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// The next field of a row as a binary COPY has it.
fn next_field<'a>(fields: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(fields.try_get_i32().ok()?).ok()?;
    let (field, rest) = fields.split_at_checked(len)?;
    *fields = rest;
    Some(field)
}

fn int(bytes: Option<&[u8]>) -> Option<i64> {
    Some(i64::from_be_bytes(bytes?.try_into().ok()?))
}

/// The bytes of a value of any type, as the server sends them.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Raw(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Raw(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
