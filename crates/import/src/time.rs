//! Parses the times found in real logs.
//!
//! What must hold: what is no time for certain is none, rather than a wrong one.

use jiff::civil;
use jiff::tz::{Offset, TimeZone};
use trailseal_event::Timestamp;

/// Years 0000 to 9999 in microseconds; times outside them are invalid.
const MICROS_RANGE: std::ops::RangeInclusive<i64> = -62_167_219_200_000_000..=253_402_300_799_999_999;
/// How far a clock may be ahead of the one that dated the file.
const DAY_MICROS: i64 = 86_400_000_000;
/// FILETIME counts 100 ns from 1601.
const FILETIME_EPOCH_MICROS: i64 = 11_644_473_600_000_000;

/// Forms with the month as a word, without weekday, commas and zone: of web servers, `ctime`, CEF, mail, MySQL, and spreadsheets.
const USUAL: [&str; 6] = [
    "%d/%b/%Y:%H:%M:%S%.f",
    "%b %d %H:%M:%S%.f %Y",
    "%b %d %Y %H:%M:%S%.f",
    "%d %b %Y %H:%M:%S%.f",
    "%d-%b-%Y %H:%M:%S%.f",
    "%b %d %Y %I:%M:%S %p",
];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const WITHOUT_YEAR: &str = "%Y %b %d %H:%M:%S%.f";

/// Abbreviations that mean one zone the world over. Others, such as CST or IST, mean several.
const ABBREVIATIONS: [(&str, i32); 16] = [
    ("Z", 0),
    ("UTC", 0),
    ("GMT", 0),
    ("UT", 0),
    ("WET", 0),
    ("CET", 3600),
    ("CEST", 7200),
    ("EET", 7200),
    ("EEST", 10_800),
    ("MSK", 10_800),
    ("JST", 32_400),
    ("EST", -18_000),
    ("EDT", -14_400),
    ("MDT", -21_600),
    ("PST", -28_800),
    ("PDT", -25_200),
];

/// How a mapping reads times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    /// Tried first.
    pub(crate) formats: Vec<Format>,
    /// Where times without a zone are; UTC if none.
    pub(crate) zone: Option<TimeZone>,
}

/// A form of time that a mapping names.
#[derive(Clone, Debug)]
pub(crate) enum Format {
    Strptime(String),
    /// A count of so many per second since 1970.
    Count(i64),
    FileTime,
}

impl Format {
    /// Parses a format. The error is for people.
    pub(crate) fn parse(text: &str) -> Result<Format, String> {
        let format = match text {
            "seconds" => Format::Count(1),
            "milliseconds" => Format::Count(1_000),
            "microseconds" => Format::Count(1_000_000),
            "nanoseconds" => Format::Count(1_000_000_000),
            "filetime" => Format::FileTime,
            _ if !text.contains('%') => {
                return Err(
                    "it has no %: write %Y for the year, %m, %d, %H, %M, %S, or seconds, milliseconds, microseconds, \
                     nanoseconds, filetime for a count"
                        .to_owned(),
                );
            }
            _ => {
                // Only using a format checks it. Parsing a text that does not match gives the same error for every
                // well-formed format, but formatting a time fails for exactly the malformed ones.
                let moment = jiff::Zoned::new(jiff::Timestamp::UNIX_EPOCH, TimeZone::UTC);
                jiff::fmt::strtime::format(text, &moment).map_err(|error| error.to_string())?;
                Format::Strptime(text.to_owned())
            }
        };
        Ok(format)
    }
}

/// The zone with this name, such as `Europe/Berlin`, `CET` or `+01:00`.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    let fixed = |seconds| Offset::from_seconds(seconds).ok().map(TimeZone::fixed);
    if let Some((_, seconds)) = ABBREVIATIONS.iter().find(|(known, _)| *known == name) {
        return fixed(*seconds);
    }
    // Also `GMT+0100`, as JavaScript has it.
    let behind = name.strip_prefix("GMT").or_else(|| name.strip_prefix("UTC")).unwrap_or(name);
    if behind.starts_with(['+', '-']) {
        return fixed(offset(behind)?);
    }
    TimeZone::get(name).ok().filter(|_| name.contains('/'))
}

