//! The server killed at any moment under load from several clients: every acknowledged event is there once, and what is
//! sent again with the same id adds nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use support::server::{Client, Connection, Server};
use support::{Place, wait_until};

const CLIENTS: usize = 4;
/// What of the round before is sent again although it was acknowledged.
const SENT_AGAIN: usize = 20;

fn rounds() -> u64 {
    std::env::var("TRAILSEAL_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(50)
}

/// What a client knows.
#[derive(Default)]
struct Known {
    /// Index by id: acknowledged, so there for ever.
    acknowledged: HashMap<String, u64>,
    /// Sent again after the kill, by their order.
    again: Vec<String>,
    sent: u64,
}

fn event(id: &str) -> String {
    format!(r#"{{"id":"{id}","action":"kill","tenant":"t{}","details":{{"of":"{id}"}}}}"#, id.len() % 3)
}

impl Known {
    /// Notes the answer to a request with these ids.
    fn note(&mut self, ids: &[String], answer: &serde_json::Value) {
        let events = answer["events"].as_array().unwrap();
        assert_eq!(events.len(), ids.len());
        let mut new = 0;
        for (id, event) in ids.iter().zip(events) {
            assert_eq!(event["id"], id.as_str());
            let index = event["index"].as_u64().unwrap();
            let before = self.acknowledged.insert(id.clone(), index);
            let is_repeated = event["repeated"] == true;
            new += u64::from(!is_repeated);
            if let Some(before) = before {
                assert_eq!((before, is_repeated), (index, true), "{id} was acknowledged, and is new again");
            }
        }
        assert_eq!(answer["accepted"], new);
    }

    /// Sends events until the server is gone, and counts the answers.
    fn load(&mut self, client: &Client, name: &str, answers: &AtomicU64) {
        let Ok(mut connection) = Connection::open(client) else { return };
        for turn in 0.. {
            // One by one and in batches, with and without waiting for the disk.
            let size = [1, 1, 1, 20][turn % 4];
            let path = ["/v1/events", "/v1/events?ack=durable"][turn / 2 % 2];
            let ids: Vec<String> = (0..size).map(|number| format!("{name}-{}", self.sent + number)).collect();
            self.sent += size;
            self.again.extend_from_slice(&ids);
            let lines: Vec<String> = ids.iter().map(|id| event(id)).collect();
            let Ok(response) = connection.try_ask("POST", path, lines.join("\n").as_bytes()) else { return };
            self.note(&ids, &response.is(202).json());
            answers.fetch_add(1, Relaxed);
        }
    }

    /// Sends again what was not acknowledged, and the last of what was.
    fn send_again(&mut self, client: &Client) {
        let again = std::mem::take(&mut self.again);
        let late = again.len().saturating_sub(SENT_AGAIN);
        let ids: Vec<String> = again
            .into_iter()
            .enumerate()
            .filter(|(place, id)| *place >= late || !self.acknowledged.contains_key(id))
            .map(|(_, id)| id)
            .collect();
        if ids.is_empty() {
            return;
        }
        let lines: Vec<String> = ids.iter().map(|id| event(id)).collect();
        let sent = Connection::open(client).and_then(|mut connection| {
            connection.try_ask("POST", "/v1/events?ack=durable", lines.join("\n").as_bytes())
        });
        match sent {
            Ok(response) => self.note(&ids, &response.is(202).json()),
            // Killed again before it could answer.
            Err(_) => self.again = ids,
        }
    }
}

#[test]
fn every_acknowledged_event_is_there_once_after_kills_at_any_moment() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let mut clients: Vec<Known> = (0..CLIENTS).map(|_| Known::default()).collect();
    for round in 0..rounds() {
        let (admin, answers) = (server.admin(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for (number, known) in clients.iter_mut().enumerate() {
                let (admin, answers) = (&admin, &answers);
                scope.spawn(move || {
                    known.send_again(admin);
                    known.load(admin, &format!("c{number}"), answers);
                });
            }
            // Some kills come in the middle of what is sent again, most of them under load.
            if round % 5 > 0 {
                wait_until("the server answers", || answers.load(Relaxed) >= 10);
            }
            std::thread::sleep(Duration::from_millis(round * 37 % 140));
            server.kill();
        });
        server.launch();
    }
    for known in &mut clients {
        known.send_again(&server.admin());
        assert!(known.again.is_empty());
    }
    let acknowledged: HashMap<&str, u64> = clients
        .iter()
        .flat_map(|known| known.acknowledged.iter().map(|(id, index)| (id.as_str(), *index)))
        .collect();
    let sent: u64 = clients.iter().map(|known| known.sent).sum();
    assert_eq!(acknowledged.len() as u64, sent, "in the end everything was acknowledged");
    assert!(sent > 8 * rounds(), "only {sent} events in {} rounds", rounds());
    // The server, the command beside it, and the command without it say the same.
    assert_eq!(server.admin().count("action=kill"), sent);
    assert_eq!(place.run("query --count --action kill").ok().out.trim(), sent.to_string());
    server.stop();
    let found = place.run("query --format jsonl --action kill").ok().json_lines();
    assert_eq!(found.len() as u64, sent);
    for event in &found {
        let id = event["id"].as_str().unwrap();
        assert_eq!(acknowledged.get(id), event["index"].as_u64().as_ref(), "{id}");
        assert_eq!(event["details"]["of"], id);
    }
    place.run("verify").ok();
    assert_eq!(place.run("stats --json").ok().json()["not_indexed"], 0, "a clean stop leaves nothing behind");
}
