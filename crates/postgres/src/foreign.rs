//! Tables of other applications, read row by row through a cursor, each value as PostgreSQL writes it.
//!
//! What must hold: one snapshot; memory for some rows at a time; values that do not depend on the settings of the server; and
//! no row that row-level security hides is left out in silence.

use std::time::Duration;

use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::Type;

use crate::connect::Connection;
use crate::error::StoreError;

const ASK_WITHIN: Duration = Duration::from_secs(30);
/// The first rows come when the server has sorted all of them.
const ROWS_WITHIN: Duration = Duration::from_secs(6 * 3_600);

/// So many rows are fetched at once at first and at most, and about so many bytes.
const ROWS_FIRST: usize = 64;
const ROWS_MAX: usize = 4_096;
const BYTES: usize = 2 << 20;

/// Times in UTC, numbers with all their digits. An error says so if row-level security would hide rows.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'; \
    SET LOCAL intervalstyle = 'postgres'; SET LOCAL extra_float_digits = 3; SET LOCAL bytea_output = 'hex'; \
    SET LOCAL row_security = off; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
    SET LOCAL cursor_tuple_fraction = 1";

const TABLES: &str = "SELECT n.nspname::text, c.relname::text, array_agg(a.attname::text ORDER BY a.attnum) \
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
    WHERE c.relname = ANY ($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
    AND coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') NOT LIKE 'Trailseal: %' \
    AND NOT c.relispartition \
    GROUP BY 1, 2 ORDER BY 1, 2";

/// A table of another application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignTable {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its columns, in their order.
    pub columns: Vec<String>,
}

/// The tables and views that have one of these names, but not our own views.
///
/// # Errors
/// When the server cannot be asked.
pub fn tables_named(connection: &mut Connection, names: &[&str]) -> Result<Vec<ForeignTable>, StoreError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    connection.run("look for tables in", ASK_WITHIN, async |client| {
        let rows = client.query_typed(TABLES, &[(&names, Type::TEXT_ARRAY)]).await?;
        let table = |row: &tokio_postgres::Row| {
            let (schema, name, columns) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            Ok::<_, tokio_postgres::Error>(ForeignTable { schema, name, columns })
        };
        rows.iter().map(table).collect()
    })
}

/// Reads the rows of a table.
pub struct ForeignRows {
    connection: Connection,
    fetch: usize,
    is_over: bool,
}

/// The values of a row, in the order of the columns; `None` is NULL.
pub type ForeignRow = Vec<Option<String>>;

impl ForeignRows {
    /// Opens a cursor over the rows, in the order of these columns as far as they are there.
    ///
    /// # Errors
    /// When the role may not read the table, or would not see all of it.
    pub fn open(
        mut connection: Connection,
        table: &ForeignTable,
        order: &[&str],
    ) -> Result<ForeignRows, StoreError> {
        let columns = listed(table.columns.iter().map(String::as_str));
        let is_there = |name: &&str| table.columns.iter().any(|column| column == name);
        let order = listed(order.iter().copied().filter(is_there));
        let order = if order.is_empty() { order } else { format!(" ORDER BY {order}") };
        let from = format!("{}.{}", quoted(&table.schema), quoted(&table.name));
        let open =
            format!("{BEGIN}; DECLARE foreign_rows NO SCROLL CURSOR FOR SELECT {columns} FROM {from}{order}");
        connection.run("read a table of", ASK_WITHIN, async |client| client.batch_execute(&open).await)?;
        Ok(ForeignRows { connection, fetch: ROWS_FIRST, is_over: false })
    }

    /// Some more rows; none at the end.
    ///
    /// # Errors
    /// When the server fails, or ends the connection.
    pub fn some(&mut self) -> Result<Vec<ForeignRow>, StoreError> {
        if self.is_over {
            return Ok(Vec::new());
        }
        let fetch = format!("FETCH {} FROM foreign_rows", self.fetch);
        let messages = self
            .connection
            .run("read a table of", ROWS_WITHIN, async |client| client.simple_query(&fetch).await)?;
        let mut rows = Vec::new();
        let mut bytes = 0;
        for message in messages {
            if let SimpleQueryMessage::Row(row) = message {
                let values: ForeignRow = (0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect();
                bytes += values.iter().flatten().map(String::len).sum::<usize>();
                rows.push(values);
            }
        }
        if rows.len() < self.fetch {
            self.is_over = true;
            self.connection
                .run("read a table of", ASK_WITHIN, async |client| client.batch_execute("COMMIT").await)?;
        }
        let fitting = rows.len().saturating_mul(BYTES) / bytes.max(1);
        self.fetch = fitting.clamp(1, (self.fetch * 2).min(ROWS_MAX));
        Ok(rows)
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.map(quoted).collect::<Vec<_>>().join(", ")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
