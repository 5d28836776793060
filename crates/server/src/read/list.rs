//! Pages of events, counts, summaries, the history of a resource, and the trails themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde_json::json;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::Value;
use trailseal_event::filter::{FILTER_NAMES, Filter, ResourceFilter, parse_span};
use trailseal_index::{FacetField, FacetValue, First};

use super::answer::{json_response, push_event};
use super::export::{self, Exports, Format, Wanted};
use super::reading::{Reading, Shown, known};
use crate::access::Caller;
use crate::problem::{Kind, Problem};
use crate::query::{LIMIT, PART, Query};
use crate::view::{Lag, Origin, Page};

/// The parameter that asks for the JSON of events in CSV.
const JSON_COLUMNS: &str = "json_columns";

/// How many values of a field a summary has, by default and at most.
const TOP: usize = 10;
const TOP_MAX: usize = 1_000;

/// `GET /v1/events`.
pub(crate) async fn events(
    State(reading): State<Arc<Reading>>,
    State(exports): State<Exports>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    let filter = query.filter(
        &caller,
        SystemClock.now(),
        &["limit", "cursor", "order", "order_by", "count", JSON_COLUMNS],
    )?;
    let (limit, order) = (query.limit()?, query.order(First::Newest)?);
    let cursor = query.cursor(order, &reading.view)?;
    let is_count = query.flag("count")?;
    if is_count {
        reading.note(&caller, "/v1/events", Some(&query)).await;
        let counted = reading.ask(&caller, move |events| Ok((events.count(&filter)?, events.lag()))).await?;
        let mut answer = serde_json::Map::new();
        answer.insert("count".to_owned(), counted.0.into());
        answer.extend(missed(&caller, counted.1).map(|lag| ("lag".to_owned(), lag)));
        return Ok(json_response(serde_json::Value::from(answer).to_string().into()));
    }
    let shown = reading.show(&caller, "/v1/events", Some(&query)).await;
    let has_json = query.flag(JSON_COLUMNS)?;
    let told = query.told(FILTER_NAMES.as_slice(), |name, value| reading.trail.shown(name, value));
    let wanted = Wanted { filter, order, cursor, limit, shown, has_json, told };
    if let Some(format) = Format::of(&headers) {
        is_possible(&reading, format, &wanted)?;
        reading.reach(&caller, wanted.cursor.as_ref()).await?;
        return export::response(&reading, &exports, caller.client(), wanted, format);
    }
    page(&reading, &caller, wanted).await
}

