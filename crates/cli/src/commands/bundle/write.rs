//! Writes bundles one member after the other, so that any number of events needs little memory.

use std::borrow::Cow;
use std::io::{self, BufWriter, Seek, Write};
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::json;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_core::{Reader, load_mask_key};
use trailseal_event::Index;
use trailseal_event::filter::Filter;
use trailseal_event::personal::{PersonalKeys, reveal};
use trailseal_export::{BundleWriter, Member, WHAT_A_BUNDLE_PROVES};
use trailseal_index::Search;
use trailseal_tlog::{Checkpoint, Hash};

use super::super::query::keep_going;
use super::SHOWN_LINES;
use crate::arguments::Filters;
use crate::destination::Destination;
use crate::failure::{Failure, Outcome};
use crate::output::{is_terminal, tell, thousands};

const BUFFER_BYTES: usize = 1 << 18;

/// Writes a bundle of the sealed events that match, of all trails; returns how many. With `keys` it also has the lines
/// with their personal values in plain, which proves nothing of these.
pub(crate) fn write(
    search: &mut Search,
    filter: &Filter,
    flags: &Filters,
    keys: Option<&dyn PersonalKeys>,
    out: Option<&Path>,
) -> Outcome<u64> {
    match out {
        Some(path) => {
            let mut destination = Destination::create(path)?;
            let bundle = BundleWriter::new(BufWriter::with_capacity(BUFFER_BYTES, destination.file()));
            let count =
                fill(bundle, search, filter, flags, keys).map_err(|failure| destination.failed(failure))?;
            destination.finish()?;
            Ok(count)
        }
        None if is_terminal() => {
            Err(Failure::could_not("a bundle is a zip file and cannot go to a terminal: use --out FILE"))
        }
        None => {
            let stdout = BufWriter::with_capacity(BUFFER_BYTES, io::stdout());
            fill(BundleWriter::to_pipe(UntilItFails::new(stdout)), search, filter, flags, keys)
        }
    }
}

/// Tells people what a bundle of `count` events proves.
pub(crate) fn tell_what_it_proves(count: u64, out: Option<&Path>) {
    let place = out.map_or_else(String::new, |path| format!(" in {}", path.display()));
    tell(&format!("{} events{place}: proves that {WHAT_A_BUNDLE_PROVES}", thousands(count)));
}

pub(super) fn fill<W: Write + Seek>(
    mut bundle: BundleWriter<W>,
    search: &mut Search,
    filter: &Filter,
    flags: &Filters,
    keys: Option<&dyn PersonalKeys>,
) -> Outcome<u64> {
    let names: Vec<String> = search.readers().map(|reader| reader.origin().to_owned()).collect();
    let wanted = names.iter().filter(|name| filter.origin.is_empty() || filter.origin.contains(name));
    let (mut origins, mut count, mut left_out) = (Vec::new(), 0, 0);
    for (folder, name) in wanted.enumerate() {
        let Some(reader) = search.reader_of(name) else { continue };
        let (note, checkpoint) = reader.checkpoint()?;
        let indexes = origin(&mut bundle, folder, reader, filter, (&note, &checkpoint))?;
        if let Some(keys) = keys {
            let member = bundle.member(format!("{folder}/{SHOWN_LINES}"))?;
            lines(member, reader, filter, &checkpoint, &|line| reveal(line, Some(keys)))?;
        }
        origins.push(json!({
            "origin": name, "folder": folder.to_string(), "count": indexes, "tree_size": checkpoint.size,
        }));
        count += indexes;
        left_out += reader.end().get().saturating_sub(checkpoint.size);
    }
    let mut about = serde_json::Map::new();
    about.insert("created".into(), SystemClock.now().to_string().into());
    about.insert("filters".into(), filters(flags).into());
    about.insert("count".into(), count.into());
    about.insert("origins".into(), origins.into());
    bundle.finish(about)?;
    if left_out > 0 {
        tell(&format!("the newest {left_out} events are not sealed yet and are left out"));
    }
    Ok(count)
}

/// Writes the folder of one origin, and returns the number of events in it.
fn origin<W: Write + Seek>(
    bundle: &mut BundleWriter<W>,
    folder: usize,
    reader: &mut Reader,
    filter: &Filter,
    (note, checkpoint): (&str, &Checkpoint),
) -> Outcome<u64> {
    let member = bundle.member(format!("{folder}/lines.jsonl"))?;
    let indexes = lines(member, reader, filter, checkpoint, &|line| Cow::Borrowed(line))?;
    let mut member = bundle.member(format!("{folder}/proofs.jsonl"))?;
    for index in &indexes {
        let hashes = reader.inclusion(Index::new(*index), checkpoint)?;
        let hashes: Vec<String> = hashes.iter().map(Hash::to_base64).collect();
        writeln!(member, "{}", json!({"index": index, "hashes": hashes}))?;
    }
    member.end();
    let key = reader.manifest().current_key().map(ToString::to_string).unwrap_or_default();
    bundle.whole_member(format!("{folder}/checkpoint"), note)?;
    bundle.whole_member(format!("{folder}/public-key"), &format!("{key}\n"))?;
    Ok(indexes.len() as u64)
}

/// Writes the lines as `shown` gives them, and returns their indexes.
fn lines<W: Write + Seek>(
    mut member: Member<'_, W>,
    reader: &mut Reader,
    filter: &Filter,
    checkpoint: &Checkpoint,
    shown: &dyn Fn(&[u8]) -> Cow<'_, [u8]>,
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
        keep_going(member.write_all(&shown(line)).and_then(|()| member.write_all(b"\n")), &mut failed)
    })?;
    failed.map_or(Ok(()), Err)?;
    member.end();
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
