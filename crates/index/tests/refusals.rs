//! What is refused, what is noticed, and who may read the files.

#![allow(clippy::unwrap_used)]

mod support;

use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;
use support::{Model, ORIGIN, any_filter, options, view};
use trailseal_core::deliver::{Batch, Sink, SinkError};
use trailseal_event::filter::Filter;
use trailseal_event::{Event, Index};
use trailseal_index::{FacetField, IndexError, IndexOptions, IndexView, Indexer, Order};

fn model(events: usize) -> Model {
    let mut model = Model::default();
    for number in 0..events {
        let event = Event::new("a.b").id(format!("i{number}")).actor(format!("u{}", number % 7)).tenant("t");
        model.push(&event.resource("kind", format!("r{number}")), 255);
    }
    model
}

/// An index of 100 events in ranges of 30.
fn indexed(folder: &Path) -> Model {
    let model = model(100);
    let mut indexer = Indexer::open(folder, options(30)).unwrap();
    for _ in 0..10 {
        model.deliver(&mut indexer, 10).unwrap();
    }
    model
}

#[test]
fn a_batch_that_does_not_begin_at_the_cursor_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(20);
    let mut indexer = Indexer::open(folder.path().join("index"), options(30)).unwrap();
    model.deliver(&mut indexer, 10).unwrap();
    for first in [0, 9, 11] {
        let lines = model.batch_lines(first..first + 1);
        let error = indexer.deliver(&Batch { first: Index::new(first as u64), lines: &lines }).unwrap_err();
        assert!(matches!(error, SinkError::Gap { cursor, .. } if cursor == Index::new(10)), "{error}");
    }
    let position = indexer.position().unwrap();
    assert_eq!(position.cursor, Index::new(10));
    assert_eq!(position.last_leaf, Some(trailseal_tlog::leaf_hash(&model.lines[9])));
}

#[test]
fn the_index_of_another_trail_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    indexed(folder.path());
    let error = Indexer::open(folder.path(), IndexOptions::new("example.org/other")).err().unwrap();
    assert!(matches!(error, IndexError::Foreign { .. }));
    assert!(error.to_string().ends_with("run `trailseal reindex`"), "{error}");
    assert!(IndexView::open(folder.path(), "example.org/other").is_err());
    assert!(IndexView::open(folder.path(), ORIGIN).is_ok());
}

#[test]
fn there_is_no_index_before_the_first() {
    let folder = tempfile::tempdir().unwrap();
    assert!(IndexView::open(folder.path().join("index"), ORIGIN).unwrap().is_none());
}

#[test]
fn a_damaged_file_is_said_to_be_so() {
    for (name, at) in [("main.db", 0), ("main.db", 20), ("r0.db", 0), ("r0.db", 4_100)] {
        let folder = tempfile::tempdir().unwrap();
        indexed(folder.path());
        let path = folder.path().join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at..].fill(0xa5);
        std::fs::write(&path, bytes).unwrap();
        let counted = IndexView::open(folder.path(), ORIGIN).and_then(|view| {
            let filter = Filter { tenant: vec!["t".into()], ..Filter::default() };
            view.unwrap().count(&filter, 0..20, &mut |_| ControlFlow::Break(()))
        });
        let error = counted.unwrap_err();
        assert!(error.needs_reindex(), "{name} from {at}: {error:?}");
        assert!(error.to_string().contains("trailseal reindex"), "{error}");
    }
}

