//! Trails with old events, made by the library with a clock that tests set.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use trailseal_core::clock::{Clock, SystemClock};
use trailseal_core::{Ack, Options, Roll, Trail};
use trailseal_event::{Category, Event, Timestamp};

const DAY_MICROS: i64 = 86_400_000_000;

/// A clock that stands still until it is set, but never gives one time twice.
#[derive(Clone, Default)]
struct Set(Arc<AtomicI64>);

impl Set {
    fn days_ago(&self, days: i64) {
        self.0.store(SystemClock.now().as_micros() - days * DAY_MICROS, Ordering::SeqCst);
    }
}

impl Clock for Set {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// An old event. Of each tenant every fifth is one to hold, and every second is of one category.
pub fn event(number: usize, tenants: usize) -> Event {
    let of_tenant = number / tenants;
    let action = if of_tenant.is_multiple_of(5) { "case.opened" } else { "page.read" };
    let category = if of_tenant.is_multiple_of(2) { Category::DataAccess } else { Category::Workflow };
    Event::new(action)
        .id(format!("old-{number}"))
        .tenant(format!("t{}", number % tenants))
        .category(category)
        .description("x".repeat(300))
}

/// The same as a line for `record`.
pub fn line(number: usize, tenants: usize) -> String {
    let event = event(number, tenants);
    serde_json::json!({
        "id": event.id, "action": event.action, "tenant": event.tenant, "category": event.category.to_string(),
        "description": event.description,
    })
    .to_string()
}

/// A trail in `dir` with so many events of a hundred days ago, in segments of 16 KiB, and ten of yesterday.
pub fn make(dir: &Path, old: usize, tenants: usize) {
    let clock = Set::default();
    clock.days_ago(100);
    let mut options = Options::default();
    options.origin = Some("example.com/aged".into());
    options.clock = Arc::new(clock.clone());
    options.handoff.size_bytes = 4 << 20;
    options.segment.roll = Roll::Bytes(16 << 10);
    let trail = Trail::open(dir, options).unwrap();
    for number in 0..old {
        // Segments roll between commits.
        let ack = if number % 32 == 31 { Ack::Durable } else { Ack::Accepted };
        trail.with(ack).record(&event(number, tenants)).unwrap();
    }
    trail.flush(Duration::from_secs(60)).unwrap();
    clock.days_ago(1);
    for number in 0..10 {
        let event = Event::new("page.read").id(format!("new-{number}")).tenant("t0");
        trail.with(Ack::Durable).record(&event).unwrap();
    }
    trail.close(Duration::from_secs(60)).unwrap();
}
