//! Levels of health.

use std::time::Duration;

use trailseal_core::deliver::{DeliveryState, DeliveryStats};

/// How healthy something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Health {
    Good,
    Warning,
    Critical,
}

impl Health {
    pub(super) fn name(self) -> &'static str {
        match self {
            Health::Good => "good",
            Health::Warning => "warning",
            Health::Critical => "critical",
        }
    }

    /// Good up to `limit`, a warning up to ten times that.
    pub(super) fn of_age(age: Duration, limit: Duration) -> Health {
        match age {
            age if age <= limit => Health::Good,
            age if age <= limit * 10 => Health::Warning,
            _ => Health::Critical,
        }
    }
}

/// Whether nothing more is delivered until somebody looks.
pub(super) fn is_stopped(sink: &DeliveryStats) -> bool {
    matches!(sink.state, DeliveryState::Stopped { .. })
}

/// Whether delivery fails and is tried again.
pub(super) fn is_failing(sink: &DeliveryStats) -> bool {
    matches!(sink.state, DeliveryState::Failing { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_beyond_ten_times_the_limit_are_critical() {
        let limit = Duration::from_secs(1);
        assert_eq!(Health::of_age(Duration::ZERO, limit), Health::Good);
        assert_eq!(Health::of_age(Duration::from_secs(10), limit), Health::Warning);
        assert_eq!(Health::of_age(Duration::from_secs(11), limit), Health::Critical);
    }
}
