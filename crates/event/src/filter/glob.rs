//! Globs: `*` is any text, `?` is any one character, everything else matches itself.

use crate::counted_steps;

/// How many characters one word of bits represents.
const WORD_BITS: usize = u64::BITS as usize;

/// Whether `text` matches `glob`, in time bounded by their lengths: no part of the text is checked again for each star,
/// and for a part with question marks 64 characters are compared at once.
///
/// ```
/// use trailseal_event::filter::glob_matches;
/// assert!(glob_matches("user.*", "user.login"));
/// assert!(!glob_matches("user.?", "user.login"));
/// ```
pub fn glob_matches(glob: &str, text: &str) -> bool {
    counted_steps::count(glob.len() + 1);
    let Some((first, rest)) = glob.split_once('*') else {
        return prefix_len(glob, text) == Some(text.len());
    };
    let Some(start) = prefix_len(first, text) else { return false };
    let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(end) = suffix_start(last, text) else { return false };
    let Some(mut left) = text.get(start..end) else { return false };
    for part in between.split('*').filter(|part| !part.is_empty()) {
        let Some(after) = find(part, left) else { return false };
        left = &left[after..];
    }
    true
}

/// The longest part of a glob that occurs in every match, possibly empty.
pub(super) fn literal(glob: &str) -> &str {
    glob.split(['*', '?']).max_by_key(|part| part.len()).unwrap_or_default()
}

fn is_same(wanted: char, found: char) -> bool {
    wanted == '?' || wanted == found
}

/// How many bytes at the beginning of a text a part without stars matches.
fn prefix_len(part: &str, text: &str) -> Option<usize> {
    let mut found = text.chars();
    let is_match = part.chars().all(|wanted| found.next().is_some_and(|found| is_same(wanted, found)));
    is_match.then(|| text.len() - found.as_str().len())
}

/// Where the match of a part without stars at the end of a text begins.
fn suffix_start(part: &str, text: &str) -> Option<usize> {
    let mut found = text.chars();
    let is_match =
        part.chars().rev().all(|wanted| found.next_back().is_some_and(|found| is_same(wanted, found)));
    is_match.then_some(found.as_str().len())
}

/// Where the first match of a part without stars ends.
fn find(part: &str, text: &str) -> Option<usize> {
    if !part.contains('?') {
        let found = memchr::memmem::find(text.as_bytes(), part.as_bytes());
        counted_steps::count(found.unwrap_or(text.len()) + part.len());
        return found.map(|place| place + part.len());
    }
    find_wild(part, text)
}

/// The same for a part with question marks. Bit `n` of the state says whether the last `n + 1` characters match the
/// first of the part (the Shift-And method).
fn find_wild(part: &str, text: &str) -> Option<usize> {
    let len = part.chars().count();
    // It needs this many characters: a part longer than the text is never set up.
    if len > text.len() {
        return None;
    }
    let words = len.div_ceil(WORD_BITS);
    let mut wild = vec![0_u64; words];
    let mut wanted: Vec<(char, usize)> = Vec::new();
    for (place, character) in part.chars().enumerate() {
        if character == '?' {
            wild[place / WORD_BITS] |= 1 << (place % WORD_BITS);
        } else {
            wanted.push((character, place));
        }
    }
    wanted.sort_unstable();
    let mut masks: Vec<(char, Vec<u64>)> = Vec::new();
    for (character, place) in wanted {
        if masks.last().is_none_or(|(last, _)| *last != character) {
            masks.push((character, wild.clone()));
            counted_steps::count(words);
        }
        if let Some((_, mask)) = masks.last_mut() {
            mask[place / WORD_BITS] |= 1 << (place % WORD_BITS);
        }
    }
    let mut state = vec![0_u64; words];
    for (place, character) in text.char_indices() {
        counted_steps::count(words);
        let known = masks.binary_search_by_key(&character, |(known, _)| *known);
        let mask = known.map_or(&wild, |number| &masks[number].1);
        let mut carry = 1;
        for (bits, allowed) in state.iter_mut().zip(mask) {
            let next = *bits >> (WORD_BITS - 1);
            *bits = (*bits << 1 | carry) & allowed;
            carry = next;
        }
        if state[(len - 1) / WORD_BITS] >> ((len - 1) % WORD_BITS) & 1 != 0 {
            return Some(place + character.len_utf8());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the definition says, without regard to the time it takes.
    fn is_match(glob: &[char], text: &[char]) -> bool {
        match (glob.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => (0..=text.len()).any(|at| is_match(rest, &text[at..])),
            (Some((wanted, glob)), Some((found, text))) => is_same(*wanted, *found) && is_match(glob, text),
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn as_the_definition_says(glob in "[aé*?]{0,8}", text in "[abé]{0,10}") {
            let (chars, letters): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
            prop_assert_eq!(glob_matches(&glob, &text), is_match(&chars, &letters), "{} {}", glob, text);
        }
    }

    #[test]
    fn parts_longer_than_a_word_of_bits_match() {
        let part = format!("{}?{}", "a".repeat(80), "b".repeat(80));
        let text = format!("x{}c{}y", "a".repeat(90), "b".repeat(80));
        assert!(glob_matches(&format!("*{part}*"), &text));
        assert!(!glob_matches(&format!("*{part}b*"), &text));
    }

    /// What took the product of both lengths.
    #[test]
    fn many_stars_and_marks_take_few_steps() {
        let text = "a".repeat(1_024);
        for glob in [
            format!("*{}b*", "a".repeat(500)),
            format!("*{}b*", "a?".repeat(250)),
            format!("*{}b*", "?".repeat(500)),
            "*a".repeat(500) + "*b",
            "*a?".repeat(300) + "*b*",
            "*?".repeat(500) + "*b",
            "?".repeat(1_024) + "*b",
        ] {
            let steps = counted_steps::of(|| assert!(!glob_matches(&glob, &text)));
            let bytes = (glob.len() + text.len()) as u64;
            assert!(steps <= 32 * bytes, "{glob}: {steps} steps for {bytes} bytes");
        }
    }
}
