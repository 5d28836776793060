//! Everything through PgBouncer in transaction mode, where each transaction may get another connection of the server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod server;
mod trails;

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use server::Server;
use trails::{SOON, check_equal, delivering, event, lines, options, record, wait_stored, wait_until};
use trailseal_core::deliver::MustEnd;
use trailseal_core::{Ack, Status, Trail};
use trailseal_event::filter::Filter;
use trailseal_event::{By, Event, First, Order};
use trailseal_postgres::outbox;
use trailseal_postgres::roles::gaps;
use trailseal_postgres::verify::{StoreVerifyOptions, verify_store};
use trailseal_postgres::{Pool, Reader, StoreUrl, version};

/// In each, a trail records 50 events without waiting, and one that it waits for.
const ROUNDS: u64 = 20;
const EVENTS: u64 = ROUNDS * 51;

/// A PgBouncer with fewer connections to the server than its clients have to it.
struct PgBouncer {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl PgBouncer {
    fn before(server: &Server, connections: u32) -> PgBouncer {
        let folder = tempfile::Builder::new().prefix("trailseal-pgbouncer-").tempdir().unwrap();
        let port = server::free_port();
        let path = folder.path().display();
        let settings = format!(
            "[databases]\npostgres = host=127.0.0.1 port={} dbname=postgres user=test\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\nlogfile = {path}/log\npool_mode = transaction\n\
             default_pool_size = {connections}\nmax_client_conn = 100\n",
            server.port()
        );
        std::fs::write(folder.path().join("settings"), settings).unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let mut command = Command::new("/usr/sbin/pgbouncer");
        // It refuses to run as root.
        if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
            command.args(["--user", "postgres"]);
        }
        command
            .arg(folder.path().join("settings"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = command.spawn().expect("install PgBouncer (Debian: pgbouncer)");
        let mut bouncer = PgBouncer { process, port, folder };
        let end = Instant::now() + SOON;
        while let Err(error) = bouncer.url().connect(&MustEnd::default()) {
            let log = std::fs::read_to_string(bouncer.folder.path().join("log")).unwrap_or_default();
            let is_running = bouncer.process.try_wait().unwrap().is_none();
            assert!(is_running && Instant::now() < end, "PgBouncer did not start: {error:?}\n{log}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        bouncer
    }

    fn url(&self) -> StoreUrl {
        StoreUrl::parse(&format!("postgres://test@127.0.0.1:{}/postgres", self.port)).unwrap()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads what one trail delivered, page by page in both orders, and counts it.
fn read_all(origin: &str, url: StoreUrl) {
    let reader = Reader::new(Arc::new(Pool::new(url, 2)));
    let filter = Filter { origin: vec![origin.to_owned()], ..Filter::default() };
    let wanted = EVENTS;
    assert_eq!(reader.count(&filter).unwrap(), wanted);
    for first in [First::Newest, First::Oldest] {
        let order = Order { by: By::Time, first };
        let (mut indexes, mut cursor) = (BTreeSet::new(), None);
        loop {
            let page = reader.page(&filter, order, cursor.as_ref(), 150, None).unwrap();
            indexes.extend(page.hits.iter().map(|hit| hit.index));
            // By statements that whichever session it is may have, or not.
            for hit in page.hits.iter().step_by(40) {
                let id = hit.read(None).unwrap().event.id.unwrap();
                assert_eq!(reader.by_id(&id, None).unwrap().len(), 1, "{id}");
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(indexes.len() as u64, wanted, "{order:?}");
    }
}

#[test]
fn many_trails_deliver_and_are_verified_over_few_connections() {
    const TRAILS: usize = 6;
    let server = Server::start_own(&[]);
    let bouncer = PgBouncer::before(&server, 3);
    let dirs: Vec<_> = (0..TRAILS).map(|_| tempfile::tempdir().unwrap()).collect();
    let origin = |number: usize| format!("example.com/pooled/{number}");
    let is_done = AtomicBool::new(false);
    let verified = std::thread::scope(|scope| {
        let verifying = scope.spawn(|| {
            let mut verified = 0;
            // Once more after the end.
            loop {
                let is_last = is_done.load(Ordering::Acquire);
                let mut connection = bouncer.url().connect(&MustEnd::default()).unwrap();
                if version(&mut connection).unwrap().is_some() {
                    for verdict in verify_store(&mut connection, &StoreVerifyOptions::default()).unwrap() {
                        // Before its first checkpoint.
                        let is_new =
                            verdict.problem == Some(trailseal_core::verify::Problem::CheckpointMissing);
                        assert!(verdict.ok || (is_new && !is_last), "{verdict:?}");
                        verified += 1;
                    }
                }
                if is_last {
                    return verified;
                }
            }
        });
        // All of them find no tables, and make them at once.
        let delivering: Vec<_> = (0..TRAILS)
            .map(|number| {
                let (url, dir) = (bouncer.url(), dirs[number].path());
                scope.spawn(move || {
                    let trail = delivering(dir, options(&format!("example.com/pooled/{number}")), &url);
                    for round in 0..ROUNDS {
                        record(&trail, round * 50..(round + 1) * 50);
                        let receipt = trail.with(Ack::Store).record(&event(round)).unwrap();
                        assert_eq!(receipt.status, Status::Stored);
                    }
                    wait_stored(&trail);
                    let closed = trail.close(SOON).unwrap();
                    assert_eq!(closed.deliveries[0].lag_events, 0);
                })
            })
            .collect();
        let ended: Vec<_> = delivering.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        is_done.store(true, Ordering::Release);
        ended.into_iter().for_each(|ended| ended.unwrap());
        verifying.join().unwrap()
    });
    assert!(verified >= TRAILS, "{verified}");
    for (number, dir) in dirs.iter().enumerate() {
        check_equal(&server, &origin(number), dir.path());
    }
    let readers = || (0..TRAILS).map(|number| (origin(number), bouncer.url()));
    std::thread::scope(|scope| {
        readers().for_each(|(origin, url)| drop(scope.spawn(move || read_all(&origin, url))))
    });
    let mut connection = bouncer.url().connect(&MustEnd::default()).unwrap();
    for verdict in verify_store(&mut connection, &StoreVerifyOptions::default()).unwrap() {
        assert_eq!((verdict.ok, verdict.unsealed), (true, 0), "{verdict:?}");
    }
    assert!(!gaps(&mut connection).unwrap().is_empty(), "the user is a superuser");
}

#[test]
fn relays_share_an_outbox_over_few_connections() {
    const TRAILS: usize = 3;
    const WRITTEN: usize = 600;
    let server = Server::start_own(&[]);
    let bouncer = PgBouncer::before(&server, 2);
    outbox::migrate(&mut bouncer.url().connect(&MustEnd::default()).unwrap()).unwrap();
    let dirs: Vec<_> = (0..TRAILS).map(|_| tempfile::tempdir().unwrap()).collect();
    let relays: Vec<_> = dirs
        .iter()
        .enumerate()
        .map(|(number, dir)| {
            let trail = Trail::open(dir.path(), options(&format!("example.com/relay/{number}"))).unwrap();
            let relay = outbox::Relay::start(trail.clone(), bouncer.url()).unwrap();
            (trail, relay)
        })
        .collect();
    let mut connection = bouncer.url().connect(&MustEnd::default()).unwrap();
    for number in 0..WRITTEN {
        let insert = format!(
            "INSERT INTO trailseal_outbox.events (event) VALUES ('{{\"action\":\"do\",\"id\":\"{number}\"}}')"
        );
        connection.run("write into", SOON, async |client| client.batch_execute(&insert).await).unwrap();
    }
    wait_until("all are taken over", || {
        relays.iter().map(|(_, relay)| relay.stats().taken_over).sum::<u64>() == WRITTEN as u64
    });
    let mut ids = BTreeSet::new();
    for ((trail, relay), dir) in relays.into_iter().zip(&dirs) {
        assert_eq!(relay.stop().trouble, None);
        trail.close(SOON).unwrap();
        for (_, line) in lines(dir.path()) {
            let recorded = Event::from_line(&line).unwrap();
            assert!(recorded.system || ids.insert(recorded.event.id.unwrap()), "one came twice");
        }
    }
    assert_eq!(ids.len(), WRITTEN);
    assert_eq!(server.value("SELECT count(*) FROM trailseal_outbox.events"), "0");
}