/// Seconds east of UTC: `+01`, `+0130` or `+01:30`.
fn offset(text: &str) -> Option<i32> {
    let digits: String = text[1..].chars().filter(|char| *char != ':').collect();
    let good = matches!(digits.len(), 2 | 4) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let (hours, minutes) = (digits.get(..2)?, digits.get(2..).filter(|minutes| !minutes.is_empty()));
    let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.unwrap_or("0").parse::<i32>().ok()? * 60;
    good.then_some(if text.starts_with('-') { -seconds } else { seconds })
}

impl Times {
    /// Parses a time: first by the mapping's formats; then a count since 1970, whose unit its size tells, or digits
    /// that are a date; then RFC 3339 and its relatives, with a zone behind or not; then forms with the month as a word. A
    /// time without a year takes the one that puts it just before `written`.
    pub(crate) fn read(&self, text: &str, written: Option<Timestamp>) -> Option<Timestamp> {
        let text = text.trim();
        let by_own = self.formats.iter().find_map(|format| self.by_format(text, format));
        let micros = match by_own {
            Some(micros) => micros,
            None if is_digits(text) => self.by_digits(text)?,
            None => self
                .by_rfc3339(text)
                .or_else(|| self.by_words(text, written?))
                .or_else(|| self.by_usual(text))?,
        };
        MICROS_RANGE.contains(&micros).then(|| Timestamp::from_micros(micros))
    }

    fn by_format(&self, text: &str, format: &Format) -> Option<i64> {
        match format {
            Format::Strptime(format) => self.by_strptime(text, format),
            Format::Count(per_second) => count(text, *per_second),
            Format::FileTime => file_time(text.parse().ok()?),
        }
    }

    fn by_strptime(&self, text: &str, format: &str) -> Option<i64> {
        let parsed = jiff::fmt::strtime::parse(format, text).ok()?;
        if let Ok(moment) = parsed.to_timestamp() {
            return Some(moment.as_microsecond());
        }
        let day = parsed.to_date().ok()?;
        self.here(day.to_datetime(parsed.to_time().unwrap_or(civil::Time::midnight())), None)
    }

    /// `Jan  2 03:04:05`, as RFC 3164 has it.
    fn by_words(&self, text: &str, written: Timestamp) -> Option<i64> {
        if !text.starts_with(|first: char| first.is_ascii_uppercase()) {
            return None;
        }
        let words = text.split_ascii_whitespace().collect::<Vec<_>>();
        let [_, day, clock] = words[..] else { return None };
        let is_clock = clock.len() == 8 || clock.as_bytes().get(8) == Some(&b'.');
        if day.len() > 2 || !is_clock {
            return None;
        }
        let latest = written.as_micros().saturating_add(DAY_MICROS);
        let year = jiff::Timestamp::from_microsecond(latest).ok()?.to_zoned(TimeZone::UTC).year();
        let of = |year: i16| self.by_strptime(&format!("{year:04} {}", words.join(" ")), WITHOUT_YEAR);
        // A leap day may be some years back.
        (year.saturating_sub(8)..=year).rev().filter_map(of).find(|micros| *micros <= latest)
    }

    /// With the month as a word. Weekday and commas say nothing more.
    fn by_usual(&self, text: &str) -> Option<i64> {
        if let Some(count) = text.strip_prefix("/Date(").and_then(|text| text.strip_suffix(")/")) {
            // .NET's, in milliseconds of UTC; a zone behind only says where it was written.
            let end = count.rfind(['+', '-']).filter(|at| *at > 0).unwrap_or(count.len());
            return self::count(count.get(..end)?, 1_000);
        }
        // What JavaScript and mail have behind: `+0100 (CET)`. Without the offset it would be the zone.
        let text = text
            .strip_suffix(')')
            .and_then(|text| text.rsplit_once(" ("))
            .filter(|(text, _)| ends_with_offset(text))
            .map_or(text, |(text, _)| text);
        let text = text.replace(", ", " ").replacen(',', ".", 1);
        let is_weekday = |word: &str| {
            let of = |day: &&str| word.eq_ignore_ascii_case(day) || word.eq_ignore_ascii_case(&day[..3]);
            WEEKDAYS.iter().any(of)
        };
        let text = text
            .split_once(' ')
            .filter(|(first, _)| is_weekday(first))
            .map_or(&*text, |(_, rest)| rest.trim_start());
        let by_form = |text: &str, zone: Option<TimeZone>| {
            let moment = USUAL.iter().find_map(|format| jiff::fmt::strtime::parse(format, text).ok())?;
            // Fewer than four digits of a year mean one of several centuries.
            self.here(moment.to_datetime().ok().filter(|moment| moment.year() >= 1000)?, zone)
        };
        if let Some(micros) = by_form(text, None) {
            return Some(micros);
        }
        // `date` has the zone before the year: `Jan 15 10:30:00 UTC 2024`.
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        if let [month, day, clock, name, year] = words[..]
            && year.len() == 4
            && year.bytes().all(|byte| byte.is_ascii_digit())
        {
            return by_form(&[month, day, clock, year].join(" "), Some(zone(name)?));
        }
        let (moment, zone) = split_zone(text)?;
        by_form(moment, Some(zone?))
    }

