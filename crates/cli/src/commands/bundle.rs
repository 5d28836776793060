//! Bundles: a zip that proves, without the trail, that each line in it is genuine.
//!
//! It has `manifest.json` and, for each origin, `<n>/lines.jsonl` (in archives `<n>/lines.jsonl.zst`), `<n>/proofs.jsonl`,
//! `<n>/checkpoint` and `<n>/public-key`; and `<n>/personal.jsonl` if personal values were asked for. It proves that each line is genuine, not that none was left out.

mod check;
mod layout;
mod write;

#[cfg(test)]
mod tests;

pub(super) use check::verify;
pub(super) use write::{tell_what_it_proves, write};

/// The members in each origin's folder.
const MEMBERS: [&str; 4] = ["lines.jsonl", "proofs.jsonl", "checkpoint", "public-key"];
/// What the first of them may be instead, in archives.
const PACKED_LINES: &str = "lines.jsonl.zst";
/// A fifth member, if personal values were asked for in plain: the same lines, as a reader sees them who may.
const SHOWN_LINES: &str = "personal.jsonl";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
