//! *one writer*, by a lock that removing a file does not give up, and that does not outlive its holder in a forked
//! child. And what is watched where inode numbers do not hold.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what is wrong by panicking, and forks"
)]

use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use trailseal_core::file::{AppendFile, Files, ReadFile, StdFiles, UpdateFile};
use trailseal_core::{Ack, Notice, OpenError, Options, RecordOptions, Trail};
use trailseal_event::Event;

const CHILD: &str = "TRAILSEAL_TEST_GUARD_CHILD";
const LONG: Duration = Duration::from_secs(60);
/// For what must get there, however long a busy machine takes.
const DURABLE: RecordOptions = RecordOptions::new().ack(Ack::Durable).timeout(LONG);

fn options() -> Options {
    let mut options = Options::default();
    options.handoff.size_bytes = 1 << 20;
    options.disk_reserve_bytes = Some(0);
    options
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn pid_of_holder(opened: Result<Trail, OpenError>) -> Option<u32> {
    match opened {
        Err(OpenError::Locked { holder, .. }) => holder.pid,
        other => panic!("{:?}", other.map(|_| ())),
    }
}

#[test]
fn the_same_process_is_refused_too_when_the_lock_file_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let trail = Trail::open(folder.path(), options()).unwrap();
    for _ in 0..3 {
        std::fs::remove_file(folder.path().join("lock")).unwrap();
        // As readers and the sealer do: closing a POSIX record lock's file would give that up.
        drop(std::fs::File::open(folder.path().join("tree/0")).unwrap());
        assert_eq!(pid_of_holder(Trail::open(folder.path(), options())), Some(std::process::id()));
        until("the lock file", || folder.path().join("lock").exists());
    }
    trail.close(LONG).unwrap();
    Trail::open(folder.path(), options()).unwrap().close(LONG).unwrap();
}

/// The child's work: opens the trail, forks, and waits to be killed. Nothing when the suite runs it as a test.
#[test]
fn child_forks_and_waits() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let _trail = Trail::open(Path::new(&dir), options()).unwrap();
    // SAFETY: the grandchild does nothing but wait, until it is killed.
    let grandchild = unsafe { libc::fork() };
    if grandchild != 0 {
        println!("\nforked {grandchild}");
    }
    loop {
        std::thread::sleep(LONG);
    }
}

#[test]
fn a_killed_writers_forked_child_does_not_hold_the_trail() {
    if std::env::var(CHILD).is_ok() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_forks_and_waits", "--nocapture", "--test-threads=1"])
        .env(CHILD, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let forked = lines.find_map(|line| line.unwrap().strip_prefix("forked ")?.parse::<i32>().ok());
    let grandchild = rustix::process::Pid::from_raw(forked.unwrap()).unwrap();
    assert_eq!(pid_of_holder(Trail::open(folder.path(), options())), Some(child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    // The forked child lets go when it first runs, which may be after the kill.
    let opening = Instant::now();
    let opened = loop {
        match Trail::open(folder.path(), options()) {
            Err(OpenError::Locked { .. }) if opening.elapsed() < LONG => {
                std::thread::sleep(Duration::from_millis(5))
            }
            opened => break opened,
        }
    };
    rustix::process::kill_process(grandchild, rustix::process::Signal::KILL).unwrap();
    opened.unwrap().close(LONG).unwrap();
}

/// The system's files, on a file system whose inode numbers do not hold.
struct Shifting;

impl Files for Shifting {
    fn create_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        StdFiles.create_append(path)
    }
    fn open_append(&self, path: &Path, at: u64) -> io::Result<Box<dyn AppendFile>> {
        StdFiles.open_append(path, at)
    }
    fn open_update(&self, path: &Path) -> io::Result<Box<dyn UpdateFile>> {
        StdFiles.open_update(path)
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        StdFiles.open_read(path)
    }
    fn read(&self, path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
        StdFiles.read(path, len_max)
    }
    fn replace(&self, path: &Path, bytes: &[u8], private: bool) -> io::Result<()> {
        StdFiles.replace(path, bytes, private)
    }
    fn append_to(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        StdFiles.append_to(path, bytes)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        StdFiles.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        StdFiles.remove(path)
    }
    fn remove_durably(&self, path: &Path) -> io::Result<()> {
        StdFiles.remove_durably(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        StdFiles.create_folder(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        StdFiles.list(folder)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<(u64, u64)> {
        StdFiles.free_bytes(path)
    }
    fn inode_numbers_hold(&self, _folder: &Path) -> io::Result<bool> {
        Ok(false)
    }
}

#[test]
fn where_inode_numbers_do_not_hold_that_is_told_and_removed_files_are_noticed_still() {
    let folder = tempfile::tempdir().unwrap();
    let notices: Arc<Mutex<Vec<Notice>>> = Arc::default();
    let mut options = options();
    options.files = Arc::new(Shifting);
    let told = notices.clone();
    options.on_notice = Some(Arc::new(move |notice: &Notice| told.lock().unwrap().push(notice.clone())));
    let trail = Trail::open(folder.path(), options).unwrap();
    let path: PathBuf = folder.path().into();
    assert!(notices.lock().unwrap().contains(&Notice::InodeNumbersChange { path }));
    trail.with(DURABLE).record(&Event::new("before")).unwrap();
    for (name, what) in
        [("lock", "lock"), ("handoff", "handoff"), ("segments/00000000000000000000.jsonl", "segment")]
    {
        notices.lock().unwrap().clear();
        std::fs::remove_file(folder.path().join(name)).unwrap();
        until(what, || {
            notices.lock().unwrap().iter().any(|notice| {
                matches!(
                    (what, notice),
                    ("lock", Notice::LockPutBack { .. })
                        | ("handoff", Notice::HandoffRemade { .. })
                        | ("segment", Notice::SegmentReplaced { .. })
                )
            })
        });
    }
    drop(trail);
}
