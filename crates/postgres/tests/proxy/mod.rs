//! Between a client and a server: passes everything on, until it is to swallow the answer to a COMMIT and cut the connection.

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
    while let Ok(len @ 1..) = client.read(&mut bytes) {
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
