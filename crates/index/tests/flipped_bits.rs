//! Bits of the index that flip on a disk: an answer is the one that it was before, or there is none.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::{Model, ORIGIN, options, view};
use trailseal_core::deliver::{Batch, Follower, Lines, Sink};
use trailseal_core::file::StdFiles;
use trailseal_core::{Folder, Options, Reader, Trail};
use trailseal_event::filter::Filter;
use trailseal_event::{Event, Index, Outcome, Timestamp};
use trailseal_index::{FOLDER, FacetField, IndexError, IndexOptions, IndexView, Indexer, Order, Search};

/// Flips of each file.
const FLIPS: usize = 80;

fn event(number: usize) -> Event {
    let outcome = if number.is_multiple_of(11) { Outcome::Failure } else { Outcome::Success };
    Event::new(format!("a{}.b{}", number % 5, number % 300))
        .id(format!("i{number}"))
        .tenant(format!("t{}", number % 3))
        .actor(format!("u{}", number % 400))
        .resource("kind", format!("r{}", number % 90))
        .outcome(outcome)
}

fn filters() -> Vec<Filter> {
    [
        vec![],
        vec![("tenant", "t1")],
        vec![("tenant", "t0"), ("outcome", "failure")],
        vec![("actor", "u7")],
        vec![("actor", "u399")],
        vec![("action", "a1.*")],
        vec![("action", "a0.b0")],
        vec![("resource", "kind/r5")],
        vec![("resource", "kind")],
        vec![("id", "id:i2500")],
        vec![("id", "id:i17")],
        vec![("system", "true")],
        vec![("since", "2026-11-18T11:00:00Z"), ("until", "2026-11-18T11:30:00Z")],
        vec![("tenant", "nobody")],
    ]
    .into_iter()
    .map(|pairs| Filter::from_pairs(pairs, Timestamp::from_micros(support::BEGIN)).unwrap())
    .collect()
}

