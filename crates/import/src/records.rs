//! Splits foreign bytes into single records.
//!
//! In: any reader of plain or gzip bytes. Out: the exact bytes of one record after the other, with the line that each
//! begins on and how it is written, or why a part of the input is not a record.
//!
//! The arrangement is told from the first bytes, never from a file's name (`head.rs`): records one a line (JSON, CSV,
//! logfmt, syslog, CEF, the audit daemon's), JSON objects over several lines, an array, an array inside an object;
//! also several of the latter in a row, since gzip files are joined by appending.
//!
//! What must hold: memory is bounded by [`RECORD_BYTES_MAX`], and a broken record never takes a complete later line
//! with it. An array or object that is not closed properly is given up: everything after the line on which the trouble
//! began is read as lines.

mod container;
mod head;
mod members;
mod source;

use std::collections::VecDeque;
use std::io::{self, BufRead};

use crate::form::Form;
use crate::json_tree::{Item, Owned};
use crate::mapping::{Mapping, Path};
use head::{Arrangement, Hints};
use source::{End, Source};

/// The maximum length of a record in bytes; a longer one is reported and skipped.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The bytes of one record, without the white space around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The line that it begins on; the first line is 1.
    pub line: u64,
    /// Its exact bytes; not yet known to be what they look like.
    pub bytes: Vec<u8>,
    /// How they are written.
    pub form: Form,
}

/// A part of the input that could not be read as a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The line that it begins on; the first line is 1.
    pub line: u64,
    /// What is wrong with it, for people.
    pub reason: String,
}

/// Whether an object among other records is there only for the records in it.
pub(crate) fn is_container(object: Item<'_>, mapping: &Mapping) -> bool {
    container::is_container(object, mapping.records(), &|record| mapping.knows(record))
}

/// Iterates over the records of one input; see the module's header for the formats.
pub struct Records<'m, R> {
    source: Source<R>,
    place: Place,
    /// Whether arrays and objects over several lines are read. After one that was not closed they are not, which also
    /// keeps the work linear for an input made of such openings.
    arrays: bool,
    path: Option<&'m Path>,
    form: Option<&'m Form>,
    is_record: IsRecord<'m>,
    /// What the input was taken for, for people.
    taken_for: Option<String>,
    /// What was read ahead.
    ahead: VecDeque<Result<Record, Failed>>,
    /// Sees each record once, in order, when it is read.
    observer: Option<Observer<'m>>,
}

/// What looks at each record that was read.
type Observer<'m> = Box<dyn FnMut(&Record) + Send + 'm>;

/// Whether an object is a record itself, whatever lists it has; also told whether more follows it.
type IsRecord<'m> = Box<dyn Fn(&[u8], bool) -> bool + Send + Sync + 'm>;

/// Where in the input to look for the next record.
#[derive(Clone, Debug)]
enum Place {
    /// Nothing was read yet.
    Start,
    /// Before something whose arrangement is not known.
    Unknown,
    /// Between lines.
    Lines(Form),
    /// Between objects.
    Objects,
    /// In an array inside this many brackets.
    Array(usize),
    /// Nothing can be read any more.
    End,
}

impl<'m, R: BufRead> Records<'m, R> {
    /// The records of `reader`.
    pub fn new(reader: R) -> Self {
        Self::with(reader, None, None, Box::new(|_, _| false))
    }

    /// The records of `reader`, arranged as `mapping` says or understands them.
    pub fn of(reader: R, mapping: &'m Mapping) -> Self {
        let is_record = move |bytes: &[u8], is_followed: bool| {
            Form::Json.value(bytes).is_ok_and(|value| {
                container::is_record(Owned::of(&value).root(), is_followed, &|record| mapping.knows(record))
            })
        };
        Self::with(reader, mapping.records(), mapping.form(), Box::new(is_record))
    }

    /// The records of `reader`, arranged as any of the built-in mappings understands them.
    pub fn of_any(reader: R) -> Self {
        let detects = |record: Item<'_>| Mapping::builtins().any(|mapping| mapping.detects(record));
        let is_record = move |bytes: &[u8], is_followed: bool| {
            Form::Json
                .value(bytes)
                .is_ok_and(|value| container::is_record(Owned::of(&value).root(), is_followed, &detects))
        };
        Self::with(reader, None, None, Box::new(is_record))
    }

    fn with(reader: R, path: Option<&'m Path>, form: Option<&'m Form>, is_record: IsRecord<'m>) -> Self {
        Records {
            source: Source::new(reader),
            place: Place::Start,
            arrays: true,
            path,
            form,
            is_record,
            taken_for: None,
            ahead: VecDeque::new(),
            observer: None,
        }
    }

