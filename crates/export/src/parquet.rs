//! Parquet, compressed with zstd.
//!
//! Parquet stores a group of rows column by column, so a group is held in memory until it is full: `GROUP_ROWS_MAX`
//! rows, or fewer if their text reaches `GROUP_BYTES_MAX`.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{ColumnPath, Type};

use crate::row::{Cell, Column, Kind, Row, columns};

const GROUP_ROWS_MAX: usize = 65_536;
const GROUP_BYTES_MAX: usize = 64 << 20;

/// Writes events to a Parquet file.
///
/// ```
/// use trailseal_export::{ParquetWriter, Row};
///
/// let line = br#"{"v":1,"index":7,"recorded":"2026-01-02T03:04:05.000006Z","id":"a","action":"x.y"}"#;
/// let mut file = Vec::new();
/// let mut writer = ParquetWriter::new(&mut file)?;
/// writer.event("example.com/trail", &Row::read(line).unwrap())?;
/// writer.finish()?;
/// assert!(file.ends_with(b"PAR1"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct ParquetWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    buffers: Vec<Buffer>,
    rows: usize,
    text_bytes: usize,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Starts a file.
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub fn new(out: W) -> io::Result<Self> {
        let fields = columns().iter().map(|column| field(column).map(Arc::new)).collect::<Result<_, _>>();
        let schema = fields.and_then(|fields| Type::group_type_builder("events").with_fields(fields).build());
        let file = schema
            .and_then(|schema| SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties())));
        let buffers = columns().iter().map(Buffer::new).collect();
        Ok(ParquetWriter { file: file.map_err(failed)?, buffers, rows: 0, text_bytes: 0 })
    }

    /// Adds one event.
    ///
    /// # Errors
    /// When the file cannot be written to; it is then unusable.
    pub fn event(&mut self, origin: &str, row: &Row<'_>) -> io::Result<()> {
        for (buffer, cell) in self.buffers.iter_mut().zip(row.cells(origin)) {
            self.text_bytes += buffer.push(&cell);
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS_MAX || self.text_bytes >= GROUP_BYTES_MAX {
            self.write_group()?;
        }
        Ok(())
    }

    /// Writes out everything that was buffered and completes the file.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub fn finish(mut self) -> io::Result<()> {
        if self.rows > 0 {
            self.write_group()?;
        }
        self.file.finish().map(drop).map_err(failed)
    }

    fn write_group(&mut self) -> io::Result<()> {
        let mut group = self.file.next_row_group().map_err(failed)?;
        for buffer in &mut self.buffers {
            let Some(mut column) = group.next_column().map_err(failed)? else { break };
            buffer.write(&mut column).and_then(|()| column.close()).map_err(failed)?;
        }
        group.close().map_err(failed)?;
        (self.rows, self.text_bytes) = (0, 0);
        Ok(())
    }
}

fn field(column: &Column) -> Result<Type, ParquetError> {
    let (physical, logical) = match column.kind() {
        // JSON is stored as text too: every reader handles text.
        Kind::Text | Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        Kind::Integer => (Physical::INT64, None),
        Kind::Float => (Physical::DOUBLE, None),
        Kind::Boolean => (Physical::BOOLEAN, None),
    };
    let repetition = if column.is_required() { Repetition::REQUIRED } else { Repetition::OPTIONAL };
    Type::primitive_type_builder(column.name(), physical)
        .with_repetition(repetition)
        .with_logical_type(logical)
        .build()
}

