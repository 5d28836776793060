//! A store that fails in every way it can: recording goes on, the reason is told, and afterwards everything is there once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod proxy;
mod server;
mod trails;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proxy::Proxy;
use server::Server;
use trails::{
    SOON, check_equal, delivering, delivery, options, record, wait_failing, wait_stored, wait_until,
};
use trailseal_core::Ack;
use trailseal_core::deliver::DeliveryState;
use trailseal_postgres::StoreUrl;

const ORIGIN: &str = "example.com/outages";

#[test]
fn a_commit_whose_answer_is_lost_is_asked_for_and_not_repeated() {
    let (server, dir) = (Server::start_own(&[]), tempfile::tempdir().unwrap());
    let proxy = Proxy::start(server.port());
    let url = StoreUrl::parse(&format!("postgres://test@127.0.0.1:{}/postgres", proxy.port)).unwrap();
    let trail = delivering(dir.path(), options(ORIGIN), &url);
    wait_stored(&trail);
    for round in 0..10 {
        proxy.swallow_next_commit();
        record(&trail, round * 10..(round + 1) * 10);
        trail.flush(SOON).unwrap();
        wait_until("a commit's answer is lost", || proxy.swallowed() == round + 1);
        // Otherwise the pauses grow.
        wait_until("it goes on", || delivery(&trail).state == DeliveryState::Running);
    }
    wait_stored(&trail);
    assert!(delivery(&trail).failures >= 10, "each loss is a failure");
    trail.close(SOON).unwrap();
    check_equal(&server, ORIGIN, dir.path());
}

#[test]
fn connections_that_are_cut_again_and_again_lose_and_repeat_nothing() {
    let (server, dir) = (Server::start_own(&[]), tempfile::tempdir().unwrap());
    let trail = delivering(dir.path(), options(ORIGIN), &server.url());
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                server.cut_off();
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        for round in 0..40 {
            record(&trail, round * 25..(round + 1) * 25);
            trail.flush(SOON).unwrap();
        }
        wait_until("connections are cut", || delivery(&trail).failures >= 3);
        is_done.store(true, Ordering::Relaxed);
    });
    wait_stored(&trail);
    trail.close(SOON).unwrap();
    check_equal(&server, ORIGIN, dir.path());
}

#[test]
fn a_server_that_is_killed_and_stopped_gets_everything_once() {
    let (mut server, dir) = (Server::start_own(&[]), tempfile::tempdir().unwrap());
    let trail = delivering(dir.path(), options(ORIGIN), &server.url());
    for round in 0..6 {
        record(&trail, round * 100..round * 100 + 50);
        if round % 2 == 0 {
            server.kill()
        } else {
            server.stop()
        }
        record(&trail, round * 100 + 50..(round + 1) * 100);
        trail.flush(SOON).unwrap();
        wait_failing(&trail);
        server.start_again();
        wait_stored(&trail);
        wait_until("it says that it works", || delivery(&trail).state == DeliveryState::Running);
    }
    trail.close(SOON).unwrap();
    check_equal(&server, ORIGIN, dir.path());
}

#[test]
fn a_server_that_answers_nothing_holds_up_neither_recording_nor_the_close() {
    let (server, dir) = (Server::start_own(&[]), tempfile::tempdir().unwrap());
    let trail = delivering(dir.path(), options(ORIGIN), &server.url());
    record(&trail, 0..100);
    wait_stored(&trail);
    server.freeze(true);
    record(&trail, 100..200);
    trail.flush(SOON).unwrap();
    let begun = Instant::now();
    let closed = trail.close(Duration::from_secs(10)).unwrap();
    assert!(begun.elapsed() < SOON / 2, "the close took {:?}", begun.elapsed());
    assert!(closed.deliveries[0].lag_events >= 100, "{closed:?}");
    // The folder is free: the next opening is not told that somebody holds it.
    let trail = delivering(dir.path(), options(ORIGIN), &server.url());
    server.freeze(false);
    record(&trail, 200..300);
    wait_stored(&trail);
    trail.close(SOON).unwrap();
    check_equal(&server, ORIGIN, dir.path());
}

#[test]
fn ack_store_is_unconfirmed_while_the_store_is_down_and_the_event_arrives() {
    let (mut server, dir) = (Server::start_own(&[]), tempfile::tempdir().unwrap());
    let mut options = options(ORIGIN);
    options.policy.otherwise.timeout = Duration::from_millis(200);
    let trail = delivering(dir.path(), options, &server.url());
    // The tables are made first, which may take longer than that.
    record(&trail, 0..1);
    wait_stored(&trail);
    server.kill();
    let error = trail.with(Ack::Store).record(&trails::event(1)).unwrap_err();
    assert!(matches!(error, trailseal_core::RecordError::Unconfirmed { .. }), "{error:?}");
    server.start_again();
    wait_stored(&trail);
    trail.close(SOON).unwrap();
    check_equal(&server, ORIGIN, dir.path());
}

