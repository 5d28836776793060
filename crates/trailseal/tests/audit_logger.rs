//! The names of `llm-orchestrator-audit`, over a trail.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use trailseal::{
    AuditEvent, AuditEventType, AuditFilter, AuditLogger, AuditResult, AuditStorage, Event, FileAuditStorage,
    Options, Order, Outcome, Query, ResourceType, RotationPolicy, StorageError, Trail,
};

const SOON: Duration = Duration::from_secs(60);

fn open(folder: &Path) -> (Arc<FileAuditStorage>, AuditLogger) {
    let storage = Arc::new(FileAuditStorage::new(folder.join("audit.log"), RotationPolicy::Never).unwrap());
    (storage.clone(), AuditLogger::new(storage))
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn each_helper_is_found_as_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let (storage, logger) = open(folder.path());
    let took = Duration::from_millis(1500);
    logger.log_workflow_create("w1", "Deploy", "u1").await.unwrap();
    logger.log_workflow_update("w1", "u1", serde_json::json!({"steps": [1, 2]})).await.unwrap();
    logger.log_workflow_execution("w1", "u1", AuditResult::PartialSuccess, took).await.unwrap();
    logger.log_step_execution("w1", "s1", "u1", AuditResult::Failure("boom".into()), took).await.unwrap();
    logger.log_workflow_delete("w1", "u1").await.unwrap();
    logger.log_auth_attempt("u2", false, Some("203.0.113.7".into())).await.unwrap();
    logger.log_auth_attempt("u2", true, None).await.unwrap();
    logger.log_authorization("u2", "read", "w1", false).await.unwrap();
    logger.log_secret_access("db-url", "u3", SystemTime::now()).await.unwrap();
    logger.log_config_change("smtp.password", Some("old"), "new", "u3").await.unwrap();
    logger.log_api_key_create("k1", "u3", vec!["read".into()]).await.unwrap();
    logger.log_api_key_revoke("k1", "u3", "leaked").await.unwrap();

    let query = async |filter: AuditFilter| storage.query(filter).await.unwrap();
    let all = query(AuditFilter::new()).await;
    assert_eq!(all.len(), 12);
    let types: Vec<_> = all.iter().rev().map(|event| event.event_type.as_str().to_owned()).collect();
    assert_eq!(
        types.join(" "),
        "workflow_create workflow_update workflow_execution step_execution workflow_delete authentication \
         authentication authorization secret_access config_change api_key_create api_key_revoke"
    );
    let one = async |filter: AuditFilter| {
        let mut found = query(filter).await;
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    };
    let of = |kind| AuditFilter::new().with_event_type(kind);
    let executed = one(of(AuditEventType::WorkflowExecution)).await;
    assert_eq!((executed.result, executed.duration), (AuditResult::PartialSuccess, Some(took)));
    assert_eq!((executed.action.as_str(), executed.resource_id.as_str()), ("Workflow executed", "w1"));
    let updated = one(of(AuditEventType::WorkflowUpdate)).await;
    assert_eq!(updated.details.to_string(), r#"{"steps":[1,2]}"#);
    let changed = one(of(AuditEventType::ConfigChange)).await;
    assert_eq!(changed.after.unwrap().to_string(), r#"{"smtp.password":"***"}"#, "a secret was kept");
    let failed = one(of(AuditEventType::Authentication).with_result(AuditResult::Failure("".into()))).await;
    assert_eq!(failed.ip_address.as_deref(), Some("203.0.113.7"));
    assert_eq!(query(AuditFilter::new().with_result(AuditResult::Failure("".into()))).await.len(), 3);
    let boom = one(AuditFilter::new().with_result(AuditResult::Failure("boom".into()))).await;
    assert_eq!(boom.resource_type, ResourceType::Step);
    assert_eq!(query(AuditFilter::new().with_user_id("u3")).await.len(), 4);
    assert_eq!(query(AuditFilter::new().with_resource_id("w1")).await.len(), 5);
    let keys = AuditFilter::new().with_resource_type(ResourceType::ApiKey).with_resource_id("k1");
    assert_eq!(storage.count(keys.clone().with_limit(1)).await.unwrap(), 2, "a count knows no limit");
    assert_eq!(query(keys.with_limit(1).with_offset(1)).await[0].event_type, AuditEventType::ApiKeyCreate);
    let hour = Duration::from_secs(3600);
    let now = SystemTime::now();
    assert_eq!(query(AuditFilter::new().with_time_range(now - hour, now)).await.len(), 12);
    assert!(query(AuditFilter::new().with_time_range(now - 2 * hour, now - hour)).await.is_empty());
    let got = storage.get(&boom.id).await.unwrap().unwrap();
    assert_eq!(got, boom);
    // Both ends are included.
    let then = boom.timestamp;
    assert!(query(AuditFilter::new().with_time_range(then, then)).await.contains(&boom));
    storage.health_check().await.unwrap();
    assert!(storage.trail().verify().unwrap().ok);
}

#[tokio::test]
async fn an_event_goes_there_and_back() {
    let logger = AuditLogger::over(Trail::temporary().unwrap());
    let event = AuditEvent::new(
        AuditEventType::Other("ticket.close".into()),
        "Closed the ticket",
        ResourceType::Other("ticket".into()),
        "T-7",
        AuditResult::Unknown,
    )
    .with_user_id("u1")
    .with_ip_address("203.0.113.7")
    .with_user_agent("curl/8")
    .with_request_id("r-1")
    .with_tenant("acme")
    .with_duration(Duration::from_millis(3));
    let trail = logger.trail().unwrap().unwrap();
    for details in [
        "7",
        "[1]",
        r#"{"value":7}"#,
        r#"{"_value":7}"#,
        r#"{"_value":{"a":1}}"#,
        r#"{"_value":{"_value":7}}"#,
    ] {
        let mut event =
            event.clone().with_details(serde_json::from_str::<serde_json::Value>(details).unwrap());
        event.id = format!("about {details}");
        logger.log_event(event.clone()).await.unwrap();
        let found = trail.query(Query::new().action("ticket.close").id(&event.id)).unwrap().events.remove(0);
        assert_eq!(AuditEvent::from(found), event);
    }
}

#[tokio::test]
async fn what_masking_has_replaced_is_found_and_told_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let (storage, logger) = open(folder.path());
    let token = "ghp_abcdefghijklmnopqrstuvwxyz0123456789";
    let reason = format!("{token} is not valid");
    let result = AuditResult::Failure(reason.clone());
    let kind = ResourceType::Other("token".into());
    let event = AuditEvent::new(AuditEventType::SecretAccess, "Used", kind.clone(), token, result);
    logger.log_event(event).await.unwrap();
    logger.log_secret_access("another", "u1", SystemTime::now()).await.unwrap();
    let count = async |filter: AuditFilter| storage.count(filter).await.unwrap();
    let of_token = AuditFilter::new().with_resource_id(token);
    assert_eq!(count(of_token.clone()).await, 1);
    assert_eq!(count(of_token.with_resource_type(kind)).await, 1);
    let failed = |reason: &str| AuditFilter::new().with_result(AuditResult::Failure(reason.into()));
    assert_eq!(count(failed(&reason)).await, 1);
    assert_eq!(count(failed("it is not valid")).await, 0);
    assert_eq!(count(AuditFilter::new().with_resource_id("nobody's")).await, 0);

    let read = Query::new().with_system().action("trail.read").order(Order::OldestRecorded);
    let read = storage.trail().query(read).unwrap().events;
    let told = |at: usize, name: &str| {
        let told = read[at].get(&format!("details.query.{name}.0"));
        told.and_then(|told| told.as_str().map(str::to_owned)).unwrap_or_default()
    };
    assert!(told(0, "resource_id").starts_with("hmac:"), "{}", told(0, "resource_id"));
    assert!(told(1, "resource").starts_with("token/hmac:"), "{}", told(1, "resource"));
    assert!(told(2, "error").ends_with(" is not valid"), "{}", told(2, "error"));
    assert_eq!((told(3, "error").as_str(), told(4, "resource_id").as_str()), ("it is not valid", "nobody's"));
    assert!(read.iter().all(|read| !String::from_utf8_lossy(&read.line).contains(token)));
}

#[tokio::test]
async fn an_event_without_an_outcome_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let (storage, logger) = open(folder.path());
    logger.record(Event::new("report.make")).unwrap();
    logger.record(Event::new("door.open").outcome(Outcome::Denied).error("locked")).unwrap();
    let results: Vec<_> =
        storage.query(AuditFilter::new()).await.unwrap().into_iter().map(|event| event.result).collect();
    assert_eq!(results, [AuditResult::Failure("locked".into()), AuditResult::Unknown]);
    let unknown = AuditFilter::new().with_result(AuditResult::Unknown);
    assert_eq!(storage.count(unknown).await.unwrap(), 1);
    assert_eq!(storage.count(AuditFilter::new().with_result(AuditResult::Success)).await.unwrap(), 0);
}

