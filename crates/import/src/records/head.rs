//! What an input is, judged by its first bytes.

use super::container::{self, Found};
use crate::form::{Columns, Form};
use crate::mapping::Path;

/// How many bytes are looked at.
pub(super) const HEAD_BYTES: usize = 256 * 1024;
/// The same where the mapping names the path of the records, which may come late.
pub(super) const HEAD_BYTES_FOR_PATH: usize = 16 * 1024 * 1024;

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
