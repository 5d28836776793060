//! What an input is, judged by its first bytes.

use super::container::{self, Found};
use crate::form::{Columns, Form};
use crate::mapping::Path;

/// How many bytes are looked at.
pub(super) const HEAD_BYTES: usize = 256 * 1024;
/// The same where the mapping names the path of the records, which may come late.
pub(super) const HEAD_BYTES_FOR_PATH: usize = 16 * 1024 * 1024;

/// What begins files that are no text.
const NO_TEXT: [(&[u8], &str); 8] = [
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd: decompress it first, such as with zstd -dc"),
    (b"\xfd7zXZ\0", "it is compressed with xz: decompress it first, such as with xz -dc"),
    (b"BZh", "it is compressed with bzip2: decompress it first, such as with bzip2 -dc"),
    (b"\x1f\x8b", "it is compressed twice: decompress it first, such as with gzip -dc"),
    (b"PK\x03\x04", "it is a zip file: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z file: unpack it first"),
    (b"PAR1", "it is a Parquet file: export its rows as JSON or CSV first"),
    (b"ElfFile\0", "it is a Windows event log: export its events as JSON or CSV first"),
];
/// What a tar file has behind the name and the numbers of its first file.
const TAR: (&[u8], usize) = (b"ustar", 257);
/// Behind that.
pub(super) const NO_TEXT_BYTES: usize = 512;

/// Whether more bytes would not change what [`no_text`] says.
pub(super) fn is_enough_for_text(head: &[u8]) -> bool {
    matches!(head, [b'{' | b'[', _, _, _, ..])
        || head.len() >= NO_TEXT_BYTES
        || memchr::memchr(b'\n', head).is_some()
}

/// Why nothing can be read from an input that begins with `head`, if it is no text, for people.
pub(super) fn no_text(head: &[u8]) -> Option<&'static str> {
    if let Some((_, what)) = NO_TEXT.iter().find(|(magic, _)| head.starts_with(magic)) {
        // `BZh` may be a text, if the size of a block does not follow.
        let is_text = head.starts_with(b"BZh") && !head.get(3).is_some_and(u8::is_ascii_digit);
        // So may `PAR1`: in Parquet a number follows that no text has.
        let is_text = is_text
            || head.starts_with(b"PAR1")
                && !head.get(4).is_some_and(|&byte| byte < 0x20 && !byte.is_ascii_whitespace());
        return (!is_text).then_some(what);
    }
    if head.get(TAR.1..).is_some_and(|rest| rest.starts_with(TAR.0)) {
        return Some("it is a tar file: unpack it first, such as with tar -xO");
    }
    // Without a mark. No text has NUL as its first or second character.
    match head {
        [0, 1..=255, 0, 1..=255, ..] | [1..=255, 0, 1..=255, 0, ..] => Some(UTF_16),
        _ => None,
    }
}

/// Why a text in UTF-16 is not read, for people.
pub(super) const UTF_16: &str =
    "the text is UTF-16: convert it to UTF-8 first, such as with iconv -f UTF-16 -t UTF-8";

/// How the records of an input are arranged.
#[derive(Clone, Debug)]
pub(super) enum Arrangement {
    /// One a line, or a few lines each, as their form says; `header` if the first line is none but names columns.
    Lines { form: Form, header: bool },
    /// JSON objects one after the other, over several lines each.
    Objects,
    /// An array of objects.
    Array,
    /// An array inside an object: how many bytes come before its first element, and how many brackets are open there.
    Container { skip: usize, depth: usize, path: String },
}

impl std::fmt::Display for Arrangement {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Arrangement::Lines { form: Form::Json, .. } => out.write_str("JSON lines"),
            Arrangement::Lines { form, .. } => write!(out, "{form}"),
            Arrangement::Objects => out.write_str("JSON objects over several lines"),
            Arrangement::Array => out.write_str("an array of JSON objects"),
            Arrangement::Container { path, .. } => write!(out, "an object with its records under `{path}`"),
        }
    }
}

