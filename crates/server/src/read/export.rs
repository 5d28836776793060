//! Events as CSV or NDJSON, written while they are read: a response of any length takes little memory.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use trailseal_event::filter::Filter;
use trailseal_export::{CSV_HEADER, Row, write_csv_row};
use trailseal_index::{Cursor, Hit, Order};

use super::answer::push_event;
use super::reading::Shown;
use crate::client::Client;
use crate::fairness::{Asker, Full, Shares, Turn, aside};
use crate::problem::Problem;
use crate::searches::{Searches, Waiting};

/// The size of a piece that is sent at once, and how many pieces may wait for a slow reader.
const PIECE_BYTES: usize = 64 << 10;
const PIECES_WAITING: usize = 8;

/// Exports per client, and in total: each holds a search for as long as its client takes.
const EXPORTS_EACH: usize = 4;
const EXPORTS_MAX: usize = 16;

/// Places for responses that hold a thread for as long as the client takes.
#[derive(Clone)]
pub(crate) struct Exports(Arc<Shares>);

impl Default for Exports {
    fn default() -> Self {
        Exports(Shares::with(EXPORTS_EACH, EXPORTS_MAX))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Ndjson,
}

impl Format {
    /// What the client prefers to JSON: the first format named counts.
    pub(super) fn of(headers: &HeaderMap) -> Option<Format> {
        let accept = headers.get(header::ACCEPT)?.to_str().ok()?;
        accept.split(',').find_map(|part| match part.split(';').next().unwrap_or_default().trim() {
            "text/csv" => Some(Some(Format::Csv)),
            "application/x-ndjson" | "application/jsonl" => Some(Some(Format::Ndjson)),
            "application/json" | "*/*" => Some(None),
            _ => None,
        })?
    }

    fn content_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::Ndjson => "application/x-ndjson",
        }
    }

    fn push(self, hit: &Hit, shown: &Shown, out: &mut Vec<u8>) {
        match self {
            Format::Csv => {
                if let Some(row) = Row::read(&shown.line(hit)) {
                    write_csv_row(&hit.origin, &row, out);
                }
            }
            Format::Ndjson => {
                push_event(hit, shown, out);
                out.push(b'\n');
            }
        }
    }
}

/// Which events, in which order, and from where on.
pub(super) struct Wanted {
    pub(super) filter: Filter,
    pub(super) order: Order,
    pub(super) cursor: Option<Cursor>,
    pub(super) limit: Option<usize>,
    pub(super) shown: Shown,
}

/// Streams every matching event, or the first `limit`.
pub(super) fn response(
    searches: &Arc<Searches>,
    exports: &Exports,
    client: Client,
    wanted: Wanted,
    format: Format,
) -> Result<Response, Problem> {
    let mut place = exports.0.begin(client);
    place.grow(1).map_err(|full| {
        let detail = match full {
            Full::Whole => "too many exports are in progress: try again when one has ended",
            Full::OfClient => "you have too many exports in progress: try again when one of them has ended",
        };
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "exports", detail).retry_after(5)
    })?;
    let waiting = Waiting::default();
    let given_up = waiting.given_up();
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(PIECES_WAITING);
    let (searches, asker) = (searches.clone(), Asker::here());
    aside(move || {
        let _place = place;
        let mut turn = LongTurn::begin(asker);
        let mut piece = Vec::with_capacity(PIECE_BYTES + 4_096);
        if format == Format::Csv {
            piece.extend_from_slice(CSV_HEADER.as_bytes());
            piece.push(b'\n');
        }
        let written = searches.take(&given_up).and_then(|mut search| {
            let mut each = |hit: &Hit| {
                format.push(hit, &wanted.shown, &mut piece);
                if piece.len() < PIECE_BYTES {
                    return ControlFlow::Continue(());
                }
                // The client has gone and wants nothing more.
                match turn.between(|| sender.blocking_send(Ok(std::mem::take(&mut piece).into()))) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            };
            let Wanted { filter, order, cursor, limit, .. } = &wanted;
            search.some(filter, *order, cursor.as_ref(), limit.unwrap_or(usize::MAX), &mut each)?;
            searches.give_back(search);
            Ok(())
        });
        drop(turn);
        searches.count(written.is_ok(), &given_up);
        let last = match written {
            Ok(()) => Ok(piece.into()),
            // The head was sent long ago; only a broken connection says that this is incomplete.
            Err(_) => Err(std::io::Error::other("the events could not be read to the end")),
        };
        let _ = sender.blocking_send(last);
    });
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()))];
    let pieces = ReceiverStream::new(receiver).map(move |piece| {
        // Dropped with the stream: if little matches, nothing is sent that would reveal that nobody reads.
        let _waiting = &waiting;
        piece
    });
    Ok((content_type, Body::from_stream(pieces)).into_response())
}

/// A turn at a search without a limit: it is released again and again while a piece is sent, so that others get a turn.
struct LongTurn {
    asker: Option<Asker>,
    turn: Option<Turn>,
}

impl LongTurn {
    /// Blocks.
    fn begin(asker: Option<Asker>) -> LongTurn {
        let turn = asker.as_ref().map(Asker::wait_for_turn);
        LongTurn { asker, turn }
    }

    /// Does `work` without the turn.
    fn between<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.turn = None;
        let done = work();
        self.turn = self.asker.as_ref().map(Asker::wait_for_turn);
        done
    }
}
