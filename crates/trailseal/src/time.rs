//! Between the system's points in time and the trail's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Timestamp;

/// `DateTime` of chrono, `Timestamp` of jiff and `OffsetDateTime` of time all turn into a [`SystemTime`].
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::from_micros(match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
    })
}

pub(crate) fn system_time(time: Timestamp) -> SystemTime {
    let micros = time.as_micros();
    let distance = Duration::from_micros(micros.unsigned_abs());
    let moved = if micros < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    moved.unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_there_and_back() {
        for micros in [0, 1, -1, 1_795_000_000_123_456, -62_135_596_800_000_000] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(timestamp(system_time(time)), time);
        }
    }
}
