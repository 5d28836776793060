//! What stands around the blocks: the application that the document was written for, as small as it can be.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::server::Server;
use trailseal::{AuditFilter, AuditLogger, FileAuditStorage, RotationPolicy};

pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, Error>;

/// A workflow of steps.
#[derive(Clone, Default)]
pub struct Workflow {
    pub id: String,
    pub name: String,
}

impl Workflow {
    pub fn from_yaml_file(_path: &str) -> std::io::Result<Workflow> {
        Ok(test_workflow())
    }
}

/// In the place of `PathBuf`: the document's own path, in a folder of this process rather than in the machine's.
pub struct PathInFolder;

impl PathInFolder {
    pub fn from(path: &str) -> std::path::PathBuf {
        static FOLDER: std::sync::LazyLock<tempfile::TempDir> =
            std::sync::LazyLock::new(|| tempfile::tempdir().unwrap());
        FOLDER.path().join(path.trim_start_matches('/'))
    }
}

pub struct Step {
    pub id: String,
}

#[derive(Clone, Debug)]
pub struct StepResult;

impl StepResult {
    pub fn is_ok(&self) -> bool {
        true
    }
}

pub struct Session;

pub struct User {
    pub id: String,
}

pub fn test_workflow() -> Workflow {
    Workflow { id: "w1".into(), name: "Deploy".into() }
}

/// A storage and a logger in a folder of their own, which is to be kept.
pub struct Audit {
    pub storage: Arc<FileAuditStorage>,
    pub logger: Arc<AuditLogger>,
    folder: tempfile::TempDir,
}

pub fn audit() -> Audit {
    let folder = tempfile::tempdir().unwrap();
    let storage = FileAuditStorage::new(folder.path().join("audit.log"), RotationPolicy::Never).unwrap();
    let storage = Arc::new(storage);
    Audit { logger: Arc::new(AuditLogger::new(storage.clone())), storage, folder }
}

impl Audit {
    /// What was recorded, the oldest first: type, resource and result.
    pub async fn told(&self) -> Vec<String> {
        let events = self.storage.query(AuditFilter::new()).await.unwrap();
        let tell = |event: &trailseal::AuditEvent| {
            let result = event.result.error_message().unwrap_or(event.result.as_str());
            format!("{} {} {result}", event.event_type, event.resource_id)
        };
        events.iter().rev().map(tell).collect()
    }
}

/// A PostgreSQL with the document's user, password and database, and a folder for a trail.
pub struct Database {
    server: Server,
    folder: tempfile::TempDir,
}

impl Database {
    pub fn start() -> Database {
        let server = Server::start_own(&[]);
        server.execute("CREATE ROLE \"user\" LOGIN PASSWORD 'pass'");
        server.execute("CREATE DATABASE audit OWNER \"user\" ENCODING 'UTF8' TEMPLATE template0");
        server.require_password("user");
        Database { server, folder: tempfile::tempdir().unwrap() }
    }

    /// The document's URL, at this port.
    pub fn url(&self) -> String {
        format!("postgresql://user:pass@localhost:{}/audit", self.server.port())
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a test of this program in a process of its own: the environment is read there.
    pub fn run(&self, test: &str, variables: &[(&str, &str)]) {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored"])
            .envs(variables.iter().copied())
            .env("TRAILSEAL_DIR", self.folder().join("trail"))
            .env(PORT, self.server.port().to_string())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }

    /// What is in the store, in its order: action, actor and outcome.
    pub fn told(&self) -> Vec<Vec<String>> {
        let url = format!("postgres://test@127.0.0.1:{}/audit", self.server.port());
        let url = trailseal_postgres::StoreUrl::parse(&url).unwrap();
        let mut connection = url.connect(&Default::default()).unwrap();
        let sql = "SELECT action, actor_id, outcome FROM trailseal.events WHERE NOT system ORDER BY idx";
        crate::server::rows(&mut connection, sql)
    }
}

const PORT: &str = "DATABASE_PORT";

/// In the place of `DatabaseAuditStorage`: the document's own URL, at the port of this test's server.
pub struct AtItsPort;

impl AtItsPort {
    pub async fn new(
        url: &str,
    ) -> std::result::Result<trailseal::DatabaseAuditStorage, trailseal::StorageError> {
        let port = std::env::var(PORT).unwrap();
        trailseal::DatabaseAuditStorage::new(&url.replace("@localhost/", &format!("@localhost:{port}/")))
            .await
    }
}
