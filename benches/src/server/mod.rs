//! The server, as it is shipped, beside bare axum in the same run. Each server is a process of its own, so what it
//! takes and what the generator takes can be told apart.

pub mod floods;
mod generator;
mod process;
mod reference;

use std::path::Path;
use std::time::{Duration, Instant};

pub use process::program;
pub use reference::serve as serve_reference;

use trailseal_benches_report::names;

use crate::load;
use generator::{Done, Until};
use process::{Program, own_cpu};

const CONNECTIONS: usize = 64;
/// Requests a second, where what a caller waits is asked for.
const PACES: [u64; 4] = [5_000, 10_000, 20_000, 40_000];
const BATCH_EVENTS: u64 = 1_000;
const BATCH_CONNECTIONS: u64 = 8;
const TENANTS: u64 = 100;

/// How much is measured.
pub struct Size {
    time: Duration,
    /// Events at which memory is looked at.
    events: [u64; 3],
    pages: u64,
}

impl Size {
    /// For figures.
    pub const WHOLE: Size =
        Size { time: Duration::from_secs(5), events: [1_000_000, 5_000_000, 10_000_000], pages: 2_000 };
    /// To see in less than a minute that everything works; the figures mean nothing.
    pub const SMALL: Size =
        Size { time: Duration::from_millis(500), events: [5_000, 10_000, 20_000], pages: 50 };
}

pub fn all(dir: &Path, size: &Size) {
    single(dir, size, "accepted");
    single(dir, size, "durable");
    all_paced(dir, size);
    batches(dir, size, false);
    batches(dir, size, true);
    memory_and_pages(dir, size);
}

/// What one load took.
struct Measured {
    done: Done,
    server_cpu: f64,
    generator_cpu: f64,
}

fn measure(program: &Program, load: impl FnOnce() -> Done) -> Measured {
    let (server, own) = (program.cpu(), own_cpu());
    let done = load();
    Measured { server_cpu: program.cpu() - server, generator_cpu: own_cpu() - own, done }
}

impl Measured {
    /// Adds a load that came after this one.
    fn add(&mut self, other: Measured) {
        self.done.add(other.done);
        self.server_cpu += other.server_cpu;
        self.generator_cpu += other.generator_cpu;
    }

    fn rate(&self) -> f64 {
        self.done.latency.len() as f64 / self.done.elapsed.as_secs_f64()
    }

    /// Latencies, and how many cores the server and the generator kept busy.
    fn numbers(&self) -> Vec<(&'static str, f64)> {
        let elapsed = self.done.elapsed.as_secs_f64();
        let mut numbers = load::percentiles(&self.done.latency);
        numbers.push(("not_accepted", self.done.failed as f64));
        numbers.push(("server_cores", self.server_cpu / elapsed));
        numbers.push(("generator_cores", self.generator_cpu / elapsed));
        numbers
    }
}

fn post(token: &str, path: &str, body: &str) -> Vec<u8> {
    posted(token, path, "Content-Type: application/json", body.as_bytes())
}

/// With a body that is packed.
fn packed(token: &str, path: &str, body: &[u8]) -> Vec<u8> {
    posted(token, path, "Content-Encoding: gzip", body)
}

