//! `trailseal tail`: the newest events, the oldest of them first, then new ones as they arrive.

use std::time::Duration;

use super::query::keep_going;
use super::reading::{filter, keys_if, search};
use crate::arguments::{Format, Tail};
use crate::failure::Outcome;
use crate::output::{Trails, Writer, is_reader_gone, stdout_for};
use crate::settings::Settings;

/// How often a follower polls.
const POLL: Duration = Duration::from_millis(100);

pub(super) fn run(settings: &Settings, tail: &Tail, json: bool) -> Outcome {
    let filter = filter(&tail.filters)?;
    let mut search = search(settings)?;
    let format = tail.format.unwrap_or(if json { Format::Jsonl } else { Format::Table });
    let keys = keys_if(settings, tail.personal)?;
    let mut writer = Writer::new(stdout_for(format), format, Trails::of(&search), keys);
    let mut seen = search.end();
    let lines = usize::try_from(tail.lines).unwrap_or(usize::MAX);
    let newest = search.page(&filter, trailseal_index::Order::NEWEST_RECORDED, None, lines, None)?;
    for hit in newest.hits.iter().rev() {
        writer.event(hit)?;
    }
    writer.finish()?;
    while tail.follow && !is_reader_gone() {
        std::thread::sleep(POLL);
        search.refresh()?;
        // Taken before the lines are read: what arrives meanwhile is shown by the next look. After a crash of the
        // writer, what only its handoff holds is visible, and then for a moment not, while the next writer recovers it:
        // it must not be shown twice.
        let end = seen.or_later(&search.end());
        if end != seen {
            let (mut failed, since) = (None, std::mem::replace(&mut seen, end));
            search.each(&filter, trailseal_index::Order::OLDEST_RECORDED, Some(&since), &mut |hit| {
                keep_going(writer.event(hit), &mut failed)
            })?;
            failed.map_or(Ok(()), Err)?;
            writer.finish()?;
        }
    }
    Ok(())
}
