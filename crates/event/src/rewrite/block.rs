//! Sixteen bytes of a JSON string at a time: how many of them may be copied as they are.
//!
//! Special are control characters, quotes, backslashes, and 0xE2, which begins U+2028 and U+2029: the line
//! has those two only escaped.

#[cfg(any(test, not(target_arch = "x86_64")))]
use crate::event::simd::special_bytes;

/// Sixteen bytes, the first lowest: a number, so that it is kept in registers.
pub(super) type Block = u128;

/// The bytes from `at` on; zeros stand behind the end of the text, and a zero is special.
#[inline(always)]
pub(super) fn block_at(text: &[u8], at: usize) -> Block {
    match text.get(at..).and_then(<[u8]>::first_chunk) {
        Some(block) => Block::from_le_bytes(*block),
        None => last_block(text, at),
    }
}

#[inline(never)]
fn last_block(text: &[u8], at: usize) -> Block {
    let rest = text.get(at..).unwrap_or_default();
    rest.iter().rev().fold(0, |block, &byte| block << 8 | Block::from(byte))
}

/// How many bytes stand before the first special one, and whether that one is a quote.
#[inline(always)]
pub(super) fn clean_len(block: Block) -> (usize, bool) {
    #[cfg(target_arch = "x86_64")]
    return super::simd::clean_len(block);
    #[cfg(not(target_arch = "x86_64"))]
    clean_len_by_words(block)
}

/// The same for a block that begins with the opening quote, which is not counted as special.
#[inline(always)]
pub(super) fn clean_len_after_quote(block: Block) -> (usize, bool) {
    clean_len(block & !0xFF | 0x61)
}

/// The same without vectors.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline(always)]
fn clean_len_by_words(block: Block) -> (usize, bool) {
    let (low, high) = (special_bytes(block as u64), special_bytes((block >> 64) as u64));
    let len = if low != 0 { first(low) } else { 8 + first(high) };
    (len, len < 16 && (block >> (8 * len)) as u8 == b'"')
}

/// How many digits stand at the beginning.
#[inline(always)]
pub(super) fn digits_len(block: Block) -> usize {
    let mut len = 0;
    while len < 16 && ((block >> (8 * len)) as u8).is_ascii_digit() {
        len += 1;
    }
    len
}

#[cfg(any(test, not(target_arch = "x86_64")))]
const fn first(hits: u64) -> usize {
    hits.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_by_one(block: &[u8]) -> (usize, bool) {
        let special = |byte: &u8| *byte < 0x20 || matches!(*byte, b'"' | b'\\' | 0xE2);
        let len = block.iter().position(special).unwrap_or(block.len());
        (len, block.get(len) == Some(&b'"'))
    }

    proptest::proptest! {
        #[test]
        fn many_at_once_agree_with_one_by_one(mut block: [u8; 16], near: [bool; 16]) {
            // Mostly bytes around the special ones, where sums and borrows go wrong.
            const NEAR: &[u8] = b"\x00\x1f\x20\x21\"#[\\]\x7f\x80\xe1\xe2\xe3\xffa";
            for (byte, near) in block.iter_mut().zip(near) {
                *byte = if near { NEAR[usize::from(*byte) % NEAR.len()] } else { *byte | 0x60 & 0xDF };
            }
            let expected = one_by_one(&block);
            let after = one_by_one(&block[1..]);
            let word = Block::from_le_bytes(block);
            proptest::prop_assert_eq!(clean_len(word), expected);
            proptest::prop_assert_eq!(clean_len_by_words(word), expected);
            proptest::prop_assert_eq!(clean_len_after_quote(word), (after.0 + 1, after.1));
        }
    }

    #[test]
    fn behind_the_end_nothing_is_clean() {
        assert_eq!(clean_len(block_at(b"ab", 0)), (2, false));
        assert_eq!(clean_len(block_at(b"ab", 7)), (0, false));
    }
}
