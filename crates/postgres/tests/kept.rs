//! Searches over many partitions by statements that sessions keep planned: through any session, with values that are only
//! values, and with few statements kept.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod server;

use std::sync::Arc;
use std::time::Duration;

use server::{Server, rows};
use trailseal_core::deliver::{Batch, BatchLine, MustEnd, Sink};
use trailseal_event::filter::Filter;
use trailseal_event::{Index, Order, Timestamp};
use trailseal_postgres::{Pool, Reader, StoreSink};

/// 2026-01-01.
const BEGIN: i64 = 1_767_225_600_000_000;
const DAY: i64 = 86_400_000_000;
const EVENTS: i64 = 360;
const ORDERS: [Order; 4] = [Order::NEWEST, Order::OLDEST, Order::NEWEST_RECORDED, Order::OLDEST_RECORDED];
const SOON: Duration = Duration::from_secs(30);
const KEPT: &str = "SELECT name FROM pg_prepared_statements ORDER BY prepare_time DESC";

/// An event a day for a year. The `rare` one comes each hundred days, and the `often` one each second day.
fn line(index: i64) -> Vec<u8> {
    let text = |micros: i64| Timestamp::from_micros(micros).to_string();
    let recorded = BEGIN + index * DAY;
    let of = if index % 100 == 0 { "rare" } else { ["often", "other"][(index % 2) as usize] };
    format!(
        r#"{{"v":1,"index":{index},"recorded":"{}","id":"id-{index}","time":"{}","tenant":"t{}","category":"data_access","action":"{of}","severity":"info","actor":{{"id":"{of}","name":"it's \\ {of}"}},"resource":{{"type":"a","id":"{of}","name":"{of}"}},"context":{{"request_id":"{of}","correlation_id":"{of}"}}}}"#,
        text(recorded),
        text(recorded - 7),
        index % 3,
    )
    .into_bytes()
}

fn filled() -> Server {
    let server = Server::start();
    let mut sink = StoreSink::new(server.url(), "example.org/a");
    sink.position().unwrap();
    let lines: Vec<Vec<u8>> = (0..EVENTS).map(line).collect();
    let lines: Vec<BatchLine<'_>> = lines
        .iter()
        .zip(0..)
        .map(|(bytes, index)| BatchLine {
            index: Index::new(index),
            bytes,
            segment: Index::new(0),
            offset: 0,
        })
        .collect();
    sink.deliver(&Batch { first: Index::new(0), lines: &lines }).unwrap();
    server
}

fn asked(pairs: &[(&str, &str)]) -> Filter {
    Filter::from_pairs(pairs.iter().copied(), Timestamp::from_micros(BEGIN)).unwrap()
}

/// Pages of three, until there are no more.
fn indexes(reader: &Reader, filter: &Filter, order: Order, budget: Option<Duration>) -> Vec<u64> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = reader.page(filter, order, cursor.as_ref(), 3, budget).unwrap();
        found.extend(page.hits.iter().map(|hit| hit.index.get()));
        match page.next {
            Some(next) => cursor = Some(next),
            None => return found,
        }
    }
}

