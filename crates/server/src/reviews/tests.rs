//! What a start makes of an approval that a killed server did not end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

use std::sync::Arc;
use std::time::Duration;

use trailseal_core::{Options, Trail};
use trailseal_event::Event;

use super::{Reviews, finish_approved};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::policies::PolicyKeeper;
use crate::response_work::Patience;
use crate::searches::Searches;
use crate::view::View;

/// A step of the trail, and its details.
type Step = (&'static str, &'static [(&'static str, &'static str)]);

const REVIEW: &str = "019a01f2-7c00-7abc-8def-0123456789ab";
const ASKED: Step = (
    "review_requested",
    &[("review", REVIEW), ("change", "policy"), ("from", "mode = \"async\"\n"), ("to", "mode = \"off\"\n")],
);
const OUTDATED: Step = (
    "review_requested",
    &[("review", REVIEW), ("change", "policy"), ("from", "mode = \"sync\"\n"), ("to", "mode = \"off\"\n")],
);
const APPROVED: Step = ("review_decided", &[("review", REVIEW), ("decision", "approved")]);
const REJECTED: Step = ("review_decided", &[("review", REVIEW), ("decision", "rejected")]);
const CHANGED: Step = ("policy_changed", &[("by", "review"), ("review", REVIEW)]);
const SET: Step = ("policy_changed", &[("by", "set")]);
const TAKEN_BACK: Step = ("policy_changed", &[("by", "taken_back")]);
const DONE: Step = ("policy_set_by", &[("review", REVIEW)]);

fn place() -> (tempfile::TempDir, Trail) {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.handoff.size_bytes = 1 << 20;
    let trail = Trail::open(folder.path(), options).unwrap();
    (folder, trail)
}

fn reviews(folder: &tempfile::TempDir, trail: Trail) -> Reviews {
    trail.flush(Duration::from_secs(60)).unwrap();
    let (config, metrics) = (Config::default(), Arc::<Metrics>::default());
    let patience = Arc::new(Patience::new(config.search_timeout, metrics));
    let dir = folder.path().to_owned();
    let searches = Arc::new(Searches::new(trail.clone(), dir, &config, patience.clone()));
    let view = Arc::new(View::new(trail.clone(), searches.clone(), patience, &config));
    let policies = Arc::new(PolicyKeeper::new(trail.clone(), None));
    Reviews::new(trail, searches, view, config.second_person, policies, None)
}

/// The policy after a start on these steps; it was async before.
fn check(steps: &[Step], policy: &str) {
    let (folder, trail) = place();
    for (what, details) in steps {
        let mut event = Event::default().actor("ann");
        details.iter().for_each(|(name, text)| _ = event.details.insert(*name, *text));
        trail.record_own(what, event).unwrap();
    }
    let reviews = reviews(&folder, trail);
    for round in 0..2 {
        reviews.refresh().unwrap();
        finish_approved(&reviews);
        assert_eq!(reviews.trail.policy().to_toml(), policy, "{steps:?}, round {round}");
        reviews.trail.flush(Duration::from_secs(60)).unwrap();
    }
}

#[test]
fn an_approved_change_is_ended_once_and_only_if_nothing_came_after() {
    let (before, after) = ("mode = \"async\"\n", "mode = \"off\"\n");
    check(&[ASKED], before);
    check(&[ASKED, REJECTED], before);
    check(&[ASKED, REJECTED, APPROVED], before);
    check(&[APPROVED, ASKED], before);
    check(&[ASKED, APPROVED], after);
    check(&[ASKED, APPROVED, CHANGED], after);
    check(&[ASKED, APPROVED, CHANGED, TAKEN_BACK], before);
    // It was in force, and somebody returned to the one before by hand.
    check(&[ASKED, APPROVED, CHANGED, DONE], before);
    check(&[ASKED, APPROVED, SET], before);
    check(&[OUTDATED, APPROVED], before);
}

#[test]
fn a_flag_whose_event_was_lost_leads_to_no_other_event() {
    // How far ahead the event is, behind how many lines the trail was opened again, and whether the flag counts.
    for (ahead, lines, counts) in [(1, 0, false), (1, 1, true), (3, 1, false), (3, 2, false), (3, 3, true)] {
        let (folder, trail) = place();
        let mut flag = Event::default();
        for (name, text) in [("review", REVIEW), ("event", "e"), ("origin", trail.origin())] {
            flag.details.insert(name, text);
        }
        flag.details.insert("ahead", ahead as u64);
        trail.record_own("review_requested", flag).unwrap();
        for _ in 0..lines {
            trail.record(&Event::new("x")).unwrap();
        }
        trail.record_own("opened", Event::default()).unwrap();
        for _ in 0..3 {
            trail.record(&Event::new("another")).unwrap();
        }
        let reviews = reviews(&folder, trail);
        reviews.refresh().unwrap();
        assert_eq!(reviews.lock().pending(), usize::from(counts), "{ahead} ahead, {lines} lines");
    }
}
