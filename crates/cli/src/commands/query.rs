//! `trailseal query`: by scanning the segments.

use std::io::Write as _;
use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use indicatif::ProgressBar;
use trailseal_core::event::Recorded;
use trailseal_core::filter::Filter;
use trailseal_core::{Index, Reader};

use super::{filter, reader};
use crate::arguments::{Format, Order, Query};
use crate::failure::{Failure, Outcome};
use crate::output::{Writer, stdout_for, tell};
use crate::progress;
use crate::settings::Settings;

/// How many lines are looked at between two moves of a progress bar.
const SHOWN_EVERY: u64 = 4_096;

/// How many a table shows unless told otherwise.
const TABLE_LIMIT: u64 = 50;

pub(super) fn run(settings: &Settings, query: &Query, json: bool) -> Outcome {
    let filter = filter(&query.filters)?;
    let mut reader = reader(settings)?;
    if query.count {
        return count(&mut reader, &filter, json);
    }
    let format = query.format.unwrap_or(if json { Format::Jsonl } else { Format::Table });
    let limit = query.limit.or((format == Format::Table).then_some(TABLE_LIMIT)).unwrap_or(u64::MAX);
    let range = range(&reader, query)?;
    let mut writer = Writer::new(stdout_for(format), format, &reader);
    let mut shown = 0;
    let mut last = None;
    let mut has_more = false;
    matching(&mut reader, &filter, range, query.order, &mut |recorded, line| {
        if shown == limit {
            has_more = true;
            return Ok(ControlFlow::Break(()));
        }
        shown += 1;
        last = Some(recorded.index);
        writer.event(recorded, line)?;
        Ok(ControlFlow::Continue(()))
    })?;
    writer.finish()?;
    if let (true, Some(last)) = (has_more, last) {
        let cursor = encode_cursor(query.order, last);
        tell(&format!(
            "there are more: add --cursor {cursor} for the next ones, or --limit for more at once"
        ));
    } else if shown == 0 && format == Format::Table {
        tell("no event matches");
    }
    Ok(())
}

fn count(reader: &mut Reader, filter: &Filter, json: bool) -> Outcome {
    let mut count = 0u64;
    let end = reader.end().get();
    let bar = progress::events("counting", end);
    matching_with(reader, filter, 0..end, Order::Asc, &bar, &mut |_, _| {
        count += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    bar.finish_and_clear();
    let mut out = std::io::stdout();
    if json {
        writeln!(out, "{}", serde_json::json!({ "count": count }))?;
    } else {
        writeln!(out, "{count}")?;
    }
    Ok(())
}

/// Called with each event that matches; breaks to stop.
pub(super) type EachEvent<'a> = dyn FnMut(&Recorded, &[u8]) -> std::io::Result<ControlFlow<()>> + 'a;

/// Calls `each` with the events in `range` that match, in the order asked for.
pub(super) fn matching(
    reader: &mut Reader,
    filter: &Filter,
    range: std::ops::Range<u64>,
    order: Order,
    each: &mut EachEvent<'_>,
) -> Outcome {
    matching_with(reader, filter, range, order, &ProgressBar::hidden(), each)
}

/// The same, while `bar` shows how far it is.
pub(super) fn matching_with(
    reader: &mut Reader,
    filter: &Filter,
    range: std::ops::Range<u64>,
    order: Order,
    bar: &ProgressBar,
    each: &mut EachEvent<'_>,
) -> Outcome {
    if !filter.origin.is_empty() && !filter.origin.iter().any(|origin| origin == reader.origin()) {
        return Ok(());
    }
    let possible = filter.index_range();
    let range = range.start.max(possible.start)..range.end.min(possible.end);
    let mut failed = None;
    let mut visit = |index: Index, line: &[u8]| {
        if index.get().is_multiple_of(SHOWN_EVERY) {
            bar.inc(SHOWN_EVERY);
        }
        let Some(recorded) = filter.accept(line) else { return ControlFlow::Continue(()) };
        match each(&recorded, line) {
            Ok(flow) => flow,
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    match order {
        Order::Asc => reader.for_each(range, &mut visit)?,
        Order::Desc => reader.for_each_newest_first(range, &mut visit)?,
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// The indexes that are left after the page that a cursor ended.
fn range(reader: &Reader, query: &Query) -> Outcome<std::ops::Range<u64>> {
    let end = reader.end().get();
    let Some(cursor) = &query.cursor else { return Ok(0..end) };
    match (decode_cursor(cursor), query.order) {
        (Some((Order::Asc, last)), Order::Asc) => Ok(last.saturating_add(1)..end),
        (Some((Order::Desc, last)), Order::Desc) => Ok(0..last),
        (Some(_), _) => Err(Failure::could_not("--cursor is of a query with the other --order")),
        (None, _) => Err(Failure::could_not("--cursor is none that this program gave out")),
    }
}

fn encode_cursor(order: Order, last: u64) -> String {
    let order = if order == Order::Asc { 'a' } else { 'd' };
    URL_SAFE_NO_PAD.encode(format!("1{order}{last}"))
}

fn decode_cursor(cursor: &str) -> Option<(Order, u64)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let rest = text.strip_prefix('1')?;
    let order = match rest.chars().next()? {
        'a' => Order::Asc,
        'd' => Order::Desc,
        _ => return None,
    };
    Some((order, rest.get(1..)?.parse().ok()?))
}