    fn by_rfc3339(&self, text: &str) -> Option<i64> {
        // The civil forms of jiff include more than a log means by a time, such as a bare week.
        let bytes = text.as_bytes();
        let are_digits = |end: usize| bytes[..end].iter().all(u8::is_ascii_digit);
        let is_date = match (bytes.get(4), bytes.get(8)) {
            (Some(b'-' | b'/'), _) => are_digits(4),
            // `20240115T103000Z`.
            (_, Some(b'T')) => are_digits(8),
            _ => false,
        };
        if !is_date {
            return None;
        }
        if let Ok(moment) = text.parse::<jiff::Timestamp>() {
            return Some(moment.as_microsecond());
        }
        let (moment, zone) = split_zone(text)?;
        let moment = moment.replace('/', "-").replacen(',', ".", 1);
        match moment.parse::<jiff::Timestamp>() {
            // An offset in the time itself says more than a name behind it.
            Ok(moment) => Some(moment.as_microsecond()),
            Err(_) => self.here(moment.parse().ok()?, zone),
        }
    }

    fn here(&self, moment: civil::DateTime, zone: Option<TimeZone>) -> Option<i64> {
        let zone = zone.or_else(|| self.zone.clone()).unwrap_or(TimeZone::UTC);
        Some(moment.to_zoned(zone).ok()?.timestamp().as_microsecond())
    }

    fn by_digits(&self, text: &str) -> Option<i64> {
        if let Some(moment) = date_in_digits(text) {
            return self.here(moment, None);
        }
        let size = text.parse::<f64>().ok()?.abs();
        match size {
            // Before the year 5138, so that counts of seconds can be far in the past or future.
            _ if size < 1e11 => count(text, 1),
            // The others only from 1990 to 2200, since digits that are something else abound.
            _ if (6.3e11..7.3e12).contains(&size) => count(text, 1_000),
            _ if (6.3e14..7.3e15).contains(&size) => count(text, 1_000_000),
            _ if (9.4e17..7.3e18).contains(&size) => count(text, 1_000_000_000),
            // FILETIME, from 1970 to 2107.
            _ if (1.164e17..1.6e17).contains(&size) => file_time(text.parse().ok()?),
            _ => None,
        }
    }
}

/// Takes off what names a zone behind a time: `[Europe/Berlin]`, ` CET`, ` +01:00`, ` +0100 CET` as Go has it. None if it is not known.
fn split_zone(text: &str) -> Option<(&str, Option<TimeZone>)> {
    if let Some((moment, bracket)) = text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        // Other annotations, such as a calendar, do not change the moment.
        let name = bracket.split("][").find(|name| !name.contains('='));
        return match name {
            Some(name) => Some((moment.trim_end(), Some(zone(name.trim_start_matches('!'))?))),
            None => Some((moment, None)),
        };
    }
    // Go's reading of a clock that only runs forward.
    let text = text.split_once(" m=").map_or(text, |(text, _)| text);
    match text.rsplit_once(' ') {
        Some((moment, last)) if !last.starts_with(|first: char| first.is_ascii_digit()) => {
            // An offset says more than the abbreviation behind it, which may mean several zones.
            let before =
                moment.trim_end().rsplit_once(' ').filter(|(_, offset)| offset.starts_with(['+', '-']));
            match before {
                Some((moment, offset)) if last.starts_with(|first: char| first.is_ascii_alphabetic()) => {
                    Some((moment.trim_end(), Some(zone(offset)?)))
                }
                _ => Some((moment.trim_end(), Some(zone(last)?))),
            }
        }
        _ => Some((text, None)),
    }
}

