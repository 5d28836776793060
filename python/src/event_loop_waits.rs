//! Waiting in an event loop for events to reach their level.
//!
//! A loop has one descriptor. Whoever makes events durable leaves their numbers and writes to it; the loop reads, and
//! completes the futures of those. So the threads of the trail never attach, and a thousand wakes are one or two.

use std::collections::HashMap;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use pyo3::intern;
use pyo3::prelude::*;
use trailseal_core::{RecordError, fork};

use crate::awaited::{Awaited, Goes, receipts};
use crate::failures::of_record;
use crate::notices;
use crate::waiting_for_room::{Arrival, Placed, Reached};

/// What wakes a loop.
struct Bell {
    /// Read by the loop.
    reads: OwnedFd,
    #[cfg(not(target_os = "linux"))]
    writes: OwnedFd,
    /// Set by the first wake, cleared by the loop before it looks.
    is_rung: AtomicBool,
    /// The numbers of those whose state has changed.
    ready: Mutex<Vec<u64>>,
}

impl Bell {
    fn new() -> std::io::Result<Bell> {
        #[cfg(target_os = "linux")]
        let reads = {
            use rustix::event::{EventfdFlags, eventfd};
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?
        };
        #[cfg(not(target_os = "linux"))]
        let (reads, writes) = {
            let (reads, writes) = std::os::unix::net::UnixStream::pair()?;
            reads.set_nonblocking(true)?;
            writes.set_nonblocking(true)?;
            (OwnedFd::from(reads), OwnedFd::from(writes))
        };
        Ok(Bell {
            reads,
            #[cfg(not(target_os = "linux"))]
            writes,
            is_rung: AtomicBool::new(false),
            ready: Mutex::default(),
        })
    }

    fn ready(&self) -> MutexGuard<'_, Vec<u64>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, number: u64) {
        self.ready().push(number);
        if !self.is_rung.swap(true, Ordering::SeqCst) {
            #[cfg(target_os = "linux")]
            let writes = &self.reads;
            #[cfg(not(target_os = "linux"))]
            let writes = &self.writes;
            // It fails only if it is full, and then it is rung.
            let _ = rustix::io::write(writes, &1_u64.to_ne_bytes());
        }
    }

    /// Those that rang since the last call.
    fn answered(&self) -> Vec<u64> {
        let _ = rustix::io::read(&self.reads, &mut [0; 512]);
        self.is_rung.store(false, Ordering::SeqCst);
        std::mem::take(&mut *self.ready())
    }
}

/// Rings for one event.
struct Rings {
    bell: Arc<Bell>,
    number: u64,
}

impl Wake for Rings {
    fn wake(self: Arc<Self>) {
        self.bell.ring(self.number);
    }
}

/// Events that are waited for.
struct Pending {
    stage: Stage,
    origin: Arc<str>,
    future: Py<PyAny>,
    waker: Waker,
}

enum Stage {
    Room(Arrival),
    Level(Placed),
}

type Done = Result<Reached, RecordError>;

impl Pending {
    fn poll(&mut self) -> Poll<Done> {
        loop {
            let mut context = Context::from_waker(&self.waker);
            match &mut self.stage {
                Stage::Level(placed) => return placed.poll(&mut context),
                Stage::Room(arrival) => match std::task::ready!(Pin::new(arrival).poll(&mut context)) {
                    Ok(placed) => self.stage = Stage::Level(placed),
                    Err(error) => return Poll::Ready(Err(error)),
                },
            }
        }
    }
}

/// What one event loop waits for.
#[pyclass(frozen, weakref, module = "trailseal._trailseal")]
pub(crate) struct LoopWaits {
    bell: Arc<Bell>,
    fork: u32,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    pending: HashMap<u64, Pending>,
}

impl LoopWaits {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Polls one without a lock: to complete its future runs Python.
    fn poll(&self, py: Python<'_>, number: u64, mut pending: Pending) -> PyResult<()> {
        match pending.poll() {
            Poll::Ready(done) => complete(py, pending, done),
            Poll::Pending => {
                self.waiting().pending.insert(number, pending);
                Ok(())
            }
        }
    }
}

fn complete(py: Python<'_>, pending: Pending, done: Done) -> PyResult<()> {
    let Pending { future, origin, .. } = pending;
    let future = future.bind(py);
    // Whoever cancelled it does not wait any more; the event is recorded all the same.
    if future.call_method0(intern!(py, "done"))?.is_truthy()? {
        if let Err(error) = done {
            notices::told_nobody(&error);
        }
        return Ok(());
    }
    match done {
        Ok(reached) => {
            let receipts = receipts(py, reached, &origin)?;
            future.call_method1(intern!(py, "set_result"), (receipts,))?
        }
        Err(error) => {
            let error = of_record(py, &error).into_value(py);
            future.call_method1(intern!(py, "set_exception"), (error,))?
        }
    };
    Ok(())
}

#[pymethods]
impl LoopWaits {
    #[new]
    fn new() -> PyResult<LoopWaits> {
        let bell = Arc::new(Bell::new()?);
        Ok(LoopWaits { bell, fork: fork::generation(), waiting: Mutex::default() })
    }

    fn fileno(&self) -> i32 {
        self.bell.reads.as_raw_fd()
    }

    fn is_forked(&self) -> bool {
        self.fork != fork::generation()
    }

    /// Completes `future` when the events have reached their level, or when their time is up.
    fn add(&self, py: Python<'_>, awaited: &Awaited, future: Py<PyAny>) -> PyResult<()> {
        let number = {
            let mut waiting = self.waiting();
            waiting.next += 1;
            waiting.next
        };
        let stage = match awaited.go()? {
            Goes::Arrives(arrival) => Stage::Room(arrival),
            Goes::Placed(placed) => Stage::Level(placed),
        };
        let waker = Waker::from(Arc::new(Rings { bell: self.bell.clone(), number }));
        self.poll(py, number, Pending { stage, origin: awaited.origin.clone(), future, waker })
    }

    /// Called by the loop when the descriptor can be read.
    fn ring(&self, py: Python<'_>) -> PyResult<()> {
        let mut first = None;
        for number in self.bell.answered() {
            let pending = self.waiting().pending.remove(&number);
            // An error of one must not keep the others from being completed.
            if let Some(pending) = pending
                && let Err(error) = self.poll(py, number, pending)
            {
                first.get_or_insert(error);
            }
        }
        first.map_or(Ok(()), Err)
    }
}
