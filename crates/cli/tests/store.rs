//! The shared store from the command line and the server: events are delivered, level store waits for it, trouble is shown,
//! and the password nowhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../postgres/tests/server/mod.rs"]
mod postgres;
mod support;

use support::server::Server;
use support::{Answer, Place, wait_until};

const PASSWORD: &str = "s3cr3t-pass-w0rd";

/// A server with a role that needs the password, and its URL.
fn guarded(settings: &[&str]) -> (postgres::Server, String) {
    let server = postgres::Server::start_own(settings);
    server.execute(&format!("CREATE ROLE careful LOGIN PASSWORD '{PASSWORD}'"));
    server.execute("GRANT CREATE ON DATABASE postgres TO careful");
    server.require_password("careful");
    let url = server.url_text().replace("test@", &format!("careful:{PASSWORD}@"));
    (server, url)
}

fn actions(server: &postgres::Server) -> Vec<String> {
    server
        .rows("SELECT action FROM trailseal.events WHERE NOT system ORDER BY idx")
        .into_iter()
        .flatten()
        .collect()
}

#[track_caller]
fn hides_the_password(texts: &[&str]) {
    for text in texts {
        assert!(!text.contains("s3cr3t"), "{text}");
    }
}

#[track_caller]
fn hides(answer: &Answer) {
    hides_the_password(&[&answer.out, &answer.err]);
}

