//! A trail inside an application that delivers to a shared store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../postgres/tests/server/mod.rs"]
mod server;

use std::time::Duration;

use server::Server;
use trailseal::postgres::StoreUrl;
use trailseal::{Ack, Event, Status, Trail};

#[test]
fn level_store_waits_for_the_shared_store() {
    let server = Server::start();
    let trail = Trail::temporary().unwrap();
    trail.deliver_to_store(&StoreUrl::parse(server.url_text()).unwrap()).unwrap();
    let receipt = trail.with(Ack::Store).record(Event::new("invoice.pay").actor("u1")).unwrap();
    assert_eq!(receipt.status, Status::Stored);
    let found = server.rows("SELECT action, actor_id, origin FROM trailseal.events WHERE NOT system");
    assert_eq!(found, [["invoice.pay", "u1", trail.origin()]]);
    trail.close(Duration::from_secs(30)).unwrap();
}
