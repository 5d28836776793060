//! Values that span lines.

use std::ops::Range;

use super::examined_text::Look;
use super::token_prefixes::Class;

/// How far before a key its line is searched for its indentation.
const INDENT_MAX: usize = 64;
/// How long the rest of a key's line may be, if its value begins below.
const HEAD_MAX: usize = 64;

/// A value over several lines: a shell's or Terraform's `<<END`, a block of YAML, or three quotes.
pub(super) fn value(look: &Look<'_>, key_start: usize, start: usize) -> Option<Range<usize>> {
    let text = look.text;
    let end = look.line(start);
    let first = &text[start..end.min(start + HEAD_MAX)];
    look.walked(1);
    if let Some(triple) = first.get(..3).filter(|triple| *triple == b"\"\"\"" || *triple == b"'''") {
        let rest = &text[start + 3..];
        let len = memchr::memmem::find(rest, triple);
        look.walked(len.unwrap_or(rest.len()));
        // Of a text that was cut, or no triple: four quotes are one in quotes.
        let len = len.or(rest.starts_with(b"\n").then_some(rest.len()))?;
        return (len > 0).then_some(start + 3..start + 3 + len);
    }
    if end - start >= HEAD_MAX || !matches!(first.first(), Some(b'<' | b'|' | b'>')) {
        return None;
    }
    look.walked(2 * first.len());
    if let Some(word) = first.strip_prefix(b"<<") {
        let word = word.strip_prefix(b"-").or(word.strip_prefix(b"~")).unwrap_or(word).trim_ascii();
        let unquoted = |quote: &[u8]| word.strip_prefix(quote)?.strip_suffix(quote);
        let word = unquoted(b"'").or(unquoted(b"\"")).unwrap_or(word);
        let is_word = (1..=32).contains(&word.len()) && word.iter().all(|byte| Class::Word.holds(*byte));
        return is_word.then(|| start..until(look, start + first.len(), |line| line.trim_ascii() == word));
    }
    let head = memchr::memmem::find(first, b" #").map_or(first, |comment| &first[..comment]).trim_ascii_end();
    let is_style = |byte: &u8| matches!(byte, b'-' | b'+' | b'1'..=b'9');
    let is_block = head.len() <= 3 && matches!(head, [b'|' | b'>', style @ ..] if style.iter().all(is_style));
    if !is_block || end >= text.len() {
        return None;
    }
    let before = &text[text[..key_start]
        .iter()
        .rev()
        .take(INDENT_MAX)
        .position(|byte| *byte == b'\n')
        .map_or(key_start.saturating_sub(INDENT_MAX), |back| key_start - back)
        ..key_start];
    look.walked(before.len());
    // The hyphen of a list indents, too. After words it is a sentence: `Enter password: |`.
    let indent = before.iter().take_while(|byte| matches!(**byte, b' ' | b'-')).count();
    if before[indent..].iter().any(|byte| !matches!(byte, b'"' | b'\'')) {
        return None;
    }
    let ends = |line: &[u8]| {
        let blanks = line.iter().take_while(|byte| **byte == b' ').count();
        blanks <= indent && !line.trim_ascii().is_empty()
    };
    let last = until(look, end, ends);
    (last > end).then_some(start..last)
}

/// The end of the last line before one that ends the value.
fn until(look: &Look<'_>, from: usize, ends: impl Fn(&[u8]) -> bool) -> usize {
    let mut at = from;
    while at < look.text.len() {
        let next = at + 1;
        let end = memchr::memchr(b'\n', &look.text[next..]).map_or(look.text.len(), |len| next + len);
        look.walked(end - at);
        if ends(&look.text[next..end]) {
            return at;
        }
        at = end;
    }
    at
}
