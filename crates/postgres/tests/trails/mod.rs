//! Trails that deliver to a store, and the check that the store holds what they do.

#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub
)]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trailseal_core::deliver::{DeliveryState, DeliveryStats};
use trailseal_core::file::StdFiles;
use trailseal_core::{Notice, Options, Reader, Trail};
use trailseal_event::line::parse_front;
use trailseal_event::{Event, Outcome};
use trailseal_postgres::{StoreSink, StoreUrl};
use trailseal_tlog::leaf_hash;

use crate::server::Server;

pub const SOON: Duration = Duration::from_secs(60);

pub fn options(origin: &str) -> Options {
    let mut options = Options::default();
    options.origin = Some(origin.to_owned());
    options.handoff.size_bytes = 1 << 20;
    // A busy machine may need long.
    (options.handoff.timeout, options.policy.otherwise.timeout) = (SOON, SOON);
    options.disk_reserve_bytes = Some(0);
    options.seal_every = Duration::from_millis(5);
    options.on_notice = Some(Arc::new(|notice: &Notice| println!("{notice}")));
    options
}

/// Opens a trail that delivers to the store.
pub fn delivering(dir: &Path, options: Options, url: &StoreUrl) -> Trail {
    let trail = Trail::open(dir, options).unwrap();
    trail.deliver_to_store(Box::new(StoreSink::new(url.clone(), trail.origin()))).unwrap();
    trail
}

pub fn event(number: u64) -> Event {
    Event::new(format!("do.{}", number % 7))
        .description(format!("event {number}"))
        .tenant(format!("t{}", number % 3))
        .actor(format!("u{}", number % 50))
        .resource("thing", format!("r{}", number % 20))
        .outcome([Outcome::Success, Outcome::Denied][usize::from(number.is_multiple_of(9))])
}

pub fn record(trail: &Trail, numbers: std::ops::Range<u64>) {
    for number in numbers {
        trail.record(&event(number)).unwrap();
    }
}

pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The state of the delivery to the store.
pub fn delivery(trail: &Trail) -> DeliveryStats {
    trail.stats().deliveries.into_iter().find(|sink| sink.name == trailseal_postgres::SINK_NAME).unwrap()
}

/// Waits until everything accepted is stored.
pub fn wait_stored(trail: &Trail) {
    trail.flush(SOON).unwrap();
    wait_until("everything is stored", || {
        let stats = trail.stats();
        delivery(trail).cursor.get() == stats.durable && stats.durable == stats.accepted
    });
}

/// Why the delivery fails, once it does.
pub fn wait_failing(trail: &Trail) -> String {
    let mut why = String::new();
    wait_until("delivery fails", || match delivery(trail).state {
        DeliveryState::Failing { reason } => {
            why = reason;
            true
        }
        _ => false,
    });
    why
}

/// Why it was stopped, and at which event, once it is.
pub fn wait_stopped(trail: &Trail) -> (u64, String) {
    let mut why = None;
    wait_until("delivery is stopped", || match delivery(trail).state {
        DeliveryState::Stopped { at, reason } => {
            why = Some((at.get(), reason));
            true
        }
        _ => false,
    });
    why.unwrap()
}

/// The lines of a trail with their indexes.
pub fn lines(dir: &Path) -> Vec<(u64, Vec<u8>)> {
    let mut reader = Reader::open(dir, Arc::new(StdFiles)).unwrap();
    let mut lines = Vec::new();
    let mut keep = |_, line: &[u8]| {
        lines.push((parse_front(line).unwrap().index, line.to_vec()));
        ControlFlow::Continue(())
    };
    reader.for_each(0..u64::MAX, &mut keep).unwrap();
    lines
}

/// The store holds exactly the trail's lines, each once, with their leaves; cursor and extents say so.
pub fn check_equal(server: &Server, origin: &str, dir: &Path) {
    let wanted: Vec<Vec<String>> = lines(dir)
        .iter()
        .map(|(index, line)| vec![index.to_string(), hex(line), hex(&leaf_hash(line).0)])
        .collect();
    assert!(wanted.len() > 1);
    let of = format!("FROM trailseal.events WHERE origin = '{origin}'");
    let stored =
        server.rows(&format!("SELECT idx, encode(line, 'hex'), encode(leaf, 'hex') {of} ORDER BY idx"));
    let differs = stored.iter().zip(&wanted).position(|(stored, wanted)| stored != wanted);
    assert_eq!((stored.len(), differs), (wanted.len(), None), "rows, and the first that differs");
    let [index, _, leaf] = &wanted.last().unwrap()[..] else { panic!() };
    let next = (index.parse::<u64>().unwrap() + 1).to_string();
    let cursor = format!("SELECT next, encode(leaf, 'hex') FROM trailseal.cursors WHERE origin = '{origin}'");
    assert_eq!(server.rows(&cursor), [[next, leaf.clone()]]);
    let extents = format!(
        "SELECT partition, first_idx, last_idx, min_time, rows FROM trailseal.extents WHERE origin = '{origin}' ORDER BY 1"
    );
    let counted = format!(
        "SELECT tableoid::regclass::text, min(idx), max(idx), min(time), count(*) {of} GROUP BY 1 ORDER BY 1"
    );
    let counted = server.rows(&counted).into_iter().map(|mut row| {
        row[0] = row[0].trim_start_matches("trailseal.").to_owned();
        row
    });
    assert_eq!(server.rows(&extents), counted.collect::<Vec<_>>());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Copies a trail's folder as it is.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to.join(entry.file_name())),
            false => _ = std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap(),
        }
    }
}
