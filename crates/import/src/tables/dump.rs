//! The rows of one table in a dump: of `pg_dump`, with COPY or INSERT, and of SQLite's `.dump`.
//!
//! Each line of the dump gives one line: the record of a row, or nothing. So the lines of records are those of the dump.

use std::io::{self, BufRead, Read};

use super::Table;
use super::statement::{Follow, Tokens, unescape};
use crate::records::RECORD_BYTES_MAX;

/// Reads the rows of a table as lines of JSON.
pub struct DumpLines<R> {
    dump: R,
    table: &'static Table,
    follow: Follow,
    state: State,
    /// The columns with which tables of that name are made in this dump.
    defined: Vec<(Named, Vec<String>)>,
    out: Vec<u8>,
    out_at: usize,
}

/// A table's schema, if it is said, and its name.
type Named = (Option<String>, String);

enum State {
    /// In statements that say nothing of the table.
    Other,
    /// In the rows of a COPY: of the table, with these columns, or of another.
    Copy(Option<Vec<String>>),
    /// In a statement that may say something, and the lines of it so far.
    Statement { text: Vec<u8>, lines: usize },
}

impl<R: BufRead> DumpLines<R> {
    /// The rows of `table` in a dump.
    pub fn new(dump: R, table: &'static Table) -> Self {
        DumpLines {
            dump,
            table,
            follow: Follow::default(),
            state: State::Other,
            defined: Vec::new(),
            out: Vec::new(),
            out_at: 0,
        }
    }

    /// Whether this is how a dump begins.
    pub fn is_dump(head: &[u8]) -> bool {
        let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
        let begins = [
            &b"--"[..],
            b"\\restrict",
            b"/*",
            b"SET ",
            b"BEGIN",
            b"PRAGMA ",
            b"COPY ",
            b"INSERT INTO",
            b"CREATE ",
            b"DROP ",
        ];
        begins
            .iter()
            .any(|begin| head.get(..begin.len()).is_some_and(|head| head.eq_ignore_ascii_case(begin)))
    }

    /// Takes one line of the dump, and adds what it gives.
    fn step(&mut self) -> io::Result<bool> {
        let mut line = Vec::new();
        // A longer line is not one record, and is skipped.
        let len = (&mut self.dump).take(RECORD_BYTES_MAX as u64 * 2).read_until(b'\n', &mut line)?;
        if len == 0 {
            if let State::Statement { text, lines } = std::mem::replace(&mut self.state, State::Other) {
                self.statement(&text, lines);
                return Ok(true);
            }
            return Ok(false);
        }
        let is_whole = line.ends_with(b"\n") || (len as u64) < RECORD_BYTES_MAX as u64 * 2;
        if !is_whole {
            skip_line(&mut self.dump)?;
        }
        match &mut self.state {
            State::Copy(columns) => {
                let text = trimmed(&line);
                if text == b"\\." {
                    self.state = State::Other;
                } else if let (Some(columns), true) = (&columns, is_whole) {
                    let record = row_of_copy(text).map(|values| self.table.record(columns, &values));
                    self.out.extend_from_slice(record.as_deref().unwrap_or(NO_ROW).as_bytes());
                } else if columns.is_some() {
                    self.out.extend_from_slice(NO_ROW.as_bytes());
                }
                self.out.push(b'\n');
            }
            State::Statement { text, lines } => {
                text.extend_from_slice(&line);
                *lines += 1;
                let is_too_long = text.len() > RECORD_BYTES_MAX;
                self.follow.line(&line);
                if is_too_long {
                    self.out.extend_from_slice(NO_ROW.as_bytes());
                    self.end_statement();
                } else if self.follow.is_between() {
                    self.end_statement();
                }
            }
            State::Other => {
                let begins = self.follow.is_between() && says_something(&line);
                self.follow.line(&line);
                if begins {
                    self.state = State::Statement { text: line, lines: 1 };
                    if self.follow.is_between() {
                        self.end_statement();
                    }
                } else {
                    self.out.push(b'\n');
                }
            }
        }
        Ok(true)
    }

    fn end_statement(&mut self) {
        if let State::Statement { text, lines } = std::mem::replace(&mut self.state, State::Other) {
            self.statement(&text, lines);
        }
    }

