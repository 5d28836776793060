//! llm-orchestrator-audit's `event_hash`: SHA-256 over some fields and the hash of the event before.
//!
//! It does not cover who did it, the details, the address and the text of an error. Events that were recorded at the same time share
//! a predecessor, and each start of a program begins anew: neither is a fault of the records.

use std::collections::HashSet;

use trailseal_event::{Timestamp, Value};

use super::report::{HashReport, sha256_hex, text_at};

/// Links are followed up to so many whose predecessor did not come yet.
const OPEN_MAX: usize = 100_000;

/// The links between events. Eight bytes of each hash are kept.
#[derive(Debug, Default)]
pub(super) struct Chain {
    seen: HashSet<u64>,
    last: Option<u64>,
    begun: u64,
    forked: u64,
    /// Links to hashes that were not seen yet, with the line.
    open: Vec<(u64, u64)>,
}

impl Chain {
    pub(super) fn look(&mut self, line: u64, record: &Value, report: &mut HashReport) {
        let Some(kept) = text_at(record, "event_hash").filter(|hash| !hash.is_empty()) else {
            report.without += 1;
            return;
        };
        let id = text_at(record, "id").unwrap_or_default();
        if fits(record, &kept) {
            report.held += 1;
        } else {
            report.fail(line, format!("event {id}: its event_hash does not fit it, so it was changed"));
        }
        match text_at(record, "previous_hash").filter(|hash| !hash.is_empty()) {
            None => self.begun += 1,
            Some(previous) => {
                let previous = short(&previous);
                match self.seen.contains(&previous) {
                    true => self.forked += u64::from(self.last != Some(previous)),
                    false if self.open.len() < OPEN_MAX => self.open.push((line, previous)),
                    false => report.fail(line, MISSING.to_owned()),
                }
            }
        }
        let own = short(&kept);
        self.seen.insert(own);
        self.last = Some(own);
    }

    pub(super) fn finish(&mut self, report: &mut HashReport) {
        for (line, previous) in std::mem::take(&mut self.open) {
            if !self.seen.contains(&previous) {
                report.fail(line, MISSING.to_owned());
            } else {
                self.forked += 1;
            }
        }
        if self.begun > 1 {
            report
                .notes
                .push(format!("the chain of hashes begins {} times: at each start of a program", self.begun));
        }
        if self.forked > 0 {
            report.notes.push(format!(
                "{} events do not follow the one before them in the chain of hashes: they were recorded at the same time",
                self.forked
            ));
        }
    }
}

const MISSING: &str =
    "the event before it in the chain of hashes is not there: it was removed, or its hash was changed";

fn short(hash: &str) -> u64 {
    hash.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default()
}

fn fits(record: &Value, kept: &str) -> bool {
    let text = |key: &str| text_at(record, key).unwrap_or_default();
    let result = match record.get("result") {
        Some(Value::Object(result)) if result.contains_key("Failure") => "failure".to_owned(),
        _ => snake(&text("result")),
    };
    let end = format!(
        "|{}|{}|{}|{}|{result}|{}",
        snake(&text("event_type")),
        text("action"),
        snake(&text("resource_type")),
        text("resource_id"),
        text("previous_hash"),
    );
    let (id, time) = (text("id"), text("timestamp"));
    let is_it = |time: &str| sha256_hex(&format!("{id}|{time}{end}")).eq_ignore_ascii_case(kept);
    // As it was written, in a file.
    if is_it(&time.strip_suffix('Z').map_or_else(|| time.clone(), |time| format!("{time}+00:00"))) {
        return true;
    }
    // A database keeps microseconds of what was hashed with nanoseconds.
    let Some(kept_time) = Timestamp::parse(&time) else { return false };
    let text = kept_time.to_string();
    let Some((seconds, fraction)) = text.trim_end_matches('Z').split_once('.') else { return false };
    let short = match (fraction.strip_suffix("000000"), fraction.strip_suffix("000")) {
        (Some(_), _) => format!("{seconds}+00:00"),
        (_, Some(millis)) => format!("{seconds}.{millis}+00:00"),
        _ => format!("{seconds}.{fraction}+00:00"),
    };
    is_it(&short) || (1..1_000).any(|nanos| is_it(&format!("{seconds}.{fraction}{nanos:03}+00:00")))
}

/// The name that the database has for what files name in capitals: `WorkflowCreate`, `workflow_create`.
pub(super) fn snake(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && at > 0 {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}
