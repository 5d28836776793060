//! Followers see every event once, however the trails deliver.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use trailseal_core::deliver::{Batch, Follower, Lines, Sink};
use trailseal_core::file::StdFiles;
use trailseal_core::{Folder, Reader as TrailReader, trails_in};
use trailseal_event::filter::Filter;
use trailseal_event::{Index, Order};
use trailseal_postgres::{Reader, StorePosition, StoreSink};

use super::{Found, Server, any_question, any_step, brute_force, lines, mask_keys, reader, record, told};

/// A trail that delivers when it is told to.
struct Delivering {
    sink: StoreSink,
    follower: Follower,
    end: Index,
}

impl Delivering {
    fn all(dir: &Path, server: &Server) -> Vec<Delivering> {
        let one = |folder| {
            let reader = TrailReader::open(&folder, Arc::new(StdFiles)).unwrap();
            let mut sink = StoreSink::new(server.url(), reader.origin());
            let from = sink.position().unwrap().cursor;
            let follower = Follower::new(Folder::new(&folder, Arc::new(StdFiles)), from).unwrap();
            Delivering { sink, follower, end: reader.end() }
        };
        trails_in(dir, &StdFiles).unwrap().into_iter().map(one).collect()
    }

    /// Up to `count` events more.
    fn deliver(&mut self, count: usize) {
        let (first, mut lines) = (self.follower.next(), Lines::default());
        if count > 0 && first < self.end {
            self.follower.read(self.end, count, usize::MAX, &mut lines).unwrap();
            self.sink.deliver(&Batch { first, lines: &lines.as_batch_lines() }).unwrap();
        }
    }
}

/// Somebody who follows, and what they have seen.
struct Following {
    filter: Filter,
    limit: usize,
    position: StorePosition,
    seen: Vec<Found>,
}

impl Following {
    fn new(filter: &Filter, limit: usize) -> Following {
        Following { filter: filter.clone(), limit, position: StorePosition::default(), seen: Vec::new() }
    }

    /// One look. Returns whether that is all.
    fn look(&mut self, reader: &Reader) -> bool {
        let budget = Some(Duration::ZERO).filter(|_| self.limit.is_multiple_of(2));
        // As a user hands it back.
        let from: StorePosition = self.position.to_string().parse().unwrap();
        let arrived = reader.after(&self.filter, &from, self.limit, budget).unwrap();
        assert!(arrived.hits.len() <= self.limit);
        assert!(arrived.is_all || arrived.next != from, "it gets on");
        let mut passed = from;
        for hit in &arrived.hits {
            passed.pass(&hit.origin, hit.index);
            self.seen.push(told(hit));
        }
        // Whoever was cut off in the middle goes on from the last event.
        let is_cut = self.limit.is_multiple_of(3) && !arrived.hits.is_empty();
        self.position = if is_cut { passed } else { arrived.next };
        arrived.is_all && !is_cut
    }

    fn look_at_all(&mut self, reader: &Reader) {
        for _ in 0..10_000 {
            if self.look(reader) {
                return;
            }
        }
        panic!("it does not get on: {:?}", self.filter);
    }

    /// Each event once, those of each trail in their order.
    fn check(mut self, wanted: &[Found]) {
        let mut of_trail = std::collections::BTreeMap::new();
        for (_, origin, index, _) in &self.seen {
            let last = of_trail.insert(origin.clone(), *index);
            assert!(last.is_none_or(|last| last < *index), "{origin}: {index} after {last:?}");
        }
        self.seen.sort();
        assert_eq!(self.seen, wanted, "{:?} {}", self.filter, self.limit);
    }
}

