//! Clients that cost little: requests made ahead, connections that stay, answers looked at no further than their status
//! and length.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::load;

/// A client that was refused waits so long.
const REFUSED_WAIT: Duration = Duration::from_millis(5);

/// What came of a load.
pub struct Done {
    /// Of each request that was answered with success, in nanoseconds.
    pub latency: Histogram<u64>,
    /// Requests with another answer.
    pub failed: u64,
    pub elapsed: Duration,
}

impl Done {
    fn new() -> Done {
        Done { latency: load::histogram(), failed: 0, elapsed: Duration::ZERO }
    }

    /// Adds a load that came after this one.
    pub fn add(&mut self, other: Done) {
        self.latency.add(&other.latency).expect("same bounds");
        self.failed += other.failed;
        self.elapsed += other.elapsed;
    }

    fn count(&mut self, status: u16, latency: Duration) {
        match status {
            200..300 => drop(self.latency.record(latency.as_nanos() as u64)),
            _ => self.failed += 1,
        }
    }
}

/// When a load ends.
#[derive(Clone, Copy)]
pub enum Until {
    Time(Duration),
    /// So many requests have succeeded.
    Accepted(u64),
}

/// A connection for each of `requests`, each sending its own again as soon as it is answered. All in one thread: then
/// a request costs two system calls and no switch between threads.
pub fn flat_out(address: SocketAddr, requests: &[Vec<u8>], until: Until) -> Done {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let done = Rc::new(RefCell::new(Done::new()));
    let left = Rc::new(Cell::new(match until {
        Until::Time(_) => u64::MAX,
        Until::Accepted(count) => count,
    }));
    let local = tokio::task::LocalSet::new();
    let begun = Instant::now();
    let clients: Vec<_> = requests
        .iter()
        .map(|request| local.spawn_local(client(address, request.clone(), until, left.clone(), done.clone())))
        .collect();
    runtime.block_on(local.run_until(async {
        for client in clients {
            client.await.expect("a client ends well");
        }
    }));
    done.borrow_mut().elapsed = begun.elapsed();
    done.replace(Done::new())
}

async fn client(
    address: SocketAddr,
    request: Vec<u8>,
    until: Until,
    left: Rc<Cell<u64>>,
    done: Rc<RefCell<Done>>,
) {
    let begun = Instant::now();
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("the server answers");
    stream.set_nodelay(true).expect("a socket");
    let mut answer = Answer::new();
    while left.get() > 0 && !matches!(until, Until::Time(time) if begun.elapsed() >= time) {
        // Taken before it is sent: others must not send it, too.
        left.set(left.get() - 1);
        let at = Instant::now();
        stream.write_all(&request).await.expect("the server reads");
        let status = loop {
            let count = stream.read(answer.free()).await.expect("the server writes");
            if let Some(status) = answer.add(count) {
                break status;
            }
        };
        done.borrow_mut().count(status, at.elapsed());
        if !(200..300).contains(&status) {
            left.set(left.get() + 1);
            tokio::time::sleep(REFUSED_WAIT).await;
        }
    }
}

/// `rate` requests a second, shared by a connection for each of `requests`. An answer that comes after the next request
/// was due makes that one late, which is part of its latency.
pub fn paced(address: SocketAddr, requests: &[Vec<u8>], rate: u64, time: Duration) -> Done {
    let gap = Duration::from_nanos(requests.len() as u64 * 1_000_000_000 / rate);
    let begun = Instant::now();
    let mut all = Done::new();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..)
            .zip(requests)
            .map(|(place, request)| {
                let first = begun + gap * place / requests.len() as u32;
                scope.spawn(move || paced_client(address, request, first, gap, begun + time))
            })
            .collect();
        for client in clients {
            all.add(client.join().expect("a client ends well"));
        }
    });
    all.elapsed = begun.elapsed();
    all
}

fn paced_client(address: SocketAddr, request: &[u8], first: Instant, gap: Duration, end: Instant) -> Done {
    let mut stream = TcpStream::connect(address).expect("the server answers");
    stream.set_nodelay(true).expect("a socket");
    let (mut done, mut answer, mut due) = (Done::new(), Answer::new(), first);
    while due < end {
        // The system wakes a sleeper some microseconds late; that is not the server's doing.
        let sleep = due.saturating_duration_since(Instant::now());
        std::thread::sleep(sleep);
        let at = if sleep.is_zero() { due } else { Instant::now() };
        stream.write_all(request).expect("the server reads");
        let status = loop {
            let count = stream.read(answer.free()).expect("the server writes");
            if let Some(status) = answer.add(count) {
                break status;
            }
        };
        done.count(status, at.elapsed());
        due += gap;
    }
    done
}

/// An answer that is being read: its status and its end are all that is looked for.
struct Answer {
    bytes: Vec<u8>,
    len: usize,
}

impl Answer {
    fn new() -> Answer {
        Answer { bytes: vec![0; 256 << 10], len: 0 }
    }

    fn free(&mut self) -> &mut [u8] {
        if self.len == self.bytes.len() {
            self.bytes.resize(2 * self.len, 0);
        }
        &mut self.bytes[self.len..]
    }

    /// Takes `count` bytes that were read. Returns the status once the answer is whole.
    fn add(&mut self, count: usize) -> Option<u16> {
        assert!(count > 0, "the server closed the connection");
        self.len += count;
        let bytes = &self.bytes[..self.len];
        let head_len = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&bytes[..head_len]).expect("a head of text");
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        let length = length.expect("a length");
        if bytes.len() < head_len + length {
            return None;
        }
        self.len = 0;
        head.split(' ').nth(1).and_then(|status| status.parse().ok())
    }
}
