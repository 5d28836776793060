//! `trailseal tail`: the newest events, the oldest of them first, then new ones as they arrive.

use super::query::keep_going;
use super::reading::{filter, keys_if, source};
use crate::arguments::Tail;
use crate::failure::Outcome;
use crate::output::{Writer, is_reader_gone, stdout_for};
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, tail: &Tail, json: bool) -> Outcome {
    let filter = filter(&tail.filters)?;
    let source = source(settings, &tail.store)?;
    let format = tail.shown.format(json);
    let keys = keys_if(settings, tail.shown.personal)?;
    let mut writer = Writer::new(stdout_for(format), format, source.trails()?, keys);
    let lines = usize::try_from(tail.lines).unwrap_or(usize::MAX);
    let (newest, mut following) = source.follow(&filter, lines)?;
    for hit in &newest {
        writer.event(hit)?;
    }
    drop(newest);
    writer.finish()?;
    while tail.follow && !is_reader_gone() {
        std::thread::sleep(following.look_every());
        let (mut failed, mut has_new) = (None, false);
        following.arrived(&mut |hit| {
            has_new = true;
            keep_going(writer.event(hit), &mut failed)
        })?;
        failed.map_or(Ok(()), Err)?;
        if has_new {
            writer.finish()?;
        }
    }
    Ok(())
}
