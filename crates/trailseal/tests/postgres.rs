//! A trail inside an application that delivers to a shared store, and is read from there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../postgres/tests/server/mod.rs"]
mod server;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use server::Server;
use trailseal::outbox::{INSERT_SQL, SCHEMA_SQL};
use trailseal::postgres::StoreUrl;
use trailseal::{
    Ack, AuditEvent, AuditEventType, AuditFilter, AuditLogger, AuditResult, DatabaseAuditStorage, Event,
    HandoffPlace, Options, RecordOptions, RequestContext, ResourceType, Status, StorageError, Trail,
};

const WITHIN: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(60);

fn options() -> Options {
    let mut options = Options::default();
    options.handoff.place = HandoffPlace::Memory;
    options.handoff.size_bytes = 4 << 20;
    options.disk_reserve_bytes = Some(0);
    options
}

/// Talks to the server, which blocks.
fn outside<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

async fn storage(server: &Server, folder: &tempfile::TempDir) -> Arc<DatabaseAuditStorage> {
    Arc::new(DatabaseAuditStorage::with_options(server.url_text(), folder.path(), &options()).await.unwrap())
}

#[test]
fn level_store_waits_for_the_shared_store() {
    let server = Server::start();
    let trail = Trail::temporary().unwrap();
    trail.deliver_to_store(&StoreUrl::parse(server.url_text()).unwrap()).unwrap();
    // The tables are made first.
    let stored = RecordOptions::new().ack(Ack::Store).timeout(SOON);
    let receipt = trail.with(stored).record(Event::new("invoice.pay").actor("u1")).unwrap();
    assert_eq!(receipt.status, Status::Stored);
    let found = server.rows("SELECT action, actor_id, origin FROM trailseal.events WHERE NOT system");
    assert_eq!(found, [["invoice.pay", "u1", trail.origin()]]);
    trail.close(SOON).unwrap();
}

