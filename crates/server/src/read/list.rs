//! Pages of events, counts, summaries, the history of a resource, and the trails themselves.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde_json::json;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::Value;
use trailseal_event::filter::{FILTER_NAMES, Filter, ResourceFilter, parse_span};
use trailseal_index::{FacetField, FacetValue, First, Page};

use super::answer::{json_response, push_event};
use super::export::{self, Exports, Format, Wanted};
use super::reading::{Reading, Shown};
use crate::access::Caller;
use crate::problem::Problem;
use crate::query::{LIMIT, PART, Query};

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
    let cursor = query.cursor(order)?;
    let is_count = query.flag("count")?;
    if is_count {
        reading.note(&caller, "/v1/events", Some(&query)).await;
        let count = reading.searches.run(move |search| Ok(search.count(&filter)?)).await?;
        return Ok(json_response(json!({ "count": count }).to_string().into()));
    }
    let shown = reading.show(&caller, "/v1/events", Some(&query)).await;
    let has_json = query.flag(JSON_COLUMNS)?;
    let told = query.told(FILTER_NAMES.as_slice(), |name, value| reading.trail.shown(name, value));
    let wanted = Wanted { filter, order, cursor, limit, shown, has_json, told };
    if let Some(format) = Format::of(&headers) {
        is_possible(format, &wanted)?;
        return export::response(&reading.searches, &exports, caller.client(), wanted, format);
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
    query.only(&["limit", "cursor", "order", "order_by", "tenant"])?;
    let path = path_of(&reading, &kind, &id, uri.path());
    let told = reading.trail.shown("resource", &format!("{kind}/{id}")).into_owned();
    let mut filter = Filter { resource: vec![ResourceFilter { kind, id: Some(id) }], ..Filter::default() };
    filter.tenant.extend(query.one("tenant")?.map(str::to_owned));
    caller.restrict(&mut filter)?;
    // A history is read from its beginning.
    let order = query.order(First::Oldest)?;
    let (limit, cursor) = (query.limit()?, query.cursor(order)?);
    let shown = reading.show(&caller, &path, Some(&query)).await;
    let told = vec![("resource".to_owned(), told)];
    let wanted = Wanted { filter, order, cursor, limit, shown, has_json: false, told };
    match Format::of(&headers) {
        Some(format) => {
            is_possible(format, &wanted)?;
            export::response(&reading.searches, &exports, caller.client(), wanted, format)
        }
        None => page(&reading, &caller, wanted).await,
    }
}

/// A bundle has all that matches: with a limit it would pass for that.
fn is_possible(format: Format, wanted: &Wanted) -> Result<(), Problem> {
    match format == Format::Bundle && (wanted.limit.is_some() || wanted.cursor.is_some()) {
        true => Err(Problem::bad_request(
            "query",
            "a bundle has everything that matches: leave out limit and cursor",
        )),
        false => Ok(()),
    }
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
                return Err(Problem::bad_request("query", detail).with("field", "bucket"));
            }
        },
    };
    reading.note(&caller, "/v1/summary", Some(&query)).await;
    let summary = reading.searches.run(move |search| Ok(search.summary(&filter, top, bucket)?)).await?;
    Ok(json_response(summary.to_json().to_string().into()))
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
        return Err(Problem::bad_request("query", detail).with("field", "field"));
    };
    let (top, part) = (top(&query)?, query.one(PART)?.unwrap_or_default().to_owned());
    reading.note(&caller, "/v1/values", Some(&query)).await;
    let values = reading.searches.run(move |search| Ok(search.values(&filter, *field, &part, top)?)).await?;
    let values = Value::Array(values.iter().map(FacetValue::to_json).collect());
    Ok(json_response(format!("{{\"values\":{values}}}").into()))
}

/// How many values are asked for.
fn top(query: &Query) -> Result<usize, Problem> {
    match query.one("top")?.map(str::parse::<usize>) {
        None => Ok(TOP),
        Some(Ok(top)) if (1..=TOP_MAX).contains(&top) => Ok(top),
        Some(_) => {
            let detail = format!("top must be a number from 1 to {TOP_MAX}");
            Err(Problem::bad_request("query", detail).with("field", "top"))
        }
    }
}

/// `GET /v1/origins`.
pub(crate) async fn origins(
    State(reading): State<Arc<Reading>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    reading.note(&caller, "/v1/origins", None).await;
    let origins = reading
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
    Ok(json_response(json!({ "origins": origins }).to_string().into()))
}

async fn page(reading: &Reading, caller: &Caller, wanted: Wanted) -> Result<Response, Problem> {
    // It concerns the events of all tenants.
    let is_told_lag = !caller.is_restricted();
    let Wanted { filter, order, cursor, limit, shown, .. } = wanted;
    let budget = reading.searches.budget();
    let bytes = reading
        .searches
        .run(move |search| {
            let page = search.page(&filter, order, cursor.as_ref(), limit.unwrap_or(LIMIT), Some(budget))?;
            Ok(page_bytes(&page, &shown, is_told_lag.then(|| search.lag().events)))
        })
        .await?;
    Ok(json_response(bytes.into()))
}

fn page_bytes(page: &Page, shown: &Shown, lag: Option<u64>) -> Vec<u8> {
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
    let lag = lag.map_or_else(String::new, |lag| format!("\"events\":{lag}"));
    let mut end = format!("],\"next\":{},\"lag\":{{{lag}}}", Value::from(next));
    if let Some(scanned) = page.scanned {
        end.push_str(&format!(",\"scanned_to\":{scanned}"));
    }
    end.push('}');
    bytes.extend_from_slice(end.as_bytes());
    bytes
}
