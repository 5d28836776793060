//! Search over real trails against looking at every line: any filter, order, page and lag, also while events come.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use trailseal_core::deliver::{Batch, Follower, Lines, Sink};
use trailseal_core::file::StdFiles;
use trailseal_core::{Ack, Folder, Options, Reader, RecordOptions, Roll, Trail};
use trailseal_event::filter::Filter;
use trailseal_event::line::parse_front;
use trailseal_event::{Event, Index, Timestamp};
use trailseal_index::{
    By, Cursor, FOLDER, FacetField, First, IndexOptions, Indexer, Order, Search, SearchError,
};

const SOON: Duration = Duration::from_secs(60);
/// For what must get there, however long a busy machine takes.
const DURABLE: RecordOptions = RecordOptions::new().ack(Ack::Durable).timeout(SOON);
const RANGE_EVENTS: usize = 16;

fn options() -> Options {
    let mut options = Options::default();
    options.handoff.size_bytes = 1 << 20;
    // More is recorded at once than has room, and a busy machine may be slow to make some.
    options.handoff.timeout = SOON;
    options.disk_reserve_bytes = Some(0);
    options.segment.roll = Roll::Bytes(4_000);
    options.origin = Some("example.org/slots".into());
    options
}

/// A folder of trails with these events, each opened one after the other, so that their times follow.
fn record(dir: &Path, trails: &[Vec<Event>]) {
    let open: Vec<Trail> = trails.iter().map(|_| Trail::open_slot(dir, options()).unwrap()).collect();
    let longest = trails.iter().map(Vec::len).max().unwrap_or(0);
    for at in 0..longest {
        for (trail, events) in open.iter().zip(trails) {
            if let Some(event) = events.get(at) {
                trail.record(event).unwrap();
            }
        }
    }
    for trail in open {
        trail.close(SOON).unwrap();
    }
}

/// Puts the first `events` of a trail into its index.
fn index(folder: &Path, events: u64) {
    let reader = Reader::open(folder, Arc::new(StdFiles)).unwrap();
    let mut options = IndexOptions::new(reader.origin());
    options.range_events = RANGE_EVENTS;
    // So few that some values are in no dictionary, and are known by their hash alone.
    options.dictionary_values_max = 4;
    let mut indexer = Indexer::open(folder.join(FOLDER), options).unwrap();
    let trail = Folder::new(folder, Arc::new(StdFiles));
    let mut follower = Follower::new(trail, indexer.position().unwrap().cursor).unwrap();
    let end = Index::new(events.min(reader.end().get()));
    let mut lines = Lines::default();
    while follower.next() < end {
        let first = follower.next();
        lines.clear();
        follower.read(end, 7, usize::MAX, &mut lines).unwrap();
        indexer.deliver(&Batch { first, lines: &lines.as_batch_lines() }).unwrap();
    }
}

const ORDERS: [Order; 4] = [Order::OLDEST, Order::NEWEST, Order::OLDEST_RECORDED, Order::NEWEST_RECORDED];

/// When it was recorded, where, and the line.
type Found = (Timestamp, String, u64, Vec<u8>);