#[test]
fn an_event_for_the_outbox_has_the_context_of_its_request_and_is_taken_over() {
    let server = Server::start();
    server.execute(SCHEMA_SQL);
    let trail = Trail::temporary().unwrap();
    let request = RequestContext::new();
    request.change(|facts| facts.context.request_id = Some("r1".into()));
    let event = request.enter(|| trail.for_outbox(Event::new("invoice.pay").actor("u1"))).unwrap();
    let insert = async |client: &mut tokio_postgres::Client| {
        client.execute(INSERT_SQL, &[&event.id(), &event.json(), &event.masked()]).await
    };
    assert_eq!(server.connect().run("write into", WITHIN, insert).unwrap(), 1);
    let relay = trail.relay_outbox(&StoreUrl::parse(server.url_text()).unwrap()).unwrap();
    assert!(relay.wait_emptied(WITHIN), "{:?}", relay.stats());
    let found = trail.get(event.id()).unwrap().unwrap();
    assert_eq!(
        (&*found.event.action, found.event.context.request_id.as_deref()),
        ("invoice.pay", Some("r1"))
    );
    assert_eq!(relay.stop().taken_over, 1);
    trail.close(WITHIN).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_storage_finds_what_was_recorded_before_and_what_others_delivered() {
    let server = outside(Server::start);
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (storage(&server, &one).await, storage(&server, &two).await);
    first.migrate().await.unwrap();
    let (logger, other) = (AuditLogger::new(first.clone()), AuditLogger::new(second.clone()));
    for number in 0..30 {
        let workflow = format!("w{number}");
        logger.log_workflow_delete(&workflow, "anna").await.unwrap();
        // At once, each time.
        let about = AuditFilter::new().with_resource_id(workflow);
        assert_eq!(first.count(about).await.unwrap(), 1, "{number}");
    }
    other.log_auth_attempt("bo", false, None).await.unwrap();
    other.log_authorization("bo", "delete", "w1", false).await.unwrap();
    assert_eq!(second.count(AuditFilter::new()).await.unwrap(), 32, "the other trail's too");

    let ids = async |filter: AuditFilter| {
        let found = first.query(filter).await.unwrap();
        found.into_iter().map(|event| event.resource_id).collect::<Vec<_>>()
    };
    let of_anna = || AuditFilter::new().with_user_id("anna");
    assert_eq!(ids(of_anna().with_limit(2)).await, ["w29", "w28"]);
    assert_eq!(ids(of_anna().with_limit(2).with_offset(28)).await, ["w1", "w0"]);
    assert_eq!(ids(of_anna().with_limit(0)).await, [""; 0]);
    let failed = || AuditFilter::new().with_result(AuditResult::Failure("".into()));
    assert_eq!(ids(failed()).await, ["w1", "bo"]);
    let reason = AuditResult::Failure("Permission denied: delete".into());
    assert_eq!(ids(AuditFilter::new().with_result(reason)).await, ["w1"]);
    assert_eq!(ids(failed().with_event_type(AuditEventType::Authentication)).await, ["bo"]);
    assert_eq!(first.count(of_anna().with_limit(1)).await.unwrap(), 30, "a limit does not limit a count");
    let by_resource = AuditFilter::new().with_resource_type(ResourceType::Workflow).with_resource_id("w7");
    let event = first.query(by_resource).await.unwrap().remove(0);
    assert_eq!(first.get(&event.id).await.unwrap(), Some(event));
    assert_eq!(first.get("nobody").await.unwrap(), None);
    // Who reads is recorded, as for a trail.
    let read = "SELECT count(*) > 0 FROM trailseal.events WHERE action = 'trail.read'";
    first.close(SOON).await.unwrap();
    assert_eq!(outside(|| server.value(read)), "t");
    assert_eq!(ids(of_anna().with_limit(1)).await, ["w29"], "a closed trail's storage still finds");
    second.close(SOON).await.unwrap();
    outside(|| drop(server));
}

#[tokio::test(flavor = "multi_thread")]
async fn recording_goes_on_without_the_database_and_a_query_waits_for_it() {
    let mut server = outside(|| Server::start_own(&[]));
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(&server, &folder).await;
    let logger = AuditLogger::new(storage.clone());
    logger.log_workflow_delete("w0", "anna").await.unwrap();
    assert_eq!(storage.count(AuditFilter::new()).await.unwrap(), 1);
    storage.health_check().await.unwrap();

    outside(|| server.stop());
    logger.log_workflow_delete("w1", "anna").await.unwrap();
    let error = storage.query(AuditFilter::new()).await.unwrap_err();
    assert!(matches!(error, StorageError::ConnectionError(_)), "{error:?}");
    assert!(error.to_string().contains("kept in the trail"), "{error}");
    assert!(storage.health_check().await.is_err());
    assert!(matches!(storage.migrate().await, Err(StorageError::ConnectionError(_))));

    let waiting = tokio::spawn({
        let storage = storage.clone();
        async move {
            let end = Instant::now() + SOON;
            loop {
                match storage.query(AuditFilter::new()).await {
                    Ok(found) => return found.len(),
                    Err(error) => assert!(Instant::now() < end, "{error}"),
                }
            }
        }
    });
    outside(|| server.start_again());
    // Connections that the restart ended, and nobody has used since, are no reason to fail either.
    assert_eq!(waiting.await.unwrap(), 2);
    outside(|| server.cut_off());
    logger.log_workflow_delete("w2", "anna").await.unwrap();
    assert_eq!(storage.count(AuditFilter::new()).await.unwrap(), 3);
    storage.close(SOON).await.unwrap();
    outside(|| drop(server));
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_share_5_to_20_connections() {
    let server = outside(|| Server::start_own(&[]));
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(&server, &folder).await;
    storage.migrate().await.unwrap();
    // One more delivers, and one asks here.
    let sessions = || {
        let own = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'trailseal' AND pid <> pg_backend_pid()";
        outside(|| server.value(own)).parse::<usize>().unwrap()
    };
    AuditLogger::new(storage.clone()).log_auth_attempt("anna", true, None).await.unwrap();
    assert_eq!(storage.count(AuditFilter::new()).await.unwrap(), 1);
    // The session of a question before may not have ended yet.
    let end = Instant::now() + SOON;
    while sessions() != 6 {
        assert!(Instant::now() < end, "{}", sessions());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Until this commits, whoever reads waits.
    let mut blocking = outside(|| server.connect());
    let lock = "BEGIN; LOCK TABLE trailseal.events IN ACCESS EXCLUSIVE MODE";
    outside(|| blocking.run("lock", SOON, async |client| client.batch_execute(lock).await)).unwrap();
    let many: Vec<_> = (0..40)
        .map(|_| {
            let storage = storage.clone();
            tokio::spawn(async move { storage.count(AuditFilter::new().with_user_id("anna")).await.unwrap() })
        })
        .collect();
    let end = Instant::now() + SOON;
    let is_waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%trailseal.events%'";
    while outside(|| server.value(is_waiting)) != "20" {
        assert!(Instant::now() < end, "{} wait", outside(|| server.value(is_waiting)));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // 20 that read, one that delivers, and the one with the lock.
    // The session of the question before may not have ended yet.
    while !(21..=22).contains(&sessions()) {
        assert!(Instant::now() < end, "{}", sessions());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    outside(|| blocking.run("unlock", SOON, async |client| client.batch_execute("COMMIT").await)).unwrap();
    drop(blocking);
    for one in many {
        assert_eq!(one.await.unwrap(), 1);
    }
    storage.close(SOON).await.unwrap();
    outside(|| drop(server));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_folder_has_one_store_in_a_process_and_no_error_shows_a_password() {
    let server = outside(Server::start);
    let folder = tempfile::tempdir().unwrap();
    let open = async |url: &str, options: &Options| {
        DatabaseAuditStorage::with_options(url, folder.path(), options)
            .await
            .map(|storage| storage.trail().clone())
    };
    let first = storage(&server, &folder).await;
    assert_eq!(open(server.url_text(), &options()).await.unwrap().dir(), first.trail().dir());
    let error = open("postgres://me:s3cr3t@127.0.0.1:1/other", &options()).await.err().unwrap();
    assert!(error.to_string().contains("is open in this process with the store"), "{error}");
    let error = open(server.url_text(), &Options::default()).await.err().unwrap();
    assert!(error.to_string().contains("another value of the option"), "{error}");
    for wrong in ["postgres://me:s3cr3t@:x/y", "mysql://me:s3cr3t@db/x"] {
        let error = open(wrong, &options()).await.err().unwrap();
        assert!(matches!(error, StorageError::ConfigurationError(_)), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("s3cr"), "{error}");
    }
    first.close(SOON).await.unwrap();
    // A trail that is no folder of slots is used as it is.
    let single = tempfile::tempdir().unwrap();
    let trail = Trail::open_with(single.path(), options()).unwrap();
    let origin = trail.origin().to_owned();
    trail.close(SOON).unwrap();
    let again = storage(&server, &single).await;
    assert_eq!(again.trail().origin(), origin);
    again.close(SOON).await.unwrap();
    outside(|| drop(server));
}

const CHILD_URL: &str = "TRAILSEAL_TEST_CHILD_URL";
const CHILD_DIR: &str = "TRAILSEAL_TEST_CHILD_DIR";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is the process that `a_killed_process_loses_nothing` kills"]
async fn child() {
    let variable = |name| std::env::var(name).unwrap();
    // With the ordinary handoff, which outlives the process. The database cannot be reached.
    let (url, dir, options) = (variable(CHILD_URL), variable(CHILD_DIR), Options::default());
    let storage = DatabaseAuditStorage::with_options(&url, dir, &options).await.unwrap();
    let logger = AuditLogger::new(Arc::new(storage));
    for number in 0..500 {
        let (kind, result) = (AuditEventType::SystemEvent, AuditResult::Success);
        let event = AuditEvent::new(kind, "Counted", ResourceType::System, number.to_string(), result);
        logger.log_event(event).await.unwrap();
    }
    // SAFETY: ends this process, at once.
    #[allow(unsafe_code)]
    unsafe {
        libc::kill(libc::getpid(), libc::SIGKILL);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_loses_nothing() {
    let server = outside(Server::start);
    let folder = tempfile::tempdir().unwrap();
    let killed = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored"])
        .env(CHILD_URL, "postgres://me@127.0.0.1:1/nowhere")
        .env(CHILD_DIR, folder.path())
        .output()
        .unwrap();
    assert!(!killed.status.success() && killed.status.code().is_none(), "{killed:?}");
    let url = server.url_text();
    let storage = DatabaseAuditStorage::with_options(url, folder.path(), &Options::default()).await.unwrap();
    assert_eq!(storage.count(AuditFilter::new()).await.unwrap(), 500);
    let distinct = "SELECT count(DISTINCT resource_id), count(*) FROM trailseal.events WHERE NOT system";
    assert_eq!(outside(|| server.rows(distinct)), [["500", "500"]]);
    storage.close(SOON).await.unwrap();
    outside(|| drop(server));
}
