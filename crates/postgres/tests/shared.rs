//! What servers decide together, on a real server: of two changes that exclude each other one is made, whoever comes first, and a
//! lost answer is asked for again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod proxy;
mod server;

use proxy::Proxy;
use server::Server;
use trailseal_event::Timestamp;
use trailseal_postgres::StoreUrl;
use trailseal_postgres::shared::{
    Change, Decided, Decision, NewPolicy, PublishedFlag, PublishedReview, ReviewsWanted, Shared, SharedToken,
    TokenUse,
};

const ORIGIN: &str = "example.com/one";

fn decision(number: usize) -> Decision {
    Decision { id: format!("d-{number}"), origin: ORIGIN.into(), what: "x".into(), about: "{}".into() }
}

fn token(name: &str, number: u8, expires: Option<i64>) -> SharedToken {
    let at = |seconds| Timestamp::from_micros(1_795_233_600_000_000 + seconds * 1_000_000);
    SharedToken {
        name: name.into(),
        sha256: [number; 32],
        about: r#"{"scopes":["read"],"tenant":"a\\u0000b"}"#.into(),
        created: at(0),
        expires: expires.map(at),
        last_used: None,
    }
}

fn review(id: &str, index: u64) -> PublishedReview {
    let (id, state) = (id.to_owned(), "pending".to_owned());
    PublishedReview { id, index, tenant: Some("t\0".into()), line: b"{}\0".to_vec(), state, decided: None }
}

#[test]
fn of_changes_that_exclude_each_other_the_first_is_made() {
    let server = Server::start();
    let shared = Shared::new(server.url());
    let mut number = 0;
    let mut decide = |change: &Change<'_>| {
        number += 1;
        shared.decide(&decision(number), change).unwrap()
    };
    let first = token("admin", 1, None);
    assert_eq!(decide(&Change::AddFirstToken(&first)), Decided::Made);
    assert_eq!(decide(&Change::AddFirstToken(&token("other", 2, None))), Decided::Exists);
    assert_eq!(decide(&Change::AddToken(&token("admin", 3, None))), Decided::Exists);
    // One that has expired makes room for another of its name.
    assert_eq!(decide(&Change::AddToken(&token("short", 4, Some(-1_000_000_000)))), Decided::Made);
    assert_eq!(decide(&Change::AddToken(&token("short", 5, None))), Decided::Made);
    assert_eq!(decide(&Change::RevokeToken("short")), Decided::Made);
    assert_eq!(decide(&Change::RevokeToken("short")), Decided::Unknown);
    shared.note_uses(&[TokenUse { sha256: [1; 32], at: first.created }]).unwrap();
    assert_eq!(shared.tokens().unwrap(), [SharedToken { last_used: Some(first.created), ..first.clone() }]);

    assert_eq!(decide(&Change::AddHold { name: "h", about: "{}" }), Decided::Made);
    assert_eq!(decide(&Change::AddHold { name: "h", about: "{}" }), Decided::Exists);
    assert_eq!(decide(&Change::RemoveHold("h")), Decided::Made);
    assert_eq!(decide(&Change::RemoveHold("h")), Decided::Unknown);

    let policy = |after| NewPolicy { after, policy: "mode = \"sync\"", review: None };
    assert_eq!(decide(&Change::SetPolicy(policy(0))), Decided::Made);
    assert_eq!(decide(&Change::SetPolicy(policy(0))), Decided::Outdated);
    assert_eq!(decide(&Change::SetPolicy(policy(1))), Decided::Made);
    assert_eq!(shared.policy().unwrap().unwrap().number, 2);

    shared.publish(ORIGIN, &[review("r1", 3), review("r2", 5)], 6).unwrap();
    assert!(shared.publish(ORIGIN, &[review("r1", 3)], 4).unwrap().is_empty());
    assert_eq!(shared.published(ORIGIN).unwrap(), 6);
    let approve = |id, policy| Change::DecideReview { id, state: "approved", decided: "{}", policy };
    assert_eq!(decide(&approve("r1", Some(policy(1)))), Decided::Outdated);
    assert_eq!(shared.review("r1").unwrap().unwrap().state, "pending", "nothing is half decided");
    assert_eq!(decide(&approve("r1", Some(policy(2)))), Decided::Made);
    let before = Decided::Before { state: "approved".into(), decided: "{}".into() };
    assert_eq!(decide(&approve("r1", None)), before);
    assert_eq!(decide(&approve("r9", None)), Decided::Unknown);
    let pending = ReviewsWanted { state: Some("pending"), tenant: Some("t\0"), before: None };
    let listed = shared.reviews(&pending, 10).unwrap();
    assert_eq!((listed.len(), &*listed[0].id, &*listed[0].line), (1, "r2", &b"{}\0"[..]));
    assert_eq!(shared.pending_reviews().unwrap(), 1);

    // Only what was made is a decision, and each is told until it is noted.
    let looked = shared.look(ORIGIN).unwrap();
    let made: Vec<&str> = looked.to_record.iter().map(|decision| decision.id.as_str()).collect();
    assert_eq!(made.len(), 9, "{made:?}");
    assert_eq!((looked.tokens, looked.holds, looked.policy), (4, 2, 3));
    for id in &made {
        shared.note_recorded(id, 7).unwrap();
        shared.note_recorded(id, 8).unwrap();
    }
    assert!(shared.look(ORIGIN).unwrap().to_record.is_empty());
    assert_eq!(server.value("SELECT string_agg(DISTINCT idx::text, ',') FROM trailseal.decisions"), "7");
    assert!(shared.look("example.com/two").unwrap().to_record.is_empty());
}

