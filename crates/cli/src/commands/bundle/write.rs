//! Writes bundles one member after the other, so that any number of events needs little memory.

use std::io::{self, BufWriter, Seek, Write};
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_core::{Reader, load_mask_key};
use trailseal_event::Index;
use trailseal_event::filter::Filter;
use trailseal_index::Search;
use trailseal_tlog::{Checkpoint, Hash};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::super::query::keep_going;
use super::{FORMAT, WHAT_IT_PROVES, hex};
use crate::arguments::Filters;
use crate::destination::Destination;
use crate::failure::{Failure, Outcome};
use crate::output::{is_terminal, tell, thousands};

const BUFFER_BYTES: usize = 1 << 18;

/// Writes a bundle of the sealed events that match, of all trails; returns how many.
pub(crate) fn write(
    search: &mut Search,
    filter: &Filter,
    flags: &Filters,
    out: Option<&Path>,
) -> Outcome<u64> {
    match out {
        Some(path) => {
            let mut destination = Destination::create(path)?;
            let zip = ZipWriter::new(BufWriter::with_capacity(BUFFER_BYTES, destination.file()));
            let count = fill(zip, search, filter, flags).map_err(|failure| destination.failed(failure))?;
            destination.finish()?;
            Ok(count)
        }
        None if is_terminal() => {
            Err(Failure::could_not("a bundle is a zip file and cannot go to a terminal: use --out FILE"))
        }
        None => {
            let stdout = BufWriter::with_capacity(BUFFER_BYTES, io::stdout());
            fill(ZipWriter::new_stream(UntilItFails::new(stdout)), search, filter, flags)
        }
    }
}

/// Tells people what a bundle of `count` events proves.
pub(crate) fn tell_what_it_proves(count: u64, out: Option<&Path>) {
    let place = out.map_or_else(String::new, |path| format!(" in {}", path.display()));
    tell(&format!("{} events{place}: proves that {WHAT_IT_PROVES}", thousands(count)));
}

pub(super) fn fill<W: Write + Seek>(
    mut zip: ZipWriter<W>,
    search: &mut Search,
    filter: &Filter,
    flags: &Filters,
) -> Outcome<u64> {
    let names: Vec<String> = search.readers().map(|reader| reader.origin().to_owned()).collect();
    let wanted = names.iter().filter(|name| filter.origin.is_empty() || filter.origin.contains(name));
    let (mut members, mut origins, mut count, mut left_out) = (serde_json::Map::new(), Vec::new(), 0, 0);
    for (folder, name) in wanted.enumerate() {
        let Some(reader) = search.reader_of(name) else { continue };
        let (note, checkpoint) = reader.checkpoint()?;
        let indexes = origin(&mut zip, folder, reader, filter, (&note, &checkpoint), &mut members)?;
        origins.push(json!({
            "origin": name, "folder": folder.to_string(), "count": indexes, "tree_size": checkpoint.size,
        }));
        count += indexes;
        left_out += reader.end().get().saturating_sub(checkpoint.size);
    }
    let manifest = json!({
        "format": FORMAT,
        "created": SystemClock.now().to_string(),
        "filters": filters(flags),
        "count": count,
        "proves": WHAT_IT_PROVES,
        "origins": origins,
        "members": members,
    });
    Member::begin(&mut zip, "manifest.json".into())?.write(format!("{manifest:#}\n").as_bytes())?;
    zip.finish().map_err(zip_failed)?.flush()?;
    if left_out > 0 {
        tell(&format!("the newest {left_out} events are not sealed yet and are left out"));
    }
    Ok(count)
}

