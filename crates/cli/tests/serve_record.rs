//! Recording over HTTP: everything of a request or nothing of it, once however often it is sent, and no more than fits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::Write as _;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::Place;
use support::server::{Client, Connection, Server, fields};

/// Events that are not the trail's own.
fn recorded(client: &Client) -> u64 {
    // What was accepted last is durable with this.
    client.record(r#"{"action":"marker"}"#);
    client.count("") - client.count("action=marker")
}

#[test]
fn one_event_an_array_and_lines() {
    let place = Place::new();
    let server = Server::start(&place);
    let client = server.admin();
    let bodies: [(&[u8], &[&str]); 8] = [
        (br#"{"action":"single"}"#, &["single"]),
        (br#"[{"action":"a.1"},{"action":"a.2"}]"#, &["a.1", "a.2"]),
        (b"{\"action\":\"l.1\"}\n{\"action\":\"l.2\"}\n", &["l.1", "l.2"]),
        (b"\r\n{\"action\":\"w.1\"}\r\n\r\n{\"action\":\"w.2\"}\r\n", &["w.1", "w.2"]),
        (b"{\n  \"action\": \"pretty\",\n  \"details\": {\n    \"a\": [1,\n 2]\n  }\n}\n", &["pretty"]),
        (b"{\n  \"action\": \"p.1\"\n}\n{\n  \"action\": \"p.2\"\n}\n", &["p.1", "p.2"]),
        (b"\xef\xbb\xbf{\"action\":\"bom\"}", &["bom"]),
        (b"  [\n{\"action\":\"padded\"}\n]\n\n", &["padded"]),
    ];
    let types = ["application/x-www-form-urlencoded", "application/json", "text/plain", "nonsense"];
    let mut all = Vec::new();
    for (place, (body, actions)) in bodies.iter().enumerate() {
        let client = client.header("Content-Type", types[place % types.len()]);
        let answer = client.post("/v1/events?ack=durable", body).is(202).json();
        assert_eq!(answer["accepted"], actions.len(), "{answer}");
        for (event, action) in answer["events"].as_array().unwrap().iter().zip(*actions) {
            let id = event["id"].as_str().unwrap();
            let found = client.get(&format!("/v1/events/{}", event["index"])).is(200).json();
            assert_eq!((found["id"].as_str(), found["action"].as_str()), (Some(id), Some(*action)));
            assert_eq!(found["origin"], event["origin"]);
            assert_eq!(found["recorded_by"], "admin");
        }
        all.extend(actions.iter().map(|action| (*action).to_owned()));
    }
    let found = client.get("/v1/events?order=asc").is(200).events();
    assert_eq!(fields(&found, "action"), all);
    assert_eq!(place.run("query --order asc --format jsonl").ok().field("action"), all);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 19).unwrap()
}

#[test]
fn packed_bodies_up_to_what_they_unpack_to() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nbody_bytes_max = \"1MiB\"\n");
    let server = Server::start(&place);
    let client = server.admin();
    let event = br#"{"action":"packed"}"#;
    for (encoding, body) in [
        ("gzip", gzip(event)),
        ("GZIP", gzip(event)),
        ("x-gzip", [gzip(b"{\"action\":"), gzip(b"\"packed\"}")].concat()),
        ("zstd", zstd(event)),
        ("identity", event.to_vec()),
    ] {
        let answer = client.header("Content-Encoding", encoding).post("/v1/events", body).is(202).json();
        assert_eq!(answer["accepted"], 1, "{encoding}");
    }
    let bomb = vec![b' '; 64 << 20];
    let truncated = &gzip(event)[..20];
    // A window of 2^31 bytes, for next to nothing.
    let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
    for (encoding, body, status) in [
        ("gzip", gzip(&bomb), 413),
        ("zstd", zstd(&bomb), 413),
        ("gzip", event.to_vec(), 400),
        ("gzip", truncated.to_vec(), 400),
        ("gzip", Vec::new(), 400),
        ("zstd", gzip(event), 400),
        ("zstd", window.to_vec(), 400),
        ("br", event.to_vec(), 415),
        ("gzip, gzip", gzip(&gzip(event)), 415),
        ("deflate", event.to_vec(), 415),
    ] {
        let response = client.header("Content-Encoding", encoding).post("/v1/events", body);
        assert_eq!(response.status, status, "{encoding}: {}", response.text());
        response.is(status);
    }
    assert_eq!(recorded(&client), 5);
}

