//! Where an answer goes on: for each trail the range of indexes that is left. Opaque to its users.
//!
//! ```text
//! base64url of: '2' · 'd' or 'a' · per trail: 8 bytes of SHA-256(origin) · varint from · varint to
//! ```
//! A range, not a place: events that arrive meanwhile lie outside what a walk from the newest has left.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use trailseal_core::Index;

use super::Left;
use crate::Order;

const VERSION: u8 = b'2';
/// More trails than a cursor can be of.
const TRAILS_MAX: usize = 4_096;

/// Where the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    order: Order,
    left: Vec<([u8; 8], Left)>,
}

/// Why a text is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no cursor that this program gave out")]
pub struct CursorError;

impl Cursor {
    pub(super) fn new(order: Order, left: impl Iterator<Item = (Arc<str>, Left)>) -> Cursor {
        Cursor { order, left: left.map(|(origin, left)| (mark(&origin), left)).collect() }
    }

    /// The order of the answer that it is of.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Moves on to behind an event, in a walk from the oldest.
    pub fn pass(&mut self, origin: &str, index: Index) {
        let mark = mark(origin);
        let next = index.get().saturating_add(1);
        match self.left.iter_mut().find(|(other, _)| *other == mark) {
            Some((_, left)) => left.start = left.start.max(next),
            None => self.left.push((mark, next..u64::MAX)),
        }
    }

    /// The later of two places in each trail, in a walk from the oldest.
    pub fn or_later(&self, other: &Cursor) -> Cursor {
        let mut later = self.clone();
        for (mark, left) in &other.left {
            match later.left.iter_mut().find(|(known, _)| known == mark) {
                Some((_, known)) => known.start = known.start.max(left.start),
                None => later.left.push((*mark, left.clone())),
            }
        }
        later
    }

    /// Whether it is of a walk through this trail, maybe among others.
    pub(super) fn knows(&self, origin: &str) -> bool {
        let mark = mark(origin);
        self.left.iter().any(|(other, _)| *other == mark)
    }

    /// What is left of a trail that now ends at `end`. One that the cursor does not know is newer than it.
    pub(super) fn left_of(&self, origin: &str, end: u64) -> Left {
        let mark = mark(origin);
        match (self.left.iter().find(|(other, _)| *other == mark), self.order) {
            (Some((_, left)), _) => left.start..left.end.min(end),
            (None, Order::OldestFirst) => 0..end,
            (None, Order::NewestFirst) => 0..0,
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
        let mut bytes = vec![VERSION, if self.order == Order::OldestFirst { b'a' } else { b'd' }];
        for (mark, Range { start, end }) in &self.left {
            bytes.extend_from_slice(mark);
            put_varint(*start, &mut bytes);
            put_varint(*end, &mut bytes);
        }
        formatter.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Cursor, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let [VERSION, order, rest @ ..] = bytes.as_slice() else { return Err(CursorError) };
        let order = match order {
            b'a' => Order::OldestFirst,
            b'd' => Order::NewestFirst,
            _ => return Err(CursorError),
        };
        let (mut rest, mut left) = (rest, Vec::new());
        while let Some((mark, after)) = rest.split_first_chunk::<8>() {
            rest = after;
            let start = take_varint(&mut rest).ok_or(CursorError)?;
            let end = take_varint(&mut rest).ok_or(CursorError)?;
            left.push((*mark, start..end));
            if left.len() > TRAILS_MAX {
                return Err(CursorError);
            }
        }
        // One that is of no trail was never given out, and would find nothing or everything.
        if rest.is_empty() && !left.is_empty() { Ok(Cursor { order, left }) } else { Err(CursorError) }
    }
}

fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
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
            is_asc in any::<bool>(),
            left in prop::collection::vec((any::<[u8; 8]>(), any::<u64>(), any::<u64>()), 1..5),
        ) {
            let order = if is_asc { Order::OldestFirst } else { Order::NewestFirst };
            let left = left.into_iter().map(|(mark, from, to)| (mark, from..to)).collect();
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
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let text = Cursor { order, left: Vec::new() }.to_string();
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }

    #[test]
    fn a_walk_from_the_oldest_never_goes_back() {
        let at = |places: &[(&str, u64)]| {
            Cursor::new(Order::OldestFirst, places.iter().map(|(name, at)| ((*name).into(), *at..u64::MAX)))
        };
        let seen = at(&[("a", 7), ("b", 2)]);
        assert_eq!(seen.or_later(&at(&[("a", 3), ("b", 5), ("c", 1)])), at(&[("a", 7), ("b", 5), ("c", 1)]));
    }

    #[test]
    fn a_trail_that_a_cursor_does_not_know_is_newer_than_it() {
        let cursor = |order| Cursor::new(order, [("a".into(), 3..9)].into_iter());
        assert_eq!(cursor(Order::NewestFirst).left_of("a", 20), 3..9);
        assert_eq!(cursor(Order::NewestFirst).left_of("b", 20), 0..0);
        assert_eq!(cursor(Order::OldestFirst).left_of("b", 20), 0..20);
        assert_eq!(
            Cursor::new(Order::OldestFirst, [("a".into(), 3..u64::MAX)].into_iter()).left_of("a", 9),
            3..9
        );
    }
}
