//! The derived offset file of a segment: where every 256th line begins. Drawn in `docs/format.md`.

use trailseal_event::Index;

/// One offset is kept per this many lines.
pub(crate) const OFFSETS_EVERY: u64 = 256;
const MAGIC: &[u8; 8] = b"TSOFFS01";

/// Where lines begin in a segment's uncompressed bytes. Never trusted: rebuilt if it does not match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// Index of the segment's first line.
    pub first: Index,
    /// How many lines it has.
    pub lines: u64,
    /// Its length in uncompressed bytes.
    pub len_bytes: u64,
    /// Where lines 0, 256, 512, … of the segment begin.
    pub offsets: Vec<u64>,
}

impl Offsets {
    /// Bytes before the first offset.
    pub(crate) const HEAD_LEN: usize = 32;

    /// The number of lines and of uncompressed bytes in the beginning of a file, without checking its checksum.
    pub(crate) fn decode_head(head: &[u8]) -> Option<(u64, u64)> {
        let numbers = head.strip_prefix(MAGIC)?.as_chunks::<8>().0;
        let [_first, lines, len_bytes] = numbers else { return None };
        Some((u64::from_le_bytes(*lines), u64::from_le_bytes(*len_bytes)))
    }

    /// As the bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(36 + 8 * self.offsets.len());
        out.extend_from_slice(MAGIC);
        for number in [self.first.get(), self.lines, self.len_bytes].iter().chain(&self.offsets) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Parses the bytes of the file; `None` if they are damaged or contradict themselves.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        let numbers = body.strip_prefix(MAGIC)?;
        if crc != crc32c::crc32c(body).to_le_bytes() || !numbers.len().is_multiple_of(8) {
            return None;
        }
        let mut numbers =
            numbers.chunks_exact(8).filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?)));
        let found = Offsets {
            first: Index::new(numbers.next()?),
            lines: numbers.next()?,
            len_bytes: numbers.next()?,
            offsets: numbers.collect(),
        };
        let in_order = found.offsets.is_sorted_by(|left, right| left < right)
            && found.offsets.first().is_none_or(|first| *first == 0)
            && found.offsets.last().is_none_or(|last| *last < found.len_bytes);
        let fits = found.offsets.len() as u64 == found.lines.div_ceil(OFFSETS_EVERY);
        (in_order && fits && found.first.get().checked_add(found.lines).is_some()).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_round_trips_and_a_damaged_one_is_refused() {
        let offsets =
            Offsets { first: Index::new(7), lines: 513, len_bytes: 90_000, offsets: vec![0, 40_000, 80_000] };
        let bytes = offsets.encode();
        assert_eq!(Offsets::decode(&bytes), Some(offsets));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(Offsets::decode(&damaged), None, "byte {at}");
        }
        for len in 0..bytes.len() {
            assert_eq!(Offsets::decode(&bytes[..len]), None);
        }
    }
}
