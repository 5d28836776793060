//! Pages of a store with many partitions, on connections that have answered such a page before.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trailseal_benches_report::names;
use trailseal_core::deliver::{Batch, BatchLine, Sink};
use trailseal_event::filter::Filter;
use trailseal_event::{Index, Order, Timestamp};
use trailseal_postgres::{Pool, Reader, StoreSink, StoreUrl};

use crate::lines::{BEGIN, LARGE_TENANT, MONTH, SMALL_TENANT, line, mixed, recorded, value};
use crate::server::{PgBouncer, Server, execute, number};
use crate::{print, quantile};

const ORIGINS: i64 = 2;
const BATCH: i64 = 10_000;
const PAGE: usize = 50;
/// As a server asks: it may end a page before it is full.
const BUDGET: Duration = Duration::from_secs(5);
const ORDERS: [(Order, &str); 4] = [
    (Order::NEWEST, "newest"),
    (Order::OLDEST, "oldest"),
    (Order::NEWEST_RECORDED, "newest recorded"),
    (Order::OLDEST_RECORDED, "oldest recorded"),
];

/// Delivers lines as they would have been recorded over these months, by two origins.
pub fn fill(dir: &Path, rows: i64, months: i64) {
    let server = Server::start(dir);
    let (begun, url) = (Instant::now(), server.url("postgres"));
    std::thread::scope(|scope| {
        for origin in 0..ORIGINS {
            let url = url.clone();
            scope.spawn(move || fill_one(&url, origin, rows, months));
        }
    });
    execute(
        &mut server.connect("postgres"),
        &format!(
            "ANALYZE trailseal.events; CREATE TABLE filled AS SELECT {rows}::bigint AS rows, {months}::bigint AS months"
        ),
    );
    eprintln!("{rows} rows in {:.0} s", begun.elapsed().as_secs_f64());
}

fn fill_one(url: &StoreUrl, origin: i64, rows: i64, months: i64) {
    let mut sink = StoreSink::new(url.clone(), &format!("example.org/origin/{origin}"));
    sink.position().expect("the store answers");
    for from in (0..rows / ORIGINS).step_by(BATCH as usize) {
        let indexes = from..(from + BATCH).min(rows / ORIGINS);
        let lines: Vec<_> =
            indexes.clone().map(|index| line(index * ORIGINS + origin, index, rows, months)).collect();
        let lines: Vec<_> = indexes
            .zip(&lines)
            .map(|(index, bytes)| BatchLine {
                index: Index::new(index.cast_unsigned()),
                bytes,
                segment: Index::new(0),
                offset: 0,
            })
            .collect();
        sink.deliver(&Batch { first: Index::new(from.cast_unsigned()), lines: &lines }).expect("delivered");
    }
}

/// A store that was filled.
struct Filled {
    rows: i64,
    months: i64,
    values: i64,
}

pub fn measure(dir: &Path, values: i64) {
    let server = Server::start(dir);
    let mut connection = server.connect("postgres");
    let mut filled = |column: &str| number(&mut connection, &format!("SELECT {column} FROM filled")) as i64;
    let filled = Filled { rows: filled("rows"), months: filled("months"), values };
    let bouncer = PgBouncer::start(dir, &server);
    let (direct, pooled) = (server.url("postgres"), bouncer.url());
    for name in names::STORE_FILTERS {
        let mut figures = vec![("events".to_owned(), filled.rows as f64)];
        for (way, url) in [("", &direct), ("pooled_", &pooled)] {
            let reader = Reader::new(Arc::new(Pool::new(url.clone(), 1)));
            let (with, without) = (filled.times(&reader, name, true), filled.times(&reader, name, false));
            for (of, Times { p50, p95, first }) in [("with_tenant", with), ("without", without)] {
                for (figure, time) in [("p50", p50), ("p95", p95), ("first", first)] {
                    figures.push((format!("{way}{of}_{figure}_ms"), time));
                }
            }
        }
        let figures: Vec<_> = figures.iter().map(|(name, time)| (name.as_str(), *time)).collect();
        print(&names::store_pages(name), &figures);
    }
}

/// Of the tenant and the order in which it took longest: the median, what only one in twenty exceeds, and the first page of
/// its kind on a connection.
#[derive(Default)]
struct Times {
    p50: f64,
    p95: f64,
    first: f64,
}

impl Filled {
    fn times(&self, reader: &Reader, name: &str, has_tenant: bool) -> Times {
        let tenants: &[Option<&str>] =
            if has_tenant { &[Some(LARGE_TENANT), Some(SMALL_TENANT)] } else { &[None] };
        let mut worst = Times::default();
        for (tenant, (order, called)) in tenants.iter().flat_map(|tenant| ORDERS.map(|order| (tenant, order)))
        {
            let mut times: Vec<f64> =
                (0..=self.values).map(|round| self.page(reader, name, *tenant, order, round)).collect();
            let first = times.remove(0);
            let (p50, p95) = (quantile(&mut times, 0.5), quantile(&mut times, 0.95));
            eprintln!(
                "{name:>15} {:>3} {called:>15}: {p50:6.2} {p95:6.2}, first {first:6.1}",
                tenant.unwrap_or("-")
            );
            // By recording is told, but has no bar of its own.
            if order == Order::NEWEST || order == Order::OLDEST {
                worst =
                    Times { p50: worst.p50.max(p50), p95: worst.p95.max(p95), first: worst.first.max(first) };
            }
        }
        worst
    }

    /// How many milliseconds a page took.
    fn page(&self, reader: &Reader, name: &str, tenant: Option<&str>, order: Order, round: i64) -> f64 {
        let at = (mixed(round, 99) % self.rows.cast_unsigned()).cast_signed();
        let mut filter = Filter::default();
        filter.tenant.extend(tenant.map(str::to_owned));
        match name {
            "nothing else" => {}
            "time" => {
                let since = recorded(at, self.rows, self.months);
                filter.since = Some(Timestamp::from_micros(since));
                filter.until = Some(Timestamp::from_micros(since + MONTH / 30));
            }
            _ => filter.set(name, &value(name, at), Timestamp::from_micros(BEGIN)).expect("a filter"),
        }
        let begun = Instant::now();
        let page = reader.page(&filter, order, None, PAGE, Some(BUDGET)).expect("a page");
        let taken = begun.elapsed().as_secs_f64() * 1e3;
        assert!(tenant.is_some() || !page.hits.is_empty(), "{name} {at} finds something");
        taken
    }
}
