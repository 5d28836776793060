//! Where an answer continues: what is left of each trail. Opaque to its users.
//!
//! ```text
//! base64url of: '2' · order · per trail: 8 bytes of SHA-256(origin) · what is left
//! by recording, order 'd' or 'a':  varint from · varint to
//! by time, order 'D' or 'A':       varint to · place · varint how many were checked, and if any: varint from · place
//! place:                           varint of the time, zigzag · varint index
//! ```
//!
//! It holds a range of indexes, not just a place: events that arrive meanwhile are outside what a walk from the newest
//! has left. By time, the range is narrowed by the place below which everything is left, counted from the end where the
//! walk began. It also holds which unindexed lines were checked and where the first match among them is. So a walk with
//! little time per page reaches its end, whoever answers the next page.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use trailseal_event::Index;

use super::remaining::{Left, Looked};
use crate::view::Key;
use crate::{By, First, Order};

const VERSION: u8 = b'2';
/// More trails than a cursor can cover.
const TRAILS_MAX: usize = 4_096;

/// Where the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    order: Order,
    left: Vec<([u8; 8], Left)>,
}

/// The text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a cursor of this program")]
pub struct CursorError;

impl Cursor {
    pub(super) fn new(order: Order, left: impl Iterator<Item = (Arc<str>, Left)>) -> Cursor {
        Cursor { order, left: left.map(|(origin, left)| (mark(&origin), left)).collect() }
    }

    /// The order that it belongs to.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Moves past an event, in a walk by recording from the oldest.
    pub fn pass(&mut self, origin: &str, index: Index) {
        let mark = mark(origin);
        let next = index.get().saturating_add(1);
        match self.left.iter_mut().find(|(other, _)| *other == mark) {
            Some((_, left)) => left.indexes.start = left.indexes.start.max(next),
            None => self.left.push((mark, Left { indexes: next..u64::MAX, ..Left::of(0) })),
        }
    }

    /// The later of two places in each trail, in a walk by recording from the oldest.
    pub fn or_later(&self, other: &Cursor) -> Cursor {
        let mut later = self.clone();
        for (mark, left) in &other.left {
            match later.left.iter_mut().find(|(known, _)| known == mark) {
                Some((_, known)) => known.indexes.start = known.indexes.start.max(left.indexes.start),
                None => later.left.push((*mark, left.clone())),
            }
        }
        later
    }

    /// Whether it belongs to a walk through this trail, among others.
    pub(super) fn knows(&self, origin: &str) -> bool {
        let mark = mark(origin);
        self.left.iter().any(|(other, _)| *other == mark)
    }

    /// What is left of a trail that now ends at `end`. A trail unknown to the cursor is newer than it.
    pub(super) fn left_of(&self, origin: &str, end: u64) -> Left {
        let mark = mark(origin);
        match (self.left.iter().find(|(other, _)| *other == mark), self.order.first) {
            (Some((_, left)), _) => {
                let mut left = left.clone();
                left.within(&(0..end));
                let looked = &mut left.looked.indexes;
                looked.end = looked.end.min(end);
                left
            }
            (None, First::Newest) => Left::of(0),
            // By time, it joins at the walk's place, since everything before that was passed.
            (None, First::Oldest) => {
                let reached = self.left.iter().map(|(_, left)| left.below).max();
                Left { below: reached.unwrap_or(Left::of(0).below), ..Left::of(end) }
            }
        }
    }
}

fn mark(origin: &str) -> [u8; 8] {
    let mut mark = [0; 8];
    mark.copy_from_slice(&Sha256::digest(origin.as_bytes())[..8]);
    mark
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION, order_byte(self.order)];
        for (mark, Left { indexes, below, looked }) in &self.left {
            bytes.extend_from_slice(mark);
            if self.order.by == By::Recorded {
                put_varint(indexes.start, &mut bytes);
            }
            put_varint(indexes.end, &mut bytes);
            if self.order.by == By::Time {
                put_place(*below, &mut bytes);
                let Range { start, end } = looked.indexes;
                put_varint(end.saturating_sub(start), &mut bytes);
                if start < end {
                    put_varint(start, &mut bytes);
                    put_place(looked.best, &mut bytes);
                }
            }
        }
        formatter.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Cursor, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let [VERSION, order, rest @ ..] = bytes.as_slice() else { return Err(CursorError) };
        let order = ORDERS.into_iter().find(|other| order_byte(*other) == *order).ok_or(CursorError)?;
        let (mut rest, mut left) = (rest, Vec::new());
        while let Some((mark, after)) = rest.split_first_chunk::<8>() {
            rest = after;
            let one = match order.by {
                By::Recorded => take_varint(&mut rest)
                    .zip(take_varint(&mut rest))
                    .map(|(from, to)| Left { indexes: from..to, ..Left::of(0) }),
                By::Time => take_left_by_time(&mut rest),
            };
            left.push((*mark, one.ok_or(CursorError)?));
            if left.len() > TRAILS_MAX {
                return Err(CursorError);
            }
        }
        // A cursor of no trail was never issued, and would find nothing or everything.
        if rest.is_empty() && !left.is_empty() { Ok(Cursor { order, left }) } else { Err(CursorError) }
    }
}