#[test]
fn a_server_delivers_and_shows_how_far_it_is() {
    let (store, url) = guarded(&[]);
    let place = Place::new();
    place.write("trailseal.toml", "timeout_ms = 60000\n");
    let mut server = Server::with(&place, &["--store", &url]);
    let admin = server.admin();
    for number in 0..20 {
        let event = format!(r#"{{"action":"order.{number}"}}"#);
        admin.post("/v1/events?ack=store", event).is(202);
        assert_eq!(actions(&store).len(), number + 1, "level store is reached only once it is there");
    }
    let process = std::fs::read(format!("/proc/{}/cmdline", server.id())).unwrap();
    hides_the_password(&[&String::from_utf8_lossy(&process)]);
    let stats = admin.get("/v1/stats").is(200).json();
    let sinks: Vec<&str> =
        stats["sinks"].as_array().unwrap().iter().map(|sink| sink["name"].as_str().unwrap()).collect();
    assert_eq!(sinks, ["index", "store"]);
    let metrics = admin.get("/metrics").is(200).text();
    assert!(metrics.contains(r#"trailseal_sink_failing{sink="store"} 0"#), "{metrics}");
    server.stop();
    hides_the_password(&[&server.log()]);
    let verified = place.run("verify").ok();
    assert!(verified.out.starts_with("ok"), "{verified:?}");
}

#[test]
fn while_the_store_is_down_events_are_taken_and_the_trouble_is_shown_without_the_password() {
    let (mut store, url) = guarded(&[]);
    let place = Place::new();
    // In the settings, as it should be.
    place.write("trailseal.toml", format!("timeout_ms = 60000\n[store]\nurl = \"{url}\"\n"));
    let server = Server::with(&place, &[]);
    let admin = server.admin();
    admin.post("/v1/events?ack=store", r#"{"action":"before"}"#).is(202);
    store.kill();
    admin.post("/v1/events?ack=durable", r#"{"action":"meanwhile"}"#).is(202);
    let sink = || {
        let stats = admin.get("/v1/stats").is(200).json();
        stats["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] == "store").unwrap().clone()
    };
    wait_until("the failure is shown", || sink()["state"] == "failing");
    let reason = sink()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("postgres://careful@127.0.0.1"), "{reason}");
    let ready = server.client("").get("/readyz").is(200).text();
    assert!(ready.contains("delivery to store fails"), "{ready}");
    assert!(!ready.contains("careful"), "whoever has no token learns nothing of the store's place: {ready}");
    let metrics = admin.get("/metrics").is(200).text();
    assert!(metrics.contains(r#"trailseal_sink_failing{sink="store"} 1"#), "{metrics}");
    let doctor = place.run("doctor --json").no();
    assert!(doctor.json()["findings"].to_string().contains(r#""code":"store""#), "{doctor:?}");
    let stats = place.run("stats --json").ok();
    assert!(stats.json()["store_trouble"].as_str().unwrap().contains("could not connect"), "{stats:?}");
    [&doctor, &stats].into_iter().for_each(hides);
    store.start_again();
    wait_until("it is delivered", || actions(&store) == ["before", "meanwhile"]);
    wait_until("all is well", || sink()["state"] == "running");
    assert!(!server.client("").get("/readyz").is(200).text().contains("fails"));
    hides_the_password(&[&reason, &ready, &metrics, &server.log(), &admin.get("/v1/stats").is(200).text()]);
}

#[test]
fn what_could_not_be_delivered_is_said_and_comes_with_the_next_start() {
    let (mut store, url) = guarded(&[]);
    let place = Place::new();
    let record = |action: &str, ack: &str| {
        let event = format!(r#"{{"action":"{action}"}}"#);
        let answer = place.feed_all(&["record", "--store", &url, "--ack", ack], event);
        hides(&answer);
        answer
    };
    record("one", "store").ok();
    assert_eq!(actions(&store), ["one"]);
    store.stop();
    let answer = record("two", "durable").ok();
    assert!(answer.err.contains("not in the store yet"), "{answer:?}");
    store.start_again();
    record("three", "store").ok();
    assert_eq!(actions(&store), ["one", "two", "three"]);
}

#[test]
fn the_store_comes_from_settings_environment_or_flag_and_its_password_is_never_shown() {
    let (store, url) = guarded(&[]);
    let bare = url.replace(&format!(":{PASSWORD}"), "");
    let place = Place::new();
    let run = |variables: &[(&str, &str)], arguments: &[&str], input: &str| {
        let mut command = place.command(arguments);
        command.envs(variables.iter().copied());
        let answer = Answer::of(command, input.as_bytes());
        hides(&answer);
        answer
    };
    let ways: [&[(&str, &str)]; 3] = [
        &[("TRAILSEAL_STORE__URL", &url)],
        &[("TRAILSEAL_STORE__URL", &bare), ("TRAILSEAL_STORE__PASSWORD", PASSWORD)],
        &[("AUDIT_STORAGE", "database"), ("AUDIT_DATABASE_URL", &url)],
    ];
    for (number, variables) in ways.into_iter().enumerate() {
        run(variables, &["record", "--ack", "store"], r#"{"action":"a"}"#).ok();
        assert_eq!(actions(&store).len(), number + 1);
        let doctor = run(variables, &["doctor"], "");
        assert!(doctor.out.contains(&bare.replace("postgresql", "postgres")), "{doctor:?}");
        let stats = run(variables, &["stats", "--json"], "").ok();
        assert_eq!(stats.json()["not_in_store"], 0);
    }
    // The flag wins.
    run(
        &[("TRAILSEAL_STORE__URL", "postgres://nobody@127.0.0.1:1/x")],
        &["record", "--store", &url, "--ack", "store"],
        r#"{"action":"a"}"#,
    )
    .ok();
    assert_eq!(actions(&store).len(), 4);
    // A database that is there for something else is left alone.
    run(&[("AUDIT_DATABASE_URL", "mysql://me:s3cr3t@db/x")], &["record"], r#"{"action":"a"}"#).ok();
    for (variables, wanted) in [
        (
            &[("TRAILSEAL_STORE__URL", "mysql://me:s3cr3t@db/x")][..],
            "TRAILSEAL_STORE__URL: the store's URL cannot be used",
        ),
        (
            &[("TRAILSEAL_STORE__URL", "postgres://me:s3cr3t?x@db/x")],
            "TRAILSEAL_STORE__URL: the store's URL cannot be used",
        ),
        (&[("AUDIT_STORAGE", "database")], "set AUDIT_DATABASE_URL"),
        (&[("AUDIT_STORAGE", "tape")], "use file or database"),
    ] {
        let answer = run(variables, &["record"], r#"{"action":"a"}"#);
        answer.could_not(&[wanted]);
    }
    run(&[], &["record", "--store=s3cr3t"], "").could_not(&["--store: the store's URL cannot be used"]);
}

#[test]
fn a_trail_put_back_to_an_older_state_is_found_by_doctor_and_stops_delivery() {
    let (store, url) = guarded(&[]);
    let place = Place::new();
    place.write("trailseal.toml", format!("timeout_ms = 60000\n[store]\nurl = \"{url}\"\n"));
    place.feed("record --ack store", r#"{"action":"one"}"#).ok();
    place.copy("trail", "kept");
    place.feed("record --ack store", r#"{"action":"two"}"#).ok();
    let held = actions(&store);
    std::fs::remove_dir_all(place.path("trail")).unwrap();
    place.copy("kept", "trail");
    let doctor = place.run("doctor --json").no();
    let findings = doctor.json()["findings"].to_string();
    assert!(findings.contains("rolled back") && findings.contains("lines of this trail"), "{findings}");
    let server = Server::with(&place, &[]);
    wait_until("the server is not ready", || server.client("").get("/readyz").status == 503);
    let ready = server.client("").get("/readyz").json();
    assert!(ready["problems"].to_string().contains("delivery to store stopped"), "{ready}");
    // Other lines than the store's follow.
    server.admin().post("/v1/events?ack=durable", r#"{"action":"another two"}"#).is(202);
    assert_eq!(actions(&store), held);
    hides_the_password(&[&ready.to_string(), &server.log(), &findings]);
}

#[test]
fn many_servers_fill_one_store() {
    let (store, url) = guarded(&[]);
    let places = [Place::new(), Place::new()];
    let mut servers: Vec<Server<'_>> = Vec::new();
    for (number, place) in places.iter().enumerate() {
        place.write(
            "trailseal.toml",
            format!("origin = \"example.com/node-{number}\"\ntimeout_ms = 60000\n[store]\nurl = \"{url}\"\n"),
        );
        // They share their tokens.
        let server = match servers.first() {
            None => Server::with(place, &[]),
            Some(first) => Server::knowing(place, &[], &first.token),
        };
        servers.push(server);
    }
    for number in 0..10 {
        for server in &servers {
            server.admin().post("/v1/events?ack=store", format!(r#"{{"action":"a.{number}"}}"#)).is(202);
        }
    }
    let counted = "SELECT origin, count(*) FROM trailseal.events WHERE NOT system GROUP BY 1 ORDER BY 1";
    assert_eq!(store.rows(counted), [["example.com/node-0", "10"], ["example.com/node-1", "10"]]);
}

#[test]
fn an_outbox_is_made_relayed_shown_and_redelivered_without_showing_the_password() {
    let (server, url) = guarded(&[]);
    let place = Place::new();
    let run = |arguments: &[&str]| {
        let answer = place.run_all(arguments);
        hides(&answer);
        answer
    };
    run(&["outbox", "status", "--outbox", &url]).could_not(&["has no outbox yet"]);
    let migrated = run(&["outbox", "migrate", "--outbox", &url]).ok();
    assert!(migrated.out.ends_with("has an outbox now\n"), "{migrated:?}");
    assert!(run(&["outbox", "schema"]).ok().out.contains("CREATE TABLE trailseal_outbox.events"));
    let write = |event: &str| {
        server.execute(&format!("INSERT INTO trailseal_outbox.events (event) VALUES ('{event}')"));
    };
    write(r#"{"action":"one"}"#);
    write("no event");
    let relayed = run(&["outbox", "relay", "--until-empty", "--json", "--outbox", &url]).no();
    assert_eq!(relayed.json(), serde_json::json!({ "taken_over": 1, "refused": 1 }));
    assert_eq!(place.run("query --json").ok().json()["action"], "one");
    place.write("trailseal.toml", format!("[outbox]\nurl = \"{url}\"\n"));
    let status = run(&["outbox", "status", "--json"]).ok().json();
    assert_eq!((&status["waiting"], &status["refused"]), (&0.into(), &1.into()), "{status}");
    let doctor = run(&["doctor", "--json"]).no();
    assert!(doctor.json()["findings"].to_string().contains(r#""code":"outbox_refused""#), "{doctor:?}");
    server.execute(r#"UPDATE trailseal_outbox.refused SET event = '{"action":"two"}'"#);
    server.execute(
        "INSERT INTO trailseal_outbox.refused (place, id, event, masked, written, origin, reason) \
         VALUES (0, 'large', repeat('e', 9000000), '{}', now(), 'example.com/x', 'no event')",
    );
    let status = run(&["outbox", "status"]).ok().out;
    assert!(
        status.contains("2 events cannot be recorded\n") && status.contains(", large: no event\n"),
        "{status}"
    );
    let status = run(&["outbox", "status", "--json"]).ok().json();
    assert_eq!(status["newest_refused"][0]["id"], "large", "{status}");
    let redelivered = run(&["redeliver"]).no();
    assert!(redelivered.out.starts_with("1 events wait"), "{redelivered:?}");
    assert!(
        redelivered.err.contains("1 events stay")
            && redelivered.out.contains(", large: it has 9000005 bytes"),
        "{redelivered:?}"
    );
    server.execute("DELETE FROM trailseal_outbox.refused");
    write(r#"{"action":"three"}"#);
    let serving = Server::with(&place, &[]);
    let admin = serving.admin();
    wait_until("the server relays", || admin.count("") == 3);
    hides_the_password(&[&serving.log()]);
    drop(serving);
    let doctor = run(&["doctor", "--json"]);
    assert!(!doctor.json()["findings"].to_string().contains("outbox"), "{doctor:?}");
    server.execute("GRANT SELECT ON trailseal_outbox.events TO PUBLIC");
    let doctor = run(&["doctor", "--json"]).no();
    let found = doctor.json()["findings"].to_string();
    assert!(
        found.contains("PUBLIC may do more") && found.contains(r#""code":"outbox_grants""#),
        "{doctor:?}"
    );
    server.execute("REVOKE ALL ON trailseal_outbox.events FROM PUBLIC");
    server.execute("INSERT INTO trailseal_outbox.events (event, origin) VALUES ('{\"action\":\"four\"}', 'example.com/gone')");
    run(&["outbox", "release", "--origin", "example.com/gone"]).ok();
    run(&["outbox", "relay", "--until-empty"]).ok();
    assert_eq!(place.run("query --count").ok().out, "4\n");
    let answer = run(&["outbox", "relay", "--until-empty", "--outbox", "postgres://nobody@127.0.0.1:1/x"]);
    assert_eq!(answer.code, Some(2));
    assert!(answer.err.contains("error: the outbox could not be emptied: could not connect"), "{answer:?}");
}

#[test]
fn what_the_store_refuses_for_a_change_of_its_tables_halts_delivery_and_loses_nothing() {
    let (store, url) = guarded(&[]);
    let place = Place::new();
    place.write("trailseal.toml", "timeout_ms = 60000\n");
    let server = Server::with(&place, &["--store", &url]);
    let admin = server.admin();
    admin.post("/v1/events?ack=store", r#"{"action":"good"}"#).is(202);
    store.execute("ALTER TABLE trailseal.events ADD CONSTRAINT ours CHECK (action <> 'bad')");
    for action in ["bad", "after"] {
        admin.post("/v1/events?ack=durable", format!(r#"{{"action":"{action}"}}"#)).is(202);
    }
    wait_until("it is shown", || server.client("").get("/readyz").text().contains("delivery to store fails"));
    let metrics = admin.get("/metrics").is(200).text();
    assert!(metrics.contains(r#"trailseal_sink_failing{sink="store"} 1"#), "{metrics}");
    let stats = admin.get("/v1/stats").is(200).text();
    assert!(stats.contains("violates check constraint"), "{stats}");
    // Leaving one out would be a hole in what can be verified.
    assert_eq!(actions(&store), ["good"]);
    store.execute("ALTER TABLE trailseal.events DROP CONSTRAINT ours");
    wait_until("all of it is delivered", || actions(&store) == ["good", "bad", "after"]);
}

/// A trail that was restored from a backup and went on has parted from what the store has; where, an operator wants to know.
#[test]
fn doctor_names_the_first_line_that_is_not_the_same_in_the_store() {
    let (store, url) = guarded(&[]);
    let place = Place::new();
    place.write("trailseal.toml", format!("timeout_ms = 60000\n[store]\nurl = \"{url}\"\n"));
    let record = |count: u64| {
        let events: String = (0..count).map(|number| format!("{{\"action\":\"a.{number}\"}}\n")).collect();
        place.feed("record", &events)
    };
    let copy = |from: &str, to: &str| {
        let (from, to) = (place.path(from), place.path(to));
        let done = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
        assert!(done.success());
    };
    place.feed("record --ack store", "{\"action\":\"first\"}").ok();
    copy("trail", "backup");
    let next = || store.value("SELECT next FROM trailseal.cursors").parse::<u64>().unwrap();
    let parted = next();
    place.feed("record --ack store", "{\"action\":\"later\"}\n".repeat(20)).ok();
    let found = || {
        let findings = place.run("doctor --json").json()["findings"].clone();
        let all = findings.as_array().unwrap().clone();
        let of_store = all.iter().find(|finding| finding["code"] == "store").cloned();
        of_store.unwrap_or_else(|| panic!("{findings}"))["what"].as_str().unwrap().to_owned()
    };
    std::fs::remove_dir_all(place.path("trail")).unwrap();
    copy("backup", "trail");
    let wanted = format!("; the first line that is not the same in both is line {parted}");
    let what = found();
    assert!(what.contains(&format!("has {} lines", next())) && what.contains(&wanted), "{what}");
    // It goes on, first below the store's cursor, and then beyond it.
    record(2);
    let what = found();
    assert!(what.contains("lines of this trail") && what.contains(&wanted), "{what}");
    record(60);
    let what = found();
    assert!(
        what.contains(&format!("line {} in the shared store differs", next() - 1)) && what.contains(&wanted),
        "{what}"
    );
    // Whoever only writes cannot compare, and is told the rest.
    store.execute(&place.run("store roles").ok().out);
    store.execute("CREATE ROLE billing LOGIN IN ROLE trailseal_writer");
    store.execute("ALTER ROLE billing PASSWORD 's3cret'");
    let authority = &url[..url.rfind('@').unwrap()];
    let as_billing = url.replacen(authority, "postgres://billing:s3cret", 1);
    place.write("trailseal.toml", format!("[store]\nurl = \"{as_billing}\"\n"));
    let what = found();
    assert!(what.contains("differs from the trail's") && !what.contains("the first line"), "{what}");
}
