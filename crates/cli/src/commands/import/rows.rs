//! Rows of a table as lines of JSON, as fast as they are taken.

use std::io::{self, BufRead, Read};

use trailseal_import::tables::Table;

/// Where rows come from: some at a time, none at the end.
pub(super) trait Rows: Send {
    fn some(&mut self) -> io::Result<Vec<Vec<Option<String>>>>;
}

/// Reads rows as the records of a table, one a line.
pub(super) struct RowLines<S> {
    rows: S,
    table: &'static Table,
    columns: Vec<String>,
    lines: Vec<u8>,
    at: usize,
}

impl<S: Rows> RowLines<S> {
    pub(super) fn new(rows: S, table: &'static Table, columns: Vec<String>) -> Self {
        RowLines { rows, table, columns, lines: Vec::new(), at: 0 }
    }
}

impl<S: Rows> Read for RowLines<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let at_hand = self.fill_buf()?;
        let len = at_hand.len().min(out.len());
        out[..len].copy_from_slice(&at_hand[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl<S: Rows> BufRead for RowLines<S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.lines.len() {
            self.lines.clear();
            self.at = 0;
            for row in self.rows.some()? {
                self.lines.extend_from_slice(self.table.record(&self.columns, &row).as_bytes());
                self.lines.push(b'\n');
            }
        }
        Ok(&self.lines[self.at..])
    }

    fn consume(&mut self, len: usize) {
        self.at = (self.at + len).min(self.lines.len());
    }
}
