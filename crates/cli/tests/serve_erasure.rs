//! A person is erased through a running server: by its owner's command, over HTTP, by a second person, under a hold.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;

use serde_json::json;
use support::server::{Client, Server};
use support::{Place, wait_until};

const PLAIN: &str = "Zq7Rhubarb";
const SETTINGS: &str = "[[personal]]\nfields = [\"actor.name\", \"details.mail\"]\nsubject = \"actor.id\"\n\
    [[personal]]\nfield = \"context.session_id\"\nsubject = \"actor.id\"\nsearchable = true\n";

fn place(more: &str) -> Place {
    let place = Place::new();
    place.write("trailseal.toml", format!("{more}{SETTINGS}"));
    place
}

fn event(id: &str, who: &str) -> String {
    json!({"action": "user.login", "id": id, "actor": {"id": who, "name": format!("{PLAIN} {who}")},
        "context": {"session_id": format!("{PLAIN}-session-{who}")}, "details": {"mail": format!("{PLAIN}-{who}")}})
    .to_string()
}

fn events(admin: &Client) {
    admin.record(format!("[{},{}]", event("e1", "u-ann"), event("e2", "u-bob")));
}

fn reader(server: &Server<'_>) -> Client {
    server.holder(r#"{"name":"reader","scopes":["read","personal"]}"#)
}

/// The bytes of every file below a folder, and whether `text` is among them.
fn has(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => has(&path, text),
            false if !path.is_file() => false,
            false => {
                let bytes = std::fs::read(&path).unwrap();
                bytes.windows(text.len()).any(|window| window == text.as_bytes())
            }
        }
    })
}

const ERASE: &str = "/v1/subjects/u-ann/erase";

