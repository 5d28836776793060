//! Slots that no process holds any more, delivered by another process of the same folder.
//!
//! A process that dies leaves events in its slot that the store lacks. Its slot is opened again, as the next process to take it
//! would: so it is recovered and sealed, and its lock keeps everybody else away meanwhile. A process that looks for a slot then
//! takes another one. To leave slots to processes that are only restarted, one must have been abandoned for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use trailseal_core::deliver::MustEnd;
use trailseal_core::{Notice, OpenError, Options, Reader, Slot, Trail, fork, slots_in};

use crate::connect::Connection;
use crate::deliver::{SINK_NAME, StoreSink, position_of};
use crate::error::StoreError;
use crate::schema::check_readable;
use crate::url::StoreUrl;

/// The handoff of a slot that is opened only to be delivered.
const HANDOFF_BYTES: u64 = 4 << 20;

/// How long a close may take to deliver what is left, and to seal.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// When slots count as abandoned, and how long one may keep others waiting.
#[derive(Clone, Copy, Debug)]
pub struct AbandonedTimes {
    /// How often the slots are looked at.
    pub every: Duration,
    /// How long nobody must have held one.
    pub after: Duration,
    /// How long one is delivered before it is let go again, whether or not it is done.
    pub at_most: Duration,
}

impl Default for AbandonedTimes {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        AbandonedTimes { every: seconds(20), after: seconds(60), at_most: seconds(60) }
    }
}

/// Delivers abandoned slots of a folder until it is ended or dropped.
#[must_use = "dropping it ends it"]
pub struct AbandonedSlots {
    ends: Arc<AtomicBool>,
    must_end: MustEnd,
    delivered: Arc<Mutex<BTreeSet<u32>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// In a forked child the thread is the parent's.
    fork: u32,
}

impl AbandonedSlots {
    /// Begins. `options` are those with which this process opened its own slot of `dir`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        dir: PathBuf,
        mut options: Options,
        url: StoreUrl,
        times: AbandonedTimes,
    ) -> std::io::Result<AbandonedSlots> {
        options.one_shot = true;
        options.handoff.size_bytes = HANDOFF_BYTES;
        let (ends, must_end) = (Arc::<AtomicBool>::default(), MustEnd::default());
        let delivered = Arc::<Mutex<BTreeSet<u32>>>::default();
        let watch = Watch {
            dir,
            options,
            url,
            times,
            ends: ends.clone(),
            must_end: must_end.clone(),
            delivered: delivered.clone(),
            seen: BTreeMap::new(),
            told: BTreeSet::new(),
        };
        let thread =
            std::thread::Builder::new().name("trailseal-slots".to_owned()).spawn(move || watch.run())?;
        Ok(AbandonedSlots {
            ends,
            must_end,
            delivered,
            thread: Mutex::new(Some(thread)),
            fork: fork::generation(),
        })
    }

    /// The slots that nothing of is missing in the store, when they were looked at last.
    pub fn delivered(&self) -> Vec<u32> {
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// Ends it, and waits until it holds no slot any more.
    pub fn end(&self) {
        if self.fork != fork::generation() {
            return;
        }
        self.ends.store(true, Ordering::Release);
        self.must_end.set();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            thread.thread().unpark();
            // Its own waits end by the flags.
            let _ = thread.join();
        }
    }
}

impl Drop for AbandonedSlots {
    fn drop(&mut self) {
        self.end();
    }
}

struct Watch {
    dir: PathBuf,
    options: Options,
    url: StoreUrl,
    times: AbandonedTimes,
    ends: Arc<AtomicBool>,
    must_end: MustEnd,
    delivered: Arc<Mutex<BTreeSet<u32>>>,
    /// Since when nobody has held a slot, as far as was seen, and how many events it had then.
    seen: BTreeMap<u32, (Instant, u64)>,
    /// Slots of which a failure was told.
    told: BTreeSet<u32>,
}

