//! Whether the store can be reached, as far as is known.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use trailseal_core::with_causes;
use trailseal_postgres::{Problem as Trouble, StoreError};

use crate::problem::Problem;

/// A store that could not be reached is tried again after this.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Whether the store can be reached.
#[derive(Default)]
pub(super) struct Reach(Mutex<State>);

#[derive(Default)]
enum State {
    /// Nobody has asked.
    #[default]
    Unknown,
    Reached,
    Lost {
        reason: String,
        /// When somebody may try again, unless one does already.
        again: Option<Instant>,
    },
}

impl Reach {
    /// Begins to ask the store: unless it was reached last, `check` tries whether it can be. While it is known not to be, and while
    /// one asks whether it is back, that is the answer for all others.
    pub(super) fn check(&self, check: impl FnOnce() -> Result<(), StoreError>) -> Result<(), Problem> {
        match &mut *self.state() {
            State::Reached => return Ok(()),
            State::Unknown => {}
            State::Lost { again, .. } if again.is_some_and(|again| Instant::now() >= again) => *again = None,
            State::Lost { .. } => return Err(unreachable()),
        }
        check().map_err(|error| self.failed(&error))?;
        let before = std::mem::replace(&mut *self.state(), State::Reached);
        if matches!(before, State::Lost { .. }) {
            tracing::info!("the shared store can be reached again");
        }
        Ok(())
    }

    /// Notes that the store did not answer, and says how that is told.
    pub(super) fn failed(&self, error: &StoreError) -> Problem {
        let is_lost = matches!(error.problem(), Trouble::Unreachable | Trouble::Login | Trouble::Connections);
        let reason = with_causes(error);
        let mut state = self.state();
        // Whoever tried whether it is back has failed, whatever the reason.
        let is_tried = matches!(*state, State::Lost { again: None, .. });
        let is_told = matches!(&*state, State::Lost { reason: known, .. } if *known == reason);
        if is_lost || is_tried {
            let again = Some(Instant::now() + AGAIN_AFTER);
            *state = State::Lost { reason: reason.clone(), again };
        }
        drop(state);
        if !is_told {
            tracing::warn!(error = reason, "events cannot be searched in the shared store");
        }
        match error.problem() {
            _ if is_lost => unreachable(),
            Trouble::Permission | Trouble::Schema | Trouble::Settings => Problem::no_store(
                "the shared store cannot be read now: the server's log says why; recording goes on",
            ),
            Trouble::Locked => {
                Problem::no_store("the shared store is busy: try again in a moment; recording goes on")
            }
            _ => Problem::internal(error),
        }
    }

    /// Why it cannot be reached; `None` if it can, as far as is known.
    pub(super) fn trouble(&self) -> Option<String> {
        match &*self.state() {
            State::Lost { reason, .. } => Some(reason.clone()),
            State::Unknown | State::Reached => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreachable() -> Problem {
    Problem::no_store(
        "events cannot be searched now, since the shared store cannot be reached; recording goes on",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    /// The next one may try at once.
    fn may_try(reach: &Reach) {
        match &mut *reach.state() {
            State::Lost { again, .. } => *again = Some(Instant::now()),
            _ => panic!("it is known to be lost"),
        }
    }

    fn silence() -> StoreError {
        StoreError::TimedOut { doing: "read", store: "s".into(), within: Duration::from_secs(1) }
    }

    #[test]
    fn while_one_asks_whether_it_is_back_others_do_not_wait() {
        let reach = Reach::default();
        reach.check(|| Ok(())).unwrap();
        assert!(reach.failed(&silence()).is_of_the_store());
        let asked = reach.check(|| panic!("it was asked at once"));
        assert!(asked.unwrap_err().is_of_the_store());
        assert!(reach.trouble().is_some_and(|reason| reason.contains("no answer")));
        may_try(&reach);
        // The next one asks, and meanwhile the others are answered.
        reach
            .check(|| {
                assert!(reach.check(|| panic!("two ask")).unwrap_err().is_of_the_store());
                Ok(())
            })
            .unwrap();
        assert_eq!(reach.trouble(), None);
        reach.check(|| panic!("it was reached last")).unwrap();
    }

    #[test]
    fn whoever_fails_to_see_it_come_back_lets_the_next_one_try() {
        let reach = Reach::default();
        reach.failed(&silence());
        for error in [silence(), StoreError::Missing { store: "s".into() }] {
            may_try(&reach);
            reach.check(|| Err(error)).unwrap_err();
            assert!(matches!(&*reach.state(), State::Lost { again: Some(_), .. }));
        }
    }
}
