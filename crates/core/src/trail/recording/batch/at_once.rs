//! Hands in a request without any waiting: for threads that serve many connections.
//!
//! What must hold: anything that may take time (the disk, the index, somebody who looks up an id in them) is left to
//! [`hand_in_submission`](Trail::hand_in_submission), and nothing has been recorded then.

use std::sync::{MutexGuard, TryLockError};
use std::time::Duration;

use super::HandedInAll;
use crate::trail::error::RecordError;
use crate::trail::open_trail::Trail;
use crate::trail::recording::any_event::Submission;
use crate::trail::recording::ids::Ids;
use crate::trail::recording::record_options::How;

/// How often the lock on the ids is tried: long enough for another request that waits for nothing either.
const TRIES: usize = 200;

impl Trail {
    /// Does what [`hand_in_submission`](Trail::hand_in_submission) does if no wait is needed at all: neither for room in
    /// the buffer, nor for id look-ups on the disk, for this request or for another. Otherwise `None`.
    pub(in crate::trail::recording) fn hand_in_at_once(
        &self,
        submission: Submission<'_>,
        how: How,
    ) -> Result<Option<HandedInAll>, RecordError> {
        let policy = self.inner.policy.load();
        let mut request = self.make_request(submission, &policy)?;
        self.compare_within(&mut request)?;
        let Some(mut ids) = self.ids_soon() else { return Ok(None) };
        let mut keys = request.new_keys().map(|(_, key)| key).peekable();
        if keys.peek().is_some() && !(self.has_ids_at_hand(&mut ids) && keys.all(|key| !ids.has(key))) {
            return Ok(None);
        }
        drop(keys);
        match self.push_with_ids(&request, ids, Duration::ZERO) {
            Ok(first) => Ok(Some(self.outcome(request, &policy, Some(first), how))),
            Err(RecordError::Full) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn ids_soon(&self) -> Option<MutexGuard<'_, Ids>> {
        for _ in 0..TRIES {
            match self.inner.ids.try_lock() {
                Ok(ids) => return Some(ids),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
            }
        }
        None
    }
}
