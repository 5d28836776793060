//! Who may ask what: tokens made, listed and revoked beside a server and without one, what each lets its holder do, and
//! that a token is told once and written nowhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;

use serde_json::json;
use support::server::{Server, fields};
use support::{Place, wait_until};

/// The token that a command printed, alone on a line.
fn printed(answer: support::Answer) -> String {
    let token = answer.ok().out.trim_end().to_owned();
    let rest = token.strip_prefix("tsl_").unwrap_or_else(|| panic!("{token:?}"));
    assert!(
        rest.len() >= 20 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    );
    token
}

#[test]
fn tokens_are_made_listed_and_revoked_with_and_without_a_server() {
    let place = Place::new();
    let before = printed(place.run("token create before --scope write,read"));
    let mut server = Server::start(&place);
    server.token.clone_from(&before);
    server.client(&before).record(r#"{"action":"a"}"#);
    // There was one, so none was made.
    assert_eq!(place.run("token list --json").ok().json()["tokens"].as_array().unwrap().len(), 1);
    let beside = printed(place.run("token create beside --scope read --tenant acme --expires 90d"));
    server.client(&beside).get("/v1/events").is(200);
    place.run("token create beside --scope read").no();
    place
        .run("token create past --scope read --expires 2020-01-01T00:00:00Z")
        .could_not(&["already have expired"]);
    for (name, scope) in [
        ("a/b", "read"),
        ("owner", "read"),
        ("open", "read"),
        ("", "read"),
        ("a b", "read"),
        ("x", "all"),
        ("x", ""),
    ] {
        assert_ne!(
            place.run_all(&["token", "create", name, "--scope", scope]).code,
            Some(0),
            "{name} {scope}"
        );
    }
    let list = place.run("token list --json").ok().json();
    assert_eq!(fields(list["tokens"].as_array().unwrap(), "name"), ["before", "beside"]);
    assert_eq!(list["tokens"][1]["tenant"], "acme");
    assert!(list["tokens"][1]["expires"].is_string());
    let text = place.run("token list").ok().out;
    assert!(text.contains("beside") && text.contains("acme") && !text.contains("tsl_"), "{text}");
    place.run("token revoke beside").ok();
    place.run("token revoke beside").no();
    // At once, and for good.
    server.client(&beside).get("/v1/events").is(401);
    server.stop();
    place
        .run("token create past --scope read --expires 2020-01-01T00:00:00Z")
        .could_not(&["already have expired"]);
    let after = printed(place.run("token create after --scope admin"));
    place.run("token revoke before").ok();
    server.launch();
    server.client(&before).get("/v1/events").is(401);
    server.client(&beside).get("/v1/events").is(401);
    let names = server.client(&after).get("/v1/tokens").is(200).json();
    assert_eq!(fields(names["tokens"].as_array().unwrap(), "name"), ["after"]);
    server.stop();
    // Each of these is an event.
    let own = place.run("query --system --action trail.token_* --order asc --format jsonl").ok();
    let own: Vec<String> = own
        .json_lines()
        .iter()
        .map(|event| format!("{} {}", event["action"], event["details"]["name"]))
        .collect();
    assert_eq!(own.len(), 5, "{own:?}");
}

#[test]
fn a_token_ends_when_it_was_to_end() {
    let place = Place::new();
    let server = Server::start(&place);
    let admin = server.admin();
    let begun = std::time::Instant::now();
    let short = server.holder(r#"{"name":"short","scopes":["read"],"ttl_seconds":1}"#);
    let viewer = admin.post("/v1/viewer-tokens", r#"{"ttl_seconds":1}"#).is(201).json();
    let viewer = server.client(viewer["token"].as_str().unwrap());
    for of_a_second in [&short, &viewer] {
        let status = of_a_second.get("/v1/events").status;
        assert!(status == 200 || begun.elapsed().as_secs() >= 1, "{status}");
    }
    wait_until("a second is over", || {
        [&short, &viewer].iter().all(|ended| ended.get("/v1/events").status == 401)
    });
    // As if it had never been.
    let wrong = server.client("tsl_AAAAAAAAAAAAAAAAAAAAAAAA").get("/v1/events").is(401);
    for ended in [short, viewer] {
        let answer = ended.get("/v1/events").is(401);
        assert_eq!(answer.text(), wrong.text());
        let names =
            |headers: &[(String, String)]| headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&answer.headers), names(&wrong.headers));
    }
    // Its name is free again.
    server.holder(r#"{"name":"short","scopes":["read"]}"#).get("/v1/events").is(200);
    for request in [
        r#"{"name":"x","scopes":[]}"#,
        r#"{"name":"x","scopes":["all"]}"#,
        r#"{"name":"x y","scopes":["read"]}"#,
        r#"{"name":"x","scopes":["read"],"expires":"soon"}"#,
        r#"{"name":"x","scopes":["read"],"expires":"2020-01-01T00:00:00Z"}"#,
        r#"{"name":"x","scopes":["read"],"unknown":1}"#,
        r#"{"name":7,"scopes":["read"]}"#,
        r#"{}"#,
    ] {
        admin.post("/v1/tokens", request).is(422);
    }
    admin.post("/v1/tokens", "{").is(400);
    admin.post("/v1/tokens", r#"{"name":"short","scopes":["read"]}"#).is(409);
    for request in
        [r#"{"ttl_seconds":0}"#, r#"{"ttl_seconds":86401}"#, r#"{"ttl_seconds":-1}"#, r#"{"unknown":1}"#]
    {
        admin.post("/v1/viewer-tokens", request).is(422);
    }
    admin.ask("DELETE", "/v1/tokens/nobody", b"").is(404);
}

#[test]
fn a_scope_lets_its_holder_do_that_and_nothing_else() {
    let place = Place::new();
    let server = Server::start(&place);
    let id = server.admin().record(r#"{"action":"a"}"#)[0]["id"].as_str().unwrap().to_owned();
    let review = format!(r#"{{"event":"{id}"}}"#);
    let event = r#"{"action":"b"}"#;
    // Who may: writer, reader, reviewer, administrator.
    let table = [
        ("POST", "/v1/events", event, [true, false, false, false]),
        ("GET", "/v1/events", "", [false, true, false, false]),
        ("GET", "/v1/events?count=true", "", [false, true, false, false]),
        ("GET", &format!("/v1/events/{id}"), "", [false, true, false, false]),
        ("GET", &format!("/v1/events/{id}/proof"), "", [false, true, false, false]),
        ("GET", &format!("/v1/events/{id}/verify"), "", [false, true, false, false]),
        ("GET", "/v1/resources/a/b/history", "", [false, true, false, false]),
        ("GET", "/v1/summary", "", [false, true, false, false]),
        ("GET", "/v1/origins", "", [false, true, false, false]),
        ("GET", "/v1/stats", "", [false, true, false, false]),
        ("GET", "/admin/audit/stats", "", [false, true, false, false]),
        ("GET", "/metrics", "", [false, true, false, false]),
        ("GET", "/checkpoint", "", [false, true, false, false]),
        ("POST", "/v1/viewer-tokens", "{}", [false, true, false, false]),
        ("GET", "/v1/reviews", "", [false, false, true, false]),
        ("POST", "/v1/reviews", &review, [true, false, true, true]),
        ("GET", "/v1/policy", "", [false, false, false, true]),
        ("GET", "/v1/tokens", "", [false, false, false, true]),
        ("GET", "/healthz", "", [true; 4]),
        ("GET", "/readyz", "", [true; 4]),
        ("GET", "/openapi.json", "", [true; 4]),
        ("GET", "/docs", "", [true; 4]),
        ("GET", "/", "", [true; 4]),
    ];
    let holders = ["write", "read", "review", "admin"]
        .map(|scope| server.holder(&format!(r#"{{"name":"only-{scope}","scopes":["{scope}"]}}"#)));
    for (method, path, body, may) in table {
        for (client, may) in holders.iter().zip(may) {
            let response = client.ask(method, path, body.as_bytes());
            match may {
                true => assert!(response.status < 300, "{method} {path}: {}", response.text()),
                false => drop(response.is(403)),
            }
        }
        let status = server.client("").ask(method, path, body.as_bytes()).status;
        assert_eq!(status < 300, may == [true; 4], "{method} {path} without a token: {status}");
    }
    for (method, path) in [
        ("PUT", "/v1/policy"),
        ("POST", "/v1/tokens"),
        ("DELETE", "/v1/tokens/x"),
        ("POST", "/v1/keys/rotate"),
    ] {
        for client in &holders[..3] {
            client.ask(method, path, b"").is(403);
        }
        server.client("").ask(method, path, b"").is(401);
    }
}

#[test]
fn no_credentials_but_a_bearer_token_in_the_header() {
    let place = Place::new();
    let server = Server::start(&place);
    let nobody = server.client("");
    let token = &server.token;
    for value in [
        token.clone(),
        format!("Basic {token}"),
        "Bearer".into(),
        "Bearer ".into(),
        format!("Bearer {token}x"),
        format!("Bearer {}", &token[..20]),
        format!("Bearer {token} {token}"),
        format!("Token {token}"),
        "Bearer tsl_v-AAAA".into(),
        "Bearer \u{e9}".into(),
        format!("Bearer {}", token.to_uppercase()),
    ] {
        let response = nobody.header("Authorization", &value).get("/v1/events").is(401);
        assert_eq!(response.header("www-authenticate"), Some("Bearer"), "{value}");
    }
    nobody.get(&format!("/v1/events?token={token}")).is(401);
    nobody.header("Cookie", &format!("token={token}")).get("/v1/events").is(401);
    // Asked with a wrong one where none is needed, it is told, too.
    nobody.header("authorization", &format!("bearer  {token}")).get("/v1/events").is(200);
}

#[test]
fn a_tenants_token_sees_and_writes_its_tenant_only() {
    let place = Place::new();
    let server = Server::start(&place);
    let admin = server.admin();
    for tenant in ["acme", "globex"] {
        admin.record(format!(r#"[{{"action":"of.{tenant}","tenant":"{tenant}","id":"only-{tenant}"}},{{"action":"both","tenant":"{tenant}","id":"same"}}]"#));
    }
    admin.record(r#"{"action":"of.nobody","id":"none"}"#);
    let acme = server.holder(r#"{"name":"acme","scopes":["write","read","review","admin"],"tenant":"acme"}"#);
    let found = acme.get("/v1/events").is(200).events();
    assert_eq!(fields(&found, "tenant"), ["acme", "acme"]);
    assert_eq!(acme.count(""), 2);
    acme.get("/v1/events?tenant=globex").is(403);
    acme.get("/v1/events?tenant=acme&tenant=globex").is(403);
    acme.get("/v1/summary?tenant=globex").is(403);
    acme.get("/v1/events/stream?tenant=globex").is(403);
    assert!(!acme.get("/v1/summary").is(200).text().contains("globex"));
    for id in ["only-globex", "none", "0", "1", "2"] {
        if acme.get(&format!("/v1/events/{id}")).status == 200 {
            assert_eq!(acme.get(&format!("/v1/events/{id}")).json()["tenant"], "acme", "{id}");
            continue;
        }
        for rest in ["", "/proof", "/verify"] {
            acme.get(&format!("/v1/events/{id}{rest}")).is(404);
        }
    }
    acme.get("/v1/events/same").is(200);
    acme.get("/v1/events/same?tenant=globex").is(404);
    // The trail's own events of the tenant, and of no other.
    let own = acme.get("/v1/events?system=true&limit=1000").is(200).events();
    assert!(fields(&own, "tenant").iter().all(|tenant| *tenant == "acme"));
    acme.post("/v1/events", r#"{"action":"a","tenant":"globex"}"#)
        .is(403)
        .says(json!({"item": 0, "field": "tenant"}));
    acme.post("/v1/events", r#"[{"action":"a"},{"action":"a","tenant":"globex"}]"#)
        .is(403)
        .says(json!({"item": 1}));
    acme.record(r#"{"action":"mine"}"#);
    assert_eq!(admin.get("/v1/events?action=mine").is(200).events()[0]["tenant"], "acme");
    assert_eq!(admin.count("action=a"), 0);
    for (method, path) in [
        ("GET", "/v1/origins"),
        ("GET", "/v1/stats"),
        ("GET", "/admin/audit/stats"),
        ("GET", "/metrics"),
        ("GET", "/checkpoint"),
        ("GET", "/tile/0/000"),
        ("GET", "/v1/policy"),
        ("PUT", "/v1/policy"),
        ("GET", "/v1/tokens"),
        ("POST", "/v1/tokens"),
        ("DELETE", "/v1/tokens/admin"),
        ("POST", "/v1/keys/rotate"),
    ] {
        acme.ask(method, path, b"").is(403);
    }
    acme.post("/v1/viewer-tokens", r#"{"tenant":"globex"}"#).is(403);
    let csv = acme.header("Accept", "text/csv").get("/v1/events").is(200).text();
    assert!(!csv.contains("globex") && csv.contains("of.acme"));
}

#[test]
fn a_viewer_token_shows_its_tenant_actor_and_resource_only() {
    let place = Place::new();
    let mut server = Server::start(&place);
    for tenant in ["acme", "globex"] {
        for actor in ["u1", "u2"] {
            for invoice in ["1", "2"] {
                server.admin().record(format!(
                    r#"{{"action":"pay","tenant":"{tenant}","actor":{{"id":"{actor}"}},"resource":{{"type":"invoice","id":"{invoice}"}},"id":"{tenant}-{actor}-{invoice}"}}"#
                ));
            }
        }
    }
    let view = |server: &Server<'_>, request: &str| {
        let answer = server.admin().post("/v1/viewer-tokens", request).is(201).json();
        assert!(answer["expires"].is_string());
        let token = answer["token"].as_str().unwrap().to_owned();
        assert!(token.starts_with("tsl_"));
        token
    };
    for (request, count, other) in [
        (r#"{"tenant":"acme"}"#, 4, "tenant=globex"),
        (r#"{"tenant":"acme","actor":"u1"}"#, 2, "actor=u2"),
        (r#"{"tenant":"acme","actor":"u1","resource":"invoice/2"}"#, 1, "resource=invoice/1"),
        (r#"{"resource":"invoice/2"}"#, 4, "resource=invoice"),
        (r#"{"actor":"u2"}"#, 4, "actor=u1"),
    ] {
        let client = server.client(&view(&server, request));
        assert_eq!(client.count(""), count, "{request}");
        assert_eq!(client.get("/v1/events").is(200).events().len() as u64, count, "{request}");
        client.get(&format!("/v1/events?{other}")).is(403);
        client.get("/v1/events/globex-u1-1").is(404);
        client.get("/v1/events/globex-u1-1/proof").is(404);
        for (method, path, body) in [
            ("POST", "/v1/events", r#"{"action":"a"}"#),
            ("GET", "/v1/origins", ""),
            ("GET", "/v1/stats", ""),
            ("GET", "/metrics", ""),
            ("GET", "/checkpoint", ""),
            ("GET", "/tile/entries/000", ""),
            ("GET", "/v1/reviews", ""),
            ("POST", "/v1/reviews", "{}"),
            ("GET", "/v1/tokens", ""),
            ("PUT", "/v1/policy", ""),
        ] {
            client.ask(method, path, body.as_bytes()).is(403);
        }
    }
    // It makes no others, in which it would live on.
    let narrow = server.client(&view(&server, r#"{"tenant":"acme","actor":"u1"}"#));
    narrow.post("/v1/viewer-tokens", "{}").is(403);
    // It outlives a restart, and ends with the token that made it.
    let token = view(&server, r#"{"tenant":"acme"}"#);
    server.restart();
    assert_eq!(server.client(&token).count(""), 4);
    let maker = server.holder(r#"{"name":"maker","scopes":["read"]}"#);
    let made = maker.post("/v1/viewer-tokens", "{}").is(201).json()["token"].as_str().unwrap().to_owned();
    server.client(&made).get("/v1/events").is(200);
    server.admin().ask("DELETE", "/v1/tokens/maker", b"").is(204);
    server.client(&made).get("/v1/events").is(401);
    // Another token of that name does not bring it back.
    server.holder(r#"{"name":"maker","scopes":["read"],"tenant":"globex"}"#);
    server.client(&made).get("/v1/events").is(401);
    // One byte changed is no token.
    for place in [8, token.len() / 2, token.len() - 2] {
        let mut forged = token.clone().into_bytes();
        forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
        server.client(std::str::from_utf8(&forged).unwrap()).get("/v1/events").is(401);
    }
}

/// All bytes of all files below a folder.
fn bytes_below(folder: &Path, all: &mut Vec<u8>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            bytes_below(&path, all);
        } else if path.is_file() {
            all.extend(std::fs::read(&path).unwrap());
        }
    }
}

#[test]
fn a_token_is_told_once_and_written_nowhere() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let mut tokens = vec![server.token.clone(), printed(place.run("token create beside --scope read"))];
    let answer = server.admin().post("/v1/tokens", r#"{"name":"http","scopes":["read"]}"#).is(201).json();
    tokens.push(answer["token"].as_str().unwrap().to_owned());
    let answer = server.admin().post("/v1/viewer-tokens", r#"{"tenant":"acme"}"#).is(201).json();
    tokens.push(answer["token"].as_str().unwrap().to_owned());
    let mut said = String::new();
    for token in &tokens {
        let client = server.client(token);
        said += &client.get("/v1/events").text();
        said += &client.get("/v1/stats").text();
        said += &client.get("/v1/tokens").text();
        said += &client.get("/nowhere").text();
        said += &client.get("/v1/events?nonsense=1").text();
        said += &client.get("/metrics").text();
        said += &server.client(&format!("{token}x")).get("/v1/events").text();
    }
    said += &place.run("token list").ok().out;
    said += &place.run("token list --json").ok().out;
    said += &place.run("doctor").out;
    server.stop();
    said += &server.log();
    server.launch();
    server.kill();
    tokens.push(printed(place.run("token create alone --scope write")));
    said += &place.run("query --system --format jsonl").ok().out;
    let mut bytes = said.into_bytes();
    bytes_below(&place.path("trail"), &mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("trail.token_created"));
    for token in &tokens {
        assert!(!text.contains(&token[4..28]), "a token stands somewhere");
    }
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(place.path("trail/tokens.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn tokens_are_written_through_no_link() {
    let place = Place::new();
    let server = Server::start(&place);
    let (victim, temporary) = (place.path("victim"), place.path("trail/tokens.json.tmp"));
    place.write("victim", "theirs");
    for link in [std::os::unix::fs::symlink, std::fs::hard_link::<std::path::PathBuf, std::path::PathBuf>] {
        link(victim.clone(), temporary.clone()).unwrap();
        server.admin().post("/v1/tokens", r#"{"name":"linked","scopes":["read"]}"#).is(500);
        assert_eq!(place.read("victim"), "theirs");
        std::fs::remove_file(&temporary).unwrap();
    }
    server.holder(r#"{"name":"linked","scopes":["read"]}"#).get("/v1/events").is(200);
}

#[test]
fn a_tenant_is_not_told_how_far_behind_the_events_of_all_are() {
    let place = Place::new();
    let server = Server::start(&place);
    server.admin().record(r#"{"action":"a","tenant":"acme","resource":"invoice/7"}"#);
    let acme = server.holder(r#"{"name":"acme","scopes":["read"],"tenant":"acme"}"#);
    let viewer = acme.post("/v1/viewer-tokens", r#"{"resource":"invoice/7"}"#).is(201).json();
    for path in ["/v1/events", "/v1/resources/invoice/7/history"] {
        assert!(server.admin().get(path).is(200).json()["lag"]["events"].is_u64(), "{path}");
        for client in [&acme, &server.client(viewer["token"].as_str().unwrap())] {
            assert_eq!(client.get(path).is(200).json()["lag"], json!({}), "{path}");
        }
    }
}

#[test]
fn a_host_that_no_request_can_name_is_refused() {
    for host in ["http://x/", "audit.example:8410", "*.example.com", "", "[::1]", "a b", "x/y"] {
        let place = Place::new();
        place.write("trailseal.toml", format!("[server]\nhosts = [\"{host}\"]\n"));
        place.run("serve --listen 127.0.0.1:0 --open").could_not(&["server.hosts", host]);
    }
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nhosts = [\"Audit.example\", \"10.0.0.5\", \"::2\", \"a_b\"]\n");
    let server = Server::with(&place, &["--open"]);
    for host in ["audit.example", "10.0.0.5:8410", "[::2]:8410", "A_B"] {
        server.client("").header("Host", host).get("/v1/events").is(200);
    }
}

/// Whoever starts a server for the first time waits for a token.
#[test]
fn why_no_first_token_was_made_is_told() {
    let place = Place::new();
    place.write("trailseal.toml", "[store]\nurl = \"postgres://nobody@127.0.0.1:1/none\"\n");
    let server = Server::knowing(&place, &[], "none");
    server.client("none").get("/v1/events").is(503);
    server.tells("no admin token was made");
}
