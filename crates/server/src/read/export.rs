//! Events as CSV, NDJSON, Parquet or a bundle, written while they are read: a response of any length takes little memory.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_core::load_mask_key;
use trailseal_event::filter::Filter;
use trailseal_export::{
    BundleError, BundleWriter, CSV_HEADER, CSV_JSON_HEADER, ParquetWriter, Row, UntilItFails, write_csv_row,
};
use trailseal_index::{Hit, Order, Search};

use super::accept::preferred;
use super::answer::push_event;
use super::reading::{Reading, Shown};
use crate::client::Client;
use crate::fairness::{Asker, Full, Shares, Turn, aside};
use crate::problem::{Kind, Problem};
use crate::response_work::Waiting;
use crate::view::Cursor;

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
    Parquet,
    /// A zip with the lines and their proofs.
    Bundle,
}

/// The types that can be asked for. What is asked for equally is answered with the first of them.
const TYPES: [(&str, Option<Format>); 7] = [
    ("application/json", None),
    ("text/csv", Some(Format::Csv)),
    ("application/x-ndjson", Some(Format::Ndjson)),
    ("application/ndjson", Some(Format::Ndjson)),
    ("application/jsonl", Some(Format::Ndjson)),
    ("application/vnd.apache.parquet", Some(Format::Parquet)),
    ("application/zip", Some(Format::Bundle)),
];

impl Format {
    /// What the client prefers to JSON. A client that accepts none of the types gets JSON, too.
    pub(super) fn of(headers: &HeaderMap) -> Option<Format> {
        let types = TYPES.map(|(name, _)| name);
        preferred(headers.get_all(header::ACCEPT), &types).and_then(|place| TYPES[place].1)
    }

    fn content_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::Ndjson => "application/x-ndjson",
            Format::Parquet => "application/vnd.apache.parquet",
            Format::Bundle => "application/zip",
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
    /// Whether a row of CSV has the event's JSON.
    pub(super) has_json: bool,
    /// What a bundle says was asked for: names, and values as they may be recorded.
    pub(super) told: Vec<(String, String)>,
}

impl Wanted {
    /// Writes all of it.
    fn write(
        &self,
        format: Format,
        reading: &Reading,
        out: &mut Pieces,
        given_up: &Arc<AtomicBool>,
    ) -> Result<(), ExportError> {
        match format {
            // Only a folder has proofs.
            Format::Bundle => reading.searches.with(given_up, |search| self.bundle(search, out, given_up)),
            Format::Parquet => {
                let mut writer = ParquetWriter::new(out)?;
                self.each(reading, given_up, &mut |hit| match Row::read_shown(
                    hit.exact_line(),
                    &self.shown.line(hit),
                ) {
                    Some(row) => writer.event(&hit.origin, &row),
                    None => Ok(()),
                })?;
                Ok(writer.finish()?)
            }
            Format::Csv => {
                let more = if self.has_json { CSV_JSON_HEADER } else { "" };
                writeln!(out, "{CSV_HEADER}{more}")?;
                let mut text = Vec::new();
                self.each(reading, given_up, &mut |hit| {
                    text.clear();
                    if let Some(row) = Row::read(&self.shown.line(hit)) {
                        write_csv_row(&hit.origin, &row, self.has_json, &mut text);
                    }
                    out.write_all(&text)
                })
            }
            Format::Ndjson => {
                let mut text = Vec::new();
                self.each(reading, given_up, &mut |hit| {
                    text.clear();
                    push_event(hit, &self.shown, &mut text);
                    text.push(b'\n');
                    out.write_all(&text)
                })
            }
        }
    }

