//! Known names among keys: one multiplication finds the only candidate, one comparison confirms it.

use super::block::block_at;
use super::span::Span;
use crate::event::names::{
    ACTOR_FIELDS, CONTEXT_FIELDS, FIELDS, ON_BEHALF_OF_FIELDS, RESERVED, RESOURCE_FIELDS,
};
use crate::event::{Category, Outcome, Severity};

/// The longest name that stands in a block with its two quotes.
const NAME_BYTES_MAX: usize = 14;

const SLOTS: usize = 64;
const NONE: u8 = u8::MAX;

/// Odd numbers with which no two names of one table share a slot; [`Names::new`] checks that.
const LOW: u64 = 0x4A58_47DD_491B_5EBF;
const HIGH: u64 = 0xF09C_036A_5680_F365;

/// A number that stands for a key of up to [`NAME_BYTES_MAX`] bytes. Equal keys have equal ones.
#[inline(always)]
pub(super) const fn print_of_word(word: u128) -> u64 {
    (word as u64).wrapping_mul(LOW).wrapping_add(((word >> 64) as u64).wrapping_mul(HIGH))
}

/// The same for a longer key.
#[inline]
pub(super) fn print_of_long(key: &[u8]) -> u64 {
    let mut print = key.len() as u64;
    let mut mix = |bytes: &[u8; 8]| {
        print = (print ^ u64::from_le_bytes(*bytes)).wrapping_mul(LOW);
        print ^= print >> 29;
    };
    key.as_chunks::<8>().0.iter().for_each(&mut mix);
    if let Some(last) = key.last_chunk::<8>() {
        mix(last);
    }
    print
}

/// The names of one place in the event, each with its rank in the line.
pub(super) struct Names<const N: usize> {
    words: [u128; N],
    slots: [u8; SLOTS],
}

impl<const N: usize> Names<N> {
    const fn new(names: &[&str; N]) -> Self {
        let mut table = Names { words: [0; N], slots: [NONE; SLOTS] };
        let mut rank = 0;
        while rank < N {
            table.words[rank] = word(names[rank].as_bytes());
            let slot = slot(print_of_word(table.words[rank]));
            assert!(table.slots[slot] == NONE, "two names share a slot: choose other numbers");
            table.slots[slot] = rank as u8;
            rank += 1;
        }
        table
    }

    /// The rank of the name with this word and print.
    #[inline(always)]
    pub(super) fn rank(&self, word: u128, print: u64) -> Option<usize> {
        let rank = usize::from(self.slots[slot(print)]);
        (self.words.get(rank) == Some(&word)).then_some(rank)
    }

    /// The rank of a name that is the inside of a string.
    #[inline(always)]
    pub(super) fn rank_of(&self, text: &[u8], name: Span) -> Option<usize> {
        if name.len() > NAME_BYTES_MAX {
            return None;
        }
        let word = word_of(block_at(text, name.range().start), name.len());
        self.rank(word, print_of_word(word))
    }
}

const fn slot(print: u64) -> usize {
    (print >> 58) as usize
}

/// A name as a number: its bytes, the first lowest.
pub(super) const fn word(name: &[u8]) -> u128 {
    assert!(name.len() <= NAME_BYTES_MAX, "a name is too long to be found by its word");
    let mut word = 0;
    let mut at = name.len();
    while at > 0 {
        at -= 1;
        word = word << 8 | name[at] as u128;
    }
    word
}

/// The first `len` bytes of a block, which are at most [`NAME_BYTES_MAX`], as [`word`] gives them.
#[inline(always)]
pub(super) fn word_of(block: u128, len: usize) -> u128 {
    // A look into a table costs less than shifts over two registers.
    static MASKS: [u128; 16] = {
        let mut masks = [0; 16];
        let mut len = 1;
        while len < 16 {
            masks[len] = masks[len - 1] << 8 | 0xFF;
            len += 1;
        }
        masks
    };
    block & MASKS[len & 15]
}

/// The fields of a caller, then those that only the trail fills.
const fn all_fields() -> [&'static str; FIELDS.len() + RESERVED.len()] {
    let mut all = [""; FIELDS.len() + RESERVED.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < FIELDS.len() { FIELDS[at] } else { RESERVED[at - FIELDS.len()] };
        at += 1;
    }
    all
}

pub(super) static EVENT: Names<{ FIELDS.len() + RESERVED.len() }> = Names::new(&all_fields());
pub(super) static ACTOR: Names<{ ACTOR_FIELDS.len() }> = Names::new(&ACTOR_FIELDS);
pub(super) static ON_BEHALF_OF: Names<{ ON_BEHALF_OF_FIELDS.len() }> = Names::new(&ON_BEHALF_OF_FIELDS);
pub(super) static RESOURCE: Names<{ RESOURCE_FIELDS.len() }> = Names::new(&RESOURCE_FIELDS);
pub(super) static CONTEXT: Names<{ CONTEXT_FIELDS.len() }> = Names::new(&CONTEXT_FIELDS);

/// The categories but the custom ones, as in [`Category::NAMED`].
pub(super) static CATEGORIES: Names<{ Category::NAMED.len() }> = {
    const ALL: &[Category; Category::NAMED.len()] = &Category::NAMED;
    let mut names = [""; ALL.len()];
    let mut at = 0;
    while at < ALL.len() {
        names[at] = ALL[at].prefix();
        at += 1;
    }
    Names::new(&names)
};
/// As in [`Severity::ALL`].
pub(super) static SEVERITIES: Names<{ Severity::ALL.len() }> = {
    let mut names = [""; Severity::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Severity::ALL[at].name();
        at += 1;
    }
    Names::new(&names)
};
/// As in [`Outcome::ALL`].
pub(super) static OUTCOMES: Names<{ Outcome::ALL.len() }> = {
    let mut names = [""; Outcome::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Outcome::ALL[at].name();
        at += 1;
    }
    Names::new(&names)
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_at_its_rank_and_no_other() {
        let rank = |name: &str| EVENT.rank(word(name.as_bytes()), print_of_word(word(name.as_bytes())));
        for (place, name) in all_fields().iter().enumerate() {
            assert_eq!(rank(name), Some(place), "{name}");
        }
        for name in ["", "i", "idd", "Id", "own", "actions", "correlation_id"] {
            assert_eq!(rank(name), None, "{name}");
        }
    }

    #[test]
    fn long_keys_differ_by_any_byte() {
        let key = b"recipientAccountIdentifier";
        for place in 0..key.len() {
            let mut other = *key;
            other[place] ^= 1;
            assert_ne!(print_of_long(key), print_of_long(&other), "{place}");
        }
        assert_ne!(print_of_long(key), print_of_long(&key[..25]));
    }
}
