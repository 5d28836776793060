//! The store has the checkpoints that its trails keep, and the first of two of one size stays: a fork is stopped and named.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod server;
mod trails;

use std::path::Path;
use std::sync::Arc;

use server::Server;
use trails::{SOON, check_equal, copy_folder, delivering, options, record, wait_stopped};
use trailseal_core::deliver::{SealedCheckpoint, Sink as _, SinkError};
use trailseal_core::file::StdFiles;
use trailseal_core::{Folder, Roll, Trail};
use trailseal_postgres::StoreSink;
use trailseal_tlog::{Checkpoint, Hash, Origin, SigningKey};

const ORIGIN: &str = "example.com/checkpoints";

fn rolling() -> trailseal_core::Options {
    let mut options = options(ORIGIN);
    options.segment.roll = Roll::Bytes(4_000);
    options
}

fn recorded(dir: &Path, server: Option<&Server>, numbers: std::ops::Range<u64>) {
    let trail = match server {
        Some(server) => delivering(dir, rolling(), &server.url()),
        None => Trail::open(dir, rolling()).unwrap(),
    };
    for number in numbers {
        record(&trail, number..number + 1);
        if number % 20 == 0 {
            trail.flush(SOON).unwrap();
        }
    }
    trail.close(SOON).unwrap();
}

fn notes(server: &Server) -> Vec<(u64, String)> {
    let rows =
        server.rows("SELECT size, convert_from(note, 'UTF8') FROM trailseal.checkpoints ORDER BY size");
    rows.into_iter().map(|row| (row[0].parse().unwrap(), row[1].clone())).collect()
}

#[test]
fn a_store_has_every_checkpoint_that_its_trail_keeps_and_the_newest() {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    // What was there before the store is caught up.
    recorded(dir.path(), None, 0..100);
    for opening in 1..4 {
        recorded(dir.path(), Some(&server), opening * 100..(opening + 1) * 100);
        let folder = Folder::new(dir.path(), Arc::new(StdFiles));
        let stored = notes(&server);
        let kept = folder.kept_checkpoints().unwrap();
        assert!(kept.len() > 10, "{kept:?}");
        for size in kept {
            let note = std::fs::read_to_string(folder.kept_checkpoint(size)).unwrap();
            assert!(stored.contains(&(size, note)), "checkpoints/{size}");
        }
        assert_eq!(stored.last().unwrap().1, std::fs::read_to_string(folder.checkpoint()).unwrap());
        check_equal(&server, ORIGIN, dir.path());
    }
    // What was removed comes back.
    let before = notes(&server);
    server.execute(
        "SET session_replication_role = replica; DELETE FROM trailseal.checkpoints WHERE size > 100",
    );
    recorded(dir.path(), Some(&server), 400..401);
    let after = notes(&server);
    let folder = Folder::new(dir.path(), Arc::new(StdFiles));
    for size in folder.kept_checkpoints().unwrap() {
        assert!(after.iter().any(|(there, _)| *there == size), "{size}");
    }
    assert!(after.last().unwrap().0 > before.last().unwrap().0);
}

/// The rows, cursor and extents are taken back to what both trails have in common: only the checkpoints know better.
#[test]
fn a_forked_trail_is_stopped_by_the_checkpoints_of_the_other_one() {
    let (server, folders) = (Server::start(), tempfile::tempdir().unwrap());
    let [ours, shorter, longer, same] = ["a", "b", "c", "d"].map(|name| folders.path().join(name));
    recorded(&ours, Some(&server), 0..30);
    let common: u64 = server.value("SELECT next FROM trailseal.cursors").parse().unwrap();
    [&shorter, &longer, &same].into_iter().for_each(|to| copy_folder(&ours, to));
    recorded(&ours, Some(&server), 30..60);
    let size = notes(&server).last().unwrap().0;
    server.execute(&format!(
        "SET session_replication_role = replica; DELETE FROM trailseal.events WHERE idx >= {common}; \
         UPDATE trailseal.cursors SET next = {common}, leaf = (SELECT leaf FROM trailseal.events WHERE idx = {common} - 1); \
         UPDATE trailseal.extents SET last_idx = {common} - 1, rows = {common}"
    ));
    let stopped = |dir: &Path| {
        let trail = delivering(dir, rolling(), &server.url());
        let stopped = wait_stopped(&trail);
        trail.close(SOON).unwrap();
        stopped
    };
    let (at, reason) = stopped(&shorter);
    assert!((common..size).contains(&at), "{at}: {reason}");
    recorded(&longer, None, 1_000..1_100);
    let (at, reason) = stopped(&longer);
    assert_eq!(at, size - 1, "{reason}");
    assert_eq!(
        server.value("SELECT count(*) FROM trailseal.events"),
        common.to_string(),
        "nothing was added"
    );
    // The trail that the checkpoints are of fills the store again.
    recorded(&ours, Some(&server), 60..61);
    check_equal(&server, ORIGIN, &ours);

    // One that is no checkpoint of this trail stops it, too.
    server.execute(
        "SET session_replication_role = replica; UPDATE trailseal.checkpoints SET note = 'x' \
         WHERE size = (SELECT max(size) FROM trailseal.checkpoints)",
    );
    let (_, reason) = stopped(&ours);
    assert!(reason.contains("somebody changed the store"), "{reason}");
}

/// Two processes with one trail's key, each of which has asked before the other wrote.
#[test]
fn of_two_checkpoints_of_one_size_the_first_stays() {
    let server = Server::start();
    let key = SigningKey::from_seed(ORIGIN, &[1; 32]);
    let note = |root| Checkpoint::new(Origin::new(ORIGIN).unwrap(), 7, root).sign(&key);
    let keep = |root: Hash| {
        let mut sink = StoreSink::new(server.url(), ORIGIN);
        sink.position().unwrap();
        sink.keep_checkpoint(&SealedCheckpoint { size: 7, root, note: &note(root) })
    };
    keep(Hash([1; 32])).unwrap();
    keep(Hash([1; 32])).unwrap();
    let error = keep(Hash([2; 32])).unwrap_err();
    assert!(matches!(&error, SinkError::Differs { at, .. } if at.get() == 6), "{error:?}");
    assert_eq!(notes(&server), [(7, note(Hash([1; 32])))]);
}
