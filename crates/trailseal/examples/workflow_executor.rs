//! Workflows and their steps, by the names that users of `llm-orchestrator-audit` know.
//!
//!     cargo run -p trailseal --example workflow_executor
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use trailseal::{
    AuditEventType, AuditFilter, AuditLogger, AuditResult, FileAuditStorage, RotationPolicy, StorageError,
};

struct WorkflowExecutor {
    id: &'static str,
    steps: Vec<(&'static str, bool)>,
    audit: AuditLogger,
}

impl WorkflowExecutor {
    async fn execute(&self, user: &str) -> Result<bool, StorageError> {
        let begun = Instant::now();
        self.audit.log_workflow_create(self.id, "Deploy to production", user).await?;
        let mut failed = None;
        for (step, works) in &self.steps {
            let begun = Instant::now();
            let result = if *works { AuditResult::Success } else { AuditResult::Failure("no answer".into()) };
            self.audit.log_step_execution(self.id, step, user, result, begun.elapsed()).await?;
            if !works {
                failed = Some(*step);
                break;
            }
        }
        let result = match failed {
            Some(step) => AuditResult::Failure(format!("step {step} failed")),
            None => AuditResult::Success,
        };
        self.audit.log_workflow_execution(self.id, user, result, begun.elapsed()).await?;
        Ok(failed.is_none())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The trail lies in ./audit.log.trail; ./audit.log is a plain copy for other tools.
    let storage = Arc::new(FileAuditStorage::new("./audit.log", RotationPolicy::Daily)?);
    let audit = AuditLogger::new(storage.clone());
    let good = vec![("build", true), ("test", true), ("deploy", true)];
    let bad = vec![("build", true), ("test", false), ("deploy", true)];
    for (id, steps) in [("w1", good), ("w2", bad)] {
        let executor = WorkflowExecutor { id, steps, audit: audit.clone() };
        let works = executor.execute("anna").await?;
        println!("{id}: {}", if works { "done" } else { "failed" });
    }

    let filter = AuditFilter::new()
        .with_event_type(AuditEventType::WorkflowExecution)
        .with_result(AuditResult::Failure("".to_string()));
    for event in storage.query(filter).await? {
        println!("{} failed: {}", event.resource_id, event.result.error_message().unwrap_or_default());
    }
    println!("{} events", storage.count(AuditFilter::new()).await?);
    storage.close(Duration::from_secs(10)).await?;
    Ok(())
}
