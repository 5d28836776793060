//! Finds secrets in one text: where they are, and what they are.
//!
//! Every form except cards is found by its anchor, three bytes that the prefilter also knows; so what is found here was
//! a candidate there.

use std::ops::Range;

use super::anchors::{FLAG, Finder, KEY_VALUE, SHORT_FLAG};
use super::card_numbers;
use super::examined_text::Look;
use super::token_prefixes::{Form, RULES, Special};
use super::tokens;
use crate::counted_steps;
use crate::mask::hash_key::MaskKey;
use crate::mask::names::secret_names::Keys;

/// One secret in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mask) struct Found {
    pub(in crate::mask) range: Range<usize>,
    pub(in crate::mask) kind: &'static str,
}

/// What a text is searched with.
#[derive(Clone, Copy)]
pub(in crate::mask) struct Scan<'a> {
    pub(in crate::mask) finder: &'a Finder,
    /// Only the default keys: keys in texts are found by their endings, which are fixed.
    pub(in crate::mask) keys: &'a Keys,
    /// The key whose hashes are not secrets.
    pub(in crate::mask) key: Option<&'a MaskKey>,
    /// Whether something that only looks like a secret counts: a card's number, what follows a key without a blank.
    pub(in crate::mask) looks: bool,
}

impl Scan<'_> {
    /// The secrets of a text, in their order, none overlapping another.
    pub(in crate::mask) fn all(&self, text: &[u8]) -> Vec<Found> {
        let look = Look::new(text);
        let mut found: Vec<Found> = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let byte = text[at];
            let is_first_digit = byte.is_ascii_digit() && !(at > 0 && text[at - 1].is_ascii_digit());
            let here = if is_first_digit && self.looks {
                card_numbers::find(text, at).map(|range| Found { range, kind: "card" })
            } else {
                None
            };
            let here = here.or_else(|| self.at_anchor(&look, at));
            counted_steps::count(1);
            if look.is_worn_out() {
                // Made to be expensive: in doubt all of the rest is masked.
                found.push(Found { range: at..text.len(), kind: "too much that looks like secrets" });
                break;
            }
            if let Some(here) = here {
                // A later anchor may belong to a secret that begins before an earlier one.
                while found.last().is_some_and(|last| last.range.start >= here.range.start) {
                    found.pop();
                }
                if found.last().is_none_or(|last| last.range.end <= here.range.start) {
                    at = here.range.end.max(at + 1);
                    found.push(here);
                    continue;
                }
            }
            at += 1;
        }
        found
    }

    fn at_anchor(&self, look: &Look<'_>, at: usize) -> Option<Found> {
        let anchor = look.text.get(at..at + 3)?;
        self.finder.rules_at(anchor).iter().find_map(|&rule| {
            counted_steps::count(1);
            let (range, kind) = self.rule_at(look, at, rule)?;
            (!range.is_empty()).then_some(Found { range, kind })
        })
    }

    fn rule_at(&self, look: &Look<'_>, at: usize, number: u16) -> Option<(Range<usize>, &'static str)> {
        match number {
            KEY_VALUE => return self.key_value(look, at),
            FLAG => return self.flag(look, at).map(|range| (range, "flag")),
            SHORT_FLAG => return self.short_flag(look, at).map(|range| (range, "flag")),
            _ => {}
        }
        let rule = RULES.get(usize::from(number))?;
        let start = at.checked_sub(rule.anchor)?;
        let after = start + rule.literal.len();
        if !look.text.get(start..)?.starts_with(rule.literal.as_bytes()) {
            return None;
        }
        let range = match rule.form {
            Form::Body(class, min, max) => tokens::body(look, start, after, class, min, max),
            Form::Mixed(class, min, max) => tokens::mixed_body(look, start, after, class, min, max),
            Form::Special(special) => match special {
                Special::Url => self.url_password(look, start, after),
                Special::Identified => self.identified(look, after),
                Special::Crypt => self.crypt(look, start, after),
                Special::SlashPass => self.slash_pass(look, start, after),
                Special::PasswordFor => self.password_for(look, after),
                Special::EscapeString => self.escape_string(look, start, after),
                Special::Netrc => self.netrc(look, start, after),
                Special::GoSource => self.go_source(look, start),
                _ => tokens::find(look, start, after, special),
            },
        };
        Some((range?, rule.kind))
    }
}
