//! The thread that compresses closed segments, if the settings ask for it.
//!
//! It compresses only segments that a signed checkpoint covers completely: recovery reads the others, and plain files
//! are faster to recover from. Only the close waits for this thread.

use std::io::ErrorKind::NotFound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use trailseal_event::Index;

use crate::log_state::Log;
use crate::notice::Notice;
use crate::segment::{Form, compress};

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The running thread.
pub(crate) struct Compressor {
    thread: JoinHandle<()>,
    may_end: Arc<AtomicBool>,
}

impl Compressor {
    /// Starts the thread, which keeps `lock` until it ends.
    pub(crate) fn start<L: Send + Sync + 'static>(log: Arc<Log>, lock: Arc<L>) -> std::io::Result<Self> {
        let may_end = Arc::new(AtomicBool::new(false));
        let ended = may_end.clone();
        let thread = std::thread::Builder::new().name("trailseal-compressor".into()).spawn(move || {
            let _held = lock;
            run(&log, &ended);
        })?;
        Ok(Compressor { thread, may_end })
    }

    /// Lets it compress what there is and then end.
    pub(crate) fn finish(&self) {
        self.may_end.store(true, Ordering::Release);
        self.thread.thread().unpark();
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

fn run(log: &Log, may_end: &AtomicBool) {
    loop {
        // Read before the work, so that what was sealed at the close is also compressed.
        let is_last = may_end.load(Ordering::Acquire);
        if let Err(error) = compress_sealed(log) {
            log.notice(&Notice::CompressFailed { reason: error.to_string() });
        }
        if is_last {
            return;
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}

fn compress_sealed(log: &Log) -> std::io::Result<()> {
    let sealed = Index::new(log.progress.sealed());
    for segment in log.folder.segments()? {
        let is_sealed = segment.end.is_some_and(|end| end <= sealed);
        if log.is_disk_low() {
            break;
        }
        if is_sealed && segment.form == Form::Plain && segment.end != Some(segment.first) {
            let _rewriting = log.rewriting.lock().unwrap_or_else(PoisonError::into_inner);
            // A retirement may have left nothing of it.
            if matches!(log.folder.files().open_read(&segment.path), Err(error) if error.kind() == NotFound) {
                continue;
            }
            compress(log.folder.files(), &segment)?;
        }
    }
    Ok(())
}
