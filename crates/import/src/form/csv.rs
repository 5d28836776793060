//! Comma-separated values (RFC 4180), also with semicolons, tabs or bars.

use std::sync::Arc;

use csv_core::{ReadRecordResult, ReaderBuilder};
use trailseal_event::Object;

/// More columns than this are no table.
const COLUMNS_MAX: usize = 4096;
const NAME_BYTES_MAX: usize = 128;

/// The columns of a table, as its header names them.
#[derive(Clone, Debug)]
pub struct Columns {
    delimiter: u8,
    names: Arc<[String]>,
}

impl Columns {
    /// Columns that a mapping names, for tables without a header.
    pub(crate) fn named(names: Vec<String>) -> Columns {
        Columns { delimiter: b',', names: distinct(names).into() }
    }

    /// The columns, if the first of `lines` is a header and the next one a row, or, where that one may be broken, most
    /// of at least three.
    pub(crate) fn of_header(lines: &[&[u8]]) -> Option<Columns> {
        let [header, row, ..] = lines else { return None };
        let below = &lines[1..];
        let with = |&delimiter: &u8| {
            let names = fields(header, delimiter)?;
            let is_header =
                (2..=COLUMNS_MAX).contains(&names.len()) && names.iter().all(|name| is_name(name));
            let columns = Columns { delimiter, names: distinct(names).into() };
            let is_json = |row: &[u8]| row.starts_with(b"{");
            let is_row = |row: &[u8]| fields(row, delimiter).is_some_and(|row| row.len() == columns.len());
            let are_most = || {
                let rows = below.iter().filter(|row| is_row(row)).count();
                below.len() >= 3 && rows * 2 > below.len() && !below.iter().any(|row| is_json(row))
            };
            let fits = is_header && !is_json(row) && (columns.is_open(row) || is_row(row) || are_most());
            fits.then_some(columns)
        };
        // Of equals the last counts.
        b"|;\t,".iter().filter_map(with).max_by_key(Columns::len)
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether the row ends inside quotes.
    pub(super) fn is_open(&self, row: &[u8]) -> bool {
        let mut at = At::Start;
        for &byte in row {
            at = match (at, byte) {
                (At::Start, b'"') | (At::Closing, b'"') => At::Quoted,
                (At::Quoted, b'"') => At::Closing,
                (At::Quoted, _) => At::Quoted,
                (_, byte) if byte == self.delimiter => At::Start,
                _ => At::Plain,
            };
        }
        matches!(at, At::Quoted)
    }

    /// The row as an object of texts.
    pub(super) fn row(&self, row: &[u8]) -> Result<Object, String> {
        let fields = fields(row, self.delimiter).ok_or("not a row of text fields")?;
        if fields.len() != self.names.len() {
            return Err(format!("the row has {} fields, the header {}", fields.len(), self.names.len()));
        }
        Ok(self.names.iter().zip(fields).collect())
    }
}

/// Where in a field a byte is.
enum At {
    Start,
    Plain,
    Quoted,
    /// Behind a quote that ends the field, unless another one follows.
    Closing,
}

/// Whether a text can name a column.
fn is_name(name: &str) -> bool {
    let name = name.trim();
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.contains(['=', '{', '}', '<', '>', '"', '['])
        && !name.contains(": ")
        && name.split_whitespace().count() <= 6
}

/// The same names, trimmed, without any twice.
fn distinct(names: Vec<String>) -> Vec<String> {
    let mut taken = std::collections::HashSet::new();
    let mut distinct = Vec::with_capacity(names.len());
    for name in names {
        let name = name.trim();
        let mut own = name.to_owned();
        let mut count = 1;
        while !taken.insert(own.clone()) {
            count += 1;
            own = format!("{name}_{count}");
        }
        distinct.push(own);
    }
    distinct
}

/// The fields of one row, without quotes; none if they are not UTF-8.
fn fields(row: &[u8], delimiter: u8) -> Option<Vec<String>> {
    let mut reader = ReaderBuilder::new().delimiter(delimiter).build();
    let mut text = vec![0; row.len() + 1];
    let mut ends = vec![0; memchr::memchr_iter(delimiter, row).count() + 2];
    let (mut read, mut written, mut ended) = (0, 0, 0);
    loop {
        // An empty input tells the reader that the row has ended.
        let (result, taken, put, put_ends) =
            reader.read_record(&row[read..], text.get_mut(written..)?, ends.get_mut(ended..)?);
        (read, written, ended) = (read + taken, written + put, ended + put_ends);
        match result {
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => return None,
            ReadRecordResult::Record | ReadRecordResult::End => break,
        }
    }
    let mut from = 0;
    let mut fields = Vec::with_capacity(ended);
    for &end in &ends[..ended] {
        fields.push(std::str::from_utf8(text.get(from..end)?).ok()?.to_owned());
        from = end;
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &str, expected: Option<&str>) {
        let lines: Vec<&[u8]> = lines.split('\n').map(str::as_bytes).collect();
        let object = Columns::of_header(&lines).map(|columns| columns.row(lines[1]).expect("a row"));
        assert_eq!(
            object.map(|object| trailseal_event::Value::Object(object).to_string()).as_deref(),
            expected
        );
    }

    #[test]
    fn tables_are_told_by_their_header() {
        check("a,b c\n1,\"x \"\"y\"\", z\"", Some(r#"{"a":"1","b c":"x \"y\", z"}"#));
        check("a;b\n1;", Some(r#"{"a":"1","b":""}"#));
        check("Time\tUser\tUser\n1\t2\t3", Some(r#"{"Time":"1","User":"2","User_2":"3"}"#));
        check("one word\nanother", None);
        check("a,b\n1,2,3", None);
        check("2024-01-01,x\n2024-01-02,y", None);
        check("a=1,b=2\na=1,b=2", None);
        check("a,b", None);
        check("a;b, c;d\n1;2, 3;4", Some(r#"{"a":"1","b, c":"2, 3","d":"4"}"#));
    }

    #[test]
    fn a_broken_first_row_does_not_hide_the_header() {
        let count = |lines: &[&str]| {
            let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
            Columns::of_header(&lines).map(|columns| columns.len())
        };
        assert_eq!(count(&["a,b,c", "1,2", "1,2,3", "4,5,6"]), Some(3));
        // One line that happens to fit says nothing.
        assert_eq!(count(&["Log opened, by root", "one", "two, three", "four"]), None);
        assert_eq!(count(&["a,b,c", "1,2", "1,2,3"]), None);
        assert_eq!(count(&["text, with comma 0", "{\"a\":1,\"b\":2}", "text, with comma 1", "x,y"]), None);
        assert_eq!(count(&["text, comma", "x", "{\"a\":1,\"b\":2}", "x, y", "x, z"]), None);
    }

    #[test]
    fn quotes_may_run_over_lines() {
        let columns = Columns::named(vec!["a".to_owned(), "b".to_owned()]);
        assert!(columns.is_open(b"1,\"x"));
        assert!(columns.is_open(b"\"a\"\"b"));
        assert!(!columns.is_open(b"1,\"x\""));
        assert!(!columns.is_open(b"1,5\" pipe"));
        assert!(!columns.is_open(b"\"a\"\"b\",2"));
        let row = columns.row(b"\"1\n2\",3").expect("a row");
        assert_eq!(row.get("a").and_then(|value| value.as_str()), Some("1\n2"));
        assert!(columns.row(b"1,2,3").is_err());
    }
}
