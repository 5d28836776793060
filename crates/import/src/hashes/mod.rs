//! The hashes that other audit logs keep with their records: whether each still fits what it stands for.
//!
//! In: the records of an input, in order. Out: how many hold, and which do not, and why. What must hold: no record passes whose hash
//! does not fit it by one of the ways in which its application made hashes; and none is told that only a change of form of a
//! database explains.

mod bud;
mod orchestrator;
pub(crate) mod python;
mod report;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use report::HashReport;
pub(crate) use report::{hex, sha256_hex, text_at};

use crate::records::Record;

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

#[cfg(test)]
mod tests;
