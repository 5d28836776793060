//! A problem that was found.

use trailseal_core::verify::Problem;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) first_bad: Option<u64>,
    pub(super) range: Option<(u64, u64)>,
    pub(super) problem: Problem,
    pub(super) message: String,
}

impl Finding {
    pub(super) fn nowhere(problem: Problem, message: String) -> Finding {
        Finding { first_bad: None, range: None, problem, message }
    }

    pub(super) fn at(index: u64, problem: Problem, message: String) -> Finding {
        Finding { first_bad: Some(index), ..Finding::nowhere(problem, message) }
    }

    pub(super) fn within(range: (u64, u64), problem: Problem, message: String) -> Finding {
        Finding { range: Some(range), ..Finding::nowhere(problem, message) }
    }
}
