//! A trail on a file system in memory, of which every operation can fail.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use trailseal_core::file::Files;
use trailseal_core::{HandoffPlace, Options, Roll};
use trailseal_testkit::check::check_trail;
use trailseal_testkit::fault::FaultFiles;

/// The lock is taken on a real file; everything else is in memory, under the same path.
pub fn dir() -> &'static Path {
    static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
    FOLDER.path()
}

pub fn options(files: &FaultFiles, roll_bytes: u64) -> Options {
    let mut options = Options::default();
    options.files = Arc::new(files.clone());
    options.handoff.place = HandoffPlace::Memory;
    options.handoff.size_bytes = 1 << 20;
    options.segment.roll = Roll::Bytes(roll_bytes);
    options.seal_every = Duration::from_millis(1);
    options.disk_reserve_bytes = Some(0);
    options
}

/// Checks the whole trail: it is sealed to its end, and holds what was acknowledged. If not, says when that was.
#[track_caller]
pub fn holds(files: FaultFiles, acknowledged: &[(u64, String)], when: &str) {
    let files: Arc<dyn Files> = Arc::new(files);
    match catch_unwind(AssertUnwindSafe(|| check_trail(dir(), &files, acknowledged))) {
        Ok(checked) => assert_eq!(checked.sealed, checked.lines.len() as u64, "{when}"),
        Err(panic) => {
            println!("{when}");
            resume_unwind(panic);
        }
    }
}
