//! Where a walk has got to, and its text for whoever continues it. Opaque to its users.
//!
//! ```text
//! base64url of: 's' · order · time · recorded · index · origin
//! order 'd' or 'a' by recording, 'D' or 'A' by time; numbers of 8 bytes, the highest first
//! ```
//!
//! It says only where to continue. Whose events are seen is for the filter to say, whatever the cursor.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use trailseal_event::{By, First, Order, Timestamp};

use crate::binary_time::Moment;

/// Unlike the first byte of a cursor over a folder, so that neither is taken for the other.
const VERSION: u8 = b's';
/// Longer than any origin.
const ORIGIN_BYTES_MAX: usize = 1_024;

/// A place in the order of all events: by time, or by recording if the time is left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) time: Moment,
    pub(super) recorded: Moment,
    pub(super) origin: String,
    pub(super) index: i64,
}

impl Place {
    /// Before every event of this time, or recorded then.
    pub(super) fn at(time: Timestamp) -> Place {
        let time = Moment::of(time);
        Place { time, recorded: time, origin: String::new(), index: 0 }
    }

    /// Whether it is before every event recorded then.
    pub(super) fn is_edge(&self) -> bool {
        self.origin.is_empty()
    }

    /// The same in the order by time, where every event of that time comes after it.
    pub(super) fn at_time(time: Timestamp) -> Place {
        Place { recorded: Moment::FIRST, ..Place::at(time) }
    }
}

/// Where the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreCursor {
    pub(super) order: Order,
    pub(super) place: Place,
}

/// The text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a cursor of a search in a shared store")]
pub struct StoreCursorError;

impl StoreCursor {
    /// The order that it belongs to.
    pub fn order(&self) -> Order {
        self.order
    }
}

const ORDERS: [Order; 4] = [Order::NEWEST, Order::OLDEST, Order::NEWEST_RECORDED, Order::OLDEST_RECORDED];

fn order_byte(order: Order) -> u8 {
    let byte = if order.first == First::Oldest { b'a' } else { b'd' };
    if order.by == By::Time { byte.to_ascii_uppercase() } else { byte }
}

impl fmt::Display for StoreCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { time, recorded, origin, index } = &self.place;
        let mut bytes = vec![VERSION, order_byte(self.order)];
        for number in [time.time().as_micros(), recorded.time().as_micros(), *index] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(origin.as_bytes());
        formatter.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for StoreCursor {
    type Err = StoreCursorError;

    fn from_str(text: &str) -> Result<StoreCursor, StoreCursorError> {
        parse(text).ok_or(StoreCursorError)
    }
}

fn parse(text: &str) -> Option<StoreCursor> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let [VERSION, order, rest @ ..] = bytes.as_slice() else { return None };
    let order = ORDERS.into_iter().find(|other| order_byte(*other) == *order)?;
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let (recorded, rest) = rest.split_first_chunk::<8>()?;
    let (index, origin) = rest.split_first_chunk::<8>()?;
    let origin = std::str::from_utf8(origin).ok()?;
    // What no origin has, the database might not take either.
    if origin.len() > ORIGIN_BYTES_MAX || origin.chars().any(char::is_control) {
        return None;
    }
    let moment = |bytes: &[u8; 8]| Moment::of(Timestamp::from_micros(i64::from_be_bytes(*bytes)));
    let index = i64::from_be_bytes(*index);
    let place = Place { time: moment(time), recorded: moment(recorded), origin: origin.to_owned(), index };
    (index >= 0).then_some(StoreCursor { order, place })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_from_its_text(
            order in prop::sample::select(&ORDERS[..]), time in any::<i64>(), recorded in any::<i64>(),
            origin in "[a-z/.0-9é]{0,40}", index in 0..i64::MAX,
        ) {
            let moment = |micros| Moment::of(Timestamp::from_micros(micros));
            let place = Place { time: moment(time), recorded: moment(recorded), origin, index };
            let cursor = StoreCursor { order, place };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn no_text_is_too_odd(text in "\\PC*", bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = text.parse::<StoreCursor>();
            let _ = URL_SAFE_NO_PAD.encode([&b"sD"[..], &bytes].concat()).parse::<StoreCursor>();
        }
    }

    #[test]
    fn what_no_search_wrote_is_no_cursor() {
        let cursor = |origin: &str, index: i64| {
            let place = Place { origin: origin.to_owned(), index, ..Place::at(Timestamp::from_micros(7)) };
            StoreCursor { order: Order::NEWEST, place }.to_string().parse::<StoreCursor>()
        };
        assert!(cursor("example.com/a", 7).is_ok());
        for (origin, index) in [("a\0b", 7), ("a\nb", 7), ("a", -1), (&*"x".repeat(1_025), 7)] {
            assert_eq!(cursor(origin, index), Err(StoreCursorError), "{origin:?} {index}");
        }
        // Of a search in a folder.
        assert!(
            URL_SAFE_NO_PAD.encode(b"2D00000000000000000000000000000000").parse::<StoreCursor>().is_err()
        );
    }
}
