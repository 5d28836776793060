//! What one client can do to another: a polite client's figures while a greedy one floods the server, beside the same at
//! bare axum. The flood runs in a process of its own at idle priority, so what it takes is what the server gives it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use trailseal_benches_report::names;

use super::generator::{self, Done, Until};
use super::process::Program;
use super::{BATCH_CONNECTIONS, BATCH_EVENTS, batch, get, post, wait_for_index};
use crate::load;

pub use client::flood;

mod client;

/// What the polite client asks for, a second.
const POSTS: u64 = 100;
const GETS: u64 = 20;
/// Memory is looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A flood has begun after this; and memory is looked at again so long after its end.
const SETTLE: Duration = Duration::from_secs(2);

/// How much is measured.
pub struct Size {
    events: u64,
    time: Duration,
}

impl Size {
    pub const WHOLE: Size = Size { events: 1_000_000, time: Duration::from_secs(10) };
    /// To see that everything works; the figures mean little.
    pub const SMALL: Size = Size { events: 50_000, time: Duration::from_secs(3) };
}

/// Every flood, or the one that is named.
pub fn all(dir: &Path, size: &Size, only: Option<&str>) {
    let program = Program::server(dir, &[]);
    let requests: Vec<_> = (0..BATCH_CONNECTIONS).map(|number| batch(&program, number)).collect();
    generator::flat_out(program.address, &requests, Until::Accepted(size.events / BATCH_EVENTS));
    wait_for_index(&program);
    let polite = program.with_token("polite", &["write", "read"]);
    let greedy = program.with_token("greedy", &["write", "read"]);
    for kind in client::KINDS.iter().copied().filter(|kind| only.is_none_or(|only| only == *kind)) {
        let bare = Program::reference(dir, "floods");
        let reference = measure(&bare, &bare.token, &bare.token, kind, size);
        drop(bare);
        let measured = measure(&program, &polite, &greedy, kind, size);
        let all = |polite: &Polite| (polite.posts.latency.len() + polite.gets.latency.len()) as f64;
        let p99 = |done: &Done| done.latency.value_at_quantile(0.99) as f64;
        let numbers = [
            ("requests", all(&measured)),
            ("axum_requests", all(&reference)),
            ("axum_share", all(&measured) / all(&reference)),
            ("posts_refused", measured.posts.failed as f64),
            ("gets_refused", measured.gets.failed as f64),
            ("post_p50_ns", measured.posts.latency.value_at_quantile(0.5) as f64),
            ("post_p99_ns", p99(&measured.posts)),
            ("axum_post_p99_ns", p99(&reference.posts)),
            ("post_p99_of_axum", p99(&measured.posts) / p99(&reference.posts)),
            ("get_p50_ns", measured.gets.latency.value_at_quantile(0.5) as f64),
            ("get_p99_ns", p99(&measured.gets)),
            ("rss_anon_peak_mib", measured.highest_mib),
            ("rss_anon_after_mib", measured.after_mib),
        ];
        load::print(&names::flood(kind), &numbers);
    }
}

/// What the polite client got.
struct Polite {
    posts: Done,
    gets: Done,
    highest_mib: f64,
    after_mib: f64,
}

fn measure(program: &Program, polite: &str, greedy: &str, kind: &str, size: &Size) -> Polite {
    let posts: Vec<_> = (0..4).map(|number| post(polite, "/v1/events", &load::text(number))).collect();
    let gets: Vec<_> =
        (0..2).map(|tenant| get(polite, &format!("/v1/events?tenant=tenant-{tenant}&limit=50"))).collect();
    let flood = Flood::start(program.address, greedy, kind);
    std::thread::sleep(SETTLE);
    let is_over = AtomicBool::new(false);
    let (posts, gets, highest_mib) = std::thread::scope(|scope| {
        let memory = scope.spawn(|| {
            let mut highest = 0.0_f64;
            while !is_over.load(Ordering::Relaxed) {
                highest = highest.max(program.own_memory_mib());
                std::thread::sleep(LOOK_EVERY);
            }
            highest
        });
        let gets = scope.spawn(|| generator::paced(program.address, &gets, GETS, size.time));
        let posts = generator::paced(program.address, &posts, POSTS, size.time);
        let gets = gets.join().expect("the reads end well");
        is_over.store(true, Ordering::Relaxed);
        (posts, gets, memory.join().expect("memory can be looked at"))
    });
    drop(flood);
    std::thread::sleep(SETTLE);
    Polite { posts, gets, highest_mib, after_mib: program.own_memory_mib() }
}

/// The greedy client, until it is dropped.
struct Flood(Child);

impl Flood {
    fn start(address: SocketAddr, token: &str, kind: &str) -> Flood {
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command.args(["flood", kind]).arg(address.to_string()).arg(token);
        Flood(command.stdout(Stdio::null()).spawn().expect("the flood starts"))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
