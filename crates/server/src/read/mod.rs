//! Everything that shows events. Each request is itself recorded, once, as `trail.read`.

mod accept;
mod answer;
mod event;
mod export;
mod list;
mod reading;
mod stream;
mod tiles;

pub(crate) use event::{SAME_ID_MAX, one, proof, several, verify};
pub(crate) use export::Exports;
pub(crate) use list::{events, history, origins, summary, values};
pub(crate) use reading::Reading;
pub(crate) use stream::{Streaming, stream};
pub(crate) use tiles::{Tiles, checkpoint, entries, of_origin, tile};
