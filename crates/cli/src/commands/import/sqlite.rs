//! A table in a file of SQLite.

use std::io::{self, BufRead};
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use trailseal_import::tables::Table;

use super::rows::{RowLines, Rows};
use super::which_table::{self, Found};
use crate::failure::{Failure, Outcome};

/// What a file of SQLite begins with.
pub(super) const MAGIC: &[u8] = b"SQLite format 3\0";

const ROWS: usize = 500;

/// Opens the rows of the table that `wanted` says, or of the only known one.
pub(super) fn open(
    path: &Path,
    wanted: Option<&'static Table>,
) -> Outcome<(&'static Table, Box<dyn BufRead + Send>)> {
    let failed =
        |error: rusqlite::Error| Failure::could_not(format!("could not read {}: {error}", path.display()));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    let found = known_tables(&connection).map_err(failed)?;
    let Found { table, name, columns, .. } = which_table::choose(&path.display().to_string(), found, wanted)?;
    let listed = columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
    let name = quoted(&name);
    let next = format!("SELECT rowid, {listed} FROM {name} WHERE rowid > ?1 ORDER BY rowid LIMIT {ROWS}");
    let rows = SqliteRows { connection, next, last: i64::MIN, columns: columns.len() };
    Ok((table, Box::new(RowLines::new(rows, table, columns))))
}

fn known_tables(connection: &Connection) -> rusqlite::Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut statement =
        connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
    let names =
        statement.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    for name in names {
        let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?;
        let columns =
            statement.query_map([&name], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        found.extend(which_table::known(None, &name, &columns));
    }
    Ok(found)
}

struct SqliteRows {
    connection: Connection,
    next: String,
    last: i64,
    columns: usize,
}

impl Rows for SqliteRows {
    fn some(&mut self) -> io::Result<Vec<Vec<Option<String>>>> {
        self.read().map_err(io::Error::other)
    }
}

impl SqliteRows {
    fn read(&mut self) -> rusqlite::Result<Vec<Vec<Option<String>>>> {
        let mut statement = self.connection.prepare_cached(&self.next)?;
        let mut rows = statement.query([self.last])?;
        let mut read = Vec::new();
        while let Some(row) = rows.next()? {
            self.last = row.get(0)?;
            read.push((1..=self.columns).map(|at| row.get_ref(at).map(text)).collect::<Result<_, _>>()?);
        }
        Ok(read)
    }
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(text) | ValueRef::Blob(text) => Some(String::from_utf8_lossy(text).into_owned()),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
