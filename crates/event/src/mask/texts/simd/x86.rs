//! Examines a block of text with the vectors of x86-64.
//!
//! A value of [`Avx512`] or [`Avx2`] proves that the processor has the instructions; only `detect` creates one.
//!
//! Vectors are never handed to a function that is not of this module, such as `map` of an array: that is compiled
//! without the instructions, so nothing is inlined into it, and each vector goes through memory.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256,
    _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256,
    _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16, _mm256_sub_epi8,
    _mm512_add_epi8, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_cmple_epu8_mask, _mm512_loadu_si512,
    _mm512_maskz_compress_epi8, _mm512_set1_epi8, _mm512_shuffle_epi8, _mm512_srli_epi16,
    _mm512_storeu_si512, _mm512_sub_epi8, _mm512_test_epi8_mask,
};
use std::is_x86_feature_detected;

use super::blocks::{self, BLOCK, Seen};
use super::tables::{Hit, Set, Tables};

/// Bytes of a vector of AVX2.
const HALF: usize = BLOCK / 2;

/// The processor has AVX-512, for bytes and for picking them.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

/// The processor has AVX2.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx512 {
    #[inline(always)]
    pub(super) fn detect() -> Option<Self> {
        let is_there = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vbmi2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("popcnt");
        is_there.then_some(Avx512(()))
    }

    /// See [`blocks::scan`].
    #[inline]
    pub(super) fn scan(self, text: &[u8], tables: &Tables, visit: impl FnMut(Hit) -> bool) -> bool {
        // SAFETY: `detect` found the instructions.
        unsafe { scan_avx512(text, tables, visit) }
    }
}

impl Avx2 {
    #[inline(always)]
    pub(super) fn detect() -> Option<Self> {
        let is_there = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("popcnt");
        is_there.then_some(Avx2(()))
    }

    /// See [`blocks::scan`].
    #[inline]
    pub(super) fn scan(self, text: &[u8], tables: &Tables, visit: impl FnMut(Hit) -> bool) -> bool {
        // SAFETY: `detect` found the instructions.
        unsafe { scan_avx2(text, tables, visit) }
    }
}

/// The address of the bytes `at..at + len`.
#[inline(always)]
fn bytes(text: &[u8], at: usize, len: usize) -> *const u8 {
    text[at..at + len].as_ptr()
}

