//! Loads generated lines into an index and measures it.
//!
//! `cargo run --release -p trailseal-index --example load -- EVENTS [FOLDER] [--load-only] [--shuffled]`. The events are
//! those of `docs/benchmarks.md`: 259 ms apart, zipf over 100 tenants, 50,000 actors, 200 actions, 30 types, 1,000,000
//! resources, 50,000 addresses, 100,000 sessions; times up to 5 s out of order. `--shuffled`: recorded after all that, in any
//! order.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use trailseal_core::deliver::{Batch, BatchLine, Sink};
use trailseal_event::complete::complete;
use trailseal_event::filter::Filter;
use trailseal_event::line::{write_front, write_rest};
use trailseal_event::{Category, Event, Index, Outcome, Severity, Timestamp};
use trailseal_index::{FacetField, IndexOptions, IndexView, Indexer, Order};

const ORIGIN: &str = "example.org/load";
const BEGIN: i64 = 1_795_000_000_000_000;
const STEP: i64 = 259_000;

fn main() {
    let (flags, arguments): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let is_set = |name: &str| flags.iter().any(|flag| flag == name);
    let mut arguments = arguments.into_iter();
    let events: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let temporary = tempfile::tempdir().unwrap();
    let folder = arguments.next().map_or(temporary.path().join("index"), PathBuf::from);
    let zipf = Zipfs::new();
    if !folder.exists() {
        load(&folder, events, is_set("--shuffled"), &zipf);
    }
    if is_set("--load-only") {
        return;
    }
    let mut bytes = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        bytes += entry.unwrap().metadata().unwrap().len();
    }
    println!("{:.1} bytes an event on disk", bytes as f64 / events as f64);
    let begun = Instant::now();
    let mut view = IndexView::open(&folder, ORIGIN).unwrap().unwrap();
    println!("open: {:.2} ms; {} MiB resident", begun.elapsed().as_secs_f64() * 1e3, rss_mib());
    queries(&mut view, events, &zipf);
    println!("{} MiB resident at the end", rss_mib());
}

fn load(folder: &Path, events: u64, is_shuffled: bool, zipf: &Zipfs) {
    let mut options = IndexOptions::new(ORIGIN);
    options.batch_events_max = 1_000;
    let mut indexer = Indexer::open(folder, options).unwrap();
    let (mut spent, mut bytes, mut batches) = (Duration::ZERO, 0_u64, Vec::new());
    let base = rss_mib();
    let mut at = 0;
    while at < events {
        let n = 1_000.min(events - at);
        let lines: Vec<Vec<u8>> =
            (at..at + n).map(|index| line(index, is_shuffled.then_some(events), zipf)).collect();
        bytes += lines.iter().map(|line| line.len() as u64).sum::<u64>();
        let batch: Vec<BatchLine<'_>> = lines
            .iter()
            .zip(at..)
            .map(|(bytes, index)| BatchLine {
                index: Index::new(index),
                bytes,
                segment: Index::new(index / 400_000 * 400_000),
                offset: index % 400_000 * 600,
            })
            .collect();
        let begun = Instant::now();
        indexer.deliver(&Batch { first: Index::new(at), lines: &batch }).unwrap();
        let took = begun.elapsed();
        spent += took;
        batches.push(took);
        at += n;
        if at % 1_000_000 == 0 || at == events {
            let done = (at - 1) % 1_000_000 + 1;
            let longest = batches.iter().max().unwrap().as_secs_f64() * 1e3;
            batches.sort_unstable();
            println!(
                "{at:>9}: {:>7.0} events/s, batch p50 {:.2} p99 {:.2} longest {longest:.0} ms, {} MiB resident ({base} at first)",
                done as f64 / spent.as_secs_f64(),
                batches[batches.len() / 2].as_secs_f64() * 1e3,
                batches[batches.len() * 99 / 100].as_secs_f64() * 1e3,
                rss_mib(),
            );
            (spent, batches) = (Duration::ZERO, Vec::new());
        }
    }
    println!("{} bytes a line", bytes / events);
}

/// The parts of event `index`, by numbers that only depend on it.
struct Parts {
    tenant: usize,
    actor: usize,
    action: usize,
    kind: usize,
    resource: usize,
    ip: usize,
    session: usize,
    outcome: Outcome,
    severity: Severity,
    category: Category,
    time: i64,
}

