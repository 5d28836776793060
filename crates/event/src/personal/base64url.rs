//! base64url without padding (RFC 4648, section 5), twelve bytes at a time where the processor can move bytes about in a
//! register; a test compares it with the crate that does it elsewhere.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calls a function that needs a processor feature")
)]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The length of so many bytes in base64url.
pub(super) fn encoded_len(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// Appends these bytes.
pub(super) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("ssse3") {
        // SAFETY: the processor has it.
        unsafe { encode_by_ssse3(bytes, out) };
        return;
    }
    encode_by_crate(bytes, out);
}

fn encode_by_crate(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + encoded_len(bytes.len()), 0);
    // There is room for all of it.
    let _ = URL_SAFE_NO_PAD.encode_slice(bytes, &mut out[start..]);
}

/// How many bytes one step takes, and how many characters it makes.
#[cfg(target_arch = "x86_64")]
const STEP_BYTES: usize = 12;
#[cfg(target_arch = "x86_64")]
const STEP_CHARACTERS: usize = 16;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "ssse3")]
fn encode_by_ssse3(bytes: &[u8], out: &mut Vec<u8>) {
    let end = out.len() + encoded_len(bytes.len());
    out.reserve(encoded_len(bytes.len()) + STEP_CHARACTERS);
    let mut rest = bytes;
    // A step loads four bytes more than it takes.
    while let Some(block) = rest.first_chunk() {
        out.extend_from_slice(&characters(block));
        rest = &rest[STEP_BYTES..];
    }
    let mut last = [0; 2 * STEP_CHARACTERS];
    last[..rest.len()].copy_from_slice(rest);
    for from in (0..rest.len()).step_by(STEP_BYTES) {
        if let Some(block) = last[from..].first_chunk() {
            out.extend_from_slice(&characters(block));
        }
    }
    out.truncate(end);
}

/// The characters for the first twelve of these bytes.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "ssse3")]
fn characters(block: &[u8; 16]) -> [u8; STEP_CHARACTERS] {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_and_si128, _mm_cmpgt_epi8, _mm_cvtsi128_si64, _mm_mulhi_epu16,
        _mm_mullo_epi16, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8, _mm_set1_epi32, _mm_setr_epi8,
        _mm_shuffle_epi8, _mm_subs_epu8, _mm_unpackhi_epi64,
    };
    let halves = u128::from_le_bytes(*block);
    let bytes = _mm_set_epi64x((halves >> 64) as i64, halves as i64);
    // Three bytes a, b, c become b a c b: each of their four parts of six bits is in one of two words.
    let order = _mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
    let spread = _mm_shuffle_epi8(bytes, order);
    // A multiplication shifts the two parts of a word by different counts.
    let upper = _mm_and_si128(spread, _mm_set1_epi32(0x0FC0_FC00));
    let upper = _mm_mulhi_epu16(upper, _mm_set1_epi32(0x0400_0040));
    let lower = _mm_and_si128(spread, _mm_set1_epi32(0x003F_03F0));
    let lower = _mm_mullo_epi16(lower, _mm_set1_epi32(0x0100_0010));
    let parts = _mm_or_si128(upper, lower);
    // What is to be added: 0 stands for a-z, 1 to 10 for digits, 11 and 12 for the two marks, 13 for A-Z.
    let kind = _mm_subs_epu8(parts, _mm_set1_epi8(51));
    let is_upper_case = _mm_cmpgt_epi8(_mm_set1_epi8(26), parts);
    let kind = _mm_or_si128(kind, _mm_and_si128(is_upper_case, _mm_set1_epi8(13)));
    const LOWER: i8 = b'a' as i8 - 26;
    const DIGIT: i8 = b'0' as i8 - 52;
    const MINUS: i8 = b'-' as i8 - 62;
    const UNDERSCORE: i8 = b'_' as i8 - 63;
    const UPPER: i8 = b'A' as i8;
    let added = _mm_setr_epi8(
        LOWER, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, MINUS, UNDERSCORE,
        UPPER, 0, 0,
    );
    let characters: __m128i = _mm_add_epi8(parts, _mm_shuffle_epi8(added, kind));
    let low = _mm_cvtsi128_si64(characters) as u64;
    let high = _mm_cvtsi128_si64(_mm_unpackhi_epi64(characters, characters)) as u64;
    (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_by_each_way() {
        let mut bytes = Vec::new();
        for len in 0..400usize {
            let (mut own, mut other) = (b"before".to_vec(), b"before".to_vec());
            encode_by_crate(&bytes, &mut other);
            encode(&bytes, &mut own);
            assert_eq!(own, other, "{len}");
            bytes.push((len * 151 + len / 7) as u8);
        }
        // Each character at each place of a step.
        for part in 0..64u8 {
            for place in 0..16 {
                let bits = u128::from(part) << (122 - 6 * place);
                let bytes = &bits.to_be_bytes()[..12];
                let (mut own, mut other) = (Vec::new(), Vec::new());
                encode_by_crate(bytes, &mut other);
                encode(bytes, &mut own);
                assert_eq!(own, other, "{part} at {place}");
            }
        }
    }
}
