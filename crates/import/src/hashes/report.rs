//! What became of hashes, and what all of them are made with.

use sha2::{Digest as _, Sha256};
use trailseal_event::Value;

use crate::records::Failed;

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
