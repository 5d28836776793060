//! Sixteen bytes of text at a time: is there one that JSON must escape? And text copied while that is asked.
//!
//! With SSE2, which every x86-64 has, and otherwise by two plain registers, with which a test compares it.
#![allow(unsafe_code)]

/// Copies `text` to `to` and says whether it may stand in a JSON string as it is. If not, anything may have been
/// written there.
///
/// Not inlined: it is called for each of many fields, and a processor that has slept must fetch all code anew.
///
/// # Safety
/// As many bytes as `text` has may be written to `to`, and are none of its own.
#[inline(never)]
pub(super) unsafe fn copy_clean(text: &[u8], to: *mut u8) -> bool {
    let len = text.len();
    // The last move overlaps the one before it, so that every move has a fixed size.
    // SAFETY: every move lies within the first `len` bytes of `to`.
    let is_suspect = unsafe {
        if let (Some(first), Some(last)) = (text.first_chunk::<16>(), text.last_chunk::<16>()) {
            if len > 32 {
                return copy_clean_long(text, to);
            }
            to.cast::<[u8; 16]>().write(*first);
            to.add(len - 16).cast::<[u8; 16]>().write(*last);
            Block::new(first).is_suspect() | Block::new(last).is_suspect()
        } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
            to.cast::<[u8; 8]>().write(*first);
            to.add(len - 8).cast::<[u8; 8]>().write(*last);
            Block::of_halves(u64::from_le_bytes(*first), u64::from_le_bytes(*last)).is_suspect()
        } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
            to.cast::<[u8; 4]>().write(*first);
            to.add(len - 4).cast::<[u8; 4]>().write(*last);
            let both = u64::from(u32::from_le_bytes(*last)) << 32 | u64::from(u32::from_le_bytes(*first));
            Block::of_halves(both, BLANKS).is_suspect()
        } else if let (Some(&first), Some(&last)) = (text.first(), text.last()) {
            // One to three bytes: the one in the middle may be one of the others.
            let middle = text[len / 2];
            to.write(first);
            to.add(len / 2).write(middle);
            to.add(len - 1).write(last);
            let all = u64::from(first) | u64::from(middle) << 8 | u64::from(last) << 16 | BLANKS << 24;
            Block::of_halves(all, BLANKS).is_suspect()
        } else {
            false
        }
    };
    !is_suspect || is_clean(text)
}

/// The same for more than 32 bytes.
///
/// # Safety
/// As above.
#[inline(never)]
unsafe fn copy_clean_long(text: &[u8], to: *mut u8) -> bool {
    // SAFETY: by the caller.
    unsafe { to.copy_from_nonoverlapping(text.as_ptr(), text.len()) };
    let (blocks, last) = (text.as_chunks::<16>().0, text.last_chunk::<16>());
    let is_suspect = blocks.iter().chain(last).any(|block| Block::new(block).is_suspect());
    !is_suspect || is_clean(text)
}

#[cold]
#[inline(never)]
fn is_clean(text: &[u8]) -> bool {
    !text.iter().any(|&byte| is_special(byte))
}

const BLANKS: u64 = 0x2020_2020_2020_2020;

/// Whether a byte may not be copied into a JSON string as it is. 0xE2 begins U+2028 and U+2029, which end a line for
/// some readers, so it is looked at closely.
#[inline(always)]
pub(super) fn is_special(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\' | 0xE2)
}

/// Sixteen bytes.
#[cfg(target_arch = "x86_64")]
struct Block(std::arch::x86_64::__m128i);

#[cfg(target_arch = "x86_64")]
impl Block {
    #[inline(always)]
    fn new(bytes: &[u8; 16]) -> Self {
        // SAFETY: SSE2 is part of the x86-64 architecture, and there are 16 bytes.
        Block(unsafe { std::arch::x86_64::_mm_loadu_si128(bytes.as_ptr().cast()) })
    }

    #[inline(always)]
    fn of_halves(first: u64, last: u64) -> Self {
        // SAFETY: as above.
        Block(unsafe { std::arch::x86_64::_mm_set_epi64x(last.cast_signed(), first.cast_signed()) })
    }

    /// Whether any byte is special; true, too, of what is not ASCII, which is rare and looked at closely.
    #[inline(always)]
    fn is_suspect(&self) -> bool {
        use std::arch::x86_64::{
            _mm_cmpeq_epi8, _mm_cmpgt_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
        };
        // SAFETY: as above.
        unsafe {
            let equal = |byte: u8| _mm_cmpeq_epi8(self.0, _mm_set1_epi8(byte.cast_signed()));
            // Read as signed numbers, control characters and all that is not ASCII are below a blank.
            let low = _mm_cmpgt_epi8(_mm_set1_epi8(0x20), self.0);
            _mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(equal(b'"'), equal(b'\\')))) != 0
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
struct Block(u64, u64);

#[cfg(not(target_arch = "x86_64"))]
impl Block {
    #[inline(always)]
    fn new(bytes: &[u8; 16]) -> Self {
        let both = u128::from_le_bytes(*bytes);
        Block(both as u64, (both >> 64) as u64)
    }

    #[inline(always)]
    fn of_halves(first: u64, last: u64) -> Self {
        Block(first, last)
    }

    #[inline(always)]
    fn is_suspect(&self) -> bool {
        special_bytes(self.0) | special_bytes(self.1) != 0
    }
}

/// The high bit of each of eight bytes that is special; a false hit stands only above a true one.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline(always)]
pub(crate) const fn special_bytes(word: u64) -> u64 {
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

    fn check(text: &[u8]) {
        // Bytes behind the text are not touched.
        let mut copy = vec![0xAA; text.len() + 40];
        // SAFETY: there is room.
        let is_clean = unsafe { copy_clean(text, copy.as_mut_ptr()) };
        assert_eq!(is_clean, !text.iter().any(|&byte| is_special(byte)), "{text:?}");
        assert!(!is_clean || copy.starts_with(text), "{text:?}");
        assert_eq!(copy[text.len()..], [0xAA; 40]);
    }

    #[test]
    fn every_byte_is_judged_alike_at_every_place_of_every_length() {
        for len in 0..70 {
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    let mut text: Vec<u8> = (0..len).map(|place| b'a' + place as u8 % 26).collect();
                    text[at] = byte;
                    check(&text);
                }
            }
            check(&vec![b'a'; len]);
        }
    }

    #[test]
    fn eight_bytes_without_simd_are_judged_alike() {
        for byte in 0..=u8::MAX {
            for at in 0..8 {
                let mut word = [b'a'; 8];
                word[at] = byte;
                assert_eq!(special_bytes(u64::from_le_bytes(word)) != 0, is_special(byte), "{word:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_alike(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            check(&text);
        }
    }
}
