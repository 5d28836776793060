//! Sixteen bytes of text at a time: is there one that JSON must escape?
//!
//! With SSE2, which every x86-64 has, and otherwise by two plain registers, with which a test compares it.

/// Whether any of 16 bytes may not be copied into a JSON string as it is. 0xE2 begins U+2028 and U+2029, which end a
/// line for some readers, so it is looked at closely.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(unsafe_code, reason = "the compiler does not see that x86-64 always has SSE2")]
pub(super) fn any_special(block: &[u8; 16]) -> bool {
    // SAFETY: SSE2 is part of the x86-64 architecture, so the instructions are there.
    unsafe { any_special_sse2(block) }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use any_special_plain as any_special;

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn any_special_sse2(block: &[u8; 16]) -> bool {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_cmpgt_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    let word = u128::from_le_bytes(*block);
    let bytes = _mm_set_epi64x((word >> 64) as i64, word as i64);
    let equal = |byte: u8| _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte.cast_signed()));
    // Read as signed numbers, control characters and all that is not ASCII are below a blank. Text is mostly ASCII, so
    // the two are told apart only then.
    let low = _mm_cmpgt_epi8(_mm_set1_epi8(0x20), bytes);
    let suspect = _mm_or_si128(low, _mm_or_si128(equal(b'"'), equal(b'\\')));
    _mm_movemask_epi8(suspect) != 0 && any_special_plain(block)
}

/// The same without SIMD.
#[inline]
pub(super) fn any_special_plain(block: &[u8; 16]) -> bool {
    let word = u128::from_le_bytes(*block);
    (special_bytes(word as u64) | special_bytes((word >> 64) as u64)) != 0
}

/// The high bit of each of eight bytes that is special; a false hit stands only above a true one.
#[inline(always)]
pub(super) const fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const fn below(word: u64, limit: u8) -> u64 {
        word.wrapping_sub(ONES * limit as u64) & !word
    }
    let quote = below(word ^ (ONES * b'"' as u64), 1);
    let backslash = below(word ^ (ONES * b'\\' as u64), 1);
    let separator = below(word ^ (ONES * 0xE2), 1);
    (below(word, 0x20) | quote | backslash | separator) & HIGH
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(block: &[u8; 16]) {
        let expected = block.iter().any(|&byte| byte < 0x20 || matches!(byte, b'"' | b'\\' | 0xE2));
        assert_eq!(any_special(block), expected, "{block:?}");
        assert_eq!(any_special_plain(block), expected, "{block:?}");
    }

    #[test]
    fn every_byte_is_judged_alike_at_every_place() {
        for byte in 0..=u8::MAX {
            for at in 0..16 {
                let mut block = [b'a'; 16];
                block[at] = byte;
                check(&block);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_alike(block in any::<[u8; 16]>()) {
            check(&block);
        }
    }
}