#[test]
fn a_request_whose_id_another_trail_has_taken_is_told() {
    let server = Server::start();
    let shared = Shared::new(server.url());
    let flag = |id: &str, origin: &str| PublishedFlag {
        id: id.into(),
        origin: origin.into(),
        index: 1,
        tenant: None,
        line: b"{}".to_vec(),
    };
    let next = [("example.com/thief".to_owned(), 2)];
    assert!(shared.publish_flags(&[flag("r1", "example.com/thief")], &next).unwrap().is_empty());
    assert_eq!(shared.publish(ORIGIN, &[review("r1", 3), review("r2", 5)], 6).unwrap(), ["r1"]);
    assert_eq!(shared.review("r1").unwrap().unwrap().origin, "example.com/thief");
    assert_eq!((shared.published(ORIGIN).unwrap(), shared.pending_reviews().unwrap()), (6, 2));
    let flags = [flag("r2", "example.com/thief"), flag("r3", "example.com/thief")];
    assert_eq!(shared.publish_flags(&flags, &[]).unwrap(), ["r2"]);
    assert_eq!(shared.flag_cursors().unwrap(), next);
}

#[test]
fn a_viewer_key_that_was_rejected_stays_rejected_however_often_it_is_renewed() {
    let server = Server::start_own(&[]);
    let shared = Shared::new(server.url());
    for key in ["one", "two"] {
        assert!(shared.keep_viewer_key(ORIGIN, key).unwrap());
    }
    assert_eq!(shared.viewer_keys().unwrap().len(), 2);
    server.execute("UPDATE trailseal.viewer_keys SET rejected = now(), kept = now() - interval '3 days' WHERE key = 'one'");
    assert!(!shared.keep_viewer_key(ORIGIN, "one").unwrap(), "it is told so");
    assert_eq!(shared.viewer_keys().unwrap(), ["two"]);
    server.execute("UPDATE trailseal.viewer_keys SET kept = now() - interval '3 days'");
    // Its own row may be one of the old ones.
    assert!(shared.keep_viewer_key(ORIGIN, "two").unwrap());
    assert!(!shared.keep_viewer_key(ORIGIN, "one").unwrap(), "nor is it forgotten");
    assert_eq!(shared.viewer_keys().unwrap(), ["two"]);
}

#[test]
fn of_many_at_once_one_wins() {
    let server = Server::start();
    Shared::new(server.url()).look(ORIGIN).unwrap();
    for round in 0..5 {
        let (id, index) = (format!("r-{round}"), round as u64);
        Shared::new(server.url()).publish(ORIGIN, &[review(&id, index)], index + 1).unwrap();
        let made: Vec<Decided> = std::thread::scope(|scope| {
            let deciding: Vec<_> = (0..6)
                .map(|number| {
                    let (id, url) = (&id, server.url());
                    scope.spawn(move || {
                        let change =
                            Change::DecideReview { id, state: "rejected", decided: "{}", policy: None };
                        Shared::new(url).decide(&decision(100 * round + number), &change).unwrap()
                    })
                })
                .collect();
            deciding.into_iter().map(|deciding| deciding.join().unwrap()).collect()
        });
        assert_eq!(made.iter().filter(|decided| **decided == Decided::Made).count(), 1, "{made:?}");
    }
}

#[test]
fn a_lost_answer_to_a_commit_is_asked_for_again() {
    let server = Server::start_own(&[]);
    let proxy = Proxy::start(server.port());
    let url = StoreUrl::parse(&format!("postgres://test@127.0.0.1:{}/postgres", proxy.port)).unwrap();
    let shared = Shared::new(url);
    shared.look(ORIGIN).unwrap();
    for round in 0..5 {
        proxy.swallow_next_commit_of_any();
        let token = token(&format!("t{round}"), 10 + round, None);
        let decided = shared.decide(&decision(round.into()), &Change::AddToken(&token)).unwrap();
        assert_eq!((decided, proxy.swallowed()), (Decided::Made, u64::from(round) + 1));
    }
    assert_eq!(shared.tokens().unwrap().len(), 5);
    assert_eq!(shared.look(ORIGIN).unwrap().to_record.len(), 5);
}
