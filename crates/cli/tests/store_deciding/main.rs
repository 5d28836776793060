//! Several servers that share a store decide together, on the built program with a real PostgreSQL: tokens, reviews, legal holds
//! and the policy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../postgres/tests/server/mod.rs"]
mod postgres;
#[path = "../support/mod.rs"]
mod support;

mod flags;
mod holds;
mod policy;
mod reviews;
mod tokens;
mod viewer_tokens;

use support::Place;
use support::server::Server;

/// A store, and places for two servers that share it.
struct Common {
    store: postgres::Server,
    places: [Place; 2],
}

impl Common {
    fn new() -> Common {
        let store = postgres::Server::start_own(&[]);
        let places = ["one", "two"].map(|name| place(name, store.url_text()));
        Common { store, places }
    }

    /// Everything that was decided is known to be recorded.
    fn is_settled(&self) -> bool {
        self.store.value("SELECT count(*) FROM trailseal.decisions WHERE idx IS NULL") == "0"
    }
}

/// Two servers, with one admin token.
fn servers(places: &[Place; 2]) -> [Server<'_>; 2] {
    let first = Server::with(&places[0], &[]);
    let token = first.token.clone();
    [first, Server::knowing(&places[1], &[], &token)]
}

fn place(name: &str, url: &str) -> Place {
    let place = Place::new();
    place.write("trailseal.toml", format!("origin = \"example.com/{name}\"\n[store]\nurl = \"{url}\"\n"));
    place
}

/// How often the trail says this.
fn told(place: &Place, action: &str) -> usize {
    ids_of(place, action).len()
}

/// The ids of the trail's own events of this action.
fn ids_of(place: &Place, action: &str) -> Vec<String> {
    let answer = place.run_all(&["query", "--system", "--action", action, "--format", "jsonl"]).ok();
    answer.field("id")
}