fn parts(index: u64, zipf: &Zipfs) -> Parts {
    let mut random = Random(index.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678);
    let tenant = zipf.tenants.pick(random.unit());
    let action = zipf.actions.pick(random.unit());
    let (outcome, severity) = (random.unit(), random.unit());
    Parts {
        tenant,
        actor: zipf.actors.pick(random.unit()),
        action,
        kind: zipf.kinds.pick(random.unit()),
        resource: zipf.resources.pick(random.unit()),
        ip: zipf.ips.pick(random.unit()),
        session: zipf.sessions.pick(random.unit()),
        outcome: match outcome {
            it if it < 0.001 => Outcome::Partial,
            it if it < 0.03 => Outcome::Denied,
            it if it < 0.08 => Outcome::Failure,
            _ => Outcome::Success,
        },
        severity: match severity {
            it if it < 0.001 => Severity::Critical,
            it if it < 0.02 => Severity::Error,
            it if it < 0.08 => Severity::Warning,
            _ => Severity::Info,
        },
        category: Category::NAMED[action % 9].clone(),
        time: BEGIN + index as i64 * STEP - (random.unit() * 5e6) as i64,
    }
}

/// The line of event `index`; with its time anywhere among those of so many `shuffled` events.
fn line(index: u64, shuffled: Option<u64>, zipf: &Zipfs) -> Vec<u8> {
    let mut it = parts(index, zipf);
    if let Some(events) = shuffled {
        it.time = BEGIN + (Random(index ^ 0x5851_f42d_4c95_7f2d).next() % events) as i64 * STEP;
    }
    let now = Timestamp::from_micros(BEGIN + (index + shuffled.unwrap_or(0)) as i64 * STEP);
    let mut event = Event::new(action(it.action))
        .id(event_id(index))
        .tenant(tenant(it.tenant))
        .actor(actor(it.actor))
        .actor_name(format!("Person Number {}", it.actor))
        .resource(format!("kind{}", it.kind), resource(it.resource))
        .outcome(it.outcome)
        .severity(it.severity)
        .category(it.category)
        .ip(ip(it.ip))
        .request_id(request(index))
        .correlation_id(correlation(index))
        .description("Somebody did something to a thing, and it is told here in one sentence")
        .detail("amount", 1_250)
        .detail("currency", "EUR");
    if index.is_multiple_of(50) {
        event = event.on_behalf_of(actor(it.actor / 2), "asked on the telephone");
    }
    event.time = Some(Timestamp::from_micros(it.time));
    event.context.session_id = Some(session(it.session));
    event.context.user_agent = Some("Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0".into());
    let mut line = Vec::with_capacity(700);
    write_front(index, &now.to_text(), &mut line);
    write_rest(&event, &complete(&event, now), &mut line).unwrap();
    line
}

