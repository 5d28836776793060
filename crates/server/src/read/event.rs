//! One event, its proof, and the server's own verdict on it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use trailseal_core::verify::verify_proof;
use trailseal_core::{ReadError, Trail};
use trailseal_event::Index;
use trailseal_event::filter::{Filter, IdFilter};
use trailseal_index::{Hit, Order, Search};

use super::answer::{json_response, push_event};
use super::list::elsewhere;
use super::reading::Reading;
use crate::access::Caller;
use crate::problem::{Kind, Problem};
use crate::query::Query;
use crate::response_work::whole;
use crate::view::{Events, Gone};

/// How many events with one id are listed at most.
pub(crate) const SAME_ID_MAX: usize = 100;
/// How long to wait until an event that was accepted is on disk.
const DURABLE_WAIT: Duration = Duration::from_secs(2);
/// How long to wait for a proof.
const SEAL_WAIT: Duration = Duration::from_secs(3);
const SEAL_ASKED_EVERY: Duration = Duration::from_millis(50);

/// `GET /v1/events/{id}`.
pub(crate) async fn one(
    State(reading): State<Arc<Reading>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = Wanted::of(&reading.trail, &uri, &id, &caller)?;
    let shown = reading.show(&caller, &wanted.path(&reading.trail, &uri), Some(&wanted.query)).await;
    let hit = match find(&reading, &caller, wanted).await? {
        Found::One(hit) => hit,
        Found::Several(response) => return Ok(response),
    };
    let mut bytes = Vec::with_capacity(hit.exact_line().len() + 64);
    push_event(&hit, &shown, &mut bytes);
    // A person may be erased: no copy of their values is kept, or called unchanged.
    let has_plain = shown.is_plain() && *shown.line(&hit) != *hit.exact_line();
    if has_plain && !cfg!(trailseal_fault = "personal_called_unchanged") {
        return Ok(json_response(bytes.into()));
    }
    // What is shown of an event never changes otherwise, so its position identifies a copy.
    let tag = format!(
        "\"{}-{}\"",
        percent_encoding::utf8_percent_encode(&hit.origin, percent_encoding::NON_ALPHANUMERIC),
        hit.index
    );
    // Whether the caller may still see it is checked each time; the same URL may be another event for another token.
    let caching = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, "private, no-cache".into()),
        (header::VARY, "Authorization".into()),
    ];
    let is_known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    if is_known.is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag)) {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    Ok((caching, json_response(bytes.into())).into_response())
}

/// `GET /v1/events/{id}/proof`.
pub(crate) async fn proof(
    State(reading): State<Arc<Reading>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let wanted = Wanted::of(&reading.trail, &uri, &id, &caller)?;
    reading.note(&caller, &wanted.path(&reading.trail, &uri), Some(&wanted.query)).await;
    match prove(&reading, &caller, wanted).await? {
        Proved::Several(response) => Ok(response),
        Proved::One { text, .. } => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
                (
                    header::CONTENT_DISPOSITION,
                    HeaderValue::from_static("inline; filename=\"event.tlog-proof\""),
                ),
            ];
            Ok((headers, text).into_response())
        }
    }
}

/// `GET /v1/events/{id}/verify`: the server's verdict. Whoever does not trust the server verifies the proof.
pub(crate) async fn verify(
    State(reading): State<Arc<Reading>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let wanted = Wanted::of(&reading.trail, &uri, &id, &caller)?;
    reading.note(&caller, &wanted.path(&reading.trail, &uri), Some(&wanted.query)).await;
    let (hit, text) = match prove(&reading, &caller, wanted).await? {
        Proved::Several(response) => return Ok(response),
        Proved::One { hit, text } => (hit, text),
    };
    let answer = reading
        .searches
        .run(move |search| {
            let keys = search
                .reader_of(&hit.origin)
                .map(|reader| reader.manifest().public_keys())
                .unwrap_or_default();
            let (origin, index) = (hit.origin.to_string(), hit.index.get());
            Ok(match verify_proof(&text, &keys) {
                Ok(proved) => {
                    let is_same = proved.line == hit.exact_line() && proved.index == hit.index.get();
                    let problem = (!is_same).then_some("edited");
                    json!({"verified": is_same, "origin": origin, "index": index,
                        "tree_size": proved.checkpoint.size, "problem": problem})
                }
                Err(unproved) => json!({"verified": false, "origin": origin, "index": index,
                    "tree_size": null, "problem": unproved.problem}),
            })
        })
        .await?;
    Ok(json_response(answer.to_string().into()))
}