    /// Calls `each` with every event, until that fails.
    fn each(
        &self,
        reading: &Reading,
        given_up: &Arc<AtomicBool>,
        each: &mut dyn FnMut(&Hit) -> io::Result<()>,
    ) -> Result<(), ExportError> {
        let (limit, mut failed) = (self.limit.unwrap_or(usize::MAX), None);
        let mut each = |hit: &Hit| match each(hit) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        };
        reading.view.with(given_up, |events| {
            events.some(&self.filter, self.order, self.cursor.as_ref(), limit, &mut each)
        })?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// The exact lines, by trail and index, as far as they are sealed: personal values stay cipher text.
    fn bundle(
        &self,
        search: &mut Search,
        out: &mut Pieces,
        given_up: &AtomicBool,
    ) -> Result<(), ExportError> {
        let mut bundle = BundleWriter::to_pipe(UntilItFails::new(out));
        let names: Vec<String> = search.readers().map(|reader| reader.origin().to_owned()).collect();
        let asked = &self.filter.origin;
        let wanted = names.iter().filter(|name| asked.is_empty() || asked.contains(name));
        let (mut origins, mut count) = (Vec::new(), 0);
        for (folder, name) in wanted.enumerate() {
            let Some(reader) = search.reader_of(name) else { continue };
            let filter = self.filter.as_stored(load_mask_key(reader.folder()).ok().flatten().as_ref());
            let is_wanted = |line: &[u8]| match given_up.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(filter.accepts(line)),
            };
            let found = bundle.origin(folder, reader, filter.index_range(), &is_wanted)?;
            let own = found.indexes.len();
            origins.push(serde_json::json!({
                "origin": name, "folder": folder.to_string(), "count": own, "tree_size": found.tree_size,
            }));
            count += own;
        }
        let mut filters = serde_json::Map::new();
        for (name, value) in &self.told {
            let values = filters.entry(name.clone()).or_insert_with(|| serde_json::json!([]));
            if let Some(values) = values.as_array_mut() {
                values.push(value.as_str().into());
            }
        }
        let mut about = serde_json::Map::new();
        about.insert("created".into(), SystemClock.now().to_string().into());
        about.insert("filters".into(), filters.into());
        about.insert("count".into(), count.into());
        about.insert("origins".into(), origins.into());
        bundle.finish(about)?;
        Ok(())
    }
}

/// Why an export ended early.
enum ExportError {
    /// The client wants nothing more.
    Gone,
    /// The events could not be read.
    Unread(Problem),
}

impl From<io::Error> for ExportError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => ExportError::Gone,
            _ => ExportError::Unread(Problem::internal(&error)),
        }
    }
}

impl From<Problem> for ExportError {
    fn from(problem: Problem) -> Self {
        ExportError::Unread(problem)
    }
}

impl From<BundleError> for ExportError {
    fn from(error: BundleError) -> Self {
        match error {
            BundleError::Io(error) => error.into(),
            BundleError::Read(error) => Problem::from(trailseal_index::SearchError::from(error)).into(),
        }
    }
}

/// Where an export is written to: sent on piece by piece, without its turn while the client takes its time.
struct Pieces {
    piece: Vec<u8>,
    sender: mpsc::Sender<Result<Bytes, io::Error>>,
    turn: LongTurn,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            let piece = std::mem::take(&mut self.piece).into();
            let sender = &self.sender;
            let sent = self.turn.between(|| sender.blocking_send(Ok(piece)));
            sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Streams every matching event, or the first `limit`.
pub(super) fn response(
    reading: &Arc<Reading>,
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
        Problem::new(Kind::Exports, detail).retry_after(5)
    })?;
    let waiting = Waiting::default();
    let given_up = waiting.given_up();
    let (sender, receiver) = mpsc::channel::<Result<Bytes, io::Error>>(PIECES_WAITING);
    let (reading, asker) = (reading.clone(), Asker::here());
    aside(move || {
        let _place = place;
        let turn = LongTurn::begin(asker);
        let mut pieces = Pieces { piece: Vec::with_capacity(PIECE_BYTES + 4_096), sender, turn };
        let written = match wanted.write(format, &reading, &mut pieces, &given_up) {
            Ok(()) | Err(ExportError::Gone) => Ok(()),
            Err(ExportError::Unread(problem)) => Err(problem),
        };
        let Pieces { piece, sender, turn } = pieces;
        drop(turn);
        reading.view.count(written.is_ok(), &given_up);
        let last = match written {
            Ok(()) => Ok(piece.into()),
            // The head was sent long ago; only a broken connection says that this is incomplete.
            Err(_) => Err(io::Error::other("the events could not be read to the end")),
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