/// `GET /v1/resources/{type}/{id}/history`.
pub(crate) async fn history(
    State(reading): State<Arc<Reading>>,
    State(exports): State<Exports>,
    Extension(caller): Extension<Caller>,
    Path((kind, id)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    let path = path_of(&reading, &kind, &id, uri.path());
    let told = reading.trail.shown("resource", &format!("{kind}/{id}")).into_owned();
    let mut filter = Filter { resource: vec![ResourceFilter { kind, id: Some(id) }], ..Filter::default() };
    filter.tenant.extend(query.one("tenant")?.map(str::to_owned));
    caller.restrict(&mut filter)?;
    // A history is read from its beginning.
    let order = query.order(First::Oldest)?;
    let (limit, cursor) = (query.limit()?, query.cursor(order, &reading.view)?);
    let shown = reading.show(&caller, &path, Some(&query)).await;
    let told = vec![("resource".to_owned(), told)];
    let wanted = Wanted { filter, order, cursor, limit, shown, has_json: false, told };
    match Format::of(&headers) {
        Some(format) => {
            is_possible(&reading, format, &wanted)?;
            reading.reach(&caller, wanted.cursor.as_ref()).await?;
            export::response(&reading, &exports, caller.client(), wanted, format)
        }
        None => page(&reading, &caller, wanted).await,
    }
}

/// A bundle has all that matches: with a limit it would pass for that, and so it would without the trails whose proofs are elsewhere.
fn is_possible(reading: &Reading, format: Format, wanted: &Wanted) -> Result<(), Problem> {
    if format != Format::Bundle {
        return Ok(());
    }
    if wanted.limit.is_some() || wanted.cursor.is_some() {
        let detail = "a bundle has everything that matches: leave out limit and cursor";
        return Err(Problem::new(Kind::Query, detail));
    }
    let own = reading.trail.origin();
    let is_here = |origin: &String| origin == own || reading.searches.slots().is_some();
    let origins = &wanted.filter.origin;
    match reading.view.is_shared() && (origins.is_empty() || !origins.iter().all(is_here)) {
        true => {
            let detail = format!(
                "a bundle has proofs, and this server has only those of its own trail: ask for origin={own}, and the \
                 servers of the other trails for theirs"
            );
            Err(elsewhere(detail).with("origin", own))
        }
        false => Ok(()),
    }
}

/// What is asked for is at the server of another trail.
pub(super) fn elsewhere(detail: String) -> Problem {
    Problem::new(Kind::Elsewhere, detail)
}

/// How many events an answer lacks, for those who may know.
fn missed(caller: &Caller, lag: Lag) -> Option<serde_json::Value> {
    lag.if_missed().filter(|_| !caller.is_restricted())
}

/// The path of a history as recorded: an id that masking hashes appears there as its hash.
fn path_of(reading: &Reading, kind: &str, id: &str, path: &str) -> String {
    let resource = format!("{kind}/{id}");
    match reading.trail.shown("resource", &resource) {
        shown if *shown == *resource => path.to_owned(),
        shown => format!("/v1/resources/{shown}/history"),
    }
}

/// `GET /v1/summary`.
pub(crate) async fn summary(
    State(reading): State<Arc<Reading>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    let now = SystemClock.now();
    let filter = query.filter(&caller, now, &["top", "bucket"])?;
    let top = top(&query)?;
    let bucket = match query.one("bucket")? {
        None => None,
        Some(text) => match parse_span(text) {
            Some(span) if span >= Duration::from_secs(1) => Some(span),
            _ => {
                let detail = "bucket must be a span of at least a second, such as 15m or 1d";
                return Err(Problem::new(Kind::Query, detail).with("field", "bucket"));
            }
        },
    };
    reading.note(&caller, "/v1/summary", Some(&query)).await;
    let (summary, lag) =
        reading.ask(&caller, move |events| Ok((events.summary(&filter, top, bucket)?, events.lag()))).await?;
    Ok(with_lag(&caller, summary.to_json().to_string(), lag))
}

/// `GET /v1/values`: the values of one field, for people who type the beginning of one.
pub(crate) async fn values(
    State(reading): State<Arc<Reading>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    let filter = query.filter(&caller, SystemClock.now(), &["field", PART, "top"])?;
    let named =
        query.one("field")?.and_then(|name| FacetField::NAMED.iter().find(|(known, _)| *known == name));
    let Some((_, field)) = named else {
        let names: Vec<&str> = FacetField::NAMED.iter().map(|(name, _)| *name).collect();
        let detail = format!("field must be one of {}", names.join(", "));
        return Err(Problem::new(Kind::Query, detail).with("field", "field"));
    };
    let (top, part) = (top(&query)?, query.one(PART)?.unwrap_or_default().to_owned());
    reading.note(&caller, "/v1/values", Some(&query)).await;
    let (values, lag) = reading
        .ask(&caller, move |events| Ok((events.values(&filter, *field, &part, top)?, events.lag())))
        .await?;
    let values = Value::Array(values.iter().map(FacetValue::to_json).collect());
    Ok(with_lag(&caller, format!("{{\"values\":{values}}}"), lag))
}

/// An object, and what it lacks.
fn with_lag(caller: &Caller, mut object: String, lag: Lag) -> Response {
    if let Some(lag) = missed(caller, lag)
        && object.pop() == Some('}')
    {
        object.push_str(&format!(",\"lag\":{lag}}}"));
    }
    json_response(object.into())
}

/// How many values are asked for.
fn top(query: &Query) -> Result<usize, Problem> {
    match query.one("top")?.map(str::parse::<usize>) {
        None => Ok(TOP),
        Some(Ok(top)) if (1..=TOP_MAX).contains(&top) => Ok(top),
        Some(_) => {
            let detail = format!("top must be a number from 1 to {TOP_MAX}");
            Err(Problem::new(Kind::Query, detail).with("field", "top"))
        }
    }
}

/// `GET /v1/origins`.
pub(crate) async fn origins(
    State(reading): State<Arc<Reading>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    reading.note(&caller, "/v1/origins", None).await;
    let here = reading
        .searches
        .run(|search| {
            let lags: Vec<u64> = search.lags().collect();
            let one = |(reader, lag): (&trailseal_core::Reader, u64)| {
                let checkpoint = reader.checkpoint().ok();
                json!({
                    "origin": reader.origin(),
                    "size": reader.end().get(),
                    "sealed": checkpoint.as_ref().map(|(_, checkpoint)| checkpoint.size),
                    "checkpoint": checkpoint.map(|(text, _)| text),
                    "public_key": reader.manifest().current_key().map(ToString::to_string),
                    "lag": {"events": lag},
                })
            };
            Ok(search.readers().zip(lags).map(one).collect::<Vec<serde_json::Value>>())
        })
        .await?;
    let stored = reading.ask(&caller, |events| events.origins()).await?;
    let origins = if reading.view.is_shared() { together(here, stored) } else { here };
    Ok(json_response(json!({ "origins": origins }).to_string().into()))
}

/// The trails of a shared store, by name. Those of this server are told from their folders, and how much of them is stored.
fn together(here: Vec<serde_json::Value>, stored: Vec<Origin>) -> Vec<serde_json::Value> {
    let mut all: BTreeMap<String, serde_json::Value> = BTreeMap::new();
    for Origin { name, stored, moved, checkpoint } in stored {
        let (sealed, checkpoint) = checkpoint.unzip();
        let told = json!({
            "origin": name, "size": stored, "sealed": sealed, "checkpoint": checkpoint, "public_key": null, "lag": {},
            "stored": stored, "stored_at": moved,
        });
        all.insert(name, told);
    }
    for mut own in here {
        let name = own["origin"].as_str().unwrap_or_default().to_owned();
        let before = all.remove(&name).unwrap_or_default();
        let stored = before["stored"].as_u64().unwrap_or(0);
        // More may have been recorded, and stored, since this server looked at its own folder.
        let size = own["size"].as_u64().unwrap_or(0).max(stored);
        own["size"] = size.into();
        own["lag"] = Lag::NotStored(size.saturating_sub(stored)).to_json();
        own["stored"] = stored.into();
        own["stored_at"] = before["stored_at"].clone();
        all.insert(name, own);
    }
    all.into_values().collect()
}

async fn page(reading: &Reading, caller: &Caller, wanted: Wanted) -> Result<Response, Problem> {
    // It concerns the events of all tenants.
    let is_told_lag = !caller.is_restricted();
    let Wanted { filter, order, cursor, limit, shown, .. } = wanted;
    let budget = reading.view.budget();
    let bytes = reading
        .ask(caller, move |events| {
            known(events, cursor.as_ref())?;
            let page = events.page(&filter, order, cursor.as_ref(), limit.unwrap_or(LIMIT), budget)?;
            Ok(page_bytes(&page, &shown, is_told_lag.then(|| events.lag())))
        })
        .await?;
    Ok(json_response(bytes.into()))
}

fn page_bytes(page: &Page, shown: &Shown, lag: Option<Lag>) -> Vec<u8> {
    let lines = page.hits.iter().map(|hit| hit.exact_line().len() + 64).sum::<usize>();
    let mut bytes = Vec::with_capacity(64 + lines);
    bytes.extend_from_slice(b"{\"events\":[");
    for (place, hit) in page.hits.iter().enumerate() {
        if place > 0 {
            bytes.push(b',');
        }
        push_event(hit, shown, &mut bytes);
    }
    let next = page.next.as_ref().map(ToString::to_string);
    let lag = lag.map_or_else(|| json!({}), Lag::to_json);
    let mut end = format!("],\"next\":{},\"lag\":{lag}", Value::from(next));
    if let Some(scanned) = page.scanned {
        end.push_str(&format!(",\"scanned_to\":{scanned}"));
    }
    end.push('}');
    bytes.extend_from_slice(end.as_bytes());
    bytes
}
