//! `trailseal prove`: that one event is in the trail.

use std::ops::ControlFlow;

use trailseal_core::filter::{Filter, IdFilter};
use trailseal_core::{Index, Reader};

use super::query::matching;
use super::{reader, write_text};
use crate::arguments::{Order, Prove};
use crate::failure::{Failure, Outcome};
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, prove: &Prove, json: bool) -> Outcome {
    let mut reader = reader(settings)?;
    let index = find(&mut reader, &prove.event)?;
    let proof = reader.prove(index)?;
    let text = proof.to_text();
    let answer =
        json.then(|| serde_json::json!({"origin": reader.origin(), "index": index.get(), "proof": text}));
    write_text(prove.out.as_deref(), &text, answer)
}

/// The index that `ID`, `INDEX` or `ORIGIN#INDEX` stands for.
fn find(reader: &mut Reader, event: &str) -> Outcome<Index> {
    let of_origin = event
        .rsplit_once('#')
        .filter(|(_, index)| !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()));
    let text = match of_origin {
        Some((origin, index)) if origin == reader.origin() => index,
        _ => event,
    };
    let Ok(wanted) = text.parse::<IdFilter>();
    if let IdFilter::Index(index) = wanted {
        let end = reader.end();
        let missing = || Failure::no(format!("there is no event {index}: the trail has {end}"));
        return if index < end { Ok(index) } else { Err(missing()) };
    }
    let filter = Filter { id: vec![wanted], system: true, ..Filter::default() };
    let mut found = None;
    let end = reader.end().get();
    matching(reader, &filter, 0..end, Order::Desc, &mut |recorded, _| {
        found = Some(Index::new(recorded.index));
        Ok(ControlFlow::Break(()))
    })?;
    // An id may look like an event of another trail.
    found.ok_or_else(|| match of_origin {
        Some((origin, _)) => Failure::no(format!("this is the trail {}, not {origin}", reader.origin())),
        None => Failure::no(format!("no event has the id {event}")),
    })
}
