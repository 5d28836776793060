//! What stands in an archived bundle: `verify --bundle` checks it like any other.

use std::io::{self, Seek, Write};
use std::ops::ControlFlow;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_core::{ArchiveError, RetentionRule, Retiring};
use trailseal_event::Index;

use crate::bundle::BundleWriter;

const ZSTD_LEVEL: i32 = 3;
/// Longer origins are cut in names of files; the hash in the name still tells them apart.
const ORIGIN_CHARS_MAX: usize = 80;

/// The name of the bundle with these lines: the same for the same lines of the same trail, and for no others.
pub(super) fn name(retiring: &mut Retiring<'_>) -> Result<String, ArchiveError> {
    let mut hash = Sha256::new();
    hash.update((retiring.origin().len() as u64).to_be_bytes());
    hash.update(retiring.origin().as_bytes());
    let (mut first, mut last) = (None, Index::new(0));
    retiring.for_each(&mut |index, line| {
        first.get_or_insert(index);
        last = index;
        hash.update(index.get().to_be_bytes());
        hash.update((line.len() as u64).to_be_bytes());
        hash.update(line);
        ControlFlow::Continue(())
    })?;
    let first = first.unwrap_or_default();
    let hash: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' };
    let origin: String = retiring.origin().chars().map(plain).take(ORIGIN_CHARS_MAX).collect();
    Ok(format!("{}.{first}-{last}.{hash}.zip", origin.trim_start_matches('.')))
}

/// Writes the bundle.
pub(super) fn fill<W: Write + Seek>(
    mut bundle: BundleWriter<W>,
    retiring: &mut Retiring<'_>,
    rule: &RetentionRule,
) -> Result<W, ArchiveError> {
    let count = lines(&mut bundle, retiring)?;
    if count != retiring.count() {
        let wanted = retiring.count();
        return Err(format!("the trail gave {count} of {wanted} lines that are to be retired").into());
    }
    let mut member = bundle.member("0/proofs.jsonl".into())?;
    proofs(&mut member, retiring)?;
    member.end();
    let (note, checkpoint) = retiring.checkpoint();
    bundle.whole_member("0/checkpoint".into(), note)?;
    bundle.whole_member("0/public-key".into(), &format!("{}\n", retiring.public_key()))?;
    let mut about = Map::new();
    about.insert("created".into(), SystemClock.now().to_string().into());
    about.insert("filters".into(), filters(rule));
    about.insert("count".into(), count.into());
    let origin = json!({
        "origin": retiring.origin(), "folder": "0", "count": count, "tree_size": checkpoint.size,
    });
    about.insert("origins".into(), json!([origin]));
    Ok(bundle.finish(about)?)
}

/// Writes the proof of every line.
fn proofs(out: &mut impl Write, retiring: &Retiring<'_>) -> Result<(), ArchiveError> {
    let mut proof = |index: Index| -> Result<(), ArchiveError> {
        let hashes = retiring.inclusion(index)?;
        let hashes: Vec<String> = hashes.iter().map(trailseal_tlog::Hash::to_base64).collect();
        Ok(writeln!(out, "{}", json!({"index": index.get(), "hashes": hashes}))?)
    };
    let mut failed = None;
    retiring.for_each(&mut |index, _| match proof(index) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(()), Err)
}

/// Writes the lines, and returns how many those are.
fn lines<W: Write + Seek>(
    bundle: &mut BundleWriter<W>,
    retiring: &mut Retiring<'_>,
) -> Result<u64, ArchiveError> {
    let mut packed = zstd::Encoder::new(bundle.member("0/lines.jsonl.zst".into())?, ZSTD_LEVEL)?;
    packed.include_checksum(true)?;
    let (mut count, mut failed) = (0, None);
    retiring.for_each(&mut |_, line| {
        count += 1;
        match packed.write_all(line).and_then(|()| packed.write_all(b"\n")) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failed.map_or(Ok(()), Err::<(), io::Error>)?;
    packed.finish()?.end();
    Ok(count)
}

/// What was asked for, by the names of the command line.
fn filters(rule: &RetentionRule) -> Value {
    let mut filters = Map::new();
    filters.insert("older_than".into(), json!([format!("{}d", rule.older_than_days)]));
    if let Some(tenant) = &rule.tenant {
        filters.insert("tenant".into(), json!([tenant]));
    }
    if !rule.category.is_empty() {
        let names: Vec<String> = rule.category.iter().map(ToString::to_string).collect();
        filters.insert("category".into(), json!(names));
    }
    filters.insert("system".into(), true.into());
    Value::Object(filters)
}
