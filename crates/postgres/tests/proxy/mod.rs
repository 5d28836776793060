//! Between a client and a server: passes everything on, until it is to swallow the answer to a COMMIT, or to cut the connection there or
//! in the middle of the rows of a COPY; or passes it on slowly.

#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    swallows: AtomicBool,
    swallows_any: AtomicBool,
    swallowed: AtomicU64,
    /// So many bytes of the next COPY get through; 0: all of them.
    copy_bytes: AtomicU64,
    copies_cut: AtomicU64,
    /// How long everything is held back on its way to the server, in milliseconds.
    delay: AtomicU64,
}

/// A simple query, as the protocol has it.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// The server has nothing more to say before it is asked again.
const READY: &[u8] = b"Z\0\0\0\x05I";

impl Proxy {
    pub fn start(server_port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)) else { continue };
                let shared = shared.clone();
                std::thread::spawn(move || pass(client, server, &shared));
            }
        });
        Proxy { port, state }
    }

    /// The next commit reaches the server; its answer reaches nobody.
    pub fn swallow_next_commit(&self) {
        self.state.swallows.store(true, Ordering::SeqCst);
    }

    /// The same for a commit of whatever, not only of rows.
    pub fn swallow_next_commit_of_any(&self) {
        self.state.swallows_any.store(true, Ordering::SeqCst);
    }

    /// The next COPY is cut after so many bytes of its rows.
    pub fn cut_next_copy_after(&self, bytes: u64) {
        self.state.copy_bytes.store(bytes.max(1), Ordering::SeqCst);
    }

    /// How many were.
    pub fn copies_cut(&self) -> u64 {
        self.state.copies_cut.load(Ordering::SeqCst)
    }

    /// From now on holds everything back for so long on its way to the server.
    pub fn delay(&self, time: Duration) {
        self.state.delay.store(time.as_millis() as u64, Ordering::SeqCst);
    }

    /// How many answers were swallowed.
    pub fn swallowed(&self) -> u64 {
        self.state.swallowed.load(Ordering::SeqCst)
    }
}

fn pass(mut client: TcpStream, mut server: TcpStream, state: &Arc<State>) {
    let is_swallowing = Arc::new(AtomicBool::new(false));
    let (mut back, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let (swallowing, shared) = (is_swallowing.clone(), state.clone());
    let answers = std::thread::spawn(move || {
        let (mut bytes, mut unheard) = (vec![0; 1 << 16], Vec::new());
        while let Ok(len @ 1..) = back.read(&mut bytes) {
            if swallowing.load(Ordering::SeqCst) {
                unheard.extend_from_slice(&bytes[..len]);
                if unheard.ends_with(READY) {
                    shared.swallowed.fetch_add(1, Ordering::SeqCst);
                    break;
                }
            } else if to_client.write_all(&bytes[..len]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
        let _ = back.shutdown(Shutdown::Both);
    });
    let (mut bytes, mut begun) = (vec![0; 1 << 16], false);
    let mut copied = None;
    while let Ok(len @ 1..) = client.read(&mut bytes) {
        std::thread::sleep(Duration::from_millis(state.delay.load(Ordering::SeqCst)));
        if let Some(let_through) = state.let_through(&bytes[..len], &mut copied) {
            let _ = server.write_all(&bytes[..let_through]);
            state.copies_cut.fetch_add(1, Ordering::SeqCst);
            break;
        }
        // Only a commit of rows: one that follows a COPY on this connection.
        begun |= bytes[..len].windows(5).any(|window| window == b"COPY ");
        let commits = bytes[..len].windows(COMMIT.len()).any(|window| window == COMMIT);
        let of_rows = || begun && state.swallows.swap(false, Ordering::SeqCst);
        if commits && (state.swallows_any.swap(false, Ordering::SeqCst) || of_rows()) {
            // What was answered before is heard.
            std::thread::sleep(Duration::from_millis(5));
            is_swallowing.store(true, Ordering::SeqCst);
        }
        if server.write_all(&bytes[..len]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = answers.join();
}

/// What ends the rows of a COPY.
const COPY_DONE: &[u8] = b"c\0\0\0\x04";

impl State {
    /// How much of this gets through if the connection is to be cut in it; `copied` is what a COPY that is under way has sent before.
    fn let_through(&self, bytes: &[u8], copied: &mut Option<u64>) -> Option<usize> {
        if bytes.windows(5).any(|window| window == b"COPY ") {
            *copied = Some(0);
            return None;
        }
        let before = (*copied)?;
        let done = bytes.windows(COPY_DONE.len()).position(|window| window == COPY_DONE);
        let after = before + done.unwrap_or(bytes.len()) as u64;
        *copied = if done.is_some() { None } else { Some(after) };
        let most = self.copy_bytes.load(Ordering::SeqCst);
        let is_cut = most > 0
            && after > most
            && self.copy_bytes.compare_exchange(most, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        is_cut.then(|| usize::try_from(most.saturating_sub(before)).unwrap())
    }
}
