//! A review as it stands in a store that several servers share.

use trailseal_event::Event;

use super::how_decided::HowDecided;
use super::id::ReviewId;
use super::review::{Review, ReviewState};

/// A review in the store.
#[derive(Clone, Debug)]
pub(crate) struct StoredReview {
    pub(crate) id: ReviewId,
    /// The trail that requests it.
    pub(crate) origin: String,
    /// The event that does.
    pub(crate) index: u64,
    pub(crate) tenant: Option<String>,
    /// Its line.
    pub(crate) line: Vec<u8>,
    pub(crate) state: ReviewState,
    /// `None` while it waits.
    pub(crate) decided: Option<HowDecided>,
}

/// What became of a decision.
#[derive(Clone, Debug)]
pub(crate) enum ReviewOutcome {
    Made,
    /// Somebody else came first.
    Before(ReviewState, HowDecided),
    /// There is no such review.
    Unknown,
    /// The policy that it would have put in force was to replace another.
    Outdated,
}

/// Which reviews are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) state: Option<ReviewState>,
    pub(crate) tenant: Option<&'a str>,
    /// Older than this one.
    pub(crate) before: Option<ReviewId>,
    pub(crate) most: usize,
}

impl StoredReview {
    /// The review; `None` if it is of a kind that only a later version knows.
    pub(super) fn review(&self) -> Option<Review> {
        let asked = Event::from_line(&self.line).ok()?;
        let mut review = Review::requested(self.id, &asked, &self.origin)?;
        review.state = self.state;
        if let Some(decided) = &self.decided {
            review.set_decided(decided.clone());
        }
        Some(review)
    }
}
