//! Clients that cost little: requests made ahead, connections that stay, answers looked at no further than their status
//! and length.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
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

/// `rate` requests a second, shared by a connection for each of `requests`. Latency counts from when a request was due, so
/// what makes it late, such as the answer before, is part of it. All in one thread: as many threads as connections would
/// wait for each other's turns on the few cores, longer than for any server.
pub fn paced(address: SocketAddr, requests: &[Vec<u8>], rate: u64, time: Duration) -> Done {
    let gap = Duration::from_nanos(requests.len() as u64 * 1_000_000_000 / rate);
    let mut done = Done::new();
    let mut clients: Vec<PacedClient<'_>> =
        requests.iter().map(|request| PacedClient::connect(address, request)).collect();
    let begun = Instant::now();
    for (place, client) in (0..).zip(&mut clients) {
        client.due = begun + gap * place / requests.len() as u32;
    }
    while begun.elapsed() < time || clients.iter().any(|client| client.sent.is_some()) {
        let may_send = begun.elapsed() < time;
        let mut next = begun + time;
        for client in &mut clients {
            if client.sent.is_none() && may_send {
                client.send_if_due(gap);
            }
            if client.sent.is_none() {
                next = next.min(client.due);
            }
        }
        for place in ready(&clients, next) {
            clients[place].receive(&mut done);
        }
    }
    done.elapsed = begun.elapsed();
    done
}

/// Places of the clients whose answers are coming; none if `until` comes first.
fn ready(clients: &[PacedClient<'_>], until: Instant) -> Vec<usize> {
    let (waiting, mut streams): (Vec<usize>, Vec<PollFd<'_>>) = (0..)
        .zip(clients)
        .filter(|(_, client)| client.sent.is_some())
        .map(|(place, client)| (place, PollFd::new(&client.stream, PollFlags::IN)))
        .unzip();
    let wait = until.saturating_duration_since(Instant::now());
    let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
    poll(&mut streams, Some(&wait)).expect("streams can be waited for");
    let is_ready = |stream: &PollFd<'_>| !stream.revents().is_empty();
    waiting.into_iter().zip(&streams).filter(|(_, stream)| is_ready(stream)).map(|(place, _)| place).collect()
}

struct PacedClient<'a> {
    stream: TcpStream,
    request: &'a [u8],
    answer: Answer,
    /// When the next request is to be sent.
    due: Instant,
    /// When the request was due whose answer is waited for.
    sent: Option<Instant>,
}

impl<'a> PacedClient<'a> {
    fn connect(address: SocketAddr, request: &'a [u8]) -> PacedClient<'a> {
        let stream = TcpStream::connect(address).expect("the server answers");
        stream.set_nodelay(true).expect("a socket");
        PacedClient { stream, request, answer: Answer::new(), due: Instant::now(), sent: None }
    }

    fn send_if_due(&mut self, gap: Duration) {
        if Instant::now() < self.due {
            return;
        }
        self.stream.write_all(self.request).expect("the server reads");
        // However late it is sent: a server that takes all cores makes the generator late, too.
        self.sent = Some(self.due);
        self.due += gap;
    }

    /// Takes what has come, of which there is something.
    fn receive(&mut self, done: &mut Done) {
        let count = self.stream.read(self.answer.free()).expect("the server writes");
        if let (Some(status), Some(sent)) = (self.answer.add(count), self.sent) {
            done.count(status, sent.elapsed());
            self.sent = None;
        }
    }
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
