//! A logger as the environment says.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use super::file::FileAuditStorage;
use super::logger::{self, AuditLogger};
use super::rotation::RotationPolicy;
use super::storage::StorageError;
use crate::{Mode, Options, Policy};

const STORAGE: &str = "AUDIT_STORAGE";
const DATABASE: &str = "AUDIT_DATABASE_URL";
const LOG_PATH: &str = "AUDIT_LOG_PATH";
const MODE: &str = "AUDIT_MODE";
const SAMPLE_RATE: &str = "AUDIT_SAMPLE_RATE";
const DEFAULT_PATH: &str = "/var/log/orchestrator/audit.log";

/// A logger as the environment says.
///
/// | variable | says |
/// | --- | --- |
/// | `AUDIT_STORAGE` | `file`, which is the default, or `database`, with the feature `postgres` |
/// | `AUDIT_LOG_PATH` | for `file`: the plain file; its trail lies beside it. Default `/var/log/orchestrator/audit.log` |
/// | `AUDIT_DATABASE_URL` | for `database`: the shared store, such as `postgres://USER@HOST/DATABASE` |
/// | `TRAILSEAL_DIR` | for `database`: the folder of the trail that events go through. Default `./trail` |
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
    let mut options = Options::default();
    options.policy = policy(variable)?;
    match variable(STORAGE)?.as_deref() {
        None | Some("" | "file") => {
            let path = variable(LOG_PATH)?.filter(|path| !path.is_empty());
            let path = path.unwrap_or_else(|| DEFAULT_PATH.to_owned());
            let storage = FileAuditStorage::with_options(path, RotationPolicy::Daily, &options)?;
            Ok(Arc::new(AuditLogger::new(Arc::new(storage))))
        }
        Some("database") => {
            let url = variable(DATABASE)?.filter(|url| !url.is_empty()).ok_or_else(|| {
                let what =
                    format!("{STORAGE} is database, so set {DATABASE} to postgres://USER@HOST/DATABASE");
                StorageError::ConfigurationError(what)
            })?;
            let dir = logger::dir_of(variable(logger::DIR_VARIABLE)?.map(OsString::from));
            database(&url, &dir, &options)
        }
        Some(other) => {
            let what = format!("{STORAGE} cannot be {other:?}: use file or database");
            Err(StorageError::ConfigurationError(what))
        }
    }
}

#[cfg(feature = "postgres")]
fn database(url: &str, dir: &Path, options: &Options) -> Result<Arc<AuditLogger>, StorageError> {
    let storage = super::database::DatabaseAuditStorage::open(url, dir, options)?;
    Ok(Arc::new(AuditLogger::new(Arc::new(storage))))
}

#[cfg(not(feature = "postgres"))]
fn database(_url: &str, _dir: &Path, _options: &Options) -> Result<Arc<AuditLogger>, StorageError> {
    let what = format!("{STORAGE}=database: build with the feature `postgres` of trailseal, or use file");
    Err(StorageError::ConfigurationError(what))
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
        assert_eq!(
            said(&[("AUDIT_STORAGE", "tape")]),
            r#"AUDIT_STORAGE cannot be "tape": use file or database"#
        );
        assert!(said(&[("AUDIT_STORAGE", "database")]).contains("set AUDIT_DATABASE_URL"));
        let odd = [("AUDIT_STORAGE", "database"), ("AUDIT_DATABASE_URL", "mysql://me:s3cr3t@db/x")];
        assert!(!said(&odd).contains("s3cr3t"));
        let wanted = if cfg!(feature = "postgres") { "write postgres://" } else { "the feature `postgres`" };
        assert!(said(&odd).contains(wanted), "{}", said(&odd));
        assert!(said(&[("AUDIT_MODE", "fast")]).contains("use sync, async, sampled or off"));
        assert!(said(&[("AUDIT_SAMPLE_RATE", "2")]).contains("from 0 to 1"));
        let bytes = || OsString::from_vec(b"/tmp/\xff".to_vec());
        let error = create_from(&|name| (name == LOG_PATH).then(bytes)).err().unwrap();
        assert_eq!(error.to_string(), r#"AUDIT_LOG_PATH cannot be "/tmp/\xFF": use UTF-8"#);
    }
}