/// Every event that matches, by looking at every line.
fn brute_force(search: &Search, filter: &Filter, order: Order) -> Vec<Found> {
    let mut found = Vec::new();
    for reader in search.readers() {
        let mut reader = Reader::open(reader.folder().root(), Arc::new(StdFiles)).unwrap();
        let origin = reader.origin().to_owned();
        if !filter.origin.is_empty() && !filter.origin.contains(&origin) {
            continue;
        }
        reader
            .for_each(0..u64::MAX, &mut |index, line| {
                if filter.accept(line).is_some() {
                    let recorded = parse_front(line).unwrap().recorded;
                    found.push((recorded, origin.clone(), index.get(), line.to_vec()));
                }
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    found.sort();
    if order.by == By::Time {
        found.sort_by_key(|found| Event::from_line(&found.3).unwrap().effective_time());
    }
    if order.first == First::Newest {
        found.reverse();
    }
    found
}

fn all(search: &mut Search, filter: &Filter, order: Order) -> Vec<Found> {
    let mut found = Vec::new();
    search
        .each(filter, order, None, &mut |hit| {
            found.push((hit.recorded, hit.origin.to_string(), hit.index.get(), hit.exact_line().to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

/// All pages from `cursor` on.
fn pages(
    search: &mut Search,
    filter: &Filter,
    order: Order,
    mut cursor: Option<Cursor>,
    limit: usize,
) -> Vec<Found> {
    let mut found = Vec::new();
    loop {
        let page = search.page(filter, order, cursor.as_ref(), limit, None).unwrap();
        assert!(page.hits.len() == limit || page.next.is_none(), "only the last page is short");
        assert_eq!(page.scanned, None, "there was no limit of work");
        found.extend(
            page.hits.into_iter().map(|hit| {
                (hit.recorded, hit.origin.to_string(), hit.index.get(), hit.exact_line().to_vec())
            }),
        );
        // As a user hands it back.
        cursor = page.next.map(|next| next.to_string().parse().unwrap());
        if cursor.is_none() {
            return found;
        }
    }
}

/// All pages, each with so little time that it ends after the first look, and by another search each if `is_new_each` is set.
fn hurried_pages(
    dir: &Path,
    filter: &Filter,
    order: Order,
    limit: usize,
    matches_max: usize,
    is_new_each: bool,
) -> Vec<Found> {
    let open = || {
        let mut search = Search::open(dir, Arc::new(StdFiles)).unwrap();
        search.keep_at_most(matches_max);
        search
    };
    let (mut found, mut cursor, mut search, mut pages) = (Vec::new(), None::<Cursor>, open(), 0);
    loop {
        if is_new_each {
            search = open();
        }
        let budget = Some(Duration::from_micros(200));
        let page = search.page(filter, order, cursor.as_ref(), limit, budget).unwrap();
        found.extend(
            page.hits.into_iter().map(|hit| {
                (hit.recorded, hit.origin.to_string(), hit.index.get(), hit.exact_line().to_vec())
            }),
        );
        pages += 1;
        assert!(pages < 20_000, "it does not get on: {filter:?} {order:?}");
        let Some(next) = page.next else { return found };
        cursor = Some(next.to_string().parse().unwrap());
    }
}

fn check(search: &mut Search, filter: &Filter, limit: usize) {
    for order in ORDERS {
        let wanted = brute_force(search, filter, order);
        for matches in [3, 1_000] {
            search.keep_at_most(matches);
            assert_eq!(all(search, filter, order), wanted, "{filter:?} {order:?} {matches}");
        }
        assert_eq!(pages(search, filter, order, None, limit), wanted, "{filter:?} {order:?}");
    }
    let wanted = brute_force(search, filter, Order::OLDEST_RECORDED);
    assert_eq!(search.count(filter).unwrap(), wanted.len() as u64, "{filter:?}");
    check_summaries(search, filter, &wanted);
}

fn check_summaries(search: &mut Search, filter: &Filter, wanted: &[Found]) {
    let events: Vec<_> = wanted.iter().map(|(_, _, _, line)| Event::from_line(line).unwrap()).collect();
    let mut actions: HashMap<String, u64> = HashMap::new();
    let mut minutes: BTreeMap<Timestamp, u64> = BTreeMap::new();
    for recorded in &events {
        *actions.entry(recorded.event.action.clone()).or_default() += 1;
        let time = recorded.effective_time().as_micros();
        *minutes.entry(Timestamp::from_micros(time - time.rem_euclid(60_000_000))).or_default() += 1;
    }
    let found = search.facets(filter, FacetField::Action, usize::MAX).unwrap();
    assert!(found.is_sorted_by(|left, right| left.1 >= right.1), "the most frequent first");
    assert_eq!(found.into_iter().collect::<HashMap<_, _>>(), actions, "{filter:?}");
    let found = search.histogram(filter, Duration::from_secs(60)).unwrap();
    assert_eq!(found, minutes.into_iter().collect::<Vec<_>>(), "{filter:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn search_finds_what_looking_at_every_line_finds(
        trails in prop::collection::vec(prop::collection::vec(support::any_event(), 0..60), 1..4),
        indexed in prop::collection::vec(0..80u64, 4),
        filters in prop::collection::vec(support::any_filter(), 4),
        late in prop::collection::vec(support::any_event(), 1..10),
        limit in 1..12usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        record(dir.path(), &trails);
        for (slot, events) in indexed.iter().enumerate().take(trails.len()) {
            // Some trails have no index, some have part of it.
            if *events > 10 {
                index(&dir.path().join(slot.to_string()), *events);
            }
        }
        let mut search = Search::open(dir.path(), Arc::new(StdFiles)).unwrap();
        for filter in filters.iter().chain([&Filter::default()]) {
            check(&mut search, filter, limit);
            // What was recorded in some part of the walk.
            let all = brute_force(&search, filter, Order::OLDEST_RECORDED);
            let at = |share: usize| all.get(all.len() * share / 7).map(|found| found.0);
            let part = Filter { recorded_since: at(2), recorded_until: at(5), ..filter.clone() };
            check(&mut search, &part, limit);
        }
        check_while_events_come(dir.path(), &mut search, &filters[0], limit, &late);
    }
}

/// A walk that is begun goes on rightly when events arrive: the newest first sees none of them, the oldest first all.
fn check_while_events_come(dir: &Path, search: &mut Search, filter: &Filter, limit: usize, late: &[Event]) {
    let before = ORDERS.map(|order| brute_force(search, filter, order));
    let begun = ORDERS.map(|order| search.page(filter, order, None, limit, None).unwrap());
    let end = search.end();
    let trail = Trail::open_slot(dir, options()).unwrap();
    for event in late {
        trail.with(DURABLE).record(event).unwrap();
    }
    search.refresh().unwrap();
    for ((order, before), begun) in ORDERS.into_iter().zip(&before).zip(begun) {
        let Some(next) = begun.next else { continue };
        let seen = &before[..before.len().min(limit)];
        let mut rest = match order.first {
            First::Newest => before.clone(),
            First::Oldest => brute_force(search, filter, order),
        };
        if order == Order::OLDEST {
            // Of what came meanwhile it shows what comes after what was shown.
            let place = |found: &Found| {
                (Event::from_line(&found.3).unwrap().effective_time(), found.0, found.1.clone(), found.2)
            };
            let last = seen.last().map(place);
            rest.retain(|found| Some(place(found)) > last);
        } else {
            rest.retain(|found| !seen.contains(found));
        }
        assert_eq!(pages(search, filter, order, Some(next), limit), rest, "{filter:?} {order:?}");
    }
    let mut new = brute_force(search, filter, Order::OLDEST_RECORDED);
    new.retain(|found| !before[0].contains(found));
    assert_eq!(pages(search, filter, Order::OLDEST_RECORDED, Some(end), limit), new, "{filter:?}");
    trail.close(SOON).unwrap();
}

#[test]
fn a_page_that_ran_out_of_time_says_how_far_it_came_and_goes_on_from_there() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), &[(0..3_000).map(|number| Event::new("test.many").id(number.to_string())).collect()]);
    let mut search = Search::open(dir.path(), Arc::new(StdFiles)).unwrap();
    let filter = Filter { text: vec!["not there at all".into()], ..Filter::default() };
    let mut cursor = None;
    let mut rounds = 0;
    loop {
        let budget = Some(Duration::ZERO);
        let page = search.page(&filter, Order::NEWEST_RECORDED, cursor.as_ref(), 50, budget).unwrap();
        assert!(page.hits.is_empty());
        assert_eq!(page.next.is_some(), page.scanned.is_some());
        let Some(next) = page.next else { break };
        // Without any time little is looked at; with a little, it comes to the end.
        let page = search
            .page(&filter, Order::NEWEST_RECORDED, Some(&next), 50, Some(Duration::from_millis(1)))
            .unwrap();
        rounds += 1;
        assert!(rounds < 10_000, "it does not get on");
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
}

/// Times that have nothing to do with the order of recording.
fn shuffled(events: u64) -> Vec<Event> {
    let one = |number: u64| {
        let day =
            Timestamp::from_micros(1_700_000_000_000_000 + (number * 7_919 % events) as i64 * 60_000_000);
        Event::new(if number.is_multiple_of(40) { "test.rare" } else { "test.many" }).time(day)
    };
    (0..events).map(one).collect()
}

#[test]
fn hurried_pages_by_time_without_an_index_come_to_the_end_and_leave_nothing_out() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), &[shuffled(3_000), shuffled(1_500)]);
    index(&dir.path().join("1"), 700);
    let search = Search::open(dir.path(), Arc::new(StdFiles)).unwrap();
    for action in ["test.rare", "test.none"] {
        let filter = Filter { action: vec![action.into()], ..Filter::default() };
        for order in [Order::NEWEST, Order::OLDEST] {
            let wanted = brute_force(&search, &filter, order);
            for (matches, is_new_each) in [(1_000, false), (20, false), (20, true)] {
                let found = hurried_pages(dir.path(), &filter, order, 30, matches, is_new_each);
                assert_eq!(found, wanted, "{action} {order:?} {matches} {is_new_each}");
            }
        }
    }
}

#[test]
fn each_page_by_time_without_an_index_looks_on_where_the_last_one_ended() {
    let dir = tempfile::tempdir().unwrap();
    let events = 9_000;
    record(dir.path(), &[shuffled(events)]);
    let filter = Filter { action: vec!["test.none".into()], ..Filter::default() };
    for order in [Order::NEWEST, Order::OLDEST] {
        let (mut looked, mut cursor) = (0, None::<Cursor>);
        loop {
            // As a server does whose searches are all in use.
            let mut search = Search::open(dir.path(), Arc::new(StdFiles)).unwrap();
            let budget = Some(Duration::from_micros(500));
            let page = search.page(&filter, order, cursor.as_ref(), 50, budget).unwrap();
            let Some(next) = page.next else { break };
            looked += page.scanned.unwrap();
            assert!(looked <= events + 100, "lines are looked at twice: {order:?}");
            cursor = Some(next);
        }
        assert!(cursor.is_some(), "one page had time for all: {order:?}");
    }
}

#[test]
fn a_damaged_index_is_done_without() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), &[(0..50).map(|number| Event::new("test.kept").id(number.to_string())).collect()]);
    let slot = dir.path().join("0");
    index(&slot, 40);
    let filter = Filter { action: vec!["test.*".into()], ..Filter::default() };
    let main = slot.join(FOLDER).join("main.db");
    for bytes in [&b"not a database at all"[..], &[0; 8_192]] {
        std::fs::write(&main, bytes).unwrap();
        let mut search = Search::open(dir.path(), Arc::new(StdFiles)).unwrap();
        assert_eq!(search.count(&filter).unwrap(), 50);
        assert!(search.lag().events > 50, "all of it is not indexed");
    }
}

