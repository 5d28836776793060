//! Commands that prove and check.

use std::path::PathBuf;

use clap::Args;

use super::store::StoreFlag;

#[derive(Args)]
pub(crate) struct Verify {
    /// A checkpoint kept elsewhere: the trail must contain it
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Vec<PathBuf>,
    /// A public key kept elsewhere, or its file: only it, and keys it vouches for, may sign
    #[arg(long, value_name = "KEY")]
    pub(crate) public_key: Vec<String>,
    #[command(flatten)]
    pub(crate) store: StoreFlag,
    /// Check an inclusion proof, without the trail
    #[arg(long, value_name = "FILE", conflicts_with_all = ["checkpoint", "store"], group = "what")]
    pub(crate) proof: Option<PathBuf>,
    /// Check a consistency proof, without the trail
    #[arg(long, value_name = "FILE", conflicts_with_all = ["checkpoint", "store"], group = "what")]
    pub(crate) consistency: Option<PathBuf>,
    /// Check a bundle, without the trail
    #[arg(long, value_name = "FILE", conflicts_with_all = ["checkpoint", "store"], group = "what")]
    pub(crate) bundle: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Prove {
    /// The event's id (id:42 if it is all digits) or its index, also as ORIGIN#INDEX
    #[arg(value_name = "ID|[ORIGIN#]INDEX")]
    pub(crate) event: String,
    /// The file for the proof [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Consistency {
    /// The older checkpoint
    #[arg(value_name = "FROM-CHECKPOINT-FILE")]
    pub(crate) from: PathBuf,
    /// The file for the proof [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}
