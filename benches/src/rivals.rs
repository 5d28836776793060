//! What people use instead, on the same events in the same run, at its best documented settings: the time of a
//! call, the rate, and whether what it accepted survives `kill -9`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use llm_orchestrator_audit as llm;
use trailseal_benches_report::names;
use trailseal_core::{Options, Trail};

use crate::load;

const NAMES: [&str; 5] = [
    "trailseal",
    "llm-orchestrator-audit",
    "audit-trail",
    "tracing-appender (non-blocking, default)",
    "tracing-appender (non-blocking, lossless)",
];

/// Something that events are handed to, one at a time.
trait Rival {
    fn record(&mut self, number: u64) -> bool;
    fn finish(self: Box<Self>);
}

pub fn all(dir: &Path) {
    for name in NAMES {
        let folder = dir.join("rival");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("made");
        let mut rival = open(name, &folder);
        let mut histogram = load::histogram();
        let (begun, mut number, mut accepted) = (Instant::now(), 0, 0u64);
        while begun.elapsed() < Duration::from_secs(3) {
            let at = Instant::now();
            accepted += u64::from(rival.record(number));
            let _ = histogram.record(at.elapsed().as_nanos() as u64);
            number += 1;
        }
        rival.finish();
        let elapsed = begun.elapsed().as_secs_f64();
        let kept = kept_events(&folder);
        let (acknowledged, survived) = survival(name, &folder);
        let mut numbers = load::percentiles(&histogram);
        numbers.extend([
            ("events_per_second", accepted as f64 / elapsed),
            ("lost_without_a_crash", accepted.saturating_sub(kept) as f64),
            ("kill_acknowledged", acknowledged as f64),
            ("kill_survived", survived as f64),
            ("kill_survived_share", survived.min(acknowledged) as f64 / acknowledged.max(1) as f64),
        ]);
        load::print(&names::rival(name), &numbers);
    }
}

/// Acknowledged by a child that is killed after a burst of about 20,000 events, and what its files hold.
fn survival(name: &str, folder: &Path) -> (u64, u64) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).expect("made");
    let mut child = Command::new(std::env::current_exe().expect("known"))
        .args(["rival-child", &folder.to_string_lossy(), name])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut acknowledged = 0;
    let stdout = child.stdout.take().expect("piped");
    for line in BufReader::new(stdout).lines() {
        let Ok(line) = line else { break };
        acknowledged = line.trim().parse().unwrap_or(acknowledged);
        if acknowledged >= 20_000 {
            child.kill().expect("killed");
            break;
        }
    }
    child.wait().expect("ended");
    if name == "trailseal" {
        let trail = Trail::open(folder.join("trail"), Options::default()).expect("recovers");
        trail.close(Duration::from_secs(30)).expect("closes");
    }
    (acknowledged, kept_events(folder))
}

/// Records in bursts of 1,000 and prints how many were accepted so far.
pub fn child(folder: &Path, name: &str) {
    let mut rival = open(name, folder);
    let mut accepted = 0u64;
    for number in 0.. {
        accepted += u64::from(rival.record(number));
        if number % 1000 == 999 {
            println!("{accepted}");
            std::io::stdout().flush().expect("the parent reads");
        }
    }
}

/// Events in the files below a folder, by a mark that each of them holds once.
fn kept_events(folder: &Path) -> u64 {
    let mut kept = 0;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "tile") {
                kept += kept_events(&path);
            }
        } else if path.file_name().is_some_and(|name| name != "handoff") {
            let bytes = std::fs::read(&path).unwrap_or_default();
            kept += bytes.windows(15).filter(|window| window == b"invoice.approve").count() as u64;
        }
    }
    kept
}

fn open(name: &str, folder: &Path) -> Box<dyn Rival> {
    match name {
        "trailseal" => Box::new(Own {
            trail: Trail::open(folder.join("trail"), Options::default()).expect("opens"),
            events: load::events(1000),
        }),
        "llm-orchestrator-audit" => {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("starts");
            let storage = llm::FileAuditStorage::new(folder.join("audit.log"), llm::RotationPolicy::Never);
            let logger = llm::AuditLogger::new(Arc::new(storage.expect("opens")));
            Box::new(Orchestrator { runtime, logger })
        }
        "audit-trail" => {
            let sink = audit_trail::FileSink::open_or_create(folder.join("audit.log")).expect("opens");
            let clock = audit_trail::MonotonicClock::new(audit_trail::SystemClock::new());
            Box::new(Chained(audit_trail::Chain::new(audit_trail::Sha256Hasher::new(), sink, clock)))
        }
        _ => Box::new(Traced::new(folder, name.contains("lossless"))),
    }
}

