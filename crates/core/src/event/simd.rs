//! Sixteen bytes of text at a time: is there one that JSON must escape?
//!
//! With SSE2, which every x86-64 has, and otherwise by two plain registers, with which a test compares it.

/// Whether any of 16 bytes may not be copied into a JSON string as it is.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(unsafe_code, reason = "the compiler does not see that x86-64 always has SSE2")]
pub(super) fn any_special_16(block: &[u8; 16]) -> bool {
    // SAFETY: SSE2 is part of the x86-64 architecture, so the instructions are there.
    unsafe { any_special_16_sse2(block) }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use any_special_16_plain as any_special_16;

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn any_special_16_sse2(block: &[u8; 16]) -> bool {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_max_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    let word = u128::from_le_bytes(*block);
    let bytes = _mm_set_epi64x((word >> 64) as i64, word as i64);
    let equal = |byte: u8| _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte.cast_signed()));
    let last_control = _mm_set1_epi8(0x1F);
    let control = _mm_cmpeq_epi8(_mm_max_epu8(bytes, last_control), last_control);
    let special = _mm_or_si128(_mm_or_si128(control, equal(b'"')), _mm_or_si128(equal(b'\\'), equal(0xE2)));
    _mm_movemask_epi8(special) != 0
}

/// The same without SIMD.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline(always)]
pub(super) fn any_special_16_plain(block: &[u8; 16]) -> bool {
    let word = u128::from_le_bytes(*block);
    let special = super::write::special_bytes;
    (special(word as u64) | special((word >> 64) as u64)) != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(block: &[u8; 16]) {
        let expected = block.iter().any(|&byte| byte < 0x20 || matches!(byte, b'"' | b'\\' | 0xE2));
        assert_eq!(any_special_16(block), expected, "{block:?}");
        assert_eq!(any_special_16_plain(block), expected, "{block:?}");
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
