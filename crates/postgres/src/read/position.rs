//! How far a follower has come with each trail. Opaque to its users.
//!
//! ```text
//! base64url of: 't' · per trail: 8 bytes of the leaf hash of its origin · varint of the next index
//! ```
//!
//! Trails deliver out of order with each other: one that was cut off adds what it recorded long ago. So no moment says
//! what a follower has seen; only the next index of each trail does.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use trailseal_event::Index;
use trailseal_tlog::leaf_hash;

/// Unlike the first byte of any cursor.
const VERSION: u8 = b't';
/// More trails than one store is followed with.
const TRAILS_MAX: usize = 65_536;

type Mark = [u8; 8];

/// How far a follower has come with each trail of a store. A trail that it does not know is new to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorePosition {
    next: BTreeMap<Mark, u64>,
}

/// The text is not a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a position in a shared store")]
pub struct StorePositionError;

impl StorePosition {
    /// Moves past an event.
    pub fn pass(&mut self, origin: &str, index: Index) {
        self.move_to(origin, index.get().saturating_add(1));
    }

    /// Moves a trail on, never back.
    pub fn move_to(&mut self, origin: &str, next: u64) {
        let known = self.next.entry(mark(origin)).or_insert(0);
        *known = next.max(*known);
    }

    /// The index from which a trail has not been seen.
    pub fn next_of(&self, origin: &str) -> u64 {
        self.next.get(&mark(origin)).copied().unwrap_or(0)
    }

    /// The later of two places in each trail.
    #[must_use]
    pub fn or_later(&self, other: &StorePosition) -> StorePosition {
        let mut later = self.clone();
        for (mark, next) in &other.next {
            let known = later.next.entry(*mark).or_insert(0);
            *known = (*next).max(*known);
        }
        later
    }
}

fn mark(origin: &str) -> Mark {
    let mut mark = Mark::default();
    mark.copy_from_slice(&leaf_hash(origin.as_bytes()).0[..8]);
    mark
}

impl fmt::Display for StorePosition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION];
        for (mark, next) in &self.next {
            bytes.extend_from_slice(mark);
            let mut next = *next;
            while next >= 0x80 {
                bytes.push(next as u8 | 0x80);
                next >>= 7;
            }
            bytes.push(next as u8);
        }
        formatter.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for StorePosition {
    type Err = StorePositionError;

    fn from_str(text: &str) -> Result<StorePosition, StorePositionError> {
        parse(text).ok_or(StorePositionError)
    }
}

fn parse(text: &str) -> Option<StorePosition> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let [VERSION, rest @ ..] = bytes.as_slice() else { return None };
    let (mut rest, mut next) = (rest, BTreeMap::new());
    while let Some((mark, after)) = rest.split_first_chunk::<8>() {
        rest = after;
        let is_new = next.insert(*mark, take_varint(&mut rest)?).is_none();
        if !is_new || next.len() > TRAILS_MAX {
            return None;
        }
    }
    rest.is_empty().then_some(StorePosition { next })
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(first & 0x7f);
        number |= part << shift;
        if number >> shift != part {
            return None;
        }
        if *first < 0x80 {
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
        fn a_position_comes_back_from_its_text(
            trails in prop::collection::btree_map("[a-z/.0-9é]{1,20}", any::<u64>(), 0..20),
        ) {
            let mut position = StorePosition::default();
            trails.iter().for_each(|(origin, next)| position.move_to(origin, *next));
            prop_assert_eq!(position.to_string().parse(), Ok(position.clone()));
            for (origin, next) in &trails {
                prop_assert_eq!(position.next_of(origin), *next);
            }
        }

        #[test]
        fn no_text_is_too_odd(text in "\\PC*", bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = text.parse::<StorePosition>();
            let text = URL_SAFE_NO_PAD.encode([&b"t"[..], &bytes].concat());
            if let Ok(position) = text.parse::<StorePosition>() {
                prop_assert_eq!(position.to_string().parse(), Ok(position));
            }
        }
    }

    #[test]
    fn a_position_only_moves_on() {
        let mut position = StorePosition::default();
        position.pass("a", Index::new(7));
        position.pass("a", Index::new(3));
        position.pass("b", Index::new(1));
        assert_eq!((position.next_of("a"), position.next_of("b"), position.next_of("c")), (8, 2, 0));
        let mut other = StorePosition::default();
        other.pass("a", Index::new(2));
        other.pass("c", Index::new(5));
        let later = position.or_later(&other);
        assert_eq!((later.next_of("a"), later.next_of("b"), later.next_of("c")), (8, 2, 6));
        assert_eq!(later, other.or_later(&position));
        position.pass("b", Index::new(u64::MAX));
        assert_eq!(position.next_of("b"), u64::MAX);
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for bytes in [
            &b"s"[..],
            b"t12345678",
            b"t12345678\x80",
            b"t12345678\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            b"",
        ] {
            assert!(URL_SAFE_NO_PAD.encode(bytes).parse::<StorePosition>().is_err(), "{bytes:?}");
        }
        // Of one trail twice.
        assert!(URL_SAFE_NO_PAD.encode(b"t12345678\x0112345678\x02").parse::<StorePosition>().is_err());
        assert_eq!(URL_SAFE_NO_PAD.encode(b"t").parse(), Ok(StorePosition::default()));
    }
}
