//! Values that span lines.

use std::ops::Range;

use super::examined_text::Look;
use super::token_prefixes::Class;

/// How far before a key its line is searched for its indentation.
const INDENT_MAX: usize = 64;

/// A value over several lines: a shell's or Terraform's `<<END`, a block of YAML, or three quotes.
pub(super) fn value(look: &Look<'_>, key_start: usize, start: usize) -> Option<Range<usize>> {
    let text = look.text;
    let first = &text[start..look.line(start)];
    look.walked(1);
    if let Some(triple) = first.get(..3).filter(|triple| *triple == b"\"\"\"" || *triple == b"'''") {
        let len = memchr::memmem::find(&text[start + 3..], triple).unwrap_or(text.len() - start - 3);
        look.walked(len);
        return (len > 0).then_some(start + 3..start + 3 + len);
    }
    if let Some(word) = first.strip_prefix(b"<<") {
        let word = word.strip_prefix(b"-").or(word.strip_prefix(b"~")).unwrap_or(word).trim_ascii();
        let word = word.strip_prefix(b"'").and_then(|word| word.strip_suffix(b"'")).unwrap_or(word);
        let is_word = (1..=32).contains(&word.len()) && word.iter().all(|byte| Class::Word.holds(*byte));
        return is_word.then(|| start..until(look, start + first.len(), |line| line.trim_ascii() == word));
    }
    let is_block = matches!(first.trim_ascii_end(), [b'|' | b'>'] | [b'|' | b'>', b'-' | b'+' | b'1'..=b'9']);
    if !is_block || start + first.len() >= text.len() {
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
    let indent = before.iter().take_while(|byte| **byte == b' ').count();
    let ends = |line: &[u8]| {
        let blanks = line.iter().take_while(|byte| **byte == b' ').count();
        blanks <= indent && !line.trim_ascii().is_empty()
    };
    Some(start..until(look, start + first.len(), ends))
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
