//! Bundles: a zip that proves, away from the trail, that each line in it is genuine.
//!
//! `manifest.json`, and for each origin `<n>/lines.jsonl`, `<n>/proofs.jsonl`, `<n>/checkpoint`,
//! `<n>/public-key`. It proves that each line is genuine, not that none was left out.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_core::filter::Filter;
use trailseal_core::{Index, Reader};
use trailseal_tlog::{Checkpoint, Hash, SignedNote, VerifyingKey, leaf_hash, trusted_keys, verify_inclusion};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::query::matching;
use crate::arguments::{Filters, Order};
use crate::failure::{Failure, Outcome};
use crate::output::{tell, thousands};

const FORMAT: &str = "trailseal-bundle@v1";
const WHAT_IT_PROVES: &str = "each line in it is genuine; not that no line was left out";
/// Limits on what is unpacked, whatever the zip claims.
const SMALL_MEMBER_BYTES_MAX: u64 = 1 << 20;
const LINE_BYTES_MAX: u64 = 1 << 17;
const ORIGINS_MAX: usize = 10_000;

/// Writes a bundle of the sealed events that match.
pub(super) fn write(reader: &mut Reader, filter: &Filter, flags: &Filters, out: Option<&Path>) -> Outcome {
    let Some(path) = out else {
        return Err(Failure::could_not("a bundle is a zip file: say where to write it with --out FILE"));
    };
    let (note, checkpoint) = reader.checkpoint()?;
    let mut indexes = Vec::new();
    let file = File::create(path).map_err(Failure::io("make", path))?;
    let mut zip = ZipWriter::new(file);
    let mut members = serde_json::Map::new();
    let mut member = Member::begin(&mut zip, "0/lines.jsonl")?;
    matching(reader, filter, 0..checkpoint.size, Order::Asc, &mut |recorded, line| {
        indexes.push(recorded.index);
        member.write(line)?;
        member.write(b"\n")?;
        Ok(ControlFlow::Continue(()))
    })?;
    member.end(&mut members);
    let mut member = Member::begin(&mut zip, "0/proofs.jsonl")?;
    for index in &indexes {
        let hashes = reader.inclusion(Index::new(*index), &checkpoint)?;
        let hashes: Vec<String> = hashes.iter().map(Hash::to_base64).collect();
        member.write(format!("{}\n", json!({"index": index, "hashes": hashes})).as_bytes())?;
    }
    member.end(&mut members);
    let key = reader.manifest().current_key().map(ToString::to_string).unwrap_or_default();
    for (name, text) in [("0/checkpoint", note), ("0/public-key", format!("{key}\n"))] {
        let mut member = Member::begin(&mut zip, name)?;
        member.write(text.as_bytes())?;
        member.end(&mut members);
    }
    let mut filters = serde_json::Map::new();
    for (name, value) in flags.pairs() {
        let values = filters.entry(name).or_insert_with(|| json!([]));
        if let Some(values) = values.as_array_mut() {
            values.push(value.into());
        }
    }
    let manifest = json!({
        "format": FORMAT,
        "created": SystemClock.now().to_string(),
        "filters": filters,
        "count": indexes.len(),
        "proves": WHAT_IT_PROVES,
        "origins": [{"origin": reader.origin(), "folder": "0", "count": indexes.len(), "tree_size": checkpoint.size}],
        "members": members,
    });
    let mut member = Member::begin(&mut zip, "manifest.json")?;
    member.write(format!("{manifest:#}\n").as_bytes())?;
    drop(member);
    let file = zip.finish().map_err(zip_failed)?;
    file.sync_all().map_err(Failure::io("write", path))?;
    tell(&format!(
        "{} events in {}: it proves that {WHAT_IT_PROVES}",
        thousands(indexes.len() as u64),
        path.display()
    ));
    let left_out = reader.end().get() - checkpoint.size;
    if left_out > 0 {
        tell(&format!("the newest {left_out} events are not sealed yet and not in it"));
    }
    Ok(())
}

