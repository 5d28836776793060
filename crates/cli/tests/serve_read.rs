//! Reading over HTTP: the same events as `trailseal query`, page by page without gap or repeat, as files, as a stream,
//! and proved.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use support::Place;
use support::server::{Client, Server, fields};

/// The samples in three tenants, and a few events with everything in them.
fn samples(place: &Place) {
    place.import_samples();
    let mut lines = String::new();
    for number in 0..90 {
        let (tenant, actor, outcome) = (
            ["acme", "globex", "zeta"][number % 3],
            number % 7,
            ["success", "denied", "failure"][number % 3],
        );
        lines.push_str(&format!(
            r#"{{"action":"invoice.{}","tenant":"{tenant}","actor":{{"id":"u{actor}","name":"User {actor}"}},"outcome":"{outcome}","severity":"warning","category":"data_change","resource":{{"type":"invoice","id":"a/{}"}},"description":"paid by card number {number}","time":"2026-03-{:02}T00:00:00Z","context":{{"ip":"10.0.0.{}","request_id":"r{number}","correlation_id":"c{}","session_id":"s{}","trace_id":"t{number}"}}}}"#,
            ["create", "update"][number % 2],
            number % 5,
            1 + number % 28,
            number % 4,
            number % 9,
            number % 11,
        ));
        lines.push('\n');
    }
    place.record(&lines);
}

/// Without what the interface adds to a line.
fn bare(mut event: Value) -> Value {
    event.as_object_mut().unwrap().remove("origin");
    event
}

/// All pages.
fn pages(client: &Client, query: &str) -> Vec<Value> {
    let mut events = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/v1/events?{query}{cursor}")).is(200);
        events.extend(page.events());
        match page.json()["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return events,
        }
    }
}

#[test]
fn filters_find_what_query_finds() {
    let place = Place::new();
    samples(&place);
    let server = Server::start(&place);
    let client = server.admin();
    for filter in [
        "",
        "tenant=acme",
        "tenant=acme&tenant=zeta",
        "tenant=nobody",
        "actor=u3",
        "actor=User%203",
        "action=invoice.*",
        "action=invoice.create&tenant=globex",
        "action=*.update&actor=u1&outcome=denied",
        "category=data_change",
        "category=authentication",
        "resource=invoice",
        "resource=invoice/a/1",
        "resource=invoice%2Fa%2F1&tenant=acme",
        "outcome=denied&outcome=failure",
        "severity=warning",
        "ip=10.0.0.3",
        "request_id=r7",
        "correlation_id=c2",
        "session_id=s3",
        "trace_id=t11",
        "since=2026-03-10&until=2026-03-12T00:00:00Z",
        "text=card",
        "text=number+17",
        "id=5",
        "system=true&action=trail.opened",
        "system=false&action=trail.opened",
    ] {
        let mut arguments: Vec<String> = Vec::new();
        for (name, value) in filter.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = value.replace("%20", " ").replace("%2F", "/").replace('+', " ");
            match (name, value.as_str()) {
                ("system", "true") => arguments.push("--system".into()),
                ("system", _) => {}
                _ => arguments.extend([format!("--{}", name.replace('_', "-")), value]),
            }
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let query = |more: &[&str]| place.run_all(&[&["query"], more, &arguments[..]].concat()).ok();
        let lines = query(&["--format", "jsonl"]);
        let wanted = lines.json_lines();
        let found = pages(&client, &format!("limit=100&{filter}"));
        assert!(found.iter().all(|event| event["origin"].is_string()));
        let found: Vec<Value> = found.into_iter().map(bare).collect();
        assert!(found == wanted, "{filter}: {} found, {} wanted", found.len(), wanted.len());
        assert_eq!(client.count(filter).to_string(), query(&["--count"]).out.trim(), "{filter}");
        let path = format!("/v1/events?{filter}");
        let as_lines = client.header("Accept", "application/x-ndjson").get(&path).is(200);
        assert_eq!(as_lines.header("content-type"), Some("application/x-ndjson"));
        let as_lines: Vec<Value> =
            as_lines.text().lines().map(|line| bare(serde_json::from_str(line).unwrap())).collect();
        assert!(as_lines == wanted, "{filter}: as lines");
        let as_csv = client.header("Accept", "text/csv").get(&path).is(200);
        assert!(as_csv.header("content-type").unwrap().starts_with("text/csv"));
        assert_eq!(as_csv.text(), query(&["--format", "csv"]).out, "{filter}: as CSV");
    }
    assert_eq!(client.get("/v1/events").is(200).events().len(), 50);
    let ascending = pages(&client, "order=asc&limit=1000");
    let mut descending = pages(&client, "order=desc&limit=1000");
    descending.reverse();
    assert!(ascending == descending);
    assert_eq!(ascending.len(), 801 + 90);
}

