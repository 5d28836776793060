//! Flags of trails that have no server: among the rows of the store, and made reviews there.
//!
//! A rule's flag is a line of the trail's own, right before its event. The server of a trail puts such requests into the store itself;
//! for the others, every server follows the rows, with one cursor for each trail that all servers share. What must hold: only a flag
//! becomes a review, never a change that somebody with the role of writers would like to see approved; and none without its event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use trailseal_event::filter::Filter;
use trailseal_event::{Hit, Index, Recorded, Value};
use trailseal_postgres::shared::{PublishedFlag, Shared};
use trailseal_postgres::{Pool, Reader, StoreError, StorePosition, StoreUrl};

use crate::reviews::ReviewId;

const REQUESTED: &str = "trail.review_requested";
/// So long one look may take, besides one statement. What it does not reach the next one does.
const BUDGET: Duration = Duration::from_millis(200);
const WITHIN: Duration = Duration::from_secs(5);
/// More lines than one frame of a trail has.
const AHEAD_MAX: u64 = 1 << 24;
/// So many flags become reviews at once.
const FLAGS_MAX: usize = 500;

/// Follows the rows of all trails.
pub(super) struct Flags {
    reader: Reader,
}

/// What became of a flag.
enum Found {
    Flag(PublishedFlag),
    /// Its event has not arrived yet: it is looked at again.
    TooEarly,
    /// It is no flag, or one whose event a power loss took.
    None,
}

impl Flags {
    pub(super) fn new(url: StoreUrl) -> Flags {
        Flags { reader: Reader::new(Arc::new(Pool::new(url, 1))).within(WITHIN) }
    }

    /// Makes reviews of flags that have arrived since the last look, but for those of `own`, the server's trail. Blocks.
    pub(super) fn take_in(&self, store: &Shared, own: &str) -> Result<(), StoreError> {
        let reader = &self.reader;
        let mut position = StorePosition::default();
        for (origin, next) in store.flag_cursors()? {
            position.move_to(&origin, next);
        }
        // Before the rows: what arrives in between is looked at the next time.
        let trails = reader.origins()?;
        let filter = Filter { action: vec![REQUESTED.to_owned()], system: true, ..Filter::default() };
        let arrived = reader.after(&filter, &position, FLAGS_MAX, Some(BUDGET))?;
        let (mut flags, mut early) = (Vec::new(), BTreeMap::new());
        for hit in &arrived.hits {
            let end =
                trails.iter().find(|trail| *trail.origin == *hit.origin).map_or(0, |trail| trail.next.get());
            match self.flag_of(own, hit, end)? {
                Found::Flag(flag) if !early.contains_key(&flag.origin) => flags.push(flag),
                Found::TooEarly => _ = early.entry(hit.origin.to_string()).or_insert(hit.index.get()),
                Found::Flag(_) | Found::None => {}
            }
        }
        let moved: Vec<(String, u64)> = trails
            .into_iter()
            .filter_map(|trail| {
                let next = early.get(&trail.origin).copied().unwrap_or(arrived.next.next_of(&trail.origin));
                (next > position.next_of(&trail.origin)).then_some((trail.origin, next))
            })
            .collect();
        if moved.is_empty() {
            return Ok(());
        }
        store.publish_flags(&flags, &moved)
    }

    /// The flag in a row of a trail of which everything below `end` has arrived.
    fn flag_of(&self, own: &str, hit: &Hit, end: u64) -> Result<Found, StoreError> {
        let Ok(recorded) = hit.read(None) else { return Ok(Found::None) };
        let Some((id, event, index)) = flagged(&recorded, &hit.origin) else { return Ok(Found::None) };
        // Its own server does that, and may know how it was decided.
        if *hit.origin == *own {
            return Ok(Found::None);
        }
        if index >= end {
            return Ok(Found::TooEarly);
        }
        let of = self.reader.at(&hit.origin, Index::new(index))?;
        let is_there =
            of.and_then(|of| of.read(None).ok()).is_some_and(|of| of.event.id.as_deref() == Some(event));
        if !is_there && !cfg!(trailseal_fault = "flag_without_event") {
            return Ok(Found::None);
        }
        Ok(Found::Flag(PublishedFlag {
            id: id.to_string(),
            origin: hit.origin.to_string(),
            index: hit.index.get(),
            tenant: recorded.event.tenant.clone(),
            line: hit.exact_line().to_vec(),
        }))
    }
}

/// The review that a flag requests, and the id and the index of its event; `None` for any other request.
fn flagged<'a>(recorded: &'a Recorded, origin: &str) -> Option<(ReviewId, &'a str, u64)> {
    let details = &recorded.event.details;
    let text = |name: &str| details.get(name).and_then(Value::as_str);
    let is_flag = recorded.system
        && recorded.event.action == REQUESTED
        && (details.get("change").is_none() || cfg!(trailseal_fault = "flag_of_any_request"))
        && text("origin") == Some(origin);
    let ahead = details
        .get("ahead")
        .and_then(Value::as_u64)
        .filter(|ahead| is_flag && (1..=AHEAD_MAX).contains(ahead))?;
    Some((ReviewId::parse(text("review")?)?, text("event")?, recorded.index.checked_add(ahead)?))
}