#[tokio::test]
async fn the_copy_is_appended_to_and_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    std::fs::write(&path, "{\"old\":true}\n").unwrap();
    for user in ["u1", "u2"] {
        let (storage, logger) = open(folder.path());
        logger.log_auth_attempt(user, true, None).await.unwrap();
        storage.close(SOON).await.unwrap();
    }
    let copy = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = copy.lines().collect();
    assert_eq!(lines.len(), 3, "{copy}");
    assert_eq!(lines[0], "{\"old\":true}");
    assert!(lines[1].contains("\"u1\"") && lines[2].contains("\"u2\""), "{copy}");
    let trail =
        std::fs::read_to_string(folder.path().join("audit.log.trail/segments/00000000000000000000.jsonl"));
    let trail = trail.unwrap();
    assert!(lines[1..].iter().all(|line| trail.lines().any(|other| other == *line)), "not the exact lines");
}

#[tokio::test]
async fn one_path_is_one_trail_in_a_process() {
    let folder = tempfile::tempdir().unwrap();
    let (storage, logger) = open(folder.path());
    let (again, _) = open(folder.path());
    logger.log_auth_attempt("u1", true, None).await.unwrap();
    assert_eq!(again.count(AuditFilter::new()).await.unwrap(), 1);
    let other = FileAuditStorage::new(folder.path().join("audit.log"), RotationPolicy::Daily);
    assert!(matches!(other, Err(StorageError::ConfigurationError(_))));
    let mut options = Options::default();
    options.mask.keys.push("iban".into());
    let log = folder.path().join("audit.log");
    let other = FileAuditStorage::with_options(&log, RotationPolicy::Never, &options).err().unwrap();
    assert!(
        other.to_string().ends_with("with another value of the option mask: use the same everywhere"),
        "{other}"
    );
    drop((storage, logger, again));
    // The last one has let go: it can be opened anew at once, and in another way.
    FileAuditStorage::new(folder.path().join("audit.log"), RotationPolicy::Daily).unwrap();
}