/// Whether the last word is `+0100` or `GMT+0100`.
fn ends_with_offset(text: &str) -> bool {
    let last = text.rsplit(' ').next().unwrap_or(text);
    let behind = last.strip_prefix("GMT").or_else(|| last.strip_prefix("UTC")).unwrap_or(last);
    behind.starts_with(['+', '-'])
}

fn is_digits(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.starts_with(|first: char| first.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// `20240101`, `202401010930`, `20240101093059` and `20240101093059.123`, where that is a date.
fn date_in_digits(text: &str) -> Option<civil::DateTime> {
    if let Some((whole, fraction)) = text.split_once('.').filter(|(whole, _)| whole.len() == 14) {
        let nanos = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        return date_in_digits(whole)?.with().subsec_nanosecond(nanos).build().ok();
    }
    if !matches!(text.len(), 8 | 12 | 14) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part =
        |range: std::ops::Range<usize>| text.get(range).map_or(Some(0), |part| part.parse::<i8>().ok());
    let year = text[..4].parse::<i16>().ok().filter(|year| (1900..2200).contains(year))?;
    civil::DateTime::new(year, part(4..6)?, part(6..8)?, part(8..10)?, part(10..12)?, part(12..14)?, 0).ok()
}

/// A count of so many per second, in microseconds.
fn count(text: &str, per_second: i64) -> Option<i64> {
    match text.parse::<i64>() {
        Ok(whole) => i64::try_from(i128::from(whole) * 1_000_000 / i128::from(per_second)).ok(),
        // A fraction, usually of seconds; a binary fraction is exact to the microsecond until 2255.
        Err(_) => {
            let micros = text.parse::<f64>().ok()? * 1e6 / per_second as f64;
            (micros.abs() < 9e18).then_some(micros.round() as i64)
        }
    }
}

fn file_time(ticks: i64) -> Option<i64> {
    (ticks / 10).checked_sub(FILETIME_EPOCH_MICROS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        check_by(&Times::default(), text, expected);
    }

    #[track_caller]
    fn check_by(times: &Times, text: &str, expected: Option<&str>) {
        let expected = expected.map(|expected| Timestamp::parse(expected).expect("a good expectation"));
        let written = Timestamp::parse("2024-02-10T00:00:00Z");
        assert_eq!(times.read(text, written), expected, "{text}");
    }

    #[test]
    fn forms_of_time() {
        check("2024-01-15T10:30:00Z", Some("2024-01-15T10:30:00Z"));
        check("2024-01-15T10:30:00+02:00", Some("2024-01-15T08:30:00Z"));
        check("2022-11-29 00:09:04.38", Some("2022-11-29T00:09:04.38Z"));
        check("2021-05-20 15:53:47Z", Some("2021-05-20T15:53:47Z"));
        check("2024-11-13 18:34:10.595141999", Some("2024-11-13T18:34:10.595141Z"));
        check("2024-01-15 10:30:00,123", Some("2024-01-15T10:30:00.123Z"));
        check("2024/01/15 10:30:00", Some("2024-01-15T10:30:00Z"));
        check("2024-01-15", Some("2024-01-15T00:00:00Z"));
        check(" 2023-01-10 21:04:02 ", Some("2023-01-10T21:04:02Z"));
        check("Mon, 15 Jan 2024 10:30:00 +0100", Some("2024-01-15T09:30:00Z"));
        check("15/Jan/2024:10:30:00 +0100", Some("2024-01-15T09:30:00Z"));
        check("Mon Jan 15 10:30:00 2024", Some("2024-01-15T10:30:00Z"));
    }

    #[test]
    fn forms_with_the_month_as_a_word() {
        // CEF, as its standard says.
        check("Sep 05 2023 16:47:48 UTC", Some("2023-09-05T16:47:48Z"));
        check("Sep 05 2023 16:47:48.250 CEST", Some("2023-09-05T14:47:48.25Z"));
        check("Sep  5 2023 16:47:48", Some("2023-09-05T16:47:48Z"));
        // HTTP, mail, `date`, Apache, JavaScript.
        check("Mon, 15 Jan 2024 10:30:00 GMT", Some("2024-01-15T10:30:00Z"));
        check("15 Jan 2024 10:30:00 +0100", Some("2024-01-15T09:30:00Z"));
        check("Mon Jan 15 10:30:00 UTC 2024", Some("2024-01-15T10:30:00Z"));
        check("Mon Jan 15 10:30:00 EST 2024", Some("2024-01-15T15:30:00Z"));
        check("Mon Jan 15 10:30:00.123456 2024", Some("2024-01-15T10:30:00.123456Z"));
        check(
            "Mon Jan 15 2024 11:30:00 GMT+0100 (Central European Standard Time)",
            Some("2024-01-15T10:30:00Z"),
        );
        // West of Greenwich, too.
        for west in [
            "Mon, 15 Jan 2024 10:30:00 -0500",
            "Monday, 15 Jan 2024 10:30:00 -0500",
            "Mon, 15 Jan 2024 10:30:00 -0500 (EST)",
            "15 Jan 2024 10:30:00 -0500",
            "Jan 15 2024 10:30:00 -0500",
        ] {
            check(west, Some("2024-01-15T15:30:00Z"));
        }
        check("Mon, 15 Jan 2024 10:30:00 -0000", Some("2024-01-15T10:30:00Z"));
        // Databases and spreadsheets.
        check("15-Jan-2024 10:30:00", Some("2024-01-15T10:30:00Z"));
        check("15 Jan 2024 10:30:00,5", Some("2024-01-15T10:30:00.5Z"));
        check("Jan 15, 2024, 10:30:00 PM", Some("2024-01-15T22:30:00Z"));
        check("Jan 15, 2024 10:30:00 AM", Some("2024-01-15T10:30:00Z"));
        for unknown in [
            "Sep 05 2023 16:47:48 CST",
            "Mon Jan 15 10:30:00 CST 2024",
            "sept. 05 2023 16:47:48",
            "Foo 15 Jan 2024 10:30:00",
            "Month 15 Jan 2024 10:30:00",
            "15 Jan 2024 10:30:00 (PST)",
            "Mon Jan 15 2024 10:30:00 (CST)",
            "15-Jan-24 10:30:00",
            "Monday, 15-Jan-24 10:30:00 GMT",
            "Jan 15 24 10:30:00",
            "Mon Jan 15 10:30:00 UTC 24",
            "15 Jan 2024",
            "Sep 35 2023 16:47:48 UTC",
        ] {
            check(unknown, None);
        }
    }

    #[test]
    fn forms_of_go_net_and_iso_without_dashes() {
        check("2024-01-15 10:30:00.123456789 +0100 CET m=+0.000012", Some("2024-01-15T09:30:00.123456Z"));
        check("2024-01-15 10:30:00 +0000 UTC", Some("2024-01-15T10:30:00Z"));
        check("2024-01-15 10:30:00 -0600 CST", Some("2024-01-15T16:30:00Z"));
        check("/Date(1705314600000)/", Some("2024-01-15T10:30:00Z"));
        check("/Date(1705314600123+0100)/", Some("2024-01-15T10:30:00.123Z"));
        check("/Date(-1000)/", Some("1969-12-31T23:59:59Z"));
        check("20240115T103000Z", Some("2024-01-15T10:30:00Z"));
        check("20240115T103000.5+0100", Some("2024-01-15T09:30:00.5Z"));
        check("20240115T103000", Some("2024-01-15T10:30:00Z"));
        for unknown in ["/Date()/", "/Date(x)/", "20241315T103000Z", "2024011XT103000Z"] {
            check(unknown, None);
        }
    }

    #[test]
    fn counts_since_1970() {
        check("1621305118553", Some("2021-05-18T02:31:58.553Z"));
        check("1621305118", Some("2021-05-18T02:31:58Z"));
        check("1621305118.5", Some("2021-05-18T02:31:58.5Z"));
        check("1621305118553123", Some("2021-05-18T02:31:58.553123Z"));
        check("1621305118553123999", Some("2021-05-18T02:31:58.553123Z"));
        check("0", Some("1970-01-01T00:00:00Z"));
        check("-1", Some("1969-12-31T23:59:59Z"));
        check("133497882000000000", Some("2024-01-15T10:30:00Z"));
    }

    #[test]
    fn digits_that_are_a_date() {
        check("20240115", Some("2024-01-15T00:00:00Z"));
        check("202401151030", Some("2024-01-15T10:30:00Z"));
        check("20240115103059", Some("2024-01-15T10:30:59Z"));
        check("20240115103059.123", Some("2024-01-15T10:30:59.123Z"));
        // Neither a date nor a count that anybody means.
        for text in [
            "20241315103059",
            "20241315103059.5",
            "20240115103059.1.2",
            "638409114000000000",
            "123456789012",
            "12345678901234567890",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn zones() {
        check("2024-07-15T10:30:00[Europe/Berlin]", Some("2024-07-15T08:30:00Z"));
        check("2024-07-15T10:30:00+09:00[Asia/Tokyo]", Some("2024-07-15T01:30:00Z"));
        check("2024-07-15T10:30Z[UTC]", Some("2024-07-15T10:30:00Z"));
        check("2024-01-15T10:30:00[+02:00]", Some("2024-01-15T08:30:00Z"));
        check("2024-01-15 10:30:00 CET", Some("2024-01-15T09:30:00Z"));
        check("2024-01-15 10:30:00.5 UTC", Some("2024-01-15T10:30:00.5Z"));
        check("2024-01-15 10:30:00 America/New_York", Some("2024-01-15T15:30:00Z"));
        check("2024-01-15 10:30:00 +0100", Some("2024-01-15T09:30:00Z"));
        for unknown in
            ["2024-01-15T10:30:00[Middle/Earth]", "2024-01-15 10:30:00 CST", "2024-01-15 10:30:00 x"]
        {
            check(unknown, None);
        }
        let berlin = Times {
            zone: zone("Europe/Berlin"),
            formats: vec![Format::parse("%d.%m.%Y %H:%M").expect("good")],
        };
        check_by(&berlin, "2024-07-15 10:30:00", Some("2024-07-15T08:30:00Z"));
        check_by(&berlin, "2024-07-15T10:30:00Z", Some("2024-07-15T10:30:00Z"));
        check_by(&berlin, "15.07.2024 10:30", Some("2024-07-15T08:30:00Z"));
        check_by(&berlin, "20240715", Some("2024-07-14T22:00:00Z"));
    }

    #[test]
    fn a_missing_year_is_the_one_before_the_file_was_written() {
        check("Jan  2 03:04:05", Some("2024-01-02T03:04:05Z"));
        check("Jan  2 03:04:05.25", Some("2024-01-02T03:04:05.25Z"));
        check("Dec 31 03:04:05", Some("2023-12-31T03:04:05Z"));
        check("Feb 29 03:04:05", Some("2020-02-29T03:04:05Z"));
        assert_eq!(Times::default().read("Jan  2 03:04:05", None), None);
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
            let times = Times { formats: vec![Format::parse(format).expect("a good format")], zone: None };
            check_by(&times, text, Some(expected));
        };
        check("%d/%b/%Y:%H:%M:%S %z", "10/Oct/2000:13:55:36 -0700", "2000-10-10T20:55:36Z");
        check("%d.%m.%Y %H:%M", "24.12.2023 18:30", "2023-12-24T18:30:00Z");
        check("%d.%m.%Y", "24.12.2023", "2023-12-24T00:00:00Z");
        check("%d.%m.%Y", "2024-01-15T10:30:00Z", "2024-01-15T10:30:00Z");
        check("milliseconds", "5", "1970-01-01T00:00:00.005Z");
        check("filetime", "133497882000000000", "2024-01-15T10:30:00Z");
        assert!(Format::parse("%Y-%m-%d %H:%M:%S%.f").is_ok());
        for bad in ["%Y-%", "%!", "YYYY-MM-DD"] {
            assert!(Format::parse(bad).is_err(), "{bad}");
        }
    }
}
