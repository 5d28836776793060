//! SIGKILL at random moments of delivery and of closing a range: nothing is left out, nothing comes twice, and
//! the answers are those of the lines. Beside a running writer, too.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{BEGIN, Model, options, view};
use trailseal_core::deliver::Sink;
use trailseal_event::filter::Filter;
use trailseal_event::{Event, Outcome, Timestamp};
use trailseal_index::{IndexView, Indexer, remove};

const CHILD: &str = "TRAILSEAL_INDEX_CHILD";
const LINES: usize = 4_000;
const RANGE_EVENTS: usize = 64;
const KILLS: u64 = 60;

/// The same lines in both processes.
fn model() -> Model {
    let mut model = Model::default();
    for number in 0..LINES {
        let event = Event::new(format!("do.{}", number % 11))
            .id(format!("id-{number}"))
            .tenant(format!("t{}", number % 3))
            .actor(format!("u{}", number / 7))
            .resource("thing", format!("r{}", number % 500))
            .related("other", format!("o{}", number % 50))
            .outcome([Outcome::Success, Outcome::Denied][usize::from(number % 90 == 0)]);
        model.push(&event, (number % 256) as u8);
    }
    model
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (it ^ (it >> 31)) % end
    }
}

fn check_all(model: &Model, view: &mut IndexView) {
    for pairs in [
        &[][..],
        &[("system", "true")],
        &[("tenant", "t1"), ("outcome", "denied")],
        &[("actor", "u200")],
        &[("action", "do.1*")],
        &[("resource", "other")],
        &[("resource", "thing/r77")],
        &[("id", "id-3000"), ("id", "17")],
        &[("since", "2026-11-18T11:30:00Z"), ("until", "2026-11-18T11:40:00Z")],
    ] {
        let filter = Filter::from_pairs(pairs.iter().copied(), Timestamp::from_micros(BEGIN)).unwrap();
        model.check(view, &filter, 0..u64::MAX, 50);
        model.check(view, &filter, 900..3_100, 10);
    }
}

/// Delivers from wherever the index is, for ever; begins anew at the end.
#[test]
fn child_delivers_until_it_is_killed() {
    let Some(folder) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let model = model();
    let mut random = Random(u64::from(std::process::id()));
    println!("begins");
    loop {
        let mut indexer = Indexer::open(&folder, options(RANGE_EVENTS)).unwrap();
        while (indexer.cursor().get() as usize) < LINES {
            model.deliver(&mut indexer, 1 + random.below(30) as usize).unwrap();
        }
        drop(indexer);
        remove(&folder).unwrap();
    }
}

fn run_and_kill(folder: &Path, after: Duration) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_delivers_until_it_is_killed", "--nocapture", "--test-threads=1"])
        .env(CHILD, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"begins\n") {
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        heard.push(byte[0]);
    }
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn killed_at_any_moment_it_goes_on_where_it_was() {
    let model = model();
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("index");
    let mut random = Random(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64);
    let mut in_between = 0;
    for round in 0..KILLS {
        run_and_kill(&folder, Duration::from_micros(random.below(60_000)));
        let left = |suffix: &str| {
            let entries = std::fs::read_dir(&folder).into_iter().flatten();
            entries.filter(|entry| entry.as_ref().unwrap().path().to_string_lossy().ends_with(suffix)).count()
        };
        in_between += usize::from(left(".tmp") > 0);
        // A reader sees it as it was left.
        let Some(mut view) = IndexView::open(&folder, support::ORIGIN).unwrap() else { continue };
        let mut check = view.check();
        for line in &model.batch_lines(0..LINES) {
            check.line(line).unwrap();
        }
        assert_eq!(check.finish().unwrap(), [], "round {round}");
        if round % 6 == 0 {
            check_all(&model, &mut view);
        }
        if round % 10 == 9 {
            let mut indexer = Indexer::open(&folder, options(RANGE_EVENTS)).unwrap();
            assert_eq!(indexer.cursor(), view.cursor());
            assert_eq!(left(".tmp"), 0);
            let position = indexer.position().unwrap();
            let last = position.cursor.get().checked_sub(1);
            let leaf = last.map(|last| trailseal_tlog::leaf_hash(&model.lines[last as usize]));
            assert_eq!(position.last_leaf, leaf);
        }
    }
    println!("{in_between} of {KILLS} kills left a range half built");
}

#[test]
fn a_reader_beside_the_writer_is_never_misled() {
    let model = model();
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("index");
    let mut indexer = Indexer::open(&folder, options(RANGE_EVENTS)).unwrap();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut random = Random(7);
            while (indexer.cursor().get() as usize) < LINES {
                model.deliver(&mut indexer, 1 + random.below(30) as usize).unwrap();
            }
        });
        let mut view = view(&folder);
        loop {
            let is_last = writing.is_finished();
            let before = view.cursor();
            view.refresh().unwrap();
            assert!(before <= view.cursor());
            check_all(&model, &mut view);
            if is_last {
                assert_eq!(view.cursor().get() as usize, LINES);
                break;
            }
        }
    });
}
