//! Each index is used by the filter that it is for, and no page reads a partition from end to end: measured by PostgreSQL's
//! own counters, on the statements that readers really send.
//!
//! A plain run has few rows; `TRAILSEAL_STORE_ROWS=1000000 TRAILSEAL_STORE_MONTHS=100` is the run of `cargo xtask long`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod server;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use server::Server;
use trailseal_core::deliver::{Batch, BatchLine, Sink};
use trailseal_event::filter::Filter;
use trailseal_event::{Index, Order, Timestamp};
use trailseal_postgres::{Pool, Reader, StoreSink};

/// 2018-01-01.
const BEGIN: i64 = 1_514_764_800_000_000;
const MONTH: i64 = 2_630_000_000_000;

fn number(name: &str, otherwise: i64) -> i64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// What a pseudo-random number would be of: well mixed, and the same in each run.
fn mixed(number: i64, salt: u64) -> u64 {
    let mut mixed = (number.cast_unsigned() + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ salt.rotate_left(17));
    mixed ^= mixed >> 29;
    mixed = mixed.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ mixed >> 32
}

/// Rows like those of a real trail: four tenants of very different size, and one in a hundred late by up to an hour.
fn line(index: i64, rows: i64, months: i64) -> Vec<u8> {
    let recorded = BEGIN + MONTH * months / rows * index;
    let late = if index % 100 == 7 { (mixed(index, 1) % 3_600_000_000).cast_signed() } else { 1_500 };
    let text = |micros: i64| Timestamp::from_micros(micros).to_string();
    let tenant = ["t0", "t0", "t0", "t0", "t0", "t0", "t0", "t1", "t1", "t2"][(index % 10) as usize];
    let tenant = if index % 500 == 3 { "t3" } else { tenant };
    let (actor, resource) = (mixed(index, 2) % 5_000, mixed(index, 3) % 20_000);
    let (action, related) = (mixed(index, 4) % 40, mixed(index, 5) % 1_000);
    let related = if index % 20 == 1 {
        format!(r#","related":[{{"type":"case","id":"c{related}"}}]"#)
    } else {
        String::new()
    };
    let kind = if index % 1_000 == 999 { "Microsoft.Compute/disks" } else { "invoice" };
    format!(
        r#"{{"v":1,"index":{index},"recorded":"{}","id":"id-{:016x}","time":"{}","tenant":"{tenant}","category":"data_access","action":"thing.act{action}","severity":"info","outcome":"success","actor":{{"id":"u{actor}","name":"Name {actor}"}},"resource":{{"type":"{kind}","id":"r{resource}","name":"Thing {resource}"}}{related},"context":{{"ip":"192.0.2.{}","request_id":"req-{:016x}","correlation_id":"cor-{:016x}","session_id":"s{}"}},"details":{{"what":"{}"}}}}"#,
        text(recorded),
        mixed(index, 6),
        text(recorded - late),
        index % 250,
        mixed(index, 7),
        mixed(index / 5, 8),
        index % 997,
        "x".repeat(200),
    )
    .into_bytes()
}

fn fill(server: &Server, rows: i64, months: i64) {
    let begun = Instant::now();
    for (origin, half) in [("example.org/a", 0), ("example.org/b", 1)] {
        let mut sink = StoreSink::new(server.url(), origin);
        sink.position().unwrap();
        let count = rows / 2;
        for from in (0..count).step_by(5_000) {
            let lines: Vec<Vec<u8>> = (from..count.min(from + 5_000))
                .map(|index| {
                    let line = line(index * 2 + half, rows, months);
                    // Its own index, whatever its number among all.
                    let text = String::from_utf8(line).unwrap();
                    let (_, rest) = text.split_once(",\"recorded\"").unwrap();
                    format!("{{\"v\":1,\"index\":{index},\"recorded\"{rest}").into_bytes()
                })
                .collect();
            let batch: Vec<BatchLine<'_>> = lines
                .iter()
                .zip(from..)
                .map(|(bytes, index)| {
                    let index = Index::new(index.cast_unsigned());
                    BatchLine { index, bytes, segment: Index::new(0), offset: 0 }
                })
                .collect();
            sink.deliver(&Batch { first: Index::new(from.cast_unsigned()), lines: &batch }).unwrap();
        }
    }
    server.execute("ANALYZE trailseal.events");
    eprintln!("{rows} rows in {months} months: {:.1} s", begun.elapsed().as_secs_f64());
}

/// How often each index of the events was used, whatever the partition, and how often a partition with more than a few
/// rows was read from end to end.
fn used(server: &Server) -> BTreeMap<String, i64> {
    let mut used = BTreeMap::new();
    let indexes = "SELECT parent.relname, sum(stat.idx_scan)::text FROM pg_stat_user_indexes AS stat \
        JOIN pg_inherits ON inhrelid = stat.indexrelid JOIN pg_class AS parent ON parent.oid = inhparent \
        GROUP BY 1";
    let whole = "SELECT 'whole partitions', coalesce(sum(seq_scan), 0)::text FROM pg_stat_user_tables \
        WHERE relname LIKE 'events_%' AND n_live_tup > 1000";
    for row in server.rows(indexes).into_iter().chain(server.rows(whole)) {
        used.insert(row[0].clone(), row[1].parse().unwrap());
    }
    used
}

/// Which were used by `work`, once its connections are closed and have told.
fn used_by(server: &Server, work: impl FnOnce(&Reader)) -> BTreeMap<String, i64> {
    server.wait_alone();
    let before = used(server);
    let reader = Reader::new(Arc::new(Pool::new(server.url(), 1)));
    work(&reader);
    drop(reader);
    server.wait_alone();
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let after = used(server);
        let used: BTreeMap<String, i64> = after
            .into_iter()
            .map(|(name, count)| (name.clone(), count - before.get(&name).copied().unwrap_or(0)))
            .filter(|(_, count)| *count > 0)
            .collect();
        if !used.is_empty() || Instant::now() > end {
            return used;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn asked(pairs: &[(&str, &str)]) -> Filter {
    Filter::from_pairs(pairs.iter().copied(), Timestamp::from_micros(BEGIN)).unwrap()
}

/// What is asked, in which order, and the index for it.
type Case<'a> = (&'a [(&'a str, &'a str)], Order, &'a str);

#[test]
fn each_index_serves_the_filter_that_it_is_for() {
    let (rows, months) = (number("TRAILSEAL_STORE_ROWS", 60_000), number("TRAILSEAL_STORE_MONTHS", 6));
    let server = Server::start();
    fill(&server, rows, months);
    let id = format!("id-{:016x}", mixed(rows / 3, 6));
    let request = format!("req-{:016x}", mixed(rows / 3, 7));
    let correlation = format!("cor-{:016x}", mixed(rows / 15, 8));
    let related = format!("case/c{}", mixed(1, 5) % 1_000);
    let actor = format!("u{}", mixed(rows / 3, 2) % 5_000);
    let name = format!("Name {}", mixed(rows / 3, 2) % 5_000);
    let resource = mixed(rows / 3, 3) % 20_000;
    let (by_id, by_name) = (format!("invoice/r{resource}"), format!("invoice/Thing {resource}"));
    let until = Timestamp::from_micros(BEGIN + MONTH * months / 2).to_string();
    let cases: [Case<'_>; 19] = [
        (&[], Order::NEWEST, "events_time"),
        (&[], Order::OLDEST, "events_time"),
        (&[], Order::NEWEST_RECORDED, "events_recorded"),
        (&[], Order::OLDEST_RECORDED, "events_recorded"),
        (&[("until", &until)], Order::NEWEST, "events_time"),
        (&[("tenant", "t3")], Order::NEWEST, "events_tenant"),
        (&[("tenant", "t3")], Order::OLDEST, "events_tenant"),
        (&[("actor", &actor)], Order::NEWEST, "events_actor"),
        (&[("actor", &actor), ("tenant", "t0")], Order::OLDEST, "events_actor"),
        (&[("actor", &name)], Order::NEWEST, "events_actor_name"),
        (&[("resource", &by_id)], Order::NEWEST, "events_resource"),
        (&[("resource", &by_name)], Order::NEWEST, "events_resource_name"),
        (&[("resource", &related)], Order::NEWEST, "events_related"),
        (&[("resource", "Microsoft.Compute/disks")], Order::NEWEST, "events_slashed_type"),
        (&[("action", "thing.act7")], Order::NEWEST, "events_action"),
        (&[("request_id", &request)], Order::NEWEST, "events_request"),
        (&[("correlation_id", &correlation)], Order::OLDEST, "events_correlation"),
        (&[("id", &id)], Order::NEWEST, "events_id"),
        (&[("id", "77")], Order::NEWEST, "events_pkey"),
    ];
    for (pairs, order, index) in cases {
        let filter = asked(pairs);
        let mut found = 0;
        let used = used_by(&server, |reader| {
            let page = reader.page(&filter, order, None, 50, None).unwrap();
            found = page.hits.len();
        });
        assert!(found > 0, "{pairs:?} {order:?} finds something");
        assert!(used.contains_key(index), "{pairs:?} {order:?} used {used:?}, not {index}");
        assert!(!used.contains_key("whole partitions"), "{pairs:?} {order:?} used {used:?}");
    }
    if std::env::var_os("TRAILSEAL_STORE_TIMES").is_some() {
        tell_times(&server, rows);
    }
}

/// Prints how long pages take, on a connection in use.
fn tell_times(server: &Server, rows: i64) {
    let reader = Reader::new(Arc::new(Pool::new(server.url(), 1)));
    let orders = [Order::NEWEST, Order::OLDEST, Order::NEWEST_RECORDED, Order::OLDEST_RECORDED];
    let value = |name: &str, at: i64| match name {
        "id" => format!("id-{:016x}", mixed(at, 6)),
        "request_id" => format!("req-{:016x}", mixed(at, 7)),
        "correlation_id" => format!("cor-{:016x}", mixed(at / 5, 8)),
        "actor" => format!("u{}", mixed(at, 2) % 5_000),
        "resource" => format!("invoice/r{}", mixed(at, 3) % 20_000),
        "action" => format!("thing.act{}", mixed(at, 4) % 40),
        "until" => Timestamp::from_micros(BEGIN + at * 1_000_000).to_string(),
        "session_id" => format!("s{}", at % 997),
        "ip" => format!("192.0.2.{}", at % 250),
        "text" => format!("id-{:016x}", mixed(at, 6)),
        _ => String::new(),
    };
    eprintln!("ms a page of 50, median / worst of 20, for newest, oldest, newest and oldest by recording");
    for name in
        ["", "until", "actor", "resource", "action", "correlation_id", "request_id", "id", "session_id", "ip"]
    {
        for tenant in [None, Some("t0"), Some("t3")] {
            let mut told = String::new();
            for order in orders {
                let mut times: Vec<f64> = (0..20)
                    .map(|round| {
                        let at = (mixed(round, 99) % rows.cast_unsigned()).cast_signed();
                        let mut filter = Filter::default();
                        filter.tenant.extend(tenant.map(str::to_owned));
                        if !name.is_empty() {
                            filter.set(name, &value(name, at), Timestamp::from_micros(BEGIN)).unwrap();
                        }
                        let begun = Instant::now();
                        let _ = reader.page(&filter, order, None, 50, None).unwrap();
                        begun.elapsed().as_secs_f64() * 1e3
                    })
                    .collect();
                times.sort_by(f64::total_cmp);
                told.push_str(&format!(" {:6.1} /{:6.1}", times[10], times[19]));
            }
            eprintln!("{:>15} {:>3} {told}", if name.is_empty() { "-" } else { name }, tenant.unwrap_or("-"));
        }
    }
}
