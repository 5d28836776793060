//! Reviews in the store.

use trailseal_event::Event;
use trailseal_postgres::shared::{Change, Decided, NewPolicy, PublishedReview, ReviewsWanted, SharedReview};

use super::SharedStore;
use crate::problem::Problem;
use crate::reviews::{HowDecided, ReviewId, ReviewOutcome, ReviewState, StoredReview, Wanted};

impl SharedStore {
    /// How far the requests of a trail are in the store: everything below this index. Blocks.
    pub(crate) fn published(&self, origin: &str) -> Result<u64, Problem> {
        self.store.published(origin).map_err(|error| self.unreachable(&error))
    }

    /// Puts requests of a trail in the store; everything below `next` is there then. Blocks.
    pub(crate) fn publish(&self, origin: &str, reviews: &[StoredReview], next: u64) -> Result<(), Problem> {
        let published: Vec<PublishedReview> = reviews
            .iter()
            .map(|review| PublishedReview {
                id: review.id.to_string(),
                index: review.index,
                tenant: review.tenant.clone(),
                line: review.line.clone(),
                state: review.state.name().to_owned(),
                decided: review.decided.as_ref().map(as_text),
            })
            .collect();
        let taken = self.store.publish(origin, &published, next).map_err(|error| self.unreachable(&error))?;
        for id in taken {
            tracing::error!(
                id,
                "a request for a review is not in the queue: another trail's review has its id, as somebody who may write into the \
                 store and read it can bring about. Find out who, and request it again"
            );
        }
        Ok(())
    }

    /// Blocks.
    pub(crate) fn review(&self, id: ReviewId) -> Result<Option<StoredReview>, Problem> {
        let found = self.store.review(&id.to_string()).map_err(|error| self.unreachable(&error))?;
        Ok(found.and_then(review_of))
    }

    /// The newest first. Blocks.
    pub(crate) fn reviews(&self, wanted: &Wanted<'_>) -> Result<Vec<StoredReview>, Problem> {
        let before = wanted.before.map(|id| id.to_string());
        let state = wanted.state.map(ReviewState::name);
        let asked = ReviewsWanted { state, tenant: wanted.tenant, before: before.as_deref() };
        let found = self.store.reviews(&asked, wanted.most).map_err(|error| self.unreachable(&error))?;
        Ok(found.into_iter().filter_map(review_of).collect())
    }

    /// How many wait for a decision. Blocks.
    pub(crate) fn pending_reviews(&self) -> Result<usize, Problem> {
        let pending = self.store.pending_reviews().map_err(|error| self.unreachable(&error))?;
        Ok(usize::try_from(pending).unwrap_or(usize::MAX))
    }

    /// Decides a review, and puts the policy in force that waited for it: the number of the one before, and its text. Blocks.
    pub(crate) fn decide_review(
        &self,
        id: ReviewId,
        state: ReviewState,
        how: &HowDecided,
        policy: Option<(u64, &str)>,
        event: Event,
    ) -> Result<ReviewOutcome, Problem> {
        let (id, decided) = (id.to_string(), as_text(how));
        let policy = policy.map(|(after, policy)| NewPolicy { after, policy, review: Some(&id) });
        let change = Change::DecideReview { id: &id, state: state.name(), decided: &decided, policy };
        Ok(match self.decide("review_decided", event, &change)? {
            Decided::Made => ReviewOutcome::Made,
            Decided::Outdated => ReviewOutcome::Outdated,
            Decided::Before { state, decided } => ReviewOutcome::Before(
                ReviewState::parse(&state).unwrap_or(ReviewState::Rejected),
                serde_json::from_str(&decided).unwrap_or_default(),
            ),
            Decided::Exists | Decided::Unknown => ReviewOutcome::Unknown,
        })
    }
}

fn as_text(how: &HowDecided) -> String {
    serde_json::json!(how).to_string()
}

/// `None` if it is not one that this program writes.
fn review_of(stored: SharedReview) -> Option<StoredReview> {
    Some(StoredReview {
        id: ReviewId::parse(&stored.id)?,
        origin: stored.origin,
        index: stored.index,
        tenant: None,
        line: stored.line,
        state: ReviewState::parse(&stored.state)?,
        decided: stored.decided.as_deref().map(|text| serde_json::from_str(text).unwrap_or_default()),
    })
}
