//! An open trail, through forks.
//!
//! A forked child has none of the threads of its parent's trail. With slots, its first use of the trail takes a slot of
//! its own. What must hold: nothing that another thread may have held at the fork is waited for, and the parent's handle
//! is never dropped in the child.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use pyo3::prelude::*;
use pyo3::types::{PyType, PyWeakrefReference};
use trailseal_cli::application::{Application, Sources, Trouble};
use trailseal_core::{CloseError, Closed, OpenError, Trail, fork};
use trailseal_postgres::AbandonedSlots;

use crate::waiting_for_room::Room;
use crate::{failures, notices};

/// A folder as it was named, and where that is: links may lead to it.
pub(crate) struct Folder {
    pub(crate) dir: PathBuf,
    pub(crate) place: PathBuf,
}

/// One folder, with its settings, for all handles of this process.
pub(crate) struct Shared {
    folder: Folder,
    /// The object of Python that holds it, so that opening it again gives that one.
    handle: ArcSwapOption<Py<PyWeakrefReference>>,
    sources: Sources,
    application: Application,
    is_slots: bool,
    /// The fork generation that it was made in: without slots, no other may open it.
    made_in: u32,
    /// Whether a forked child takes its slot at once.
    warms_up: bool,
    is_closed: AtomicBool,
    /// Whether the close came to its end, after which nothing more is written.
    has_closed: AtomicBool,
    current: ArcSwap<Generation>,
    temporary: Option<Temporary>,
}

/// What belongs to one process: its trail, and the lock of whoever opens it.
struct Generation {
    number: u32,
    opened: OnceLock<Opened>,
    opening: Mutex<()>,
}

/// The trail of this process.
pub(crate) struct Opened {
    pub(crate) trail: Trail,
    pub(crate) origin: Arc<str>,
    pub(crate) room: Arc<Room>,
    /// Delivers the slots that nobody holds.
    abandoned: Option<AbandonedSlots>,
}

/// Why there is no trail.
pub(crate) enum NotOpen {
    Closed,
    Forked,
    Open(OpenError),
    Settings(Trouble),
}

impl NotOpen {
    pub(crate) fn into_error(self, py: Python<'_>) -> PyErr {
        match self {
            NotOpen::Closed => failures::of_record(py, &trailseal_core::RecordError::Closed),
            NotOpen::Forked => failures::of_record(py, &trailseal_core::RecordError::Forked),
            NotOpen::Open(error) => failures::of_open(py, &error),
            NotOpen::Settings(trouble) => failures::of_settings(py, &trouble),
        }
    }
}

impl From<Trouble> for NotOpen {
    fn from(trouble: Trouble) -> Self {
        NotOpen::Settings(trouble)
    }
}

/// The trail of this process, held.
pub(crate) struct Held(Guard<Arc<Generation>>);

impl std::ops::Deref for Held {
    type Target = Opened;

    fn deref(&self) -> &Opened {
        // Only made where it is set, and it is never taken away.
        match self.0.opened.get() {
            Some(opened) => opened,
            None => unreachable!("held before it was opened"),
        }
    }
}

impl Shared {
    /// One that is not open yet.
    pub(crate) fn new(
        folder: Folder,
        sources: Sources,
        application: Application,
        warms_up: bool,
        temporary: Option<Temporary>,
    ) -> Result<Shared, Trouble> {
        let is_slots = application.uses_slots()?;
        let current = ArcSwap::from_pointee(Generation::new());
        let (is_closed, has_closed) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Shared {
            folder,
            handle: ArcSwapOption::empty(),
            sources,
            application,
            is_slots,
            made_in: fork::generation(),
            warms_up,
            is_closed,
            has_closed,
            current,
            temporary,
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.folder.dir
    }

    /// Where the folder is, whatever links lead to it.
    pub(crate) fn place(&self) -> &Path {
        &self.folder.place
    }

    /// Whether it was made before a fork that made this process.
    pub(crate) fn is_inherited(&self) -> bool {
        self.made_in != fork::generation()
    }

    /// The object of Python of this class that holds it; one that `make` makes, if there is none.
    pub(crate) fn handle<'py>(
        &self,
        class: &Bound<'py, PyType>,
        make: impl Fn() -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        loop {
            let known = self.handle.load();
            let live = known.as_ref().and_then(|weak| weak.bind(class.py()).upgrade());
            if let Some(live) = live {
                return if live.get_type().is(class) { Ok(live) } else { make() };
            }
            let made = make()?;
            let weak = Arc::new(PyWeakrefReference::new(&made)?.unbind());
            let before = self.handle.compare_and_swap(&known, Some(weak));
            // Else another thread was first.
            if before.as_ref().map(Arc::as_ptr) == known.as_ref().map(Arc::as_ptr) {
                return Ok(made);
            }
        }
    }

    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    pub(crate) fn application(&self) -> &Application {
        &self.application
    }

