//! Delivery beside a raw COPY of the same columns, in turn, some rows at a time, into databases that grow alike.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use trailseal_benches_report::names;
use trailseal_core::deliver::{Batch, Follower, Lines, MustEnd, Sink};
use trailseal_core::file::StdFiles;
use trailseal_core::{Folder, Options, Trail};
use trailseal_event::Index;
use trailseal_postgres::{Connection, StoreSink, StoreUrl, migrate};

use crate::lines::event;
use crate::print;
use crate::server::{Server, WITHIN, execute, number, value};

/// So many times one way, then the other.
const TURNS: i64 = 8;
/// As the thread of a delivery reads them.
const BATCH_BYTES: usize = 4 << 20;
const PIECE_BYTES: usize = 256 << 10;

/// One origin: into a store, as a raw COPY into its table, and as one into the same columns with the key alone.
pub fn one(dir: &Path, rows: i64) {
    let server = Server::start(dir);
    let mut origin = Origin::record(&trails(dir), &server.make_database("delivered"), 0, rows);
    let mut raw = Raw::new(&server, "raw");
    let mut plain = Raw::new(&server, "plain");
    plain.keep_only_the_key();
    let (mut delivered, mut copied, mut bare, mut ratios) =
        (Time::default(), Time::default(), Time::default(), Vec::new());
    for turn in 1..=TURNS {
        let until = rows * turn / TURNS;
        let from = origin.next();
        let own = delivered.measure(|| origin.deliver(until));
        let pieces = raw.rows_of(&mut origin, from, until);
        let other = copied.measure(|| raw.copy(&pieces));
        bare.measure(|| plain.copy(&pieces));
        // The disk is needed for the others, and without other indexes the rate does not depend on what is there.
        execute(&mut plain.connection, &format!("TRUNCATE {}", plain.table));
        ratios.push(other / own);
        eprintln!("{until} rows: {:.3} of raw", other / own);
    }
    let mut delivered_to = server.connect("delivered");
    let size = |connection: &mut Connection, of: &str| {
        number(
            connection,
            &format!(
                "SELECT sum({of}(inhrelid)) FROM pg_inherits WHERE inhparent = 'trailseal.events'::regclass"
            ),
        )
    };
    let lines = number(&mut delivered_to, "SELECT avg(octet_length(line)) FROM trailseal.events");
    let (heap, indexes) =
        (size(&mut delivered_to, "pg_table_size"), size(&mut delivered_to, "pg_indexes_size"));
    let (rows, all) = (rows as f64, (heap + indexes) / rows as f64);
    print(
        names::STORE_COPY,
        &[
            ("rows", rows),
            ("rows_per_second", rows / delivered.0),
            ("raw_rows_per_second", rows / copied.0),
            ("of_raw", copied.0 / delivered.0),
            ("of_raw_median_of_turns", crate::quantile(&mut ratios, 0.5)),
            ("key_alone_rows_per_second", rows / bare.0),
            ("of_key_alone", bare.0 / delivered.0),
            ("line_bytes", lines),
            ("heap_bytes_a_row", heap / rows),
            ("index_bytes_a_row", indexes / rows),
            ("of_line", all / lines),
        ],
    );
}

/// Two origins at once, and two raw COPYs at once.
pub fn two(dir: &Path, rows: i64) {
    let server = Server::start(dir);
    let url = server.make_database("delivered");
    let half = rows / 2;
    let mut origins =
        [0, 1].map(|number| Origin::record(&trails(dir).join(number.to_string()), &url, number, half));
    let mut raws = [Raw::new(&server, "raw"), Raw::again(&server, "raw")];
    let (mut delivered, mut copied, mut ratios) = (Time::default(), Time::default(), Vec::new());
    for turn in 1..=TURNS {
        let until = half * turn / TURNS;
        let from = origins[0].next();
        let own = delivered.measure(|| at_once(&mut origins, |origin, _| origin.deliver(until)));
        let pieces: Vec<_> =
            origins.iter_mut().zip(&mut raws).map(|(origin, raw)| raw.rows_of(origin, from, until)).collect();
        let other = copied.measure(|| at_once(&mut raws, |raw, at| raw.copy(&pieces[at])));
        ratios.push(other / own);
        eprintln!("{} rows: {:.3} of raw", until * 2, other / own);
    }
    print(
        names::STORE_COPY_TWO,
        &[
            ("rows", rows as f64),
            ("rows_per_second", rows as f64 / delivered.0),
            ("raw_rows_per_second", rows as f64 / copied.0),
            ("of_raw", copied.0 / delivered.0),
            ("of_raw_median_of_turns", crate::quantile(&mut ratios, 0.5)),
        ],
    );
}

fn trails(dir: &Path) -> PathBuf {
    std::env::var_os("TRAILSEAL_BENCH_TRAIL").map_or_else(|| dir.join("trail"), PathBuf::from)
}

