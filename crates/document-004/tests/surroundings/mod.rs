//! What stands around the blocks: the application that the document was written for, as small as it can be.

use std::sync::Arc;

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
