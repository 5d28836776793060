//! Ids that a trail asks of its index: no event is stored twice or refused wrongly, however far the index has come and
//! whatever becomes of it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use trailseal_core::deliver::{Batch, Follower, Lines, Sink};
use trailseal_core::file::StdFiles;
use trailseal_core::{
    Folder, Notice, Options, Receipt, RecordError, RecordOptions, Status, Submission, Submitted, Submitter,
    Trail,
};
use trailseal_event::{Event, Index, held_id};
use trailseal_index::{FOLDER, IndexOptions, IndexedIds, Indexer, remove};

const ONCE: RecordOptions = RecordOptions::new().once();

const ORIGIN: &str = "example.org/ids";
const WAIT: Duration = Duration::from_secs(60);

/// An event as far as repeats go.
#[derive(Clone, Debug)]
struct Sent {
    tenant: Option<String>,
    id: String,
    action: String,
}

impl Sent {
    fn event(&self) -> Event {
        let mut event = Event::new(self.action.as_str()).id(self.id.as_str());
        event.tenant = self.tenant.clone();
        event
    }

    fn key(&self) -> (Option<String>, String) {
        (self.tenant.clone(), held_id(&self.id).into_owned())
    }
}

#[derive(Clone, Debug)]
enum Step {
    Once(Sent),
    /// Events of one request: all or none.
    Request(Vec<Sent>),
    /// An event whose id nobody looks up.
    Unchecked(Sent),
    /// The index goes on by so many events.
    Deliver(usize),
    /// Full ranges become files.
    Close,
    Reopen,
    /// The index is removed, and begins anew with the next delivery.
    Remove,
    /// The same, but its files are cut while they are open.
    Cut,
}

fn any_sent() -> impl Strategy<Value = Sent> {
    let tenant =
        prop_oneof![4 => Just(None), 2 => Just(Some("a".to_owned())), 1 => Just(Some("b".to_owned()))];
    let id = prop_oneof![
        12 => (0..60_u32).prop_map(|number| format!("id-{number}")),
        1 => Just("é\"\\日".to_owned()),
        1 => Just("x".repeat(140)),
    ];
    let action = prop_oneof![6 => Just("a"), 1 => Just("b")];
    (tenant, id, action).prop_map(|(tenant, id, action)| Sent { tenant, id, action: action.to_owned() })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => any_sent().prop_map(Step::Once),
        6 => proptest::collection::vec(any_sent(), 1..6).prop_map(Step::Request),
        3 => any_sent().prop_map(Step::Unchecked),
        12 => (1..30_usize).prop_map(Step::Deliver),
        6 => Just(Step::Close),
        2 => Just(Step::Reopen),
        1 => Just(Step::Remove),
        1 => Just(Step::Cut),
    ]
}

/// A trail, its index, and what is known to be in it.
struct World {
    folder: tempfile::TempDir,
    options: IndexOptions,
    trail: Trail,
    indexer: Option<Indexer>,
    /// First index and action by tenant and id.
    there: HashMap<(Option<String>, String), (u64, String)>,
    notices: Arc<Mutex<Vec<String>>>,
}

fn open(folder: &Path, options: &IndexOptions, notices: &Arc<Mutex<Vec<String>>>) -> Trail {
    let told = notices.clone();
    let mut trail_options = Options::default();
    trail_options.origin = Some(ORIGIN.into());
    trail_options.handoff.size_bytes = 1 << 20;
    trail_options.on_notice =
        Some(Arc::new(move |notice: &Notice| told.lock().unwrap().push(notice.to_string())));
    let trail = Trail::open(folder, trail_options).unwrap();
    trail.look_ids_up_in(Box::new(IndexedIds::new(folder.join(FOLDER), options)));
    trail
}

impl World {
    fn new(range_events: usize) -> World {
        let folder = tempfile::tempdir().unwrap();
        let options = IndexOptions { range_events, ..IndexOptions::new(ORIGIN) };
        let notices = Arc::default();
        let trail = open(folder.path(), &options, &notices);
        World { folder, options, trail, indexer: None, there: HashMap::new(), notices }
    }