#[test]
fn a_search_that_is_stopped_ends_and_the_next_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), &[(0..3_000).map(|number| Event::new("test.many").id(number.to_string())).collect()]);
    index(&dir.path().join("0"), 1_000);
    let mut search = Search::open(dir.path(), Arc::new(StdFiles)).unwrap();
    let filter = Filter { action: vec!["test.*".into()], ..Filter::default() };
    let stopped = Arc::new(AtomicBool::new(true));
    search.stop_when(&stopped);
    let page = search.page(&filter, Order::NEWEST_RECORDED, None, 50, None).map(drop);
    for answer in [
        page,
        search.count(&filter).map(drop),
        search.facets(&filter, FacetField::Action, 10).map(drop),
        search.histogram(&filter, Duration::from_secs(60)).map(drop),
        search.summary(&filter, 10, None).map(drop),
    ] {
        assert!(matches!(answer, Err(SearchError::Stopped)), "{answer:?}");
    }
    // In the middle.
    let (stopped, mut seen) = (Arc::new(AtomicBool::new(false)), 0);
    search.stop_when(&stopped);
    let answer = search.each(&filter, Order::OLDEST_RECORDED, None, &mut |_| {
        stopped.store(true, Ordering::Relaxed);
        seen += 1;
        ControlFlow::Continue(())
    });
    assert!(matches!(answer, Err(SearchError::Stopped)), "{answer:?}");
    assert!((1..2_000).contains(&seen), "{seen}");
    search.stop_when(&Arc::default());
    assert_eq!(search.count(&filter).unwrap(), 3_000);
}
