//! One pass over text for two things at once: places where three bytes look like an anchor, and digits that could
//! be a card. 32 bytes at a time with AVX2, and otherwise, and in tests beside it, by a plain loop.
//!
//! Anchors are found by half-bytes (the method called Teddy): each of sixteen buckets holds some anchors, and for each
//! of the three bytes two tables of 16 entries say which buckets could have that half-byte there. A table has room
//! for eight buckets, so there are two sets: fewer anchors in each let fewer places pass. What passes is looked up
//! by a hash in a bitmap before anybody is called.

/// The tables that the loop looks into.
pub(super) struct Tables {
    /// Buckets 0 to 7, and 8 to 15.
    pub(super) sets: [Set; 2],
    /// Which hashes of three bytes are anchors.
    pub(super) anchors: [u64; SLOTS / 64],
}

/// The tables of eight buckets.
#[derive(Clone, Copy, Default)]
pub(super) struct Set {
    /// For each of three bytes, by their low half: a bit for each bucket.
    pub(super) low: [[u8; 16]; 3],
    /// The same by their high half.
    pub(super) high: [[u8; 16]; 3],
}

/// How many buckets all sets have.
pub(super) const BUCKETS: usize = 16;

/// How many hashes there are.
pub(super) const SLOTS: usize = 16_384;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hit {
    /// Three bytes that are probably an anchor.
    Anchor(usize),
    /// The first of at least 14 digits, or of four digits that are followed by one byte and four more.
    Digits(usize),
}

/// The hash of three bytes, in any case. Of 150 odd factors that were tried this one gives the fewest places of real
/// records the hash of an anchor.
#[inline(always)]
pub(super) fn slot(bytes: [u8; 3]) -> usize {
    let [a, b, c] = bytes.map(|byte| u32::from(byte | 0x20));
    ((a | b << 8 | c << 16).wrapping_mul(0x1BA1_6215) >> 18) as usize
}

/// Whether a string of JSON begins here that holds JSON itself, without a blank before it.
#[inline(always)]
pub(super) fn is_json_start(a: u8, b: u8) -> bool {
    // The two brackets differ in one bit.
    (a == b'"') & (b | 0x20 == b'{')
}

impl Tables {
    #[inline(always)]
    fn is_anchor(&self, text: &[u8], at: usize) -> bool {
        let Some(&[a, b, c]) = text.get(at..).and_then(<[u8]>::first_chunk::<3>) else { return false };
        let slot = slot([a, b, c]);
        // Without a branch between the two: only the answer, nearly always no, is one.
        (self.anchors[slot / 64] >> (slot % 64) & 1 != 0) | is_json_start(a, b)
    }
}

/// Calls `visit` for each hit until it says true, and returns whether it did. A hit may come twice. Anchors come in
/// order, and digits do; an anchor may come after digits that stand behind it.
#[inline]
pub(super) fn scan(text: &[u8], tables: &Tables, visit: impl FnMut(Hit) -> bool) -> bool {
    #[cfg(target_arch = "x86_64")]
    if text.len() >= avx2::LEN_MIN
        && std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("popcnt")
    {
        #[expect(unsafe_code, reason = "the instructions were just found to be there")]
        // SAFETY: the features were detected, and the text is long enough.
        return unsafe { avx2::scan(text, tables, visit) };
    }
    scan_plain(text, tables, visit)
}

/// The same, byte by byte.
pub(super) fn scan_plain(text: &[u8], tables: &Tables, mut visit: impl FnMut(Hit) -> bool) -> bool {
    let mut digits = 0;
    for at in 0..text.len() {
        if tables.is_anchor(text, at) && visit(Hit::Anchor(at)) {
            return true;
        }
        if text[at].is_ascii_digit() {
            digits += 1;
            continue;
        }
        if digits > 0 && ends_digits(text, at, digits) && visit(Hit::Digits(at - digits)) {
            return true;
        }
        digits = 0;
    }
    digits >= 14 && visit(Hit::Digits(text.len() - digits))
}

