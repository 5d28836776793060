//! How a command ends if it does not succeed: with 1 if the answer is no, with 2 if it could not be done.

use std::fmt::Display;
use std::io;

use trailseal_core::{
    CloseError, EraseError, ForgetSinkError, HoldError, ReadError, RetainError, with_causes,
};
use trailseal_server::NotDecided;

use crate::output::tell;

/// Why a command did not end with exit code 0.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The answer is no: tampered, unknown id, not all accepted. Already reported, unless there is a text.
    No(Option<String>),
    /// The command could not be done. The text says what to do.
    CouldNot(String),
    /// The reader of the output has gone away.
    ClosedPipe,
}

/// What commands return.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// The answer is no, for this reason.
    pub(crate) fn no(reason: impl Display) -> Self {
        Failure::No(Some(reason.to_string()))
    }

    /// The command could not be done, for this reason.
    pub(crate) fn could_not(reason: impl Display) -> Self {
        Failure::CouldNot(reason.to_string())
    }

    /// For `map_err`: names the attempted file operation.
    pub(crate) fn io(action: &str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Failure {
        let what = format!("could not {action} {}", path.display());
        move |error| Failure::CouldNot(format!("{what}: {error}"))
    }

    /// The reason, in one line.
    pub(crate) fn text(&self) -> &str {
        match self {
            Failure::No(reason) => reason.as_deref().unwrap_or("the answer is no"),
            Failure::CouldNot(reason) => reason,
            Failure::ClosedPipe => "nobody reads the output",
        }
    }

    /// Reports the reason on stderr, in one line, and returns the exit code.
    pub(crate) fn report(self) -> u8 {
        match self {
            Failure::No(reason) => {
                if let Some(reason) = reason {
                    tell(&reason);
                }
                1
            }
            Failure::CouldNot(reason) => {
                tell(&format!("error: {reason}"));
                2
            }
            Failure::ClosedPipe => 0,
        }
    }
}

macro_rules! could_not {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Failure::CouldNot(with_causes(&error))
            }
        })*
    };
}

could_not!(
    trailseal_core::OpenError,
    trailseal_core::RecordError,
    trailseal_core::RotateError,
    trailseal_core::verify::VerifyError,
    trailseal_event::filter::FilterError,
    trailseal_core::BackupError,
    trailseal_core::SetPolicyError,
    trailseal_core::tree::RebuildError,
    trailseal_core::deliver::SinkError,
    trailseal_import::MappingError,
    trailseal_index::IndexError,
);

#[cfg(feature = "postgres")]
could_not!(trailseal_postgres::StoreError, trailseal_postgres::verify::StoreVerifyError);

/// That something is not sealed, signed or contained is an answer, not an error.
impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotSealed { .. }
            | ReadError::NotSigned { .. }
            | ReadError::NotContained { .. }
            | ReadError::Retired { .. } => Failure::no(error),
            other => Failure::CouldNot(with_causes(&other)),
        }
    }
}

/// What was announced and is not done yet, and that another run is going on, are answers.
impl From<RetainError> for Failure {
    fn from(error: RetainError) -> Self {
        match error {
            RetainError::NotSealed { .. } | RetainError::Running => Failure::No(Some(with_causes(&error))),
            other => Failure::CouldNot(with_causes(&other)),
        }
    }
}

/// That nothing of this person is there, that a hold or another run is in the way, and that it is announced and not done
/// yet are answers.
impl From<EraseError> for Failure {
    fn from(error: EraseError) -> Self {
        match error {
            EraseError::Off
            | EraseError::Unknown
            | EraseError::Held { .. }
            | EraseError::Running
            | EraseError::NotSealed { .. } => Failure::No(Some(with_causes(&error))),
            other => Failure::CouldNot(with_causes(&other)),
        }
    }
}

/// That somebody else came first is an answer.
impl From<NotDecided> for Failure {
    fn from(error: NotDecided) -> Self {
        if error.is_no { Failure::no(error) } else { Failure::could_not(error) }
    }
}

/// That there is, or is not, a hold of this name is an answer.
impl From<HoldError> for Failure {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::Exists { .. } | HoldError::Unknown { .. } => Failure::no(error),
            other => Failure::CouldNot(with_causes(&other)),
        }
    }
}

/// That there is no such sink, or that it is not gone, is an answer.
impl From<ForgetSinkError> for Failure {
    fn from(error: ForgetSinkError) -> Self {
        match error {
            ForgetSinkError::Unknown { .. } | ForgetSinkError::Attached { .. } => Failure::no(error),
            other => Failure::CouldNot(with_causes(&other)),
        }
    }
}

impl From<trailseal_index::SearchError> for Failure {
    fn from(error: trailseal_index::SearchError) -> Self {
        match error {
            trailseal_index::SearchError::Read(error) => error.into(),
            other => Failure::CouldNot(with_causes(&other)),
        }
    }
}

impl From<trailseal_export::BundleError> for Failure {
    fn from(error: trailseal_export::BundleError) -> Self {
        match error {
            trailseal_export::BundleError::Read(error) => error.into(),
            trailseal_export::BundleError::Io(error) => error.into(),
        }
    }
}

/// What was accepted but not seen on disk in time is unconfirmed, which is an answer.
impl From<CloseError> for Failure {
    fn from(error: CloseError) -> Self {
        match error {
            CloseError::Late { .. } => Failure::no(format!("unconfirmed: {error}")),
            other => Failure::could_not(other),
        }
    }
}

/// Errors while writing the output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ClosedPipe,
            _ => Failure::CouldNot(format!("could not write the output: {error}")),
        }
    }
}
