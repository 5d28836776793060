//! Splits foreign bytes into single records.
//!
//! In: any reader of plain or gzip bytes. Out: the exact bytes of one record after the other, with the line that each
//! begins on, or why a part of the input is not a record.
//!
//! The format is detected from the bytes, never from a file's name:
//!
//! - one record per line (LF or CRLF; blank lines and a byte order mark are skipped);
//! - an array of records, `[{…},{…}]`, on one line or several;
//! - the same inside an object, `{"Records":[…]}`, as in CloudTrail's files; also several in a row, since gzip files
//!   are joined by appending.
//!
//! What must hold: memory is bounded by [`RECORD_BYTES_MAX`], and a broken record never takes a complete later line
//! with it. An array that is not closed properly is given up: everything after the line on which the trouble began is
//! read as lines.

mod source;

use std::io::{self, BufRead};

use source::{End, Source};

/// The maximum length of a record in bytes; a longer one is reported and skipped.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The bytes of one record, without the white space around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The line that it begins on; the first line is 1.
    pub line: u64,
    /// Its exact bytes; not yet known to be JSON.
    pub bytes: Vec<u8>,
}

/// A part of the input that could not be read as a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The line that it begins on; the first line is 1.
    pub line: u64,
    /// What is wrong with it, for people.
    pub reason: String,
}

/// Iterates over the records of one input; see the module's header for the formats.
pub struct Records<R> {
    source: Source<R>,
    place: Place,
    /// Whether `[` and `{"Records":[` still open an array. After one that was not closed they do not, which also keeps
    /// the work linear for an input made of such openings.
    arrays: bool,
}

/// Where in the input to look for the next record.
#[derive(Clone, Copy)]
enum Place {
    /// Nothing was read yet.
    Start,
    /// Between lines.
    Lines,
    /// In an array, inside an object (`wrapped`) or not.
    Array { wrapped: bool },
    /// Nothing can be read any more.
    End,
}

impl<R: BufRead> Records<R> {
    /// The records of `reader`.
    pub fn new(reader: R) -> Self {
        Records { source: Source::new(reader), place: Place::Start, arrays: true }
    }

    fn step(&mut self) -> io::Result<Option<Result<Record, Failed>>> {
        loop {
            match self.place {
                Place::End => return Ok(None),
                Place::Start => {
                    self.place = Place::Lines;
                    if self.source.skip_byte_order_mark()? {
                        self.place = Place::End;
                        return Ok(Some(Err(failed(1, "the text is UTF-16: convert it to UTF-8 first"))));
                    }
                }
                Place::Lines => {
                    self.source.skip_white_space()?;
                    match self.source.peek()? {
                        None => self.place = Place::End,
                        Some(b'{' | b'[') if self.arrays && self.opens_array()? => {}
                        Some(_) => return self.line().map(Some),
                    }
                }
                Place::Array { wrapped } => {
                    if let Some(found) = self.element(wrapped)? {
                        return Ok(Some(found));
                    }
                }
            }
        }
    }

    /// Enters an array if one begins here; otherwise nothing was consumed.
    fn opens_array(&mut self) -> io::Result<bool> {
        let wrapped = self.source.peek()? == Some(b'{');
        let opening: &[&[u8]] = if wrapped { &[b"{", b"\"Records\"", b":", b"["] } else { &[b"["] };
        // Only objects make it an array of records: a text line such as `[info] started` is not one.
        let opens = self.source.looks_like(opening, b"{]")?;
        if opens {
            self.place = Place::Array { wrapped };
        }
        Ok(opens)
    }

    fn line(&mut self) -> io::Result<Result<Record, Failed>> {
        let line = self.source.line();
        let mut bytes = Vec::new();
        Ok(match self.source.take_line(&mut bytes, RECORD_BYTES_MAX)? {
            End::Complete => Ok(Record { line, bytes: trimmed(bytes) }),
            End::TooLong | End::Broken => Err(too_long(line)),
        })
    }

    /// The next record of an array; `None` when the array ended properly.
    fn element(&mut self, wrapped: bool) -> io::Result<Option<Result<Record, Failed>>> {
        self.source.skip_separators()?;
        let line = self.source.line();
        match self.source.peek()? {
            None => {
                self.place = Place::End;
                return Ok(Some(Err(failed(line, "the input ends inside an array of records"))));
            }
            Some(b']') => {
                self.source.advance(1);
                self.place = Place::Lines;
                return if wrapped { self.rest_of_wrapper() } else { Ok(None) };
            }
            Some(_) => {}
        }
        let mut bytes = Vec::new();
        Ok(Some(match self.source.take_value(&mut bytes, 0, RECORD_BYTES_MAX)? {
            End::Complete => Ok(Record { line, bytes: trimmed(bytes) }),
            End::TooLong => Err(too_long(line)),
            End::Broken => Err(self.give_up_array(line, &bytes)),
        }))
    }

    /// Skips what follows the array in its object.
    fn rest_of_wrapper(&mut self) -> io::Result<Option<Result<Record, Failed>>> {
        self.source.skip_white_space()?;
        let line = self.source.line();
        let mut bytes = Vec::new();
        match self.source.peek()? {
            Some(b'}' | b',') => match self.source.take_value(&mut bytes, 1, RECORD_BYTES_MAX)? {
                End::Complete | End::TooLong => Ok(None),
                End::Broken => Ok(Some(Err(self.give_up_array(line, &bytes)))),
            },
            _ => Ok(Some(Err(failed(line, "the object around the array of records is not closed")))),
        }
    }

    /// Continues after the line on which the trouble began, reading lines from here on.
    fn give_up_array(&mut self, line: u64, bytes: &[u8]) -> Failed {
        self.arrays = false;
        self.place = Place::Lines;
        if let Some(end) = memchr::memchr(b'\n', bytes) {
            self.source.push_back(&bytes[end + 1..]);
        }
        failed(
            line,
            "a record in an array is truncated or not closed; what follows this line was read as lines",
        )
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<Record, Failed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().unwrap_or_else(|error| {
            self.place = Place::End;
            Some(Err(failed(self.source.line(), &format!("could not continue reading from here: {error}"))))
        })
    }
}

fn failed(line: u64, reason: &str) -> Failed {
    Failed { line, reason: reason.to_owned() }
}

fn too_long(line: u64) -> Failed {
    failed(line, &format!("longer than {} MiB, the maximum for a record", RECORD_BYTES_MAX >> 20))
}

fn trimmed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.trim_ascii_end().len());
    bytes
}

#[cfg(test)]
mod tests;