#[test]
fn a_store_that_is_read_only_says_so_and_goes_on_once_it_is_not() {
    let (server, dir) = (Server::start_own(&[]), tempfile::tempdir().unwrap());
    let trail = delivering(dir.path(), options(ORIGIN), &server.url());
    wait_stored(&trail);
    server.set("default_transaction_read_only", "on");
    server.cut_off();
    record(&trail, 0..10);
    wait_until("the reason is told", || wait_failing(&trail).contains("read-only"));
    server.set("default_transaction_read_only", "");
    wait_stored(&trail);
    trail.close(SOON).unwrap();
    check_equal(&server, ORIGIN, dir.path());
}

#[test]
fn a_server_without_a_free_connection_says_so_and_is_tried_again() {
    let settings = ["max_connections=5", "superuser_reserved_connections=0"];
    let (server, dir) = (Server::start_own(&settings), tempfile::tempdir().unwrap());
    let mut held = Vec::new();
    // One that has just ended may still have its place.
    wait_until("all places are taken", || {
        held.extend(server.url().connect(&Default::default()));
        held.len() == 5
    });
    let trail = delivering(dir.path(), options(ORIGIN), &server.url());
    record(&trail, 0..10);
    let reason = wait_failing(&trail);
    assert!(reason.contains("53300") && reason.contains("max_connections"), "{reason}");
    drop(held);
    wait_stored(&trail);
    trail.close(SOON).unwrap();
    check_equal(&server, ORIGIN, dir.path());
}

#[test]
fn a_wrong_password_is_told_without_the_password() {
    let (server, dir) = (Server::start_own(&[]), tempfile::tempdir().unwrap());
    server.execute("CREATE ROLE careful LOGIN SUPERUSER PASSWORD 'the-right-one'");
    server.require_password("careful");
    let url = |password| {
        let text = server.url_text().replace("test@", &format!("careful:{password}@"));
        StoreUrl::parse(&text).unwrap()
    };
    let trail = delivering(dir.path(), options(ORIGIN), &url("s3cr3t-wrong"));
    record(&trail, 0..10);
    let reason = wait_failing(&trail);
    assert!(reason.contains("28P01") && reason.contains("careful"), "{reason}");
    assert!(!reason.contains("s3cr3t"), "{reason}");
    trail.close(SOON).unwrap();
    let trail = delivering(dir.path(), options(ORIGIN), &url("the-right-one"));
    wait_stored(&trail);
    trail.close(SOON).unwrap();
    check_equal(&server, ORIGIN, dir.path());
}

#[test]
fn a_role_without_privileges_is_told_what_it_lacks() {
    let (server, dir) = (Server::start_own(&[]), tempfile::tempdir().unwrap());
    server.execute("CREATE ROLE poor LOGIN");
    let url = StoreUrl::parse(&server.url_text().replace("test@", "poor@")).unwrap();
    let trail = delivering(dir.path(), options(ORIGIN), &url);
    record(&trail, 0..10);
    let reason = wait_failing(&trail);
    assert!(reason.contains("42501") && reason.contains("store roles"), "{reason}");
    // An ordinary user that may create schemas is enough.
    server.execute("GRANT CREATE ON DATABASE postgres TO poor");
    wait_stored(&trail);
    trail.close(SOON).unwrap();
    check_equal(&server, ORIGIN, dir.path());
}

#[test]
fn an_idle_delivery_notices_that_the_store_is_gone() {
    let (mut server, dir) = (Server::start_own(&[]), tempfile::tempdir().unwrap());
    let trail = delivering(dir.path(), options(ORIGIN), &server.url());
    wait_stored(&trail);
    server.kill();
    wait_failing(&trail);
    server.start_again();
    wait_until("it is there again", || delivery(&trail).state == DeliveryState::Running);
    trail.close(SOON).unwrap();
    check_equal(&server, ORIGIN, dir.path());
}

#[test]
fn a_store_in_an_encoding_that_cannot_hold_every_text_is_refused() {
    let server = Server::start();
    let own = format!("latin_{}", std::process::id());
    server.execute(&format!(
        "CREATE DATABASE {own} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    ));
    let name = server.value("SELECT current_database()");
    let url = StoreUrl::parse(&server.url_text().replace(&format!("/{name}"), &format!("/{own}"))).unwrap();
    let error = url.connect(&Default::default()).err().unwrap().to_string();
    server.execute(&format!("DROP DATABASE {own} WITH (FORCE)"));
    assert!(error.contains("LATIN1") && error.contains("ENCODING 'UTF8'"), "{error}");
}