fn ends_digits(text: &[u8], at: usize, digits: usize) -> bool {
    let follows = |count: usize| text.get(at + count).is_some_and(u8::is_ascii_digit);
    digits >= 14 || (digits == 4 && (1..=4).all(follows))
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8,
        _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8,
        _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16, _mm256_sub_epi8,
    };

    use super::{Hit, Tables};

    /// Bytes of a vector.
    const BLOCK: usize = 32;
    /// Blocks whose candidates are gathered before any is looked at.
    const BLOCKS_AT_ONCE: usize = 4;
    /// The shortest text that is scanned this way.
    pub(super) const LEN_MIN: usize = 2 * BLOCK;

    /// Candidates are gathered first and looked at afterwards. Both are done without a branch that the processor
    /// could not foresee: how many there are in a block is as good as random, and a wrong guess costs more than
    /// ten of them.
    ///
    /// # Safety
    /// The text must have at least [`LEN_MIN`] bytes.
    #[target_feature(enable = "avx2,bmi1,popcnt")]
    #[expect(unsafe_code, reason = "unaligned loads, each within the text")]
    pub(super) unsafe fn scan(text: &[u8], tables: &Tables, mut visit: impl FnMut(Hit) -> bool) -> bool {
        // SAFETY: each table has 16 bytes.
        let table =
            |bytes: &[u8; 16]| unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes.as_ptr().cast())) };
        let sets =
            tables.sets.each_ref().map(|set| (set.low.each_ref().map(table), set.high.each_ref().map(table)));
        // SAFETY: callers give places with at least 32 bytes after them.
        let load = |at: usize| unsafe { _mm256_loadu_si256(text.as_ptr().add(at).cast::<__m256i>()) };

        let last = text.len() - BLOCK - 2;
        let mut places = Places { after: [0; PLACES_MAX], len: 0 };
        let (mut at, mut before) = (0, 0_u64);
        loop {
            let begin = at;
            places.len = 0;
            for _ in 0..BLOCKS_AT_ONCE {
                if at >= last {
                    break;
                }
                let first = load(at);
                places.add(at - begin, candidates([first, load(at + 1), load(at + 2)], sets));
                let digits = u64::from(digits(first));
                let window = before | digits << BLOCK;
                before = digits;
                if visit_digits(window, u64::MAX << 18, at, BLOCK, &mut visit) {
                    return true;
                }
                at += BLOCK;
            }
            let is_end = at >= last;
            if is_end {
                // The last block overlaps the one before it.
                let seen = at - last;
                let found = candidates([load(last), load(last + 1), load(last + 2)], sets);
                places.add(at - begin, found.checked_shr(seen as u32).unwrap_or(0));
            }
            for &after in places.after.get(..places.len).unwrap_or_default() {
                let place = begin + usize::from(after);
                if tables.is_anchor(text, place) && visit(Hit::Anchor(place)) {
                    return true;
                }
            }
            if is_end {
                break;
            }
        }
        let start = text.len() - 2 * BLOCK;
        let window = u64::from(digits(load(start))) | u64::from(digits(load(start + BLOCK))) << BLOCK;
        visit_digits(window, u64::MAX, start + BLOCK, BLOCK, &mut visit)
    }

    /// Every place of the blocks, and room for those that are written and not counted.
    const PLACES_MAX: usize = (BLOCKS_AT_ONCE + 1) * BLOCK + AT_ONCE;
    /// Places written without asking how many there are.
    const AT_ONCE: usize = 4;

    /// Candidates, as distances from the first block's begin.
    struct Places {
        after: [u8; PLACES_MAX],
        len: usize,
    }

    impl Places {
        /// Adds the places of the bits in `mask`, the lowest of which stands for `start`.
        #[inline]
        #[target_feature(enable = "avx2,bmi1,popcnt")]
        fn add(&mut self, start: usize, mut mask: u32) {
            let count = mask.count_ones() as usize;
            let mut done = 0;
            while let Some(free) =
                self.after.get_mut(self.len + done..).and_then(<[u8]>::first_chunk_mut::<AT_ONCE>)
            {
                for place in free {
                    *place = (start as u32 + mask.trailing_zeros()) as u8;
                    mask &= mask.wrapping_sub(1);
                }
                done += AT_ONCE;
                if done >= count {
                    break;
                }
            }
            self.len += count;
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,bmi1,popcnt")]
    fn candidates(blocks: [__m256i; 3], sets: [([__m256i; 3], [__m256i; 3]); 2]) -> u32 {
        let half = _mm256_set1_epi8(0x0F);
        let lows = blocks.map(|block| _mm256_and_si256(block, half));
        let highs = blocks.map(|block| _mm256_and_si256(_mm256_srli_epi16::<4>(block), half));
        let found = sets.map(|(low, high)| {
            let buckets = |place: usize| {
                let low = _mm256_shuffle_epi8(low[place], lows[place]);
                _mm256_and_si256(low, _mm256_shuffle_epi8(high[place], highs[place]))
            };
            _mm256_and_si256(_mm256_and_si256(buckets(0), buckets(1)), buckets(2))
        });
        let found = _mm256_or_si256(found[0], found[1]);
        !_mm256_movemask_epi8(_mm256_cmpeq_epi8(found, _mm256_setzero_si256())).cast_unsigned()
    }

    #[inline]
    #[target_feature(enable = "avx2,bmi1,popcnt")]
    fn digits(block: __m256i) -> u32 {
        let from_zero = _mm256_sub_epi8(block, _mm256_set1_epi8(b'0'.cast_signed()));
        let at_most_nine = _mm256_min_epu8(from_zero, _mm256_set1_epi8(9));
        _mm256_movemask_epi8(_mm256_cmpeq_epi8(at_most_nine, from_zero)).cast_unsigned()
    }

    /// `window` says of 64 bytes which are digits; the byte at `at` has the number `offset` in it.
    #[inline]
    fn visit_digits(
        window: u64,
        fresh: u64,
        at: usize,
        offset: usize,
        visit: &mut impl FnMut(Hit) -> bool,
    ) -> bool {
        let two = window & window >> 1;
        let four = two & two >> 2;
        let eight = four & four >> 4;
        let long = eight & eight >> 6;
        let grouped = four & !(window >> 4) & four >> 5;
        let mut starts = (long | grouped) & !(window << 1) & fresh;
        while starts != 0 {
            let place = at + starts.trailing_zeros() as usize - offset;
            starts &= starts - 1;
            if visit(Hit::Digits(place)) {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::mask::prefilter::{BLANK_STARTS, Finder};
    use crate::mask::rules::{KEY_ENDS, RULES};

    fn hits(scan: impl Fn(&mut dyn FnMut(Hit) -> bool)) -> BTreeSet<Hit> {
        let mut hits = BTreeSet::new();
        scan(&mut |hit| {
            hits.insert(hit);
            false
        });
        hits
    }

    fn check(text: &[u8]) {
        let tables = &Finder::get().tables;
        let fast = hits(|visit| _ = scan(text, tables, visit));
        let plain = hits(|visit| _ = scan_plain(text, tables, visit));
        // The plain loop alone takes two cases for one, and a key's quote for an anchor. Of digits longer than a
        // card both may say what they like.
        let counts = |hit: &&Hit| match **hit {
            Hit::Anchor(at) => is_real(text, at),
            Hit::Digits(at) => {
                let run = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                run < 20 && (at == 0 || !text[at - 1].is_ascii_digit())
            }
        };
        let (fast, plain): (Vec<_>, Vec<_>) =
            (fast.iter().filter(counts).collect(), plain.iter().filter(counts).collect());
        assert_eq!(fast, plain, "{:?}", String::from_utf8_lossy(text));
    }

    /// Whether the anchor of some form stands here.
    fn is_real(text: &[u8], at: usize) -> bool {
        let Some(&[a, b, c]) = text[at..].first_chunk::<3>() else { return false };
        let ends_a_key = KEY_ENDS.iter().any(|[before, last]| {
            (a | 0x20 == *before && b | 0x20 == *last && a > b'@' && b > b'@' && b"=:\\'".contains(&c))
                || (a | 0x20 == *last && a > b'@' && b == b' ' && b"=:".contains(&c))
                || (a | 0x20 == *last && a > b'@' && b.is_ascii_digit() && b"=:\\".contains(&c))
        });
        let ends_with_digits = a.is_ascii_digit() && (b.is_ascii_digit() || b == b' ') && c == b'=';
        let begins_a_string = BLANK_STARTS.contains(&[a, b, c]) || [a, b, c] == *b"\\u0";
        let begins_a_literal = RULES.iter().any(|rule| {
            at.checked_sub(rule.anchor)
                .is_some_and(|start| text[start..].starts_with(rule.literal.as_bytes()))
        });
        is_json_start(a, b) || ends_a_key || ends_with_digits || begins_a_string || begins_a_literal
    }

    #[test]
    fn every_place_of_a_block() {
        let blanks = ["\"\\n{", "\"  {", "\"\u{feff}["];
        let others =
            ["ghp_", "\"{\\", "4242424242424242", "4111 1111 1111 1111", "://", "password=", "cvv2="];
        for anchor in others.into_iter().chain(blanks).chain(["pin12=", "\\u00074242 4242"]) {
            for before in 0..100 {
                for after in [0, 1, 2, 31, 32, 33, 64, 70] {
                    check(format!("{}{anchor}{}", "a".repeat(before), "b".repeat(after)).as_bytes());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn fast_and_plain_agree(text in "([a-z_:/ \"{=-]{0,20}|[0-9]{1,19}|[0-9]{4}[ -]|ghp_|eyJ|rd=|d2=|12=|\"\\\\n|\" |\\\\u0|://|\\\\|.){0,40}") {
            check(text.as_bytes());
        }
    }
}