#[inline]
#[target_feature(enable = "sse2")]
fn table(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: a table has 16 bytes.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// The numbers from 0 on.
static IDENTITY: [u8; BLOCK] = {
    let mut numbers = [0; BLOCK];
    let mut number = 0;
    while number < BLOCK {
        numbers[number] = number as u8;
        number += 1;
    }
    numbers
};

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,bmi1,popcnt")]
fn scan_avx512(text: &[u8], tables: &Tables, visit: impl FnMut(Hit) -> bool) -> bool {
    let wide = |bytes: &[u8; 16]| _mm512_broadcast_i32x4(table(bytes));
    let each = |[a, b, c]: &[[u8; 16]; 3]| [wide(a), wide(b), wide(c)];
    let both = |Set { low, high }: &Set| (each(low), each(high));
    let [one, other] = &tables.sets;
    let (one, other) = (both(one), both(other));
    // SAFETY: `bytes` looked that there are so many.
    let load = |at: usize| unsafe { _mm512_loadu_si512(bytes(text, at, BLOCK).cast()) };
    let digits = |block: __m512i| {
        let from_zero = _mm512_sub_epi8(block, _mm512_set1_epi8(b'0'.cast_signed()));
        _mm512_cmple_epu8_mask(from_zero, _mm512_set1_epi8(9))
    };
    let look = |at: usize| {
        let blocks = [load(at), load(at + 1), load(at + 2)];
        let half = _mm512_set1_epi8(0x0F);
        let low = |block: __m512i| _mm512_and_si512(block, half);
        let high = |block: __m512i| _mm512_and_si512(_mm512_srli_epi16::<4>(block), half);
        let lows = [low(blocks[0]), low(blocks[1]), low(blocks[2])];
        let highs = [high(blocks[0]), high(blocks[1]), high(blocks[2])];
        let found = |(low, high): ([__m512i; 3], [__m512i; 3])| {
            let buckets = |place: usize| {
                let low = _mm512_shuffle_epi8(low[place], lows[place]);
                _mm512_and_si512(low, _mm512_shuffle_epi8(high[place], highs[place]))
            };
            _mm512_test_epi8_mask(_mm512_and_si512(buckets(0), buckets(1)), buckets(2))
        };
        Seen { candidates: found(one) | found(other), digits: digits(blocks[0]) }
    };
    // SAFETY: there are so many.
    let identity = unsafe { _mm512_loadu_si512(IDENTITY.as_ptr().cast()) };
    let places = |mask: u64, start: u8, free: &mut [u8; BLOCK]| {
        let all = _mm512_add_epi8(identity, _mm512_set1_epi8(start.cast_signed()));
        let those = _mm512_maskz_compress_epi8(mask, all);
        // SAFETY: there is room for all of it.
        unsafe { _mm512_storeu_si512(free.as_mut_ptr().cast(), those) };
    };
    blocks::scan(text, tables, look, |at| digits(load(at)), places, visit)
}

/// Places written without checking how many there are.
const AT_ONCE: usize = 4;

/// The places of the bits in `mask`, each with `start` added. How many there are is practically random, and a wrong
/// prediction by the processor costs more than writing some in vain.
#[inline(always)]
fn places(mut mask: u64, start: u8, free: &mut [u8; BLOCK]) {
    for some in free.as_chunks_mut::<AT_ONCE>().0 {
        for place in some {
            *place = start.wrapping_add(mask.trailing_zeros() as u8);
            mask &= mask.wrapping_sub(1);
        }
        if mask == 0 {
            break;
        }
    }
}

#[target_feature(enable = "avx2,bmi1,popcnt")]
fn scan_avx2(text: &[u8], tables: &Tables, visit: impl FnMut(Hit) -> bool) -> bool {
    let wide = |bytes: &[u8; 16]| _mm256_broadcastsi128_si256(table(bytes));
    let each = |[a, b, c]: &[[u8; 16]; 3]| [wide(a), wide(b), wide(c)];
    let both = |Set { low, high }: &Set| (each(low), each(high));
    let [one, other] = &tables.sets;
    let (one, other) = (both(one), both(other));
    // SAFETY: `bytes` looked that there are so many.
    let load = |at: usize| unsafe { _mm256_loadu_si256(bytes(text, at, HALF).cast()) };
    let mask = |vector: __m256i| u64::from(_mm256_movemask_epi8(vector).cast_unsigned());
    let digits = |block: __m256i| {
        let from_zero = _mm256_sub_epi8(block, _mm256_set1_epi8(b'0'.cast_signed()));
        mask(_mm256_cmpeq_epi8(_mm256_min_epu8(from_zero, _mm256_set1_epi8(9)), from_zero))
    };
    let candidates = |blocks: [__m256i; 3]| {
        let half = _mm256_set1_epi8(0x0F);
        let low = |block: __m256i| _mm256_and_si256(block, half);
        let high = |block: __m256i| _mm256_and_si256(_mm256_srli_epi16::<4>(block), half);
        let lows = [low(blocks[0]), low(blocks[1]), low(blocks[2])];
        let highs = [high(blocks[0]), high(blocks[1]), high(blocks[2])];
        let found = |(low, high): ([__m256i; 3], [__m256i; 3])| {
            let buckets = |place: usize| {
                let low = _mm256_shuffle_epi8(low[place], lows[place]);
                _mm256_and_si256(low, _mm256_shuffle_epi8(high[place], highs[place]))
            };
            _mm256_and_si256(_mm256_and_si256(buckets(0), buckets(1)), buckets(2))
        };
        let none = _mm256_cmpeq_epi8(_mm256_or_si256(found(one), found(other)), _mm256_setzero_si256());
        mask(none) ^ u64::from(u32::MAX)
    };
    let look_at_half = |at: usize| {
        let blocks = [load(at), load(at + 1), load(at + 2)];
        Seen { candidates: candidates(blocks), digits: digits(blocks[0]) }
    };
    let look = |at: usize| {
        let (first, second) = (look_at_half(at), look_at_half(at + HALF));
        Seen {
            candidates: first.candidates | second.candidates << HALF,
            digits: first.digits | second.digits << HALF,
        }
    };
    let digits = |at: usize| digits(load(at)) | digits(load(at + HALF)) << HALF;
    blocks::scan(text, tables, look, digits, places, visit)
}
