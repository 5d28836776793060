//! Segment names: the index of the first line in 20 digits, then `.jsonl` or `.jsonl.zst`.

use std::path::PathBuf;

use trailseal_event::Index;

/// Which of a segment's files a name refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Plain lines.
    Plain,
    /// Lines in zstd frames.
    Compressed,
    /// No line is left: there is only the list of retired ranges.
    Gone,
}

/// One segment, as described by its name and the name of the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// Index of the first line.
    pub first: Index,
    /// Index at which the next segment begins; `None` for the last one.
    pub end: Option<Index>,
    /// Plain or compressed.
    pub form: Form,
    /// Where it is.
    pub path: PathBuf,
}

/// The file name of the segment that begins with `first`.
///
/// ```
/// use trailseal_core::segment::{Form, segment_name};
/// use trailseal_event::Index;
/// assert_eq!(segment_name(Index::new(1048576), Form::Plain), "00000000000001048576.jsonl");
/// ```
pub fn segment_name(first: Index, form: Form) -> String {
    match form {
        Form::Plain => format!("{:020}.jsonl", first.get()),
        Form::Compressed => format!("{:020}.jsonl.zst", first.get()),
        Form::Gone => retired_name(first),
    }
}

/// The name of the list of retired ranges of the segment that begins with `first`.
pub fn retired_name(first: Index) -> String {
    format!("{:020}.retired", first.get())
}

/// The first index in the name of a list of retired ranges; `None` for every other file.
pub(crate) fn parse_retired_name(name: &str) -> Option<Index> {
    parse_first(name.strip_suffix(".retired")?)
}

/// The name of the derived offset file of the segment that begins with `first`.
pub fn offsets_name(first: Index) -> String {
    format!("{:020}.offsets", first.get())
}

/// The first index and form in a file name; `None` for every other file.
pub fn parse_segment_name(name: &str) -> Option<(Index, Form)> {
    let (digits, form) = match name.strip_suffix(".jsonl") {
        Some(digits) => (digits, Form::Plain),
        None => (name.strip_suffix(".jsonl.zst")?, Form::Compressed),
    };
    Some((parse_first(digits)?, form))
}

fn parse_first(digits: &str) -> Option<Index> {
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Index::new(digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for first in [0, 7, 1_048_576, u64::MAX] {
            for form in [Form::Plain, Form::Compressed] {
                let name = segment_name(Index::new(first), form);
                assert_eq!(parse_segment_name(&name), Some((Index::new(first), form)));
            }
            let name = retired_name(Index::new(first));
            assert_eq!(
                (parse_retired_name(&name), parse_segment_name(&name)),
                (Some(Index::new(first)), None)
            );
        }
        for other in
            ["1.jsonl", "00000000000000000000.jsonl.tmp", "99999999999999999999.jsonl", "x", ".jsonl"]
        {
            assert_eq!(parse_segment_name(other), None, "{other}");
        }
    }
}
