//! Reads in the trails what they say of reviews.

use std::sync::Arc;

use trailseal_core::ReadError;
use trailseal_event::{Event, Index, Recorded};
use trailseal_index::Search;

use super::queue::{Place, Places};
use super::review::Review;
use crate::problem::Problem;
use crate::searches::Searches;

/// Reads the reviews at `places`. What was still on its way to the disk when the places were taken is included. Blocks.
pub(super) fn read(searches: &Searches, places: Vec<Places>) -> Result<Vec<Review>, Problem> {
    let mut search = searches.take(&Arc::default())?;
    let mut reviews = Vec::with_capacity(places.len());
    for Places { id, state, requested, decided } in places {
        let Some(asked) = step(&mut search, &requested)? else { continue };
        let Some(mut review) = Review::requested(id, &asked, &requested.origin) else { continue };
        review.state = state;
        if let Some(decided) = decided.map(|place| step(&mut search, &place)).transpose()?.flatten() {
            review.decide(&decided);
        }
        reviews.push(review);
    }
    searches.give_back(search);
    Ok(reviews)
}

/// The event of a step; `None` if the trail no longer has it.
fn step(search: &mut Search, place: &Place) -> Result<Option<Arc<Recorded>>, Problem> {
    if let Some(fresh) = &place.fresh {
        return Ok(Some(fresh.clone()));
    }
    let Some(reader) = search.reader_of(&place.origin) else { return Ok(None) };
    let line = match reader.line(Index::new(place.index)) {
        Err(ReadError::Retired { .. }) => None,
        line => line.map_err(|error| Problem::internal(&error))?,
    };
    Ok(line.and_then(|line| Event::from_line(&line).ok()).map(Arc::new))
}