#[test]
fn history_summary_and_origins_agree_with_the_commands() {
    let place = Place::new();
    samples(&place);
    let server = Server::start(&place);
    let client = server.admin();
    let life = client.get("/v1/resources/invoice/a%2F1/history?limit=1000").is(200).events();
    let wanted = place.run("query --resource invoice/a/1 --order asc --format jsonl").ok().json_lines();
    assert_eq!(life.into_iter().map(bare).collect::<Vec<_>>(), wanted);
    let acme = client.get("/v1/resources/invoice/a%2F1/history?tenant=acme").is(200).events();
    assert!(!acme.is_empty() && fields(&acme, "tenant").iter().all(|tenant| *tenant == "acme"));
    assert!(client.get("/v1/resources/invoice/none/history").is(200).events().is_empty());
    let summary = client.get("/v1/summary?bucket=1d&tenant=acme").is(200).json();
    assert_eq!(summary, place.run("summary --json --bucket 1d --tenant acme").ok().json());
    let origins = client.get("/v1/origins").is(200).json();
    let stats = place.run("stats --json").ok().json();
    assert_eq!(origins["origins"][0]["origin"], stats["origin"]);
}

fn event(number: u64) -> String {
    format!(r#"{{"id":"n{number}","action":"count.{}"}}"#, number % 2)
}

/// The numbers in ids, in their order.
fn numbers(events: &[Value]) -> Vec<u64> {
    fields(events, "id").iter().map(|id| id[1..].parse().unwrap()).collect()
}

#[test]
fn pages_have_no_gap_and_no_repeat_while_events_arrive() {
    let place = Place::new();
    let server = Server::start(&place);
    let client = server.admin();
    let is_done = AtomicBool::new(false);
    client.record((0..500).map(event).collect::<Vec<_>>().join("\n"));
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut next = 500;
            while !is_done.load(Ordering::Relaxed) {
                let lines: Vec<String> = (next..next + 10).map(event).collect();
                next += 10;
                client.post("/v1/events", lines.join("\n")).is(202);
                std::thread::sleep(Duration::from_millis(10));
            }
            next
        });
        for limit in [7, 40, 300] {
            // From the newest backwards: what arrives meanwhile is not among it.
            let found = numbers(&pages(&client, &format!("limit={limit}")));
            let wanted: Vec<u64> = (0..found.len() as u64).rev().collect();
            assert!(found == wanted && found.len() >= 500, "{limit}: {found:?}");
        }
        let found = numbers(&pages(&client, "limit=11&action=count.1"));
        assert!(found.windows(2).all(|pair| pair[0] == pair[1] + 2) && found.last() == Some(&1), "{found:?}");
        is_done.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    client.record(event(written));
    assert_eq!(numbers(&pages(&client, "order=asc&limit=97")), (0..=written).collect::<Vec<_>>());
    client.get("/v1/events?order=asc&cursor=AAAA").is(400);
    let next = client.get("/v1/events?limit=1").is(200).json()["next"].as_str().unwrap().to_owned();
    client.get(&format!("/v1/events?order=asc&cursor={next}")).is(400);
    // A cursor is no way round a tenant.
    let holder = server.holder(r#"{"name":"acme","scopes":["read"],"tenant":"acme"}"#);
    assert!(holder.get(&format!("/v1/events?cursor={next}")).is(200).events().is_empty());
}