/// Writes the folder of one origin, and returns the number of events in it.
fn origin<W: Write + Seek>(
    zip: &mut ZipWriter<W>,
    folder: usize,
    reader: &mut Reader,
    filter: &Filter,
    (note, checkpoint): (&str, &Checkpoint),
    members: &mut serde_json::Map<String, serde_json::Value>,
) -> Outcome<u64> {
    let member = Member::begin(zip, format!("{folder}/lines.jsonl"))?;
    let indexes = lines(member, reader, filter, checkpoint, members)?;
    let mut member = Member::begin(zip, format!("{folder}/proofs.jsonl"))?;
    for index in &indexes {
        let hashes = reader.inclusion(Index::new(*index), checkpoint)?;
        let hashes: Vec<String> = hashes.iter().map(Hash::to_base64).collect();
        member.write(format!("{}\n", json!({"index": index, "hashes": hashes})).as_bytes())?;
    }
    member.end(members);
    let key = reader.manifest().current_key().map(ToString::to_string).unwrap_or_default();
    for (name, text) in [("checkpoint", note.to_owned()), ("public-key", format!("{key}\n"))] {
        let mut member = Member::begin(zip, format!("{folder}/{name}"))?;
        member.write(text.as_bytes())?;
        member.end(members);
    }
    Ok(indexes.len() as u64)
}

/// Writes the lines, and returns their indexes.
fn lines<W: Write + Seek>(
    mut member: Member<'_, W>,
    reader: &mut Reader,
    filter: &Filter,
    checkpoint: &Checkpoint,
    members: &mut serde_json::Map<String, serde_json::Value>,
) -> Outcome<Vec<u64>> {
    let key = load_mask_key(reader.folder()).ok().flatten();
    let filter = &filter.as_stored(key.as_ref());
    let mut indexes = Vec::new();
    let possible = filter.index_range();
    let range = possible.start..possible.end.min(checkpoint.size);
    let mut failed = None;
    reader.for_each(range, &mut |index, line| {
        if !filter.accepts(line) {
            return ControlFlow::Continue(());
        }
        indexes.push(index.get());
        keep_going(member.write(line).and_then(|()| member.write(b"\n")), &mut failed)
    })?;
    failed.map_or(Ok(()), Err)?;
    member.end(members);
    Ok(indexes)
}

/// The filters as they appear in the manifest.
fn filters(flags: &Filters) -> serde_json::Map<String, serde_json::Value> {
    let mut filters = serde_json::Map::new();
    for (name, value) in flags.pairs() {
        let values = filters.entry(name).or_insert_with(|| json!([]));
        if let Some(values) = values.as_array_mut() {
            values.push(value.into());
        }
    }
    if flags.system {
        filters.insert("system".into(), true.into());
    }
    filters
}

/// A zip member being written, with the hash of its bytes.
struct Member<'a, W: Write + Seek> {
    zip: &'a mut ZipWriter<W>,
    name: String,
    hash: Sha256,
}

impl<'a, W: Write + Seek> Member<'a, W> {
    fn begin(zip: &'a mut ZipWriter<W>, name: String) -> Outcome<Self> {
        let options = SimpleFileOptions::default().large_file(true);
        zip.start_file(name.as_str(), options).map_err(zip_failed)?;
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

/// A pipe for a zip. After an error it accepts and drops the rest: a `ZipWriter` that is dropped tries to finish its
/// zip, and prints to stderr, past us, if it cannot. From then on flushing fails, so a truncated zip never passes for a
/// complete one.
pub(super) struct UntilItFails<W> {
    out: W,
    has_failed: bool,
}

impl<W> UntilItFails<W> {
    pub(super) fn new(out: W) -> Self {
        UntilItFails { out, has_failed: false }
    }

    fn keep<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.has_failed |= result.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted);
        result
    }
}

impl<W: Write> Write for UntilItFails<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.has_failed {
            return Ok(bytes.len());
        }
        let written = self.out.write(bytes);
        self.keep(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.has_failed {
            return Err(io::Error::other("the bundle could not be written completely"));
        }
        let flushed = self.out.flush();
        self.keep(flushed)
    }
}

fn zip_failed(error: zip::result::ZipError) -> Failure {
    match error {
        zip::result::ZipError::Io(error) => error.into(),
        other => Failure::could_not(format!("could not write the zip: {other}")),
    }
}
