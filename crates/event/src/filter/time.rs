//! Times as people write them: moments, days, months, words such as `yesterday`, and ages.
//!
//! Whatever covers a span stands for its beginning, in UTC: so `yesterday` to `today` is all of yesterday.

use std::time::Duration;

use crate::timestamp::{Timestamp, civil_from_days, days_from_civil};

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
const MICROS_PER_DAY: i64 = SECONDS_PER_DAY * MICROS_PER_SECOND;
/// Longer texts are no time.
const BYTES_MAX: usize = 64;

/// Parses a moment, the beginning of a day, month or year, a word, or an age counted back from `now`. What names no
/// zone is in UTC; weeks begin on Monday.
///
/// ```
/// use trailseal_event::Timestamp;
/// use trailseal_event::filter::parse_time;
/// let now = Timestamp::parse("2026-11-21T12:00:00Z").unwrap();
/// for (text, wanted) in [
///     ("2026-11-21T04:00:00+02:00", "2026-11-21T02:00:00Z"),
///     ("2026-11-21T04:00", "2026-11-21T04:00:00Z"),
///     ("2026-11-01", "2026-11-01T00:00:00Z"),
///     ("2026-03", "2026-03-01T00:00:00Z"),
///     ("yesterday", "2026-11-20T00:00:00Z"),
///     ("last week", "2026-11-09T00:00:00Z"),
///     ("24h", "2026-11-20T12:00:00Z"),
///     ("2 hours ago", "2026-11-21T10:00:00Z"),
/// ] {
///     assert_eq!(parse_time(text, now), Timestamp::parse(wanted), "{text}");
/// }
/// ```
pub fn parse_time(text: &str, now: Timestamp) -> Option<Timestamp> {
    if text.len() > BYTES_MAX || !text.is_ascii() {
        return None;
    }
    Timestamp::parse(text)
        .or_else(|| parse_partial(text))
        .or_else(|| parse_word(text, now))
        .or_else(|| before(now, parse_age(text)?))
}

/// A [span](parse_span), which may be in words or have the sign that other tools want: `2 hours ago`, `15 min`,
/// `3-days-ago`, `-1h`.
fn parse_age(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('-').unwrap_or(text);
    let is_gap = |letter: char| matches!(letter, ' ' | '-' | '_');
    let text = text.strip_suffix("ago").map_or(Some(text), |text| text.strip_suffix(is_gap))?;
    let (digits, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit())?);
    let unit = match unit.strip_prefix(is_gap).unwrap_or(unit) {
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        "w" | "week" | "weeks" => "w",
        _ => return None,
    };
    parse_span(&format!("{digits}{unit}"))
}

