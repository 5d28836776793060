//! A cheap check of a line's bytes: could it match? Never a false no.
//!
//! It relies on how lines are written: every line has a category and a severity; an event's outcome is in its line if
//! it has one; a value without quote, backslash, control or non-ASCII character is in the line unchanged; and
//! `"system":true` comes directly after the front.

use memchr::memmem;

use super::{Filter, IdFilter, glob, parse_address};
use crate::counted_steps;

/// How many bytes of a text are compared first.
const HEAD_BYTES: usize = 16;
/// The maximum number of bytes compared per byte of the line.
const COMPARED_MAX: usize = 16;

impl Filter {
    /// Whether a line with these bytes could match. Cheap, and never a false no: a value that JSON would escape is not
    /// searched for.
    pub(crate) fn may_match(&self, line: &[u8]) -> bool {
        self.exact().into_iter().all(|values| any_is_in(line, values.iter().map(String::as_str)))
            && self.may_have_ip(line)
            && self.may_have_outcome(line)
            && any_is_in(line, self.severity.iter().map(|severity| severity.name()))
            && any_is_in(line, self.action.iter().map(|action| glob::literal(action)))
            && any_is_in(
                line,
                // All readings of a type and an id end alike.
                self.resource.iter().map(|resource| {
                    let last = resource.id.as_deref().unwrap_or(&resource.kind);
                    if resource.id.is_some() { last.rsplit('/').next().unwrap_or(last) } else { last }
                }),
            )
            && self.may_have_id(line)
            && self.may_have_text(line)
    }

    fn may_have_ip(&self, line: &[u8]) -> bool {
        self.ip.iter().any(|ip| parse_address(ip).is_some())
            || any_is_in(line, self.ip.iter().map(String::as_str))
    }

    fn may_have_outcome(&self, line: &[u8]) -> bool {
        // A missing value leaves no trace to search for.
        (self.outcome.contains(&None) && !cfg!(trailseal_fault = "prefilter_wants_an_outcome"))
            || any_is_in(line, self.outcome.iter().flatten().map(|outcome| outcome.name()))
    }

    fn may_have_id(&self, line: &[u8]) -> bool {
        self.id.is_empty()
            || self.id.iter().any(|wanted| match wanted {
                IdFilter::Index(_) => true,
                IdFilter::Id(id) => any_is_in(line, std::iter::once(&*crate::event::held_id(id))),
            })
    }

    fn may_have_text(&self, line: &[u8]) -> bool {
        self.text.is_empty()
            || self.text.iter().any(|text| !is_plain(text) || contains_ignoring_case(line, text.as_bytes()))
    }
}

/// Whether one of `values` is in the line; `true` if there are none, or one that may be escaped.
fn any_is_in<'a>(line: &[u8], values: impl Iterator<Item = &'a str>) -> bool {
    let mut values = values.peekable();
    values.peek().is_none()
        || values.any(|value| !is_plain(value) || memmem::find(line, value.as_bytes()).is_some())
}

/// Whether JSON has only one way to write the text.
fn is_plain(text: &str) -> bool {
    cfg!(trailseal_fault = "prefilter_ignores_escapes")
        || text.bytes().all(|byte| (0x20..0x7f).contains(&byte) && !b"\"\\".contains(&byte))
}

/// Whether the text is in the line, or could be: if many places begin like it, the decision is left to the check of the
/// values, which takes no more time for them.
fn contains_ignoring_case(line: &[u8], text: &[u8]) -> bool {
    // Searches for the byte that is rarest in lines, then compares the rest around it.
    let Some((at, &rare)) = text.iter().enumerate().min_by_key(|(_, byte)| frequency(**byte)) else {
        return true;
    };
    let head = &text[..text.len().min(HEAD_BYTES)];
    let mut budget = COMPARED_MAX * line.len();
    memchr::memchr2_iter(rare.to_ascii_lowercase(), rare.to_ascii_uppercase(), line).any(|place| {
        let found = place.checked_sub(at).and_then(|begin| line.get(begin..begin + text.len()));
        found.is_some_and(|found| {
            counted_steps::count(head.len());
            if !found[..head.len()].eq_ignore_ascii_case(head) {
                return false;
            }
            counted_steps::count(text.len());
            let Some(left) = budget.checked_sub(text.len()) else { return true };
            budget = left;
            found.eq_ignore_ascii_case(text)
        })
    })
}

/// How often a byte occurs in lines, from rarest to most frequent: letters as in English and in field names, then what
/// times, ids and JSON itself consist of.
fn frequency(byte: u8) -> usize {
    const RARE_FIRST: &[u8] = b"zqjxkvwybhgpfumdlcsnorita e-_./:,\"0123456789";
    RARE_FIRST.iter().position(|&other| other == byte.to_ascii_lowercase()).map_or(0, |rank| rank + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_nearly_stands_everywhere_takes_few_steps() {
        let line = "z".repeat(20_000).into_bytes();
        for text in ["z".repeat(5_000) + "y", "z".repeat(15) + "y", "z".repeat(16) + "y"] {
            let steps = counted_steps::of(|| _ = contains_ignoring_case(&line, text.as_bytes()));
            assert!(steps <= 40 * line.len() as u64, "{steps} steps for {} bytes", line.len());
        }
    }

    #[test]
    fn what_is_in_doubt_may_match() {
        let line = format!("{}y", "z".repeat(20_000)).into_bytes();
        assert!(contains_ignoring_case(&line, format!("{}Y", "Z".repeat(5_000)).as_bytes()));
        assert!(!contains_ignoring_case(b"abcdefgh", b"abd"));
    }
}
