//! The store answers as a search in the trails' folder does, and as looking at every line does: any filter, order and page,
//! over several trails, with late events, tenants and hostile values.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "reading/counting.rs"]
mod counting;
#[path = "../../index/tests/support/mod.rs"]
mod events;
#[path = "reading/following.rs"]
mod following;
mod server;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use events::{BEGIN, any_event, any_filter};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use server::Server;
use trailseal_core::clock::Clock;
use trailseal_core::deliver::{Batch, BatchLine, Follower, Lines, Sink};
use trailseal_core::file::StdFiles;
use trailseal_core::{Folder, Options, Reader as TrailReader, Trail, load_mask_key, trails_in};
use trailseal_event::filter::{Filter, IdFilter};
use trailseal_event::line::{effective_time, parse_front};
use trailseal_event::mask::MaskKey;
use trailseal_event::{By, Event, First, Hit, Index, Order, Timestamp};
use trailseal_index::{Cursor, Search};
use trailseal_postgres::{Pool, Reader, StoreCursor, StoreSink};

const SOON: Duration = Duration::from_secs(60);
const ORDERS: [Order; 4] = [Order::OLDEST, Order::NEWEST, Order::OLDEST_RECORDED, Order::NEWEST_RECORDED];
/// What certainly is a secret: an identity that is one becomes its keyed hash.
const SECRET: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";

/// A clock that only the test moves.
struct Moved(AtomicI64);

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// An event, and how many seconds after the one before it is recorded.
type Step = (Event, i64);

fn any_step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![3 => Just(0), 6 => 0..40_i64, 1 => 500_000..4_000_000_i64];
    let odd = prop_oneof![
        Just("a\0b".to_owned()),
        Just("a\u{fffd}b".to_owned()),
        Just("a".repeat(3_000)),
        Just(format!("{}é", "a".repeat(1_100))),
        Just(SECRET.to_owned()),
        Just("Microsoft.Compute/virtualMachines".to_owned()),
        Just("192.0.2.7:443".to_owned()),
    ];
    (any_event(), wait, proptest::option::weighted(0.3, (odd, 0..9_u8)), any::<bool>()).prop_map(
        |(mut event, wait, odd, is_late)| {
            if let Some((odd, field)) = odd {
                match field {
                    0 => event.tenant = Some(odd),
                    1 => event = event.actor(odd),
                    2 => event.context.ip = Some(odd),
                    3 => event.context.request_id = Some(odd),
                    4 => event.context.correlation_id = Some(odd),
                    5 => event.id = Some(odd),
                    6 => event = event.resource("a", odd),
                    7 => event = event.resource(odd, "a"),
                    _ => event = event.related("a", odd),
                }
            }
            // Late or of its own time; where times are, the generator has already put some.
            if is_late {
                event.time = event.time.map(|time| Timestamp::from_micros(time.as_micros() + 86_400_000_000));
            }
            (event, wait)
        },
    )
}

fn any_question() -> impl Strategy<Value = (Filter, usize)> {
    let odd = prop_oneof![
        Just(("tenant", "a\0b")),
        Just(("actor", SECRET)),
        Just(("request_id", SECRET)),
        Just(("id", "a\u{fffd}b")),
        Just(("resource", "a/a\0b")),
        Just(("resource", "Microsoft.Compute/virtualMachines")),
        Just(("resource", "Microsoft.Compute/virtualMachines/a")),
        Just(("ip", "192.0.2.7")),
        Just(("action", "*")),
        Just(("action", "a*")),
        Just(("origin", "example.org/slots/1")),
        Just(("tenant", "")),
    ];
    let long = prop_oneof![Just("tenant"), Just("actor"), Just("correlation_id"), Just("id")];
    (any_filter(), proptest::option::weighted(0.4, odd), proptest::option::weighted(0.1, long), 1..60_usize)
        .prop_map(|(mut filter, odd, long, limit)| {
            if let Some((name, value)) = odd {
                filter.set(name, value, Timestamp::from_micros(BEGIN)).unwrap();
            }
            if let Some(name) = long {
                filter.set(name, &"a".repeat(3_000), Timestamp::from_micros(BEGIN)).unwrap();
            }
            (filter, limit)
        })
}