fn posted(token: &str, path: &str, header: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         {header}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn get(token: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes()
}

fn singles(program: &Program, path: &str) -> Vec<Vec<u8>> {
    (0..CONNECTIONS as u64).map(|number| post(&program.token, path, &load::text(number))).collect()
}

/// Single events by keep-alive, flat out; beside bare axum that keeps the same promise.
fn single(dir: &Path, size: &Size, ack: &str) {
    let flat_out = |program: &Program| {
        let requests = singles(program, &format!("/v1/events?ack={ack}"));
        generator::flat_out(program.address, &requests, Until::Time(size.time / 5));
        measure(program, || generator::flat_out(program.address, &requests, Until::Time(size.time)))
    };
    let axum = || flat_out(&Program::reference(dir, ack));
    let before = axum();
    let measured = flat_out(&Program::server(dir, &[]));
    let after = axum();
    let reference = f64::midpoint(before.rate(), after.rate());
    let mut numbers = measured.numbers();
    numbers.push(("requests_per_second", measured.rate()));
    numbers.push(("axum_requests_per_second", reference));
    numbers.push(("axum_p99_ns", after.done.latency.value_at_quantile(0.99) as f64));
    numbers.push(("axum_cores", after.server_cpu / after.done.elapsed.as_secs_f64()));
    numbers.push(("axum_share", measured.rate() / reference));
    load::print(&names::posts(ack), &numbers);
}

/// Requests a second that an endpoint answers, flat out.
pub fn endpoint_flat_out(dir: &Path, kind: &str, time: Duration) -> f64 {
    let program = Program::endpoint(dir, kind);
    let requests = singles(&program, "/v1/events");
    generator::flat_out(program.address, &requests, Until::Time(time / 5));
    measure(&program, || generator::flat_out(program.address, &requests, Until::Time(time))).rate()
}

/// What callers of an endpoint wait at a rate: p99 in nanoseconds.
pub fn endpoint_paced(dir: &Path, kind: &str, rate: u64, time: Duration) -> f64 {
    let program = Program::endpoint(dir, kind);
    let requests = singles(&program, "/v1/events");
    generator::paced(program.address, &requests, rate, time / 5);
    let done = generator::paced(program.address, &requests, rate, time);
    done.latency.value_at_quantile(0.99) as f64
}

/// At several rates.
pub fn all_paced(dir: &Path, size: &Size) {
    PACES.into_iter().for_each(|rate| paced(dir, size, rate));
}

/// Single events at a fixed rate: what a caller waits; beside bare axum at the same rate.
fn paced(dir: &Path, size: &Size, rate: u64) {
    let paced = |program: &Program| {
        let requests = singles(program, "/v1/events");
        generator::paced(program.address, &requests, rate, size.time / 5);
        measure(program, || generator::paced(program.address, &requests, rate, size.time))
    };
    let axum = || paced(&Program::reference(dir, "accepted"));
    let mut reference = axum();
    let measured = paced(&Program::server(dir, &[]));
    reference.add(axum());
    let mut numbers = measured.numbers();
    numbers.push(("requests_per_second", measured.rate()));
    for (name, quantile) in [("axum_p50_ns", 0.5), ("axum_p99_ns", 0.99), ("axum_p999_ns", 0.999)] {
        numbers.push((name, reference.done.latency.value_at_quantile(quantile) as f64));
    }
    numbers.push(("axum_cores", reference.server_cpu / reference.done.elapsed.as_secs_f64()));
    load::print(&names::posts_paced(rate), &numbers);
}

/// A request of many events, of tenants that are many, too.
fn batch(program: &Program, number: u64) -> Vec<u8> {
    let events = (number * BATCH_EVENTS..(number + 1) * BATCH_EVENTS)
        .map(|number| load::text(number).replace("tenant-42", &format!("tenant-{}", number % TENANTS)));
    post(&program.token, "/v1/events?ack=durable", &events.collect::<Vec<_>>().join("\n"))
}

/// NDJSON, durable, with default masking.
fn batches(dir: &Path, size: &Size, is_indexed: bool) {
    let enabled = if is_indexed { "true" } else { "false" };
    let program = Program::server(dir, &[("TRAILSEAL_INDEX__ENABLED", enabled)]);
    let requests: Vec<_> = (0..BATCH_CONNECTIONS).map(|number| batch(&program, number)).collect();
    generator::flat_out(program.address, &requests, Until::Time(size.time / 5));
    wait_for_index(&program);
    let begun = Instant::now();
    let measured =
        measure(&program, || generator::flat_out(program.address, &requests, Until::Time(size.time)));
    let mut numbers = measured.numbers();
    numbers.push(("events_per_second", measured.rate() * BATCH_EVENTS as f64));
    if is_indexed {
        wait_for_index(&program);
        let events = measured.done.latency.len() * BATCH_EVENTS;
        numbers.push(("events_per_second_until_indexed", events as f64 / begun.elapsed().as_secs_f64()));
    }
    load::print(&names::batches(is_indexed), &numbers);
}

/// The server's memory while its trail grows, and at the end pages of the newest events of one tenant.
fn memory_and_pages(dir: &Path, size: &Size) {
    let program = Program::server(dir, &[]);
    let requests: Vec<_> = (0..BATCH_CONNECTIONS).map(|number| batch(&program, number)).collect();
    let mut sent = 0;
    for events in size.events {
        let more = (events - sent) / BATCH_EVENTS;
        generator::flat_out(program.address, &requests, Until::Accepted(more));
        sent = events;
        wait_for_index(&program);
        let (now, highest) = program.memory_mib();
        let numbers = [("events", events as f64), ("rss_mib", now), ("peak_rss_mib", highest)];
        load::print(&names::memory(events as f64 / 1e6), &numbers);
    }
    let page = |tenant: u64| get(&program.token, &format!("/v1/events?tenant=tenant-{tenant}&limit=50"));
    let measured = measure(&program, || {
        let mut all = generator::flat_out(program.address, &[page(0)], Until::Accepted(1));
        for tenant in 1..TENANTS {
            let until = Until::Accepted((size.pages / TENANTS).max(1));
            all.add(generator::flat_out(program.address, &[page(tenant)], until));
        }
        all
    });
    load::print(&names::pages(sent as f64 / 1e6), &measured.numbers());
}

fn wait_for_index(program: &Program) {
    while program.metric("trailseal_not_durable_events") > 0.0
        || program.metric("trailseal_sink_lag_events") > 0.0
    {
        std::thread::sleep(Duration::from_millis(2));
    }
}
