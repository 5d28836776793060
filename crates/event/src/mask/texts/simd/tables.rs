//! What the pass over a text looks into, and what it finds.

/// The tables that the loop uses.
pub(in crate::mask) struct Tables {
    /// Buckets 0 to 7, and 8 to 15.
    pub(in crate::mask) sets: [Set; 2],
    /// Which hashes of three bytes are anchors.
    pub(in crate::mask) anchors: [u64; SLOTS / 64],
}

/// The tables of eight buckets.
#[derive(Clone, Copy, Default)]
pub(in crate::mask) struct Set {
    /// For each of three bytes, by their low half: a bit for each bucket.
    pub(in crate::mask) low: [[u8; 16]; 3],
    /// The same by their high half.
    pub(in crate::mask) high: [[u8; 16]; 3],
}

/// How many buckets all sets have.
pub(in crate::mask) const BUCKETS: usize = 16;

/// How many hashes there are.
pub(in crate::mask) const SLOTS: usize = 16_384;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::mask) enum Hit {
    /// Three bytes that are probably an anchor.
    Anchor(usize),
    /// The first of at least 14 digits, or of four digits that are followed by one byte and four more.
    Digits(usize),
}

/// The hash of three bytes, in any case. The factor is the best of 150,000 that were tried: with it, few places of ids and of
/// real records have the hash of an anchor.
#[inline(always)]
pub(in crate::mask) fn slot(bytes: [u8; 3]) -> usize {
    let [a, b, c] = bytes.map(|byte| u32::from(byte | 0x20));
    ((a | b << 8 | c << 16).wrapping_mul(0x96AF_DFD3) >> 18) as usize
}

/// Whether a JSON string begins here that itself holds JSON, without a blank before it.
#[inline(always)]
pub(in crate::mask) fn is_json_start(a: u8, b: u8) -> bool {
    // The two brackets differ in one bit.
    (a == b'"') & (b | 0x20 == b'{')
}

impl Tables {
    #[inline(always)]
    pub(in crate::mask) fn is_anchor(&self, text: &[u8], at: usize) -> bool {
        let Some(&[a, b, c]) = text.get(at..).and_then(<[u8]>::first_chunk::<3>) else { return false };
        let slot = slot([a, b, c]);
        // Without a branch between the two: only the result, nearly always no, is one.
        (self.anchors[slot / 64] >> (slot % 64) & 1 != 0) | is_json_start(a, b)
    }
}
