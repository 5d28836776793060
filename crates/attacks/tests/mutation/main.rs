//! Trails changed at random, by seed: each is opened and written on before anybody verifies it.
//!
//! Never may a verdict with the key, or with the key and the checkpoint, that an auditor keeps be clean over a sealed
//! line that was edited, also not once `trail.toml` was put back. And never may `record` end well over lines that are
//! gone, while `verify` says that all is well.
//!
//! A plain run takes every tenth seed. `cargo xtask long` takes all and writes `results/mutation.txt`. One seed alone:
//! `ATTACKS_SEED=123 cargo test -p trailseal-attacks --test mutation -- --nocapture`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod base;
mod change;
mod judge;
mod report;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use base::Base;
use report::Report;
use trailseal_attacks::Random;

/// So many rounds has a long run.
const ROUNDS: u64 = 2_400;
/// After so many failures a run gives up.
const FAILURES_MAX: usize = 25;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn no_edited_sealed_line_ever_gets_a_clean_verdict() {
    let seeds: Vec<u64> = match (number("ATTACKS_SEED"), number("ATTACKS_ROUNDS")) {
        (Some(seed), _) => vec![seed],
        (None, Some(rounds)) => (0..rounds).collect(),
        (None, None) => (0..ROUNDS).step_by(10).collect(),
    };
    let bases = base::all();
    bases.iter().for_each(judge::untouched_is_clean);
    let report = Mutex::new(Report::default());
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let round = round(&bases, seed);
                    let mut report = report.lock().unwrap();
                    report.add(seed, round);
                    if report.failures.len() >= FAILURES_MAX {
                        return;
                    }
                }
            });
        }
    });
    let report = report.into_inner().unwrap();
    println!("{}", report.table());
    if let Some(path) = std::env::var_os("ATTACKS_RESULTS") {
        std::fs::write(path, report.page(&seeds)).unwrap();
    }
    assert!(report.failures.is_empty(), "{}", report.failures_told());
}

/// What was done to a trail, and what came of it.
struct Round {
    base: &'static str,
    changes: Vec<change::Done>,
    outcome: judge::Outcome,
}

fn round(bases: &[Base], seed: u64) -> Round {
    let random = &mut Random::of_seed(seed);
    let base = random.of(bases);
    let place = base.place.copy();
    // The index is derived and may go at any time. It knows the lines as they were, so half of the attackers remove it.
    if random.once_in(2) {
        place.trail().remove("index");
    }
    let count = if random.once_in(3) { 2 } else { 1 };
    let changes: Vec<_> = (0..count).map(|_| change::at_random(base, &place.trail(), random)).collect();
    let outcome = judge::judge(base, &place, &changes, random);
    Round { base: base.name, changes, outcome }
}
