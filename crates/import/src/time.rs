//! Parses the times found in real logs.

use jiff::civil;
use trailseal_event::Timestamp;

/// The size of a number tells whether it counts seconds, milliseconds, microseconds or nanoseconds since 1970. Seconds
/// below this bound are before the year 5138, and milliseconds above it after March 1973.
const SECONDS_MAX: f64 = 1e11;

/// Year 0000-01-01 and 9999-12-31 in microseconds; times outside them are invalid.
const MICROS_RANGE: std::ops::RangeInclusive<i64> = -62_167_219_200_000_000..=253_402_300_799_999_999;

/// Parses a time: first with `formats` (strptime), then as RFC 3339 with `T` or a space and up to nine fractional
/// digits (cut to six), taken as UTC without an offset; then as a count since 1970, whose unit its size tells. `None`
/// for anything else.
pub(crate) fn read(text: &str, formats: &[String]) -> Option<Timestamp> {
    let text = text.trim();
    let micros = formats
        .iter()
        .find_map(|format| by_format(text, format))
        .or_else(|| since_1970(text))
        .or_else(|| by_rfc3339(text))?;
    MICROS_RANGE.contains(&micros).then(|| Timestamp::from_micros(micros))
}

/// Whether `format` can be used; the error is for people.
pub(crate) fn check_format(format: &str) -> Result<(), String> {
    // Only using a format checks it. Parsing a text that does not match gives the same error for every well-formed
    // format, but formatting a time fails for exactly the malformed ones.
    let moment = jiff::Zoned::new(jiff::Timestamp::UNIX_EPOCH, jiff::tz::TimeZone::UTC);
    jiff::fmt::strtime::format(format, &moment).map(drop).map_err(|error| error.to_string())
}

fn by_format(text: &str, format: &str) -> Option<i64> {
    let parsed = jiff::fmt::strtime::parse(format, text).ok()?;
    if let Ok(moment) = parsed.to_timestamp() {
        return Some(moment.as_microsecond());
    }
    let day = parsed.to_date().ok()?;
    in_utc(day.to_datetime(parsed.to_time().unwrap_or(civil::Time::midnight())))
}

fn by_rfc3339(text: &str) -> Option<i64> {
    // The civil forms of jiff include more than a log means by a time, such as a bare week.
    if text.as_bytes().get(4) != Some(&b'-') {
        return None;
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(moment) => Some(moment.as_microsecond()),
        Err(_) => in_utc(text.parse().ok()?),
    }
}

fn in_utc(moment: civil::DateTime) -> Option<i64> {
    let zoned = moment.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_microsecond())
}

fn since_1970(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !plain || !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let count: f64 = text.parse().ok()?;
    let (micros_each, units_each_micro) = match count.abs() {
        size if size < SECONDS_MAX => (1_000_000, 1),
        size if size < SECONDS_MAX * 1e3 => (1_000, 1),
        size if size < SECONDS_MAX * 1e6 => (1, 1),
        size if size < SECONDS_MAX * 1e9 => (1, 1_000),
        _ => return None,
    };
    match text.parse::<i64>() {
        Ok(whole) => Some((whole / units_each_micro).saturating_mul(micros_each)),
        // A fraction, usually of seconds; a binary fraction is exact to the microsecond until 2255.
        Err(_) => Some((count * micros_each as f64 / units_each_micro as f64).round() as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let expected = expected.map(|expected| Timestamp::parse(expected).expect("a good expectation"));
        assert_eq!(read(text, &[]), expected, "{text}");
    }

    #[test]
    fn forms_of_time() {
        check("2024-01-15T10:30:00Z", Some("2024-01-15T10:30:00Z"));
        check("2024-01-15T10:30:00+02:00", Some("2024-01-15T08:30:00Z"));
        check("2022-11-29 00:09:04.38", Some("2022-11-29T00:09:04.38Z"));
        check("2021-05-20 15:53:47Z", Some("2021-05-20T15:53:47Z"));
        check("2024-11-13 18:34:10.595141999", Some("2024-11-13T18:34:10.595141Z"));
        check(" 2023-01-10 21:04:02 ", Some("2023-01-10T21:04:02Z"));
        check("1621305118553", Some("2021-05-18T02:31:58.553Z"));
        check("1621305118", Some("2021-05-18T02:31:58Z"));
        check("1621305118.5", Some("2021-05-18T02:31:58.5Z"));
        check("1621305118553123", Some("2021-05-18T02:31:58.553123Z"));
        check("1621305118553123999", Some("2021-05-18T02:31:58.553123Z"));
        check("0", Some("1970-01-01T00:00:00Z"));
        check("-1", Some("1969-12-31T23:59:59Z"));
    }

    #[test]
    fn what_is_no_time() {
        for text in ["", "...", "redacted", "2024-12-17 00:00:00000000", "2024-13-01T00:00:00Z", "1.2.3", "-"]
        {
            check(text, None);
        }
        check("99999999999999999999999", None);
        check("inf", None);
        check("-009999-01-02T01:59:59Z", None);
    }

    #[test]
    fn own_formats() {
        let check = |format: &str, text: &str, expected: &str| {
            let found = read(text, &[format.to_owned()]).expect("a time");
            assert_eq!(found, Timestamp::parse(expected).expect("a good expectation"));
        };
        check("%d/%b/%Y:%H:%M:%S %z", "10/Oct/2000:13:55:36 -0700", "2000-10-10T20:55:36Z");
        check("%d.%m.%Y %H:%M", "24.12.2023 18:30", "2023-12-24T18:30:00Z");
        check("%d.%m.%Y", "24.12.2023", "2023-12-24T00:00:00Z");
        check("%d.%m.%Y", "2024-01-15T10:30:00Z", "2024-01-15T10:30:00Z");
        assert!(check_format("%Y-%m-%d %H:%M:%S%.f").is_ok());
        assert!(check_format("%Y-%").is_err());
        assert!(check_format("%!").is_err());
    }
}