/// Records these events in slots of the folder, one of each in turn.
fn record(dir: &Path, trails: &[Vec<Step>]) {
    let clock = Arc::new(Moved(AtomicI64::new(BEGIN)));
    let mut options = Options::default();
    options.handoff.size_bytes = 1 << 20;
    options.disk_reserve_bytes = Some(0);
    options.origin = Some("example.org/slots".into());
    options.clock = clock.clone();
    let open: Vec<Trail> = trails.iter().map(|_| Trail::open_slot(dir, options.clone()).unwrap()).collect();
    for at in 0..trails.iter().map(Vec::len).max().unwrap_or(0) {
        for (trail, steps) in open.iter().zip(trails) {
            if let Some((event, wait)) = steps.get(at) {
                clock.0.fetch_add(wait * 1_000_000, Ordering::Relaxed);
                trail.record(event).unwrap();
            }
        }
    }
    for trail in open {
        trail.close(SOON).unwrap();
    }
}

/// Delivers all trails in the folder, the last one first, so that what is recorded first may be stored last.
fn deliver(dir: &Path, server: &Server) {
    let mut folders = trails_in(dir, &StdFiles).unwrap();
    folders.reverse();
    for folder in folders {
        let reader = TrailReader::open(&folder, Arc::new(StdFiles)).unwrap();
        let mut sink = StoreSink::new(server.url(), reader.origin());
        let from = sink.position().unwrap().cursor;
        let mut follower = Follower::new(Folder::new(&folder, Arc::new(StdFiles)), from).unwrap();
        let (end, mut lines) = (reader.end(), Lines::default());
        while follower.next() < end {
            let first = follower.next();
            lines.clear();
            follower.read(end, 50, usize::MAX, &mut lines).unwrap();
            sink.deliver(&Batch { first, lines: &lines.as_batch_lines() }).unwrap();
        }
    }
}

fn mask_keys(dir: &Path) -> Vec<MaskKey> {
    let folders = trails_in(dir, &StdFiles).unwrap();
    let mut keys: Vec<MaskKey> = Vec::new();
    for folder in folders {
        let key = load_mask_key(&Folder::new(&folder, Arc::new(StdFiles))).unwrap();
        keys.extend(key.filter(|key| keys.iter().all(|known| known.hash("a") != key.hash("a"))));
    }
    keys
}

fn reader(server: &Server, keys: Vec<MaskKey>) -> Reader {
    Reader::new(Arc::new(Pool::new(server.url(), 2))).with_mask_keys(keys)
}

/// When it was recorded, where, and the line.
type Found = (Timestamp, String, u64, Vec<u8>);

fn told(hit: &Hit) -> Found {
    (hit.recorded, hit.origin.to_string(), hit.index.get(), hit.exact_line().to_vec())
}

/// All lines of the trails in the folder.
fn lines(dir: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    for folder in trails_in(dir, &StdFiles).unwrap() {
        let mut reader = TrailReader::open(&folder, Arc::new(StdFiles)).unwrap();
        let origin = reader.origin().to_owned();
        let mut keep = |index: Index, line: &[u8]| {
            let recorded = parse_front(line).unwrap().recorded;
            found.push((recorded, origin.clone(), index.get(), line.to_vec()));
            ControlFlow::Continue(())
        };
        reader.for_each(0..u64::MAX, &mut keep).unwrap();
    }
    found.sort();
    found
}

/// What matches, by looking at every line.
fn brute_force(lines: &[Found], filter: &Filter, order: Order) -> Vec<Found> {
    let is_one = |(_, origin, _, line): &&Found| {
        (filter.origin.is_empty() || filter.origin.contains(origin)) && filter.accepts(line)
    };
    let mut found: Vec<Found> = lines.iter().filter(is_one).cloned().collect();
    if order.by == By::Time {
        found.sort_by_key(|found| Event::from_line(&found.3).unwrap().effective_time());
    }
    if order.first == First::Newest {
        found.reverse();
    }
    found
}

