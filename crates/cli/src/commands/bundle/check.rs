//! Checks bundles from untrusted sources: hashes of members, checkpoint, and the proof of each line.
//!
//! Nothing in the zip is trusted: [`layout`](super::layout) says where each member is, or that the file is not one of
//! ours, and this module decompresses the members from there. Lines and their proofs are read side by side in constant
//! memory. The first line without proof ends the reading, so a hostile zip costs no more to decompress than the genuine
//! lines before it.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use trailseal_core::file::open_named;
use trailseal_event::personal::is_shown_line;
use trailseal_export::{BUNDLE_FORMAT, WHAT_A_BUNDLE_PROVES};
use trailseal_tlog::{Checkpoint, Hash, KeyRing, SignedNote, VerifyingKey, leaf_hash, verify_inclusion};

use super::super::text::write_out;
use super::layout::{LayoutError, Place, walk};
use super::{MEMBERS, PACKED_LINES, SHOWN_LINES, hex};
use crate::failure::{Failure, Outcome};
use crate::output::thousands;

/// Limits on decompressed sizes, whatever the zip claims.
const SMALL_MEMBER_BYTES_MAX: u64 = 1 << 20;
const MANIFEST_BYTES_MAX: u64 = 16 << 20;
const LINE_BYTES_MAX: u64 = 1 << 16;
const PROOF_BYTES_MAX: u64 = 1 << 13;
/// As a power of two: what a hostile frame may make us hold.
const WINDOW_LOG_MAX: u32 = 23;
const ORIGINS_MAX: usize = 10_000;
const BUFFER_BYTES: usize = 1 << 16;

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

/// A genuine bundle.
pub(super) struct Checked {
    origins: Vec<CheckedOrigin>,
    is_key_pinned: bool,
}

struct CheckedOrigin {
    count: u64,
    checkpoint: Checkpoint,
    key: VerifyingKey,
    /// Whether it also has the lines with personal values in plain.
    is_shown: bool,
}

impl Checked {
    pub(super) fn count(&self) -> u64 {
        self.origins.iter().map(|origin| origin.count).sum()
    }

    fn has_personal(&self) -> bool {
        self.origins.iter().any(|origin| origin.is_shown)
    }

    pub(super) fn to_json(&self) -> String {
        let origins: Vec<Value> = self
            .origins
            .iter()
            .map(|CheckedOrigin { count, checkpoint, key, .. }| {
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
        if self.has_personal() {
            cannot_rule_out.push("personal_values");
        }
        json!({
            "ok": true, "count": self.count(), "origins": origins, "key_pinned": self.is_key_pinned,
            "proves": WHAT_A_BUNDLE_PROVES, "cannot_rule_out": cannot_rule_out,
        })
        .to_string()
    }

    fn to_text(&self) -> String {
        let mut text = format!("ok {} events are genuine", thousands(self.count()));
        for CheckedOrigin { count, checkpoint, key, .. } in &self.origins {
            text.push_str(&format!("\n{} of {}, signed by {key}", thousands(*count), checkpoint.origin));
        }
        text.push_str("\ncannot rule out: that lines were left out");
        if !self.is_key_pinned {
            text.push_str("; that it was signed by somebody else's key (give the public key: --public-key)");
        }
        if self.has_personal() {
            text.push_str("; that personal values in plain were made up: only their cipher text is proved");
        }
        text
    }
}

/// Why a bundle was rejected.
pub(super) enum Refusal {
    /// Something in it is not genuine.
    Wrong(String),
    /// It could not be read.
    Failed(String),
}

fn wrong<T>(what: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Wrong(what.into()))
}

/// A bundle file, and where its members are.
struct Zip {
    file: File,
    /// In their order.
    names: Vec<String>,
    places: HashMap<String, Place>,
}

impl Zip {
    fn open(path: &Path) -> Result<Zip, Refusal> {
        let unread = |error| Refusal::Failed(format!("could not read it: {error}"));
        let mut file = open_named(path).map_err(unread)?;
        match walk(&mut file) {
            Ok(places) => Ok(Zip {
                file,
                names: places.iter().map(|place| place.name.clone()).collect(),
                places: places.into_iter().map(|place| (place.name.clone(), place)).collect(),
            }),
            Err(LayoutError::NoZip) => Err(Refusal::Failed("it is not a bundle".into())),
            Err(LayoutError::Other(what)) => {
                wrong(format!("it does not have the layout of a bundle: {what}"))
            }
            Err(LayoutError::Io(error)) => Err(unread(error)),
        }
    }

