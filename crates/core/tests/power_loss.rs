//! Promise: what was acknowledged as durable survives power loss; a checkpoint is never ahead of the lines.
//!
//! A workload runs once on a file system that logs every primitive step. For every prefix of that log the
//! disk that a power loss could leave is made, with what was not synced dropped, kept, or torn and
//! reordered; the trail must open on it, and hold everything acknowledged before that step.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::redundant_closure,
    reason = "a test says what is wrong by panicking, and what it measured by printing"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::DURABLE;
use support::in_memory::{dir, holds, options};
use trailseal_core::file::Files;
use trailseal_core::{Ack, Status, Trail};
use trailseal_event::Event;
use trailseal_testkit::check::check_trail;
use trailseal_testkit::fault::{FaultFiles, Step, Survival};

const ROLL_BYTES: u64 = 6_000;

/// Records, rolls, seals, closes and opens again; every durable acknowledgement is noted in the log.
fn workload(files: &FaultFiles) {
    for session in 0..2 {
        let trail = Trail::open(dir(), options(files, ROLL_BYTES)).unwrap();
        for number in 0..40 {
            let event = Event::new("test.power").description(mark(session, number));
            let ack = if number % 3 == 0 { Ack::Durable } else { Ack::Accepted };
            let receipt = trail.with(DURABLE.ack(ack)).record(&event).unwrap();
            if receipt.status == Status::Durable {
                files.acknowledge(receipt.index.unwrap().get());
            }
            if number == 20 {
                trail.seal(Duration::from_secs(60)).unwrap();
                trail.rotate_key().unwrap();
            }
        }
        trail.close(Duration::from_secs(60)).unwrap();
    }
}

fn mark(session: u32, number: u32) -> String {
    format!("session {session} event {number} {}", "x".repeat(200))
}

#[test]
fn every_prefix_of_a_workload_opens_and_holds_what_was_acknowledged() {
    let files = FaultFiles::new();
    workload(&files);
    let all: Arc<dyn Files> = Arc::new(files.clone());
    let lines = check_trail(dir(), &all, &[]).lines;
    let steps = files.steps();
    let mut images = 0;
    for prefix in 0..=steps.len() {
        let acknowledged: Vec<(u64, String)> = steps[..prefix]
            .iter()
            .filter_map(|step| match step {
                Step::Acknowledged { index } => {
                    Some((*index, String::from_utf8_lossy(&lines[*index as usize]).into_owned()))
                }
                _ => None,
            })
            .collect();
        let survivals = [
            Survival::Nothing,
            Survival::Everything,
            Survival::Random(prefix as u64),
            Survival::Random(prefix as u64 + 1_000_000),
        ];
        for survival in survivals {
            opens_and_holds(&files, prefix, survival, &acknowledged);
            images += 1;
        }
    }
    println!("{} steps, {images} images", steps.len());
    assert!(images > 1000, "only {images} images: the workload is too small to mean much");
}

fn opens_and_holds(files: &FaultFiles, prefix: usize, survival: Survival, acknowledged: &[(u64, String)]) {
    let image = files.after_power_loss(prefix, survival);
    let context = || format!("after step {prefix}, {survival:?}");
    // A trail that was not even made yet has nothing to lose.
    let trail = match Trail::open(dir(), options(&image, ROLL_BYTES)) {
        Ok(trail) => trail,
        Err(error) => panic!("{}: {error} {error:?}", context()),
    };
    let receipt = trail.with(DURABLE).record(&Event::new("test.after")).unwrap();
    assert_eq!(receipt.status, Status::Durable, "{}", context());
    trail.close(Duration::from_secs(60)).unwrap();
    holds(image, acknowledged, &context());
}
