//! SQLite: one table, `events`.

use std::io;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, Statement, ffi};

use crate::row::{Cell, Column, Kind, Row, columns};

/// Large enough that most rows stay on one page.
const PAGE_BYTES: u32 = 16_384;

/// Writes events to an SQLite file: times as RFC 3339 text in UTC, which sorts as it should.
///
/// ```
/// use trailseal_export::{Row, SqliteWriter};
///
/// let folder = tempfile::tempdir()?;
/// let line = br#"{"v":1,"index":7,"recorded":"2026-01-02T03:04:05.000006Z","id":"a","action":"x.y"}"#;
/// let mut writer = SqliteWriter::create(&folder.path().join("events.sqlite"))?;
/// writer.event("example.com/trail", &Row::read(line).unwrap())?;
/// writer.finish()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct SqliteWriter {
    connection: Connection,
    insert: String,
}

impl SqliteWriter {
    /// Creates the file, which may already exist if it is empty. Until [`finish`](SqliteWriter::finish) it is unusable:
    /// nothing protects it against a crash, so the caller gives it its final name afterwards.
    ///
    /// # Errors
    /// When the file cannot be created, or is not empty.
    pub fn create(path: &Path) -> io::Result<Self> {
        // Absolute, since SQLite interprets some other names, such as `:memory:` and `file:x?mode=…`.
        Self::begin(&std::path::absolute(path)?).map_err(failed)
    }

    fn begin(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        for (name, value) in [("journal_mode", "OFF"), ("synchronous", "OFF"), ("locking_mode", "EXCLUSIVE")]
        {
            connection.pragma_update(None, name, value)?;
        }
        let definitions: Vec<String> = columns().iter().map(definition).collect();
        connection
            .execute_batch(&format!("BEGIN; CREATE TABLE events({}) STRICT", definitions.join(", ")))?;
        let places = vec!["?"; columns().len()].join(",");
        Ok(SqliteWriter { connection, insert: format!("INSERT INTO events VALUES({places})") })
    }

    /// Adds one event.
    ///
    /// # Errors
    /// When the file cannot be written to; it is then unusable.
    pub fn event(&mut self, origin: &str, row: &Row<'_>) -> io::Result<()> {
        let insert = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare_cached(&self.insert)?;
            for (place, cell) in (1..).zip(row.cells(origin)) {
                bind(&mut statement, place, &cell)?;
            }
            statement.raw_execute().map(drop)
        };
        insert().map_err(failed)
    }

    /// Completes the file. The caller must sync it.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub fn finish(self) -> io::Result<()> {
        self.connection.execute_batch("COMMIT").map_err(failed)?;
        self.connection.flush_prepared_statement_cache();
        self.connection.close().map_err(|(_, error)| failed(error))
    }
}

fn definition(column: &Column) -> String {
    let kind = match column.kind() {
        Kind::Text | Kind::Json | Kind::Time => "TEXT",
        Kind::Integer | Kind::Boolean => "INTEGER",
        Kind::Float => "REAL",
    };
    let required = if column.is_required() { " NOT NULL" } else { "" };
    // Quoted, since `index` is an SQL keyword.
    format!("\"{}\" {kind}{required}", column.name())
}

fn bind(statement: &mut Statement<'_>, place: usize, cell: &Cell<'_>) -> rusqlite::Result<()> {
    match cell {
        // Bound values persist from one row to the next.
        Cell::Null => statement.raw_bind_parameter(place, rusqlite::types::Null),
        Cell::Text(text) => statement.raw_bind_parameter(place, &**text),
        Cell::Time(time) => {
            statement.raw_bind_parameter(place, std::str::from_utf8(&time.to_text()).unwrap_or_default())
        }
        Cell::Integer(number) => statement.raw_bind_parameter(place, number),
        Cell::Float(number) => statement.raw_bind_parameter(place, number),
        Cell::Boolean(truth) => statement.raw_bind_parameter(place, truth),
    }
}

fn failed(error: rusqlite::Error) -> io::Error {
    match error.sqlite_error().map(|error| error.extended_code & 0xff) {
        Some(ffi::SQLITE_FULL) => io::Error::new(io::ErrorKind::StorageFull, error),
        _ => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] =
        br#"{"v":1,"index":7,"recorded":"2026-01-02T03:04:05.000006Z","id":"a","action":"x.y"}"#;

    #[test]
    fn a_full_disk_is_told_as_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = SqliteWriter::create(&folder.path().join("x")).unwrap();
        writer.connection.pragma_update(None, "max_page_count", 20).unwrap();
        let row = Row::read(LINE).unwrap();
        let error = (0..100_000).find_map(|_| writer.event("o", &row).err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
    }

    #[test]
    fn a_file_that_holds_something_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "what was there").unwrap();
        assert!(SqliteWriter::create(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"what was there");
    }
}