#[test]
fn a_person_is_erased_over_http_and_gone_for_everybody() {
    let place = place("");
    let mut server = Server::start(&place);
    let (admin, reader) = (server.admin(), reader(&server));
    events(&admin);
    let shown = |client: &Client, path: &str| client.get(path).is(200).text();
    let paths = ["/v1/events", "/v1/events/e1", "/v1/events?session_id=Zq7Rhubarb-session-u-ann"];
    for path in paths {
        assert!(shown(&reader, path).contains(&format!("{PLAIN} u-ann")), "{path}");
        let hidden = shown(&admin, path);
        assert!(!hidden.contains(PLAIN) && hidden.contains("\"name\":\"erasable\""), "{path}: {hidden}");
    }
    let mut stream = reader.stream("/v1/events/stream");
    assert!(
        !shown(&reader, "/v1/summary").contains(PLAIN) && shown(&reader, "/v1/summary").contains("u-ann")
    );

    let would = admin.post(ERASE, r#"{"dry_run":true}"#).is(200).json();
    assert_eq!((&would["dry_run"], would["keys"].as_array().unwrap().len()), (&json!(true), 1), "{would}");
    let erased = admin.post(ERASE, r#"{"reason":"ticket 4711"}"#).is(200).json();
    assert_eq!((&erased["keys"], &erased["already"]), (&would["keys"], &json!(null)), "{erased}");
    for path in paths {
        let after = shown(&reader, path);
        assert!(
            after.contains("\"name\":\"erased\"") && !after.contains(&format!("{PLAIN} u-ann")),
            "{after}"
        );
    }
    assert!(shown(&reader, "/v1/events/e2").contains(&format!("{PLAIN} u-bob")));
    // A stream that was open before shows what comes to who may see it, with the new key.
    admin.record(event("e3", "u-ann"));
    let next = std::iter::from_fn(|| stream.next()).find_map(|message| message.data).unwrap();
    assert!(next.to_string().contains(&format!("{PLAIN} u-ann")), "{next}");
    drop(stream);
    let again = admin.post(ERASE, "").is(200).json();
    assert_eq!(again["already"], json!(null), "the new key");
    let third = admin.post(ERASE, "").is(200).json();
    assert_eq!(third["already"]["index"], again["erased_by"][0], "{third}");
    admin
        .post("/v1/subjects/nobody/erase", "")
        .is(404)
        .says(json!({"type": "urn:trailseal:problem:no-values"}));
    let by = admin.get("/v1/events?system=true&action=trail.erased_by&order=asc").is(200).json();
    assert_eq!(
        (&by["events"][0]["actor"]["id"], &by["events"][0]["details"]["reason"]),
        (&json!("admin"), &json!("ticket 4711"))
    );

    // Whoever reads says so, and who saw plain values, too.
    let reads = admin.get("/v1/events?system=true&action=trail.read&limit=1000").is(200).json();
    let reads = reads["events"].as_array().unwrap();
    let is_personal = |read: &&serde_json::Value| read["details"]["personal"] == true;
    assert!(reads.iter().filter(is_personal).all(|read| read["actor"]["id"] == "reader"));
    assert!(reads.iter().any(|read| is_personal(&read)));
    server.stop();
    // Nobody's value is in any file or log, and no log or event has the person's id but what was in plain.
    assert!(!has(&place.path(""), PLAIN), "a value is in a file");
    assert!(!server.log().contains(PLAIN) && !server.log().contains("u-ann"), "{}", server.log());
    let own = place.run("query --system --category system --format jsonl").ok();
    assert!(!own.out.contains("u-ann"), "{own:#?}");
    place.run("verify").ok();
}

#[test]
fn who_may_not_erase_does_not_and_what_is_wrong_is_said() {
    let place = place("");
    let server = Server::start(&place);
    let (admin, reader) = (server.admin(), reader(&server));
    events(&admin);
    let others = [
        r#"{"name":"a","scopes":["read","write","review","personal"]}"#,
        r#"{"name":"b","scopes":["admin"],"tenant":"t1"}"#,
    ];
    for client in others.map(|request| server.holder(request)) {
        client.post(ERASE, "").is(403);
        client.post(ERASE, r#"{"dry_run":true}"#).is(403);
    }
    server.client("").post(ERASE, "").is(401);
    for body in [r#"{"dryrun":true}"#, r#"{"dry_run":"yes"}"#] {
        admin.post(ERASE, body).is(422);
    }
    admin.post(ERASE, r#"{"subject":"u-ann"}"#).is(409);
    admin.post(ERASE, "{").is(400);
    admin.post(ERASE, json!({"reason": "x".repeat(5_000)}).to_string()).is(422);
    assert!(reader.get("/v1/events/e1").is(200).text().contains(PLAIN), "nothing was erased");
    // In the body, so that no log of addresses has it.
    for nobody in ["", "{}", r#"{"subject":null}"#, r#"{"reason":"ticket 7"}"#] {
        let answer = admin.post("/v1/subjects/-/erase", nobody).is(422).json();
        assert_eq!(answer["field"], "subject", "{nobody}");
    }
    admin.post("/v1/subjects/-/erase", r#"{"subject":"u-ann"}"#).is(200);
    assert!(!reader.get("/v1/events/e1").is(200).text().contains(PLAIN));
}

#[test]
fn the_owners_command_goes_through_the_server_and_a_hold_refuses_it() {
    let place = place("");
    let server = Server::start(&place);
    let (admin, reader) = (server.admin(), reader(&server));
    events(&admin);
    let would = place.run("erase --subject u-ann --dry-run --json").ok().json();
    assert_eq!(would["keys"].as_array().unwrap().len(), 1);
    place.run_all(&["hold", "add", "case-7", "--reason", "Acme", "--id", "e1"]).ok();
    admin.post(ERASE, "").is(409).says(json!({"type": "urn:trailseal:problem:held", "hold": "case-7"}));
    assert!(place.run("erase --subject u-ann").no().err.contains("case-7"));
    assert!(reader.get("/v1/events/e1").is(200).text().contains(PLAIN));
    place.run("hold remove case-7").ok();
    // The owner of the folder sees them beside the server, too.
    assert!(place.run("query --personal --format jsonl").ok().out.contains(PLAIN));
    place.feed("erase --subject -", "u-ann").ok();
    assert!(!reader.get("/v1/events/e1").is(200).text().contains(PLAIN));
    let shown = place.run("query --personal --format jsonl").ok().out;
    assert!(
        !shown.contains(&format!("{PLAIN} u-ann")) && shown.contains(&format!("{PLAIN} u-bob")),
        "{shown}"
    );
}

#[test]
fn a_second_person_erases_and_no_event_names_the_person() {
    let place = place("review.second_person = [\"erasure\"]\n");
    let mut server = Server::start(&place);
    let person = |server: &Server<'_>, name: &str| {
        server.holder(&format!(r#"{{"name":"{name}","scopes":["admin","review","read"]}}"#)).token
    };
    let tokens = ["ann", "bob"].map(|name| person(&server, name));
    let reading = reader(&server).token;
    events(&server.admin());
    let ann = server.client(&tokens[0]);
    ann.post(ERASE, r#"{"dry_run":true}"#).is(200);
    ann.post("/v1/subjects/nobody/erase", "").is(404);
    let asked = ann.post(ERASE, r#"{"reason":"ticket 4711"}"#).is(202).json();
    assert_eq!((&asked["state"], &asked["kind"]), (&json!("pending"), &json!("erasure")), "{asked}");
    assert!(place.run("erase --subject u-ann").no().err.contains("second person"), "nor by the command");
    server.restart();
    let [ann, bob] = [0, 1].map(|number| server.client(&tokens[number]));
    let reader = server.client(&reading);
    let path = format!("/v1/reviews/{}", asked["id"].as_str().unwrap());
    let reviews = bob.get("/v1/reviews?state=pending").is(200).json();
    let listed = reviews["reviews"].as_array().unwrap();
    let review = listed.iter().find(|review| review["id"] == asked["id"]).unwrap();
    assert_eq!((&review["kind"], &review["reason"]), (&json!("erasure"), &json!("ticket 4711")), "{review}");
    assert_eq!(review["keys"], asked["keys"]);
    let approve = r#"{"decision":"approved"}"#;
    ann.post(&path, approve).is(403).says(json!({"type": "urn:trailseal:problem:own-request"}));
    assert!(reader.get("/v1/events/e1").is(200).text().contains(PLAIN), "nothing was erased yet");
    let done = bob.post(&path, approve).is(200).json();
    assert_eq!(done["erased"]["keys"], asked["keys"], "{done}");
    assert!(!reader.get("/v1/events/e1").is(200).text().contains(PLAIN));
    bob.post(&path, approve).is(409);
    // Asked again there is nothing to decide: the answer is that of the direct way, and it says when it was done.
    let pending = || bob.get("/v1/reviews?state=pending").is(200).json()["reviews"].as_array().unwrap().len();
    let before = pending();
    let again = ann.post(ERASE, r#"{"reason":"ticket 4711"}"#).is(200).json();
    assert_eq!(again["already"]["index"], done["erased"]["erased_by"][0], "{again}");
    assert_eq!(ann.post(ERASE, r#"{"dry_run":true}"#).is(200).json()["already"], again["already"]);
    assert_eq!(pending(), before, "nobody has to decide it");
    let again = place.run("erase --subject u-ann").ok();
    assert!(again.out.contains("was erased before"), "{again:?}");
    // What is rejected stays.
    let asked = ann.post("/v1/subjects/u-bob/erase", "").is(202).json();
    bob.post(&format!("/v1/reviews/{}", asked["id"].as_str().unwrap()), r#"{"decision":"rejected"}"#).is(200);
    assert!(reader.get("/v1/events/e2").is(200).text().contains(PLAIN));
    server.stop();
    let own = place.run("query --system --category system --format jsonl").ok();
    assert!(!own.out.contains("u-ann") && !own.out.contains("u-bob"), "{own:#?}");
    place.run("erase --subject u-bob").could_not(&["second person"]);
    place.run("verify").ok();
}

#[test]
fn first_and_open_and_viewer_tokens_do_not_show_personal_values() {
    let place = place("");
    let mut server = Server::start(&place);
    events(&server.admin());
    let reader = reader(&server);
    let viewer = reader.post("/v1/viewer-tokens", "{}").is(201).json();
    for client in [server.admin(), server.client(viewer["token"].as_str().unwrap())] {
        assert!(!client.get("/v1/events").is(200).text().contains(PLAIN));
    }
    let tokens = server.admin().get("/v1/tokens").is(200).text();
    assert!(tokens.contains("\"personal\""), "{tokens}");
    server.stop();
    let open = Server::with(&place, &["--open"]);
    let text = open.client("").get("/v1/events").is(200).text();
    assert!(text.contains("erasable") && !text.contains(PLAIN), "{text}");
    wait_until("it is ready", || open.client("").get("/readyz").status == 200);
}