/// A member of the zip that is being written, and the hash of its bytes.
struct Member<'a> {
    zip: &'a mut ZipWriter<File>,
    name: &'static str,
    hash: Sha256,
}

impl<'a> Member<'a> {
    fn begin(zip: &'a mut ZipWriter<File>, name: &'static str) -> Outcome<Self> {
        let options = SimpleFileOptions::default().large_file(true);
        zip.start_file(name, options).map_err(zip_failed)?;
        Ok(Member { zip, name, hash: Sha256::new() })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.zip.write_all(bytes)
    }

    fn end(self, members: &mut serde_json::Map<String, serde_json::Value>) {
        members.insert(self.name.to_owned(), json!({ "sha256": hex(&self.hash.finalize()) }));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn zip_failed(error: zip::result::ZipError) -> Failure {
    Failure::could_not(format!("could not write or read the zip: {error}"))
}

/// Checks a bundle: hashes of members, checkpoint, and the proof of each line.
pub(super) fn verify(path: &Path, pinned: &[VerifyingKey], json: bool) -> Outcome {
    let file = File::open(path).map_err(Failure::io("read", path))?;
    let mut zip = ZipArchive::new(BufReader::new(file))
        .map_err(|error| Failure::could_not(format!("{} is no bundle: {error}", path.display())))?;
    let checked = check(&mut zip, pinned);
    let text = match (&checked, json) {
        (Ok(count), true) => json!({
            "ok": true, "count": count, "key_pinned": !pinned.is_empty(), "proves": WHAT_IT_PROVES,
        })
        .to_string(),
        (Ok(count), false) => {
            let key = if pinned.is_empty() {
                "cannot rule out: that it was signed by somebody else's key (give the public key: --public-key)"
            } else {
                "the key was given"
            };
            format!("ok {} events are genuine\nit proves that {WHAT_IT_PROVES}\n{key}", thousands(*count))
        }
        (Err(Refusal::Wrong(what)), true) => json!({"ok": false, "message": what}).to_string(),
        (Err(Refusal::Wrong(what)), false) => format!("TAMPERED: {what}"),
        (Err(Refusal::Failed(what)), _) => {
            return Err(Failure::could_not(format!("{}: {what}", path.display())));
        }
    };
    super::write_out(None, format!("{text}\n").as_bytes())?;
    if checked.is_ok() { Ok(()) } else { Err(Failure::No(None)) }
}

/// Why a bundle was not believed.
enum Refusal {
    /// Something in it is not genuine.
    Wrong(String),
    /// It could not be read.
    Failed(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Refusal::Failed(error.to_string())
    }
}

fn wrong<T>(what: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Wrong(what.into()))
}

fn check<R: Read + Seek>(zip: &mut ZipArchive<R>, pinned: &[VerifyingKey]) -> Result<u64, Refusal> {
    let manifest: serde_json::Value = serde_json::from_str(&small(zip, "manifest.json")?)
        .or_else(|error| wrong(format!("manifest.json is no JSON: {error}")))?;
    if manifest["format"] != FORMAT {
        return wrong(format!("it is not in the format {FORMAT}"));
    }
    let origins = manifest["origins"].as_array().map(Vec::as_slice).unwrap_or_default();
    if origins.is_empty() || origins.len() > ORIGINS_MAX {
        return wrong("it names no origin, or too many");
    }
    let mut count = 0;
    for origin in origins {
        let Some(folder) = origin["folder"].as_str() else { return wrong("an origin has no folder") };
        for name in ["lines.jsonl", "proofs.jsonl", "checkpoint", "public-key"] {
            let name = format!("{folder}/{name}");
            if manifest["members"][&name]["sha256"] != hash_of(zip, &name)? {
                return wrong(format!("{name} is not the member that the manifest describes"));
            }
        }
        let in_origin = check_origin(zip, folder, pinned)?;
        if origin["count"] != in_origin {
            return wrong(format!(
                "{folder}/lines.jsonl has {in_origin} lines, and the manifest says {}",
                origin["count"]
            ));
        }
        count += in_origin;
    }
    if manifest["count"] != count {
        return wrong(format!("it has {count} lines, and the manifest says {}", manifest["count"]));
    }
    Ok(count)
}

/// Proves each line of one origin. Two passes side by side, since a zip gives one member at a time.
fn check_origin<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    folder: &str,
    pinned: &[VerifyingKey],
) -> Result<u64, Refusal> {
    let note = small(zip, &format!("{folder}/checkpoint"))?;
    let key = small(zip, &format!("{folder}/public-key"))?;
    let key =
        VerifyingKey::parse(key.trim()).or_else(|error| wrong(format!("{folder}/public-key: {error}")))?;
    let signed = SignedNote::parse(&note).or_else(|error| wrong(format!("{folder}/checkpoint: {error}")))?;
    let claimed =
        Checkpoint::parse(signed.text()).or_else(|error| wrong(format!("{folder}/checkpoint: {error}")))?;
    let trusted = if pinned.is_empty() { vec![key] } else { trusted_keys(pinned, &signed, &claimed.origin) };
    let (checkpoint, _) = Checkpoint::open(&note, &claimed.origin, &trusted)
        .or_else(|error| wrong(format!("{folder}/checkpoint: {error}")))?;
    let mut leaves = Vec::new();
    each_line(zip, &format!("{folder}/lines.jsonl"), |line| {
        leaves.push(leaf_hash(line));
        Ok(())
    })?;
    let mut at = 0;
    each_line(zip, &format!("{folder}/proofs.jsonl"), |line| {
        let Some((index, hashes)) = parse_proof(line) else { return wrong(format!("proof {at} is none")) };
        let Some(leaf) = leaves.get(at) else { return wrong("there are more proofs than lines") };
        if verify_inclusion(leaf, index, checkpoint.size, &hashes, &checkpoint.root).is_err() {
            return wrong(format!("line {} is not event {index} of {}", at + 1, checkpoint.origin));
        }
        at += 1;
        Ok(())
    })?;
    if at == leaves.len() { Ok(at as u64) } else { wrong("there are more lines than proofs") }
}

