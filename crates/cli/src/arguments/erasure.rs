//! The flags of an erasure.

use clap::Args;

#[derive(Args)]
pub(crate) struct Erase {
    /// The person, as events name them in the policy's `subject` field; - reads standard input, so that no process list
    /// shows it
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub(crate) subject: String,
    /// Say what would be erased and what would not, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Why, for the trail, where it stays for ever: do not name the person
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}
