//! Numbers as bytes: little-endian fields, varints, packed columns; and the checksum at the end of every piece on disk.
//!
//! ```text
//! piece:  bytes | CRC-32C, of the piece's kind, of the numbers it is found by, and of the bytes
//! packed column of n numbers:  base i64 | width u8 (0..=64) | packed numbers (number - base)
//! packed numbers of a width:   one after the other, `width` bits each, the lowest bit first; filled up to a whole byte
//! ```
//!
//! Reading returns `None` at the first impossible value, and never trusts a length before it has the bytes.

use crc32c::crc32c_append;

use crate::schema::Piece;

/// The checksum of a piece of this kind that is found by the numbers in `place`.
pub(crate) fn checksum(kind: Piece, place: &[u64], bytes: &[u8]) -> u32 {
    let numbers = std::iter::once(kind as u64).chain(place.iter().copied());
    let of_place = numbers.fold(0, |crc, number| crc32c_append(crc, &number.to_le_bytes()));
    crc32c_append(of_place, bytes)
}

/// Turns `bytes` into a piece.
pub(crate) fn seal(kind: Piece, place: &[u64], bytes: &mut Vec<u8>) {
    put_u32(checksum(kind, place, bytes), bytes);
}

/// The bytes of a piece; `None` if they are not the ones written at this place.
pub(crate) fn unseal<'a>(kind: Piece, place: &[u64], piece: &'a [u8]) -> Option<&'a [u8]> {
    let (bytes, crc) = piece.split_last_chunk()?;
    let is_same = checksum(kind, place, bytes) == u32::from_le_bytes(*crc);
    (is_same || cfg!(trailseal_fault = "index_unchecked")).then_some(bytes)
}

/// Reads what the `put_` functions wrote.
pub(crate) struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Bytes { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn varint(&mut self) -> Option<u32> {
        let mut number = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(number).ok();
            }
        }
        None
    }

    /// Bytes preceded by their length.
    pub(crate) fn blob(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    /// A packed column of `n` numbers.
    pub(crate) fn column(&mut self, n: usize) -> Option<Column<'a>> {
        let base = self.i64()?;
        let width = u32::from(self.u8()?);
        Some(Column { base, packed: self.packed(n, width)? })
    }

    /// `n` packed numbers of this many bits.
    pub(crate) fn packed(&mut self, n: usize, width: u32) -> Option<Packed<'a>> {
        if width > u64::BITS {
            return None;
        }
        let bytes = self.take(n.checked_mul(width as usize)?.div_ceil(8))?;
        Some(Packed { width, n, bytes })
    }
}

/// A packed column.
#[derive(Clone, Copy)]
pub(crate) struct Column<'a> {
    base: i64,
    packed: Packed<'a>,
}

impl Column<'_> {
    pub(crate) fn get(&self, at: usize) -> Option<i64> {
        Some(self.base.wrapping_add(self.packed.get(at)?.cast_signed()))
    }

    /// Calls `each` with all numbers in order.
    #[inline]
    pub(crate) fn for_each(&self, mut each: impl FnMut(i64)) {
        let base = self.base;
        self.packed.for_each(|number| each(base.wrapping_add(number.cast_signed())));
    }
}

/// Packed numbers.
#[derive(Clone, Copy)]
pub(crate) struct Packed<'a> {
    width: u32,
    n: usize,
    bytes: &'a [u8],
}

impl Packed<'_> {
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<u64> {
        if at >= self.n {
            return None;
        }
        let bit = at * self.width as usize;
        let rest = self.bytes.get(bit / 8..)?;
        let word = match rest.first_chunk::<16>() {
            Some(chunk) => u128::from_le_bytes(*chunk),
            None => {
                let mut chunk = [0; 16];
                chunk[..rest.len()].copy_from_slice(rest);
                u128::from_le_bytes(chunk)
            }
        };
        Some((word >> (bit % 8)) as u64 & mask(self.width))
    }

    /// Calls `each` with all numbers in order.
    #[inline]
    pub(crate) fn for_each(&self, mut each: impl FnMut(u64)) {
        match self.width {
            0 => (0..self.n).for_each(|_| each(0)),
            8 => self.bytes.iter().for_each(|&byte| each(u64::from(byte))),
            16 => each_of(self.bytes, |bytes: [u8; 2]| each(u64::from(u16::from_le_bytes(bytes)))),
            _ => (0..self.n).for_each(|at| each(self.get(at).unwrap_or(0))),
        }
    }
}

