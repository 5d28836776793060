//! Every answer of the index is what looking at every line gives: while it is written, after reopening at any
//! point, and after it was built anew.

#![allow(clippy::unwrap_used)]

mod support;

use proptest::prelude::*;
use support::{BEGIN, Model, any_event, any_filter, narrow_options, options, view};
use trailseal_core::deliver::Sink;
use trailseal_event::filter::Filter;
use trailseal_event::{Event, Timestamp};
use trailseal_index::{Indexer, remove};

#[derive(Clone, Debug)]
enum Step {
    Deliver(usize),
    Reopen,
    Rebuild,
    Idle,
    /// A view that was open all the time.
    Refresh,
    /// A new view.
    Open,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (1..60_usize).prop_map(Step::Deliver),
        4 => Just(Step::Deliver(1)),
        2 => Just(Step::Reopen),
        1 => Just(Step::Rebuild),
        1 => Just(Step::Idle),
        4 => Just(Step::Refresh),
        2 => Just(Step::Open),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn answers_are_those_of_the_lines(
        events in proptest::collection::vec((any_event(), any::<u8>()), 1..260),
        steps in proptest::collection::vec(any_step(), 1..40),
        filters in proptest::collection::vec((any_filter(), 0..260_u64, 0..260_u64, 1..60_usize), 1..8),
        range_events in 1..100_usize,
        dictionary_values_max in prop_oneof![3 => Just(250_000_usize), 1 => 0..12_usize],
    ) {
        let options = || narrow_options(range_events, dictionary_values_max);
        let mut model = Model { has_others: dictionary_values_max < 250_000, ..Model::default() };
        for (event, special) in &events {
            model.push(event, *special);
        }
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("index");
        let mut indexer = Indexer::open(&folder, options()).unwrap();
        let mut open = view(&folder);
        let mut filters = filters.iter().cycle();
        for step in steps {
            let (filter, from, to, limit) = filters.next().unwrap();
            let was_rebuilt = matches!(step, Step::Rebuild);
            match step {
                Step::Deliver(count) => model.deliver(&mut indexer, count).unwrap(),
                Step::Idle => indexer.idle().unwrap(),
                Step::Reopen => {
                    drop(indexer);
                    indexer = Indexer::open(&folder, options()).unwrap();
                }
                Step::Rebuild => {
                    drop(indexer);
                    remove(&folder).unwrap();
                    prop_assert!(!folder.exists());
                    indexer = Indexer::open(&folder, options()).unwrap();
                }
                Step::Refresh => {
                    open.refresh().unwrap();
                    prop_assert_eq!(open.cursor(), indexer.cursor());
                    model.check(&mut open, filter, *from..*to, *limit);
                }
                Step::Open => model.check(&mut view(&folder), filter, 0..u64::MAX, *limit),
            }
            if was_rebuilt {
                open.refresh().unwrap();
            }
            // What it saw before is still there, until it looks again.
            model.check(&mut open, filter, *from..*to, *limit);
        }
        open.refresh().unwrap();
        let mut check = open.check();
        for line in &model.batch_lines(0..model.lines.len()) {
            check.line(line).unwrap();
        }
        prop_assert_eq!(check.finish().unwrap(), []);
        for (filter, from, to, limit) in filters.take(8) {
            model.check(&mut open, filter, *from..*to, *limit);
        }
    }
}

/// Ranges of many blocks, spans and buckets, and posting lists of both forms.
#[test]
fn large_ranges_answer_as_the_lines_do() {
    let mut model = Model::default();
    for number in 0..14_000_i64 {
        let event = Event::new(["a", "b"][usize::from(number % 9_500 > 9_000)])
            .id(format!("i{number}"))
            .tenant(format!("t{}", number % 5))
            .actor(format!("u{}", number % 997))
            // Now and then far from those around it.
            .time(Timestamp::from_micros(BEGIN + number * 1_000_000 - number % 7 * 40_000_000));
        model.push(&event, if number % 3_000 == 17 { 0 } else { 255 });
    }
    let folder = tempfile::tempdir().unwrap();
    let mut indexer = Indexer::open(folder.path(), options(6_000)).unwrap();
    while (indexer.cursor().get() as usize) < model.lines.len() {
        model.deliver(&mut indexer, 999).unwrap();
    }
    let mut view = view(folder.path());
    let at = |seconds: i64| Timestamp::from_micros(BEGIN + seconds * 1_000_000).to_string();
    let (from, to, late) = (at(1_500), at(4_700), at(9_000));
    for pairs in [
        &[("tenant", "t1")][..],
        &[("tenant", "t1"), ("actor", "u7")],
        &[("action", "b"), ("system", "true")],
        &[("since", &from), ("until", &to)],
        &[("since", &from), ("until", &to), ("tenant", "t3"), ("tenant", "t4")],
        &[("since", &late), ("action", "?")],
        &[("id", "i4096"), ("id", "i5999"), ("id", "i6000"), ("id", "i13999"), ("id", "i14000")],
    ] {
        let filter = Filter::from_pairs(pairs.iter().copied(), Timestamp::from_micros(BEGIN)).unwrap();
        model.check(&mut view, &filter, 0..u64::MAX, 50);
        model.check(&mut view, &filter, 1_020..9_999, 4);
    }
}
