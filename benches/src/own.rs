//! Trailseal's own figures, each beside what limits it in the same run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use trailseal_benches_report::names;
use trailseal_core::{Ack, AnyEvent, HandoffPlace, Options, RecordOptions, Status, Trail};
use trailseal_event::line::rewrite_clean;
use trailseal_event::mask::{MaskOptions, Masker};
use trailseal_event::{Event, Timestamp};
use trailseal_index::{IndexOptions, Indexer};

use crate::{load, raw};

const ONCE: RecordOptions = RecordOptions::new().once();

/// Calls a second, where what a caller waits is asked for.
const PACE: u64 = 50_000;
pub(crate) const CLOSE: Duration = Duration::from_secs(120);

pub(crate) fn fresh(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    let _ = std::fs::remove_dir_all(&path);
    path
}

/// The handoff on tmpfs where `TRAILSEAL_BENCH_HANDOFF` names a place; else in the trail's folder.
pub(crate) fn options() -> Options {
    let mut options = Options::default();
    if let Ok(place) = std::env::var("TRAILSEAL_BENCH_HANDOFF") {
        options.handoff.place = HandoffPlace::File(place.into());
    }
    if let Some(size) = std::env::var("TRAILSEAL_BENCH_SIZE").ok().and_then(|text| text.parse().ok()) {
        options.handoff.size_bytes = size;
    }
    options.handoff.timeout = Duration::from_secs(5);
    options
}

fn line_len(dir: &Path) -> usize {
    let path = dir.join("segments/00000000000000000000.jsonl");
    let bytes = std::fs::read(path).expect("a segment");
    bytes.split(|&byte| byte == b'\n').nth(2).map_or(600, <[u8]>::len)
}

/// `record()`, async, one thread, 50,000 a second: without masking, with it, and with the index running, too.
/// Beside them, in the same run, what `serde_json` takes for the same event's text.
pub fn paced(dir: &Path) {
    let reference = raw::serde_json_ns();
    for (how, is_masked, is_indexed) in
        [(names::UNMASKED, false, false), (names::MASKED, true, false), (names::INDEXED, true, true)]
    {
        let dir = fresh(dir, "paced");
        let mut options = options();
        options.mask.enabled = is_masked;
        let trail = Trail::open(&dir, options).expect("opens");
        if is_indexed {
            index(&trail);
        }
        let call = |event: &Event| drop(trail.record(event));
        load::paced(PACE, Duration::from_secs(1), load::event, call);
        let histogram = load::paced(PACE, Duration::from_secs(5), load::event, call);
        trail.close(CLOSE).expect("closes");
        let mut numbers = load::percentiles(&histogram);
        numbers.push(("line_bytes", line_len(&dir) as f64));
        numbers.push(("serde_json_to_text_ns", reference));
        load::print(&names::paced(PACE, how), &numbers);
    }
}

/// The same with masking, at other rates.
pub fn load(dir: &Path) {
    for rate in [1_000, 10_000, 100_000, 200_000, 300_000] {
        let trail = Trail::open(fresh(dir, "load"), options()).expect("opens");
        let call = |event: &Event| drop(trail.record(event));
        load::paced(rate, Duration::from_secs(1), load::event, call);
        let histogram = load::paced(rate, LOAD_TIME, load::event, call);
        trail.close(CLOSE).expect("closes");
        let mut numbers = load::percentiles(&histogram);
        numbers.push(("calls_per_second", histogram.len() as f64 / LOAD_TIME.as_secs_f64()));
        load::print(&names::paced(rate, names::MASKED), &numbers);
    }
}

const LOAD_TIME: Duration = Duration::from_secs(4);

fn index(trail: &Trail) {
    let folder = trail.folder().root().join(trailseal_index::FOLDER);
    let indexer = Indexer::open(folder, IndexOptions::new(trail.origin())).expect("an index");
    trail.deliver_to_store(Box::new(indexer)).expect("delivers");
}

/// Events that come as JSON text: nanoseconds a call, flat out, masking included; to the line alone, and to the handoff.
pub fn text(dir: &Path) {
    text_to_line();
    let trail = Trail::open(fresh(dir, "text"), options()).expect("opens");
    let texts: Vec<String> = (0..1000).map(load::text).collect();
    let mut histogram = load::histogram();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        for text in &texts {
            let at = Instant::now();
            let recorded = trail.with(ONCE).record(AnyEvent::Json(text.as_bytes()));
            let _ = histogram.record(at.elapsed().as_nanos() as u64);
            assert!(recorded.is_ok());
        }
        // So that the calls are not those of a full buffer.
        trail.flush(CLOSE).expect("everything is on disk");
    }
    trail.close(CLOSE).expect("closes");
    let mut numbers = load::percentiles(&histogram);
    numbers.push(("text_bytes", texts[0].len() as f64));
    load::print(names::TEXT_TO_HANDOFF, &numbers);
}

