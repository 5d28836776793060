//! Pages of events, counts, summaries, the history of a resource, and the trails themselves.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use trailseal_event::filter::{Filter, ResourceFilter, parse_time};
use trailseal_index::{Cursor, First, Order, Page};

use super::export::{self, Format};
use super::{note_read, push_event};
use crate::access::Caller;
use crate::app::{App, Shared};
use crate::problem::Problem;
use crate::query::{LIMIT, Query};

/// How long one request for a page may search.
const BUDGET: Duration = Duration::from_secs(2);
/// How many values of a field a summary has, by default and at most.
const TOP: usize = 10;
const TOP_MAX: usize = 1_000;

/// `GET /v1/events`.
pub(crate) async fn events(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    let filter = query.filter(&caller, app.now(), &["limit", "cursor", "order", "order_by", "count"])?;
    let (limit, order) = (query.limit()?, query.order(First::Newest)?);
    let cursor = query.cursor(order)?;
    let is_count = query.flag("count")?;
    note_read(&app, &caller, "/v1/events", Some(&query)).await;
    if is_count {
        let count = app.search(move |search| Ok(search.count(&filter)?)).await?;
        return Ok(json_response(json!({ "count": count }).to_string().into()));
    }
    if let Some(format) = Format::of(&headers) {
        return export::response(app, caller.client(), filter, order, cursor, limit, format);
    }
    page(&app, &caller, filter, order, cursor, limit.unwrap_or(LIMIT)).await
}

/// `GET /v1/resources/{type}/{id}/history`.
pub(crate) async fn history(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path((kind, id)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    query.only(&["limit", "cursor", "order", "order_by", "tenant"])?;
    let path = path_of(&app, &kind, &id, uri.path());
    let mut filter = Filter { resource: vec![ResourceFilter { kind, id: Some(id) }], ..Filter::default() };
    filter.tenant.extend(query.one("tenant")?.map(str::to_owned));
    caller.restrict(&mut filter)?;
    // A history is read from its beginning.
    let order = query.order(First::Oldest)?;
    let (limit, cursor) = (query.limit()?, query.cursor(order)?);
    note_read(&app, &caller, &path, Some(&query)).await;
    match Format::of(&headers) {
        Some(format) => export::response(app, caller.client(), filter, order, cursor, limit, format),
        None => page(&app, &caller, filter, order, cursor, limit.unwrap_or(LIMIT)).await,
    }
}

/// The path of a history as recorded: an id that masking hashes appears there as its hash.
fn path_of(app: &App, kind: &str, id: &str, path: &str) -> String {
    let resource = format!("{kind}/{id}");
    match app.trail.shown("resource", &resource) {
        shown if *shown == *resource => path.to_owned(),
        shown => format!("/v1/resources/{shown}/history"),
    }
}

/// `GET /v1/summary`.
pub(crate) async fn summary(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    let now = app.now();
    let filter = query.filter(&caller, now, &["top", "bucket"])?;
    let wrong =
        |field: &'static str, detail: String| Problem::bad_request("query", detail).with("field", field);
    let top = match query.one("top")?.map(str::parse::<usize>) {
        None => TOP,
        Some(Ok(top)) if (1..=TOP_MAX).contains(&top) => top,
        Some(_) => return Err(wrong("top", format!("top must be a number from 1 to {TOP_MAX}"))),
    };
    let bucket = match query.one("bucket")? {
        None => None,
        Some(text) => {
            // A span such as 15m, parsed as an age counted back from now.
            let micros = parse_time(text, now).map(|then| now.as_micros() - then.as_micros());
            let is_span = text.ends_with(|last: char| last.is_ascii_alphabetic());
            match micros.filter(|micros| *micros >= 1_000_000 && is_span) {
                Some(micros) => Some(Duration::from_micros(micros.unsigned_abs())),
                None => {
                    return Err(wrong(
                        "bucket",
                        "bucket must be a span of at least a second, such as 15m or 1d".into(),
                    ));
                }
            }
        }
    };
    note_read(&app, &caller, "/v1/summary", Some(&query)).await;
    let summary = app.search(move |search| Ok(search.summary(&filter, top, bucket)?)).await?;
    Ok(json_response(summary.to_json().to_string().into()))
}

/// `GET /v1/origins`.
pub(crate) async fn origins(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    note_read(&app, &caller, "/v1/origins", None).await;
    let origins = app
        .search(|search| {
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
            Ok(search.readers().zip(lags).map(one).collect::<Vec<Value>>())
        })
        .await?;
    Ok(json_response(json!({ "origins": origins }).to_string().into()))
}

async fn page(
    app: &Shared,
    caller: &Caller,
    filter: Filter,
    order: Order,
    cursor: Option<Cursor>,
    limit: usize,
) -> Result<Response, Problem> {
    // It concerns the events of all tenants.
    let is_told_lag = !caller.is_restricted();
    let budget = budget(app);
    let bytes = app
        .search(move |search| {
            let page = search.page(&filter, order, cursor.as_ref(), limit, Some(budget))?;
            Ok(page_bytes(&page, is_told_lag.then(|| search.lag().events)))
        })
        .await?;
    Ok(json_response(bytes.into()))
}

/// How long one search for events may take: it ends before it would be cancelled.
pub(crate) fn budget(app: &App) -> Duration {
    BUDGET.min(app.config.search_timeout / 2)
}

/// Checks that a page has everything up to its limit: what was not found in time may exist.
pub(crate) fn whole(page: &Page) -> Result<(), Problem> {
    match page.scanned {
        None => Ok(()),
        Some(_) => {
            Err(Problem::unavailable("not everything could be searched in time: try again in a moment"))
        }
    }
}

fn page_bytes(page: &Page, lag: Option<u64>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + page.hits.iter().map(|hit| hit.line.len() + 64).sum::<usize>());
    bytes.extend_from_slice(b"{\"events\":[");
    for (place, hit) in page.hits.iter().enumerate() {
        if place > 0 {
            bytes.push(b',');
        }
        push_event(hit, &mut bytes);
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

pub(super) fn json_response(body: Body) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}
