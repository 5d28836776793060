//! A store that fails in one way after the other, in an order by chance and at moments by chance, while events are recorded without a
//! pause: in the end it holds every index once, none is missing, and it verifies.
//!
//! Any run takes each way once. The whole is `cargo xtask long`, which keeps what came of it in `crates/postgres/results/outages.txt`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod kills;
mod proxy;
mod server;
mod trails;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kills::Random;
use proxy::Proxy;
use server::{Server, rows};
use trails::{
    SOON, check_equal, delivering, delivery, options, record, wait_failing, wait_stored, wait_until,
};
use trailseal_core::Trail;
use trailseal_core::deliver::DeliveryState;
use trailseal_core::file::StdFiles;
use trailseal_postgres::StoreUrl;
use trailseal_postgres::verify::{StoreVerifyOptions, verify_store};

const ORIGIN: &str = "example.com/rounds";
const CONNECTIONS: &str = "max_connections=8";

/// How a store fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Stopped,
    Restarted,
    Killed,
    CutOff,
    Slow,
    OutOfConnections,
    ReadOnly,
    CutInCopy,
    AnswerLost,
}

impl Way {
    const ALL: [(Way, &str); 9] = [
        (Way::Stopped, "stopped, and started later"),
        (Way::Restarted, "restarted"),
        (Way::Killed, "killed, with all its processes"),
        (Way::CutOff, "its connections cut, again and again"),
        (Way::Slow, "slow: frozen, or far away"),
        (Way::OutOfConnections, "out of connections"),
        (Way::ReadOnly, "read-only"),
        (Way::CutInCopy, "cut in the middle of the rows of a COPY"),
        (Way::AnswerLost, "cut after a commit, before its answer"),
    ];
}

/// A store that fails, and a trail that delivers to it by way of a proxy.
struct Scene {
    server: Server,
    proxy: Proxy,
    trail: Trail,
    random: Random,
}

impl Scene {
    fn fail(&mut self, way: Way) {
        let pause = Duration::from_millis(self.random.below(400));
        match way {
            Way::Stopped | Way::Killed | Way::Restarted => {
                // In the middle of whatever it does.
                std::thread::sleep(pause / 4);
                if way == Way::Killed {
                    self.server.kill()
                } else {
                    self.server.stop()
                }
                if way != Way::Restarted {
                    wait_failing(&self.trail);
                    std::thread::sleep(pause);
                }
                self.server.start_again();
            }
            Way::CutOff => {
                let (end, before) = (Instant::now() + pause, delivery(&self.trail).failures);
                wait_until("its connections are cut", || {
                    self.server.cut_off();
                    std::thread::sleep(Duration::from_millis(20));
                    Instant::now() >= end && delivery(&self.trail).failures > before
                });
            }
            Way::Slow => {
                self.proxy.delay(Duration::from_millis(5 + self.random.below(60)));
                std::thread::sleep(pause);
                self.server.freeze(true);
                std::thread::sleep(pause);
                self.server.freeze(false);
                self.proxy.delay(Duration::ZERO);
            }
            Way::OutOfConnections => {
                let (mut held, mut ours) = (Vec::new(), Vec::new());
                // The trail's own has to go, and may come back before its place is taken.
                wait_until("nobody can connect", || {
                    while let Ok(mut connection) = self.server.url().connect(&Default::default()) {
                        ours.push(rows(&mut connection, "SELECT pg_backend_pid()").remove(0).remove(0));
                        held.push(connection);
                    }
                    let others = format!(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                         WHERE backend_type = 'client backend' AND pid NOT IN ({})",
                        ours.join(", ")
                    );
                    rows(&mut held[0], &others);
                    let state = delivery(&self.trail).state;
                    matches!(state, DeliveryState::Failing { reason } if reason.contains("53300"))
                });
                std::thread::sleep(pause);
            }
            Way::ReadOnly => {
                self.server.set("default_transaction_read_only", "on");
                self.server.cut_off();
                wait_until("it says so", || wait_failing(&self.trail).contains("read-only"));
                std::thread::sleep(pause);
                self.server.set("default_transaction_read_only", "");
            }
            Way::CutInCopy => {
                let before = self.proxy.copies_cut();
                self.proxy.cut_next_copy_after(1 + self.random.below(4_000));
                wait_until("a COPY is cut", || self.proxy.copies_cut() > before);
            }
            Way::AnswerLost => {
                let before = self.proxy.swallowed();
                self.proxy.swallow_next_commit();
                wait_until("the answer to a commit is lost", || self.proxy.swallowed() > before);
            }
        }
    }
}

