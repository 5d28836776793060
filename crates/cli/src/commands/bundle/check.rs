//! Checks bundles that come from anywhere: hashes of members, checkpoint, and the proof of each line.
//!
//! Nothing in the zip is believed. Lines and their proofs are read side by side, in constant memory, and the
//! first line that is not proved ends the reading, so what a hostile zip unpacks to costs no more than the
//! genuine lines before it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use trailseal_tlog::{Checkpoint, Hash, KeyRing, SignedNote, VerifyingKey, leaf_hash, verify_inclusion};
use zip::ZipArchive;

use super::super::write_out;
use super::{FORMAT, MEMBERS, WHAT_IT_PROVES, hex};
use crate::failure::{Failure, Outcome};
use crate::output::thousands;

/// Limits on what is unpacked, whatever the zip claims.
const SMALL_MEMBER_BYTES_MAX: u64 = 1 << 20;
const LINE_BYTES_MAX: u64 = 1 << 16;
const PROOF_BYTES_MAX: u64 = 1 << 13;
const ORIGINS_MAX: usize = 10_000;

/// The end of a zip without a comment.
const ZIP_END_BYTES: usize = 22;
const ZIP_END: &[u8] = b"PK\x05\x06";

/// Checks the bundle in file `path`.
pub(crate) fn verify(path: &Path, pinned: &[VerifyingKey], json: bool) -> Outcome {
    let checked = check(path, pinned);
    let (text, is_ok) = match checked {
        Ok(checked) => (if json { checked.to_json() } else { checked.to_text() }, true),
        Err(Refusal::Wrong(what)) if json => (json!({"ok": false, "message": what}).to_string(), false),
        Err(Refusal::Wrong(what)) => (format!("TAMPERED: {what}"), false),
        Err(Refusal::Failed(what)) => return Err(Failure::could_not(format!("{}: {what}", path.display()))),
    };
    write_out(None, format!("{text}\n").as_bytes())?;
    if is_ok { Ok(()) } else { Err(Failure::No(None)) }
}

/// A bundle that holds what it promises.
struct Checked {
    origins: Vec<CheckedOrigin>,
    is_key_pinned: bool,
}

struct CheckedOrigin {
    count: u64,
    checkpoint: Checkpoint,
    key: VerifyingKey,
}

impl Checked {
    fn count(&self) -> u64 {
        self.origins.iter().map(|origin| origin.count).sum()
    }

    fn to_json(&self) -> String {
        let origins: Vec<Value> = self
            .origins
            .iter()
            .map(|CheckedOrigin { count, checkpoint, key }| {
                json!({
                    "origin": checkpoint.origin.as_str(), "count": count, "tree_size": checkpoint.size,
                    "public_key": key.to_string(),
                })
            })
            .collect();
        let mut cannot_rule_out = vec!["left_out"];
        if !self.is_key_pinned {
            cannot_rule_out.push("key_replaced");
        }
        json!({
            "ok": true, "count": self.count(), "origins": origins, "key_pinned": self.is_key_pinned,
            "proves": WHAT_IT_PROVES, "cannot_rule_out": cannot_rule_out,
        })
        .to_string()
    }

    fn to_text(&self) -> String {
        let mut text = format!("ok {} events are genuine", thousands(self.count()));
        for CheckedOrigin { count, checkpoint, key } in &self.origins {
            text.push_str(&format!("\n{} of {}, signed by {key}", thousands(*count), checkpoint.origin));
        }
        text.push_str("\ncannot rule out: that lines were left out");
        if !self.is_key_pinned {
            text.push_str("; that it was signed by somebody else's key (give the public key: --public-key)");
        }
        text
    }
}

/// Why a bundle was not believed.
enum Refusal {
    /// Something in it is not genuine.
    Wrong(String),
    /// It could not be read.
    Failed(String),
}

fn wrong<T>(what: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Wrong(what.into()))
}

type Zip = ZipArchive<BufReader<File>>;