#[test]
fn followers_see_each_event_once_however_trails_deliver() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(4);
    let steps = proptest::collection::vec(proptest::collection::vec(any_step(), 0..60), 1..6);
    let deliveries = proptest::collection::vec((0..6_usize, 0..40_usize, any::<bool>()), 0..25);
    let questions = proptest::collection::vec(any_question(), 4);
    let mut runner =
        TestRunner::new(ProptestConfig { cases, max_shrink_iters: 12, ..ProptestConfig::default() });
    let tried = runner.run(&(steps, deliveries, questions), |(trails, deliveries, questions)| {
        let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
        let dir = folder.path();
        record(dir, &trails);
        let (lines, keys) = (lines(dir), mask_keys(dir));
        let reader = reader(&server, keys.clone());
        let mut delivering = Delivering::all(dir, &server);
        let everything = Filter { system: true, ..Filter::default() };
        let mut following: Vec<Following> =
            questions.iter().map(|(filter, limit)| Following::new(filter, *limit)).collect();
        following.extend([1, 7, 1_000].map(|limit| Following::new(&everything, limit)));
        for (trail, count, is_looked_at) in deliveries {
            let many = delivering.len();
            delivering[trail % many].deliver(count);
            if is_looked_at {
                following.iter_mut().for_each(|one| _ = one.look(&reader));
            }
        }
        let newest = |count: usize| {
            let (hits, position) = reader.newest(&everything, count).unwrap();
            (hits.iter().map(told).collect::<Vec<_>>(), position)
        };
        let mut late = Following::new(&everything, 5);
        (late.seen, late.position) = newest(10_000);
        let (first, _) = newest(3);
        assert!(late.seen.ends_with(&first) && first.len() == late.seen.len().min(3));
        assert_eq!(late.position, reader.end().unwrap());
        delivering.iter_mut().for_each(|trail| trail.deliver(10_000));
        for mut one in following.into_iter().chain([late]) {
            one.look_at_all(&reader);
            let wanted = brute_force(&lines, &one.filter.as_stored(&keys), Order::OLDEST_RECORDED);
            one.check(&wanted);
        }
        check_going_on(&reader, &lines, &everything);
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
}

/// Whoever has read pages by recording can follow from there.
fn check_going_on(reader: &Reader, lines: &[Found], everything: &Filter) {
    for limit in [1, 5, 40, 100] {
        let page = reader.page(everything, Order::OLDEST_RECORDED, None, limit, None).unwrap();
        let Some(next) = page.next else { return };
        let mut rest = Following::new(everything, 1_000);
        rest.position = reader.position_after(&next).unwrap();
        rest.look_at_all(reader);
        rest.check(&lines[limit..]);
    }
}

/// The table of extents only helps: without it, and with less of it, nothing is missed.
#[test]
fn what_the_extents_do_not_know_is_found_all_the_same() {
    const MONTH: i64 = 31 * 86_400;
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let steps = (0..9).map(|number| (trailseal_event::Event::new(format!("a{number}")), MONTH)).collect();
    record(folder.path(), &[steps]);
    super::deliver(folder.path(), &server);
    let (lines, reader) = (lines(folder.path()), reader(&server, Vec::new()));
    let everything = Filter { system: true, ..Filter::default() };
    let check = || {
        let mut following = Following::new(&everything, 1_000);
        following.look_at_all(&reader);
        following.check(&lines);
        for (_, origin, index, line) in &lines {
            let hit = reader.at(origin, Index::new(*index)).unwrap().unwrap();
            assert_eq!(hit.exact_line(), line);
        }
        check_going_on(&reader, &lines, &everything);
    };
    check();
    server.execute("DELETE FROM trailseal.extents WHERE first_idx BETWEEN 2 AND 5");
    check();
    server.execute("UPDATE trailseal.extents SET partition = 'no_' || partition WHERE first_idx > 5");
    check();
    server.execute("DELETE FROM trailseal.extents");
    check();
}

/// A store that was put back to an earlier state gets the same events again: nobody sees them twice.
#[test]
fn what_is_delivered_again_is_not_seen_again() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let steps = (0..20).map(|number| (trailseal_event::Event::new(format!("a{number}")), 1)).collect();
    record(folder.path(), &[steps]);
    let lines = lines(folder.path());
    let reader = reader(&server, Vec::new());
    let everything = Filter { system: true, ..Filter::default() };
    let mut following = Following::new(&everything, 1_000);
    Delivering::all(folder.path(), &server)[0].deliver(15);
    following.look_at_all(&reader);
    assert_eq!(following.seen.len(), 15);
    server.execute_writable(
        "SET session_replication_role = replica; DELETE FROM trailseal.events WHERE idx >= 10; \
         UPDATE trailseal.cursors SET next = 10",
    );
    following.look_at_all(&reader);
    Delivering::all(folder.path(), &server)[0].deliver(3);
    following.look_at_all(&reader);
    assert_eq!(following.seen.len(), 15);
    Delivering::all(folder.path(), &server)[0].deliver(100);
    following.look_at_all(&reader);
    following.check(&lines);
}