struct Own {
    trail: Trail,
    events: Vec<trailseal_event::Event>,
}

impl Rival for Own {
    fn record(&mut self, number: u64) -> bool {
        self.trail.record(&self.events[number as usize % self.events.len()]).is_ok()
    }

    fn finish(self: Box<Self>) {
        self.trail.close(Duration::from_secs(60)).expect("closes");
    }
}

struct Orchestrator {
    runtime: tokio::runtime::Runtime,
    logger: llm::AuditLogger,
}

impl Rival for Orchestrator {
    fn record(&mut self, number: u64) -> bool {
        let event = llm::AuditEvent::new(
            llm::AuditEventType::Authorization,
            "invoice.approve".into(),
            llm::ResourceType::Workflow,
            format!("inv-{number}"),
            llm::AuditResult::Success,
        )
        .with_user_id(format!("user-{}", number % 5000))
        .with_details(details())
        .with_ip_address("203.0.113.17".into())
        .with_user_agent("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36".into())
        .with_request_id("req-7f3a9c2e11d04b55".into());
        self.runtime.block_on(self.logger.log_event(event)).is_ok()
    }

    fn finish(self: Box<Self>) {}
}

fn details() -> serde_json::Value {
    serde_json::json!({
        "before": {"status": "pending", "amount": 129_900, "currency": "EUR"},
        "after": {"status": "approved", "amount": 129_900, "currency": "EUR"},
        "tenant": "tenant-42", "channel": "web", "attempt": 1,
        "correlation_id": "corr-51c0ffee0042", "session_id": "sess-8842aa",
    })
}

type AuditChain = audit_trail::Chain<
    audit_trail::Sha256Hasher,
    audit_trail::FileSink<std::io::BufWriter<std::fs::File>>,
    audit_trail::MonotonicClock<audit_trail::SystemClock>,
>;

struct Chained(AuditChain);

impl Rival for Chained {
    fn record(&mut self, number: u64) -> bool {
        // It takes four texts and nothing else, so the rest of the event goes into the target.
        let target = format!("invoice/inv-{number} {}", details());
        let actor = format!("user-{}", number % 5000);
        self.0
            .append(
                audit_trail::Actor::new(&actor),
                audit_trail::Action::new("invoice.approve"),
                audit_trail::Target::new(&target),
                audit_trail::Outcome::Success,
            )
            .is_ok()
    }

    fn finish(self: Box<Self>) {
        let (_, mut sink, _) = self.0.into_parts();
        sink.sync().expect("syncs");
    }
}

struct Traced {
    subscriber: tracing::subscriber::DefaultGuard,
    worker: tracing_appender::non_blocking::WorkerGuard,
}

impl Traced {
    fn new(folder: &Path, lossless: bool) -> Self {
        let file = tracing_appender::rolling::never(folder, "audit.log");
        let (writer, worker) =
            tracing_appender::non_blocking::NonBlockingBuilder::default().lossy(!lossless).finish(file);
        let subscriber = tracing_subscriber::fmt().json().with_writer(writer).finish();
        Traced { subscriber: tracing::subscriber::set_default(subscriber), worker }
    }
}

impl Rival for Traced {
    fn record(&mut self, number: u64) -> bool {
        tracing::info!(
            action = "invoice.approve",
            tenant = "tenant-42",
            actor = format!("user-{}", number % 5000),
            resource = format!("invoice/inv-{number}"),
            before = r#"{"status":"pending","amount":129900,"currency":"EUR"}"#,
            after = r#"{"status":"approved","amount":129900,"currency":"EUR"}"#,
            ip = "203.0.113.17",
            user_agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
            request_id = "req-7f3a9c2e11d04b55",
            correlation_id = "corr-51c0ffee0042",
            session_id = "sess-8842aa",
        );
        true
    }

    fn finish(self: Box<Self>) {
        drop(self.subscriber);
        drop(self.worker);
    }
}
