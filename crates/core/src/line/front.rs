//! A front that is written again and again: only what changes in it is.

use super::{AFTER_TIME, BEFORE_INDEX, BEFORE_TIME, FRONT_BYTES_MAX, put_front};
use crate::clock::TIMESTAMP_BYTES;

/// The front of the next line.
pub(crate) struct RunningFront {
    block: [u8; FRONT_BYTES_MAX],
    digits: usize,
}

impl RunningFront {
    pub(crate) fn new(index: u64, recorded: &[u8; TIMESTAMP_BYTES]) -> Self {
        let mut block = [0; FRONT_BYTES_MAX];
        let len = put_front(index, recorded, &mut block);
        RunningFront { block, digits: len - Self::len_with(0) }
    }

    const fn len_with(digits: usize) -> usize {
        BEFORE_INDEX.len() + digits + BEFORE_TIME.len() + TIMESTAMP_BYTES + AFTER_TIME.len()
    }

    pub(crate) fn len(&self) -> usize {
        Self::len_with(self.digits)
    }

    /// The front, and behind it whatever.
    pub(crate) fn block(&self) -> &[u8; FRONT_BYTES_MAX] {
        &self.block
    }

    pub(crate) fn set_recorded(&mut self, recorded: &[u8; TIMESTAMP_BYTES]) {
        let at = BEFORE_INDEX.len() + self.digits + BEFORE_TIME.len();
        self.block[at..at + TIMESTAMP_BYTES].copy_from_slice(recorded);
    }

    /// Goes on to the next index.
    pub(crate) fn advance(&mut self) {
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
    use crate::clock::Timestamp;
    use crate::line::write_front;

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