#[tokio::test]
async fn failures_are_values() {
    let folder = tempfile::tempdir().unwrap();
    let (storage, logger) = open(folder.path());
    storage.close(SOON).await.unwrap();
    let error = logger.log_auth_attempt("u1", true, None).await.unwrap_err();
    assert_eq!(error.to_string(), "the trail is closed");
    assert!(storage.health_check().await.is_err());
    // While the closed one is held, another opening of the path is open.
    let (again, logger) = open(folder.path());
    logger.log_auth_attempt("u1", true, None).await.unwrap();
    assert_eq!(again.count(AuditFilter::new()).await.unwrap(), 1);
    assert!(storage.health_check().await.is_err());
    let file = folder.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let error = FileAuditStorage::new(file.join("audit.log"), RotationPolicy::Never).err().unwrap();
    assert!(matches!(error, StorageError::IoError(_)), "{error:?}");
    let told = error.to_string();
    assert!(told.contains("a-file: ") && told.contains("os error"), "{told}");
    // The copy could never be written.
    let error = FileAuditStorage::new(folder.path(), RotationPolicy::Never).err().unwrap();
    assert!(error.to_string().ends_with(" is a folder: name a file in it, such as audit.log"), "{error}");
    AuditLogger::disabled().log_workflow_delete("w1", "u1").await.unwrap();
    assert!(!AuditLogger::disabled().is_enabled());
}

/// Fails as often as it is told; needs a runtime, as a storage over a network does.
#[derive(Default)]
struct Remote {
    events: Mutex<Vec<AuditEvent>>,
    is_down: AtomicBool,
}

#[async_trait::async_trait]
impl AuditStorage for Remote {
    async fn store(&self, event: &AuditEvent) -> Result<(), StorageError> {
        tokio::time::sleep(Duration::from_micros(10)).await;
        if self.is_down.load(Ordering::Relaxed) {
            return Err(StorageError::ConnectionError("down".into()));
        }
        self.events.lock().unwrap().push(event.clone());
        Ok(())
    }

    async fn query(&self, filter: AuditFilter) -> Result<Vec<AuditEvent>, StorageError> {
        Ok(self.events.lock().unwrap().iter().take(filter.limit).cloned().collect())
    }

    async fn get(&self, id: &str) -> Result<Option<AuditEvent>, StorageError> {
        Ok(self.events.lock().unwrap().iter().find(|event| event.id == id).cloned())
    }

    async fn count(&self, _filter: AuditFilter) -> Result<u64, StorageError> {
        Ok(self.events.lock().unwrap().len() as u64)
    }
}