fn text_to_line() {
    let masker = Masker::new(&MaskOptions::default()).expect("a masker");
    let texts: Vec<String> = (0..1000).map(load::long_text).collect();
    let (now, mut line) = (Timestamp::from_micros(1_795_233_600_123_456), Vec::new());
    let mut histogram = load::histogram();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        for text in &texts {
            let at = Instant::now();
            line.clear();
            let written = rewrite_clean(&masker, text.as_bytes(), now, &mut line);
            let _ = histogram.record(at.elapsed().as_nanos() as u64);
            assert!(written.is_some());
        }
    }
    let mut numbers = load::percentiles(&histogram);
    numbers.push(("text_bytes", texts[0].len() as f64));
    load::print(names::TEXT_TO_LINE, &numbers);
}

/// Into the index: lines read from the segments, parsed, and committed with the cursor.
pub fn indexing(dir: &Path) {
    let folder = fresh(dir, "indexing");
    trail_of(&folder, 2_000_000);
    let at = Instant::now();
    let trail = Trail::open(&folder, options()).expect("opens");
    index(&trail);
    while trail.stats().deliveries[0].lag_events > 0 || trail.stats().deliveries[0].cursor.get() == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let elapsed = at.elapsed().as_secs_f64();
    let events = trail.close(CLOSE).expect("closes").events as f64;
    let bytes = bytes_in(&folder.join(trailseal_index::FOLDER)) as f64;
    load::print(
        names::INDEXING,
        &[
            ("events", events),
            ("events_per_second", events / elapsed),
            ("bytes_per_event", bytes / events),
            ("rss_mib", load::memory_mib().0),
        ],
    );
    let _ = std::fs::remove_dir_all(folder);
}

/// `record()`, async, one thread flat out, without measuring each call: nanoseconds a call.
pub fn flat(dir: &Path) {
    let trail = Trail::open(fresh(dir, "flat"), options()).expect("opens");
    let events = load::events(1000);
    let (begun, mut calls) = (Instant::now(), 0u64);
    while begun.elapsed() < Duration::from_secs(5) {
        for event in &events {
            calls += u64::from(trail.record(event).is_ok());
        }
    }
    let mean = begun.elapsed().as_nanos() as f64 / calls as f64;
    trail.close(CLOSE).expect("closes");
    load::print(names::FLAT_OUT, &[("mean_ns", mean), ("calls", calls as f64)]);
}

/// `record()` after a pause: the caches are cold.
pub fn cold(dir: &Path) {
    let trail = Trail::open(fresh(dir, "cold"), options()).expect("opens");
    let events = load::events(1000);
    let mut histogram = load::histogram();
    for number in 0..60 {
        std::thread::sleep(Duration::from_millis(100));
        let at = Instant::now();
        trail.record(&events[number]).expect("accepted");
        let _ = histogram.record(at.elapsed().as_nanos() as u64);
    }
    trail.close(CLOSE).expect("closes");
    load::print(names::COLD, &load::percentiles(&histogram));
}

/// `record()`, async, 8 threads flat out, without masking and with it.
pub fn threads(dir: &Path) {
    threads_with(dir, false, names::UNMASKED);
    threads_with(dir, true, names::MASKED);
}

fn threads_with(dir: &Path, is_masked: bool, how: &str) {
    let mut options = options();
    options.mask.enabled = is_masked;
    let trail = Trail::open(fresh(dir, "threads"), options).expect("opens");
    let histograms: Vec<_> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|_| {
                let trail = trail.clone();
                scope.spawn(move || {
                    let mut histogram = load::histogram();
                    let begun = Instant::now();
                    let mut number = 0;
                    while begun.elapsed() < Duration::from_secs(5) {
                        number += 1;
                        let event = load::event(number);
                        let at = Instant::now();
                        if trail.record(&event).is_ok() {
                            let _ = histogram.record(at.elapsed().as_nanos() as u64);
                        }
                    }
                    histogram
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().expect("ends")).collect()
    });
    let mut all = load::histogram();
    histograms.iter().for_each(|histogram| all.add(histogram).expect("same bounds"));
    trail.close(CLOSE).expect("closes");
    load::print(&names::threads(how), &load::percentiles(&all));
}

