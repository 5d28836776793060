//! `trailseal query`: uses the index, and scans what it lacks.

use std::io::Write as _;
use std::ops::ControlFlow;

use trailseal_event::filter::Filter;
use trailseal_event::{By, First, Hit};
use trailseal_index::Search;

use super::near::tell_near;
use super::reading::{filter, keys_if, source};
use super::source::{Source, tell_lacking_key};
use crate::arguments::{Format, Order, OrderBy, Query};
use crate::failure::Outcome;
use crate::output::{Writer, stdout_for, tell};
use crate::progress;
use crate::settings::Settings;

/// How many events a table shows by default.
const TABLE_LIMIT: usize = 50;

pub(super) fn run(settings: &Settings, query: &Query, json: bool) -> Outcome {
    let filter = filter(&query.filters)?;
    let mut source = source(settings, &query.store)?;
    if let Some(cursor) = &query.cursor {
        source.check(cursor, order(query))?;
    }
    if query.count {
        return count(&mut *source, &filter, json);
    }
    let format = query.shown.format(json);
    let limit = query.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let limit = limit.or((format == Format::Table).then_some(TABLE_LIMIT)).unwrap_or(usize::MAX);
    let keys = keys_if(settings, query.shown.personal)?;
    let mut writer = Writer::new(stdout_for(format), format, source.trails()?, keys);
    let (mut shown, mut failed) = (0, None);
    let next = source.some(&filter, order(query), query.cursor.as_deref(), limit, &mut |hit| {
        shown += 1;
        keep_going(writer.event(hit), &mut failed)
    })?;
    failed.map_or(Ok(()), Err)?;
    writer.finish()?;
    if limit == 0 {
        return Ok(());
    }
    if let Some(next) = next {
        tell(&format!("there are more: add --cursor {next} for the next page, or --limit for more at once"));
    } else if shown == 0 && format == Format::Table {
        tell("no event matches");
        if query.cursor.is_none() {
            tell_near(&mut *source, &filter)?;
        }
    }
    if shown == 0 {
        tell_lacking_key(&*source, &filter);
        if let Some(gone) = source.retired(&filter)? {
            return Err(gone);
        }
    }
    Ok(())
}

fn count(source: &mut dyn Source, filter: &Filter, json: bool) -> Outcome {
    let spinner = progress::spinner("counting");
    let count = source.count(filter)?;
    spinner.finish_and_clear();
    if count == 0 {
        tell_lacking_key(source, filter);
    }
    let mut out = std::io::stdout();
    if json {
        writeln!(out, "{}", serde_json::json!({ "count": count }))?;
    } else {
        writeln!(out, "{count}")?;
    }
    Ok(())
}

/// Calls `each` with every matching event, in this order.
pub(super) fn every(
    search: &mut Search,
    filter: &Filter,
    order: trailseal_index::Order,
    each: &mut dyn FnMut(&Hit) -> std::io::Result<()>,
) -> Outcome {
    let mut failed = None;
    search.each(filter, order, None, &mut |hit| keep_going(each(hit), &mut failed))?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Whether to continue after `result`; an error is kept in `failed`.
pub(super) fn keep_going<E>(result: Result<(), E>, failed: &mut Option<E>) -> ControlFlow<()> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            *failed = Some(error);
            ControlFlow::Break(())
        }
    }
}

fn order(query: &Query) -> trailseal_event::Order {
    let by = if query.order_by == OrderBy::Time { By::Time } else { By::Recorded };
    let first = if query.order == Order::Asc { First::Oldest } else { First::Newest };
    trailseal_event::Order { by, first }
}
