//! Writes bundles one member after the other, so that any number of events needs little memory.

use std::io::{self, BufWriter, Seek, Write};
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::json;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_core::load_mask_key;
use trailseal_event::filter::Filter;
use trailseal_event::personal::{PersonalKeys, reveal};
use trailseal_export::{BundleWriter, Bundled, UntilItFails, WHAT_A_BUNDLE_PROVES};
use trailseal_index::Search;

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
            let file = BufWriter::with_capacity(BUFFER_BYTES, destination.file());
            let bundle = BundleWriter::new(UntilItFails::new(file));
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
        let key = load_mask_key(reader.folder()).ok().flatten();
        let filter = filter.as_stored(key.as_ref());
        let is_wanted = |line: &[u8]| ControlFlow::Continue(filter.accepts(line));
        let Bundled { indexes, tree_size, unsealed } =
            bundle.origin(folder, reader, filter.index_range(), &is_wanted)?;
        if let Some(keys) = keys {
            let (range, shown) = (filter.index_range(), format!("{folder}/{SHOWN_LINES}"));
            let range = range.start..range.end.min(tree_size);
            bundle.lines(shown, reader, range, &is_wanted, &|line| reveal(line, Some(keys)))?;
        }
        let indexes = indexes.len() as u64;
        origins.push(json!({
            "origin": name, "folder": folder.to_string(), "count": indexes, "tree_size": tree_size,
        }));
        count += indexes;
        left_out += unsealed;
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
