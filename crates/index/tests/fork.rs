//! A process forks while its threads are inside SQLite: the child can use an index of its own.
#![allow(clippy::unwrap_used, unsafe_code)]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::{Model, options};
use trailseal_event::Event;
use trailseal_index::{Indexer, remove};

const FORKS: usize = 150;
const CHILD_TIME: Duration = Duration::from_secs(120);

fn model() -> Model {
    let mut model = Model::default();
    for number in 0..200 {
        let event = Event::new("do").id(format!("id-{number}")).actor(format!("u{}", number % 20));
        model.push(&event, 200);
    }
    model
}

fn index(model: &Model, folder: &Path) {
    let mut indexer = Indexer::open(folder, options(16)).unwrap();
    model.deliver(&mut indexer, model.lines.len()).unwrap();
    drop(indexer);
    remove(folder).unwrap();
}

#[test]
fn a_child_of_a_process_whose_threads_index_has_an_index_of_its_own() {
    let temporary = tempfile::tempdir().unwrap();
    let (model, is_over) = (model(), AtomicBool::new(false));
    index(&model, &temporary.path().join("first"));
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (model, is_over) = (&model, &is_over);
            let folder = temporary.path().join(thread.to_string());
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    index(model, &folder);
                }
            });
        }
        let children =
            (0..FORKS).map(|child| fork_and_index(&model, &temporary.path().join(format!("c{child}"))));
        let ended = children.filter(|&is_good| is_good).count();
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(ended, FORKS);
    });
}

/// Whether the child ended well.
fn fork_and_index(model: &Model, folder: &Path) -> bool {
    // SAFETY: the child uses what was made for children (SQLite, the allocator of the C library), and ends without
    // returning.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let result = std::panic::catch_unwind(|| index(model, folder));
        // SAFETY: it ends the child at once.
        unsafe { libc::_exit(i32::from(result.is_err())) };
    }
    assert!(child > 0);
    let (begun, mut status) = (Instant::now(), 0);
    // SAFETY: a child of this process, and an integer of this function.
    while unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == 0 {
        if begun.elapsed() > CHILD_TIME {
            // SAFETY: as above.
            unsafe {
                libc::kill(child, libc::SIGKILL);
                libc::waitpid(child, &mut status, 0);
            }
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    status == 0
}