#[test]
fn cells_of_a_table_run_nothing() {
    let place = Place::new();
    let server = Server::start(&place);
    let client = server.admin();
    let bad =
        ["=1+1", "+1", "-1", "@SUM(A1)", "\\t=1", "\\r=1", "=cmd|' /C calc'!A0", "\\\"=1", "a,=1", "a\\n=1"];
    for text in bad {
        let body = format!(
            r#"{{"action":"{text}","tenant":"{text}","description":"{text}","error":"{text}","actor":{{"id":"{text}","name":"{text}"}},"resource":{{"type":"{text}","id":"{text}"}},"context":{{"request_id":"{text}","ip":"{text}"}}}}"#
        );
        client.record(body);
    }
    let csv = client.header("Accept", "text/csv").get("/v1/events?order=asc").is(200).text();
    let rows = rows(&csv);
    assert_eq!(rows.len(), 1 + bad.len());
    assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{csv}");
    for cell in rows.iter().flatten() {
        assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell:?}");
    }
    assert!(rows[1].iter().any(|cell| cell == "'=1+1"), "{csv}");
}

/// The cells of a table, as RFC 4180 has them.
fn rows(csv: &str) -> Vec<Vec<String>> {
    let mut rows = vec![vec![String::new()]];
    let mut is_quoted = false;
    let mut chars = csv.chars().peekable();
    while let Some(char) = chars.next() {
        let row = rows.last_mut().unwrap();
        match char {
            '"' if is_quoted && chars.peek() == Some(&'"') => {
                row.last_mut().unwrap().push(chars.next().unwrap())
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(String::new()),
            '\n' if !is_quoted => rows.push(vec![String::new()]),
            _ => row.last_mut().unwrap().push(char),
        }
    }
    assert_eq!(rows.pop(), Some(vec![String::new()]), "it ends with a line's end");
    rows
}

#[test]
fn a_stream_goes_on_across_restarts_without_gap_or_repeat() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let mut next = 0;
    let write = |server: &Server<'_>, next: &mut u64, count: u64| {
        let lines: Vec<String> = (*next..*next + count).map(event).collect();
        *next += count;
        server.admin().record(lines.join("\n"));
    };
    write(&server, &mut next, 10);
    // It begins now, and says so at once.
    let mut stream = server.admin().stream("/v1/events/stream");
    let mut last = stream.next().unwrap().id;
    write(&server, &mut next, 5);
    let mut seen = Vec::new();
    let mut odd_last = server.admin().stream("/v1/events/stream?action=count.1").next().unwrap().id;
    let mut odd = Vec::new();
    for round in 0..4 {
        while seen.len() < usize::try_from(next).unwrap() - 10 {
            let message = stream.next().unwrap();
            last = message.id;
            seen.extend(numbers(message.data.as_slice()));
            // Broken off in the middle of what there is.
            if round == 1 && seen.len() % 4 == 3 {
                break;
            }
        }
        match round % 2 {
            0 => server.stop(),
            _ => server.kill(),
        }
        server.launch();
        write(&server, &mut next, 300);
        stream = server.admin().header("Last-Event-ID", &last).stream("/v1/events/stream");
        let client = server.admin().header("Last-Event-ID", &odd_last);
        let mut stream = client.stream("/v1/events/stream?action=count.1");
        while odd.last() < Some(&(next - 2)) {
            let message = stream.next().unwrap();
            odd_last = message.id;
            odd.extend(numbers(message.data.as_slice()));
        }
    }
    while seen.len() < usize::try_from(next).unwrap() - 10 {
        seen.extend(numbers(stream.next().unwrap().data.as_slice()));
    }
    assert_eq!(seen, (10..next).collect::<Vec<_>>());
    assert_eq!(odd, (15..next).filter(|number| number % 2 == 1).collect::<Vec<_>>());
    // By the parameter, too: pages that cannot set headers.
    let mut stream = server.admin().stream(&format!("/v1/events/stream?cursor={odd_last}"));
    assert!(stream.next().unwrap().data.is_none());
    for number in odd[odd.len() - 1] + 1..next {
        assert_eq!(numbers(stream.next().unwrap().data.as_slice()), [number]);
    }
    write(&server, &mut next, 1);
    assert_eq!(numbers(stream.next().unwrap().data.as_slice()), [next - 1]);
}