fn at_once<T: Send>(all: &mut [T], each: impl Fn(&mut T, usize) + Sync) {
    let begin = Arc::new(Barrier::new(all.len()));
    std::thread::scope(|scope| {
        for (at, one) in all.iter_mut().enumerate() {
            let (begin, each) = (begin.clone(), &each);
            scope.spawn(move || {
                begin.wait();
                each(one, at);
            });
        }
    });
}

#[derive(Default)]
struct Time(f64);

impl Time {
    fn measure(&mut self, work: impl FnOnce()) -> f64 {
        let begun = Instant::now();
        work();
        let taken = begun.elapsed().as_secs_f64();
        self.0 += taken;
        taken
    }
}

/// A trail on disk, and its delivery, by what the delivery's own thread calls.
struct Origin {
    sink: StoreSink,
    follower: Follower,
    lines: Lines,
    name: String,
    connection: Connection,
}

impl Origin {
    fn record(dir: &Path, url: &StoreUrl, number: i64, rows: i64) -> Origin {
        let _ = std::fs::remove_dir_all(dir);
        std::fs::create_dir_all(dir).expect("made");
        let mut options = Options::default();
        options.origin = Some(format!("example.org/origin/{number}"));
        let trail = Trail::open(dir, options).expect("a trail opens");
        let name = trail.origin().to_owned();
        for at in 0..rows {
            trail.record(&event(at * 2 + number)).expect("recorded");
        }
        trail.close(Duration::from_secs(120)).expect("closed");
        let mut sink = StoreSink::new(url.clone(), &name);
        sink.position().expect("the store answers");
        let follower = Follower::new(Folder::new(dir, Arc::new(StdFiles)), Index::new(0)).expect("segments");
        let connection = url.connect(&MustEnd::default()).expect("it lets us in");
        Origin { sink, follower, lines: Lines::default(), name, connection }
    }

    fn next(&self) -> i64 {
        self.follower.next().get().cast_signed()
    }

    fn deliver(&mut self, until: i64) {
        let until = Index::new(until.cast_unsigned());
        while self.follower.next() < until {
            let first = self.follower.next();
            self.lines.clear();
            let rows_max = self.sink.batch_events_max();
            self.follower.read(until, rows_max, BATCH_BYTES, &mut self.lines).expect("read");
            let lines = self.lines.as_batch_lines();
            self.sink.deliver(&Batch { first, lines: &lines }).expect("delivered");
        }
    }
}

/// A table with the columns of the store, and nothing but COPY.
struct Raw {
    connection: Connection,
    table: String,
    columns: String,
}

impl Raw {
    fn new(server: &Server, database: &str) -> Raw {
        let url = server.make_database(database);
        migrate(&mut url.connect(&MustEnd::default()).expect("it lets us in")).expect("tables are made");
        Raw::again(server, database)
    }

    fn again(server: &Server, database: &str) -> Raw {
        let mut connection = server.connect(database);
        let partition = value(&mut connection, "SELECT trailseal.make_partition(now())");
        let columns = "SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute \
            WHERE attrelid = 'trailseal.events'::regclass AND attnum > 0";
        let columns = value(&mut connection, columns);
        Raw { connection, table: format!("trailseal.{partition}"), columns }
    }

    fn keep_only_the_key(&mut self) {
        let make = format!(
            "CREATE TABLE trailseal.plain (LIKE {} INCLUDING STORAGE INCLUDING COMPRESSION, PRIMARY KEY (origin, idx, recorded))",
            self.table
        );
        execute(&mut self.connection, &make);
        self.table = "trailseal.plain".into();
    }

    /// What was delivered, in the form in which COPY takes it.
    fn rows_of(&self, origin: &mut Origin, from: i64, until: i64) -> Vec<Bytes> {
        let copy = format!(
            "COPY (SELECT {} FROM trailseal.events WHERE origin = '{}' AND idx >= {from} AND idx < {until} ORDER BY idx) \
             TO STDOUT (FORMAT binary)",
            self.columns, origin.name
        );
        let pieces = origin.connection.run("copy from", WITHIN, async |client| {
            let mut rows = std::pin::pin!(client.copy_out(&copy).await?);
            let (mut pieces, mut piece) = (Vec::new(), BytesMut::with_capacity(PIECE_BYTES * 2));
            while let Some(row) = rows.next().await {
                piece.extend_from_slice(&row?);
                if piece.len() >= PIECE_BYTES {
                    pieces.push(piece.split().freeze());
                }
            }
            pieces.push(piece.freeze());
            Ok(pieces)
        });
        pieces.expect("rows come")
    }

    /// One COPY, one transaction.
    fn copy(&mut self, pieces: &[Bytes]) {
        let copy = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", self.table, self.columns);
        let copied = self.connection.run("copy to", WITHIN, async |client| {
            let mut copying = std::pin::pin!(client.copy_in::<_, Bytes>(&copy).await?);
            for piece in pieces {
                copying.feed(piece.clone()).await?;
            }
            copying.finish().await?;
            Ok(())
        });
        copied.expect("copied");
    }
}
