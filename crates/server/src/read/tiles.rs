//! The Merkle tree for any transparency-log client: C2SP tlog-tiles over HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Extension, Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use trailseal_core::tree::TreeReader;
use trailseal_core::{ReadError, Reader};
use trailseal_event::Index;
use trailseal_tlog::TileId;

use super::reading::Reading;
use crate::access::{Caller, Scope};
use crate::fairness::blocking;
use crate::problem::Problem;

/// Leaves of a full tile.
const TILE_WIDTH: u64 = 256;
/// A tile never changes. Caches shared with others may keep it only if everybody may see it.
const FOR_ALL: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const FOR_ONE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// How long the newest checkpoint is assumed to be the newest if nothing was sealed since.
const CHECKPOINT_KEPT: Duration = Duration::from_secs(1);

/// What tiles are made from.
pub(crate) struct Tiles {
    reading: Arc<Reading>,
    newest: NewestCheckpoint,
    /// Whether everybody may see them.
    are_public: bool,
}

impl Tiles {
    pub(crate) fn new(reading: Arc<Reading>, are_public: bool) -> Tiles {
        Tiles { reading, newest: NewestCheckpoint::default(), are_public }
    }
}

/// The newest checkpoint of the server's own trail. With public tiles anybody may request it, so it is read once, and
/// again only when there is another one.
#[derive(Default)]
struct NewestCheckpoint(tokio::sync::Mutex<Option<Arc<Kept>>>);

struct Kept {
    text: String,
    size: u64,
    /// How much was sealed when it was read, and when that was.
    sealed: u64,
    at: Instant,
}

impl NewestCheckpoint {
    async fn get(&self, reading: &Reading) -> Result<Arc<Kept>, Problem> {
        // One request reads it, and the others wait for that one.
        let mut kept = self.0.lock().await;
        let sealed = reading.trail.stats().sealed;
        if let Some(kept) = &*kept
            && kept.sealed == sealed
            && kept.at.elapsed() < CHECKPOINT_KEPT
        {
            return Ok(kept.clone());
        }
        let (at, origin) = (Instant::now(), reading.trail.origin().to_owned());
        let (text, size) = reading
            .searches
            .run(move |search| {
                let checkpoint = search.reader_of(&origin).ok_or_else(nothing)?.checkpoint();
                checkpoint.map(|(text, read)| (text, read.size)).map_err(|error| Problem::internal(&error))
            })
            .await?;
        let newest = Arc::new(Kept { text, size, sealed, at });
        *kept = Some(newest.clone());
        Ok(newest)
    }
}

/// `GET /checkpoint`.
pub(crate) async fn checkpoint(State(tiles): State<Arc<Tiles>>) -> Result<Response, Problem> {
    Ok(checkpoint_answer(tiles.newest.get(&tiles.reading).await?.text.clone()))
}

/// `GET /tile/{path}`, except for entries.
pub(crate) async fn tile(
    State(tiles): State<Arc<Tiles>>,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    let id = tile_id(&path)?;
    let size = tiles.newest.get(&tiles.reading).await?.size;
    let trail = tiles.reading.trail.clone();
    let bytes = blocking(move || {
        let bytes = TreeReader::new(trail.folder(), size).tile(&id);
        bytes.map_err(|error| Problem::internal(&error))?.ok_or_else(nothing)
    });
    Ok(tile_answer(&tiles, bytes.await?))
}

/// `GET /tile/entries/{path}`: whole lines, so this needs more than tiles of hashes.
pub(crate) async fn entries(
    State(tiles): State<Arc<Tiles>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    let origin = tiles.reading.trail.origin().to_owned();
    entries_of(&tiles.reading, &caller, origin, &path).await
}

/// `GET /origins/{origin}/…`: the same for every trail. An origin contains slashes, so the path is split from its end.
pub(crate) async fn of_origin(
    State(tiles): State<Arc<Tiles>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    if let Some(origin) = path.strip_suffix("/checkpoint") {
        return checkpoint_of(&tiles.reading, &caller, origin.to_owned()).await;
    }
    if let Some((origin, path)) = path.split_once("/tile/entries/") {
        return entries_of(&tiles.reading, &caller, origin.to_owned(), path).await;
    }
    match path.split_once("/tile/") {
        Some((origin, path)) => tile_of(&tiles, origin.to_owned(), path).await,
        None => Err(nothing()),
    }
}