    /// Takes a whole statement, and as many lines as it had.
    fn statement(&mut self, text: &[u8], lines: usize) {
        let text = String::from_utf8_lossy(text);
        let before = self.out.len();
        let mut tokens = Tokens::new(&text);
        if tokens.words("COPY") {
            let named = tokens.table().filter(|named| self.is_named(named));
            let columns = tokens.columns().or_else(|| self.defined_as(named.as_ref()?));
            let columns = columns.filter(|columns| named.is_some() && self.table.has_columns(columns));
            if tokens.words("FROM stdin") {
                self.state = State::Copy(columns);
            }
        } else if tokens.words("CREATE") {
            let _ = tokens.word("UNLOGGED");
            let is_table = tokens.word("TABLE");
            let _ = tokens.word("IF") && tokens.words("NOT EXISTS");
            let named = tokens.table().filter(|named| is_table && self.is_named(named));
            if let Some(named) = named.filter(|_| tokens.symbol('(')) {
                self.defined.push((named, tokens.defined_columns()));
            }
        } else if tokens.words("INSERT INTO") {
            self.insert(&mut tokens);
        }
        let given = self.out[before..].iter().filter(|&&byte| byte == b'\n').count();
        self.out.resize(self.out.len() + lines.saturating_sub(given), b'\n');
    }

    fn insert(&mut self, tokens: &mut Tokens<'_>) {
        let Some(named) = tokens.table().filter(|named| self.is_named(named)) else { return };
        let columns = tokens.columns().or_else(|| self.defined_as(&named));
        let columns = columns.unwrap_or_else(|| self.table.defined());
        if !self.table.has_columns(&columns) {
            return;
        }
        let _ = tokens.words("OVERRIDING SYSTEM VALUE");
        if !tokens.word("VALUES") {
            return;
        }
        loop {
            let row = tokens.row().filter(|values| values.len() == columns.len());
            let is_row = row.is_some();
            let record = row.map(|values| self.table.record(&columns, &values));
            self.out.extend_from_slice(record.as_deref().unwrap_or(NO_ROW).as_bytes());
            self.out.push(b'\n');
            if !is_row || !tokens.symbol(',') {
                return;
            }
        }
    }

    fn is_named(&self, (schema, name): &Named) -> bool {
        // In a schema of the application's choice, too.
        name == self.table.name && schema.as_deref() != Some("trailseal")
    }

    fn defined_as(&self, named: &Named) -> Option<Vec<String>> {
        self.defined.iter().find(|(known, _)| known == named).map(|(_, columns)| columns.clone())
    }
}

/// Stands for a row that cannot be read: it is told as a failure.
const NO_ROW: &str = "no row: its values cannot be read";

fn says_something(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    [&b"COPY "[..], b"INSERT ", b"CREATE "]
        .iter()
        .any(|begin| line.get(..begin.len()).is_some_and(|head| head.eq_ignore_ascii_case(begin)))
}

fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn row_of_copy(line: &[u8]) -> Option<Vec<Option<String>>> {
    let value = |field: &[u8]| {
        if field == b"\\N" {
            return Some(None);
        }
        let (mut bytes, mut at) = (Vec::with_capacity(field.len()), 0);
        while let Some(&byte) = field.get(at) {
            if byte == b'\\' {
                at += unescape(&field[at..], &mut bytes);
            } else {
                bytes.push(byte);
                at += 1;
            }
        }
        String::from_utf8(bytes).ok().map(Some)
    };
    line.split(|&byte| byte == b'\t').map(value).collect()
}

fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let at_hand = reader.fill_buf()?;
        let end = memchr::memchr(b'\n', at_hand);
        let len = end.map_or(at_hand.len(), |end| end + 1);
        let is_over = end.is_some() || at_hand.is_empty();
        reader.consume(len);
        if is_over {
            return Ok(());
        }
    }
}