/// Parses a length of time, such as `90s`, `15m`, `24h`, `7d` or `2w`.
///
/// ```
/// use std::time::Duration;
/// use trailseal_event::filter::parse_span;
/// assert_eq!(parse_span("15m"), Some(Duration::from_secs(900)));
/// assert_eq!(parse_span("today"), None);
/// ```
pub fn parse_span(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

fn before(now: Timestamp, span: Duration) -> Option<Timestamp> {
    let micros = i64::try_from(span.as_micros()).ok()?;
    now.as_micros().checked_sub(micros).map(Timestamp::from_micros)
}

/// A year, month or day, or a moment without seconds or without a zone.
fn parse_partial(text: &str) -> Option<Timestamp> {
    let whole = match text.len() {
        4 => format!("{text}-01-01T00:00:00Z"),
        7 => format!("{text}-01T00:00:00Z"),
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        17.. => {
            let (minute, rest) = text.split_at(16);
            return Timestamp::parse(&format!("{text}Z"))
                .or_else(|| Timestamp::parse(&format!("{minute}:00{rest}")));
        }
        _ => return None,
    };
    Timestamp::parse(&whole)
}

/// A word, or two joined by a blank, `-` or `_`.
fn parse_word(text: &str, now: Timestamp) -> Option<Timestamp> {
    let today = now.as_micros().div_euclid(MICROS_PER_DAY);
    let (year, month, _) = civil_from_days(today);
    // 1970-01-01 was a Thursday.
    let monday = today - (today + 3).rem_euclid(7);
    let day = match &*text.to_ascii_lowercase().replace(['-', '_'], " ") {
        "now" => return Some(now),
        "today" => today,
        "yesterday" => today - 1,
        "this week" => monday,
        "last week" => monday - 7,
        "this month" => days_from_civil(year, month, 1),
        "last month" if month == 1 => days_from_civil(year - 1, 12, 1),
        "last month" => days_from_civil(year, month - 1, 1),
        "this year" => days_from_civil(year, 1, 1),
        "last year" => days_from_civil(year - 1, 1, 1),
        _ => return None,
    };
    day.checked_mul(MICROS_PER_DAY).map(Timestamp::from_micros)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn check(now: &str, cases: &[(&str, Option<&str>)]) {
        let now = Timestamp::parse(now).unwrap();
        for (text, wanted) in cases {
            let wanted = wanted.map(|wanted| Timestamp::parse(wanted).unwrap());
            assert_eq!(parse_time(text, now), wanted, "{text}");
        }
    }

    #[test]
    fn what_covers_a_span_stands_for_its_beginning() {
        check(
            "2026-11-29T23:59:59.5Z",
            &[
                ("now", Some("2026-11-29T23:59:59.5Z")),
                ("today", Some("2026-11-29T00:00:00Z")),
                ("Yesterday", Some("2026-11-28T00:00:00Z")),
                ("this week", Some("2026-11-23T00:00:00Z")),
                ("last week", Some("2026-11-16T00:00:00Z")),
                ("last-week", Some("2026-11-16T00:00:00Z")),
                ("this_month", Some("2026-11-01T00:00:00Z")),
                ("last month", Some("2026-10-01T00:00:00Z")),
                ("this year", Some("2026-01-01T00:00:00Z")),
                ("last year", Some("2025-01-01T00:00:00Z")),
                ("2026", Some("2026-01-01T00:00:00Z")),
                ("2026-03", Some("2026-03-01T00:00:00Z")),
                ("2026-03-07", Some("2026-03-07T00:00:00Z")),
                ("2w", Some("2026-11-15T23:59:59.5Z")),
                ("2 weeks ago", Some("2026-11-15T23:59:59.5Z")),
                ("1 hour", Some("2026-11-29T22:59:59.5Z")),
                ("30-min-ago", Some("2026-11-29T23:29:59.5Z")),
                ("90s ago", Some("2026-11-29T23:58:29.5Z")),
                ("-90s", Some("2026-11-29T23:58:29.5Z")),
            ],
        );
        check(
            "2024-01-01T00:00:00Z",
            &[
                ("this week", Some("2024-01-01T00:00:00Z")),
                ("last week", Some("2023-12-25T00:00:00Z")),
                ("last month", Some("2023-12-01T00:00:00Z")),
            ],
        );
        check("1969-12-31T12:00:00Z", &[("last week", Some("1969-12-22T00:00:00Z"))]);
    }

    #[test]
    fn a_moment_may_lack_seconds_and_zone() {
        check(
            "2026-11-29T00:00:00Z",
            &[
                ("2026-11-28T04:05", Some("2026-11-28T04:05:00Z")),
                ("2026-11-28 04:05:06", Some("2026-11-28T04:05:06Z")),
                ("2026-11-28T04:05:06.5", Some("2026-11-28T04:05:06.5Z")),
                ("2026-11-28T04:05Z", Some("2026-11-28T04:05:00Z")),
                ("2026-11-28T04:05+02:00", Some("2026-11-28T02:05:00Z")),
            ],
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let long = "9".repeat(60) + "d";
        for text in [
            "",
            "d",
            "1.5h",
            "15",
            "15M",
            "soon",
            "week",
            "last",
            "last weeks",
            "2026-13",
            "2026-02-30",
            "20260",
            "2026-1",
            "2026-11-28T25:00",
            "2026-11-28T",
            "yesterday ",
            "ago",
            "2 ago",
            "2hago",
            "2  hours",
            "--1h",
            "-",
            "two hours ago",
            "1 month ago",
            "gest\u{e9}rn",
            "18446744073709551615w",
            &long,
        ] {
            check("2026-11-29T00:00:00Z", &[(text, None)]);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_and_no_clock_is_too_odd(text in ".{0,24}", now in proptest::num::i64::ANY) {
            let words = ["now", "last week", "last month", "this year", "9223372036854775807w"];
            for text in words.into_iter().chain([&*text]) {
                let _ = parse_time(text, Timestamp::from_micros(now));
            }
        }
    }
}
