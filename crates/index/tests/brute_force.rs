//! Every answer of the index is what looking at every line gives: while it is written, after reopening at any
//! point, and after it was built anew.

mod support;

use proptest::prelude::*;
use support::{Model, any_event, any_filter, options, view};
use trailseal_core::deliver::Sink;
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
    ) {
        let mut model = Model::default();
        for (event, special) in &events {
            model.push(event, *special);
        }
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("index");
        let mut indexer = Indexer::open(&folder, options(range_events)).unwrap();
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
                    indexer = Indexer::open(&folder, options(range_events)).unwrap();
                }
                Step::Rebuild => {
                    drop(indexer);
                    remove(&folder).unwrap();
                    prop_assert!(!folder.exists());
                    indexer = Indexer::open(&folder, options(range_events)).unwrap();
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
        for (filter, from, to, limit) in filters.take(8) {
            model.check(&mut open, filter, *from..*to, *limit);
        }
    }
}