    fn index(&self) -> PathBuf {
        self.folder.path().join(FOLDER)
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Once(sent) => self.once(sent),
            Step::Request(sent) => self.request(sent),
            Step::Unchecked(sent) => {
                let receipt = self.trail.record(&sent.event()).unwrap();
                let first = (receipt.index.unwrap().get(), sent.action.clone());
                self.there.entry(sent.key()).or_insert(first);
                // Until it is on disk, nobody looks for it.
                self.trail.flush(WAIT).unwrap();
            }
            Step::Deliver(count) => self.deliver(*count),
            Step::Close => {
                // A drop waits for the thread that writes the file.
                if self.indexer.take().is_some() {
                    self.indexer = Some(Indexer::open(self.index(), self.options.clone()).unwrap());
                }
            }
            Step::Reopen => {
                self.trail.close(WAIT).unwrap();
                self.trail = open(self.folder.path(), &self.options, &self.notices);
            }
            Step::Remove => {
                self.indexer = None;
                remove(self.index()).unwrap();
            }
            Step::Cut => {
                self.indexer = None;
                for entry in std::fs::read_dir(self.index()).into_iter().flatten() {
                    std::fs::File::options()
                        .write(true)
                        .open(entry.unwrap().path())
                        .unwrap()
                        .set_len(0)
                        .unwrap();
                }
                remove(self.index()).unwrap();
            }
        }
    }

    fn once(&mut self, sent: &Sent) {
        let outcome = self.trail.with(ONCE).record(&sent.event());
        let first = self.there.get(&sent.key()).map(|(first, action)| (*first, *action == sent.action));
        match (first, outcome) {
            (Some((first, true)), Ok(receipt)) => {
                assert_eq!(receipt.status, Status::Repeated { retired: false }, "{sent:?}");
                assert_eq!(receipt.index, Some(Index::new(first)), "{sent:?}");
                assert_eq!(receipt.id.as_str(), held_id(&sent.id), "{sent:?}");
            }
            (Some((first, false)), Err(RecordError::Conflict { id, index })) => {
                assert_eq!((id.as_str(), index), (&*held_id(&sent.id), Some(Index::new(first))), "{sent:?}");
            }
            (None, Ok(receipt)) if receipt.status == Status::Accepted => {
                self.there.insert(sent.key(), (receipt.index.unwrap().get(), sent.action.clone()));
            }
            (first, outcome) => panic!("{sent:?}, first recorded as {first:?}, was called {outcome:?}"),
        }
    }

    fn request(&mut self, sent: &[Sent]) {
        let mut after = self.there.clone();
        let mut is_conflict = false;
        let next = self.trail.stats().accepted;
        let (mut new, mut indexes) = (0, Vec::new());
        for one in sent {
            let (first, action) = after.entry(one.key()).or_insert_with(|| {
                new += 1;
                (next + new - 1, one.action.clone())
            });
            is_conflict |= *action != one.action;
            indexes.push(*first);
        }
        let texts: Vec<Vec<u8>> = sent.iter().map(|one| one.event().to_json()).collect();
        let events: Vec<Submitted<'_>> = texts.iter().map(|json| Submitted::json(json)).collect();
        match self.trail.record_all(Submission { events: &events, by: &Submitter::default() }) {
            Ok(receipts) => {
                let index = |receipt: &Receipt| receipt.index.unwrap().get();
                assert_eq!(receipts.iter().map(index).collect::<Vec<_>>(), indexes, "{sent:?}");
                assert!(!is_conflict, "{sent:?}");
                self.there = after;
            }
            Err(RecordError::At { source, .. }) if matches!(*source, RecordError::Conflict { .. }) => {
                assert!(is_conflict, "{sent:?}");
            }
            Err(error) => panic!("{sent:?}: {error}"),
        }
    }

    fn deliver(&mut self, count: usize) {
        let indexer = match &mut self.indexer {
            Some(indexer) => indexer,
            none => {
                none.insert(Indexer::open(self.folder.path().join(FOLDER), self.options.clone()).unwrap())
            }
        };
        let folder = Folder::new(self.folder.path(), Arc::new(StdFiles));
        let first = indexer.cursor();
        let mut follower = Follower::new(folder, first).unwrap();
        let mut lines = Lines::default();
        follower.read(self.trail.durable(), count, usize::MAX, &mut lines).unwrap();
        if !lines.is_empty() {
            indexer.deliver(&Batch { first, lines: &lines.as_batch_lines() }).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn repeats_are_those_that_a_list_of_all_events_gives(
        steps in proptest::collection::vec(any_step(), 1..150),
        range_events in 1..30_usize,
    ) {
        let mut world = World::new(range_events);
        for step in &steps {
            world.take(step);
        }
    }
}

fn sent(number: usize) -> Sent {
    Sent { tenant: None, id: format!("id-{number}"), action: "a".into() }
}

/// A trail of so many events, all in closed ranges.
fn indexed(events: usize, range_events: usize) -> World {
    let mut world = World::new(range_events);
    for number in 0..events {
        world.once(&sent(number));
    }
    world.trail.flush(WAIT).unwrap();
    // A batch is never cut, so none is larger than a range.
    for _ in 0..=events / range_events {
        world.deliver(range_events);
    }
    world.take(&Step::Close);
    world.take(&Step::Reopen);
    world
}

#[test]
fn with_many_ranges_and_look_ups_all_are_found_and_nothing_else() {
    // More ranges than are kept open, and look-ups enough for filters.
    let mut world = indexed(800, 3);
    for number in 0..1_600 {
        world.once(&sent(number));
    }
    assert_eq!(*world.notices.lock().unwrap(), [""; 0]);
}

#[test]
fn an_index_that_is_removed_while_it_is_asked_takes_nothing_back() {
    let mut world = indexed(1_000, 100);
    world.once(&sent(0));
    world.take(&Step::Remove);
    for number in 0..1_100 {
        world.once(&sent(number));
    }
    assert_eq!(*world.notices.lock().unwrap(), [""; 0]);
}

#[test]
fn an_index_that_fails_is_told_and_the_trail_is_read_instead() {
    // More ranges than are kept open: that of an event among the last is opened when it is asked.
    let mut world = indexed(800, 3);
    world.once(&sent(0));
    world.take(&Step::Cut);
    for number in 0..900 {
        world.once(&sent(number));
    }
    let notices = world.notices.lock().unwrap().clone();
    assert!(notices.len() == 1 && notices[0].contains("not used for id look-ups"), "{notices:?}");
}

#[test]
fn an_index_of_another_state_of_the_trail_is_not_believed() {
    let [mut one, mut other] = [World::new(4), World::new(4)];
    for number in 0..40 {
        one.once(&sent(number));
        other.once(&sent(100 + number));
    }
    one.trail.flush(WAIT).unwrap();
    other.trail.flush(WAIT).unwrap();
    one.deliver(usize::MAX);
    one.take(&Step::Close);
    one.indexer = None;
    other.take(&Step::Reopen);
    std::fs::rename(one.index(), other.index()).unwrap();
    for number in 0..140 {
        other.once(&sent(number));
    }
    let notices = other.notices.lock().unwrap().clone();
    assert!(notices.len() == 1 && notices[0].contains("another state"), "{notices:?}");
}
