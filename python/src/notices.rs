//! What an operator should know, on its way from the threads of the trail to `logging`.
//!
//! Those threads never attach to the interpreter. They leave a text here, and ask the interpreter's main thread to look.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use pyo3::prelude::*;
use trailseal_core::{Notice, OnNotice, RecordError, fork};

use crate::failures::with_causes;

/// Of more, the oldest go.
const KEPT_MAX: usize = 256;

/// The texts of one process: a thread of the trail may hold the lock at a fork.
struct Waiting {
    fork: u32,
    texts: Mutex<VecDeque<String>>,
}

static WAITING: LazyLock<ArcSwap<Waiting>> = LazyLock::new(|| ArcSwap::from_pointee(Waiting::new()));
/// Set while somebody was asked to look.
static IS_ASKED: AtomicBool = AtomicBool::new(false);
/// Set when the interpreter ends: then texts go to stderr.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

impl Waiting {
    fn new() -> Waiting {
        Waiting { fork: fork::generation(), texts: Mutex::default() }
    }

    /// That of this process.
    fn here() -> Arc<Waiting> {
        loop {
            let waiting = WAITING.load_full();
            if waiting.fork == fork::generation() {
                return waiting;
            }
            WAITING.compare_and_swap(&waiting, Arc::new(Waiting::new()));
        }
    }

    fn texts(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For the options of a trail.
pub(crate) fn on_notice() -> OnNotice {
    Arc::new(|notice: &Notice| leave(notice.to_string()))
}

/// From now on the interpreter is not asked any more.
pub(crate) fn end() {
    IS_ENDING.store(true, Ordering::SeqCst);
}

/// Makes what is made at first use: whoever forks meanwhile would wait for it for ever.
pub(crate) fn prepare() {
    drop(Waiting::here());
}

/// After a fork, nobody else's request to look is under way.
pub(crate) fn begin_again() {
    IS_ASKED.store(false, Ordering::SeqCst);
}

/// Tells on stderr what nobody else can. Where that is full or closed, nobody is told: a panic would end the process
/// before the other trails are closed.
pub(crate) fn tell_at_end(text: &str) {
    let _ = writeln!(std::io::stderr(), "trailseal: {text}");
}

/// Tells of an event that was refused after its caller had ceased to wait.
pub(crate) fn told_nobody(error: &RecordError) {
    if !matches!(error, RecordError::Unconfirmed { .. }) {
        leave(format!("an event whose caller was cancelled was not recorded: {}", with_causes(error)));
    }
}

fn leave(text: String) {
    if IS_ENDING.load(Ordering::SeqCst) {
        tell_at_end(&text);
        return;
    }
    let waiting = Waiting::here();
    let mut texts = waiting.texts();
    if texts.len() == KEPT_MAX {
        texts.pop_front();
    }
    texts.push_back(text);
    drop(texts);
    if !IS_ASKED.swap(true, Ordering::SeqCst) {
        ask_interpreter();
    }
}

#[allow(unsafe_code)]
fn ask_interpreter() {
    extern "C" fn look(_: *mut std::ffi::c_void) -> std::ffi::c_int {
        IS_ASKED.store(false, Ordering::SeqCst);
        Python::attach(log_waiting);
        0
    }
    // SAFETY: may be called by any thread, attached or not; `look` is called by the main thread, attached, and takes no
    // argument. Where there is no room for it, the next notice asks again.
    if unsafe { pyo3::ffi::Py_AddPendingCall(Some(look), std::ptr::null_mut()) } != 0 {
        IS_ASKED.store(false, Ordering::SeqCst);
    }
}

/// Logs what waits, as warnings of the logger `trailseal`.
pub(crate) fn log_waiting(py: Python<'_>) {
    loop {
        // Not under the lock: handlers of `logging` run anything.
        let text = Waiting::here().texts().pop_front();
        let Some(text) = text else { return };
        if log(py, "warning", &text).is_err() {
            tell_at_end(&text);
        }
    }
}

/// Logs one line.
pub(crate) fn log(py: Python<'_>, level: &str, text: &str) -> PyResult<()> {
    let logger = py.import("logging")?.call_method1("getLogger", ("trailseal",))?;
    logger.call_method1(level, ("%s", text)).map(drop)
}
