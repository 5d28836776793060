//! The policy in the store.

use trailseal_event::Event;
use trailseal_postgres::shared::{Change, Decided, NewPolicy};

use super::SharedStore;
use crate::policies::StoredPolicy;
use crate::problem::Problem;

impl SharedStore {
    /// The policy that was set last, if one was. Blocks.
    pub(crate) fn policy(&self) -> Result<Option<StoredPolicy>, Problem> {
        let policy = self.store.policy().map_err(|error| self.unreachable(&error))?;
        Ok(policy.map(|set| StoredPolicy { number: set.number, text: set.policy, review: set.review }))
    }

    /// Sets a policy in the place of the one with the number `after`. Returns `false` if another came first. Blocks.
    pub(crate) fn set_policy(&self, after: u64, policy: &str, event: Event) -> Result<bool, Problem> {
        let change = Change::SetPolicy(NewPolicy { after, policy, review: None });
        Ok(self.decide("policy_set_by", event, &change)? == Decided::Made)
    }
}
