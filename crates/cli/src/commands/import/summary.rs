//! What became of the records of an import.

use std::collections::BTreeMap;
use std::rc::Rc;

use trailseal_import::hashes::HashReport;

use crate::commands::record::refused::Refused;
use crate::commands::text::write_out;
use crate::failure::{Failure, Outcome};
use crate::output::{tell, thousands};

/// How many failures are listed; the others are counted. Memory is bounded, whatever the input is.
const FAILED_MAX: usize = 100_000;
/// How many failures are told one by one.
const TOLD_MAX: usize = 1_000;

/// Where a record is.
#[derive(Clone)]
pub(in crate::commands) struct Place {
    pub(super) file: Rc<str>,
    pub(super) line: u64,
}

struct Failed {
    place: Place,
    reason: String,
}

#[derive(Default)]
pub(in crate::commands) struct Summary {
    pub(super) read: u64,
    pub(in crate::commands) recorded: u64,
    pub(in crate::commands) repeated: u64,
    pub(in crate::commands) left_out: u64,
    /// Of those recorded, the ones that did not reach their level in time.
    unconfirmed: u64,
    /// By the name of a field: how many events have only a default.
    defaulted: BTreeMap<String, u64>,
    failed: Vec<Failed>,
    /// How many failures were told one by one.
    told: usize,
    /// Those that the trail could not take.
    refused: Refused,
    /// Failures beyond those that are listed.
    failed_more: u64,
    /// What became of the hashes that records came with; `None` if none can have any.
    hashes: Option<Hashes>,
}

/// What became of hashes.
#[derive(Default)]
struct Hashes {
    held: u64,
    without: u64,
    failed: Vec<Failed>,
    failed_more: u64,
}

impl Summary {
    pub(super) fn count_defaulted(&mut self, fields: Vec<String>) {
        for field in fields {
            *self.defaulted.entry(field).or_default() += 1;
        }
    }

    pub(in crate::commands) fn fail(&mut self, place: Place, reason: String) {
        match self.told {
            told if told < TOLD_MAX => {
                tell(&format!("{}, line {}: not recorded: {reason}", place.file, place.line));
            }
            TOLD_MAX => {
                tell("more lines were not recorded; the summary counts them, with --json it lists them")
            }
            _ => {}
        }
        self.told += 1;
        self.list(place, reason);
    }

    /// The trail could not take it, whatever it is.
    pub(in crate::commands) fn refuse(&mut self, place: Place, reason: String) {
        self.refused.add(&format!("{}, line {}", place.file, place.line), &reason);
        self.list(place, reason);
    }

    fn list(&mut self, place: Place, reason: String) {
        if self.failed.len() < FAILED_MAX {
            self.failed.push(Failed { place, reason });
        } else {
            self.failed_more += 1;
        }
    }

    pub(in crate::commands) fn unconfirmed(&mut self, place: &Place, reason: &str) {
        tell(&format!("{}, line {}: unconfirmed: {reason}", place.file, place.line));
        self.unconfirmed += 1;
    }

    /// The hashes of one input. A record whose hash does not hold is recorded all the same.
    pub(super) fn add_hashes(&mut self, file: &Rc<str>, report: HashReport) {
        let hashes = self.hashes.get_or_insert_default();
        hashes.held += report.held;
        hashes.without += report.without;
        hashes.failed_more += report.failed_more;
        for note in report.notes {
            tell(&format!("{file}: {note}"));
        }
        for failed in report.failed {
            let place = Place { file: file.clone(), line: failed.line };
            match hashes.failed.len() {
                told if told < TOLD_MAX => {
                    tell(&format!("{file}, line {}: does not verify: {}", failed.line, failed.reason));
                }
                TOLD_MAX => {
                    tell("more records do not verify; the summary counts them, with --json it lists them")
                }
                _ => {}
            }
            if hashes.failed.len() < FAILED_MAX {
                hashes.failed.push(Failed { place, reason: failed.reason });
            } else {
                hashes.failed_more += 1;
            }
        }
    }

    /// How many records are certainly in the trail.
    pub(in crate::commands) fn confirmed(&self) -> u64 {
        (self.recorded + self.repeated).saturating_sub(self.unconfirmed)
    }

    /// Reports what became of the records. A failure that ended the import comes after that.
    pub(in crate::commands) fn finish(mut self, json: bool, ended: Outcome) -> Outcome {
        self.refused.finish();
        // Where nothing was read, the reason says it all.
        if json || self.read > 0 || ended.is_ok() {
            self.print(json)?;
        }
        ended?;
        let hold = self.hashes.as_ref().is_none_or(|hashes| hashes.failed.is_empty());
        if self.failed.is_empty() && self.unconfirmed == 0 && hold { Ok(()) } else { Err(Failure::No(None)) }
    }

    fn print(&self, json: bool) -> Outcome {
        if json {
            let listed = |failed: &[Failed]| {
                let json = |Failed { place, reason }: &Failed| serde_json::json!({"file": &*place.file, "line": place.line, "reason": reason});
                failed.iter().map(json).collect::<Vec<_>>()
            };
            let mut answer = serde_json::json!({
                "read": self.read, "recorded": self.recorded, "repeated": self.repeated,
                "left_out": self.left_out, "unconfirmed": self.unconfirmed, "defaulted": self.defaulted,
                "failed": listed(&self.failed),
            });
            if let Some(hashes) = &self.hashes {
                answer["hashes"] = serde_json::json!({
                    "held": hashes.held, "without": hashes.without, "failed": listed(&hashes.failed),
                    "failed_more": hashes.failed_more,
                });
            }
            if self.failed_more > 0 {
                answer["failed_more"] = self.failed_more.into();
            }
            return write_out(None, format!("{answer}\n").as_bytes());
        }
        let mut more = String::new();
        for (count, what) in [(self.left_out, "left out by the policy"), (self.unconfirmed, "unconfirmed")] {
            if count > 0 {
                more.push_str(&format!(", {} {what}", thousands(count)));
            }
        }
        tell(&format!(
            "{} read, {} recorded, {} already there, {} failed{more}",
            thousands(self.read),
            thousands(self.recorded),
            thousands(self.repeated),
            thousands(self.failed.len() as u64 + self.failed_more),
        ));
        if let Some(hashes) = &self.hashes {
            tell(&format!(
                "of their own hashes {} hold, {} do not; {} records have none",
                thousands(hashes.held),
                thousands(hashes.failed.len() as u64 + hashes.failed_more),
                thousands(hashes.without),
            ));
        }
        for (field, count) in &self.defaulted {
            let default = if field == "time" { "have the time of import" } else { "are `unknown`" };
            tell(&format!("{} records gave no {field}: their events {default}", thousands(*count)));
        }
        Ok(())
    }
}
