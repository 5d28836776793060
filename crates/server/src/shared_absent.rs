//! What stands for a store shared with other servers in a build without one.

use std::sync::Arc;
use std::time::Instant;

use trailseal_core::{Hold, Trail};
use trailseal_event::{Event, Timestamp};

use crate::access::{TokenError, TokenHash, TokenInfo};
use crate::config::Config;
use crate::policies::StoredPolicy;
use crate::problem::Problem;
use crate::reviews::{HowDecided, ReviewId, ReviewOutcome, ReviewState, StoredReview, Wanted};

/// What a look into the store shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looked {
    pub(crate) at: Instant,
    pub(crate) tokens: u64,
    pub(crate) holds: u64,
    pub(crate) policy: u64,
}

/// A shared store, of which this build has none.
pub(crate) enum SharedStore {}

/// The store that these settings share.
pub(crate) fn of(_config: &Config, _trail: &Trail) -> Option<Arc<SharedStore>> {
    None
}

pub(crate) fn tokens_of(_config: &Config) -> Result<Vec<TokenInfo>, TokenError> {
    Ok(Vec::new())
}

pub(crate) fn holds_of(_config: &Config) -> Result<Vec<Hold>, String> {
    Ok(Vec::new())
}

impl SharedStore {
    pub(crate) fn check(&self) -> Result<bool, String> {
        match *self {}
    }

    pub(crate) fn is_down(&self) -> bool {
        match *self {}
    }

    pub(crate) fn reach(&self) -> Result<(), String> {
        match *self {}
    }

    pub(crate) fn look(&self) -> Result<Looked, Problem> {
        match *self {}
    }

    pub(crate) fn add_token(
        &self,
        _hash: &TokenHash,
        _info: &TokenInfo,
        _is_first: bool,
        _event: Event,
    ) -> Result<bool, Problem> {
        match *self {}
    }

    pub(crate) fn revoke_token(&self, _name: &str, _event: Event) -> Result<bool, Problem> {
        match *self {}
    }

    pub(crate) fn tokens(&self) -> Result<Vec<(TokenHash, TokenInfo)>, Problem> {
        match *self {}
    }

    pub(crate) fn note_uses(&self, _uses: &[(TokenHash, Timestamp)]) -> Result<(), Problem> {
        match *self {}
    }

    pub(crate) fn viewer_keys(&self) -> Option<Vec<String>> {
        match *self {}
    }

    pub(crate) fn keep_viewer_key(&self, _key: &str) {
        match *self {}
    }

    pub(crate) fn take_in_flags(&self) {
        match *self {}
    }

    pub(crate) fn published(&self, _origin: &str) -> Result<u64, Problem> {
        match *self {}
    }

    pub(crate) fn publish(
        &self,
        _origin: &str,
        _reviews: &[StoredReview],
        _next: u64,
    ) -> Result<(), Problem> {
        match *self {}
    }

    pub(crate) fn review(&self, _id: ReviewId) -> Result<Option<StoredReview>, Problem> {
        match *self {}
    }

    pub(crate) fn reviews(&self, _wanted: &Wanted<'_>) -> Result<Vec<StoredReview>, Problem> {
        match *self {}
    }

    pub(crate) fn pending_reviews(&self) -> Result<usize, Problem> {
        match *self {}
    }

    pub(crate) fn decide_review(
        &self,
        _id: ReviewId,
        _state: ReviewState,
        _how: &HowDecided,
        _policy: Option<(u64, &str)>,
        _event: Event,
    ) -> Result<ReviewOutcome, Problem> {
        match *self {}
    }

    pub(crate) fn policy(&self) -> Result<Option<StoredPolicy>, Problem> {
        match *self {}
    }

    pub(crate) fn set_policy(&self, _after: u64, _policy: &str, _event: Event) -> Result<bool, Problem> {
        match *self {}
    }

    pub(crate) fn holds(&self) -> Result<Vec<Hold>, Problem> {
        match *self {}
    }

    pub(crate) fn add_hold(&self, _hold: &Hold, _event: Event) -> Result<bool, Problem> {
        match *self {}
    }

    pub(crate) fn remove_hold(&self, _name: &str, _event: Event) -> Result<bool, Problem> {
        match *self {}
    }
}