#[test]
fn one_bad_item_refuses_all_by_name() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nbody_bytes_max = \"64KiB\"\nbatch_events_max = 10\n");
    let server = Server::start(&place);
    let client = server.admin();
    let good = r#"{"action":"good"}"#;
    let many = [good; 11].join("\n");
    let large = format!(r#"{{"action":"a","description":"{}"}}"#, "x".repeat(64 << 10));
    for (body, status, said) in [
        (format!(r#"[{good},{good},{{"tenant":"t"}}]"#), 422, json!({"item": 2, "field": "action"})),
        (format!("{good}\n{{\"action\":\"\"}}"), 422, json!({"item": 1, "field": "action"})),
        (format!("{good}\n{{\"action\":7}}"), 422, json!({"item": 1, "field": "action"})),
        (format!("{good}\n{{\"action\":}}\n{good}"), 400, json!({"item": 1})),
        (format!("{good}\n{{\"action\":\"cut"), 400, json!({"item": 1})),
        (format!("[{good},7]"), 400, json!({"item": 1})),
        (format!("[{good},[{good}]]"), 400, json!({"item": 1})),
        (format!("[{good}"), 400, json!({})),
        (format!("{good}]"), 400, json!({})),
        ("nonsense".to_owned(), 400, json!({})),
        ("[]".to_owned(), 400, json!({})),
        (String::new(), 400, json!({})),
        (" \r\n\u{feff}".to_owned(), 400, json!({})),
        ("[".repeat(10_000), 400, json!({})),
        (many, 413, json!({})),
        (large, 413, json!({})),
    ] {
        let shown: String = body.chars().take(80).collect();
        let response = client.post("/v1/events", &body);
        assert_eq!(response.status, status, "{shown}: {}", response.text());
        response.is(status).says(said);
    }
    client.post("/v1/events", [good.as_bytes(), b"\n{\"action\":\"\xff\"}"].concat()).is(400);
    client.post("/v1/events?ack=nonsense", good).is(400);
    client.post("/v1/events?ack=durable&ack=durable", good).is(400);
    client.post("/v1/events?unknown=1", good).is(400);
    client.ask("PATCH", "/v1/events", good.as_bytes()).is(405);
    assert_eq!(recorded(&client), 0);
    // Deep nesting and other oddities in one event are kept, and refuse nothing.
    let (open, close) = (r#"{"a":"#.repeat(200), "}".repeat(200));
    let deep = format!(r#"{{"action":"deep","details":{open}1{close}}}"#);
    client.record(deep);
    assert_eq!(recorded(&client), 1);
}

#[test]
fn one_id_is_one_event_in_one_tenant_across_restarts() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let event = r#"{"id":"order-7","action":"pay","details":{"amount":3}}"#;
    let other = r#"{"id":"order-7","action":"pay","details":{"amount":4}}"#;
    let first = server.admin().post("/v1/events", event).is(202).json();
    assert_eq!(first["accepted"], 1);
    for _ in 0..3 {
        let again = server.admin().post("/v1/events?ack=durable", event).is(202).json();
        assert_eq!(again["accepted"], 0, "{again}");
        assert_eq!(again["events"][0]["repeated"], true);
        assert_eq!(again["events"][0]["index"], first["events"][0]["index"]);
        assert_eq!(again["events"][0]["id"], "order-7");
        let batch = format!("{}\n{other}", r#"{"action":"innocent"}"#);
        server.admin().post("/v1/events", batch).is(409).says(json!({"item": 1, "field": "id"}));
        server.restart();
    }
    // Within one request, too.
    let twice = server.admin().post("/v1/events", r#"[{"id":"x","action":"a"},{"id":"x","action":"a"}]"#);
    let twice = twice.is(202).json();
    assert_eq!((&twice["accepted"], &twice["events"][1]["repeated"]), (&json!(1), &json!(true)), "{twice}");
    server.admin().post("/v1/events", r#"[{"id":"y","action":"a"},{"id":"y","action":"b"}]"#).is(409);
    assert_eq!(recorded(&server.admin()), 2);
    // Another tenant has ids of its own.
    for tenant in ["acme", "globex"] {
        let request = format!(r#"{{"name":"{tenant}","scopes":["write","read"],"tenant":"{tenant}"}}"#);
        let holder = server.holder(&request);
        assert_eq!(holder.post("/v1/events", other).is(202).json()["accepted"], 1);
        assert_eq!(holder.record(other)[0]["repeated"], true);
        holder.post("/v1/events", event).is(409);
        assert_eq!(fields(&holder.get("/v1/events").is(200).events(), "tenant"), [tenant]);
    }
    assert_eq!(recorded(&server.admin()), 4);
}

#[test]
fn of_those_who_send_one_event_at_once_one_records_it() {
    const CLIENTS: usize = 8;
    const ROUNDS: u64 = 25;
    let place = Place::new();
    let server = Server::start(&place);
    let barrier = Barrier::new(CLIENTS);
    let answers: Vec<Vec<Value>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (client, barrier) = (server.admin(), &barrier);
                scope.spawn(move || {
                    let mut connection = Connection::open(&client).unwrap();
                    let send = |round| {
                        let body =
                            format!(r#"[{{"id":"a{round}","action":"a"}},{{"id":"b{round}","action":"b"}}]"#);
                        barrier.wait();
                        connection.try_ask("POST", "/v1/events", body.as_bytes()).unwrap().is(202).json()
                    };
                    (0..ROUNDS).map(send).collect()
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for round in 0..usize::try_from(ROUNDS).unwrap() {
        let of_round = || answers.iter().map(|answers| &answers[round]);
        assert_eq!(of_round().map(|answer| answer["accepted"].as_u64().unwrap()).sum::<u64>(), 2);
        for number in 0..2 {
            let index = |answer: &Value| answer["events"][number]["index"].clone();
            assert!(of_round().all(|answer| index(answer) == index(&answers[0][round])), "round {round}");
        }
    }
    assert_eq!(recorded(&server.admin()), 2 * ROUNDS);
}

#[test]
fn a_request_with_a_key_can_be_sent_again() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let body = r#"[{"action":"a"},{"action":"b"},{"action":"a"},{"id":"own","action":"c"}]"#;
    let first = server.admin().header("Idempotency-Key", "k 1").post("/v1/events", body).is(202).json();
    assert_eq!(first["accepted"], 4);
    assert_eq!(first["events"][3]["id"], "own");
    for _ in 0..2 {
        let again = server.admin().header("Idempotency-Key", "k 1").post("/v1/events", body).is(202).json();
        assert_eq!(again["accepted"], 0);
        for (before, after) in
            first["events"].as_array().unwrap().iter().zip(again["events"].as_array().unwrap())
        {
            assert_eq!(after["repeated"], true, "{again}");
            assert_eq!((&before["index"], &before["id"]), (&after["index"], &after["id"]));
        }
        server.kill();
        server.launch();
    }
    let client = server.admin();
    // Another body with the key, or another key with the body.
    let other = r#"[{"action":"a"},{"action":"z"}]"#;
    client.header("Idempotency-Key", "k 1").post("/v1/events", other).is(409).says(json!({"item": 1}));
    let another =
        client.header("Idempotency-Key", "k 2").post("/v1/events", r#"{"action":"a"}"#).is(202).json();
    assert_eq!(another["accepted"], 1);
    // Without one, equal events are different ones.
    assert_eq!(client.post("/v1/events", r#"[{"action":"a"},{"action":"a"}]"#).is(202).json()["accepted"], 2);
    // A tenant's keys are its own.
    let holder = server.holder(r#"{"name":"acme","scopes":["write"],"tenant":"acme"}"#);
    assert_eq!(
        holder.header("Idempotency-Key", "k 2").post("/v1/events", r#"{"action":"a"}"#).is(202).json()["accepted"],
        1
    );
    assert_eq!(recorded(&client), 8);
}

#[test]
fn each_level_of_acknowledgement() {
    let place = Place::new();
    let server = Server::start(&place);
    let client = server.admin();
    for ack in ["accepted", "durable", "store"] {
        let body = format!(r#"{{"action":"level.{ack}"}}"#);
        let answer = client.post(&format!("/v1/events?ack={ack}"), body).is(202).json();
        assert_eq!(answer["accepted"], 1);
        assert!(answer.get("unconfirmed").is_none(), "{answer}");
        if ack != "accepted" {
            assert_eq!(client.count(&format!("action=level.{ack}")), 1, "a reader sees it at once");
        }
    }
    drop(server);
    let place = Place::new();
    place.write("trailseal.toml", "[index]\nenabled = false\n");
    let server = Server::start(&place);
    server.admin().post("/v1/events?ack=store", r#"{"action":"a"}"#).is(400);
    server.admin().record(r#"{"action":"a"}"#);
    assert_eq!(recorded(&server.admin()), 1);
}

#[test]
fn whoever_recorded_an_event_can_ask_for_it_at_once() {
    let place = Place::new();
    place.write("trailseal.toml", "[commit]\nlinger_ms = 100\n");
    let server = Server::start(&place);
    let client = server.admin();
    for (number, after) in ["", "/proof", "/verify", ""].into_iter().enumerate() {
        let receipt = &client.record(format!(r#"{{"action":"asked.for","id":"e{number}"}}"#))[0];
        client.get(&format!("/v1/events/e{number}{after}")).is(200);
        let again = &client.record(r#"{"action":"asked.by.index"}"#)[0];
        assert!(again["index"].as_u64() > receipt["index"].as_u64());
        client.get(&format!("/v1/events/{}{after}", again["index"])).is(200);
    }
    client.get("/v1/events/no-such-event").is(404);
}

/// Whoever tries again must not hear that all is well while it is not.
#[test]
fn a_repeat_is_confirmed_only_at_the_level_that_the_policy_asks_for() {
    let place = Place::new();
    let settings = "mode = \"sync\"\nacknowledge = \"store\"\ntimeout_ms = 200\n[store]\nurl = \"postgres://nobody@127.0.0.1:1/none\"\n";
    place.write("trailseal.toml", settings);
    let server = Server::with(&place, &["--open"]);
    let client = server.client("");
    let body = r#"{"action":"paid","id":"p1"}"#;
    for _ in 0..2 {
        client.post("/v1/events", body).is(504);
        client.post("/v1/events", format!("[{body},{body}]")).is(504);
    }
}

/// Lets the running server write files up to so many bytes, as `ulimit -f` does; files that are longer stay. Nothing can be
/// written with 0, so the handoff is not emptied, however fast the disk is.
#[cfg(target_os = "linux")]
fn limit_file_size(server: &Server<'_>, max: Option<u64>) {
    use rustix::process::{Pid, Resource, Rlimit};

    let process = Pid::from_raw(server.id().cast_signed());
    let maximum = rustix::process::getrlimit(Resource::Fsize).maximum;
    rustix::process::prlimit(process, Resource::Fsize, Rlimit { current: max, maximum }).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn when_the_buffer_is_full_what_was_accepted_is_what_is_there() {
    const CLIENTS: usize = 6;
    let place = Place::new();
    place.write(
        "trailseal.toml",
        "[handoff]\nsize = \"1MiB\"\nfull = \"refuse\"\n[server]\nbatch_events_max = 100\n",
    );
    let mut server = Server::start(&place);
    limit_file_size(&server, Some(0));
    let (started, patience) = (Instant::now(), Duration::from_secs(60));
    let refused = AtomicUsize::new(0);
    let filler = "x".repeat(4_000);
    let mut ids: Vec<String> = std::thread::scope(|scope| {
        let client = |number: usize| {
            let (client, refused, filler) = (server.admin(), &refused, &filler);
            move || {
                let mut connection = Connection::open(&client).unwrap();
                let mut ids = Vec::new();
                let mut was_refused = false;
                for turn in 0.. {
                    assert!(started.elapsed() < 2 * patience, "neither refused nor accepted again");
                    let lines: Vec<String> = (0..20)
                        .map(|line| {
                            format!(r#"{{"id":"{number}-{turn}-{line}","action":"fill","description":"{filler}"}}"#)
                        })
                        .collect();
                    let response =
                        connection.try_ask("POST", "/v1/events", lines.join("\n").as_bytes()).unwrap();
                    match response.status {
                        202 => ids.extend(response.json()["events"].as_array().unwrap().iter().map(id)),
                        503 if !was_refused => {
                            let seconds = response.header("retry-after").unwrap().parse::<u32>().unwrap();
                            assert!((1..60).contains(&seconds));
                            was_refused = true;
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                        503 => std::thread::sleep(Duration::from_millis(20)),
                        status => panic!("{status}: {}", response.text()),
                    }
                    if was_refused && response.status == 202 {
                        break;
                    }
                }
                ids
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(client(number))).collect();
        // Each was refused; now there is room again, and each gets through.
        while refused.load(Ordering::Relaxed) < CLIENTS && started.elapsed() < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
        limit_file_size(&server, None);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert_eq!(refused.into_inner(), CLIENTS);
    assert!(!ids.is_empty());
    server.stop();
    let mut found = place.run("query --format jsonl --action fill").ok().field("id");
    found.sort();
    ids.sort();
    assert!(found == ids, "{} found, {} acknowledged", found.len(), ids.len());
    place.run("verify").ok();
}

fn id(event: &Value) -> String {
    event["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_batch_that_can_never_fit_is_too_large() {
    let place = Place::new();
    place.write("trailseal.toml", "[handoff]\nsize = \"1MiB\"\n");
    let server = Server::start(&place);
    let event = format!(r#"{{"action":"a","description":"{}"}}"#, "x".repeat(8_000));
    server.admin().post("/v1/events", [event.as_str(); 40].join("\n")).is(413);
    server.admin().post("/v1/events", [event.as_str(); 5].join("\n")).is(202);
    assert_eq!(recorded(&server.admin()), 5);
}
