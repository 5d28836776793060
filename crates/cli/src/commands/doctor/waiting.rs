//! What waits in the outbox, and why.

use std::time::Duration;

use trailseal_core::deliver::MustEnd;
use trailseal_postgres::outbox::{OutboxState, look as look_at};
use trailseal_postgres::{StoreError, StoreUrl};

use crate::failure::with_causes;
use crate::output::thousands;

/// A relay takes over what waits within a second.
const TOO_LONG: Duration = Duration::from_secs(60);

/// Code, what is wrong, and how to mend that.
pub(super) fn look(url: &StoreUrl) -> Vec<(&'static str, String, &'static str)> {
    let mut found = Vec::new();
    match examine(url) {
        Err(error) => found.push((
            "outbox",
            with_causes(&error),
            "start the server, correct outbox.url, or run `trailseal outbox migrate`; until then events wait there",
        )),
        Ok(state) => {
            if state.waits > TOO_LONG {
                let (waiting, seconds) = (thousands(state.waiting), state.waits.as_secs());
                let what = format!("{waiting} events wait in the outbox, the oldest for {seconds} s");
                found.push(("outbox", what, "run `trailseal outbox relay`, or `serve` with outbox.url set"));
            }
            if state.refused > 0 {
                let first = state.first_refused.unwrap_or_default();
                let what = format!("{} events cannot be recorded, the first is {first}", thousands(state.refused));
                let mend = "put right what is wrong in trailseal_outbox.refused, then run `trailseal redeliver`";
                found.push(("outbox_refused", what, mend));
            }
            for it in state.taken.into_iter().filter(|it| it.waits > TOO_LONG) {
                let (events, seconds) = (thousands(it.events), it.waits.as_secs());
                let what =
                    format!("{events} events of the outbox are claimed by {}, the oldest for {seconds} s", it.origin);
                let mend = "let a relay open that trail; if it is gone for ever, run `trailseal outbox release --origin`";
                found.push(("outbox_claimed", what, mend));
            }
        }
    }
    found
}

fn examine(url: &StoreUrl) -> Result<OutboxState, StoreError> {
    look_at(&mut url.connect(&MustEnd::default())?)
}