    /// The names of the members of an origin. Its lines are compressed in archives.
    fn members_of(&self, folder: usize) -> [String; 4] {
        let mut names = MEMBERS.map(|name| format!("{folder}/{name}"));
        let packed = format!("{folder}/{PACKED_LINES}");
        if self.places.contains_key(&packed) {
            names[0] = packed;
        }
        names
    }

    /// The name of the member with an origin's lines in plain, if there is one.
    fn shown_lines_of(&self, folder: usize) -> Option<String> {
        Some(format!("{folder}/{SHOWN_LINES}")).filter(|name| self.places.contains_key(name))
    }

    /// Decompresses a member.
    fn member(&self, name: &str) -> Result<Unpacked, Refusal> {
        let Some(place) = self.places.get(name) else { return wrong(format!("{name} is not in it")) };
        let file = self.file.try_clone().map_err(unpacking(name))?;
        let packed = Packed { file, at: place.packed.clone() };
        let decoder = DeflateDecoder::new(BufReader::with_capacity(BUFFER_BYTES, packed));
        Ok(Unpacked { decoder, place: place.clone(), crc: Crc::new() })
    }
}

/// For `map_err`: a member that could not be decompressed. Invalid data is a finding; a disk error is not.
fn unpacking(name: &str) -> impl Fn(io::Error) -> Refusal {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    move |error| match error.kind() {
        InvalidData | InvalidInput | UnexpectedEof => Refusal::Wrong(format!("{name}: {error}")),
        _ => Refusal::Failed(format!("could not read {name}: {error}")),
    }
}

/// The deflated bytes of a member.
struct Packed {
    file: File,
    at: std::ops::Range<u64>,
}

impl Read for Packed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.at.end - self.at.start).unwrap_or(usize::MAX);
        let len = out.len().min(left);
        let count = self.file.read_at(&mut out[..len], self.at.start)?;
        self.at.start += count as u64;
        Ok(count)
    }
}

/// The bytes of a member. Their end is an error unless both sizes are those in the zip: otherwise something else could
/// be hidden after the deflated data.
struct Unpacked {
    decoder: DeflateDecoder<BufReader<Packed>>,
    place: Place,
    crc: Crc,
}

impl Read for Unpacked {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder.read(out)?;
        self.crc.update(&out[..count]);
        let Place { packed, size, crc, .. } = &self.place;
        let is_end = count == 0 && !out.is_empty();
        let packed = packed.end - packed.start;
        let is_whole =
            || (self.decoder.total_in(), self.decoder.total_out(), self.crc.sum()) == (packed, *size, *crc);
        if self.decoder.total_out() > *size || (is_end && !is_whole()) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its size is not the one in the zip"));
        }
        Ok(count)
    }
}

