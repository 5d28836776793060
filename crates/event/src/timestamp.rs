//! Time as data: a point in time in microseconds, and its text.
//!
//! In: microseconds, or RFC 3339 text with any offset. Out: RFC 3339 text in UTC, always 27 bytes:
//! `2026-11-21T04:00:00.123456Z`. What must hold: texts sort like the points in time, so years outside 0000..9999 are
//! clamped when written.

use std::cell::Cell;
use std::fmt;

/// The length in bytes of a timestamp's text.
pub const TIMESTAMP_BYTES: usize = 27;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z in seconds: the range of four-digit years.
const SECOND_MIN: i64 = -62_167_219_200;
const SECOND_MAX: i64 = 253_402_300_799;

/// A point in time, in microseconds since 1970-01-01T00:00:00Z.
///
/// ```
/// use trailseal_event::Timestamp;
///
/// let time = Timestamp::parse("2026-11-21T06:00:00.1234567+02:00").unwrap();
/// assert_eq!(time.to_string(), "2026-11-21T04:00:00.123456Z");
/// assert_eq!(Timestamp::parse("2026-11-21 04:00"), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: i64) -> Self {
        Timestamp(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since 1970-01-01T00:00:00Z; zero for anything earlier, as UUIDv7 requires.
    pub(crate) fn as_unix_millis(self) -> u64 {
        u64::try_from(self.0.div_euclid(1_000)).unwrap_or(0)
    }

    /// Parses RFC 3339 text with any offset; digits below a microsecond are cut. `None` for anything else, such as text
    /// without an offset, a day that does not exist, or a year outside 0000..9999 in UTC.
    pub fn parse(text: &str) -> Option<Self> {
        parse_rfc3339(text.as_bytes())
    }

    /// RFC 3339 text in UTC with microseconds. Years outside 0000..9999 are clamped.
    #[inline]
    pub fn to_text(self) -> [u8; TIMESTAMP_BYTES] {
        thread_local! {
            // The last second written on this thread, and where it begins; the same one comes again and again.
            static SECOND: Cell<(i64, [u8; TIMESTAMP_BYTES])> =
                const { Cell::new((0, *b"1970-01-01T00:00:00.000000Z")) };
        }
        // While a thread ends, the cache may be gone; then the text is made without it.
        let (begin, mut text) = SECOND.try_with(Cell::get).unwrap_or((i64::MIN, [0; TIMESTAMP_BYTES]));
        let micros = match self.0.wrapping_sub(begin) {
            micros @ 0..MICROS_PER_SECOND if begin <= self.0 => micros as u32,
            _ => {
                let (second, micros) = self.clamped();
                text = second_text(second);
                let _ = SECOND.try_with(|cell| cell.set((second * MICROS_PER_SECOND, text)));
                micros
            }
        };
        text[20..26].copy_from_slice(&six_digits(micros));
        text
    }

    /// The second within four-digit years, and the microseconds in it.
    #[cold]
    fn clamped(self) -> (i64, u32) {
        let second = self.0.div_euclid(MICROS_PER_SECOND);
        match second {
            ..SECOND_MIN => (SECOND_MIN, 0),
            SECOND_MIN..=SECOND_MAX => (second, self.0.rem_euclid(MICROS_PER_SECOND) as u32),
            _ => (SECOND_MAX, 999_999),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_text();
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// Writes `number` in decimal over `N` bytes from `at` on, with leading zeros.
#[inline(always)]
fn put_at<const N: usize>(text: &mut [u8; TIMESTAMP_BYTES], at: usize, mut number: u32) {
    if let Some(place) = text[at..].first_chunk_mut::<N>() {
        for digit in place.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
}

/// A number below a million, two digits at a time.
#[inline(always)]
fn six_digits(number: u32) -> [u8; 6] {
    let pair = |number: u32| [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
    let [[a, b], [c, d], [e, f]] = [number / 10_000, number / 100 % 100, number % 100].map(pair);
    [a, b, c, d, e, f]
}

fn second_text(second: i64) -> [u8; TIMESTAMP_BYTES] {
    let (year, month, day) = civil_from_days(second.div_euclid(SECONDS_PER_DAY));
    let in_day = second.rem_euclid(SECONDS_PER_DAY) as u32;
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    put_at::<4>(&mut text, 0, year as u32);
    put_at::<2>(&mut text, 5, month);
    put_at::<2>(&mut text, 8, day);
    put_at::<2>(&mut text, 11, in_day / 3_600);
    put_at::<2>(&mut text, 14, in_day / 60 % 60);
    put_at::<2>(&mut text, 17, in_day % 60);
    text
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last of its year; an era has 400 years.
pub(crate) fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as u32, day as u32)
}

/// The reverse: days from 1970-01-01 to a day that exists.
pub(crate) fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The number in the decimal digits at `from..to`; `None` if there is anything else.
fn digits(text: &[u8], from: usize, to: usize) -> Option<u32> {
    text.get(from..to)?
        .iter()
        .try_fold(0, |number, &byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

fn parse_rfc3339(text: &[u8]) -> Option<Timestamp> {
    let separators = (text.get(4)?, text.get(7)?, text.get(10)?, text.get(13)?, text.get(16)?);
    if !matches!(separators, (b'-', b'-', b'T' | b't' | b' ', b':', b':')) {
        return None;
    }
    let (year, month, day) = (i64::from(digits(text, 0, 4)?), digits(text, 5, 7)?, digits(text, 8, 10)?);
    let (hour, minute, second) = (digits(text, 11, 13)?, digits(text, 14, 16)?, digits(text, 17, 19)?);
    // RFC 3339 has the leap second 60; like POSIX time, it is taken as the second after it.
    let exists = (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
    if !exists || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut at = 19;
    let mut micros = 0;
    if text.get(at) == Some(&b'.') {
        let fraction = text[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let kept = fraction.min(6);
        micros = digits(text, at + 1, at + 1 + kept)? * 10_u32.pow(6 - kept as u32);
        at += 1 + fraction;
        if fraction == 0 {
            return None;
        }
    }
    let in_day = i64::from(hour * 3_600 + minute * 60 + second);
    let seconds =
        days_from_civil(year, month, day) * SECONDS_PER_DAY + in_day - offset_seconds(text.get(at..)?)?;
    (SECOND_MIN..=SECOND_MAX)
        .contains(&seconds)
        .then(|| Timestamp(seconds * MICROS_PER_SECOND + i64::from(micros)))
}

fn offset_seconds(offset: &[u8]) -> Option<i64> {
    let sign = match offset {
        b"Z" | b"z" => return Some(0),
        [b'+', _, _, b':', _, _] => 1,
        [b'-', _, _, b':', _, _] => -1,
        _ => return None,
    };
    let (hours, minutes) = (digits(offset, 1, 3)?, digits(offset, 4, 6)?);
    (hours <= 23 && minutes <= 59).then(|| sign * i64::from(hours * 3_600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(Timestamp::parse(text).map(|time| time.to_string()).as_deref(), expected, "{text}");
    }

    #[test]
    fn reads_any_offset_and_cuts_below_a_microsecond() {
        check("2026-11-21T04:00:00Z", Some("2026-11-21T04:00:00.000000Z"));
        check("2026-11-21t04:00:00.1z", Some("2026-11-21T04:00:00.100000Z"));
        check("2026-11-21 04:00:00.1234569-00:30", Some("2026-11-21T04:30:00.123456Z"));
        check("2024-02-29T23:59:60+00:00", Some("2024-03-01T00:00:00.000000Z"));
        check("0000-01-01T00:00:00Z", Some("0000-01-01T00:00:00.000000Z"));
        check("9999-12-31T23:59:59.999999999Z", Some("9999-12-31T23:59:59.999999Z"));
        check("1969-12-31T23:59:59.5Z", Some("1969-12-31T23:59:59.500000Z"));
    }

    #[test]
    fn refuses_what_is_not_a_point_in_time() {
        for text in [
            "",
            "now",
            "2026-11-21",
            "2026-11-21T04:00:00",
            "2026-11-21T04:00:00.Z",
            "2026-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00Zx",
            "0000-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:0\u{e9}Z",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn text_is_clamped_to_four_digits_of_year() {
        assert_eq!(Timestamp(i64::MIN).to_string(), "0000-01-01T00:00:00.000000Z");
        assert_eq!(Timestamp(i64::MAX).to_string(), "9999-12-31T23:59:59.999999Z");
    }

    proptest::proptest! {
        #[test]
        fn text_reads_back(micros in SECOND_MIN * MICROS_PER_SECOND..=SECOND_MAX * MICROS_PER_SECOND) {
            let time = Timestamp(micros);
            proptest::prop_assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        }

        #[test]
        fn agrees_with_jiff(micros in SECOND_MIN * MICROS_PER_SECOND..=253_370_000_000 * MICROS_PER_SECOND) {
            let theirs = jiff::Timestamp::from_microsecond(micros).unwrap();
            let fields: jiff::Timestamp = Timestamp(micros).to_string().parse().unwrap();
            proptest::prop_assert_eq!(fields, theirs);
        }

        #[test]
        fn survives_any_text(text in ".{0,40}") {
            let _ = Timestamp::parse(&text);
        }
    }
}