#[inline]
fn each_of<const N: usize>(bytes: &[u8], each: impl FnMut([u8; N])) {
    bytes.as_chunks::<N>().0.iter().copied().for_each(each);
}

fn mask(width: u32) -> u64 {
    u64::MAX.checked_shr(u64::BITS - width).unwrap_or(0)
}

pub(crate) fn put_u32(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes());
}

pub(crate) fn put_u64(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes());
}

pub(crate) fn put_i64(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes());
}

pub(crate) fn put_varint(mut number: u32, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(crate) fn put_blob(bytes: &[u8], out: &mut Vec<u8>) {
    // Blobs are parts of an SQLite row, which is limited to 1 GB.
    put_u32(bytes.len() as u32, out);
    out.extend_from_slice(bytes);
}

/// Appends a packed column.
pub(crate) fn put_column(numbers: impl Iterator<Item = i64> + Clone, out: &mut Vec<u8>) {
    let (mut low, mut high) = (i64::MAX, i64::MIN);
    for number in numbers.clone() {
        low = low.min(number);
        high = high.max(number);
    }
    if low > high {
        (low, high) = (0, 0);
    }
    let width = width_of(high.wrapping_sub(low).cast_unsigned());
    put_i64(low, out);
    out.push(width as u8);
    put_packed(numbers.map(|number| number.wrapping_sub(low).cast_unsigned()), width, out);
}

/// How many bits the number needs.
pub(crate) fn width_of(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

/// Appends packed numbers, each of which fits into `width` bits.
pub(crate) fn put_packed(numbers: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let (mut word, mut used) = (0_u128, 0);
    for number in numbers {
        word |= u128::from(number) << used;
        used += width;
        if used >= u64::BITS {
            out.extend_from_slice(&(word as u64).to_le_bytes());
            word >>= u64::BITS;
            used -= u64::BITS;
        }
    }
    out.extend_from_slice(&(word as u64).to_le_bytes()[..used.div_ceil(8) as usize]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_piece_is_the_one_that_was_written_or_none() {
        let mut piece = b"some rows".to_vec();
        seal(Piece::Block, &[3, 1 << 40], &mut piece);
        assert_eq!(unseal(Piece::Block, &[3, 1 << 40], &piece), Some(&b"some rows"[..]));
        assert_eq!(unseal(Piece::Bucket, &[3, 1 << 40], &piece), None);
        assert_eq!(unseal(Piece::Block, &[3, 1 << 41], &piece), None);
        for bit in 0..piece.len() * 8 {
            piece[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(Piece::Block, &[3, 1 << 40], &piece), None, "{bit}");
            piece[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(unseal(Piece::Block, &[], b"abc"), None);
    }

    proptest! {
        #[test]
        fn columns_read_back(numbers in proptest::collection::vec(any::<i64>(), 0..20), shift in 0..64_u32) {
            let numbers: Vec<i64> = numbers.into_iter().map(|number| number >> shift).collect();
            let mut bytes = Vec::new();
            put_column(numbers.iter().copied(), &mut bytes);
            let column = Bytes::new(&bytes).column(numbers.len()).unwrap();
            let mut read = Vec::new();
            column.for_each(|number| read.push(number));
            prop_assert_eq!(&read, &numbers);
            prop_assert!((0..numbers.len()).all(|at| column.get(at) == Some(numbers[at])));
            prop_assert_eq!(column.get(numbers.len()), None);
            prop_assert!(Bytes::new(&bytes[..bytes.len() - 1]).column(numbers.len()).is_none());
            let narrowest = numbers.iter().max().zip(numbers.iter().min());
            let width = narrowest.map_or(0, |(max, min)| width_of(max.wrapping_sub(*min).cast_unsigned()));
            prop_assert_eq!(bytes.len(), 9 + (numbers.len() * width as usize).div_ceil(8));
        }

        #[test]
        fn varints_read_back(number: u32, noise in proptest::collection::vec(any::<u8>(), 0..8)) {
            let mut bytes = Vec::new();
            put_varint(number, &mut bytes);
            let mut reader = Bytes::new(&bytes);
            prop_assert_eq!((reader.varint(), reader.is_empty()), (Some(number), true));
            let _ = Bytes::new(&noise).varint();
        }
    }
}
