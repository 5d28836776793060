//! Telling in the trail what was refused or left out: `trail.counts`.

use std::sync::{Arc, Mutex, PoisonError};

use trailseal_event::{Object, Value};

use crate::counters::Counted;
use crate::log_state::Log;
use crate::trail::policy::current::Current;
use crate::trail::policy::in_force::RuleCounts;
use crate::trail::recording::record_own_event::{own_event, push_system};

/// What is reported, and how much of it was reported before.
pub(super) struct Counts {
    log: Arc<Log>,
    policy: Arc<Current>,
    told: Mutex<Counted>,
}

impl Counts {
    pub(super) fn new(log: Arc<Log>, policy: Arc<Current>) -> Self {
        Counts { log, policy, told: Mutex::default() }
    }

    /// Records `trail.counts`: what was refused, unconfirmed or left out since the last one, and which files were taken
    /// away under the writer, if there is anything to report.
    pub(super) fn record(&self) {
        // Before the counters are read: two reports at the same time must not be in the wrong order.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = self.log.counters.read();
        let news = [
            ("refused", counted.refused.saturating_sub(told.refused)),
            ("unconfirmed", counted.unconfirmed.saturating_sub(told.unconfirmed)),
            ("sampled_out", counted.sampled_out.saturating_sub(told.sampled_out)),
            ("off", counted.off.saturating_sub(told.off)),
            ("handoffs_remade", counted.handoffs_remade.saturating_sub(told.handoffs_remade)),
            ("trees_remade", counted.trees_remade.saturating_sub(told.trees_remade)),
            ("segments_replaced", counted.segments_replaced.saturating_sub(told.segments_replaced)),
        ];
        if news.iter().all(|(_, count)| *count == 0) {
            return;
        }
        let mut details = Object::default();
        for (name, count) in news {
            details.insert(name, count);
        }
        let rules: Vec<Value> = self.policy.load().counts().iter().map(rule_details).collect();
        if rules.len() > 1 {
            details.insert("rules", Value::Array(rules));
        }
        let event = own_event("trail.counts", details);
        // Refused only when the buffer is full; then the next one reports these too.
        if push_system(&self.log, &event).is_ok() {
            *told = counted;
        }
    }
}

fn rule_details(counts: &RuleCounts) -> Value {
    let mut details = Object::default();
    details.insert("matched", counts.matched);
    details.insert("sampled_out", counts.sampled_out);
    details.insert("off", counts.off);
    Value::Object(details)
}