/// Each way as often as any other, in an order by chance.
fn order(rounds: usize, random: &mut Random) -> Vec<(Way, &'static str)> {
    let mut ways: Vec<_> = Way::ALL.into_iter().cycle().take(rounds).collect();
    for at in (1..ways.len()).rev() {
        ways.swap(at, random.below(at as u64 + 1) as usize);
    }
    ways
}

/// Records without a pause, not much faster than a store takes it, until `ends`.
fn record_on(trail: &Trail, recorded: &AtomicU64, ends: &AtomicBool) {
    while !ends.load(Ordering::Acquire) {
        let next = recorded.load(Ordering::Relaxed);
        record(trail, next..next + 20);
        recorded.store(next + 20, Ordering::Release);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn whatever_fails_in_the_store_every_index_is_there_once_and_it_verifies() {
    let rounds: usize =
        std::env::var("TRAILSEAL_OUTAGE_ROUNDS").map_or(Way::ALL.len(), |rounds| rounds.parse().unwrap());
    let seed = std::env::var("TRAILSEAL_OUTAGE_SEED").map_or_else(
        |_| std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
        |seed| seed.parse().unwrap(),
    );
    println!("seed {seed}");
    let begun = Instant::now();
    let mut random = Random(seed);
    let ways = order(rounds, &mut random);
    let server = Server::start_own(&[CONNECTIONS, "superuser_reserved_connections=0"]);
    let proxy = Proxy::start(server.port());
    let url = StoreUrl::parse(&format!("postgres://test@127.0.0.1:{}/postgres", proxy.port)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let trail = delivering(dir.path(), options(ORIGIN), &url);
    wait_stored(&trail);
    let (recorded, ends) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut scene = Scene { server, proxy, trail: trail.clone(), random };
    std::thread::scope(|scope| {
        // A failed assertion must not leave this waiting for the other thread.
        let _ends = OnDrop(&ends);
        scope.spawn(|| record_on(&trail, &recorded, &ends));
        for (round, (way, name)) in ways.iter().enumerate() {
            println!("round {round}: {name}");
            scene.fail(*way);
            // Something more is stored before the next one, so that each meets a delivery that works.
            let wanted = scene.trail.stats().durable;
            wait_until("it goes on", || {
                let delivery = delivery(&scene.trail);
                delivery.cursor.get() >= wanted && delivery.state == DeliveryState::Running
            });
        }
    });
    wait_stored(&trail);
    let (events, failures) = (trail.stats().accepted, delivery(&trail).failures);
    assert!(recorded.load(Ordering::Acquire) > rounds as u64, "nothing was recorded meanwhile");
    trail.close(SOON).unwrap();
    check_equal(&scene.server, ORIGIN, dir.path());
    let trails = vec![trailseal_core::Folder::new(dir.path(), Arc::new(StdFiles))];
    let against = StoreVerifyOptions { trails, ..StoreVerifyOptions::default() };
    let verdicts = verify_store(&mut scene.server.connect(), &against).unwrap();
    assert!(verdicts.len() == 1 && verdicts[0].ok, "{verdicts:?}");
    let page = page(seed, &ways, events, failures, begun.elapsed());
    println!("{page}");
    if let Some(path) = std::env::var_os("TRAILSEAL_OUTAGE_RESULTS") {
        let path = std::path::PathBuf::from(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, page).unwrap();
    }
}

struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// What came of it, for the repository.
fn page(seed: u64, ways: &[(Way, &str)], events: u64, failures: u64, took: Duration) -> String {
    let mut page = String::from("A store that fails in every way. Made by `cargo xtask long`.\n\n");
    let commit = std::env::var("TRAILSEAL_COMMIT").unwrap_or_else(|_| "unknown".to_owned());
    let rounds = ways.len();
    let _ = write!(
        page,
        "command:  TRAILSEAL_OUTAGE_ROUNDS={rounds} TRAILSEAL_OUTAGE_SEED={seed} cargo test -p trailseal-postgres --test \
         outage_rounds\ncommit:   {commit}\nrounds:   {rounds}\nevents:   {events} recorded without a pause meanwhile\n\
         failures: {failures} that the delivery met and got over\nseconds:  {}\n\
         missing, doubled or changed in the store: 0; `verify_store`: ok\n\nrounds  PostgreSQL was\n",
        took.as_secs()
    );
    for (way, name) in Way::ALL {
        let _ = writeln!(page, "{:>6}  {name}", ways.iter().filter(|(it, _)| *it == way).count());
    }
    page
}