impl<R: BufRead> Read for DumpLines<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let at_hand = self.fill_buf()?;
        let len = at_hand.len().min(out.len());
        out[..len].copy_from_slice(&at_hand[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl<R: BufRead> BufRead for DumpLines<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.out_at == self.out.len() {
            self.out.clear();
            self.out_at = 0;
            if !self.step()? {
                break;
            }
        }
        Ok(&self.out[self.out_at..])
    }

    fn consume(&mut self, len: usize) {
        self.out_at = (self.out_at + len).min(self.out.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: &str, dump: &str, expected: &[(usize, &str)]) {
        let table = Table::of_format(format).expect("a table");
        assert!(DumpLines::<&[u8]>::is_dump(dump.as_bytes()), "{dump}");
        let mut text = String::new();
        DumpLines::new(dump.as_bytes(), table).read_to_string(&mut text).expect("reads");
        let found: Vec<(usize, &str)> = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.is_empty())
            .map(|(at, line)| (at + 1, line))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn rows_of_copy_have_the_lines_of_the_dump() {
        check(
            "audit_trail",
            "--\n-- PostgreSQL database dump\n--\n\n\\restrict x'y\nSET x = 'a;\nCOPY public.audit_trail (action) FROM stdin;\n';\n\
             CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $_$\nINSERT INTO audit_trail VALUES (1);\n$_$;\n\
             COPY public.other (action, resource_type, \"timestamp\") FROM stdin;\nx\ty\tz\n\\.\n\n\
             COPY public.audit_trail (id, action, resource_type, \"timestamp\", details, resource_name) FROM stdin;\n\
             1\tcreate\tmodel\t2026-01-01 10:00:00+00\t{\"a\": \"tab\\\\there\"}\ta\\tb\\\\\n\
             2\tread\tmodel\t2026-01-01 10:00:01+00\t\\N\t\\N\n\\.\n",
            &[
                (
                    17,
                    r#"{"id":"1","action":"create","resource_type":"model","resource_name":"a\tb\\","timestamp":"2026-01-01T10:00:00.000000Z","details":{"a":"tab\there"}}"#,
                ),
                (
                    18,
                    r#"{"id":"2","action":"read","resource_type":"model","timestamp":"2026-01-01T10:00:01.000000Z"}"#,
                ),
            ],
        );
    }

    #[test]
    fn inserts_are_read_with_their_columns_or_those_of_the_table() {
        check(
            "resync_audit_logs",
            "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE audit_logs (\n\tid INTEGER NOT NULL, \n\taction VARCHAR(255) NOT NULL, \n\
             \tuser_id VARCHAR(255) NOT NULL, \n\ttimestamp DATETIME, \n\tdetails TEXT, \n\tPRIMARY KEY (id)\n);\n\
             INSERT INTO audit_logs VALUES(1,'login','o''neil','2026-01-01 10:00:00.000000',replace('{\"a\":\\n1}','\\n',char(10)));\n\
             INSERT INTO audit_logs VALUES(2,'x\ny',NULL,'2026-01-01 10:00:01','{}');\n\
             INSERT INTO \"audit_logs\"(action,timestamp) VALUES\n('a', '2026-01-01 10:00:02'::timestamp),\n(E'b\\'c', now());\nCOMMIT;\n",
            &[
                (
                    11,
                    r#"{"id":1,"action":"login","user_id":"o'neil","details":{"a":1},"timestamp":"2026-01-01T10:00:00.000000Z"}"#,
                ),
                (12, r#"{"id":2,"action":"x\ny","details":{},"timestamp":"2026-01-01T10:00:01.000000Z"}"#),
                (14, r#"{"action":"a","timestamp":"2026-01-01T10:00:02.000000Z"}"#),
                (15, r#"{"action":"b'c","timestamp":"now()"}"#),
            ],
        );
    }

    #[test]
    fn what_is_no_row_is_told_and_nothing_is_too_odd() {
        check(
            "audit_events",
            "INSERT INTO audit_events (event_type, action, timestamp) VALUES ('a', 'b');\n",
            &[(1, NO_ROW)],
        );
        check(
            "audit_events",
            "INSERT INTO trailseal.audit_events (event_type, action, timestamp) VALUES ('a', 'b', 'c');\n",
            &[],
        );
        for odd in [
            "INSERT INTO audit_events VALUES (",
            "COPY audit_events",
            "CREATE TABLE audit_events (",
            "-- $$\n$$ '",
        ] {
            let table = Table::of_format("audit_events").expect("a table");
            let mut text = String::new();
            let _ = DumpLines::new(odd.as_bytes(), table).read_to_string(&mut text);
        }
    }
}
