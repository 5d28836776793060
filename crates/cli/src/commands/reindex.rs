//! `trailseal reindex`: rebuilds the embedded index, or the tree, from the segments.

use std::io::Write as _;
use std::sync::Arc;

use trailseal_core::deliver::{Batch, Follower, Lines, Sink as _};
use trailseal_core::file::StdFiles;
use trailseal_core::tree::rebuild_tree;
use trailseal_core::{Folder, Reader};
use trailseal_index::{FOLDER, IndexOptions, Indexer};

use crate::arguments::Reindex;
use crate::failure::{Failure, Outcome};
use crate::output::{tell, thousands};
use crate::progress;
use crate::settings::Settings;

const BATCH_EVENTS: usize = 5_000;
const BATCH_BYTES: usize = 8 << 20;

pub(super) fn run(settings: &Settings, arguments: &Reindex, json: bool) -> Outcome {
    let dir = settings.dir();
    let files = Arc::new(StdFiles);
    let folders = super::reading::trails_to_read(&dir)?;
    if arguments.tree {
        return folders.into_iter().try_for_each(|folder| rebuild(&Folder::new(folder, files.clone()), json));
    }
    for folder in folders {
        let reader = Reader::open(&folder, files.clone())?;
        if let Some(holder) = reader.holder() {
            return Err(Failure::could_not(format!(
                "{} is in use by {}: stop that process, then reindex",
                folder.display(),
                holder.text
            )));
        }
        let count = reindex(&reader)?;
        if json {
            let answer = serde_json::json!({"origin": reader.origin(), "indexed": count});
            writeln!(std::io::stdout(), "{answer}")?;
        } else {
            tell(&format!("{}: {} events indexed", reader.origin(), thousands(count)));
        }
    }
    Ok(())
}

fn rebuild(folder: &Folder, json: bool) -> Outcome {
    let rebuilt = rebuild_tree(folder)?;
    if json {
        let answer = serde_json::json!({"dir": folder.root(), "tree_size": rebuilt.tree_size});
        writeln!(std::io::stdout(), "{answer}")?;
    } else {
        let count = thousands(rebuilt.tree_size);
        tell(&format!("{}: the tree of {count} events was rebuilt", folder.root().display()));
    }
    Ok(())
}

fn reindex(reader: &Reader) -> Outcome<u64> {
    let folder = reader.folder().root().join(FOLDER);
    trailseal_index::remove(&folder)?;
    let mut options = IndexOptions::new(reader.origin());
    options.batch_events_max = BATCH_EVENTS;
    let mut indexer = Indexer::open(&folder, options)?;
    let trail = Folder::new(reader.folder().root(), reader.folder().files().clone());
    let failed = |error| Failure::could_not(format!("could not read the segments: {error}"));
    let mut follower = Follower::new(trail, trailseal_event::Index::new(0)).map_err(failed)?;
    let mut lines = Lines::default();
    // Events that are only in the handoff have no place yet; the next opening delivers them.
    let end = trailseal_event::Index::new(reader.end().get() - reader.only_in_handoff());
    let bar = progress::events("indexing", end.get());
    while follower.next() < end {
        let first = follower.next();
        lines.clear();
        follower.read(end, BATCH_EVENTS, BATCH_BYTES, &mut lines).map_err(failed)?;
        let batch_lines = lines.as_batch_lines();
        indexer.deliver(&Batch { first, lines: &batch_lines })?;
        bar.set_position(follower.next().get());
    }
    indexer.idle()?;
    bar.finish_and_clear();
    Ok(end.get())
}