fn properties() -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("trailseal version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()));
    for column in columns() {
        let path = ColumnPath::from(column.name());
        match column.kind() {
            Kind::Time | Kind::Integer => {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
            // Nearly always all different, and nobody asks for the smallest.
            Kind::Json => {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_statistics_enabled(path, EnabledStatistics::None);
            }
            Kind::Text if matches!(column.name(), "id" | "line") => {
                properties = properties.set_column_dictionary_enabled(path, false);
            }
            _ => {}
        }
    }
    properties.set_column_statistics_enabled(ColumnPath::from("line"), EnabledStatistics::None).build()
}

/// The values of one column in the group that is being collected.
struct Buffer {
    values: Values,
    /// For a column that may be empty: 1 for each row with a value, 0 for each without.
    levels: Option<Vec<i16>>,
}

enum Values {
    /// All texts one after the other, and where each ends.
    Text(Vec<u8>, Vec<usize>),
    Integer(Vec<i64>),
    Float(Vec<f64>),
    Boolean(Vec<bool>),
}

impl Buffer {
    fn new(column: &Column) -> Buffer {
        let values = match column.kind() {
            Kind::Text | Kind::Json => Values::Text(Vec::new(), Vec::new()),
            Kind::Time | Kind::Integer => Values::Integer(Vec::new()),
            Kind::Float => Values::Float(Vec::new()),
            Kind::Boolean => Values::Boolean(Vec::new()),
        };
        Buffer { values, levels: (!column.is_required()).then(Vec::new) }
    }

    /// Returns how many bytes of text were added.
    fn push(&mut self, cell: &Cell<'_>) -> usize {
        if let Some(levels) = &mut self.levels {
            levels.push(i16::from(*cell != Cell::Null));
        }
        match (&mut self.values, cell) {
            (Values::Text(bytes, ends), Cell::Text(text)) => {
                bytes.extend_from_slice(text.as_bytes());
                ends.push(bytes.len());
                return text.len();
            }
            (Values::Integer(values), Cell::Time(time)) => values.push(time.as_micros()),
            (Values::Integer(values), Cell::Integer(number)) => values.push(*number),
            (Values::Float(values), Cell::Float(number)) => values.push(*number),
            (Values::Boolean(values), Cell::Boolean(truth)) => values.push(*truth),
            (_, cell) => debug_assert_eq!(*cell, Cell::Null, "of another kind than its column"),
        }
        0
    }

    /// Writes the values out and empties the buffer.
    fn write(&mut self, column: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = self.levels.as_deref();
        match (&mut self.values, column.untyped()) {
            (Values::Text(bytes, ends), ColumnWriter::ByteArrayColumnWriter(writer)) => {
                // Reserving room for the next group was measured: no faster, and a fourth more memory.
                writer.write_batch(&split(std::mem::take(bytes), ends), levels, None)?;
                ends.clear();
            }
            (Values::Integer(values), ColumnWriter::Int64ColumnWriter(writer)) => {
                writer.write_batch(values, levels, None)?;
                values.clear();
            }
            (Values::Float(values), ColumnWriter::DoubleColumnWriter(writer)) => {
                writer.write_batch(values, levels, None)?;
                values.clear();
            }
            (Values::Boolean(values), ColumnWriter::BoolColumnWriter(writer)) => {
                writer.write_batch(values, levels, None)?;
                values.clear();
            }
            _ => return Err(ParquetError::General("a column of another kind than in the schema".to_owned())),
        }
        if let Some(levels) = &mut self.levels {
            levels.clear();
        }
        Ok(())
    }
}

/// The texts that end at `ends`, sharing `bytes`.
fn split(bytes: Vec<u8>, ends: &[usize]) -> Vec<ByteArray> {
    let all = ByteArray::from(bytes);
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends).map(|(start, end)| all.slice(start, end - start)).collect()
}

/// The error from writing to `out`, or what else went wrong.
fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    use super::*;

    fn line(index: usize, details_bytes: usize) -> String {
        format!(
            r#"{{"v":1,"index":{index},"recorded":"2026-01-02T03:04:05.000006Z","id":"a{index}","action":"x.y","details":{{"t":"{}"}}}}"#,
            "z".repeat(details_bytes)
        )
    }

    /// How many rows each group has.
    fn groups(count: usize, details_bytes: usize) -> Vec<i64> {
        let mut file = tempfile::tempfile().unwrap();
        let mut writer = ParquetWriter::new(&mut file).unwrap();
        for index in 0..count {
            writer.event("o", &Row::read(line(index, details_bytes).as_bytes()).unwrap()).unwrap();
        }
        writer.finish().unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        reader
            .metadata()
            .row_groups()
            .iter()
            .map(parquet::file::metadata::RowGroupMetaData::num_rows)
            .collect()
    }

    #[test]
    fn groups_are_bounded_in_rows_and_in_bytes() {
        assert_eq!(groups(0, 0), Vec::<i64>::new());
        assert_eq!(groups(GROUP_ROWS_MAX + 1, 0), [GROUP_ROWS_MAX as i64, 1]);
        let long = groups(1_500, 60_000);
        assert_eq!((long.len(), long.iter().sum::<i64>()), (3, 1_500), "{long:?}");
    }

    #[test]
    fn a_full_disk_is_told_as_what_it_is() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut writer = ParquetWriter::new(Full).unwrap();
        writer.event("o", &Row::read(line(0, 9).as_bytes()).unwrap()).unwrap();
        assert_eq!(writer.finish().err().map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
    }
}
