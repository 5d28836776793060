//! `GET /v1/events/stream`: events as they become durable, as server-sent events (WHATWG HTML, section 9.2).
//!
//! What must hold: a client that reconnects with `Last-Event-ID` gets what came since, without gap or repeat: the id of
//! each event is the cursor after it.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::filter::Filter;
use trailseal_index::Order;

use super::answer::push_event;
use super::reading::{Reading, Shown};
use crate::access::{Caller, Tokens};
use crate::fairness::{Asker, Places};
use crate::problem::{Kind, Problem};
use crate::query::{Query, foreign_cursor};
use crate::stopping::Stopping;
use crate::view::{Cursor, Events as Searched, Moment};

/// How often to check for more.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How many events, and how many bytes of them, are searched for at once: that many may wait for a slow reader, in
/// addition to those on their way.
const EVENTS_AT_ONCE: usize = 256;
const BYTES_AT_ONCE: usize = 64 << 10;
/// How long one look may take: a stream looks again.
const LOOK_BUDGET: Duration = Duration::from_millis(500);

/// What a stream needs for as long as it lasts.
pub(crate) struct Streaming {
    pub(crate) reading: Arc<Reading>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) places: Arc<Places>,
    pub(crate) stopping: Stopping,
}

pub(crate) async fn stream(
    State(streaming): State<Arc<Streaming>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (query, reading) = (Query::of(&uri)?, &streaming.reading);
    let filter = query.filter(&caller, SystemClock.now(), &["cursor"])?;
    let wrong = || Problem::new(Kind::Header, "Last-Event-ID is not one of this server's ids");
    let last = headers.get("last-event-id");
    let is_last = last.is_some();
    let last = last.map(|id| reading.view.cursor(id.to_str().map_err(|_| wrong())?).ok_or_else(wrong));
    let cursor = match last.transpose()? {
        Some(cursor) if cursor.order() == Order::OLDEST_RECORDED => Some(cursor),
        Some(_) => return Err(Problem::new(Kind::Header, "Last-Event-ID does not belong to a stream")),
        None => query.cursor(Order::OLDEST_RECORDED, &reading.view)?,
    };
    let cursor = match cursor {
        Some(cursor) => {
            let foreign = if is_last { wrong() } else { foreign_cursor() };
            let asked = cursor.clone();
            let is_known = reading.ask(&caller, move |events| {
                events.check()?;
                Ok(events.knows(&asked))
            });
            if !is_known.await? {
                return Err(foreign);
            }
            cursor
        }
        None => reading.ask(&caller, |events| events.end()).await?,
    };
    let shown = reading.show(&caller, "/v1/events/stream", Some(&query)).await;
    let (sender, receiver) = mpsc::channel(1);
    let asker = Asker::new(&streaming.places.turns, caller.client());
    tokio::spawn(asker.during(follow(streaming, caller, Followed { filter, cursor, shown }, sender)));
    let events = Events { looks: receiver, events: Vec::new().into_iter() };
    let response = Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)));
    Ok(response.into_response())
}

/// The events of one look after the other.
struct Events {
    looks: mpsc::Receiver<Vec<Event>>,
    events: std::vec::IntoIter<Event>,
}

impl Stream for Events {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.events.next() {
                return Poll::Ready(Some(Ok(event)));
            }
            match std::task::ready!(self.looks.poll_recv(context)) {
                Some(events) => self.events = events.into_iter(),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// What a reader follows, from where on, and how it is shown to them.
struct Followed {
    filter: Filter,
    cursor: Cursor,
    shown: Shown,
}

/// Sends what there is from the cursor on, and then what arrives, until the reader has gone or the server stops.
async fn follow(
    streaming: Arc<Streaming>,
    caller: Caller,
    followed: Followed,
    sender: mpsc::Sender<Vec<Event>>,
) {
    let Followed { filter, mut cursor, shown } = followed;
    let (view, news) = (&streaming.reading.view, streaming.reading.view.news());
    let mut stopping = streaming.stopping.clone();
    // The reader learns its position at once, so that it loses nothing if the connection breaks before the first event.
    if sender.send(vec![Event::default().id(cursor.to_string()).comment("from here")]).await.is_err() {
        return;
    }
    let mut seen = None;
    while !stopping.has_begun() && !sender.is_closed() {
        if !streaming.tokens.still_let_in(&caller, SystemClock.now()) {
            return;
        }
        let now = news.now();
        if now == Moment::Lost {
            // As with a look that fails.
            return;
        }
        if now == Moment::Unknown || Some(now) != seen {
            let (filter, from, shown) = (filter.clone(), cursor.clone(), shown.clone());
            let budget = LOOK_BUDGET.min(view.budget());
            let found = tokio::select! {
                found = view.run(move |events| some(events, &filter, from, &shown, budget)) => found,
                () = sender.closed() => return,
            };
            match found {
                Ok((events, next, is_all)) => {
                    if !events.is_empty() && sender.send(events).await.is_err() {
                        return;
                    }
                    cursor = next;
                    if !is_all {
                        continue;
                    }
                    seen = Some(now);
                }
                // The reader reconnects and continues where it was.
                Err(_) => return,
            }
        }
        tokio::select! {
            _ = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stopping.begins() => return,
            () = sender.closed() => return,
        }
    }
}

type Some = (Vec<Event>, Cursor, bool);

/// Some events after the cursor, the cursor after them, and whether that is all there is now.
fn some(
    searched: &mut dyn Searched,
    filter: &Filter,
    cursor: Cursor,
    shown: &Shown,
    budget: Duration,
) -> Result<Some, Problem> {
    let (mut events, mut bytes) = (Vec::new(), 0);
    let followed = searched.follow(filter, cursor, EVENTS_AT_ONCE, budget, &mut |hit, after| {
        let mut text = Vec::with_capacity(hit.exact_line().len() + 64);
        push_event(hit, shown, &mut text);
        bytes += text.len();
        events.push(Event::default().id(after.to_string()).data(String::from_utf8_lossy(&text)));
        if bytes >= BYTES_AT_ONCE { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok((events, followed.next, followed.is_all))
}