    pub(crate) fn is_slots(&self) -> bool {
        self.is_slots
    }

    /// Whether all that was accepted before the close is written, or the close gave up.
    pub(crate) fn has_closed(&self) -> bool {
        self.has_closed.load(Ordering::Acquire)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// The trail of this process, opened if it is not. Never waits while attached.
    #[inline]
    pub(crate) fn opened(&self, py: Python<'_>) -> PyResult<Held> {
        let current = self.current.load();
        if current.number == fork::generation() && current.opened.get().is_some() {
            return Ok(Held(current));
        }
        drop(current);
        self.open_now(py)
    }

    #[cold]
    fn open_now(&self, py: Python<'_>) -> PyResult<Held> {
        py.detach(|| self.open()).map_err(|error| error.into_error(py))?;
        let current = self.current.load();
        match current.opened.get() {
            Some(_) => Ok(Held(current)),
            None => Err(NotOpen::Forked.into_error(py)),
        }
    }

    /// Opens the trail of this process.
    pub(crate) fn open(&self) -> Result<(), NotOpen> {
        if self.is_closed() {
            return Err(NotOpen::Closed);
        }
        let current = self.of_this_process();
        if current.number != self.made_in && !self.is_slots {
            return Err(NotOpen::Forked);
        }
        let _opening = current.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if current.opened.get().is_some() {
            return Ok(());
        }
        let mut options = self.application.options()?;
        options.on_notice = Some(notices::on_notice());
        let trail = match self.is_slots {
            true => Trail::open_slot(&self.folder.dir, options),
            false => Trail::open(&self.folder.dir, options),
        };
        let trail = trail.map_err(NotOpen::Open)?;
        self.application.attach(&trail)?;
        let origin = trail.origin().into();
        // Nobody else sets it: this is under the lock.
        let room = Arc::new(Room::new(trail.room_wait()));
        let abandoned = self.application.deliver_abandoned(notices::on_notice())?;
        let _ = current.opened.set(Opened { trail, origin, room, abandoned });
        Ok(())
    }

    /// What belongs to this process.
    fn of_this_process(&self) -> Arc<Generation> {
        loop {
            let current = self.current.load_full();
            if current.number == fork::generation() {
                return current;
            }
            let fresh = Arc::new(Generation::new());
            self.current.compare_and_swap(&current, fresh);
        }
    }

    /// The trail of this process, if it is open.
    pub(crate) fn if_open(&self) -> Option<Trail> {
        let current = self.current.load();
        if current.number != fork::generation() {
            return None;
        }
        current.opened.get().map(|opened| opened.trail.clone())
    }

    /// Waits until nothing waits for room in the trail of this process.
    pub(crate) fn empty_room(&self, within: Duration) {
        let current = self.current.load_full();
        if current.number == fork::generation()
            && let Some(opened) = current.opened.get()
        {
            opened.room.empty(within);
        }
    }

    /// Closes the trail of this process, if it is open. Later closes do nothing.
    pub(crate) fn close(&self, timeout: Duration) -> Result<Option<Closed>, CloseError> {
        self.is_closed.store(true, Ordering::Release);
        let current = self.current.load_full();
        if current.number == fork::generation()
            && let Some(abandoned) = current.opened.get().and_then(|opened| opened.abandoned.as_ref())
        {
            abandoned.end();
        }
        drop(current);
        let closed = self.if_open().map(|trail| trail.close(timeout));
        self.has_closed.store(true, Ordering::Release);
        closed.transpose()
    }

    /// In a forked child: takes its slot, if that was asked for and its parent used one.
    pub(crate) fn after_fork(&self) {
        if self.warms_up && self.is_slots && !self.is_closed() {
            // If it fails, the first record says why.
            let _ = self.open();
        }
    }
}

impl Generation {
    fn new() -> Generation {
        Generation { number: fork::generation(), opened: OnceLock::new(), opening: Mutex::new(()) }
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if self.number != fork::generation() {
            // Its threads are the parent's; dropping it would wait for them.
            std::mem::forget(self.opened.take());
        }
    }
}

/// A folder that goes with the trail, in the process that made it.
pub(crate) struct Temporary {
    folder: Option<tempfile::TempDir>,
    fork: u32,
}

impl Temporary {
    pub(crate) fn new() -> std::io::Result<Temporary> {
        let folder = tempfile::Builder::new().prefix("trailseal-").tempdir()?;
        Ok(Temporary { folder: Some(folder), fork: fork::generation() })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.as_ref().map(|folder| folder.path().to_owned()).unwrap_or_default()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.fork != fork::generation() {
            std::mem::forget(self.folder.take());
        }
    }
}
