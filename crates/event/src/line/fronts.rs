//! The fronts of lines that follow each other, checked faster than one by one: the next front is known but
//! for the time, and the time mostly but for its microseconds.

use crate::line;

const BEFORE_INDEX: &[u8] = b"{\"v\":1,\"index\":";
const BEFORE_TIME: &[u8] = b",\"recorded\":\"";
/// `YYYY-MM-DDTHH:MM:SS.`
const SECOND_BYTES: usize = 20;

/// Knows how the next line must begin.
pub struct Fronts {
    next: u64,
    /// The front of line `next` up to the microseconds, if it was recorded in `second`.
    expected: Vec<u8>,
    second: [u8; SECOND_BYTES],
    second_micros: i64,
}

impl Fronts {
    /// Begins at line `first`.
    pub fn new(first: u64) -> Self {
        let mut fronts =
            Fronts { next: first, expected: Vec::new(), second: [0; SECOND_BYTES], second_micros: 0 };
        fronts.expect();
        fronts
    }

    /// When the next line says it was recorded, in microseconds; `None` if it does not begin as the line of
    /// its index must.
    pub fn next(&mut self, text: &[u8]) -> Option<i64> {
        let recorded = match self.same_second(text) {
            Some(micros) => Some(self.second_micros + micros),
            None => self.another_second(text),
        };
        self.next += 1;
        if !self.count_up() {
            self.expect();
        }
        recorded
    }

    fn same_second(&self, text: &[u8]) -> Option<i64> {
        let (micros, rest) = text.strip_prefix(&*self.expected)?.split_first_chunk::<6>()?;
        let digit = |sum: Option<i64>, byte: &u8| {
            Some(sum? * 10 + i64::from(byte.is_ascii_digit().then(|| byte - b'0')?))
        };
        rest.starts_with(b"Z\",").then(|| micros.iter().fold(Some(0), digit))?
    }

    fn another_second(&mut self, text: &[u8]) -> Option<i64> {
        let front = line::parse_front(text).filter(|front| front.index == self.next)?;
        let micros = front.recorded.as_micros();
        self.second.copy_from_slice(front.recorded.to_text().first_chunk::<SECOND_BYTES>()?);
        self.second_micros = micros - micros.rem_euclid(1_000_000);
        let at = self.expected.len() - SECOND_BYTES;
        self.expected[at..].copy_from_slice(&self.second);
        Some(micros)
    }

    /// Makes the expected index one larger; `false` if it needs another digit.
    fn count_up(&mut self) -> bool {
        let end = self.expected.len() - SECOND_BYTES - BEFORE_TIME.len();
        for digit in self.expected[BEFORE_INDEX.len()..end].iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return true;
            }
            *digit = b'0';
        }
        false
    }

    fn expect(&mut self) {
        let number = self.next.to_string();
        self.expected = [BEFORE_INDEX, number.as_bytes(), BEFORE_TIME, &self.second].concat();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;

    fn line(index: u64, micros: i64) -> String {
        format!(
            "{{\"v\":1,\"index\":{index},\"recorded\":\"{}\",\"id\":\"x\"}}",
            Timestamp::from_micros(micros)
        )
    }

    #[test]
    fn what_is_read_is_what_the_strict_reader_reads() {
        for first in [0, 8, 95, 999_990] {
            let mut fronts = Fronts::new(first);
            for index in first..first + 120 {
                let micros = 1_700_000_000_000_000 + index as i64 * 210_001;
                assert_eq!(fronts.next(line(index, micros).as_bytes()), Some(micros));
            }
        }
    }

    #[test]
    fn a_front_that_does_not_fit_is_none_and_the_next_one_fits_again() {
        let good = line(7, 1);
        for bad in [
            line(8, 1),
            good.replace("\"v\":1", "\"v\":2"),
            good.replace("00001Z", "0000xZ"),
            good.replace("Z\",", "Z\" ,"),
            good.replace(":7,", ":07,"),
            good[..40].to_owned(),
            String::new(),
        ] {
            let mut fronts = Fronts::new(6);
            assert_eq!(fronts.next(line(6, 0).as_bytes()), Some(0));
            assert_eq!(fronts.next(bad.as_bytes()), None, "{bad}");
            assert_eq!(fronts.next(line(8, 3).as_bytes()), Some(3));
        }
    }
}