fn tenant(it: usize) -> String {
    format!("tenant-{it}")
}
fn actor(it: usize) -> String {
    format!("user-{it:06}")
}
fn action(it: usize) -> String {
    format!(
        "{}.{}{it}",
        ["user", "invoice", "document", "order", "key"][it % 5],
        ["make", "read", "change"][it % 3]
    )
}
fn resource(it: usize) -> String {
    format!("res-{it:08}")
}
fn ip(it: usize) -> String {
    format!("10.{}.{}.{}", it >> 16, it >> 8 & 255, it & 255)
}
fn session(it: usize) -> String {
    format!("sess-{it:012x}")
}
fn request(index: u64) -> String {
    format!("req-{:016x}", index.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
fn correlation(index: u64) -> String {
    format!("corr-{:016x}", (index / 3).wrapping_mul(0xd1b5_4a32_d192_ed03))
}
fn event_id(index: u64) -> String {
    format!("019aa5f0-{:04x}-7000-8000-{index:012x}", index & 0xffff)
}

type Pairs = Vec<(&'static str, String)>;

fn queries(view: &mut IndexView, events: u64, zipf: &Zipfs) {
    let sample = |seed: u64| parts(Random(seed).next() % events, zipf);
    let index = |seed: u64| Random(seed).next() % events;
    let at = |share: f64| Timestamp::from_micros(BEGIN + (events as f64 * share) as i64 * STEP).to_string();
    type Make<'a> = Box<dyn Fn(u64) -> Pairs + 'a>;
    let pages: Vec<(&str, Make<'_>)> = vec![
        ("no filter", Box::new(|_| vec![])),
        ("tenant frequent", Box::new(|n| vec![("tenant", tenant(n as usize % 3))])),
        ("tenant rare", Box::new(|n| vec![("tenant", tenant(99 - n as usize % 5))])),
        ("actor frequent", Box::new(|n| vec![("actor", actor(n as usize % 5))])),
        ("actor rare", Box::new(|n| vec![("actor", actor(49_999 - n as usize % 100))])),
        ("actor by name", Box::new(|n| vec![("actor", format!("Person Number {}", 40_000 + n % 100))])),
        ("on_behalf_of", Box::new(|n| vec![("on_behalf_of", actor(n as usize % 50))])),
        ("action frequent", Box::new(|n| vec![("action", action(n as usize % 3))])),
        ("action rare", Box::new(|n| vec![("action", action(199 - n as usize % 5))])),
        ("action user.*", Box::new(|_| vec![("action", "user.*".into())])),
        ("category", Box::new(|n| vec![("category", Category::NAMED[n as usize % 9].name().into_owned())])),
        ("resource type", Box::new(|n| vec![("resource", format!("kind{}", n % 30))])),
        (
            "resource",
            Box::new(|n| {
                let it = sample(n);
                vec![("resource", format!("kind{}/{}", it.kind, resource(it.resource)))]
            }),
        ),
        ("resource frequent", Box::new(|n| vec![("resource", format!("kind{}/{}", n % 3, resource(0)))])),
        ("outcome 0.1 %", Box::new(|_| vec![("outcome", "partial".into())])),
        ("outcome frequent", Box::new(|_| vec![("outcome", "success".into())])),
        ("severity 0.1 %", Box::new(|_| vec![("severity", "critical".into())])),
        ("ip", Box::new(|n| vec![("ip", ip(sample(n).ip))])),
        ("session", Box::new(|n| vec![("session_id", session(sample(n).session))])),
        ("correlation", Box::new(|n| vec![("correlation_id", correlation(index(n)))])),
        ("request", Box::new(|n| vec![("request_id", request(index(n)))])),
        ("request absent", Box::new(|n| vec![("request_id", format!("nothing-{n}"))])),
        ("id", Box::new(|n| vec![("id", event_id(index(n)))])),
        (
            "outcome+severity 1e-6",
            Box::new(|_| vec![("outcome", "partial".into()), ("severity", "critical".into())]),
        ),
        (
            "tenant+actor",
            Box::new(|n| {
                let it = sample(n);
                vec![("tenant", tenant(it.tenant)), ("actor", actor(it.actor))]
            }),
        ),
        (
            "tenant+action",
            Box::new(|n| {
                let it = sample(n);
                vec![("tenant", tenant(it.tenant)), ("action", action(it.action))]
            }),
        ),
        (
            "tenant+resource",
            Box::new(|n| {
                let it = sample(n);
                vec![
                    ("tenant", tenant(it.tenant)),
                    ("resource", format!("kind{}/{}", it.kind, resource(it.resource))),
                ]
            }),
        ),
        (
            "tenant+ip",
            Box::new(|n| {
                let it = sample(n);
                vec![("tenant", tenant(it.tenant)), ("ip", ip(it.ip))]
            }),
        ),
        (
            "tenant+actor+action",
            Box::new(|n| {
                let it = sample(n);
                vec![("tenant", tenant(it.tenant)), ("actor", actor(it.actor)), ("action", action(it.action))]
            }),
        ),
        (
            "tenant+user.*",
            Box::new(|n| vec![("tenant", tenant(n as usize % 10)), ("action", "user.*".into())]),
        ),
        (
            "never: action+category",
            Box::new(|n| {
                let it = n as usize % 5;
                vec![("action", action(it)), ("category", Category::NAMED[(it + 1) % 9].name().into_owned())]
            }),
        ),
        (
            "never: 3 frequent",
            Box::new(|n| {
                let it = n as usize % 5;
                vec![
                    ("tenant", tenant(0)),
                    ("outcome", "success".into()),
                    ("action", action(it)),
                    ("category", Category::NAMED[(it + 1) % 9].name().into_owned()),
                ]
            }),
        ),
        (
            "tenant, a day in the middle",
            Box::new(|n| vec![("tenant", tenant(n as usize % 3)), ("since", at(0.5)), ("until", at(0.533))]),
        ),
    ];
    for (order, what) in [
        (Order::NEWEST, "by time, newest first"),
        (Order::OLDEST, "by time, oldest first"),
        (Order::NEWEST_RECORDED, "by recording, newest first"),
    ] {
        println!("page of 50, {what} (ms: first, p50, p99)");
        for (name, make) in &pages {
            measure(name, make, &mut |filter| {
                let mut left = 50;
                view.candidates(filter, order, 0..u64::MAX, &mut |candidate| {
                    black_box(candidate);
                    left -= 1;
                    if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })
                .unwrap();
            });
        }
    }
    let counts = [
        "no filter",
        "tenant frequent",
        "actor frequent",
        "action frequent",
        "action user.*",
        "outcome frequent",
        "tenant+action",
        "tenant, a day in the middle",
        "request",
        "resource",
        "resource frequent",
        "session",
        "never: 3 frequent",
    ];
    println!("count");
    for (name, make) in pages.iter().filter(|(name, _)| counts.contains(name)) {
        measure(name, make, &mut |filter| {
            view.count(filter, 0..u64::MAX, &mut |_| ControlFlow::Continue(true)).map(black_box).unwrap();
        });
    }
    let all = ["no filter", "tenant frequent", "outcome frequent", "tenant, a day in the middle"];
    for field in [FacetField::Action, FacetField::Actor, FacetField::Tenant] {
        println!("facet {field:?}");
        for (name, make) in pages.iter().filter(|(name, _)| all.contains(name)) {
            measure(name, make, &mut |filter| {
                view.facets(filter, 0..u64::MAX, field, 10, &mut |_| ControlFlow::Continue(true))
                    .map(black_box)
                    .unwrap();
            });
        }
    }
    println!("histogram by the hour");
    for (name, make) in pages.iter().filter(|(name, _)| all.contains(name)) {
        measure(name, make, &mut |filter| {
            view.histogram(filter, 0..u64::MAX, 3_600_000_000, &mut |_| ControlFlow::Continue(true))
                .map(black_box)
                .unwrap();
        });
    }
}

fn measure(name: &str, make: &dyn Fn(u64) -> Pairs, run: &mut dyn FnMut(&Filter)) {
    let (begun, mut times) = (Instant::now(), Vec::new());
    for n in 0..300 {
        let pairs = make(n);
        let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
        let filter = Filter::from_pairs(pairs, Timestamp::from_micros(0)).unwrap();
        let begun = Instant::now();
        run(&filter);
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        if begun.elapsed().as_secs() > 0 || begun.duration_since(begun_of(&times, begun)).as_secs() > 2 {
            break;
        }
    }
    let _ = begun;
    let first = times[0];
    let mut warm = times[1.min(times.len() - 1)..].to_vec();
    warm.sort_by(f64::total_cmp);
    println!("  {name:<30} {first:>8.3} {:>8.3} {:>8.3}", warm[warm.len() / 2], warm[warm.len() * 99 / 100]);
}

fn begun_of(times: &[f64], now: Instant) -> Instant {
    now - Duration::from_secs_f64(times.iter().sum::<f64>() / 1e3)
}

fn rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Ranks whose weight is one over the rank, about.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(n: usize) -> Self {
        let mut sum = 0.0;
        let mut sums: Vec<f64> = (1..=n)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        sums.iter_mut().for_each(|it| *it /= sum);
        Zipf(sums)
    }

    fn pick(&self, unit: f64) -> usize {
        self.0.partition_point(|it| *it < unit).min(self.0.len() - 1)
    }
}

struct Zipfs {
    tenants: Zipf,
    actors: Zipf,
    actions: Zipf,
    kinds: Zipf,
    resources: Zipf,
    ips: Zipf,
    sessions: Zipf,
}

impl Zipfs {
    fn new() -> Self {
        Zipfs {
            tenants: Zipf::new(100),
            actors: Zipf::new(50_000),
            actions: Zipf::new(200),
            kinds: Zipf::new(30),
            resources: Zipf::new(1_000_000),
            ips: Zipf::new(50_000),
            sessions: Zipf::new(100_000),
        }
    }
}
