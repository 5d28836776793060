//! Whether events are where they are said to be, many by one statement.

use std::borrow::Cow;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};
use trailseal_event::{Index, Timestamp};

use super::extent::{Indexes, recorded_of};
use crate::binary_time::Moment;
use crate::columns::cleaned;

/// Which of these events are there, by one statement: each is looked for at its place.
pub(super) async fn are_there(
    client: &Client,
    events: &[(String, Index, String)],
) -> Result<Vec<bool>, Error> {
    // Beyond what a column can hold there is no event.
    let number = |index: Index| i64::try_from(index.get()).ok().filter(|number| *number < i64::MAX);
    let asked: Vec<(usize, &str, i64, &str)> = (0..)
        .zip(events)
        .filter_map(|(nth, (origin, index, id))| Some((nth, origin.as_str(), number(*index)?, id.as_str())))
        .collect();
    let places: Vec<Indexes> = asked
        .iter()
        .map(|(_, origin, low, _)| Indexes { origin: (*origin).to_owned(), low: *low, high: low + 1 })
        .collect();
    let mut there = vec![false; events.len()];
    if asked.is_empty() {
        return Ok(there);
    }
    let recorded = recorded_of(client, &places).await?;
    let origins: Vec<&str> = asked.iter().map(|(_, origin, ..)| *origin).collect();
    let indexes: Vec<i64> = asked.iter().map(|(_, _, index, _)| *index).collect();
    let ids: Vec<Cow<'_, str>> = asked.iter().map(|(.., id)| cleaned(id)).collect();
    let time = |time: Option<Timestamp>| time.map(Moment::of);
    let (from, to) = (time(recorded.from), time(recorded.to));
    // Not a join, which could read a whole partition.
    let select = "SELECT (SELECT true FROM trailseal.events WHERE origin = trail AND idx = at AND id = wanted \
            AND recorded >= coalesce($4, '-infinity') AND recorded < coalesce($5, 'infinity') LIMIT 1) \
        FROM unnest($1, $2, $3) WITH ORDINALITY AS asked (trail, at, wanted, nth) ORDER BY nth";
    let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
        (&origins, Type::TEXT_ARRAY),
        (&indexes, Type::INT8_ARRAY),
        (&ids, Type::TEXT_ARRAY),
        (&from, Type::TIMESTAMPTZ),
        (&to, Type::TIMESTAMPTZ),
    ];
    let rows = client.query_typed(select, &parameters).await?;
    for (row, (nth, ..)) in rows.iter().zip(&asked) {
        if let Some(is_there) = there.get_mut(*nth) {
            *is_there = row.try_get::<_, Option<bool>>(0)?.unwrap_or(false);
        }
    }
    Ok(there)
}
