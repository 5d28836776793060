//! The hashes that other audit logs keep with their records: whether each still fits what it stands for.
//!
//! In: the records of an input, in order. Out: how many hold, and which do not, and why. What must hold: no record passes whose hash
//! does not fit it by one of the ways in which its application made hashes; and none is told that only a change of form of a
//! database explains.

mod bud;
mod orchestrator;
pub(crate) mod python;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};
use trailseal_event::Value;

use crate::records::{Failed, Record};

/// So many are listed; the others are counted.
const FAILED_MAX: usize = 100_000;

/// What became of the hashes of an input.
#[derive(Clone, Debug, Default)]
pub struct HashReport {
    /// How many records have a hash that fits.
    pub held: u64,
    /// How many have none.
    pub without: u64,
    /// Those that do not hold, and why.
    pub failed: Vec<Failed>,
    /// Further ones.
    pub failed_more: u64,
    /// What else is worth knowing, for people.
    pub notes: Vec<String>,
}

impl HashReport {
    pub(crate) fn fail(&mut self, line: u64, reason: String) {
        if self.failed.len() < FAILED_MAX {
            self.failed.push(Failed { line, reason });
        } else {
            self.failed_more += 1;
        }
    }
}

/// Looks at the hashes of records.
#[derive(Clone)]
pub struct OldHashes(Arc<Mutex<State>>);

struct State {
    report: HashReport,
    kind: Kind,
}

enum Kind {
    Bud(bud::Recipes),
    Orchestrator(orchestrator::Chain),
}

impl OldHashes {
    /// For records of this format; `None` if its records have no hashes.
    pub fn of(format: &str) -> Option<OldHashes> {
        let kind = match format {
            "audit_trail" => Kind::Bud(bud::Recipes::default()),
            "audit_events" => Kind::Orchestrator(orchestrator::Chain::default()),
            _ => return None,
        };
        Some(OldHashes(Arc::new(Mutex::new(State { report: HashReport::default(), kind }))))
    }

    /// Looks at one record.
    pub fn look(&self, record: &Record) {
        let Ok(value) = record.form.value(&record.bytes) else { return };
        let State { report, kind } = &mut *self.state();
        match kind {
            Kind::Bud(recipes) => recipes.look(record.line, &value, report),
            Kind::Orchestrator(chain) => chain.look(record.line, &value, report),
        }
    }

    /// What was found, at the end.
    pub fn finish(&self) -> HashReport {
        let State { report, kind } = &mut *self.state();
        match kind {
            Kind::Bud(recipes) => recipes.finish(report),
            Kind::Orchestrator(chain) => chain.finish(report),
        }
        report.failed.sort_by_key(|failed| failed.line);
        std::mem::take(report)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn sha256_hex(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text at a key; also a number's. `None` for null, and where there is nothing.
pub(crate) fn text_at(record: &Value, key: &str) -> Option<String> {
    match record.get(key)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
