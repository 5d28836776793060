//! Where the quotes of a text stand, 64 bytes at a time: an object of short texts is stepped through without a look at
//! each of its bytes.
//!
//! Uses SSE2, which every x86-64 has, and otherwise each byte; a test compares the two.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calls a function that needs a processor feature")
)]

/// How many bytes are looked at together.
const BLOCK_BYTES: usize = 64;

/// The marks of one block of a text.
pub(super) struct Marks<'a> {
    text: &'a [u8],
    /// Where the block begins.
    from: usize,
    bits: Bits,
}

/// One bit for each byte of a block, from the lowest on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bits {
    quotes: u64,
    backslashes: u64,
    dots: u64,
}

impl<'a> Marks<'a> {
    pub(super) fn new(text: &'a [u8], from: usize) -> Marks<'a> {
        Marks { text, from, bits: Bits::at(text, from) }
    }

    /// Where the first quote from `at` on stands. `None` if a backslash comes before it, or none comes at all.
    #[inline]
    pub(super) fn quote(&mut self, mut at: usize) -> Option<usize> {
        loop {
            if !(self.from..self.from + BLOCK_BYTES).contains(&at) {
                if at >= self.text.len() {
                    return None;
                }
                *self = Marks::new(self.text, at);
            }
            let shift = at - self.from;
            let (quotes, backslashes) = (self.bits.quotes >> shift, self.bits.backslashes >> shift);
            let first = (quotes | backslashes).trailing_zeros();
            if first < u64::BITS {
                return (quotes >> first & 1 == 1).then_some(at + first as usize);
            }
            at = self.from + BLOCK_BYTES;
        }
    }

    /// Whether a dot stands in this part of the text, whose end was found last.
    #[inline]
    pub(super) fn has_dot(&self, from: usize, to: usize) -> bool {
        match from.checked_sub(self.from) {
            Some(shift) if to - from < BLOCK_BYTES => {
                self.bits.dots >> shift & !(u64::MAX << (to - from)) != 0
            }
            _ => self.text[from..to].contains(&b'.'),
        }
    }
}

impl Bits {
    /// Those of the 64 bytes from here on, or of what there is of them.
    #[inline]
    fn at(text: &[u8], from: usize) -> Bits {
        let rest = text.get(from..).unwrap_or_default();
        if let Some(block) = rest.first_chunk() {
            return Bits::of(block);
        }
        match text.last_chunk() {
            Some(block) => {
                let before = BLOCK_BYTES - rest.len();
                // All of the block may be before.
                let cut = |bits: u64| bits.checked_shr(before as u32).unwrap_or(0);
                let Bits { quotes, backslashes, dots } = Bits::of(block);
                Bits { quotes: cut(quotes), backslashes: cut(backslashes), dots: cut(dots) }
            }
            None => {
                let mut block = [0; BLOCK_BYTES];
                block[..rest.len()].copy_from_slice(rest);
                Bits::of(&block)
            }
        }
    }

    #[inline]
    fn of(block: &[u8; BLOCK_BYTES]) -> Bits {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE2 is part of every x86-64 processor, and nothing else is used.
        return unsafe { Bits::by_sse2(block) };
        #[cfg(not(target_arch = "x86_64"))]
        Bits::by_byte(block)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "sse2")]
    fn by_sse2(block: &[u8; BLOCK_BYTES]) -> Bits {
        use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};
        let mut bits = Bits::default();
        let parts = block.as_chunks::<16>().0;
        for (part, place) in parts.iter().zip(0..) {
            let part = u128::from_le_bytes(*part);
            let part = _mm_set_epi64x((part >> 64) as i64, part as i64);
            let like = |byte: u8| {
                let found = _mm_movemask_epi8(_mm_cmpeq_epi8(part, _mm_set1_epi8(byte as i8)));
                u64::from(found as u32) << (16 * place)
            };
            bits.quotes |= like(b'"');
            bits.backslashes |= like(b'\\');
            bits.dots |= like(b'.');
        }
        bits
    }

    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn by_byte(block: &[u8; BLOCK_BYTES]) -> Bits {
        let like = |wanted: u8| {
            block.iter().zip(0..).fold(0, |bits, (byte, place)| bits | u64::from(*byte == wanted) << place)
        };
        Bits { quotes: like(b'"'), backslashes: like(b'\\'), dots: like(b'.') }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_block_is_the_same_by_each_way(bytes in prop::collection::vec(prop::sample::select(b"\"\\.a\xE4\xA2".to_vec()), 64)) {
            let block = bytes.first_chunk().unwrap();
            prop_assert_eq!(Bits::of(block), Bits::by_byte(block));
        }

        #[test]
        fn a_quote_is_found_where_it_stands(text in "[a-z\"\\\\.\u{e4}]{0,200}", steps in prop::collection::vec(0usize..200, 1..6)) {
            let bytes = text.as_bytes();
            let mut marks = Marks::new(bytes, 0);
            for at in steps {
                let first = bytes.iter().skip(at).position(|byte| matches!(byte, b'"' | b'\\')).map(|found| at + found);
                let quote = first.filter(|first| bytes[*first] == b'"');
                prop_assert_eq!(marks.quote(at), quote, "{} from {}", text, at);
                if let Some(quote) = quote {
                    prop_assert_eq!(marks.has_dot(at, quote), bytes[at..quote].contains(&b'.'), "{}", text);
                }
            }
        }
    }
}
