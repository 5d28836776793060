//! `trailseal tail`: the newest events, oldest of them first, then as they come.

use std::ops::ControlFlow;
use std::time::Duration;

use super::query::matching;
use super::{filter, reader};
use crate::arguments::{Format, Order, Tail};
use crate::failure::Outcome;
use crate::output::{Writer, is_reader_gone, stdout_for};
use crate::settings::Settings;

/// How often a follower looks.
const POLL: Duration = Duration::from_millis(100);

pub(super) fn run(settings: &Settings, tail: &Tail, json: bool) -> Outcome {
    let filter = filter(&tail.filters)?;
    let mut reader = reader(settings)?;
    let format = tail.format.unwrap_or(if json { Format::Jsonl } else { Format::Table });
    let mut writer = Writer::new(stdout_for(format), format, &reader);
    let mut seen = reader.end().get();
    let mut newest = Vec::new();
    if tail.lines > 0 {
        matching(&mut reader, &filter, 0..seen, Order::Desc, &mut |recorded, line| {
            newest.push((recorded.clone(), line.to_vec()));
            let is_enough = newest.len() as u64 >= tail.lines;
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
    }
    for (recorded, line) in newest.into_iter().rev() {
        writer.event(&recorded, &line)?;
    }
    writer.finish()?;
    while tail.follow && !is_reader_gone() {
        std::thread::sleep(POLL);
        reader.refresh()?;
        let end = reader.end().get();
        if end > seen {
            matching(&mut reader, &filter, seen..end, Order::Asc, &mut |recorded, line| {
                writer.event(recorded, line)?;
                Ok(ControlFlow::Continue(()))
            })?;
            writer.finish()?;
            seen = end;
        }
    }
    Ok(())
}
