//! `trailseal query`: uses the index, and scans what it lacks.

use std::io::Write as _;
use std::ops::ControlFlow;

use trailseal_core::{ReadError, RetiredEvent};
use trailseal_event::filter::{Filter, IdFilter};
use trailseal_index::{By, Cursor, First, Hit, Search};

use super::reading::{filter, keys_if, search};
use crate::arguments::{Format, Order, OrderBy, Query};
use crate::failure::{Failure, Outcome};
use crate::output::{Writer, stdout_for, tell};
use crate::progress;
use crate::settings::Settings;

/// How many events a table shows by default.
const TABLE_LIMIT: usize = 50;

pub(super) fn run(settings: &Settings, query: &Query, json: bool) -> Outcome {
    let filter = filter(&query.filters)?;
    let mut search = search(settings)?;
    let cursor = cursor(query, &search)?;
    if query.count {
        return count(&mut search, &filter, json);
    }
    let format = query.format.unwrap_or(if json { Format::Jsonl } else { Format::Table });
    let limit = query.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let limit = limit.or((format == Format::Table).then_some(TABLE_LIMIT)).unwrap_or(usize::MAX);
    let keys = keys_if(settings, query.personal)?;
    let mut writer = Writer::new(stdout_for(format), format, &search, keys);
    let (mut shown, mut failed) = (0, None);
    let next = search.some(&filter, order(query), cursor.as_ref(), limit, &mut |hit| {
        shown += 1;
        keep_going(writer.event(hit), &mut failed)
    })?;
    failed.map_or(Ok(()), Err)?;
    writer.finish()?;
    if let Some(next) = next {
        tell(&format!("there are more: add --cursor {next} for the next page, or --limit for more at once"));
    } else if shown == 0 && format == Format::Table {
        tell("no event matches");
    }
    if shown == 0 {
        tell_lacking_key(&search, &filter);
        if let Some(gone) = retired(&mut search, &filter)? {
            return Err(gone);
        }
    }
    Ok(())
}

/// Whether an event that was asked for by its id or index is gone.
pub(super) fn retired(search: &mut Search, filter: &Filter) -> Outcome<Option<Failure>> {
    if filter.id.is_empty() {
        return Ok(None);
    }
    let origins: Vec<String> = search.readers().map(|reader| reader.origin().to_owned()).collect();
    let tenant = filter.tenant.first().map(String::as_str);
    for origin in origins.iter().filter(|name| filter.origin.is_empty() || filter.origin.contains(name)) {
        let Some(reader) = search.reader_of(origin) else { continue };
        for id in &filter.id {
            let found = match id {
                IdFilter::Index(index) => reader.retired_at(*index)?,
                IdFilter::Id(id) => reader.retired_by_id(id, tenant)?.into_iter().next(),
            };
            if let Some(RetiredEvent { index, by }) = found {
                return Ok(Some(ReadError::Retired { index, by }.into()));
            }
        }
    }
    Ok(None)
}

/// If nothing was found, says that it may be there under another name.
fn tell_lacking_key(search: &Search, filter: &Filter) {
    if search.lacks_key(filter) {
        tell(
            "the masking key is missing or unreadable: a masked value is found only by its hash, which `trailseal \
             mask hash` prints where the key is",
        );
    }
}

fn count(search: &mut Search, filter: &Filter, json: bool) -> Outcome {
    let spinner = progress::spinner("counting");
    let count = search.count(filter)?;
    spinner.finish_and_clear();
    if count == 0 {
        tell_lacking_key(search, filter);
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

fn cursor(query: &Query, search: &Search) -> Outcome<Option<Cursor>> {
    let Some(text) = &query.cursor else { return Ok(None) };
    let cursor = text.parse().ok().filter(|cursor: &Cursor| search.knows(cursor));
    let cursor = cursor.ok_or_else(|| Failure::could_not("--cursor is not a cursor of this program"))?;
    if cursor.order() != order(query) {
        let trailseal_index::Order { by, first } = cursor.order();
        let by = if by == By::Time { "time" } else { "recorded" };
        let first = if first == First::Oldest { "asc" } else { "desc" };
        return Err(Failure::could_not(format!(
            "--cursor belongs to a query in another order: add --order {first} --order-by {by}, as in that query"
        )));
    }
    Ok(Some(cursor))
}

fn order(query: &Query) -> trailseal_index::Order {
    let by = if query.order_by == OrderBy::Time { By::Time } else { By::Recorded };
    let first = if query.order == Order::Asc { First::Oldest } else { First::Newest };
    trailseal_index::Order { by, first }
}
