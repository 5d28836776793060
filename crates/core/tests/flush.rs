//! A flush or a seal that did not reach its end says why.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use std::error::Error as _;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::hooked::hooked;
use support::{SOON, options};
use trailseal_core::{FlushError, RecordError, SealError, Trail};
use trailseal_event::Event;

const SHORT: Duration = Duration::from_millis(20);

/// A trail whose disk fails, with this word, at what `fails` names while the flag is set.
fn open(dir: &Path, fails: impl Fn(&str, &Path) -> bool + Send + Sync + 'static) -> (Trail, Arc<AtomicBool>) {
    let (mut options, is_failing) = (options(), Arc::<AtomicBool>::default());
    let flag = is_failing.clone();
    options.seal_every = Duration::from_secs(3_600);
    options.files = hooked(move |what, path| match flag.load(Ordering::SeqCst) && fails(what, path) {
        true => Err(io::Error::other("the cable is out")),
        false => Ok(()),
    });
    (Trail::open(dir, options).unwrap(), is_failing)
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_flush_that_took_too_long_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (mut options, hangs) = (options(), Arc::default());
    options.files = support::hooked::hanging(&hangs);
    let trail = Trail::open(dir.path(), options).unwrap();
    trail.flush(SOON).unwrap();
    hangs.store(true, Ordering::SeqCst);
    trail.record(&Event::new("a")).unwrap();
    trail.record(&Event::new("b")).unwrap();
    let why = trail.flush(SHORT).unwrap_err();
    assert!(matches!(why, FlushError::TimedOut { waited, not_durable: 2 } if waited >= SHORT), "{why:?}");
    let why = trail.seal(SHORT).unwrap_err();
    assert!(matches!(why, SealError::NotDurable(FlushError::TimedOut { not_durable: 2, .. })), "{why:?}");
    hangs.store(false, Ordering::SeqCst);
    trail.seal(SOON).unwrap();
    trail.close(SOON).unwrap();
    trail.seal(Duration::ZERO).unwrap();
}

#[test]
fn a_flush_to_a_failing_disk_has_the_disks_word_and_does_not_wait_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let segment = |path: &Path| path.extension().is_some_and(|extension| extension == "jsonl");
    let (trail, is_failing) = open(dir.path(), move |what, path| what == "sync" && segment(path));
    is_failing.store(true, Ordering::SeqCst);
    trail.record(&Event::new("a")).unwrap();
    // For ever, were it not told at once.
    let why = trail.flush(Duration::MAX).unwrap_err();
    assert!(matches!(why, FlushError::DiskFailing { not_durable: 1, .. }), "{why:?}");
    assert_eq!(why.source().unwrap().to_string(), "the cable is out");
    // And the next event is refused for the same reason.
    let refused = trail.record(&Event::new("b")).unwrap_err();
    assert!(matches!(refused, RecordError::DiskFailing { .. }), "{refused:?}");
    assert_eq!(refused.source().unwrap().to_string(), "the cable is out");
    is_failing.store(false, Ordering::SeqCst);
    eventually("it is on disk", || trail.flush(SOON).ok());
    trail.close(SOON).unwrap();
}

#[test]
fn a_seal_that_fails_has_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (trail, is_failing) =
        open(dir.path(), |what, path| what == "replace" && path.ends_with("checkpoint"));
    trail.seal(SOON).unwrap();
    is_failing.store(true, Ordering::SeqCst);
    trail.record(&Event::new("a")).unwrap();
    let why = eventually("sealing has failed", || match trail.seal(SHORT).unwrap_err() {
        SealError::TimedOut { not_sealed: 1, .. } | SealError::NotDurable(FlushError::TimedOut { .. }) => {
            None
        }
        why => Some(why),
    });
    let SealError::Failing { not_sealed: 1, trouble } = &why else { panic!("{why:?}") };
    assert!(trouble.reason.contains("the cable is out"), "{}", trouble.reason);
    assert!(why.to_string().contains("the cable is out"), "{why}");
    // Nor after the close, when there is nobody left to wait for.
    let closed = trail.close(SOON).unwrap();
    assert_eq!(closed.events - closed.sealed, 2, "the event, and that of the close");
    let why = trail.seal(Duration::MAX).unwrap_err();
    assert!(matches!(why, SealError::Failing { not_sealed: 2, .. }), "{why:?}");
}