/// Which event is requested.
#[derive(Clone)]
struct Wanted {
    id: String,
    filter: Filter,
    query: Query,
    /// Everything below was accepted before it was requested.
    accepted: u64,
}

impl Wanted {
    fn of(trail: &Trail, uri: &Uri, id: &str, caller: &Caller) -> Result<Wanted, Problem> {
        let accepted = trail.stats().accepted;
        let query = Query::of(uri)?;
        let Ok(wanted) = id.parse::<IdFilter>();
        let mut filter = Filter { id: vec![wanted], system: true, ..Filter::default() };
        filter.tenant.extend(query.one("tenant")?.map(str::to_owned));
        filter.origin.extend(query.one("origin")?.map(str::to_owned));
        // Another tenant's event is not found, so its existence is not revealed.
        caller.restrict(&mut filter).map_err(|_| nothing(id))?;
        Ok(Wanted { id: id.to_owned(), filter, query, accepted })
    }
}

impl Wanted {
    /// The path as recorded: an id that masking hashes appears there as its hash.
    fn path(&self, trail: &Trail, uri: &Uri) -> String {
        match trail.shown("id", &self.id) {
            Cow::Borrowed(_) => uri.path().to_owned(),
            Cow::Owned(hash) => {
                let after = uri.path().splitn(5, '/').nth(4).map(|after| format!("/{after}"));
                format!("/v1/events/{hash}{}", after.unwrap_or_default())
            }
        }
    }
}

fn nothing(id: &str) -> Problem {
    Problem::not_found(format!("there is no event {id}"))
}

enum Found {
    One(Hit),
    Several(Response),
}

/// Finds an event. One that was accepted and is not on disk yet is waited for: whoever recorded it may ask at once.
async fn find(reading: &Reading, caller: &Caller, wanted: Wanted) -> Result<Found, Problem> {
    let is_behind = reading.trail.durable().get() < wanted.accepted;
    let found = find_now(reading, caller, wanted.clone()).await;
    if !(is_behind && is_missing(&found)) {
        return found;
    }
    let trail = reading.trail.clone();
    let flushed = tokio::task::spawn_blocking(move || trail.flush(DURABLE_WAIT)).await;
    let found = find_now(reading, caller, wanted).await;
    if is_missing(&found) && !matches!(flushed, Ok(Ok(()))) {
        let detail = "it is not among the events on disk, and some that were accepted are not there yet";
        return Err(Problem::new(Kind::NotDurable, detail).retry_after(1));
    }
    found
}

fn is_missing(found: &Result<Found, Problem>) -> bool {
    found.as_ref().is_err_and(|problem| problem.status() == StatusCode::NOT_FOUND)
}

/// Looks in the view, and, if that is of a shared store, then in the folder: there are events that are not stored yet. Of what is in
/// neither, both know what was retired.
async fn find_now(reading: &Reading, caller: &Caller, wanted: Wanted) -> Result<Found, Problem> {
    let (budget, is_shared) = (reading.view.budget(), reading.view.is_shared());
    let look = move |events: &mut dyn Events, wanted: &Wanted| {
        let page = events.page(&wanted.filter, Order::OLDEST_RECORDED, None, SAME_ID_MAX, budget)?;
        whole(page.scanned)?;
        match found(page.hits) {
            Some(found) => Ok(Ok(found)),
            None => Ok::<_, Problem>(Err(gone(events, wanted)?)),
        }
    };
    let (wanted, seen) = reading
        .ask(caller, move |events| {
            let seen = look(events, &wanted)?;
            Ok((wanted, seen))
        })
        .await?;
    let gone_there = match seen {
        Ok(found) => return Ok(found),
        Err(gone) => gone,
    };
    if !is_shared {
        return Err(gone_there.unwrap_or_else(|| nothing(&wanted.id)));
    }
    let here = move |search: &mut Search| {
        look(search, &wanted)?.map_err(|gone| gone.or(gone_there).unwrap_or_else(|| nothing(&wanted.id)))
    };
    reading.searches.run(here).await
}