/// Rare and frequent values, all by the same statements: those of few rows and those with too many to gather.
#[test]
fn few_and_many_rows_are_found_alike() {
    let server = filled();
    let pool = Arc::new(Pool::new(server.url(), 1));
    let reader = Reader::new(pool.clone());
    let tenant = |index: &u64| index % 3 == 1;
    for name in ["actor", "action", "resource", "request_id", "correlation_id"] {
        for value in ["rare", "often", "it's \\ rare", "none' OR true --"] {
            let is_name = value.starts_with("it's") && name != "actor";
            let is_found = |index: &u64| match value {
                "often" => index.is_multiple_of(2) && !index.is_multiple_of(100),
                "none' OR true --" => false,
                _ => index.is_multiple_of(100) && !is_name,
            };
            let all: Vec<u64> = (0..EVENTS.cast_unsigned()).filter(is_found).collect();
            for order in ORDERS {
                let wanted = |mut wanted: Vec<u64>| {
                    if order == Order::NEWEST || order == Order::NEWEST_RECORDED {
                        wanted.reverse();
                    }
                    wanted
                };
                for budget in [None, Some(SOON)] {
                    let value = &if name == "resource" { format!("a/{value}") } else { value.to_owned() };
                    let found = indexes(&reader, &asked(&[(name, value)]), order, budget);
                    assert_eq!(found, wanted(all.clone()), "{name} {value} {order:?}");
                    let found = indexes(&reader, &asked(&[(name, value), ("tenant", "t1")]), order, budget);
                    let wanted = wanted(all.iter().copied().filter(tenant).collect());
                    assert_eq!(found, wanted, "{name} {value} {order:?}");
                }
            }
        }
    }
    // Many statements were used, and few are left, none with a value.
    let mut lent = pool.get(SOON, &MustEnd::default()).unwrap();
    let left = "SELECT count(*) FILTER (WHERE generic_plans > 0), count(*), count(*) FILTER (WHERE statement LIKE '%rare%'), \
        current_setting('trailseal.value_1', true) FROM pg_prepared_statements";
    let left = lent.run("ask", SOON, async |client| client.query_typed(left, &[]).await).unwrap();
    let count = |at: usize| left[0].get::<_, i64>(at);
    assert!((2..=5).contains(&count(0)) && count(1) <= 5, "{} {}", count(0), count(1));
    assert_eq!((count(2), left[0].get::<_, Option<&str>>(3)), (0, Some("")));
}

/// Behind a pooler, a session may have been anybody's.
#[test]
fn what_others_have_prepared_is_not_executed() {
    let server = filled();
    let pool = Arc::new(Pool::new(server.url(), 1));
    let reader = Reader::new(pool.clone());
    let (filter, wanted) = (asked(&[("request_id", "rare")]), [300, 200, 100, 0]);
    assert_eq!(indexes(&reader, &filter, Order::NEWEST, None), wanted);
    let mut lent = pool.get(SOON, &MustEnd::default()).unwrap();
    lent.run("prepare in", SOON, async |client| {
        for row in client.query_typed(KEPT, &[]).await? {
            let name: &str = row.try_get(0)?;
            let types = "(text, text, bigint, timestamptz, text, bigint)";
            client
                .batch_execute(&format!("DEALLOCATE {name}; PREPARE {name} {types} AS SELECT 1 WHERE false"))
                .await?;
        }
        Ok(())
    })
    .unwrap();
    drop(lent);
    assert_eq!(indexes(&reader, &filter, Order::NEWEST, None), wanted);
    // Nor missed, if they are gone.
    let mut lent = pool.get(SOON, &MustEnd::default()).unwrap();
    lent.run("deallocate in", SOON, async |client| client.batch_execute("DEALLOCATE ALL").await).unwrap();
    drop(lent);
    assert_eq!(indexes(&reader, &filter, Order::NEWEST, None), wanted);
}

/// So many that no list of columns would hold them.
#[test]
fn thousands_of_values_are_looked_for_at_once() {
    let server = filled();
    let reader = Reader::new(Arc::new(Pool::new(server.url(), 1)));
    let mut filter = asked(&[("resource", "a/rare")]);
    for number in 0..2_000 {
        filter.set("resource", &format!("a/none-{number}"), Timestamp::from_micros(BEGIN)).unwrap();
    }
    assert_eq!(indexes(&reader, &filter, Order::OLDEST, None), [0, 100, 200, 300]);
}

/// A plan is made again when a partition has come.
#[test]
fn events_in_a_new_partition_are_found_by_a_plan_that_was_kept() {
    let server = filled();
    let reader = Reader::new(Arc::new(Pool::new(server.url(), 1)));
    let filter = asked(&[("request_id", "rare")]);
    assert_eq!(indexes(&reader, &filter, Order::OLDEST, None), [0, 100, 200, 300]);
    let mut sink = StoreSink::new(server.url(), "example.org/a");
    let first = sink.position().unwrap().cursor;
    let later = String::from_utf8(line(300))
        .unwrap()
        .replace("\"index\":300", "\"index\":360")
        .replace("2026-", "2027-");
    let lines = [BatchLine { index: first, bytes: later.as_bytes(), segment: Index::new(0), offset: 0 }];
    sink.deliver(&Batch { first, lines: &lines }).unwrap();
    assert_eq!(indexes(&reader, &filter, Order::OLDEST, None), [0, 100, 200, 300, 360]);
    assert_eq!(rows(&mut server.connect(), KEPT).len(), 0, "only sessions that search keep any");
}