    /// The same; `observer` sees each record once, in order. What was read ahead before, it does not see.
    #[must_use]
    pub fn observed(mut self, observer: impl FnMut(&Record) + Send + 'm) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// What the input was taken for, such as `an array of JSON objects`; known once a record was read.
    pub fn taken_for(&self) -> Option<&str> {
        self.taken_for.as_deref()
    }

    /// Reads some records ahead, at most `count` or about `bytes_max` bytes of them. They still come in their turn.
    pub(crate) fn peek(
        &mut self,
        count: usize,
        bytes_max: usize,
    ) -> impl Iterator<Item = &Result<Record, Failed>> {
        let mut bytes = 0;
        while self.ahead.len() < count && bytes < bytes_max {
            let Some(record) = self.read_next() else { break };
            bytes += record.as_ref().map_or(0, |record| record.bytes.len());
            self.ahead.push_back(record);
        }
        self.ahead.iter()
    }

    /// Whether the next record may have to be waited for, as in what another program is writing.
    pub(crate) fn may_wait(&mut self) -> bool {
        self.ahead.is_empty()
            && match self.place {
                Place::Lines(_) => !self.source.has_line(),
                _ => !self.source.is_at_hand(),
            }
    }

    fn read_next(&mut self) -> Option<Result<Record, Failed>> {
        let next = self.step().unwrap_or_else(|error| {
            self.place = Place::End;
            Some(Err(failed(self.source.line(), &format!("could not continue reading from here: {error}"))))
        });
        if let (Some(observer), Some(Ok(record))) = (&mut self.observer, &next) {
            observer(record);
        }
        next
    }

    fn step(&mut self) -> io::Result<Option<Result<Record, Failed>>> {
        loop {
            let found = match &self.place {
                Place::End => return Ok(None),
                Place::Start => {
                    self.place = Place::Unknown;
                    let no_text = match self.source.skip_byte_order_mark()? {
                        true => Some(head::UTF_16),
                        false => {
                            head::no_text(self.source.head(head::NO_TEXT_BYTES, head::is_enough_for_text)?.0)
                        }
                    };
                    if let Some(why) = no_text {
                        self.place = Place::End;
                        return Ok(Some(Err(failed(1, why))));
                    }
                    None
                }
                Place::Unknown => self.look()?,
                Place::Lines(_) => self.line()?,
                Place::Objects => self.object()?,
                Place::Array(depth) => self.element(*depth)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Finds out how what comes next is arranged.
    fn look(&mut self) -> io::Result<Option<Result<Record, Failed>>> {
        self.source.skip_white_space()?;
        if !self.arrays {
            self.place = Place::Lines(self.form.cloned().unwrap_or(Form::Json));
            return Ok(None);
        }
        let bytes_max = if self.path.is_some() { head::HEAD_BYTES_FOR_PATH } else { head::HEAD_BYTES };
        let (head, is_whole) = self.source.head(bytes_max, |head| head::is_enough(head, self.path))?;
        if head.is_empty() {
            self.place = Place::End;
            return Ok(None);
        }
        let hints = Hints { path: self.path, form: self.form, is_record: &*self.is_record };
        let arrangement = head::look(head, is_whole, &hints);
        let taken_for = arrangement.to_string();
        self.taken_for.get_or_insert(taken_for);
        self.place = match arrangement {
            Arrangement::Lines { form, header } => {
                if header {
                    let end = memchr::memchr(b'\n', head).map_or(head.len(), |end| end + 1);
                    self.source.skip_head(end);
                }
                Place::Lines(form)
            }
            Arrangement::Objects => Place::Objects,
            Arrangement::Array => {
                self.source.skip_head(1);
                Place::Array(0)
            }
            Arrangement::Container { skip, depth, .. } => {
                self.source.skip_head(skip);
                Place::Array(depth)
            }
        };
        Ok(None)
    }

    fn line(&mut self) -> io::Result<Option<Result<Record, Failed>>> {
        let Place::Lines(form) = &self.place else { return Ok(None) };
        let form = form.clone();
        self.source.skip_white_space()?;
        let line = self.source.line();
        if self.source.peek()?.is_none() {
            self.place = Place::End;
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let mut end = self.source.take_line(&mut bytes, RECORD_BYTES_MAX)?;
        // Another file may have been appended, whose objects take several lines.
        if self.arrays && form == Form::Json && bytes.trim_ascii() == b"{" && self.source.peek()?.is_some() {
            bytes.push(b'\n');
            self.source.push_back(&bytes);
            self.place = Place::Objects;
            return Ok(None);
        }
        if form.has_lines() && end == End::Complete {
            end = self.more_lines(&form, &mut bytes)?;
        }
        Ok(Some(match end {
            End::Complete => Ok(Record { line, bytes: trimmed(bytes), form }),
            End::TooLong => Err(too_long(line)),
            End::Broken => {
                Err(failed(line, "a quoted field has no end; what follows this line was read as lines"))
            }
        }))
    }

    /// Takes the lines that belong to the first one. If it does not end, they are put back.
    fn more_lines(&mut self, form: &Form, bytes: &mut Vec<u8>) -> io::Result<End> {
        let (first, begun) = (bytes.len(), self.source.line());
        loop {
            let next = self.source.next_line()?;
            if next.is_empty() && form.is_open(bytes) || bytes.len() > RECORD_BYTES_MAX {
                let mut rest = bytes.split_off(first);
                // The last line had an end too, unless the input ended with it.
                let is_ended = self.source.line() - begun == memchr::memchr_iter(b'\n', &rest).count() as u64;
                rest.extend(is_ended.then_some(b'\n'));
                self.source.push_back(rest.get(1..).unwrap_or_default());
                return Ok(End::Broken);
            }
            if next.is_empty() || !form.goes_on(bytes, next) {
                return Ok(End::Complete);
            }
            bytes.push(b'\n');
            self.source.take_line(bytes, RECORD_BYTES_MAX + bytes.len())?;
        }
    }

    fn object(&mut self) -> io::Result<Option<Result<Record, Failed>>> {
        self.source.skip_white_space()?;
        let line = self.source.line();
        match self.source.peek()? {
            None => {
                self.place = Place::End;
                Ok(None)
            }
            Some(b'{') => self.value(line).map(Some),
            Some(_) => {
                let mut bytes = Vec::new();
                self.source.take_line(&mut bytes, RECORD_BYTES_MAX)?;
                Ok(Some(Ok(Record { line, bytes: trimmed(bytes), form: Form::Json })))
            }
        }
    }

    /// The next record of an array; `None` when the array ended properly.
    fn element(&mut self, depth: usize) -> io::Result<Option<Result<Record, Failed>>> {
        self.source.skip_separators()?;
        let line = self.source.line();
        match self.source.peek()? {
            None => {
                self.place = Place::End;
                Ok(Some(Err(failed(line, "the input ends inside an array of records"))))
            }
            Some(b']') => {
                self.source.advance(1);
                self.place = Place::Unknown;
                if depth > 0 { self.rest_of_container(depth) } else { Ok(None) }
            }
            Some(_) => self.value(line).map(Some),
        }
    }

    fn value(&mut self, line: u64) -> io::Result<Result<Record, Failed>> {
        let mut bytes = Vec::new();
        Ok(match self.source.take_value(&mut bytes, 0, RECORD_BYTES_MAX)? {
            End::Complete => Ok(Record { line, bytes: trimmed(bytes), form: Form::Json }),
            End::TooLong => Err(too_long(line)),
            End::Broken => Err(self.give_up(line, &bytes)),
        })
    }

    /// Skips what follows the array in the objects around it.
    fn rest_of_container(&mut self, depth: usize) -> io::Result<Option<Result<Record, Failed>>> {
        self.source.skip_white_space()?;
        let line = self.source.line();
        let mut bytes = Vec::new();
        match self.source.peek()? {
            Some(b'}' | b',') => match self.source.take_value(&mut bytes, depth, RECORD_BYTES_MAX)? {
                End::Complete | End::TooLong => Ok(None),
                End::Broken => Ok(Some(Err(self.give_up(line, &bytes)))),
            },
            _ => {
                self.arrays = false;
                Ok(Some(Err(failed(line, "the object around the array of records is not closed"))))
            }
        }
    }

    /// Continues after the line on which the trouble began, reading lines from here on.
    fn give_up(&mut self, line: u64, bytes: &[u8]) -> Failed {
        self.arrays = false;
        self.place = Place::Unknown;
        if let Some(end) = memchr::memchr(b'\n', bytes) {
            self.source.push_back(&bytes[end + 1..]);
        }
        failed(line, "a record is truncated or not closed; what follows this line was read as lines")
    }
}

impl<R: BufRead> Iterator for Records<'_, R> {
    type Item = Result<Record, Failed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.ahead.pop_front().or_else(|| self.read_next())
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
