//! The derived offset file of a segment: where every 256th line begins. Drawn in `docs/format.md`.

use trailseal_event::Index;

/// One offset is kept per this many lines.
pub const OFFSETS_EVERY: u64 = 256;
const MAGIC: &[u8; 8] = b"TSOFFS01";
/// Of a segment in which lines are retired: also the index at which it ends, and those of the lines whose offsets follow.
const MAGIC_RETIRED: &[u8; 8] = b"TSOFFS02";

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
    /// The indexes of those lines, if any before the last one is retired; otherwise empty.
    pub indexes: Vec<u64>,
    /// The index after its lines, if some of them are retired.
    pub end: Option<Index>,
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

    /// The index after the last line that is known.
    pub fn known_end(&self) -> u64 {
        self.end.map_or(self.first.get() + self.lines, Index::get)
    }

    /// Adds the offset of a line whose number is a multiple of [`OFFSETS_EVERY`].
    pub(crate) fn push_group(&mut self, index: u64, offset: u64) {
        let group = self.offsets.len() as u64;
        if self.indexes.is_empty() && index != self.index_of(group) {
            self.indexes = (0..group).map(|group| self.index_of(group)).collect();
            self.indexes.push(index);
        } else if !self.indexes.is_empty() {
            self.indexes.push(index);
        }
        self.offsets.push(offset);
    }

    /// The index of the line at which a group begins.
    pub(crate) fn index_of(&self, group: u64) -> u64 {
        let dense = self.first.get() + group * OFFSETS_EVERY;
        self.indexes.get(group as usize).copied().unwrap_or(dense)
    }

    /// The group that holds line `index`, or would if it were not retired.
    pub(crate) fn group_of(&self, index: u64) -> u64 {
        match self.indexes.is_empty() {
            true => index.saturating_sub(self.first.get()) / OFFSETS_EVERY,
            false => (self.indexes.partition_point(|first| *first <= index) as u64).saturating_sub(1),
        }
    }

    /// As the bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(44 + 16 * self.offsets.len());
        let head = [self.first.get(), self.lines, self.len_bytes];
        match self.end {
            None => out.extend_from_slice(MAGIC),
            Some(_) => out.extend_from_slice(MAGIC_RETIRED),
        }
        let groups = 0..self.offsets.len() as u64;
        let end = self.end.map(Index::get);
        let indexes = end.into_iter().flat_map(|_| groups.clone().map(|group| self.index_of(group)));
        let numbers = head.into_iter().chain(end).chain(self.offsets.iter().copied()).chain(indexes);
        for number in numbers {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Parses the bytes of the file; `None` if they are damaged or contradict themselves.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        let (numbers, has_retired) = match body.strip_prefix(MAGIC) {
            Some(numbers) => (numbers, false),
            None => (body.strip_prefix(MAGIC_RETIRED)?, true),
        };
        if crc != crc32c::crc32c(body).to_le_bytes() || !numbers.len().is_multiple_of(8) {
            return None;
        }
        let mut numbers =
            numbers.chunks_exact(8).filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?)));
        let mut found = Offsets {
            first: Index::new(numbers.next()?),
            lines: numbers.next()?,
            len_bytes: numbers.next()?,
            ..Offsets::default()
        };
        if has_retired {
            found.end = Some(Index::new(numbers.next()?));
        }
        found.offsets = numbers.collect();
        if has_retired {
            found.indexes = found.offsets.split_off(found.offsets.len() / 2);
        }
        found.is_consistent().then_some(found)
    }

    fn is_consistent(&self) -> bool {
        let Offsets { first, lines, len_bytes, offsets, indexes, end } = self;
        let in_order = offsets.is_sorted_by(|left, right| left < right)
            && offsets.first().is_none_or(|first| *first == 0)
            && offsets.last().is_none_or(|last| *last < *len_bytes);
        let numbered = indexes.is_sorted_by(|left, right| left < right)
            && indexes.first().is_none_or(|index| *index >= first.get())
            && indexes.last().zip(*end).is_none_or(|(last, end)| *last < end.get())
            && (end.is_none() || indexes.len() == offsets.len());
        let fits = offsets.len() as u64 == lines.div_ceil(OFFSETS_EVERY);
        in_order && numbered && fits && first.get().checked_add(*lines).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_round_trips_and_a_damaged_one_is_refused() {
        let dense = Offsets {
            first: Index::new(7),
            lines: 513,
            len_bytes: 90_000,
            offsets: vec![0, 40_000, 80_000],
            ..Offsets::default()
        };
        assert_eq!(Offsets::decode(&dense.encode()), Some(dense.clone()));
        assert_eq!((dense.group_of(262), dense.group_of(263), dense.known_end()), (0, 1, 520));
        let mut offsets = Offsets { first: Index::new(7), ..Offsets::default() };
        for (index, offset) in [(7, 0), (300, 40_000), (900, 80_000)] {
            offsets.push_group(index, offset);
        }
        (offsets.lines, offsets.len_bytes, offsets.end) = (513, 90_000, Some(Index::new(1000)));
        assert_eq!(offsets.indexes, [7, 300, 900]);
        assert_eq!((offsets.group_of(299), offsets.group_of(300), offsets.group_of(999)), (0, 1, 2));
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
