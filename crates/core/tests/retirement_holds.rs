//! Promise: what a hold matches stays, whenever the hold was added and however masking was set since.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking, and what it measured by printing"
)]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};

use support::aged::{Moved, aged, check, options};
use support::hooked::hooked;
use support::{DURABLE, SOON};
use trailseal_core::{HoldError, Options, RetentionRule, Trail};
use trailseal_event::mask::MaskKey;
use trailseal_event::{Event, Index};

fn old() -> RetentionRule {
    RetentionRule::older_than_days(90)
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn is_there(trail: &Trail, index: u64) -> bool {
    trail.reader().unwrap().line(Index::new(index)).is_ok_and(|line| line.is_some())
}

#[test]
fn a_hold_added_while_lists_are_written_waits_for_nothing_and_is_applied() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail: Arc<OnceLock<Trail>> = Arc::default();
    let (same, is_first) = (trail.clone(), AtomicBool::new(true));
    let mut hooks = options(&clock);
    hooks.files = hooked(move |what, path: &Path| {
        let is_list = what == "replace" && path.extension().is_some_and(|extension| extension == "retired");
        if is_list && is_first.swap(false, Ordering::SeqCst) {
            let (done, wait) = channel();
            let trail = same.get().unwrap().clone();
            std::thread::spawn(move || {
                let added = trail.add_hold("late", "a dispute", &pairs(&[("id", "id-11")]));
                done.send(added.unwrap().announced).unwrap();
            });
            assert_eq!(wait.recv_timeout(SOON).expect("the hold waits for the retirement"), 0);
        }
        Ok(())
    });
    trail.set(aged(dir.path(), hooks, &clock)).unwrap_or_default();
    let trail = trail.get().unwrap();
    let retained = trail.retain(&old(), None).unwrap();
    assert_eq!(retained.kept.held_by, [("late".to_owned(), 1)]);
    assert!(retained.events > 60 && is_there(trail, 12) && !is_there(trail, 11), "{retained:?}");
    assert_eq!(check(dir.path()).retired, retained.events);
    trail.close(SOON).unwrap();
}

#[test]
fn a_hold_on_an_origin_holds_that_trail_alone() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Moved::default());
    let trail = aged(dir.path(), options(&clock), &clock);
    trail.add_hold("elsewhere", "a dispute", &pairs(&[("origin", "example.com/other")])).unwrap();
    let here = [("origin", "example.com/other"), ("origin", "example.com/aged"), ("tenant", "odd")];
    trail.add_hold("here", "a dispute", &pairs(&here)).unwrap();
    let retained = trail.retain(&old(), None).unwrap();
    assert!(retained.events > 30, "{retained:?}");
    let [(name, events)] = retained.kept.held_by.as_slice() else { panic!("{retained:?}") };
    assert!(name == "here" && *events > 30 && is_there(&trail, 12) && !is_there(&trail, 11), "{retained:?}");
    assert_eq!(check(dir.path()).retired, retained.events);
    trail.close(SOON).unwrap();
}

/// Records an event of a person and of a resource; returns its index.
fn of(trail: &Trail, actor: &str, resource: &str) -> u64 {
    let event = Event::new("test.made").actor(actor).resource("Vendor/card", resource);
    trail.with(DURABLE).record(&event).unwrap().index.unwrap().get()
}

fn hashing(clock: &Moved, hash: &[&str]) -> Options {
    let mut options = options(clock);
    options.mask.hash = hash.iter().map(|path| (*path).to_owned()).collect();
    options
}

#[test]
fn a_hold_keeps_what_was_recorded_before_its_field_was_hashed_and_after() {
    // The key of the folder, and one that only the settings have.
    for key in [None, Some(MaskKey::new([5; 32]))] {
        let dir = tempfile::tempdir().unwrap();
        let clock = Moved::at_day(0);
        let mut settings = [hashing(&clock, &[]), hashing(&clock, &["actor.id", "resource.id"])];
        settings.iter_mut().for_each(|options| options.mask.key = key.clone());
        let mut held = Vec::new();
        let mut others = Vec::new();
        for options in &settings {
            let trail = Trail::open(dir.path(), options.clone()).unwrap();
            held.push(of(&trail, "alice", "c-1"));
            held.push(of(&trail, "bob", "c-2"));
            others.push(of(&trail, "carol", "c-3"));
            trail.close(SOON).unwrap();
        }
        let trail = Trail::open(dir.path(), settings[1].clone()).unwrap();
        trail.add_hold("alice", "a dispute", &pairs(&[("actor", "alice")])).unwrap();
        // Where a type ends is not known, and nothing of an id may be kept.
        let refused = trail.add_hold("card", "r", &pairs(&[("resource", "Vendor/card/c-2")])).unwrap_err();
        assert!(matches!(refused, HoldError::Resource), "{refused}");
        let key = key.unwrap_or_else(|| trailseal_core::load_mask_key(trail.folder()).unwrap().unwrap());
        let card = format!("Vendor/card/{}", key.hash("c-2"));
        trail.add_hold("card", "r", &pairs(&[("resource", &card)])).unwrap();
        let kept = std::fs::read_to_string(dir.path().join("holds.toml")).unwrap();
        assert!(
            !kept.contains("alice\"]") && !kept.contains("c-2") && kept.contains(&key.hash("alice")),
            "{kept}"
        );
        // So that the segments of day 0 are closed, and old.
        clock.to_day(100);
        support::aged::record(&trail, 0..20);
        let retained = trail.retain(&old(), None).unwrap();
        assert!(held.iter().all(|index| is_there(&trail, *index)), "{retained:?}");
        assert!(!others.iter().any(|index| is_there(&trail, *index)), "{retained:?}");
        assert_eq!((retained.kept.held, retained.kept.held_by.len()), (4, 2));
        trail.close(SOON).unwrap();
        check(dir.path());
    }
}

#[test]
fn a_hold_that_was_added_before_its_field_was_hashed_keeps_both() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::at_day(0);
    let mut held = Vec::new();
    for (number, hash) in [&[][..], &["actor.id"]].into_iter().enumerate() {
        let trail = Trail::open(dir.path(), hashing(&clock, hash)).unwrap();
        if number == 0 {
            trail.add_hold("alice", "a dispute", &pairs(&[("actor", "alice")])).unwrap();
        }
        held.push(of(&trail, "alice", "c-1"));
        trail.close(SOON).unwrap();
    }
    let trail = Trail::open(dir.path(), hashing(&clock, &["actor.id"])).unwrap();
    clock.to_day(100);
    support::aged::record(&trail, 0..20);
    trail.retain(&old(), None).unwrap();
    assert!(held.iter().all(|index| is_there(&trail, *index)));
    trail.close(SOON).unwrap();
}