fn open(path: &Path) -> Result<Zip, Refusal> {
    let file = File::open(path).map_err(|error| Refusal::Failed(format!("could not read it: {error}")))?;
    ZipArchive::new(BufReader::new(file))
        .map_err(|error| Refusal::Failed(format!("it is no bundle: {error}")))
}

fn check(path: &Path, pinned: &[VerifyingKey]) -> Result<Checked, Refusal> {
    let (mut zip, mut second) = (open(path)?, open(path)?);
    let manifest: Value = serde_json::from_str(&small(&mut zip, "manifest.json")?)
        .or_else(|error| wrong(format!("manifest.json is no JSON: {error}")))?;
    if manifest["format"] != FORMAT {
        return wrong(format!("it is not in the format {FORMAT}"));
    }
    let claimed = manifest["origins"].as_array().map(Vec::as_slice).unwrap_or_default();
    if claimed.is_empty() || claimed.len() > ORIGINS_MAX {
        return wrong("it names no origin, or too many");
    }
    // Two members of one name, or one that the manifest does not know, would let other tools unpack something
    // else than what is proved here.
    if zip.len() != 1 + claimed.len() * MEMBERS.len() || members_written(path)? != Some(zip.len()) {
        return wrong("it has other members than its manifest says");
    }
    let mut origins = Vec::new();
    for (number, origin) in claimed.iter().enumerate() {
        if origin["folder"].as_str() != Some(&*number.to_string()) {
            return wrong(format!("origin {number} is not in folder {number}"));
        }
        let checked = check_origin(&mut zip, &mut second, number, &manifest["members"], pinned)?;
        if origin["count"] != checked.count || origin["origin"] != checked.checkpoint.origin.as_str() {
            return wrong(format!("{number}/lines.jsonl is not what the manifest says"));
        }
        origins.push(checked);
    }
    let checked = Checked { origins, is_key_pinned: !pinned.is_empty() };
    if manifest["count"] != checked.count() {
        return wrong(format!(
            "it has {} lines, and the manifest says {}",
            checked.count(),
            manifest["count"]
        ));
    }
    Ok(checked)
}

/// How many members the zip's end says that were written, doubled names included.
fn members_written(path: &Path) -> Result<Option<usize>, Refusal> {
    let mut end = [0; ZIP_END_BYTES];
    File::open(path)
        .and_then(|mut file| {
            file.seek(SeekFrom::End(-(ZIP_END_BYTES as i64)))?;
            file.read_exact(&mut end)
        })
        .map_err(|error| Refusal::Failed(format!("could not read it: {error}")))?;
    Ok(end.starts_with(ZIP_END).then(|| usize::from(u16::from_le_bytes([end[10], end[11]]))))
}

/// Proves each line of one origin. A zip gives one member at a time, so there are two.
fn check_origin(
    zip: &mut Zip,
    second: &mut Zip,
    folder: usize,
    members: &Value,
    pinned: &[VerifyingKey],
) -> Result<CheckedOrigin, Refusal> {
    let [lines, proofs, checkpoint, public_key] = MEMBERS.map(|name| format!("{folder}/{name}"));
    let (checkpoint, key) = signed_by(zip, &checkpoint, &public_key, members, pinned)?;
    let mut lines = Lines::open(zip, &lines, LINE_BYTES_MAX)?;
    let mut proofs = Lines::open(second, &proofs, PROOF_BYTES_MAX)?;
    let (mut count, mut next) = (0, 0);
    loop {
        match (lines.next()?, proofs.next()?) {
            (false, false) => break,
            (true, true) => {}
            _ => return wrong(format!("{} and {} differ in length", lines.name, proofs.name)),
        }
        count += 1;
        let Some((index, hashes)) = parse_proof(proofs.line()) else {
            return wrong(format!("proof {count} is none"));
        };
        if index < next {
            return wrong(format!("event {index} is there twice, or not in its order"));
        }
        next = index.saturating_add(1);
        let leaf = leaf_hash(lines.line());
        if verify_inclusion(&leaf, index, checkpoint.size, &hashes, &checkpoint.root).is_err() {
            return wrong(format!("line {count} is not event {index} of {}", checkpoint.origin));
        }
    }
    lines.end(members)?;
    proofs.end(members)?;
    Ok(CheckedOrigin { count, checkpoint, key })
}

