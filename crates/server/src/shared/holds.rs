//! Legal holds in the store.

use serde::{Deserialize, Serialize};
use trailseal_core::{Hold, with_causes};
use trailseal_event::Event;
use trailseal_postgres::shared::{Change, Decided, Shared, SharedHold};

use super::{SharedStore, advised};
use crate::config::Config;
use crate::problem::Problem;

/// What the store keeps of a hold beside its name.
#[derive(Serialize, Deserialize)]
struct About {
    reason: String,
    filters: Vec<(String, String)>,
    added: String,
}

/// The legal holds in the store that these settings share; none if they share none. Blocks.
pub(crate) fn holds_of(config: &Config) -> Result<Vec<Hold>, String> {
    let Some(url) = &config.store else { return Ok(Vec::new()) };
    let holds = Shared::new(url.clone()).holds().map_err(|error| advised(&error))?;
    holds.into_iter().map(|hold| hold_of(hold).map_err(|error| with_causes(&error))).collect()
}

impl SharedStore {
    /// All holds. Blocks.
    pub(crate) fn holds(&self) -> Result<Vec<Hold>, Problem> {
        let holds = self.store.holds().map_err(|error| self.unreachable(&error))?;
        // One that is left out would hold nothing.
        let read = holds.into_iter().map(|hold| hold_of(hold).map_err(|error| Problem::internal(&error)));
        read.collect()
    }

    /// Adds a hold. Returns `false` if there is one of its name. Blocks.
    pub(crate) fn add_hold(&self, hold: &Hold, event: Event) -> Result<bool, Problem> {
        let Hold { name, reason, filters, added, .. } = hold.clone();
        let about = serde_json::json!(About { reason, filters, added }).to_string();
        let change = Change::AddHold { name: &name, about: &about };
        Ok(self.decide("hold_added_by", event, &change)? == Decided::Made)
    }

    /// Removes a hold. Returns `false` if there is none of this name. Blocks.
    pub(crate) fn remove_hold(&self, name: &str, event: Event) -> Result<bool, Problem> {
        Ok(self.decide("hold_removed_by", event, &Change::RemoveHold(name))? == Decided::Made)
    }
}

fn hold_of(hold: SharedHold) -> Result<Hold, serde_json::Error> {
    let About { reason, filters, added } = serde_json::from_str(&hold.about)?;
    Ok(Hold { name: hold.name, reason, filters, added, index: None, shared: true })
}