#[test]
fn only_the_owner_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("index");
    let model = indexed(&folder);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    // While it is written, with the files that SQLite makes beside it.
    let mut indexer = Indexer::open(&folder, options(30)).unwrap();
    model.deliver(&mut indexer, 1).unwrap();
    assert_eq!(mode(&folder), 0o700);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn it_says_what_the_lines_say() {
    let folder = tempfile::tempdir().unwrap();
    let model = indexed(folder.path());
    let differing = |change: &dyn Fn(&mut Model), places_from: usize| {
        let mut model = model.clone();
        change(&mut model);
        let mut view = view(folder.path());
        let mut check = view.check();
        let mut lines = model.batch_lines(0..model.lines.len());
        for line in lines.iter_mut().skip(places_from) {
            line.offset += 1;
        }
        lines.iter().for_each(|line| check.line(line).unwrap());
        let differing = check.finish().unwrap();
        differing.into_iter().map(|range| (range.start, range.end)).collect::<Vec<_>>()
    };
    assert_eq!(differing(&|_| (), 100), []);
    let at = |number: usize| {
        move |model: &mut Model| {
            let text = String::from_utf8(model.lines[number].clone()).unwrap();
            model.lines[number] = text.replace("\"u", "\"v").into_bytes();
        }
    };
    assert_eq!(differing(&at(0), 100), [(0, 30)]);
    assert_eq!(differing(&at(59), 100), [(30, 60)]);
    assert_eq!(differing(&at(95), 100), [(95, 96)]);
    assert_eq!(differing(&|model| model.lines[31] = b"x".to_vec(), 100), [(30, 60)]);
    let key = |model: &mut Model| {
        let text = String::from_utf8(model.lines[97].clone()).unwrap();
        model.lines[97] = text.replace("i97", "i98").into_bytes();
    };
    assert_eq!(differing(&key, 100), [(90, 100)]);
    assert_eq!(differing(&|_| (), 99), [(99, 100)]);
    assert_eq!(differing(&|_| (), 60), [(60, 100)]);
    assert_eq!(differing(&|model| model.lines.truncate(70), 100), [(70, 100)]);
}

#[test]
fn a_range_that_cannot_be_closed_is_closed_later() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("index");
    let model = model(100);
    let mut indexer = Indexer::open(&folder, options(30)).unwrap();
    // A folder stands where the range is to be built.
    std::fs::create_dir(folder.join("r0.db.tmp")).unwrap();
    let refused = (0..200).filter(|_| model.deliver(&mut indexer, 1).is_err()).count();
    let cursor = indexer.position().unwrap().cursor.get();
    assert!(refused > 0 && (30..=60).contains(&cursor), "{refused} refused, {cursor} stored");
    std::fs::remove_dir(folder.join("r0.db.tmp")).unwrap();
    while indexer.position().unwrap().cursor.get() < 100 {
        // The first may meet what failed before.
        let _ = model.deliver(&mut indexer, 10);
    }
    drop(indexer);
    assert!(folder.join("r0.db").exists());
    let filter = Filter { tenant: vec!["t".into()], ..Filter::default() };
    model.check(&mut view(&folder), &filter, 0..u64::MAX, 50);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Bytes of any file changed: the answer may be wrong, but there is one, or an error.
    #[test]
    fn damage_never_panics(
        damage in proptest::collection::vec((0..5_usize, any::<prop::sample::Index>(), any::<u8>()), 1..12),
        filter in any_filter(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let model = indexed(folder.path());
        for (file, at, byte) in damage {
            let path = folder.path().join(["main.db", "r0.db", "r30.db", "r60.db", "main.db"][file]);
            let mut bytes = std::fs::read(&path).unwrap();
            // Much of so small an index is empty pages.
            let at = at.index(bytes.len());
            let at = bytes[at..].iter().position(|byte| *byte != 0).map_or(at, |more| at + more);
            bytes[at] = byte;
            std::fs::write(&path, bytes).unwrap();
        }
        let _ = Indexer::open(folder.path(), options(30)).map(|mut indexer| model.deliver(&mut indexer, 10));
        let Ok(Some(mut view)) = IndexView::open(folder.path(), ORIGIN) else { return Ok(()) };
        let mut check = |_| ControlFlow::Continue(true);
        let _ = view.candidates(&filter, Order::NEWEST_RECORDED, 0..u64::MAX, &mut |_| ControlFlow::Continue(()));
        let _ = view.count(&filter, 0..u64::MAX, &mut check);
        for field in [FacetField::Actor, FacetField::ResourceType, FacetField::Outcome] {
            let _ = view.facets(&filter, 5..95, field, 10, &mut check);
        }
        let _ = view.facets(&Default::default(), 0..100, FacetField::Action, 10, &mut check);
        let _ = view.histogram(&filter, 3..95, 1_000_000, &mut check);
        let mut check = view.check();
        for line in &model.batch_lines(0..100) {
            let _ = check.line(line);
        }
        let _ = check.finish();
    }
}