pub(super) fn check(path: &Path, pinned: &[VerifyingKey]) -> Result<Checked, Refusal> {
    let zip = Zip::open(path)?;
    let manifest: Value = serde_json::from_str(&text(&zip, "manifest.json", MANIFEST_BYTES_MAX)?)
        .or_else(|error| wrong(format!("manifest.json is not JSON: {error}")))?;
    if manifest["format"] != BUNDLE_FORMAT {
        return wrong(format!("its format is not {BUNDLE_FORMAT}"));
    }
    let claimed = manifest["origins"].as_array().map(Vec::as_slice).unwrap_or_default();
    if claimed.is_empty() || claimed.len() > ORIGINS_MAX {
        return wrong("it names no origin, or too many");
    }
    // Two members with one name, or one that the manifest does not list, would let other tools extract something other
    // than what is proved here.
    let of_origins = (0..claimed.len())
        .flat_map(|folder| zip.members_of(folder).into_iter().chain(zip.shown_lines_of(folder)));
    if !of_origins.chain(["manifest.json".to_owned()]).eq(zip.names.iter().cloned()) {
        return wrong("its members are not those of its manifest, or in another order");
    }
    let mut origins: Vec<CheckedOrigin> = Vec::new();
    let mut names = HashSet::new();
    for (number, origin) in claimed.iter().enumerate() {
        if origin["folder"].as_str() != Some(&*number.to_string()) {
            return wrong(format!("origin {number} is not in folder {number}"));
        }
        let checked = check_origin(&zip, number, &manifest["members"], pinned)?;
        let CheckedOrigin { count, checkpoint, .. } = &checked;
        if origin["count"] != *count
            || origin["origin"] != checkpoint.origin.as_str()
            || origin["tree_size"] != checkpoint.size
        {
            return wrong(format!("folder {number} is not what the manifest says"));
        }
        // Its events would count twice.
        if !names.insert(checkpoint.origin.to_string()) {
            return wrong(format!("the origin {} is in it twice", checkpoint.origin));
        }
        origins.push(checked);
    }
    let checked = Checked { origins, is_key_pinned: !pinned.is_empty() };
    if manifest["count"] != checked.count() {
        return wrong(format!(
            "it has {} lines, but the manifest says {}",
            checked.count(),
            manifest["count"]
        ));
    }
    Ok(checked)
}

/// Proves each line of one origin.
fn check_origin(
    zip: &Zip,
    folder: usize,
    members: &Value,
    pinned: &[VerifyingKey],
) -> Result<CheckedOrigin, Refusal> {
    let [lines, proofs, checkpoint, public_key] = zip.members_of(folder);
    let (checkpoint, key) = signed_by(zip, &checkpoint, &public_key, members, pinned)?;
    let mut lines = Lines::open(zip, &lines, LINE_BYTES_MAX)?;
    let mut proofs = Lines::open(zip, &proofs, PROOF_BYTES_MAX)?;
    let shown = zip.shown_lines_of(folder);
    let mut shown = shown.map(|name| Lines::open(zip, &name, LINE_BYTES_MAX)).transpose()?;
    let (mut count, mut next) = (0, 0);
    loop {
        match (lines.next()?, proofs.next()?) {
            (false, false) => break,
            (true, true) => {}
            _ => return wrong(format!("{} and {} differ in length", lines.name, proofs.name)),
        }
        count += 1;
        let Some((index, hashes)) = parse_proof(proofs.line()) else {
            return wrong(format!("proof {count} is malformed"));
        };
        if index < next {
            return wrong(format!("event {index} occurs twice or out of order"));
        }
        next = index.saturating_add(1);
        let leaf = leaf_hash(lines.line());
        if verify_inclusion(&leaf, index, checkpoint.size, &hashes, &checkpoint.root).is_err() {
            return wrong(format!("line {count} is not event {index} of {}", checkpoint.origin));
        }
        if let Some(shown) = &mut shown
            && !(shown.next()? && is_same_line(lines.line(), shown.line()))
        {
            return wrong(format!("line {count} of {} is not the one that is proved", shown.name));
        }
    }
    lines.end(members)?;
    proofs.end(members)?;
    let is_shown = shown.is_some();
    if let Some(mut shown) = shown {
        if shown.next()? {
            return wrong(format!("{} has more lines than are proved", shown.name));
        }
        shown.end(members)?;
    }
    Ok(CheckedOrigin { count, checkpoint, key, is_shown })
}

fn is_same_line(line: &[u8], shown: &[u8]) -> bool {
    is_shown_line(line, shown) || cfg!(trailseal_fault = "personal_lines_not_compared")
}

/// The checkpoint, and the trusted key that signed it.
fn signed_by(
    zip: &Zip,
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
    wrong(format!("{name} does not match its hash in the manifest"))
}

