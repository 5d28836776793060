//! Places for requests: of those that take turns, and of those that stay.

use std::sync::Arc;

use super::shares::Shares;
use super::turns::Turns;
use crate::config::Config;

/// How many requests may wait for a turn, have one, or be sending a response: per client, and in total.
const TURNING_EACH: usize = 32;
const TURNING_MAX: usize = 512;

/// What requests take until the whole answer is sent.
pub(crate) struct Places {
    /// Places for requests whose work takes turns.
    pub(crate) turning: Arc<Shares>,
    /// Places for endless responses.
    pub(crate) streams: Arc<Shares>,
    /// Turns at searches, proofs and reviews.
    pub(crate) turns: Arc<Turns>,
}

impl Places {
    pub(crate) fn new(config: &Config) -> Places {
        Places {
            turning: Shares::with(TURNING_EACH, TURNING_MAX),
            streams: Shares::new(config.streams_max, 1),
            turns: Turns::new(config.searches_max, config.searches_max / 2),
        }
    }
}
