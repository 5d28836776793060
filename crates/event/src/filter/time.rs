//! Times as people give them: absolute ones, dates, and ages.

use crate::timestamp::Timestamp;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// A time from RFC 3339 text, a date (its beginning in UTC), or an age such as `90s`, `15m`, `24h`, `7d`, `2w`
/// counted back from `now`.
///
/// ```
/// use trailseal_event::Timestamp;
/// use trailseal_event::filter::parse_time;
/// let now = Timestamp::parse("2026-11-21T12:00:00Z").unwrap();
/// assert_eq!(parse_time("24h", now), Timestamp::parse("2026-11-20T12:00:00Z"));
/// assert_eq!(parse_time("2026-11-01", now), Timestamp::parse("2026-11-01T00:00:00Z"));
/// assert_eq!(parse_time("yesterday", now), None);
/// ```
pub fn parse_time(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(time) = Timestamp::parse(text) {
        return Some(time);
    }
    if text.len() == 10 && text.is_ascii() {
        return Timestamp::parse(&format!("{text}T00:00:00Z"));
    }
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
    let age = digits.parse::<i64>().ok()?.checked_mul(seconds)?.checked_mul(MICROS_PER_SECOND)?;
    Some(Timestamp::from_micros(now.as_micros().checked_sub(age)?))
}