/// All pages, each with this budget.
fn pages(
    reader: &Reader,
    filter: &Filter,
    order: Order,
    limit: usize,
    budget: Option<Duration>,
) -> Vec<Found> {
    let (mut found, mut cursor, mut count) = (Vec::new(), None::<StoreCursor>, 0);
    loop {
        let page = reader.page(filter, order, cursor.as_ref(), limit, budget).unwrap();
        if budget.is_none() {
            assert!(page.hits.len() == limit || page.next.is_none(), "only the last page is short");
            assert_eq!(page.scanned, None, "there was no limit of work");
        }
        found.extend(page.hits.iter().map(told));
        count += 1;
        assert!(count < 2_000, "it does not get on: {filter:?} {order:?}");
        // As a user hands it back.
        cursor = page.next.map(|next| next.to_string().parse().unwrap());
        if cursor.is_none() {
            return found;
        }
    }
}

fn embedded_pages(search: &mut Search, filter: &Filter, order: Order, limit: usize) -> Vec<Found> {
    let (mut found, mut cursor) = (Vec::new(), None::<Cursor>);
    loop {
        let page = search.page(filter, order, cursor.as_ref(), limit, None).unwrap();
        found.extend(page.hits.iter().map(told));
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

/// Checks every kind of answer.
fn check(
    reader: &Reader,
    search: &mut Search,
    lines: &[Found],
    stored: &Filter,
    filter: &Filter,
    limit: usize,
) {
    for order in ORDERS {
        let wanted = brute_force(lines, stored, order);
        assert_eq!(embedded_pages(search, filter, order, limit), wanted, "the index: {filter:?} {order:?}");
        assert_eq!(pages(reader, filter, order, limit, None), wanted, "{filter:?} {order:?} {limit}");
        assert_eq!(pages(reader, filter, order, limit, Some(Duration::ZERO)), wanted, "{filter:?} {order:?}");
        let mut all = Vec::new();
        let each = &mut |hit: &Hit| {
            all.push(told(hit));
            ControlFlow::Continue(())
        };
        reader.each(filter, order, None, each).unwrap();
        assert_eq!(all, wanted, "{filter:?} {order:?}");
    }
    let wanted = brute_force(lines, stored, Order::OLDEST);
    assert_eq!(reader.count(filter).unwrap(), wanted.len() as u64, "{filter:?}");
    assert_eq!(search.count(filter).unwrap(), wanted.len() as u64, "the index: {filter:?}");
    // Some of the questions are enough.
    if limit.is_multiple_of(3) {
        counting::check(reader, search, &wanted, filter, limit);
    }
}

#[test]
fn the_store_the_index_and_the_lines_answer_alike() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(8);
    let questions = proptest::collection::vec(any_question(), 12);
    let steps = proptest::collection::vec(proptest::collection::vec(any_step(), 0..90), 1..4);
    let mut runner =
        TestRunner::new(ProptestConfig { cases, max_shrink_iters: 12, ..ProptestConfig::default() });
    let tried = runner.run(&(steps, questions), |(trails, questions)| {
        let server = Server::start();
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        record(dir, &trails);
        deliver(dir, &server);
        let (lines, keys) = (lines(dir), mask_keys(dir));
        let reader = reader(&server, keys.clone());
        let mut search = Search::open(dir, Arc::new(StdFiles)).unwrap();
        for (filter, limit) in &questions {
            check(&reader, &mut search, &lines, &filter.as_stored(&keys), filter, *limit);
        }
        for (_, origin, index, line) in lines.iter().step_by(7) {
            let hit = reader.at(origin, Index::new(*index)).unwrap().unwrap();
            assert_eq!((hit.index.get(), hit.exact_line()), (*index, &line[..]));
            let id = Event::from_line(line).unwrap().event.id.unwrap();
            let filter = Filter { id: vec![IdFilter::Id(id.clone())], system: true, ..Filter::default() };
            let wanted = brute_force(&lines, &filter.as_stored(&keys), Order::NEWEST);
            let found: Vec<Found> = reader.by_id(&id, None).unwrap().iter().map(told).collect();
            assert_eq!(found, wanted, "{id}");
            assert_eq!(reader.by_id(&id, Some("nobody")).unwrap().len(), 0);
        }
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
}

/// Where a page ends at the edge of a month, the next one begins there, with nothing left in the month.
#[test]
fn a_page_that_has_no_time_gets_on_all_the_same() {
    const MONTH: i64 = 31 * 86_400;
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let steps = (0..9).map(|number| (Event::new("a").actor(format!("u{number}")), MONTH)).collect();
    record(folder.path(), &[steps]);
    deliver(folder.path(), &server);
    let (lines, reader) = (lines(folder.path()), reader(&server, Vec::new()));
    for action in ["a", "never"] {
        let mut filter = Filter::default();
        filter.set("action", action, Timestamp::from_micros(BEGIN)).unwrap();
        for order in ORDERS {
            let wanted = brute_force(&lines, &filter, order);
            assert_eq!(pages(&reader, &filter, order, 2, Some(Duration::ZERO)), wanted, "{action} {order:?}");
        }
    }
}

/// What cannot be read has no time of its own.
fn time_of(line: &[u8]) -> Timestamp {
    effective_time(line).unwrap_or_else(|| parse_front(line).unwrap().recorded)
}

/// Lines that no trail writes today, but a store takes: they are found by what they hold, or by nothing.
#[test]
fn hostile_lines_are_found_as_they_are_or_not_at_all() {
    let server = Server::start();
    let front = |index: usize| {
        format!(r#"{{"v":1,"index":{index},"recorded":"2026-02-0{}T03:04:05.000006Z""#, 1 + index % 9)
    };
    let long = "a".repeat(5_000);
    let rests = [
        r#","id":"a","action":"x","tenant":"half \ud800 a pair"}"#.to_owned(),
        r#","id":"a","action":"x","tenant":"nul \u0000"}"#.to_owned(),
        format!(
            r#","id":"{long}","action":"{long}","tenant":"{long}","actor":{{"id":"{long}","name":"{long}"}}}}"#
        ),
        format!(
            r#","id":"b","action":"x","resource":{{"type":"{long}","id":"{long}"}},"related":[{{"id":"{long}"}}]}}"#
        ),
        r#","id":"c","action":"x","related":[{"id":"7"},{"type":"a/b"},{"type":"a","name":"9"}]}"#.to_owned(),
        r#","id":"d","action":"x","time":"0000-01-01T00:00:00Z","outcome":"denied"}"#.to_owned(),
        r#","id":"e","action":"x","time":"9999-12-31T23:59:59.999999Z","severity":"critical"}"#.to_owned(),
        // Not to be read, but for its front.
        r#","id":"f","act"#.to_owned(),
        r#","id":"g","action":"x","context":{"ip":"[2001:db8::1]:443","request_id":"r\u0000"}}"#.to_owned(),
    ];
    let lines: Vec<Vec<u8>> =
        rests.iter().enumerate().map(|(at, rest)| format!("{}{rest}", front(at)).into_bytes()).collect();
    let batch: Vec<BatchLine<'_>> = lines
        .iter()
        .zip(0..)
        .map(|(bytes, index)| BatchLine {
            index: Index::new(index),
            bytes,
            segment: Index::new(0),
            offset: 0,
        })
        .collect();
    let origin = "example.org/odd";
    let mut sink = StoreSink::new(server.url(), origin);
    sink.position().unwrap();
    sink.deliver(&Batch { first: Index::new(0), lines: &batch }).unwrap();
    let reader = reader(&server, Vec::new());
    let now = Timestamp::from_micros(BEGIN);
    for pairs in [
        &[][..],
        &[("system", "true")],
        &[("tenant", "half \u{fffd} a pair")],
        &[("tenant", "nul \0")],
        &[("tenant", "nul \u{fffd}")],
        &[("tenant", &long)],
        &[("actor", &long)],
        &[("action", &long)],
        &[("action", "a*")],
        &[("action", "*a")],
        &[("action", "x")],
        &[("action", "*")],
        &[("id", "a")],
        &[("id", &long)],
        &[("id", "7")],
        &[("id", "18446744073709551615")],
        &[("resource", &format!("{long}/{long}"))],
        &[("resource", &long)],
        &[("resource", &format!("/{long}"))],
        &[("resource", "/7")],
        &[("resource", "a/b")],
        &[("resource", "a/9")],
        &[("resource", "a")],
        &[("outcome", "none")],
        &[("outcome", "denied")],
        &[("severity", "critical")],
        &[("until", "0001-01-01T00:00:00Z")],
        &[("since", "9000-01-01T00:00:00Z")],
        &[("since", "9999999w")],
        &[("recorded_since", "2026-02-05")],
        &[("recorded_until", "2026-02-05"), ("text", "PAIR")],
        &[("ip", "2001:db8:0::1")],
        &[("request_id", "r\0")],
        &[("request_id", "r\u{fffd}")],
        &[("origin", "example.org/\0")],
    ] {
        let filter = Filter::from_pairs(pairs.iter().copied(), now).unwrap();
        let stored = filter.as_stored(None);
        for order in ORDERS {
            let mut wanted: Vec<u64> = (0..lines.len() as u64)
                .filter(|index| stored.accepts(&lines[*index as usize]))
                .filter(|_| filter.origin.is_empty())
                .collect();
            if order.by == By::Time {
                wanted.sort_by_key(|index| time_of(&lines[*index as usize]));
            }
            if order.first == First::Newest {
                wanted.reverse();
            }
            let page = reader.page(&filter, order, None, 50, None).unwrap();
            let found: Vec<u64> = page.hits.iter().map(|hit| hit.index.get()).collect();
            assert_eq!(found, wanted, "{pairs:?} {order:?}");
            for hit in &page.hits {
                assert_eq!(hit.exact_line(), lines[hit.index.get() as usize]);
            }
        }
        let wanted = lines.iter().filter(|line| stored.accepts(line)).filter(|_| filter.origin.is_empty());
        let wanted: Vec<Found> = wanted.map(|line| (now, origin.to_owned(), 0, line.clone())).collect();
        assert_eq!(reader.count(&filter).unwrap(), wanted.len() as u64, "{pairs:?}");
        counting::check_values(&reader, &wanted, &filter, "A");
        counting::check_bars(&reader, &wanted, &filter);
    }
    assert!(reader.at(origin, Index::new(u64::MAX)).unwrap().is_none());
    assert!(reader.at("a\0b", Index::new(0)).unwrap().is_none());
}

/// A cursor says where to continue, never whose events are seen.
#[test]
fn a_forged_cursor_shows_nothing_of_another_tenant() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let event = |tenant: &str| (Event::new("a").tenant(tenant), 1);
    let steps: Vec<Step> = (0..20).map(|at| event(["acme", "other"][at % 2])).collect();
    record(folder.path(), &[steps]);
    deliver(folder.path(), &server);
    let reader = reader(&server, Vec::new());
    let of = |tenant: &str| Filter { tenant: vec![tenant.to_owned()], ..Filter::default() };
    let page = reader.page(&of("other"), Order::NEWEST, None, 3, None).unwrap();
    let cursor = page.next.unwrap();
    let page = reader.page(&of("acme"), Order::NEWEST, Some(&cursor), 50, None).unwrap();
    assert!(!page.hits.is_empty());
    for hit in page.hits {
        assert_eq!(hit.read(None).unwrap().event.tenant.as_deref(), Some("acme"));
    }
}
