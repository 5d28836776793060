//! The front of a line, at fixed places.

use crate::timestamp::{TIMESTAMP_BYTES, Timestamp};

/// The most bytes a front can have: with an index of 20 digits.
pub const FRONT_BYTES_MAX: usize =
    BEFORE_INDEX.len() + 20 + BEFORE_TIME.len() + TIMESTAMP_BYTES + AFTER_TIME.len();

const BEFORE_INDEX: &[u8] = b"{\"v\":1,\"index\":";
const BEFORE_TIME: &[u8] = b",\"recorded\":\"";
const AFTER_TIME: &[u8] = b"\",";
/// How the rest of a line begins that the trail itself makes.
pub(super) const SYSTEM: &str = "\"system\":true,";

/// What stands at the beginning of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Front {
    /// The event's position in its trail.
    pub index: u64,
    /// When the trail recorded it, by the trail's own clock.
    pub recorded: Timestamp,
    /// Whether the trail itself made it.
    pub system: bool,
    /// Where the rest begins.
    pub rest_offset: usize,
}

/// How many bytes the front of the event at `index` has.
pub fn front_len(index: u64) -> usize {
    let digits = index.checked_ilog10().map_or(1, |power| power as usize + 1);
    FRONT_BYTES_MAX - 20 + digits
}

/// Appends a front. `recorded` is [`Timestamp::to_text`].
pub fn write_front(index: u64, recorded: &[u8; TIMESTAMP_BYTES], out: &mut Vec<u8>) {
    let mut front = [0; FRONT_BYTES_MAX];
    let len = put_front(index, recorded, &mut front);
    out.extend_from_slice(&front[..len]);
}

/// Writes a front at the beginning of `out` and returns its length, which is [`front_len`].
fn put_front(index: u64, recorded: &[u8; TIMESTAMP_BYTES], out: &mut [u8; FRONT_BYTES_MAX]) -> usize {
    let number = index.to_string();
    let mut at = 0;
    for part in [BEFORE_INDEX, number.as_bytes(), BEFORE_TIME, recorded, AFTER_TIME] {
        out[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    at
}

/// Reads the front of a line, strictly: every byte at its place, no leading zeros. Says nothing about the
/// rest, except whether it begins with the mark of the trail's own events.
pub fn parse_front(line: &[u8]) -> Option<Front> {
    let after = line.strip_prefix(BEFORE_INDEX)?;
    let digits = after.iter().take(21).take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || (after[0] == b'0' && digits > 1) {
        return None;
    }
    let index = after[..digits]
        .iter()
        .try_fold(0_u64, |index, &digit| index.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
    let (recorded, after) =
        after[digits..].strip_prefix(BEFORE_TIME)?.split_first_chunk::<TIMESTAMP_BYTES>()?;
    let time = Timestamp::parse(std::str::from_utf8(recorded).ok()?)?;
    let rest = after.strip_prefix(AFTER_TIME)?;
    // Only the form that is written: `T`, `Z`, six digits.
    if time.to_text() != *recorded {
        return None;
    }
    let rest_offset = line.len() - rest.len();
    Some(Front { index, recorded: time, system: rest.starts_with(SYSTEM.as_bytes()), rest_offset })
}

/// The front of the next line: written again and again, and only what changes in it is.
pub struct RunningFront {
    block: [u8; FRONT_BYTES_MAX],
    digits: usize,
}

impl RunningFront {
    /// That of the line at `index`.
    #[inline]
    pub fn new(index: u64, recorded: &[u8; TIMESTAMP_BYTES]) -> Self {
        let mut block = [0; FRONT_BYTES_MAX];
        let len = put_front(index, recorded, &mut block);
        RunningFront { block, digits: len - Self::len_with(0) }
    }

    const fn len_with(digits: usize) -> usize {
        BEFORE_INDEX.len() + digits + BEFORE_TIME.len() + TIMESTAMP_BYTES + AFTER_TIME.len()
    }

    /// How many bytes it has.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a front is never empty")]
    pub fn len(&self) -> usize {
        Self::len_with(self.digits)
    }

    /// The front, and behind it whatever.
    #[inline]
    pub fn block(&self) -> &[u8; FRONT_BYTES_MAX] {
        &self.block
    }

    /// Sets when the line is recorded.
    #[inline]
    pub fn set_recorded(&mut self, recorded: &[u8; TIMESTAMP_BYTES]) {
        let at = BEFORE_INDEX.len() + self.digits + BEFORE_TIME.len();
        self.block[at..at + TIMESTAMP_BYTES].copy_from_slice(recorded);
    }

    /// Goes on to the next index.
    #[inline]
    pub fn advance(&mut self) {
        let digits = &mut self.block[BEFORE_INDEX.len()..][..self.digits];
        for digit in digits.iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
        // All were nines: one more digit, and everything behind it moves.
        let (from, to) = (BEFORE_INDEX.len(), self.len());
        self.block.copy_within(from..to, from + 1);
        self.block[from] = b'1';
        self.digits += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_front_of_each_index() {
        for begin in [0, 5, 95, 999, 8_765_432, u64::MAX - 30] {
            let mut front = RunningFront::new(begin, &Timestamp::from_micros(0).to_text());
            for step in 0..30 {
                let recorded = Timestamp::from_micros(step * 777_777).to_text();
                front.set_recorded(&recorded);
                let mut expected = Vec::new();
                write_front(begin + step as u64, &recorded, &mut expected);
                assert_eq!(front.block()[..front.len()], expected);
                front.advance();
            }
        }
    }
}