#[test]
fn an_event_is_fetched_once() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let receipt = server.admin().record(r#"{"action":"a","id":"once"}"#).remove(0);
    let response = server.admin().get("/v1/events/once").is(200);
    let tag = response.header("etag").unwrap().to_owned();
    assert!(response.header("cache-control").unwrap().contains("private"), "{response:?}");
    assert_eq!(response.json()["index"], receipt["index"]);
    server.restart();
    let client = server.admin();
    for known in [tag.clone(), format!("\"other\", {tag}")] {
        let response = client.header("If-None-Match", &known).get("/v1/events/once").is(304);
        assert!(response.body.is_empty());
        assert_eq!(response.header("etag"), Some(tag.as_str()));
    }
    client.header("If-None-Match", "\"other\"").get("/v1/events/once").is(200);
    // Who may not see it learns nothing from a tag.
    let holder = server.holder(r#"{"name":"acme","scopes":["read"],"tenant":"acme"}"#);
    holder.header("If-None-Match", &tag).get("/v1/events/once").is(404);
    server.client("").header("If-None-Match", &tag).get("/v1/events/once").is(401);
    client.get("/v1/events/none").is(404);
    // Equal ids of tenants are told apart.
    for tenant in ["acme", "zeta"] {
        client.record(format!(r#"{{"action":"a","id":"twin","tenant":"{tenant}"}}"#));
    }
    let several = client.get("/v1/events/twin");
    assert_eq!((several.status, several.events().len()), (300, 2));
    assert_eq!(client.get("/v1/events/twin?tenant=zeta").is(200).json()["tenant"], "zeta");
    assert_eq!(holder.get("/v1/events/twin").is(200).json()["tenant"], "acme");
    holder.get("/v1/events/twin?tenant=zeta").is(404);
}

#[test]
fn an_event_whose_id_is_a_word_of_a_path_is_read_by_its_id() {
    let place = Place::new();
    let server = Server::start(&place);
    let client = server.admin();
    client.record(r#"{"action":"a","id":"stream"}"#);
    assert_eq!(client.get("/v1/events/id:stream").is(200).json()["id"], "stream");
    client.get("/v1/events/stream/proof").is(200);
}

#[test]
fn the_type_of_an_answer_is_the_one_that_is_preferred() {
    let place = Place::new();
    let server = Server::start(&place);
    server.admin().record(r#"{"action":"a"}"#);
    for (accept, wanted) in [
        ("text/csv", "text/csv"),
        ("TEXT/CSV", "text/csv"),
        ("text/csv;q=0", "application/json"),
        ("text/csv;q=0.1, application/json", "application/json"),
        ("application/ndjson", "application/x-ndjson"),
        ("text/html, */*;q=0.8", "application/json"),
    ] {
        for path in ["/v1/events", "/v1/resources/a/b/history"] {
            let answer = server.admin().header("Accept", accept).get(path).is(200);
            assert!(
                answer.header("content-type").unwrap().starts_with(wanted),
                "{accept} {path}: {answer:?}"
            );
        }
    }
    // Headers of one name are one list.
    let both = server.admin().header("Accept", "application/json;q=0.5").header("Accept", "text/csv");
    assert!(both.get("/v1/events").is(200).text().starts_with("origin,"));
}

#[test]
fn proofs_are_checked_without_the_server() {
    let place = Place::new();
    let server = Server::start(&place);
    let client = server.admin();
    let key = place.public_key();
    for number in 0..5 {
        let id = format!("p{number}");
        // Asked for before it is sealed: waited for.
        client.post("/v1/events", format!(r#"{{"action":"a","id":"{id}"}}"#)).is(202);
        client.record(r#"{"action":"b"}"#);
        let proof = client.get(&format!("/v1/events/{id}/proof")).is(200).text();
        let line = client.get(&format!("/v1/events/{id}")).is(200).json();
        let outside = Place::new();
        outside.write("proof", &proof);
        let proved = outside.run_all(&["verify", "--proof", "proof", "--public-key", &key]).ok();
        assert!(
            proved.out.lines().any(|text| {
                serde_json::from_str::<Value>(text).is_ok_and(|proved| proved == bare(line.clone()))
            }),
            "{}",
            proved.out
        );
        let index = line["index"].to_string();
        outside.write("forged", proof.replacen(&format!("\nindex {index}\n"), "\nindex 0\n", 1));
        outside.run_all(&["verify", "--proof", "forged", "--public-key", &key]).no();
        let said = client.get(&format!("/v1/events/{id}/verify")).is(200).json();
        assert_eq!((&said["verified"], &said["problem"]), (&Value::Bool(true), &Value::Null), "{said}");
        assert_eq!(said["index"].to_string(), index);
    }
    client.get("/v1/events/none/proof").is(404);
    client.get("/v1/events/none/verify").is(404);
}

fn leaf_hash(line: &[u8]) -> Vec<u8> {
    Sha256::new().chain_update([0]).chain_update(line).finalize().to_vec()
}

/// The lines of a bundle of entries.
fn entries(mut bundle: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
        let (line, rest) = rest.split_at(u16::from_be_bytes(*length).into());
        lines.push(line.to_vec());
        bundle = rest;
    }
    lines
}

#[test]
fn tiles_full_and_partial_are_those_of_the_lines() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\npublic_tiles = true\n");
    let server = Server::start(&place);
    let (admin, nobody) = (server.admin(), server.client(""));
    admin.record((0..700).map(event).collect::<Vec<_>>().join("\n"));
    admin.get("/v1/events/n699/proof").is(200);
    let checkpoint = nobody.get("/checkpoint").is(200).text();
    let mut head = checkpoint.lines();
    let (origin, size) = (head.next().unwrap().to_owned(), head.next().unwrap().parse::<usize>().unwrap());
    assert!(size >= 700);
    let lines: Vec<String> = place.lines();
    let hashes: Vec<Vec<u8>> = lines.iter().map(|line| leaf_hash(line.as_bytes())).collect();
    let partial = size % 256;
    let edge = format!("{:03}.p/{partial}", size / 256);
    for (name, from, count) in [
        ("000".to_owned(), 0, 256),
        ("001".to_owned(), 256, 256),
        (edge.clone(), size - partial, partial),
        (format!("{:03}.p/1", size / 256), size - partial, 1),
        ("001.p/17".to_owned(), 256, 17),
    ] {
        for root in [String::new(), format!("/origins/{origin}")] {
            let tile = nobody.get(&format!("{root}/tile/0/{name}")).is(200);
            assert_eq!(tile.body, hashes[from..from + count].concat(), "{name}");
            assert!(tile.header("cache-control").unwrap().contains("immutable"));
            // Whole lines are not for everybody, whoever may see hashes.
            let path = format!("{root}/tile/entries/{name}");
            nobody.get(&path).is(401);
            let bundle = admin.get(&path).is(200);
            let wanted: Vec<&[u8]> = lines[from..from + count].iter().map(String::as_bytes).collect();
            assert_eq!(entries(&bundle.body), wanted, "{name}");
            assert_eq!(bundle.header("cache-control"), Some("no-store"));
        }
    }
    // One level up: roots of full tiles.
    let up = nobody.get(&format!("/tile/1/000.p/{}", size / 256)).is(200);
    assert_eq!(up.body.len(), 32 * (size / 256));
    nobody.get(&format!("/tile/0/{:03}.p/{}", size / 256, partial + 100)).is(404);
    nobody.get("/tile/0/004").is(404);
    assert_eq!(
        nobody.get(&format!("/origins/{origin}/checkpoint")).is(200).text().lines().next(),
        Some(&*origin)
    );
    for (request, status) in [
        (r#"{"name":"reader","scopes":["read"]}"#, 200),
        (r#"{"name":"acme","scopes":["read"],"tenant":"acme"}"#, 403),
        (r#"{"name":"writer","scopes":["write"]}"#, 403),
    ] {
        let holder = server.holder(request);
        for root in [String::new(), format!("/origins/{origin}")] {
            holder.get(&format!("{root}/tile/entries/000")).is(status);
        }
    }
}

#[test]
fn hashes_need_a_token_unless_they_are_public() {
    let place = Place::new();
    let server = Server::start(&place);
    let admin = server.admin();
    admin.record((0..300).map(event).collect::<Vec<_>>().join("\n"));
    admin.get("/v1/events/n299/proof").is(200);
    let acme = server.holder(r#"{"name":"acme","scopes":["read"],"tenant":"acme"}"#);
    for path in ["/checkpoint", "/tile/0/000", "/tile/entries/000"] {
        server.client("").get(path).is(401);
        server.client("tsl_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").get(path).is(401);
        acme.get(path).is(403);
        let caching = admin.get(path).is(200).header("cache-control").unwrap().to_owned();
        assert!(!caching.contains("public"), "{path}: {caching}");
    }
}