fn nothing() -> Problem {
    Problem::not_found("there is nothing with this name")
}

/// No trail of this name is in the folder. Whether there is one elsewhere, tiles that may be public do not tell.
fn not_here(is_shared: bool, origin: &str) -> Problem {
    match is_shared {
        true => Problem::not_found(format!(
            "no trail {origin} is at this server: its tiles are at the server that writes it"
        )),
        false => nothing(),
    }
}

/// That of a trail in the folder is read there; of others, the newest that the shared store has.
async fn checkpoint_of(reading: &Reading, caller: &Caller, origin: String) -> Result<Response, Problem> {
    let is_shared = reading.view.is_shared();
    let (origin, here) = reading
        .searches
        .run(move |search| {
            let read = match search.reader_of(&origin) {
                Some(reader) => Some(reader.checkpoint().map_err(|error| Problem::internal(&error))?.0),
                None if is_shared => None,
                None => return Err(nothing()),
            };
            Ok((origin, read))
        })
        .await?;
    if let Some(text) = here {
        return Ok(checkpoint_answer(text));
    }
    let stored = reading.ask(caller, move |events| events.checkpoint_of(&origin)).await?;
    Ok(checkpoint_answer(stored.ok_or_else(nothing)?))
}

fn checkpoint_answer(text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text).into_response()
}

/// The path is parsed strictly and formatted again, so no other file can be reached with it.
fn tile_id(path: &str) -> Result<TileId, Problem> {
    TileId::parse(&format!("tile/{path}")).map_err(|_| nothing())
}

async fn tile_of(tiles: &Tiles, origin: String, path: &str) -> Result<Response, Problem> {
    let id = tile_id(path)?;
    let is_shared = tiles.reading.view.is_shared();
    let bytes = tiles
        .reading
        .searches
        .run(move |search| {
            let reader = search.reader_of(&origin).ok_or_else(|| not_here(is_shared, &origin))?;
            let size = sealed(reader)?;
            let bytes = TreeReader::new(reader.folder(), size).tile(&id);
            bytes.map_err(|error| Problem::internal(&error))?.ok_or_else(nothing)
        })
        .await?;
    Ok(tile_answer(tiles, bytes))
}

fn tile_answer(tiles: &Tiles, bytes: Vec<u8>) -> Response {
    let caching = if tiles.are_public { FOR_ALL } else { FOR_ONE };
    ([(header::CACHE_CONTROL, caching)], octets(bytes)).into_response()
}

async fn entries_of(
    reading: &Reading,
    caller: &Caller,
    origin: String,
    path: &str,
) -> Result<Response, Problem> {
    caller.has_all(Scope::Read)?;
    // The same spelling as a tile of level 0.
    let id = TileId::parse(&format!("tile/0/{path}")).map_err(|_| nothing())?;
    reading.note(caller, &format!("/tile/entries/{path}"), None).await;
    let is_shared = reading.view.is_shared();
    let bytes = reading
        .searches
        .run(move |search| {
            let reader = search.reader_of(&origin).ok_or_else(|| not_here(is_shared, &origin))?;
            let size = sealed(reader)?;
            let whole = TileId::in_tree(0, id.index, size).filter(|whole| id.width <= whole.width);
            whole.ok_or_else(nothing)?;
            let first = id.index * TILE_WIDTH;
            let mut bytes = Vec::new();
            for index in first..first + u64::from(id.width) {
                // A retired line is gone, and so is its bundle.
                let line = match reader.line(Index::new(index)) {
                    Ok(line) => line.ok_or_else(nothing)?,
                    Err(ReadError::Retired { .. }) => return Err(nothing()),
                    Err(error) => return Err(Problem::internal(&error)),
                };
                let len = u16::try_from(line.len()).map_err(|_| nothing())?;
                bytes.extend_from_slice(&len.to_be_bytes());
                bytes.extend_from_slice(&line);
            }
            Ok(bytes)
        })
        .await?;
    // Never cached: lines can be retired.
    Ok(octets(bytes))
}

fn sealed(reader: &Reader) -> Result<u64, Problem> {
    reader.checkpoint().map(|(_, checkpoint)| checkpoint.size).map_err(|error| Problem::internal(&error))
}

fn octets(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))], bytes).into_response()
}
