//! Reads an input with several threads, and keeps its order.
//!
//! One thread splits the input into batches of records, others turn each batch into the texts of events, and the caller's thread
//! takes them in the order of the input. What must hold: what is in flight is bounded in bytes, and a caller that stops
//! ends the other threads.

use std::io::BufRead;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{Builder, scope};

use crate::import::{Numbering, Reading, RecordAt, Texts, Written};
use crate::json_tree::Tree;
use crate::records::{Failed, Records};

/// About how many bytes of records make a batch.
const BATCH_BYTES: usize = 128 * 1024;
/// How many bytes of records are in flight, unless a single one has more. An event takes several times the memory.
const IN_FLIGHT_BYTES: usize = 2 * 1024 * 1024;
/// How many batches are in flight at most.
const IN_FLIGHT: usize = 64;

/// Calls `take` with what becomes of each record, in their order, until it breaks.
///
/// # Errors
/// If not a single thread can be started.
pub fn read_in_order<R: BufRead + Send>(
    records: Records<'_, R>,
    reading: Reading<'_>,
    threads: usize,
    take: &mut dyn FnMut(Result<Written<'_>, Failed>) -> ControlFlow<()>,
) -> std::io::Result<()> {
    let flight = Flight::default();
    let (to_map, from_reader) = sync_channel::<Batch>(IN_FLIGHT);
    let (to_take, in_order) = sync_channel::<Awaited>(IN_FLIGHT);
    let from_reader = Mutex::new(from_reader);
    scope(|scope| {
        let (flight, from_reader) = (&flight, &from_reader);
        for _ in 0..threads.max(1) {
            let builder = Builder::new().name("trailseal-import".to_owned());
            builder.spawn_scoped(scope, move || map(from_reader, reading))?;
        }
        let builder = Builder::new().name("trailseal-read".to_owned());
        builder.spawn_scoped(scope, move || split(records, flight, &to_map, &to_take))?;
        let mut numbering = Numbering::default();
        for Awaited { mapped, bytes } in in_order {
            let Ok(mut mapped) = mapped.recv() else { break };
            let flow = numbering.number_texts(&mut mapped, reading, take);
            flight.leave(bytes);
            if flow.is_break() {
                break;
            }
        }
        flight.close();
        Ok(())
    })
}

/// Records to map, and where the result goes.
struct Batch {
    /// Of all records, one after the other: a thread frees only what it made itself, as far as that is possible.
    bytes: Vec<u8>,
    records: Vec<Result<RecordAt, Failed>>,
    done: SyncSender<Texts>,
}

/// The result of a batch, which comes.
struct Awaited {
    mapped: Receiver<Texts>,
    bytes: usize,
}

/// Splits the input until it ends or nobody takes anything any more.
fn split<R: BufRead>(
    mut records: Records<'_, R>,
    flight: &Flight,
    to_map: &SyncSender<Batch>,
    to_take: &SyncSender<Awaited>,
) {
    loop {
        let (mut batch, mut bytes) = (Vec::new(), Vec::with_capacity(BATCH_BYTES));
        // Whoever writes slowly need not fill a batch.
        while bytes.len() + 64 * batch.len() < BATCH_BYTES
            && (batch.is_empty() || !records.may_wait())
            && let Some(record) = records.next()
        {
            batch.push(record.map(|record| {
                let from = bytes.len();
                bytes.extend_from_slice(&record.bytes);
                RecordAt { line: record.line, bytes: from..bytes.len(), form: record.form }
            }));
        }
        let in_flight = bytes.len() + 64 * batch.len();
        if batch.is_empty() || !flight.enter(in_flight) {
            return;
        }
        let (done, mapped) = sync_channel(1);
        let is_sent = to_take.send(Awaited { mapped, bytes: in_flight }).is_ok()
            && to_map.send(Batch { bytes, records: batch, done }).is_ok();
        if !is_sent {
            return;
        }
    }
}

fn map(batches: &Mutex<Receiver<Batch>>, reading: Reading<'_>) {
    let mut tree = Tree::default();
    loop {
        let next = batches.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Batch { bytes, records, done }) = next else { return };
        let mut all = Texts::of(bytes);
        for record in records {
            match record {
                Ok(record) => all.add(record, reading, &mut tree),
                Err(failed) => all.add_failed(failed),
            }
        }
        // Nobody waits for it once the caller has stopped.
        let _ = done.send(all);
    }
}

/// The bytes that were read and not yet taken.
#[derive(Default)]
struct Flight {
    state: Mutex<InFlight>,
    left: Condvar,
}

#[derive(Default)]
struct InFlight {
    bytes: usize,
    is_closed: bool,
}

impl Flight {
    /// Waits for room; false if nobody takes anything any more.
    fn enter(&self, bytes: usize) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.is_closed && state.bytes > 0 && state.bytes + bytes > IN_FLIGHT_BYTES {
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.bytes += bytes;
        !state.is_closed
    }

    fn leave(&self, bytes: usize) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).bytes -= bytes;
        self.left.notify_one();
    }

    fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
        self.left.notify_one();
    }
}
