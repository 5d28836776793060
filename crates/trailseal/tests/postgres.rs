//! A trail inside an application that delivers to a shared store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../postgres/tests/server/mod.rs"]
mod server;

use std::time::Duration;

use server::Server;
use trailseal::outbox::{INSERT_SQL, SCHEMA_SQL};
use trailseal::postgres::StoreUrl;
use trailseal::{Ack, Event, RequestContext, Status, Trail};

const WITHIN: Duration = Duration::from_secs(60);

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

#[test]
fn an_event_for_the_outbox_has_the_context_of_its_request_and_is_taken_over() {
    let server = Server::start();
    server.execute(SCHEMA_SQL);
    let trail = Trail::temporary().unwrap();
    let request = RequestContext::new();
    request.change(|facts| facts.context.request_id = Some("r1".into()));
    let event = request.enter(|| trail.for_outbox(Event::new("invoice.pay").actor("u1"))).unwrap();
    let insert = async |client: &mut tokio_postgres::Client| {
        client.execute(INSERT_SQL, &[&event.id(), &event.json(), &event.masked()]).await
    };
    assert_eq!(server.connect().run("write into", WITHIN, insert).unwrap(), 1);
    let relay = trail.relay_outbox(&StoreUrl::parse(server.url_text()).unwrap()).unwrap();
    assert!(relay.wait_emptied(WITHIN), "{:?}", relay.stats());
    let found = trail.get(event.id()).unwrap().unwrap();
    assert_eq!(
        (&*found.event.action, found.event.context.request_id.as_deref()),
        ("invoice.pay", Some("r1"))
    );
    assert_eq!(relay.stop().taken_over, 1);
    trail.close(WITHIN).unwrap();
}
