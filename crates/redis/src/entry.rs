//! One line in a stream.
//!
//! The entry with the line of index 7 has the id `7-1`, since Redis refuses `0-0`. Its field `line` is the line's exact bytes. If
//! what comes before it in the trail is retired, the field `from` has the index after the last line that is there: so a worker can
//! tell what was retired from what was lost. The first entry of a batch has the leaf hash of the line before in the field `after`:
//! so a worker can tell the lines of one trail from those of another that has the same origin.

use redis::{FromRedisValue, ParsingError, Value};
use trailseal_core::deliver::BatchLine;
use trailseal_event::Index;
use trailseal_event::line::parse_front;
use trailseal_tlog::Hash;

const LINE: &[u8] = b"line";
const FROM: &[u8] = b"from";
const AFTER: &[u8] = b"after";

/// What a stream and a store can number.
const INDEX_MAX: u64 = i64::MAX as u64 - 1;

/// One line, as it was read from a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) index: u64,
    /// Everything from here up to `index` is retired.
    pub(crate) from: u64,
    /// The leaf hash of the line before, where that is said.
    pub(crate) after: Option<Hash>,
    pub(crate) line: Vec<u8>,
}

pub(crate) fn id(index: u64) -> String {
    format!("{index}-1")
}

fn index_in(id: &[u8]) -> Option<u64> {
    std::str::from_utf8(id).ok()?.strip_suffix("-1")?.parse().ok().filter(|index| *index <= INDEX_MAX)
}

/// A name and a value.
type Field = (Vec<u8>, Vec<u8>);

/// An entry of a stream that a trail may have written, or something else that somebody put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read(pub(crate) Option<Entry>);

impl FromRedisValue for Read {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (id, fields): (Vec<u8>, Vec<Field>) = FromRedisValue::from_redis_value(value)?;
        Ok(Read(read(&id, fields)))
    }
}

fn read(id: &[u8], fields: Vec<Field>) -> Option<Entry> {
    let index = index_in(id)?;
    let mut entry = Entry { index, from: index, after: None, line: Vec::new() };
    for (name, value) in fields {
        match &*name {
            LINE => entry.line = value,
            FROM => entry.from = std::str::from_utf8(&value).ok()?.parse().ok()?,
            AFTER => entry.after = Some(Hash((*value).try_into().ok()?)),
            _ => {}
        }
    }
    let is_it = entry.from <= index && parse_front(&entry.line).is_some_and(|front| front.index == index);
    is_it.then_some(entry)
}

impl Entry {
    /// As part of a batch. Nobody asks where in a segment a line stands that came through a stream.
    pub(crate) fn as_batch_line(&self) -> BatchLine<'_> {
        BatchLine { index: Index::new(self.index), bytes: &self.line, segment: Index::new(0), offset: 0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(index: u64) -> Vec<u8> {
        let stamp = "2026-11-29T12:00:00.000000Z";
        format!(r#"{{"v":1,"index":{index},"recorded":"{stamp}","action":"a"}}"#).into_bytes()
    }

    fn fields(line: &[u8], others: &[(&[u8], &[u8])]) -> Vec<Field> {
        let mut fields = vec![(LINE.to_vec(), line.to_vec())];
        fields.extend(others.iter().map(|(name, value)| (name.to_vec(), value.to_vec())));
        fields
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let line = line(7);
        assert!(parse_front(&line).is_some(), "the line of this test is one");
        let entry = |from, after| Entry { index: 7, from, after, line: line.clone() };
        assert_eq!(read(b"7-1", fields(&line, &[])), Some(entry(7, None)));
        let after = Some(Hash([5; 32]));
        assert_eq!(read(b"7-1", fields(&line, &[(FROM, b"3"), (AFTER, &[5; 32])])), Some(entry(3, after)));
        let no_line = b"x".to_vec();
        for (id, line, other) in [
            ("8-1", &line, None),
            ("7-0", &line, None),
            ("7-1", &line, Some((FROM, &b"8"[..]))),
            ("7-1", &line, Some((AFTER, &b"short"[..]))),
            ("7-1", &no_line, None),
        ] {
            assert_eq!(read(id.as_bytes(), fields(line, other.as_slice())), None, "{id} {other:?}");
        }
        assert_eq!(read(b"7-1", Vec::new()), None);
        let (largest, id) = (line_of_the_largest(), format!("{}-1", u64::MAX));
        assert_eq!(read(id.as_bytes(), fields(&largest, &[])), None);
    }

    fn line_of_the_largest() -> Vec<u8> {
        line(u64::MAX)
    }

    proptest! {
        #[test]
        fn nothing_that_somebody_puts_there_is_more_than_no_entry(id in ".{0,12}", name in "line|from|after|x", value: Vec<u8>) {
            let _ = read(id.as_bytes(), vec![(name.into_bytes(), value)]);
        }
    }
}