/// The one event, or what is said of several.
fn found(mut hits: Vec<Hit>) -> Option<Found> {
    let hit = hits.pop()?;
    match hits.is_empty() {
        true => Some(Found::One(hit)),
        false => {
            hits.push(hit);
            Some(Found::Several(several(&hits)))
        }
    }
}

/// What is said of several events with the id that was asked for.
pub(crate) fn several(hits: &[Hit]) -> Response {
    let one = |hit: &Hit| {
        let event = hit.read(None).map(|recorded| recorded.event).unwrap_or_default();
        json!({"origin": &*hit.origin, "index": hit.index.get(), "id": event.id, "tenant": event.tenant})
    };
    let events: Vec<_> = hits.iter().map(one).collect();
    let body = json_response(json!({ "events": events }).to_string().into());
    (StatusCode::MULTIPLE_CHOICES, body).into_response()
}

/// What is said of an event that was retired; `None` if there is none that the caller may know of.
fn gone(events: &mut dyn Events, wanted: &Wanted) -> Result<Option<Problem>, Problem> {
    let Filter { id, tenant, actor, resource, origin, .. } = &wanted.filter;
    // Of an event that is gone nobody knows whose it was, apart from its tenant where its id is known.
    let is_known = match id.first() {
        _ if !actor.is_empty() || !resource.is_empty() => false,
        Some(IdFilter::Index(_)) => tenant.is_empty() || cfg!(trailseal_fault = "retired_index_of_others"),
        Some(IdFilter::Id(_)) => true,
        None => false,
    };
    let Some(id) = id.first().filter(|_| is_known) else { return Ok(None) };
    let found = events.retired(id, tenant.first().map(String::as_str), origin)?;
    Ok(found.map(|Gone { origin, index, by }| retired(&origin, index, by)))
}

fn retired(origin: &str, index: Index, by: Option<Index>) -> Problem {
    let detail = ReadError::Retired { index, by }.to_string();
    let problem = Problem::new(Kind::Retired, detail);
    problem.with("origin", origin).with("index", index.get()).with("retired_by", json!(by.map(Index::get)))
}

enum Proved {
    One { hit: Hit, text: String },
    Several(Response),
}

/// The proof of an event; waits, without a turn, for one that is not sealed yet.
async fn prove(reading: &Reading, caller: &Caller, wanted: Wanted) -> Result<Proved, Problem> {
    let deadline = Instant::now() + SEAL_WAIT;
    let (id, is_shared) = (wanted.id.clone(), reading.view.is_shared());
    let mut hit = match find(reading, caller, wanted).await? {
        Found::One(hit) => hit,
        Found::Several(response) => return Ok(Proved::Several(response)),
    };
    let mut is_asked_for = false;
    loop {
        let missing = if is_shared { proved_elsewhere(&hit) } else { nothing(&id) };
        let (tried, proved) = reading
            .searches
            .run(move |search| {
                let reader = search.reader_of(&hit.origin).ok_or(missing)?;
                let proved = reader.prove(hit.index);
                Ok((hit, proved.map(|proof| proof.to_text())))
            })
            .await?;
        hit = tried;
        match proved {
            Ok(text) => return Ok(Proved::One { hit, text }),
            // It went between the two looks.
            Err(ReadError::Retired { index, by }) => return Err(retired(&hit.origin, index, by)),
            Err(error) if !is_unsealed(&error) => return Err(Problem::internal(&error)),
            Err(_) if Instant::now() >= deadline => {
                let detail = "the event is not sealed yet: try again in a moment";
                return Err(Problem::new(Kind::Unsealed, detail).retry_after(1));
            }
            Err(_) if *hit.origin == *reading.trail.origin() && !is_asked_for => {
                is_asked_for = true;
                let trail = reading.trail.clone();
                let _ = tokio::task::spawn_blocking(move || trail.seal(SEAL_WAIT)).await;
            }
            Err(_) => tokio::time::sleep(SEAL_ASKED_EVERY).await,
        }
    }
}

/// The proof of an event is where its trail is.
fn proved_elsewhere(hit: &Hit) -> Problem {
    let (origin, index) = (&*hit.origin, hit.index.get());
    let detail = format!(
        "the proof of this event is at the server of its trail: ask there for event {index} of {origin}"
    );
    elsewhere(detail).with("origin", origin).with("index", index)
}

fn is_unsealed(error: &ReadError) -> bool {
    matches!(error, ReadError::NotSealed { .. })
}
