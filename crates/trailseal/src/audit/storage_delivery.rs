//! Delivery to a storage of the user's.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use tokio::runtime::Handle;
use trailseal_core::deliver::{Batch, MustEnd, Position, Sink, SinkError};
use trailseal_event::Event;
use trailseal_event::Index;
use trailseal_tlog::leaf_hash;

use super::cursor::{self, CursorFile, NAME_BYTES_MAX};
use super::storage::{AuditStorage, StorageError};
use crate::{RecordedEvent, Trail};

/// So many events at most come again after a crash.
const BATCH_EVENTS_MAX: usize = 100;

/// Held while names are compared and a delivery begins, so that of two with one name the second is refused.
static BEGINNING: Mutex<()> = Mutex::new(());

/// Lets a trail deliver to a storage, which must have a name of its own: by that its cursor is kept.
pub(super) fn begin(trail: &Trail, storage: &Arc<dyn AuditStorage>) -> Result<(), StorageError> {
    let name = storage.name();
    if !cursor::is_plain_name(name) {
        let what = format!(
            "a storage cannot be named {name:?}: use 1 to {NAME_BYTES_MAX} of the letters a to z and A to Z, digits, '-', \
             '_' and '.'"
        );
        return Err(StorageError::ConfigurationError(what));
    }
    let _beginning = BEGINNING.lock().unwrap_or_else(PoisonError::into_inner);
    // Also without regard to case: some file systems have none.
    let is_taken = trail.stats().deliveries.iter().any(|known| known.name.eq_ignore_ascii_case(name));
    // A trail that is closed delivers to nobody, and says so itself.
    if is_taken && !trail.is_closed() && !cfg!(trailseal_fault = "storage_names_not_compared") {
        let what = format!(
            "the trail in {} delivers to another storage named {name}: let each have a name of its own",
            trail.dir().display()
        );
        return Err(StorageError::ConfigurationError(what));
    }
    Ok(trail.deliver_to(Box::new(StorageSink::new(storage.clone(), trail)))?)
}

/// The sink in front of a storage. The storage knows no cursor, so the trail's folder keeps it.
struct StorageSink {
    storage: Arc<dyn AuditStorage>,
    name: String,
    origin: Arc<str>,
    cursor_file: CursorFile,
    /// Where this process has come to, if it has read that.
    position: Option<Position>,
    /// In whose reach the storage's futures are polled: they may need its timers and sockets.
    runtime: Option<Handle>,
    must_end: MustEnd,
}

impl StorageSink {
    fn new(storage: Arc<dyn AuditStorage>, trail: &Trail) -> StorageSink {
        let name = storage.name().to_owned();
        let cursor_file = CursorFile::of_storage(trail.dir(), &name);
        let (origin, runtime) = (trail.origin().into(), Handle::try_current().ok());
        StorageSink {
            storage,
            name,
            origin,
            cursor_file,
            position: None,
            runtime,
            must_end: MustEnd::default(),
        }
    }

    fn store(&self, line: &[u8]) -> Result<(), StorageError> {
        let Ok(recorded) = Event::from_line(line) else { return Ok(()) };
        if recorded.system {
            return Ok(());
        }
        let event = RecordedEvent::new(self.origin.clone(), recorded, Vec::new()).into();
        let _entered = self.runtime.as_ref().map(Handle::enter);
        let stored = block_on(self.storage.store(&event), || self.must_end.is_set());
        stored.unwrap_or_else(|| {
            let what = "it gave no answer before the trail was closed; a runtime of one thread must be driven until then";
            Err(StorageError::ConnectionError(what.into()))
        })
    }

    fn keep(&mut self, position: Position) -> Result<(), SinkError> {
        self.position = Some(position);
        Ok(self.cursor_file.write(&position, "")?)
    }
}

impl Sink for StorageSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn begin(&mut self, must_end: &MustEnd) {
        self.must_end = must_end.clone();
    }

    fn position(&mut self) -> Result<Position, SinkError> {
        match self.position {
            Some(position) => Ok(position),
            None => {
                let (position, _) = self.cursor_file.read()?;
                Ok(*self.position.insert(position))
            }
        }
    }

    fn deliver(&mut self, batch: &Batch<'_>) -> Result<(), SinkError> {
        let mut position = self.position()?;
        if batch.first != position.cursor {
            return Err(SinkError::Gap { first: batch.first, cursor: position.cursor });
        }
        for line in batch.lines {
            if let Err(error) = self.store(line.bytes) {
                // What it has got does not come again.
                self.keep(position)?;
                return Err(SinkError::Store(Box::new(error)));
            }
            let cursor = Index::new(line.index.get() + 1);
            position = Position { cursor, last_leaf: Some(leaf_hash(line.bytes)) };
            self.position = Some(position);
        }
        self.keep(position)
    }

    fn batch_events_max(&self) -> usize {
        BATCH_EVENTS_MAX
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// `None` if it must end first: the future may wait for timers or sockets of a runtime that nobody drives. When that
/// changes, this thread is to be unparked.
pub(super) fn block_on<T>(future: impl Future<Output = T>, must_end: impl Fn() -> bool) -> Option<T> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(done);
        }
        if must_end() && !cfg!(trailseal_fault = "storage_waited_for_without_end") {
            return None;
        }
        std::thread::park();
    }
}
