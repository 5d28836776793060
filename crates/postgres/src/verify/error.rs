//! Why a verification came to no verdict.

use std::io;

use crate::error::StoreError;

/// Why no verdict was possible. Tampering is no error: it is a verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreVerifyError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tree of a trail could not be read.
    #[error("could not read the tree of a trail's folder")]
    Tree(#[from] io::Error),
    /// A given checkpoint is not a checkpoint.
    #[error("a given checkpoint is not a signed checkpoint: give the whole text as the trail printed it")]
    Given,
}
