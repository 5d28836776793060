//! Legal holds: of one trail, or decided in a store that several servers share.
//!
//! What must hold with a store: what anybody holds is held at every server. Each trail has a copy of the shared holds, which its
//! retirement goes by; nothing is retired or erased unless that copy is as the store has it now.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use trailseal_core::{Hold, HoldAdded, HoldError, Trail};
use trailseal_event::{Event, Index};

use crate::problem::{Kind, Problem};
use crate::shared::{Looked, SharedStore};

/// Keeps the holds.
pub(crate) struct HoldKeeper {
    trail: Trail,
    place: Place,
}

enum Place {
    Own,
    Shared {
        store: Arc<SharedStore>,
        /// Held while they are copied.
        copying: Mutex<()>,
        /// How often holds had changed in the store when they were last copied.
        followed: Mutex<Option<u64>>,
    },
}

/// Who does something to a hold: the event that tells, without an action.
type Told = Event;

impl HoldKeeper {
    pub(crate) fn new(trail: Trail, shared: Option<Arc<SharedStore>>) -> HoldKeeper {
        let place = match shared {
            None => Place::Own,
            Some(store) => Place::Shared { store, copying: Mutex::default(), followed: Mutex::default() },
        };
        HoldKeeper { trail, place }
    }

    /// The trail whose events are held.
    pub(crate) fn trail(&self) -> &Trail {
        &self.trail
    }

    /// Adds a hold, which is in force at every server when this returns. Blocks.
    pub(crate) fn add(
        &self,
        name: &str,
        reason: &str,
        filters: &[(String, String)],
        told: Told,
    ) -> Result<HoldAdded, Problem> {
        match &self.place {
            Place::Own => {
                let added = self.trail.add_hold(name, reason, filters)?;
                self.tell("hold_added_by", told);
                Ok(added)
            }
            Place::Shared { store, .. } => {
                let hold = self.trail.hold_to_share(name, reason, filters)?;
                let is_taken = self.trail.holds()?.iter().any(|hold| hold.name == name && !hold.shared);
                if is_taken || !store.add_hold(&hold, told)? {
                    return Err(HoldError::Exists { name: name.to_owned() }.into());
                }
                let announced = self.copy()?;
                let holds = self.trail.holds()?;
                let index =
                    holds.iter().find(|hold| hold.shared && hold.name == name).and_then(|hold| hold.index);
                Ok(HoldAdded { index: Index::new(index.unwrap_or_default()), announced })
            }
        }
    }

    /// Removes a hold. Blocks.
    pub(crate) fn remove(&self, name: &str, told: Told) -> Result<(), Problem> {
        if let Place::Shared { store, .. } = &self.place
            && store.remove_hold(name, told.clone())?
        {
            return self.copy().map(drop);
        }
        // Of this trail alone.
        let is_own = |hold: &Hold| hold.name == name && !hold.shared;
        if matches!(self.place, Place::Shared { .. }) && !self.trail.holds()?.iter().any(is_own) {
            return Err(HoldError::Unknown { name: name.to_owned() }.into());
        }
        self.trail.remove_hold(name)?;
        self.tell("hold_removed_by", told);
        Ok(())
    }

    /// What is held here. Blocks.
    pub(crate) fn list(&self) -> Result<Vec<Hold>, Problem> {
        Ok(self.trail.holds()?)
    }

    /// Makes sure that this trail holds what is held anywhere. To be called before anything is retired or erased. Blocks.
    pub(crate) fn make_sure(&self) -> Result<(), Problem> {
        match &self.place {
            Place::Own => Ok(()),
            Place::Shared { .. } if cfg!(trailseal_fault = "retires_by_old_holds") => Ok(()),
            Place::Shared { .. } => self.copy().map(drop).map_err(|problem| match problem.status() {
                StatusCode::SERVICE_UNAVAILABLE => Problem::no_store(
                    "the shared store cannot be reached, so nobody knows what is held there: nothing was retired or erased. Try \
                     again later",
                ),
                _ => problem,
            }),
        }
    }

    /// Follows what others decided, after a look into the store. Blocks.
    pub(crate) fn follow(&self, looked: &Looked) -> Result<(), Problem> {
        let Place::Shared { followed, .. } = &self.place else { return Ok(()) };
        let known = *followed.lock().unwrap_or_else(PoisonError::into_inner);
        if known == Some(looked.holds) {
            return Ok(());
        }
        self.copy()?;
        // Holds that changed after the look are copied again.
        *followed.lock().unwrap_or_else(PoisonError::into_inner) = Some(looked.holds);
        Ok(())
    }

    /// Copies the store's holds to the trail. Returns how many events a retirement had already announced.
    fn copy(&self) -> Result<u64, Problem> {
        let Place::Shared { store, copying, .. } = &self.place else { return Ok(0) };
        // Held over both, so that no older holds come later.
        let _one_at_a_time = copying.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.trail.follow_holds(&store.holds()?)?)
    }

    fn tell(&self, what: &str, told: Told) {
        if let Err(error) = self.trail.record_own(what, told) {
            tracing::warn!(what, error = %error, "one of the trail's own events was refused");
        }
    }
}

impl From<HoldError> for Problem {
    fn from(error: HoldError) -> Problem {
        let text = error.to_string();
        match &error {
            HoldError::Name { .. } => Problem::unprocessable(text).with("field", "name"),
            HoldError::Reason => Problem::unprocessable(text).with("field", "reason"),
            HoldError::Filter(_) | HoldError::Resource | HoldError::Masked { .. } => {
                Problem::unprocessable(text).with("field", "filters")
            }
            HoldError::Exists { .. } => Problem::new(Kind::Exists, text),
            HoldError::Unknown { .. } => Problem::not_found(text),
            HoldError::Refused(_) | HoldError::NotDurable => Problem::unavailable(text),
            _ => Problem::internal(&error),
        }
    }
}