fn parse_proof(line: &[u8]) -> Option<(u64, Vec<Hash>)> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    let hashes = value["hashes"].as_array()?.iter().map(|hash| Hash::from_base64(hash.as_str()?).ok());
    Some((value["index"].as_u64()?, hashes.collect::<Option<_>>()?))
}

fn member<'a, R: Read + Seek>(
    zip: &'a mut ZipArchive<R>,
    name: &str,
) -> Result<zip::read::ZipFile<'a, R>, Refusal> {
    zip.by_name(name).or_else(|error| wrong(format!("{name}: {error}")))
}

fn small<R: Read + Seek>(zip: &mut ZipArchive<R>, name: &str) -> Result<String, Refusal> {
    let mut text = String::new();
    let read = member(zip, name)?.take(SMALL_MEMBER_BYTES_MAX + 1).read_to_string(&mut text);
    if read.or_else(|error| wrong(format!("{name}: {error}")))? as u64 > SMALL_MEMBER_BYTES_MAX {
        return wrong(format!("{name} is too large"));
    }
    Ok(text)
}

fn hash_of<R: Read + Seek>(zip: &mut ZipArchive<R>, name: &str) -> Result<String, Refusal> {
    let mut hash = Sha256::new();
    let mut member = member(zip, name)?;
    let mut block = vec![0; 1 << 16];
    loop {
        match member.read(&mut block).or_else(|error| wrong(format!("{name}: {error}")))? {
            0 => return Ok(hex(&hash.finalize())),
            count => hash.update(&block[..count]),
        }
    }
}

fn each_line<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    name: &str,
    mut each: impl FnMut(&[u8]) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut reader = BufReader::with_capacity(1 << 16, member(zip, name)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        if read.or_else(|error| wrong(format!("{name}: {error}")))? == 0 {
            return Ok(());
        }
        let Some(text) = line.strip_suffix(b"\n") else {
            return wrong(format!("{name} has a line that is too long or does not end"));
        };
        each(text)?;
    }
}
