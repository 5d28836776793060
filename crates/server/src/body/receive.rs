//! The body of a request: read with a limit and a deadline, and unpacked.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::room::Held;
use super::unpack::decode;
use crate::access::Caller;
use crate::client::Client;
use crate::config::Config;
use crate::fairness::{Shares, Turn, Turns, aside};
use crate::problem::{Kind, Problem};

/// The whole body of a request, as sent.
pub(crate) struct Sent {
    bytes: Bytes,
    /// Its compression.
    encoding: Option<String>,
    held: Held,
}

/// The whole body of a request, decompressed.
pub(crate) struct Whole {
    bytes: Bytes,
    _held: Held,
}

impl Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What bodies take, and what each may.
pub(crate) struct Bodies {
    bytes_max: usize,
    timeout: Duration,
    /// Bytes of large bodies.
    room: Arc<Shares>,
    /// Turns at large bodies.
    turns: Arc<Turns>,
}

impl Bodies {
    pub(crate) fn new(config: &Config) -> Bodies {
        Bodies {
            bytes_max: config.body_bytes_max,
            timeout: config.request_timeout,
            // The compressed and the decompressed body are both held.
            room: Shares::new(config.bodies_bytes_max, 2 * config.body_bytes_max),
            turns: Turns::new(config.searches_max, config.searches_max / 2),
        }
    }

    /// Bytes of large bodies held now.
    pub(crate) fn bytes_held(&self) -> usize {
        self.room.taken()
    }

    /// How many large bodies had their turn so far.
    pub(crate) fn turns_given(&self) -> u64 {
        self.turns.given()
    }

    /// A turn at a large body.
    pub(crate) async fn turn(&self, client: Client) -> Turn {
        self.turns.take(client).await
    }

    /// Reads and unpacks a body: see [`receive`](Bodies::receive) and [`unpack`](Bodies::unpack).
    pub(crate) async fn read(
        self: &Arc<Self>,
        caller: &Caller,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Whole, Problem> {
        let sent = self.receive(caller, headers, body).await?;
        match sent.is_packed() {
            false => self.unpack(sent),
            true => {
                let (bodies, turn) = (self.clone(), self.turn(caller.client()).await);
                let unpack = move || {
                    let _turn = turn;
                    bodies.unpack(sent)
                };
                aside(unpack).await.unwrap_or_else(|error| Err(Problem::internal(&error)))
            }
        }
    }

    /// Reads a body of at most the size that the settings allow, if there is room for it beside others.
    pub(crate) async fn receive(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Sent, Problem> {
        let max = self.bytes_max;
        let too_large = || too_large(max);
        let declared =
            headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|declared| declared > max) {
            return Err(too_large());
        }
        let mut held = Held::new(self.room.begin(caller.client()));
        let collected = tokio::time::timeout(self.timeout, collect(body, declared, max, &mut held));
        let bytes = match collected.await {
            Ok(collected) => collected?.ok_or_else(too_large)?,
            Err(_) => {
                let detail = "the body took too long: send it faster, or send less at once";
                return Err(Problem::new(Kind::Timeout, detail).retry_after(1));
            }
        };
        let encoding = headers.get(header::CONTENT_ENCODING);
        let encoding =
            encoding.map(|encoding| encoding.to_str().unwrap_or_default().trim().to_ascii_lowercase());
        let encoding = encoding.filter(|encoding| !matches!(encoding.as_str(), "" | "identity"));
        Ok(Sent { bytes, encoding, held })
    }

    /// What a body unpacks to, of at most as many bytes. Takes long where it is packed.
    pub(crate) fn unpack(&self, sent: Sent) -> Result<Whole, Problem> {
        let (Sent { bytes, encoding, mut held }, max) = (sent, self.bytes_max);
        let bytes = match encoding {
            None => bytes,
            Some(encoding) => {
                decode(&encoding, &bytes, max, &mut held)?.ok_or_else(|| too_large(max))?.into()
            }
        };
        Ok(Whole { bytes, _held: held })
    }
}

fn too_large(max: usize) -> Problem {
    Problem::too_large(format!("the body is larger than {max} bytes: send less at once"))
}

impl Sent {
    pub(crate) fn is_packed(&self) -> bool {
        self.encoding.is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// The bytes of a body whose declared length is `declared`; `None` if there are more than `max`.
async fn collect(
    body: Body,
    declared: Option<usize>,
    max: usize,
    held: &mut Held,
) -> Result<Option<Bytes>, Problem> {
    let mut body = Limited::new(body, max);
    // One piece is the usual case and is not copied.
    let (mut first, mut whole) = (Bytes::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) if error.is::<LengthLimitError>() => return Ok(None),
            Err(_) => return Err(Problem::new(Kind::Body, "the body ended early")),
        };
        let Ok(piece) = frame.into_data() else { continue };
        held.grow(piece.len())?;
        if first.is_empty() && whole.is_empty() {
            first = piece;
            continue;
        }
        if whole.is_empty() {
            // All at once, since growing would hold it twice. Memory that is not written to is not used yet.
            whole = Vec::with_capacity(declared.unwrap_or(0).max(first.len() + piece.len()));
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(Some(if whole.is_empty() { first } else { whole.into() }))
}