/// Everything that a view says.
fn answers(view: &mut IndexView, matching: &[bool], filter: &Filter) -> Result<String, IndexError> {
    let all = 0..u64::MAX;
    let mut check = |candidate: trailseal_index::Candidate| {
        ControlFlow::Continue(matching[candidate.index.get() as usize])
    };
    let mut found = Vec::new();
    view.candidates(filter, Order::OLDEST_RECORDED, all.clone(), &mut |candidate| {
        assert_eq!(
            (candidate.place.segment.get(), candidate.place.offset),
            Model::place(candidate.index.get())
        );
        if matching[candidate.index.get() as usize] {
            found.push(candidate.index.get());
        }
        ControlFlow::Continue(())
    })?;
    let count = view.count(filter, all.clone(), &mut check)?;
    let facets = [FacetField::Action, FacetField::Actor, FacetField::Outcome]
        .map(|field| view.facets(filter, all.clone(), field, 1_000, &mut check));
    let facets = facets.into_iter().collect::<Result<Vec<_>, _>>()?;
    let histogram = view.histogram(filter, all, 60_000_000, &mut check)?;
    Ok(format!("{} {found:?} {count:?} {facets:?} {histogram:?}", view.cursor().get()))
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// Calls `look` after each of many flips, one at a time, of every file in the folder.
fn flip(folder: &Path, flips: usize, mut look: impl FnMut(&str)) {
    let mut random = Random(42);
    for path in files_in(folder) {
        let bytes = std::fs::read(&path).unwrap();
        for number in 0..flips {
            let mut damaged = bytes.clone();
            // Half of them where something is: much of so small an index is empty pages.
            let mut at = random.below(bytes.len());
            if number % 2 == 0 {
                at = (at..bytes.len()).find(|at| bytes[*at] != 0).unwrap_or(at);
            }
            damaged[at] ^= 1 << random.below(8);
            std::fs::write(&path, damaged).unwrap();
            look(&format!("{}, byte {at}", path.display()));
        }
        std::fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn a_view_says_what_it_said_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut model = Model::default();
    for number in 0..4_500 {
        model.push(&event(number), if number.is_multiple_of(40) { 1 } else { 255 });
    }
    let mut indexer = Indexer::open(folder, options(2_000)).unwrap();
    while indexer.position().unwrap().cursor.get() < 4_500 {
        model.deliver(&mut indexer, 500).unwrap();
    }
    drop(indexer);
    assert_eq!(files_in(folder).len(), 3, "two closed ranges and the main file");
    let mut undamaged = view(folder);
    let asked: Vec<(Filter, Vec<bool>, String)> = filters()
        .into_iter()
        .map(|filter| {
            let matching: Vec<bool> = (0..4_500).map(|index| model.accepts(&filter, index)).collect();
            let wanted = answers(&mut undamaged, &matching, &filter).unwrap();
            (filter, matching, wanted)
        })
        .collect();
    let (mut same, mut refused, mut number) = (0, 0, 0);
    flip(folder, FLIPS, |place| {
        let Ok(Some(mut view)) = IndexView::open(folder, ORIGIN) else {
            refused += 1;
            return;
        };
        number += 1;
        for (filter, matching, wanted) in [0, 3, 5, 11].map(|step| &asked[(number + step) % asked.len()]) {
            match answers(&mut view, matching, filter) {
                Ok(found) => {
                    same += 1;
                    assert!(found == *wanted, "{place}: {filter:?} gives {found}, and not {wanted}");
                }
                Err(_) => refused += 1,
            }
        }
    });
    assert!(same > 200 && refused > 80, "{same} the same, {refused} refused");
}

/// Puts all of the trail in `folder` into its index.
fn index(folder: &Path) {
    let reader = Reader::open(folder, Arc::new(StdFiles)).unwrap();
    let options = IndexOptions { range_events: 1_000, ..IndexOptions::new(reader.origin()) };
    let mut indexer = Indexer::open(folder.join(FOLDER), options).unwrap();
    let mut follower = Follower::new(Folder::new(folder, Arc::new(StdFiles)), Index::new(0)).unwrap();
    let mut lines = Lines::default();
    while follower.next() < reader.end() {
        lines.clear();
        let first = follower.next();
        follower.read(reader.end(), 500, 1 << 20, &mut lines).unwrap();
        indexer.deliver(&Batch { first, lines: &lines.as_batch_lines() }).unwrap();
    }
}

/// Queries, counts, summaries and histories.
fn searched(search: &mut Search, filter: &Filter) -> String {
    let mut hits = Vec::new();
    search
        .each(filter, Order::NEWEST_RECORDED, None, &mut |hit| {
            hits.push(hit.index.get());
            ControlFlow::Continue(())
        })
        .unwrap();
    let count = search.count(filter).unwrap();
    let summary = search.summary(filter, 50, Some(Duration::from_secs(60))).unwrap();
    format!("{hits:?} {count} {summary:?}")
}

#[test]
fn a_search_says_what_the_lines_say_and_tells_of_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let trail = Trail::open(folder, Options::default()).unwrap();
    (0..2_500).for_each(|number| drop(trail.record(&event(number)).unwrap()));
    trail.close(Duration::from_secs(60)).unwrap();
    let filters = filters();
    let open = || Search::open(folder, Arc::new(StdFiles)).unwrap();
    // By the lines alone.
    let wanted: Vec<String> = filters.iter().map(|filter| searched(&mut open(), filter)).collect();
    index(folder);
    let told = Arc::new(AtomicUsize::new(0));
    let mut number = 0;
    flip(&folder.join(FOLDER), 12, |place| {
        number += 1;
        let (mut search, tell) = (open(), told.clone());
        search.tell_trouble(Arc::new(move |error| {
            assert!(error.to_string().contains("trailseal reindex"), "{error}");
            tell.fetch_add(1, Ordering::Relaxed);
        }));
        // What a damaged page costs is a scan, so not all of them each time.
        for at in [number, number + 5] {
            let (filter, wanted) = (&filters[at % filters.len()], &wanted[at % filters.len()]);
            assert_eq!(searched(&mut search, filter), *wanted, "{place}: {filter:?}");
        }
    });
    assert!(told.load(Ordering::Relaxed) > 3);
}
