//! The pass over whole blocks, for any way of examining one.
//!
//! Candidates are collected first and examined afterwards. Both avoid branches that the processor cannot predict: how
//! many there are in a block is practically random, and a wrong prediction costs more than ten of them.

use super::tables::{Hit, Tables};

/// Bytes of a block: a bit for each in a word.
pub(super) const BLOCK: usize = 64;
/// How many blocks are scanned before anything in them is examined.
const BLOCKS_AT_ONCE: usize = 4;
/// The shortest text that is scanned this way.
pub(super) const LEN_MIN: usize = 2 * BLOCK;

/// What was seen in a block, one bit per byte, the lowest for the first.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// Places where three bytes may be an anchor.
    pub(super) candidates: u64,
    /// Digits.
    pub(super) digits: u64,
}

/// Calls `visit` for each hit until it returns true, and returns whether it did. The text has at least [`LEN_MIN`].
///
/// `look` is given places followed by at least [`BLOCK`] and two more bytes, `digits` those followed by at least
/// [`BLOCK`]. `places` puts the places of the bits of a word in front, each with a number added.
#[inline(always)]
pub(super) fn scan(
    text: &[u8],
    tables: &Tables,
    look: impl Fn(usize) -> Seen,
    digits: impl Fn(usize) -> u64,
    places: impl Fn(u64, u8, &mut [u8; BLOCK]),
    mut visit: impl FnMut(Hit) -> bool,
) -> bool {
    // Three bytes begin before `end`; a block may begin at `last`.
    let (end, last) = (text.len() - 2, text.len() - 2 - BLOCK);
    let mut candidates = [0; (BLOCKS_AT_ONCE + 1) * BLOCK];
    let mut words = [0; BLOCKS_AT_ONCE + 1];
    let mut begin = 0;
    while begin < end {
        // Nothing is called in here, so that the tables stay in the processor's registers.
        let (mut at, mut count, mut blocks) = (begin, 0, 0);
        for word in &mut words[1..] {
            if at >= end {
                break;
            }
            // The last block overlaps the one before it.
            let place = at.min(last);
            let known = (at - place) as u32;
            let seen = look(place);
            let found = seen.candidates.wrapping_shr(known);
            if let Some(free) = candidates.get_mut(count..).and_then(<[u8]>::first_chunk_mut) {
                places(found, (at - begin) as u8, free);
            }
            count += found.count_ones() as usize;
            *word = seen.digits.wrapping_shr(known);
            blocks += 1;
            at += BLOCK;
        }
        for (number, pair) in words.array_windows().take(blocks).enumerate() {
            if visit_digits(*pair, NEW, begin + number * BLOCK, &mut visit) {
                return true;
            }
        }
        words[0] = words[blocks];
        for some in candidates.get(..count).unwrap_or_default().chunks(u64::BITS as usize) {
            // Nearly none is an anchor, but the processor could not predict which: so one check covers all.
            let place = |number: u32| begin + usize::from(some[number as usize]);
            let is_anchor = |number| u64::from(tables.is_anchor(text, place(number))) << number;
            let mut anchors = (0..some.len() as u32).map(is_anchor).fold(0, |all, one| all | one);
            while anchors != 0 {
                if visit(Hit::Anchor(place(anchors.trailing_zeros()))) {
                    return true;
                }
                anchors &= anchors - 1;
            }
        }
        begin = at;
    }
    // Two bytes were not seen yet.
    let last = text.len() - BLOCK;
    visit_digits([digits(last - BLOCK), digits(last)], u128::MAX, last, &mut visit)
}

/// Starts of digits that were not judged with the previous block: a card's last digit is up to 13 places after its
/// first.
const NEW: u128 = u128::MAX << (BLOCK - 14);

/// Visits digits that could be a card's, given those of two blocks, the later of which begins at `at`.
#[inline(always)]
fn visit_digits(
    [before, digits]: [u64; 2],
    new: u128,
    at: usize,
    visit: &mut impl FnMut(Hit) -> bool,
) -> bool {
    // Most blocks end here: no four digits end in this one.
    let (ends_two_before, ends_two) = (before & before << 1, digits & (digits << 1 | before >> 63));
    if ends_two & (ends_two << 2 | ends_two_before >> 62) == 0 && new == NEW {
        return false;
    }
    let window = u128::from(before) | u128::from(digits) << BLOCK;
    let two = window & window >> 1;
    let four = two & two >> 2;
    let eight = four & four >> 4;
    let long = eight & eight >> 6;
    let grouped = four & !(window >> 4) & four >> 5;
    let mut starts = (long | grouped) & !(window << 1) & new;
    while starts != 0 {
        let place = at + starts.trailing_zeros() as usize - BLOCK;
        starts &= starts - 1;
        if visit(Hit::Digits(place)) {
            return true;
        }
    }
    false
}
