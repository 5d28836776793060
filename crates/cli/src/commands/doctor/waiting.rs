//! What waits in the outbox, and why, and who may do more with it than they need.

use std::time::Duration;

use trailseal_core::deliver::MustEnd;
use trailseal_core::with_causes;
use trailseal_postgres::outbox::{OutboxState, WideGrant, look as look_at, wide_grants};
use trailseal_postgres::{StoreError, StoreUrl};

use crate::output::thousands;

/// A relay takes over what waits within a second.
const TOO_LONG: Duration = Duration::from_secs(60);

/// Code, what is wrong, and how to mend that.
pub(super) fn look(url: &StoreUrl) -> Vec<(&'static str, String, String)> {
    let mut found = Vec::new();
    let mut add = |code, what: String, mend: &str| found.push((code, what, mend.to_owned()));
    match examine(url) {
        Err(error) => add(
            "outbox",
            with_causes(&error),
            "start the server, correct outbox.url, or run `trailseal outbox migrate`; until then events wait there",
        ),
        Ok((state, grants)) => {
            if state.waits > TOO_LONG {
                let (waiting, seconds) = (thousands(state.waiting), state.waits.as_secs());
                let what = format!("{waiting} events wait in the outbox, the oldest for {seconds} s");
                add("outbox", what, "run `trailseal outbox relay`, or `serve` with outbox.url set");
            }
            if state.refused > 0 {
                let first = state.first_refused.unwrap_or_default();
                let what =
                    format!("{} events cannot be recorded, the first is {first}", thousands(state.refused));
                let mend =
                    "put right what is wrong in trailseal_outbox.refused, then run `trailseal redeliver`";
                add("outbox_refused", what, mend);
            }
            for it in state.taken.into_iter().filter(|it| it.waits > TOO_LONG) {
                let (events, seconds) = (thousands(it.events), it.waits.as_secs());
                let what = format!(
                    "{events} events of the outbox are claimed by {}, the oldest for {seconds} s",
                    it.origin
                );
                let mend = "let a relay open that trail; if it is gone for ever, run `trailseal outbox release --origin`";
                add("outbox_claimed", what, mend);
            }
            for WideGrant { role, may, .. } in grants {
                let what = format!("{role} may do more with the outbox than write events: {may}");
                let mend = format!(
                    "as its owner: REVOKE ALL ON SCHEMA trailseal_outbox FROM {role}; REVOKE ALL ON ALL TABLES IN SCHEMA \
                     trailseal_outbox FROM {role}; then grant what docs/outbox.md has for those who write. If it is for relays, let \
                     outbox.url name a user that is in it"
                );
                add("outbox_grants", what, &mend);
            }
        }
    }
    found
}

fn examine(url: &StoreUrl) -> Result<(OutboxState, Vec<WideGrant>), StoreError> {
    let mut connection = url.connect(&MustEnd::default())?;
    Ok((look_at(&mut connection)?, wide_grants(&mut connection)?))
}