/// The checkpoint, and the trusted key that signed it.
fn signed_by(
    zip: &mut Zip,
    note_name: &str,
    key_name: &str,
    members: &Value,
    pinned: &[VerifyingKey],
) -> Result<(Checkpoint, VerifyingKey), Refusal> {
    let (note, key) = (small(zip, note_name)?, small(zip, key_name)?);
    for (name, text) in [(note_name, &note), (key_name, &key)] {
        is_described(members, name, &Sha256::digest(text.as_bytes()))?;
    }
    let key = VerifyingKey::parse(key.trim()).or_else(|error| wrong(format!("{key_name}: {error}")))?;
    let signed = SignedNote::parse(&note).or_else(|error| wrong(format!("{note_name}: {error}")))?;
    let claimed = Checkpoint::parse(signed.text()).or_else(|error| wrong(format!("{note_name}: {error}")))?;
    let trusted = if pinned.is_empty() { std::slice::from_ref(&key) } else { pinned };
    let ring = KeyRing::new(claimed.origin, trusted);
    let (checkpoint, by) = ring.open(&note).or_else(|error| wrong(format!("{note_name}: {error}")))?;
    Ok((checkpoint, by))
}

fn is_described(members: &Value, name: &str, hash: &[u8]) -> Result<(), Refusal> {
    if members[name]["sha256"] == hex(hash) {
        return Ok(());
    }
    wrong(format!("{name} is not the member that the manifest describes"))
}

fn parse_proof(line: &[u8]) -> Option<(u64, Vec<Hash>)> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let hashes = value["hashes"].as_array()?.iter().map(|hash| Hash::from_base64(hash.as_str()?).ok());
    Some((value["index"].as_u64()?, hashes.collect::<Option<_>>()?))
}

fn member<'a>(zip: &'a mut Zip, name: &str) -> Result<impl Read + 'a, Refusal> {
    zip.by_name(name).or_else(|error| wrong(format!("{name}: {error}")))
}

fn small(zip: &mut Zip, name: &str) -> Result<String, Refusal> {
    let mut text = String::new();
    let read = member(zip, name)?.take(SMALL_MEMBER_BYTES_MAX + 1).read_to_string(&mut text);
    if read.or_else(|error| wrong(format!("{name}: {error}")))? as u64 > SMALL_MEMBER_BYTES_MAX {
        return wrong(format!("{name} is too large"));
    }
    Ok(text)
}

/// The lines of a member, and the hash of all of its bytes.
struct Lines<R> {
    name: String,
    reader: BufReader<R>,
    hash: Sha256,
    line: Vec<u8>,
    line_bytes_max: u64,
}

impl<'a> Lines<Box<dyn Read + 'a>> {
    fn open(zip: &'a mut Zip, name: &str, line_bytes_max: u64) -> Result<Self, Refusal> {
        let reader: Box<dyn Read + 'a> = Box::new(member(zip, name)?);
        Ok(Lines {
            name: name.to_owned(),
            reader: BufReader::with_capacity(1 << 16, reader),
            hash: Sha256::new(),
            line: Vec::new(),
            line_bytes_max,
        })
    }
}

impl<R: Read> Lines<R> {
    /// Reads the next line; `false` at the end.
    fn next(&mut self) -> Result<bool, Refusal> {
        self.line.clear();
        let read = (&mut self.reader).take(self.line_bytes_max).read_until(b'\n', &mut self.line);
        self.hash.update(&self.line);
        if read.or_else(|error: io::Error| wrong(format!("{}: {error}", self.name)))? == 0 {
            return Ok(false);
        }
        if self.line.pop() != Some(b'\n') {
            return wrong(format!("{} has a line that is too long or does not end", self.name));
        }
        Ok(true)
    }

    fn line(&self) -> &[u8] {
        &self.line
    }

    /// Whether the bytes were those that the manifest describes.
    fn end(self, members: &Value) -> Result<(), Refusal> {
        is_described(members, &self.name, &self.hash.finalize())
    }
}