impl Remote {
    fn users(&self) -> Vec<String> {
        self.events.lock().unwrap().iter().map(|event| event.user_id.clone().unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_is_down_gets_everything_in_order_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let remote = Arc::new(Remote::default());
    let logger =
        AuditLogger::delivering(Trail::open(folder.path()).unwrap(), remote.clone() as Arc<dyn AuditStorage>);
    let logger = logger.unwrap();
    logger.log_auth_attempt("u1", true, None).await.unwrap();
    until("the first is stored", || remote.users() == ["u1"]).await;
    remote.is_down.store(true, Ordering::Relaxed);
    for user in ["u2", "u3"] {
        logger.log_auth_attempt(user, true, None).await.unwrap();
    }
    let trail = logger.trail().unwrap().unwrap();
    let has_failed = || {
        trail.stats().deliveries.iter().any(|delivery| delivery.name == "storage" && delivery.failures > 0)
    };
    until("it failed", has_failed).await;
    logger.close(SOON).await.unwrap();
    assert_eq!(remote.users(), ["u1"]);

    // Another process, later: what is left is delivered from the cursor on.
    remote.is_down.store(false, Ordering::Relaxed);
    let logger = AuditLogger::delivering(Trail::open(folder.path()).unwrap(), remote.clone()).unwrap();
    logger.log_auth_attempt("u4", true, None).await.unwrap();
    logger.close(SOON).await.unwrap();
    assert_eq!(remote.users(), ["u1", "u2", "u3", "u4"]);
}

#[test]
fn a_close_leaves_no_delivery_behind_whose_runtime_nobody_drives() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let remote = Arc::new(Remote::default());
    let open = || AuditLogger::delivering(Trail::open(folder.path()).unwrap(), remote.clone()).unwrap();
    let logger = {
        let _entered = runtime.enter();
        open()
    };
    logger.record(Event::new("door.open").actor("u1")).unwrap();
    let trail = logger.trail().unwrap().unwrap();
    let closed = trail.close(Duration::from_secs(10)).unwrap();
    assert!(closed.deliveries.iter().any(|delivery| delivery.lag_events > 0), "{closed:?}");

    // The delivery that was given up keeps the folder until its thread has ended: on a busy machine, a moment later than the close.
    // What is left comes when somebody drives the runtime.
    let end = Instant::now() + SOON;
    while Trail::open(folder.path()).is_err() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    runtime.block_on(async { open().close(SOON).await }).unwrap();
    assert_eq!(remote.users(), ["u1"]);
}

/// A storage as [`Remote`] is one, with a name that is given.
struct Named(&'static str, Remote);

#[async_trait::async_trait]
impl AuditStorage for Named {
    async fn store(&self, event: &AuditEvent) -> Result<(), StorageError> {
        self.1.store(event).await
    }

    async fn query(&self, filter: AuditFilter) -> Result<Vec<AuditEvent>, StorageError> {
        self.1.query(filter).await
    }

    async fn get(&self, id: &str) -> Result<Option<AuditEvent>, StorageError> {
        self.1.get(id).await
    }

    async fn count(&self, filter: AuditFilter) -> Result<u64, StorageError> {
        self.1.count(filter).await
    }

    fn name(&self) -> &str {
        self.0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_storage_of_a_trail_has_a_cursor_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = open(folder.path());
    let named = |name| Arc::new(Named(name, Remote::default()));
    let refused = |storage: Arc<Named>| {
        let error = AuditLogger::delivering(file.trail().clone(), storage).err().unwrap();
        assert!(matches!(error, StorageError::ConfigurationError(_)), "{error:?}");
        error.to_string()
    };
    let (first, second) = (named("orders"), named("orders-2"));
    let logger = AuditLogger::delivering(file.trail().clone(), first.clone()).unwrap();
    AuditLogger::delivering(file.trail().clone(), second.clone()).unwrap();
    for name in ["orders", "Orders", "copy"] {
        assert!(refused(named(name)).contains(&format!("another storage named {name}")), "{name}");
    }
    for name in ["", "orders/2", "a b", "größe"] {
        assert!(refused(named(name)).contains("use 1 to 100 of the letters"), "{name}");
    }
    logger.log_auth_attempt("u1", true, None).await.unwrap();
    logger.close(SOON).await.unwrap();
    assert_eq!((first.1.users(), second.1.users()), (vec!["u1".to_owned()], vec!["u1".to_owned()]));

    // In another process one may have the name of the plain copy, which is not there.
    drop((logger, file));
    let copy = named("copy");
    let trail = Trail::open(folder.path().join("audit.log.trail")).unwrap();
    let logger = AuditLogger::delivering(trail, copy.clone()).unwrap();
    logger.close(SOON).await.unwrap();
    assert_eq!(copy.1.users(), ["u1"]);
}

#[test]
fn a_logger_can_be_cloned_and_shared() {
    fn check<T: Clone + Send + Sync + 'static>() {}
    check::<AuditLogger>();
    check::<FileAuditStorage>();
    check::<Trail>();
}
