//! `trailseal prove`: proves that one event is in the trail.

use trailseal_event::Index;
use trailseal_event::filter::{Filter, IdFilter};
use trailseal_index::{Order, Search};

use super::own_files::refuse_own_file;
use super::reading::search;
use super::source::retired;
use super::text::write_text;
use crate::arguments::Prove;
use crate::failure::{Failure, Outcome};
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, prove: &Prove, json: bool) -> Outcome {
    prove.out.as_deref().map_or(Ok(()), |path| refuse_own_file(&settings.dir(), path))?;
    let (origin, index, text) = proof(&mut search(settings)?, &prove.event)?;
    let answer = json.then(|| serde_json::json!({"origin": origin, "index": index.get(), "proof": text}));
    write_text(prove.out.as_deref(), &text, answer)
}

/// The trail and index of an event, and the proof that it is there.
pub(crate) fn proof(search: &mut Search, event: &str) -> Outcome<(String, Index, String)> {
    let (origin, index) = find(search, event)?;
    let gone = || Failure::no(format!("there is no trail {origin} here"));
    let proof = search.reader_of(&origin).ok_or_else(gone)?.prove(index)?;
    Ok((origin, index, proof.to_text()))
}

/// The trail and index that `ID`, `INDEX` or `ORIGIN#INDEX` refers to.
fn find(search: &mut Search, event: &str) -> Outcome<(String, Index)> {
    let origins: Vec<String> = search.readers().map(|reader| reader.origin().to_owned()).collect();
    let of_origin = event
        .rsplit_once('#')
        .filter(|(_, index)| !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()));
    let (named, text) = match of_origin {
        Some((origin, index)) if origins.iter().any(|known| known == origin) => (Some(origin), index),
        _ => (None, event),
    };
    let Ok(wanted) = text.parse::<IdFilter>();
    if let IdFilter::Index(index) = wanted {
        let origin = match (named, origins.as_slice()) {
            (Some(origin), _) => origin,
            (None, [origin]) => origin,
            (None, _) => {
                let what = "there are several trails here: use ORIGIN#INDEX with one of";
                return Err(Failure::could_not(format!("{what} {}", origins.join(", "))));
            }
        };
        let end = search.reader_of(origin).map_or(Index::new(0), |reader| reader.end());
        let missing = || Failure::no(format!("there is no event {index}: the trail has {end}"));
        return if index < end { Ok((origin.to_owned(), index)) } else { Err(missing()) };
    }
    let filter = Filter { id: vec![wanted], system: true, ..Filter::default() };
    let page = search.page(&filter, Order::NEWEST_RECORDED, None, 1, None)?;
    if page.hits.is_empty()
        && let Some(gone) = retired(search, &filter)?
    {
        return Err(gone);
    }
    // An id may look like an event of another trail.
    match (page.hits.first(), of_origin) {
        (Some(hit), _) => Ok((hit.origin.to_string(), hit.index)),
        (None, Some((origin, _))) => {
            Err(Failure::no(format!("this is the trail {}, not {origin}", origins.join(", "))))
        }
        (None, None) => Err(Failure::no(format!("no event has the id {event}"))),
    }
}
