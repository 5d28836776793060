//! A logger as the environment says.

use std::ffi::OsString;
use std::sync::Arc;

use super::file::FileAuditStorage;
use super::logger::AuditLogger;
use super::rotation::RotationPolicy;
use super::storage::StorageError;
use crate::{Mode, Options, Policy};

const STORAGE: &str = "AUDIT_STORAGE";
const LOG_PATH: &str = "AUDIT_LOG_PATH";
const MODE: &str = "AUDIT_MODE";
const SAMPLE_RATE: &str = "AUDIT_SAMPLE_RATE";
const DEFAULT_PATH: &str = "/var/log/orchestrator/audit.log";

/// A logger as the environment says.
///
/// | variable | says |
/// | --- | --- |
/// | `AUDIT_STORAGE` | `file`, which is the default |
/// | `AUDIT_LOG_PATH` | the plain file; its trail lies beside it. Default `/var/log/orchestrator/audit.log` |
/// | `AUDIT_MODE` | `sync`, `async` (default), `sampled`, `off`: for events that no rule names |
/// | `AUDIT_SAMPLE_RATE` | the share that `sampled` keeps, from 0 to 1 |
///
/// # Errors
/// When a variable has a value that it cannot have, or the trail cannot be opened.
pub fn create_audit_logger() -> Result<Arc<AuditLogger>, StorageError> {
    create_from(&|name| std::env::var_os(name))
}

/// The value of a variable; `None` for one that is not set.
type Variable<'a> = &'a dyn Fn(&str) -> Result<Option<String>, StorageError>;

fn create_from(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Arc<AuditLogger>, StorageError> {
    let variable: Variable<'_> = &|name| {
        variable(name).map(OsString::into_string).transpose().map_err(|value| {
            let what = format!("{name} cannot be {value:?}: use UTF-8");
            StorageError::ConfigurationError(what)
        })
    };
    let wrong = |what: String| Err(StorageError::ConfigurationError(what));
    match variable(STORAGE)?.as_deref() {
        None | Some("" | "file") => {}
        Some("database") => {
            return wrong(format!("{STORAGE}=database: this build has no database storage; use file"));
        }
        Some(other) => return wrong(format!("{STORAGE} cannot be {other:?}: use file")),
    }
    let mut options = Options::default();
    options.policy = policy(variable)?;
    let path = variable(LOG_PATH)?.filter(|path| !path.is_empty());
    let path = path.unwrap_or_else(|| DEFAULT_PATH.to_owned());
    let storage = FileAuditStorage::with_options(path, RotationPolicy::Daily, &options)?;
    Ok(Arc::new(AuditLogger::new(Arc::new(storage))))
}

fn policy(variable: Variable<'_>) -> Result<Policy, StorageError> {
    let mut policy = Policy::default();
    if let Some(mode) = variable(MODE)?.filter(|mode| !mode.is_empty()) {
        policy.otherwise.mode = Mode::parse(&mode).ok_or_else(|| {
            let what = format!("{MODE} cannot be {mode:?}: use sync, async, sampled or off");
            StorageError::ConfigurationError(what)
        })?;
    }
    if let Some(rate) = variable(SAMPLE_RATE)?.filter(|rate| !rate.is_empty()) {
        policy.otherwise.rate =
            rate.parse().ok().filter(|rate| (0.0..=1.0).contains(rate)).ok_or_else(|| {
                let what = format!("{SAMPLE_RATE} cannot be {rate:?}: use a share from 0 to 1");
                StorageError::ConfigurationError(what)
            })?;
    }
    Ok(policy)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn create(variables: &[(&str, &str)]) -> Result<Arc<AuditLogger>, StorageError> {
        create_from(&|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())
        })
    }

    #[test]
    fn the_environment_says_where_events_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/audit.log");
        let logger = create(&[
            ("AUDIT_STORAGE", "file"),
            ("AUDIT_LOG_PATH", path.to_str().unwrap()),
            ("AUDIT_MODE", "sampled"),
            ("AUDIT_SAMPLE_RATE", "0.5"),
        ])
        .unwrap();
        let trail = logger.trail().unwrap().unwrap();
        assert_eq!(trail.dir(), folder.path().canonicalize().unwrap().join("logs/audit.log.trail"));
        assert_eq!((trail.policy().otherwise.mode, trail.policy().otherwise.rate), (Mode::Sampled, 0.5));
    }

    #[test]
    fn what_a_variable_cannot_be_is_said() {
        let said = |variables: &[(&str, &str)]| create(variables).err().unwrap().to_string();
        assert_eq!(said(&[("AUDIT_STORAGE", "tape")]), r#"AUDIT_STORAGE cannot be "tape": use file"#);
        assert!(said(&[("AUDIT_STORAGE", "database")]).contains("no database storage"));
        assert!(said(&[("AUDIT_MODE", "fast")]).contains("use sync, async, sampled or off"));
        assert!(said(&[("AUDIT_SAMPLE_RATE", "2")]).contains("from 0 to 1"));
        let bytes = || OsString::from_vec(b"/tmp/\xff".to_vec());
        let error = create_from(&|name| (name == LOG_PATH).then(bytes)).err().unwrap();
        assert_eq!(error.to_string(), r#"AUDIT_LOG_PATH cannot be "/tmp/\xFF": use UTF-8"#);
    }
}
