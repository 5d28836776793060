//! Sixteen bytes of a JSON string at a time: how many of them may be copied as they are.
//!
//! Special are control characters, quotes, backslashes, and 0xE2, which begins U+2028 and U+2029: the line
//! has those two only escaped.

/// The bytes from `at` on; zeros stand behind the end of the text, and a zero is special.
#[inline(always)]
pub(super) fn block_at(text: &[u8], at: usize) -> [u8; 16] {
    match text.get(at..).and_then(<[u8]>::first_chunk::<16>) {
        Some(block) => *block,
        None => last_block(text, at),
    }
}

#[inline(never)]
fn last_block(text: &[u8], at: usize) -> [u8; 16] {
    let mut block = [0; 16];
    let rest = text.get(at..).unwrap_or_default();
    block[..rest.len()].copy_from_slice(rest);
    block
}

/// How many bytes stand before the first special one.
#[inline(always)]
pub(super) fn clean_len(block: [u8; 16]) -> usize {
    by_words::clean_len(block)
}

/// The same for a block that begins with the opening quote, which is not counted as special.
#[inline(always)]
pub(super) fn clean_len_after_quote(block: [u8; 16]) -> usize {
    let word = u128::from_le_bytes(block);
    clean_len((word & !0xFF | 0x61).to_le_bytes())
}

/// With two ordinary registers, everywhere else.
mod by_words {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;

    #[inline(always)]
    pub(super) fn clean_len(block: [u8; 16]) -> usize {
        let word = u128::from_le_bytes(block);
        let (low, high) = (special(word as u64), special((word >> 64) as u64));
        if low != 0 { first(low) } else { 8 + first(high) }
    }

    const fn first(hits: u64) -> usize {
        hits.trailing_zeros() as usize / 8
    }

    /// The high bit of each special byte; a false hit stands only above a true one.
    const fn special(word: u64) -> u64 {
        const fn below(word: u64, limit: u8) -> u64 {
            word.wrapping_sub(ONES * limit as u64) & !word
        }
        let quote = below(word ^ (ONES * b'"' as u64), 1);
        let backslash = below(word ^ (ONES * b'\\' as u64), 1);
        let separator = below(word ^ (ONES * 0xE2), 1);
        (below(word, 0x20) | quote | backslash | separator) & HIGH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_by_one(block: &[u8]) -> usize {
        let special = |byte: &u8| *byte < 0x20 || matches!(*byte, b'"' | b'\\' | 0xE2);
        block.iter().position(special).unwrap_or(block.len())
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
            proptest::prop_assert_eq!(clean_len(block), expected);
            proptest::prop_assert_eq!(by_words::clean_len(block), expected);
            proptest::prop_assert_eq!(clean_len_after_quote(block), 1 + one_by_one(&block[1..]));
        }
    }

    #[test]
    fn behind_the_end_nothing_is_clean() {
        assert_eq!(clean_len(block_at(b"ab", 0)), 2);
        assert_eq!(clean_len(block_at(b"ab", 7)), 0);
    }
}