fn parse_proof(line: &[u8]) -> Option<(u64, Vec<Hash>)> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let hashes = value["hashes"].as_array()?.iter().map(|hash| Hash::from_base64(hash.as_str()?).ok());
    Some((value["index"].as_u64()?, hashes.collect::<Option<_>>()?))
}

fn small(zip: &Zip, name: &str) -> Result<String, Refusal> {
    text(zip, name, SMALL_MEMBER_BYTES_MAX)
}

fn text(zip: &Zip, name: &str, bytes_max: u64) -> Result<String, Refusal> {
    let mut text = String::new();
    let read = zip.member(name)?.take(bytes_max + 1).read_to_string(&mut text);
    if read.map_err(unpacking(name))? as u64 > bytes_max {
        return wrong(format!("{name} is too large"));
    }
    Ok(text)
}

/// The lines of a member, and the hash of all of its bytes.
struct Lines {
    name: String,
    reader: BufReader<Content>,
    line: Vec<u8>,
    line_bytes_max: u64,
}

/// The bytes of a member; of one that is compressed, what it holds.
enum Content {
    Plain(Box<Hashed>),
    Packed(Box<zstd::Decoder<'static, BufReader<Hashed>>>),
}

/// Bytes, and their hash.
struct Hashed {
    member: Unpacked,
    hash: Sha256,
}

impl Read for Hashed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.member.read(out)?;
        self.hash.update(&out[..count]);
        Ok(count)
    }
}

impl Read for Content {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Content::Plain(member) => member.read(out),
            // Whatever is wrong with what is compressed is a finding. A disk error keeps its kind.
            Content::Packed(member) => member.read(out).map_err(|error| match error.kind() {
                io::ErrorKind::Other => io::Error::new(io::ErrorKind::InvalidData, error),
                _ => error,
            }),
        }
    }
}

impl Content {
    /// The hash of the member, of which everything was read. A frame of zstd is all of it: after one, or in one that is
    /// to be skipped, anything could be hidden.
    fn end(self) -> io::Result<Sha256> {
        match self {
            Content::Plain(member) => Ok(member.hash),
            Content::Packed(decoder) => {
                let mut rest = decoder.finish();
                if rest.read(&mut [0])? != 0 && !cfg!(trailseal_fault = "bytes_behind_lines") {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "there are bytes after its lines",
                    ));
                }
                Ok(rest.into_inner().hash)
            }
        }
    }
}

impl Lines {
    fn open(zip: &Zip, name: &str, line_bytes_max: u64) -> Result<Self, Refusal> {
        let member = Hashed { member: zip.member(name)?, hash: Sha256::new() };
        let content = if name.ends_with(".zst") {
            unpack(member).map_err(unpacking(name))?
        } else {
            Content::Plain(Box::new(member))
        };
        let reader = BufReader::with_capacity(BUFFER_BYTES, content);
        Ok(Lines { name: name.to_owned(), reader, line: Vec::new(), line_bytes_max })
    }

    /// Reads the next line; `false` at the end.
    fn next(&mut self) -> Result<bool, Refusal> {
        self.line.clear();
        let read = (&mut self.reader).take(self.line_bytes_max).read_until(b'\n', &mut self.line);
        if read.map_err(unpacking(&self.name))? == 0 {
            return Ok(false);
        }
        if self.line.pop() != Some(b'\n') {
            return wrong(format!("{} has a line that is too long or has no end", self.name));
        }
        Ok(true)
    }

    fn line(&self) -> &[u8] {
        &self.line
    }

    /// Whether the bytes match the hash in the manifest.
    fn end(self, members: &Value) -> Result<(), Refusal> {
        let hash = self.reader.into_inner().end().map_err(unpacking(&self.name))?;
        is_described(members, &self.name, &hash.finalize())
    }
}

fn unpack(member: Hashed) -> io::Result<Content> {
    let mut decoder = zstd::Decoder::new(member)?.single_frame();
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    Ok(Content::Packed(Box::new(decoder)))
}