impl Watch {
    fn run(mut self) {
        while !self.has_to_end() {
            // What goes wrong here is told by the delivery of this process's own trail, or tried again.
            let _ = self.pass();
            if !self.has_to_end() {
                std::thread::park_timeout(self.times.every);
            }
        }
    }

    fn pass(&mut self) -> Result<(), StoreError> {
        let slots = slots_in(&self.dir, &*self.options.files).unwrap_or_default();
        let (mut ready, now) = (Vec::new(), Instant::now());
        let mut free = BTreeSet::new();
        for slot in slots.into_iter().filter(|slot| slot.is_there) {
            let Ok(reader) = Reader::open(&slot.path, self.options.files.clone()) else { continue };
            if reader.holder().is_some() {
                continue;
            }
            let events = reader.end().get();
            free.insert(slot.number);
            let seen = self.seen.entry(slot.number).or_insert((now, events));
            if seen.1 != events {
                *seen = (now, events);
            }
            if now.duration_since(seen.0) >= self.times.after {
                ready.push((slot, reader.origin().to_owned(), events));
            }
        }
        self.seen.retain(|number, _| free.contains(number));
        if ready.is_empty() {
            return Ok(());
        }
        let mut connection = self.url.connect(&self.must_end)?;
        check_readable(&mut connection)?;
        for (slot, origin, events) in ready {
            if self.has_to_end() {
                break;
            }
            if is_behind(&mut connection, &origin, events)? {
                self.delivered.lock().unwrap_or_else(PoisonError::into_inner).remove(&slot.number);
                self.deliver(&slot);
            } else {
                self.delivered.lock().unwrap_or_else(PoisonError::into_inner).insert(slot.number);
            }
        }
        Ok(())
    }

    fn deliver(&mut self, slot: &Slot) {
        let trail = match Trail::open_slot_again(&self.dir, slot.number, self.options.clone()) {
            Ok(trail) => trail,
            // Somebody was faster.
            Err(OpenError::Locked { .. }) => return,
            Err(error) => return self.tell(slot.number, &error),
        };
        let sink = StoreSink::new(self.url.clone(), trail.origin());
        if trail.deliver_to_store(Box::new(sink)).is_ok() {
            let end = Instant::now() + self.times.at_most;
            while !self.has_to_end() && Instant::now() < end && !has_all(&trail) {
                std::thread::park_timeout(LOOK_EVERY);
            }
        }
        let within = if self.has_to_end() { Duration::from_secs(1) } else { CLOSE_WITHIN };
        // What is left stays in the folder, and is tried again.
        let is_done = trail.close(within).is_ok_and(|closed| {
            closed.deliveries.iter().all(|sink| sink.name != SINK_NAME || sink.lag_events == 0)
        });
        if is_done {
            self.told.remove(&slot.number);
            self.delivered.lock().unwrap_or_else(PoisonError::into_inner).insert(slot.number);
        }
        // It is free again from now on.
        self.seen.remove(&slot.number);
    }

    /// Once for each slot, until it works.
    fn tell(&mut self, number: u32, error: &OpenError) {
        if let (true, Some(on_notice)) = (self.told.insert(number), &self.options.on_notice) {
            let reason = format!("slot {number}, which no process holds, cannot be opened: {error}");
            on_notice(&Notice::DeliveryFailed { sink: SINK_NAME.to_owned(), reason });
        }
    }

    fn has_to_end(&self) -> bool {
        self.ends.load(Ordering::Acquire)
    }
}

/// Whether the store lacks any of so many events of a trail.
fn is_behind(connection: &mut Connection, origin: &str, events: u64) -> Result<bool, StoreError> {
    let position = position_of(connection, origin)?.unwrap_or_default();
    Ok(position.cursor.get() < events)
}

fn has_all(trail: &Trail) -> bool {
    let stats = trail.stats();
    let store = stats.deliveries.iter().find(|sink| sink.name == SINK_NAME);
    store.is_none_or(|store| store.cursor.get() >= stats.durable) && stats.durable == stats.accepted
}