/// 30 seconds of two producers flat out, durable and sealed; beside the raw disk and hash.
///
/// With a buffer of 16 MiB, and with the default, of which producers that may wait use as much while the disk works.
pub fn sustained(dir: &Path) {
    for size_mib in [16, 64] {
        sustained_with(dir, size_mib);
    }
}

fn sustained_with(dir: &Path, size_mib: u64) {
    let folder = fresh(dir, &format!("sustained-{size_mib}-{}", std::process::id()));
    trail_of(&folder, 100);
    let line_bytes = line_len(&folder);
    let seconds =
        std::env::var("TRAILSEAL_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let time = Duration::from_secs(seconds);
    let raw_before = raw::write_and_hash(dir, line_bytes, time / 2);
    let mut options = options();
    options.handoff.size_bytes = size_mib << 20;
    let trail = Trail::open(&folder, options).expect("opens");
    let stop = Arc::new(AtomicBool::new(false));
    let accepted = AtomicU64::new(0);
    let begun = Instant::now();
    let lag = std::thread::scope(|scope| {
        for _ in 0..2 {
            let (trail, stop, accepted) = (trail.clone(), stop.clone(), &accepted);
            scope.spawn(move || {
                let events = load::events(1000);
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    number = (number + 1) % 1000;
                    if trail.record(&events[number]).is_ok() {
                        accepted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        // How long what was accepted at some moment takes to be durable.
        let mut lag = load::histogram();
        while begun.elapsed() < time {
            let (at, index) = (Instant::now(), trail.stats().accepted);
            while trail.stats().durable < index {
                std::thread::sleep(Duration::from_micros(200));
            }
            let _ = lag.record(at.elapsed().as_nanos() as u64);
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
        lag
    });
    let stopped = Instant::now();
    trail.seal(CLOSE).expect("everything is sealed");
    let behind = stopped.elapsed().as_secs_f64();
    let elapsed = begun.elapsed().as_secs_f64();
    let closed = trail.close(CLOSE).expect("closes");
    let raw_after = raw::write_and_hash(dir, line_bytes, time / 2);
    let rate = closed.sealed as f64 / elapsed;
    let raw_rate = (raw_before + raw_after) / 2.0;
    load::print(
        &names::sustained(size_mib),
        &[
            ("events", closed.sealed as f64),
            ("seconds", elapsed),
            ("events_per_second", rate),
            ("raw_events_per_second", raw_rate),
            ("of_raw", rate / raw_rate),
            ("sealer_behind_seconds", behind),
            ("accepted_to_durable_p50_ms", lag.value_at_quantile(0.5) as f64 / 1e6),
            ("accepted_to_durable_p99_ms", lag.value_at_quantile(0.99) as f64 / 1e6),
            ("line_bytes", line_bytes as f64),
        ],
    );
    let _ = std::fs::remove_dir_all(folder);
}

/// 3,000 async events a second for ten seconds, that nobody waits for: what the writer's thread costs beside them. With
/// `commit.linger_ms` at its default, and at 0.
pub fn trickle(dir: &Path) {
    const A_SECOND: u64 = 3_000;
    const SECONDS: u64 = 10;
    for linger in [Options::default().linger, Duration::ZERO] {
        let mut options = options();
        options.linger = linger;
        let trail = Trail::open(fresh(dir, "trickle"), options).expect("opens");
        let events = load::events(1000);
        let (cpu, commits) = (writer_cpu(), trail.stats().counted.commits);
        let begun = Instant::now();
        for number in 0..A_SECOND * SECONDS {
            let due = begun + Duration::from_micros(number * 1_000_000 / A_SECOND);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            trail.record(&events[number as usize % 1000]).expect("accepted");
        }
        let elapsed = begun.elapsed().as_secs_f64();
        let cpu = writer_cpu() - cpu;
        let commits = trail.stats().counted.commits - commits;
        trail.close(CLOSE).expect("closes");
        load::print(
            &names::trickle(linger.as_millis()),
            &[
                ("writer_cpu_us_per_event", cpu * 1e6 / (A_SECOND * SECONDS) as f64),
                ("syncs_per_second", commits as f64 / elapsed),
            ],
        );
    }
}

/// Seconds of processor time that the writer's thread has used, of user and system.
fn writer_cpu() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let ticks = tasks.flatten().find_map(|task| {
        // The kernel keeps 15 bytes of a thread's name.
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        if name.trim() != "trailseal-write" {
            return None;
        }
        let schedstat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        schedstat.split(' ').next()?.parse::<f64>().ok()
    });
    ticks.expect("the writer runs") / 1e9
}

/// `record()`, sync: `callers` threads for five seconds; beside the raw fdatasync.
pub fn sync(dir: &Path, callers: u64) {
    let raw = raw::sync_4k(dir, 3000);
    let trail = Trail::open(fresh(dir, "sync"), options()).expect("opens");
    let time = Duration::from_secs(5);
    let begun = Instant::now();
    let histograms: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..callers)
            .map(|_| {
                let trail = trail.clone();
                scope.spawn(move || {
                    let events = load::events(100);
                    let mut histogram = load::histogram();
                    let mut number = 0;
                    while begun.elapsed() < time {
                        number = (number + 1) % 100;
                        let at = Instant::now();
                        let receipt = trail.with(Ack::Durable).record(&events[number]).expect("accepted");
                        assert_eq!(receipt.status, Status::Durable);
                        let _ = histogram.record(at.elapsed().as_nanos() as u64);
                    }
                    histogram
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("ends")).collect()
    });
    let elapsed = begun.elapsed().as_secs_f64();
    let mut all = load::histogram();
    histograms.iter().for_each(|histogram| all.add(histogram).expect("same bounds"));
    trail.close(CLOSE).expect("closes");
    let raw_after = raw::sync_4k(dir, 3000);
    let raw = f64::midpoint(raw, raw_after);
    let mut numbers = load::percentiles(&all);
    numbers.push(("events_per_second", all.len() as f64 / elapsed));
    numbers.push(("raw_fdatasync_p50_ns", raw));
    numbers.push(("of_raw", all.value_at_quantile(0.5) as f64 / raw));
    load::print(&names::sync(callers), &numbers);
}

fn trail_of(dir: &Path, events: u64) {
    let trail = Trail::open(dir, options()).expect("opens");
    let made = load::events(1000);
    let mut recorded = 0;
    while recorded < events {
        if trail.record(&made[recorded as usize % 1000]).is_ok() {
            recorded += 1;
        }
    }
    trail.close(CLOSE).expect("closes");
}

fn bytes_in(dir: &Path) -> u64 {
    std::fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("entry").metadata().expect("data").len())
        .sum()
}

/// Opening after a clean close, and memory, at 2,000,000 and 10,000,000 events.
pub fn open(dir: &Path) {
    let folder = fresh(dir, "open");
    for events in [2_000_000, 8_000_000] {
        trail_of(&folder, events);
        let mut times = Vec::new();
        let mut total = 0;
        for _ in 0..5 {
            let at = Instant::now();
            let trail = Trail::open(&folder, options()).expect("opens");
            times.push(at.elapsed().as_secs_f64() * 1e3);
            total = trail.stats().accepted;
            trail.close(CLOSE).expect("closes");
        }
        times.sort_by(f64::total_cmp);
        load::print(
            names::OPEN,
            &[
                ("events", total as f64),
                ("p50_ms", times[2]),
                ("max_ms", times[4]),
                ("rss_mib", load::memory_mib().0),
            ],
        );
    }
    let _ = std::fs::remove_dir_all(folder);
}

/// Verifying from the page cache, with one thread and with two.
pub fn verify(dir: &Path) {
    let folder = fresh(dir, "verify");
    trail_of(&folder, 1_700_000);
    let bytes = bytes_in(&folder.join("segments")) as f64;
    let hash = raw::hash_rate(640);
    for threads in [1, 2] {
        let mut rates = Vec::new();
        for _ in 0..3 {
            let at = Instant::now();
            own_verify(&folder, threads);
            rates.push(bytes / at.elapsed().as_secs_f64());
        }
        rates.sort_by(f64::total_cmp);
        load::print(
            &names::verify(threads),
            &[
                ("bytes", bytes),
                ("bytes_per_second", rates[1]),
                ("raw_hash_bytes_per_second", hash),
                ("of_raw", rates[1] / hash),
                ("peak_rss_mib", load::memory_mib().1),
            ],
        );
    }
    let _ = std::fs::remove_dir_all(folder);
}

fn own_verify(folder: &Path, threads: usize) {
    use trailseal_core::{Folder, file::StdFiles, verify};
    load::forget_highest_memory();
    let options = verify::VerifyOptions { threads, ..Default::default() };
    let verdict =
        verify::verify(&Folder::new(folder, Arc::new(StdFiles)), &options).expect("can be looked at");
    assert!(verdict.ok, "{verdict}");
}
