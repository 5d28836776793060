//! What a run of many rounds found, by kind of change.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::Round;

/// Counts, and the rounds in which something got through.
#[derive(Default)]
pub(crate) struct Report {
    begun: Option<Instant>,
    rounds: u64,
    pairs: u64,
    by_kind: BTreeMap<String, BTreeMap<String, u64>>,
    by_verdict: BTreeMap<String, u64>,
    pub(crate) failures: Vec<(u64, String)>,
}

impl Report {
    pub(crate) fn add(&mut self, seed: u64, round: Round) {
        self.begun.get_or_insert_with(Instant::now);
        self.rounds += 1;
        self.pairs += u64::from(round.changes.len() > 1);
        let outcome = round.outcome;
        *self.by_verdict.entry(format!("{}, {}", outcome.opening, outcome.verdict)).or_default() += 1;
        let verdict = if outcome.verdict == "clean" { "clean" } else { "found" };
        for done in &round.changes {
            let counts = self.by_kind.entry(done.kind.clone()).or_default();
            *counts.entry(format!("{}, {verdict}", outcome.opening)).or_default() += 1;
        }
        for violation in outcome.violations {
            let changes: Vec<String> =
                round.changes.iter().map(|done| format!("{} ({})", done.kind, done.what)).collect();
            let base = round.base;
            self.failures
                .push((seed, format!("seed {seed}, {base}: {}: {violation}", changes.join(" and "))));
        }
    }

    /// The counts, as text.
    pub(crate) fn table(&self) -> String {
        const COLUMNS: [&str; 4] = ["opened, clean", "opened, found", "refused, clean", "refused, found"];
        let mut text = format!("{:<34} {}\n", "change (a round may have two)", COLUMNS.join("  "));
        for (kind, counts) in &self.by_kind {
            let numbers = COLUMNS.map(|name| format!("{:>13}", counts.get(name).copied().unwrap_or(0)));
            text += &format!("{kind:<34} {}\n", numbers.join("  "));
        }
        text += "\nopening, and verdict with the pinned key alone\n";
        for (verdict, count) in &self.by_verdict {
            text += &format!("{count:>6}  {verdict}\n");
        }
        text
    }

    /// The page that is kept in the repository.
    pub(crate) fn page(&self, seeds: &[u64]) -> String {
        let commit = std::env::var("ATTACKS_COMMIT").unwrap_or_else(|_| "unknown".into());
        let seconds = self.begun.map_or(0, |begun| begun.elapsed().as_secs());
        format!(
            "Trails changed at random, opened, written on, and verified. Made by `cargo xtask long`.\n\n\
             command: ATTACKS_ROUNDS={} cargo test -p trailseal-attacks --test mutation\n\
             commit:  {commit}\nrounds:  {}, {} of them with two changes\nseeds:   {} to {}\nseconds: {seconds}\n\
             sealed lines edited, or answered lines lost, under a clean verdict: {}\n\n{}",
            self.rounds,
            self.rounds,
            self.pairs,
            seeds.first().unwrap_or(&0),
            seeds.last().unwrap_or(&0),
            self.failures.len(),
            self.table(),
        )
    }

    /// Every failure with its seed.
    pub(crate) fn failures_told(&self) -> String {
        let told: Vec<&str> = self.failures.iter().map(|(_, told)| told.as_str()).collect();
        let seed = self.failures.first().map_or(0, |(seed, _)| *seed);
        format!(
            "{} got through:\n{}\none alone: ATTACKS_SEED={seed} cargo test -p trailseal-attacks --test mutation",
            told.len(),
            told.join("\n")
        )
    }
}
