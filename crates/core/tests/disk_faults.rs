//! Promise: a disk that fails loses nothing that was acknowledged, and the caller is told the truth.
//!
//! A workload of open, append, seal, roll and close runs once for each of its file operations, which fails
//! that time: without effect, although it took effect, half done, or for lack of space.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::redundant_closure,
    reason = "a test says what is wrong by panicking, and what it measured by printing"
)]

mod support;

use std::time::Duration;

use support::in_memory::{dir, holds, options};
use trailseal_core::{Ack, OpenError, RecordError, Status, Trail};
use trailseal_event::Event;
use trailseal_testkit::fault::{Fault, FaultFiles};

const ROLL_BYTES: u64 = 2_500;

struct Told {
    durable: Vec<(u64, String)>,
    /// Accepted, and the close said that it is on disk.
    closed: Vec<(u64, String)>,
}

fn session(files: &FaultFiles, session: u32) -> Result<Told, OpenError> {
    let mut told = Told { durable: Vec::new(), closed: Vec::new() };
    let trail = Trail::open(dir(), options(files, ROLL_BYTES))?;
    let mut accepted = Vec::new();
    for number in 0..12 {
        let text = format!("session {session} event {number} {}", "x".repeat(150));
        let ack = if number % 2 == 0 { Ack::Durable } else { Ack::Accepted };
        match trail.with(ack).record(&Event::new("test.fault").description(&text)) {
            Ok(receipt) if receipt.status == Status::Durable => {
                told.durable.push((receipt.index.unwrap().get(), text));
            }
            Ok(receipt) => accepted.push((receipt.index.unwrap().get(), text)),
            Err(RecordError::Unconfirmed { index, .. }) => accepted.push((index.get(), text)),
            Err(_) => {}
        }
        if number == 6 {
            let _ = trail.seal(Duration::from_secs(60));
        }
    }
    if trail.close(Duration::from_secs(60)).is_ok() {
        told.closed = accepted;
    }
    Ok(told)
}

fn run(step: usize, fault: Fault) -> bool {
    let files = FaultFiles::new();
    files.fail_at(step, fault);
    let mut acknowledged = Vec::new();
    for number in 0..2 {
        // An opening that fails has changed nothing that a second one cannot cope with.
        let told = session(&files, number).or_else(|error| {
            assert!(files.has_failed(), "step {step}, {fault:?}: {error}");
            session(&files, number)
        });
        let told = told.unwrap_or_else(|error| panic!("step {step}, {fault:?}: {error} ({error:?})"));
        acknowledged.extend(told.durable);
        acknowledged.extend(told.closed);
    }
    let has_failed = files.has_failed();
    // A run that was shorter than the one before must not fail here: the last seal has nobody who tries it again.
    files.fail_at(usize::MAX, fault);
    let trail = Trail::open(dir(), options(&files, ROLL_BYTES));
    let trail = trail.unwrap_or_else(|error| panic!("step {step}, {fault:?}: {error} ({error:?})"));
    trail.close(Duration::from_secs(60)).unwrap();
    holds(files, &acknowledged, &format!("step {step}, {fault:?}"));
    has_failed
}

#[test]
fn each_single_operation_may_fail() {
    for fault in [Fault::Fail, Fault::FailButDone, Fault::Short, Fault::NoSpace] {
        let mut step = 0;
        // Threads make the number of steps differ a little from run to run; past the end nothing fails.
        while run(step, fault) {
            step += 1;
        }
        println!("{fault:?}: {step} operations failed in turn");
        assert!(step > 100, "the workload has only {step} operations");
    }
}