const ORDERS: [Order; 4] = [Order::NEWEST, Order::OLDEST, Order::NEWEST_RECORDED, Order::OLDEST_RECORDED];

fn order_byte(order: Order) -> u8 {
    let byte = if order.first == First::Oldest { b'a' } else { b'd' };
    if order.by == By::Time { byte.to_ascii_uppercase() } else { byte }
}

fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_place((time, index): Key, out: &mut Vec<u8>) {
    put_varint((time << 1 ^ time >> 63).cast_unsigned(), out);
    put_varint(index, out);
}

fn take_place(bytes: &mut &[u8]) -> Option<Key> {
    let time = take_varint(bytes)?;
    Some(((time >> 1).cast_signed() ^ -(time & 1).cast_signed(), take_varint(bytes)?))
}

fn take_left_by_time(bytes: &mut &[u8]) -> Option<Left> {
    let end = take_varint(bytes)?;
    let below = take_place(bytes)?;
    let looked = match take_varint(bytes)? {
        0 => Looked::default(),
        lines => {
            let start = take_varint(bytes)?;
            Looked { indexes: start..start.checked_add(lines)?, best: take_place(bytes)? }
        }
    };
    Some(Left { below, looked, ..Left::of(end) })
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7F);
        if shift == 63 && part > 1 {
            return None;
        }
        number |= part << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_from_its_text(
            order in prop::sample::select(&ORDERS[..]),
            left in prop::collection::vec((any::<[u8; 8]>(), any::<u64>(), any::<u64>(), any::<i64>()), 1..5),
            looked in prop::option::of((any::<u32>(), 1..u64::from(u32::MAX), any::<Key>())),
        ) {
            let looked = || looked.map_or_else(Looked::default, |(from, lines, best)| Looked {
                indexes: from.into()..u64::from(from) + lines,
                best,
            });
            let left = left.into_iter().map(|(mark, one, to, time)| (mark, match order.by {
                By::Time => Left { below: (time, one), looked: looked(), ..Left::of(to) },
                By::Recorded => Left { indexes: one..to, ..Left::of(0) },
            })).collect();
            let cursor = Cursor { order, left };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn no_text_is_too_odd(text in "\\PC*") {
            let _ = text.parse::<Cursor>();
        }
    }

    #[test]
    fn a_cursor_of_no_trail_is_none() {
        for order in ORDERS {
            let text = Cursor { order, left: Vec::new() }.to_string();
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }

    fn indexes(range: Range<u64>) -> Left {
        Left { indexes: range, ..Left::of(0) }
    }

    #[test]
    fn a_walk_from_the_oldest_never_goes_back() {
        let at = |places: &[(&str, u64)]| {
            let left = places.iter().map(|(name, at)| ((*name).into(), indexes(*at..u64::MAX)));
            Cursor::new(Order::OLDEST_RECORDED, left)
        };
        let seen = at(&[("a", 7), ("b", 2)]);
        assert_eq!(seen.or_later(&at(&[("a", 3), ("b", 5), ("c", 1)])), at(&[("a", 7), ("b", 5), ("c", 1)]));
    }

    #[test]
    fn a_trail_that_a_cursor_does_not_know_is_newer_than_it() {
        let cursor = |order| Cursor::new(order, [("a".into(), indexes(3..9))].into_iter());
        assert_eq!(cursor(Order::NEWEST_RECORDED).left_of("a", 20), indexes(3..9));
        assert_eq!(cursor(Order::NEWEST_RECORDED).left_of("b", 20), indexes(0..0));
        assert_eq!(cursor(Order::OLDEST_RECORDED).left_of("b", 20), indexes(0..20));
        let open = Cursor::new(Order::OLDEST_RECORDED, [("a".into(), indexes(3..u64::MAX))].into_iter());
        assert_eq!(open.left_of("a", 9), indexes(3..9));
        let left = |below| Left { below, ..Left::of(9) };
        let places = [("a".into(), left((5, 1))), ("b".into(), left((7, 2)))];
        let cursor = |order| Cursor::new(order, places.clone().into_iter());
        assert_eq!(cursor(Order::OLDEST).left_of("c", 20), Left { below: (7, 2), ..Left::of(20) });
        assert_eq!(cursor(Order::NEWEST).left_of("c", 20), Left::of(0));
    }
}
