//! The sinks that a trail delivers to.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use trailseal_event::{Index, fork};

use super::open_trail::{Inner, Trail};
use crate::deadline;
use crate::deliver::{Delivery, DeliveryStats, Sink};

impl Trail {
    /// Delivers every event, from the sink's cursor on, in its own thread until the close.
    ///
    /// # Errors
    /// When the trail is closed, or no thread can be started.
    pub fn deliver_to(&self, sink: Box<dyn Sink>) -> std::io::Result<()> {
        self.inner.deliver_to(sink, false)
    }

    /// As [`deliver_to`](Trail::deliver_to), for the one store that [`Ack::Store`](crate::Ack::Store) waits for. One that was attached
    /// before, such as the index, is an ordinary sink from then on.
    ///
    /// # Errors
    /// As [`deliver_to`](Trail::deliver_to).
    pub fn deliver_to_store(&self, store: Box<dyn Sink>) -> std::io::Result<()> {
        self.inner.deliver_to(store, true)
    }

    /// Has the sinks take what they let gather, so that [`stats`](Trail::stats) counts what they are behind with and
    /// nothing else. Waits at most for `timeout`, and neither for a sink that fails nor for one that lets nothing gather.
    pub fn flush_deliveries(&self, timeout: Duration) {
        if !self.inner.is_forked() {
            let durable = self.inner.log.progress.durable();
            self.inner.wait_for_sinks(deadline::after(timeout), |delivery| delivery.has_gathered(durable));
        }
    }
}

/// At most so much of a close is for the end of deliveries that are given up.
const ENDED_WITHIN: Duration = Duration::from_millis(500);

impl Inner {
    fn deliver_to(&self, sink: Box<dyn Sink>, is_store: bool) -> std::io::Result<()> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = running.as_ref().filter(|_| self.fork == fork::generation()) else {
            return Err(std::io::Error::other("the trail is closed: open it again"));
        };
        if sink.needs_all() {
            self.note_sink(sink.name())?;
        }
        let mut deliveries = self.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        let delivery = Delivery::start(self.log.clone(), sink, is_store, running.lock.clone())?;
        if is_store {
            deliveries.iter().for_each(Delivery::is_no_store);
            let thread = Some(delivery.thread().clone());
            *self.log.store.lock().unwrap_or_else(PoisonError::into_inner) = thread;
        }
        deliveries.push(delivery);
        Ok(())
    }

    pub(super) fn delivery_stats(&self) -> Vec<DeliveryStats> {
        let deliveries = self.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        deliveries.iter().map(|delivery| delivery.stats(&self.log)).collect()
    }

    /// The cursors of the attached sinks that hold up retirement.
    pub(super) fn attached_cursors(&self) -> Vec<(String, Index)> {
        let deliveries = self.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        deliveries.iter().filter_map(Delivery::needed_from).collect()
    }

    /// Waits until sinks that are searched, such as an index, have dropped what is retired, or until the deadline: so whoever
    /// asks them next is told nothing of it.
    pub(super) fn wait_dropped(&self, deadline: Instant) {
        let retirements = self.log.retirements.load(Ordering::Acquire);
        self.wait_for_sinks(deadline, |delivery| delivery.has_dropped(retirements));
    }

    /// Waits until all are done, or until the deadline, and wakes those that are not.
    fn wait_for_sinks(&self, deadline: Instant, is_done: impl Fn(&Delivery) -> bool) {
        let are_done = || {
            let deliveries = self.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
            let left = deliveries.iter().filter(|delivery| !is_done(delivery));
            left.map(|delivery| delivery.thread().unpark()).count() == 0
        };
        while !are_done() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets the deliveries hand over what is durable, until the deadline; the rest stays in the trail.
    pub(super) fn finish_deliveries(&self, deadline: Instant) {
        let deliveries = self.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        let wait_until = |moment: Instant| {
            while Instant::now() < moment && !deliveries.iter().all(Delivery::is_finished) {
                std::thread::sleep(Duration::from_micros(200));
            }
        };
        deliveries.iter().for_each(Delivery::finish);
        // Those that are given up get a moment to end, too: until they do, they keep the folder locked.
        let left = deadline.saturating_duration_since(Instant::now());
        wait_until(deadline - (left / 10).min(ENDED_WITHIN));
        deliveries.iter().for_each(Delivery::abandon);
        wait_until(deadline);
    }
}