/// What a caller knows of the records before they are read.
pub(super) struct Hints<'m> {
    /// Where the mapping says they are.
    pub(super) path: Option<&'m Path>,
    /// What the mapping says of lines.
    pub(super) form: Option<&'m Form>,
    /// Whether an object is a record itself, whatever lists it has; also told whether more follows it.
    pub(super) is_record: &'m (dyn Fn(&[u8], bool) -> bool + Send + Sync),
}

/// Whether more bytes would not change what [`look`] says. Of what is still being written, as few as possible are
/// waited for.
pub(super) fn is_enough(head: &[u8], path: Option<&Path>) -> bool {
    match head.first() {
        Some(b'[') => !head[1..].trim_ascii_start().is_empty(),
        Some(b'{') => container::end_of_value(head).is_some_and(|end| {
            let rest = &head[end..];
            path.is_some() || memchr::memchr(b'\n', rest).is_some() || !rest.trim_ascii_start().is_empty()
        }),
        // A header and a row.
        _ => memchr::memchr_iter(b'\n', head).nth(1).is_some(),
    }
}

/// What `head` begins with, which is not white space; `is_whole` if nothing follows it.
pub(super) fn look(head: &[u8], is_whole: bool, hints: &Hints<'_>) -> Arrangement {
    // Where the mapping says how lines are to be read, none opens anything.
    if let Some(form) = hints.form {
        return in_lines(form.clone());
    }
    match head.first() {
        Some(b'[') if container::begins_records(&head[1..], is_whole) => Arrangement::Array,
        Some(b'{') => object(head, is_whole, hints),
        _ => text(head, is_whole),
    }
}

fn object(head: &[u8], is_whole: bool, hints: &Hints<'_>) -> Arrangement {
    let value_end = container::end_of_value(head);
    if let Some(Found { at, depth, path }) =
        container::find(&head[..value_end.unwrap_or(head.len())], hints.path)
    {
        // An event may well have a list of `items`.
        // What comes later may not have been read yet.
        let is_followed = |end: usize| !is_whole || !head[end..].trim_ascii_start().is_empty();
        let is_record = hints.path.is_none()
            && value_end.is_some_and(|end| (hints.is_record)(&head[..end], is_followed(end)));
        if !is_record {
            return Arrangement::Container { skip: at, depth, path };
        }
    }
    let line_end = memchr::memchr(b'\n', head);
    let runs_on = match (line_end, value_end) {
        (Some(line), Some(value)) => value > line,
        (Some(line), None) => {
            // Within a text no line ends, so the first line is a broken record rather than the beginning of one.
            container::may_run_on(&head[..line])
        }
        (None, _) => false,
    };
    // Several on one line, without anything between them.
    let is_joined = value_end.is_some_and(|end| {
        let rest = &head[end..line_end.filter(|&line| line >= end).unwrap_or(head.len())];
        rest.trim_ascii_start().starts_with(b"{")
    });
    if runs_on || is_joined { Arrangement::Objects } else { in_lines(Form::Json) }
}

/// How many lines are looked at.
const LINES: usize = 10;

fn text(head: &[u8], is_whole: bool) -> Arrangement {
    let mut lines: Vec<&[u8]> = head.split(|&byte| byte == b'\n').collect();
    // The last one may be cut.
    if !is_whole && lines.len() > 1 {
        lines.pop();
    }
    let lines: Vec<&[u8]> =
        lines.into_iter().map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).take(LINES).collect();
    let is_told = lines.first().is_some_and(|line| Form::of_line(line).is_some());
    if !is_told && let Some(columns) = Columns::of_header(&lines) {
        return Arrangement::Lines { form: Form::Csv(columns), header: true };
    }
    let mut counts: Vec<(Form, usize)> = Vec::new();
    for form in lines.iter().filter_map(|line| Form::of_line(line)) {
        match counts.iter_mut().find(|(known, _)| *known == form) {
            Some((_, count)) => *count += 1,
            None => counts.push((form, 1)),
        }
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    in_lines(most.map_or(Form::Json, |(form, _)| form))
}

fn in_lines(form: Form) -> Arrangement {
    Arrangement::Lines { form, header: false }
}
