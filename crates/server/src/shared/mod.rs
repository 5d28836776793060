//! What this server decides together with others, in a shared store.
//!
//! In: a change, and the event that tells of it. Out: whether it was made. What must hold: every decision that was made in
//! this server's name becomes one event of its trail, whatever dies in between: the store has the decision, with the id of its
//! event, until the event is known to be on disk; and recording never waits for the store.

mod flags;
mod holds;
mod ledger;
mod policy;
mod reviews;
mod tokens;
mod viewer_keys;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use trailseal_core::{Trail, with_causes};
use trailseal_event::Event;
use trailseal_postgres::StoreError;
use trailseal_postgres::shared::{Change, Decided, NotDecided, Shared};

use crate::config::Config;
use crate::problem::Problem;
use flags::Flags;
pub(crate) use holds::holds_of;
use ledger::Ledger;
pub(crate) use tokens::tokens_of;

/// What a look into the store showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looked {
    /// When it began.
    pub(crate) at: Instant,
    /// How often tokens, holds and the policy have changed.
    pub(crate) tokens: u64,
    pub(crate) holds: u64,
    pub(crate) policy: u64,
}

/// Where several servers decide.
pub(crate) struct SharedStore {
    store: Shared,
    ledger: Ledger,
    is_down: AtomicBool,
    flags: Flags,
    /// When to let the others know this server's viewer key.
    viewer_key_due: Mutex<Option<Instant>>,
    keys_have_failed: AtomicBool,
}

/// The store that these settings share, to decide in the name of `trail`. It is not connected yet.
pub(crate) fn of(config: &Config, trail: &Trail) -> Option<Arc<SharedStore>> {
    let url = config.store.clone()?;
    Some(Arc::new(SharedStore {
        flags: Flags::new(url.clone()),
        store: Shared::new(url),
        ledger: Ledger::new(trail.clone()),
        is_down: AtomicBool::new(false),
        viewer_key_due: Mutex::default(),
        keys_have_failed: AtomicBool::new(false),
    }))
}

impl SharedStore {
    /// Whether it can be reached; fails if it can, and can never be used as it is. Blocks.
    pub(crate) fn check(&self) -> Result<bool, String> {
        use trailseal_postgres::Problem::{Permission, Schema};
        match self.store.look(self.ledger.origin()) {
            Err(error) if matches!(error.problem(), Permission | Schema) => Err(advised(&error)),
            Err(error) => {
                self.unreachable(&error);
                Ok(false)
            }
            Ok(_) => Ok(true),
        }
    }

    /// Fails if it cannot be used now, and says why. Blocks.
    pub(crate) fn reach(&self) -> Result<(), String> {
        self.store.look(self.ledger.origin()).map(drop).map_err(|error| advised(&error))
    }

    /// Makes a change unless another one excludes it, and records `trail.` and `what` if it was made. Blocks.
    fn decide(&self, what: &'static str, event: Event, change: &Change<'_>) -> Result<Decided, Problem> {
        let deciding = self.ledger.begin(what, event);
        let decided =
            self.store.decide(deciding.decision(), change).map_err(|error| self.not_decided(&error))?;
        if decided == Decided::Made {
            deciding.record();
        }
        Ok(decided)
    }

    /// Looks what has changed, and records what was decided in this server's name and is not in its trail yet. Blocks.
    pub(crate) fn look(&self) -> Result<Looked, Problem> {
        let _one_at_a_time = self.ledger.lock_looks();
        let at = Instant::now();
        let looked = self.store.look(self.ledger.origin()).map_err(|error| self.unreachable(&error))?;
        if self.is_down.swap(false, Ordering::Relaxed) {
            tracing::info!("the shared store can be asked again");
        }
        for decision in looked.to_record {
            if let Some(index) = self.ledger.make_sure(&decision)? {
                self.store.note_recorded(&decision.id, index).map_err(|error| self.unreachable(&error))?;
            }
        }
        self.ledger.forget_noted();
        Ok(Looked { at, tokens: looked.tokens, holds: looked.holds, policy: looked.policy })
    }

    /// Makes reviews of flags that have arrived since the last look. What fails comes with a later one. Blocks.
    pub(crate) fn take_in_flags(&self) {
        if self.is_down() {
            return;
        }
        if let Err(error) = self.flags.take_in(self.ledger.origin())
            && !self.is_down()
        {
            tracing::warn!(
                error = %with_causes(&error),
                "what rules flag in trails without a server does not come into the review queue: if a right is missing, run \
                 what `trailseal store roles` prints"
            );
        }
    }

    /// Whether it could not be reached when it was last asked.
    pub(crate) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    /// The answer while the store cannot be asked. Why goes to the log, once, since it names the store.
    fn unreachable(&self, error: &StoreError) -> Problem {
        if !self.is_down.swap(true, Ordering::Relaxed) {
            tracing::warn!(error = %with_causes(error), "the shared store cannot be asked: nothing is decided meanwhile");
        }
        Problem::no_store(
            "the shared store cannot be reached, and this is decided there: nothing was changed. Try again later; events are \
             recorded meanwhile",
        )
    }

    /// The answer where a decision was not made, or may not have been.
    fn not_decided(&self, error: &NotDecided) -> Problem {
        let NotDecided::Unsure(error) = error else { return self.unreachable(error.store_error()) };
        tracing::warn!(error = %with_causes(error), "the shared store did not say what became of a decision");
        Problem::no_store(
            "the shared store cannot be reached, and its answer was lost: this may have been decided. Look again when the store \
             can be reached; the trail then says so, too",
        )
    }
}

/// An error for whoever can mend it.
fn advised(error: &StoreError) -> String {
    let text = with_causes(error);
    match error.problem() {
        trailseal_postgres::Problem::Permission => {
            format!("{text}; whoever decides needs the role trailseal_decider, beside trailseal_writer")
        }
        _ => text,
    }
}
