//! How a trail is closed.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use trailseal_event::{Object, fork};

use super::error::CloseError;
use super::open_trail::{Inner, Trail};
use crate::deadline;
use crate::deliver::{Delivery, DeliveryStats};
use crate::gate::Shut;
use crate::handoff::{self, Lies, Owner};
use crate::personal::SaidKeys;
use crate::seal::SealTrouble;
use crate::trail::opening::circumstances::policy_hash;
use crate::trail::recording::record_own_event::{own_event, push_closing};

/// What a close left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// Events in the trail, including its own.
    pub events: u64,
    /// How many of them a signed checkpoint covers. The next opening seals the rest.
    pub sealed: u64,
    /// Why not all of them, if so.
    pub seal_trouble: Option<SealTrouble>,
    /// How far each sink is; the rest is delivered at the next opening.
    pub deliveries: Vec<DeliveryStats>,
}

impl Trail {
    /// Stops accepting, makes everything accepted durable, seals it, and releases the folder. A delivery or a compression that does
    /// not end within `timeout` keeps the folder locked until it has ended.
    ///
    /// # Errors
    /// [`CloseError::Late`] when `timeout` came first; what was accepted stays in the folder and is recovered at the
    /// next opening, in this process or another, unless the handoff is in plain memory.
    pub fn close(&self, timeout: Duration) -> Result<Closed, CloseError> {
        self.inner.close(timeout)
    }

    /// What is to be said of a close whose end nobody could wait for.
    pub fn late(&self) -> CloseError {
        self.inner.late(self.stats().accepted)
    }
}

impl Inner {
    fn close(&self, timeout: Duration) -> Result<Closed, CloseError> {
        if self.fork != fork::generation() {
            return Err(CloseError::Forked);
        }
        let deadline = deadline::after(timeout);
        let log = &self.log;
        // Held to the end: a second caller must not be told that the trail is closed while it is not.
        let mut guard = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = guard.as_ref() else { return Ok(self.closed()) };
        log.gate.close(Shut::Closed);
        self.counts.record();
        let (details, switching) = self.closing_details();
        let closed = own_event("trail.closed", details);
        let events = push_closing(log, &closed);
        drop(switching);
        log.writer_may_end.store(true, Ordering::Release);
        log.wake_writer();
        if !join_until(&running.writer, deadline) {
            return Err(self.late(events));
        }
        // The writer did so already, unless it ended by a panic.
        log.sealer_may_end.store(true, Ordering::Release);
        log.wake_sealer();
        if !join_until(&running.sealer, deadline) {
            return Err(self.late(events));
        }
        if let Some(compressor) = &running.compressor {
            compressor.finish();
            // If it does not end in time, it keeps the lock until it does: two of them on one segment could rename each
            // other's half-written file.
            while !compressor.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        self.finish_deliveries(deadline);
        let Some(running) = guard.take() else { return Ok(self.closed()) };
        // The threads have ended, so these return at once; a panic in one of them closed the gate by itself.
        let _ = running.writer.join();
        if let Ok(anchors) = running.sealer.join() {
            anchors.finish(&log.counters, deadline);
        }
        let all_durable = log.progress.durable() == events;
        if all_durable {
            // Otherwise the next opening would only report a handoff that nobody needs.
            let _ = running.lock.note_closed();
            self.remove_handoff();
        }
        drop(running.lock);
        if all_durable { Ok(self.closed()) } else { Err(self.late(events)) }
    }

    /// The next opening compares these with what it finds. While the policy is being changed nobody can say which one it
    /// will be; otherwise nobody changes it before the trail is closed.
    fn closing_details(&self) -> (Object, Option<MutexGuard<'_, ()>>) {
        let mut details = Object::default();
        let switching = match self.switching.try_lock() {
            Ok(switching) => Some(switching),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if let (Some(opened), Some(_)) = (self.opened.get(), &switching) {
            details.insert("opened", *opened);
            details.insert("policy", policy_hash(&self.policy.load().policy));
            if let Some(keys) = self.log.personal.get() {
                let (file, slots) = keys.used();
                details.insert("personal", SaidKeys { file, slots }.to_details());
            }
        }
        (details, switching)
    }

    /// Removes the handoff of a short-lived process, which is empty; a leftover would only be replaced at the next
    /// opening.
    fn remove_handoff(&self) {
        let owner = || Owner::of(self.log.folder.root(), self.log.origin.as_str());
        if self.log.one_shot
            && let Some(file) = &self.handoff_file
            && handoff::lies_at(&**self.log.folder.files(), file, &owner()) == Lies::Own
        {
            let _ = handoff::remove(file);
        }
    }

    fn closed(&self) -> Closed {
        Closed {
            events: self.log.progress.durable(),
            sealed: self.log.progress.sealed(),
            seal_trouble: self.sealing.trouble(),
            deliveries: self.delivery_stats(),
        }
    }

    /// The threads continue their work and hold the lock until they are done. Another close keeps waiting.
    fn late(&self, events: u64) -> CloseError {
        let not_durable = events.saturating_sub(self.log.progress.durable());
        CloseError::Late { not_durable, is_in_memory: self.handoff_file.is_none() }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The safety net. A caller who wants to know the outcome calls `close`.
        let _ = self.close(Duration::from_secs(5));
        self.deliveries.get_mut().unwrap_or_else(PoisonError::into_inner).iter().for_each(Delivery::abandon);
        if self.fork == fork::generation()
            && let Some(running) = self.running.get_mut().unwrap_or_else(PoisonError::into_inner)
            && let Some(compressor) = &running.compressor
        {
            // Late: nobody will report it later, and it holds the lock.
            compressor.finish();
        }
    }
}

fn join_until<T>(thread: &JoinHandle<T>, deadline: Instant) -> bool {
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    true
}
